// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Each invariant broken by one value in a real dump: that one is violated, and nothing else of severity F or
// E but what its own definition takes along.
#include "perfcore/invariants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <set>

#include "support/overlay.h"

namespace perfcore {
namespace {

using test::PatchedKernel;

constexpr const char* kHealthy = "healthy-6.12.117.vmcore";
constexpr const char* kIbs = "ibs-race-6.12.117.vmcore";
constexpr const char* kNullEvents = "null-events-6.18.12.vmcore";

/// What to change: an expression, and its new value by the original kernel.
struct Change {
  std::string expression;
  std::function<uint64_t(Kernel&)> value;
};

std::function<uint64_t(Kernel&)> constant(uint64_t value) {
  return [value](Kernel&) { return value; };
}
/// The value of another expression, plus something.
std::function<uint64_t(Kernel&)> value_of(std::string expression, uint64_t plus = 0) {
  return [expression = std::move(expression), plus](Kernel& kernel) {
    const Reading<uint64_t> value = evaluate(kernel, expression).u64();
    EXPECT_TRUE(value.has_value()) << expression;
    return value.has_value() ? *value + plus : 0;
  };
}

struct Case {
  std::string id;
  std::string what;
  Change change;
  std::optional<int> cpu;  ///< where it must be reported
  const char* dump = kHealthy;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.id << ": " << c.change.expression;
}

void apply(PatchedKernel& kernel, const Change& change) {
  const Object object = evaluate(kernel.original(), change.expression);
  ASSERT_EQ(object.unread(), nullptr) << object.unread()->message();
  const uint64_t value = change.value(kernel.original());
  ASSERT_LE(object.type()->size, sizeof value);
  kernel.memory().write(object.address().value(), &value, object.type()->size);
}

std::vector<InvariantResult> check(Kernel& kernel) {
  Diagnosis diagnosis(kernel);
  return check_invariants(diagnosis);
}

/// Ids that are violated with severity F or E.
std::set<std::string> serious(const std::vector<InvariantResult>& results) {
  std::set<std::string> ids;
  for (const InvariantResult& result : results)
    if (result.status == InvariantStatus::kViolated &&
        (result.severity == Severity::kFatal || result.severity == Severity::kError))
      ids.insert(result.id);
  return ids;
}

std::string pmu(int cpu, const std::string& member) {
  return "per_cpu(cpu_hw_events, " + std::to_string(cpu) + ")." + member;
}
std::string ctx(int cpu, const std::string& member) {
  return "per_cpu(perf_cpu_context, " + std::to_string(cpu) + ")." + member;
}

constexpr uint64_t kPoison = 0x6b6b6b6b6b6b6b6b;
constexpr uint64_t kMinusOne = ~uint64_t{0};

/// CPU 0 and 3 have two events of their own each, CPU 1 those of a task: a group of three and another one.
std::vector<Case> cases() {
  return {
      {"C-01", "pointer", {pmu(0, "events[0]"), constant(0)}, 0},
      {"C-01", "bit", {pmu(0, "active_mask[0]"), constant(0x7)}, 0},
      {"C-02", "poison", {pmu(0, "events[0]"), constant(kPoison)}, 0},
      {"C-02", "other_event", {pmu(0, "events[0]"), value_of(pmu(0, "events[1]"))}, 0},
      {"C-02", "idx", {pmu(0, "event_list[0]->hw.idx"), constant(3)}, 0},
      {"C-03", "stopped", {pmu(0, "event_list[0]->hw.state"), constant(1)}, 0},
      {"C-03", "stopped_uptodate", {pmu(0, "event_list[1]->hw.state"), constant(3)}, 0},
      {"C-04", "bit", {pmu(0, "active_mask[0]"), constant(0x2)}, 0},
      {"C-05", "bit", {pmu(0, "active_mask[0]"), constant(0x100003)}, 0},
      {"C-05", "pointer", {pmu(0, "events[20]"), value_of(pmu(0, "events[0]"))}, 0},
      {"C-06", "n_events", {pmu(0, "n_events"), constant(64)}, 0},
      {"C-06", "n_events_negative", {pmu(0, "n_events"), constant(kMinusOne)}, 0},
      {"C-06", "n_added", {pmu(0, "n_added"), constant(3)}, 0},
      {"C-07", "null", {pmu(0, "event_list[1]"), constant(0)}, 0},
      {"C-07", "poison", {pmu(0, "event_list[1]"), constant(kPoison)}, 0},
      {"C-07", "twice", {pmu(0, "event_list[1]"), value_of(pmu(0, "event_list[0]"))}, 0},
      {"C-09", "assign", {pmu(0, "assign[1]"), constant(2)}, 0},
      {"C-10", "inactive", {pmu(0, "event_list[0]->state"), constant(0)}, 0},
      {"C-10", "freq_inactive", {pmu(1, "event_list[3]->state"), constant(0)}, 1},
      {"C-10", "elsewhere", {pmu(0, "event_list[0]->oncpu"), constant(2)}, 0},
      {"C-10", "nowhere", {pmu(0, "event_list[0]->oncpu"), constant(kMinusOne)}, 0},
      {"C-11", "dropped", {pmu(0, "n_events"), constant(1)}, 0},
      {"C-12", "enabled", {pmu(0, "enabled"), constant(2)}, 0},
      {"C-12", "count", {"*per_cpu_ptr(" + pmu(0, "pmu->pmu_disable_count") + ", 0)", constant(1)}, 0},
      {"C-13", "n_added", {pmu(0, "n_added"), constant(1)}, 0},
      {"C-14", "txn_flags", {pmu(0, "txn_flags"), constant(1)}, 0},
      {"C-15", "n_pair", {pmu(0, "n_pair"), constant(1)}, 0},
      {"C-16", "idx", {pmu(0, "event_list[0]->hw.idx"), constant(kMinusOne)}, 0},
      {"C-18", "event_base", {pmu(0, "event_list[1]->hw.event_base"), constant(0xc0010000)}, 0},
      {"C-18", "config_base", {pmu(3, "event_list[0]->hw.config_base"), constant(0)}, 3},
      {"C-19", "arch_alone", {pmu(0, "event_list[0]->hw.state"), constant(4)}, 0},
      {"C-19", "unknown_flag", {pmu(0, "event_list[0]->hw.state"), constant(0x10)}, 0},
      {"C-19", "uptodate_alone", {pmu(0, "event_list[0]->hw.state"), constant(2)}, 0},
      {"C-20", "throttled", {pmu(0, "event_list[0]->hw.interrupts"), constant(kMinusOne)}, 0},
      {"C-21", "nr_siblings", {pmu(1, "event_list[0]->nr_siblings"), constant(1)}, 1},
      {"C-21", "leader_null", {pmu(1, "event_list[1]->group_leader"), constant(0)}, 1},
      {"C-21", "leader", {pmu(1, "event_list[1]->group_leader"), value_of(pmu(1, "event_list[3]"))}, 1},
      {"C-21",
       "leader_of_single",
       {pmu(0, "event_list[1]->group_leader"), value_of(pmu(0, "event_list[0]"))},
       0},
      {"C-21", "read_size", {pmu(0, "event_list[1]->read_size"), constant(0xfff8)}, 0},
      {"C-22", "sibling", {pmu(1, "event_list[1]->state"), constant(0)}, 1},
      {"C-23", "nr_events", {ctx(0, "ctx.nr_events"), constant(3)}, 0},
      {"C-23", "nr_freq", {ctx(0, "ctx.nr_freq"), constant(1)}, 0},
      {"C-23", "task_nr_freq", {ctx(1, "task_ctx->nr_freq"), constant(0)}, std::nullopt},
      {"C-23", "nr_stat", {ctx(0, "ctx.nr_stat"), constant(1)}, 0},
      {"C-23", "attach_state", {pmu(0, "event_list[0]->attach_state"), constant(0)}, 0},
      {"C-23", "pmu_ctx_events", {pmu(0, "event_list[0]->pmu_ctx->nr_events"), constant(5)}, 0},
      {"C-23", "pmu_ctx_ctx", {pmu(0, "event_list[0]->pmu_ctx->ctx"), constant(0)}, 0},
      {"C-24",
       "emptied",
       {pmu(0, "event_list[0]->pmu_ctx->flexible_active.next"),
        value_of("(unsigned long)&" + pmu(0, "event_list[0]->pmu_ctx->flexible_active"))},
       0},
      {"C-24", "cut", {pmu(0, "event_list[0]->active_list.next"), constant(0)}, 0},
      {"C-25", "running", {pmu(0, "event_list[0]->total_time_running"), constant(kMinusOne)}, 0},
      {"C-25", "tstamp", {pmu(0, "event_list[0]->tstamp"), constant(uint64_t{1} << 62)}, 0},
      {"C-26", "cpu", {pmu(0, "event_list[0]->cpu"), constant(2)}, 0},
      {"C-26", "task_ctx", {ctx(2, "task_ctx"), value_of(ctx(1, "task_ctx"))}, 2},
      {"C-26", "task_ctx_lost", {ctx(1, "task_ctx"), constant(0)}, std::nullopt},
      {"C-26", "is_active", {ctx(0, "ctx.is_active"), constant(0)}, 0},
      {"C-26", "ctx", {pmu(0, "event_list[0]->ctx"), value_of("(unsigned long)&" + ctx(2, "ctx"))}, 0},
      {"C-27", "ctx", {ctx(0, "ctx.refcount.refs.counter"), constant(0)}, 0},
      {"C-27", "event", {pmu(0, "event_list[0]->refcount.counter"), constant(0)}, 0},
      {"C-27", "tombstone", {ctx(1, "task_ctx->task"), constant(kMinusOne)}, std::nullopt},
      {"C-28", "pending_wakeup", {pmu(0, "event_list[0]->pending_wakeup"), constant(1)}, 0},
      {"C-28", "pending_disable", {pmu(0, "event_list[0]->pending_disable"), constant(1)}, 0},
      {"C-29", "ds", {pmu(0, "ds"), constant(kPoison)}, 0},
      {"C-29", "other_ds", {pmu(0, "ds"), value_of(pmu(0, "event_list[0]"))}, 0},
      {"C-30", "pebs_enabled", {pmu(0, "pebs_enabled"), constant(1)}, 0},
      {"C-30", "n_large_pebs", {pmu(0, "n_large_pebs"), constant(1)}, 0},
      {"C-31", "lbr_users", {pmu(0, "lbr_users"), constant(5)}, 0},
      {"C-31", "lbr_users_negative", {pmu(0, "lbr_users"), constant(kMinusOne)}, 0},
      {"C-31", "entries", {pmu(0, "lbr_stack.nr"), constant(33)}, 0},
      {"C-32", "brs_active", {pmu(0, "brs_active"), constant(1)}, 0},
      {"C-33", "poison", {pmu(0, "amd_nb"), constant(kPoison)}, 0},
      {"C-33", "owner", {pmu(0, "amd_nb->owners[0]"), value_of(pmu(0, "event_list[1]"))}, 0},
      {"C-33", "refcnt", {pmu(0, "amd_nb->refcnt"), constant(9)}, 0},
      {"C-34", "started", {"per_cpu_ptr(perf_ibs_op.pcpu, 0)->state[0]", constant(2)}, 0, kIbs},
      {"C-34", "event", {"per_cpu_ptr(perf_ibs_fetch.pcpu, 0)->event", constant(kPoison)}, 0, kIbs},
      {"C-35", "event", {"per_cpu(pt_ctx, 0).handle.event", value_of(pmu(3, "event_list[0]"))}, 0},
      {"C-35", "handle_nmi", {"per_cpu(pt_ctx, 2).handle_nmi", constant(5)}, 2},
      {"C-36", "refcount", {pmu(0, "event_list[1]->rb->refcount.refs.counter"), constant(0)}, std::nullopt},
      {"C-36", "nest", {pmu(0, "event_list[1]->rb->nest"), constant(1)}, std::nullopt},
      {"C-36", "aux_nest", {pmu(0, "event_list[1]->rb->aux_nest"), constant(4)}, std::nullopt},
      {"C-36", "user_page", {pmu(0, "event_list[1]->rb->user_page"), constant(kPoison)}, std::nullopt},
      {"C-36", "rb", {pmu(0, "event_list[1]->rb"), constant(kPoison)}, std::nullopt},
      {"C-37", "poison", {"x86_pmu.enable", constant(kPoison)}, std::nullopt},
      {"C-37", "other_function", {"x86_pmu.enable", value_of("x86_pmu.disable")}, std::nullopt},
      {"C-38", "null", {pmu(2, "pmu"), constant(0)}, 2},
      {"C-38", "poison", {pmu(2, "pmu"), constant(kPoison)}, 2},
      {"C-39", "watchdog", {"per_cpu(watchdog_ev, 1)", value_of(pmu(0, "event_list[0]"))}, 1},
      {"C-40",
       "handler",
       {"((struct nmiaction *)nmi_desc[0].head.next)->handler", constant(kPoison)},
       std::nullopt},
      {"C-40",
       "emptied",
       {"nmi_desc[0].head.next", value_of("(unsigned long)&nmi_desc[0].head")},
       std::nullopt},
      {"C-41", "sequence", {"per_cpu(perf_throttled_seq, 0)", constant(uint64_t{1} << 62)}, 0},
      {"C-42", "hlist", {"per_cpu(swevent_htable, 0).swevent_hlist", constant(kPoison)}, 0},
      {"C-43", "cgrp", {pmu(0, "event_list[0]->cgrp"), constant(kPoison)}, 0},
      {"C-44", "perf", {ctx(0, "online"), constant(0)}, 0},
      {"C-44", "hotplug", {"per_cpu(cpuhp_state, 0).state", constant(0)}, 0},
  };
}

class OneViolation : public testing::TestWithParam<Case> {};

TEST_P(OneViolation, IsNamedAndNothingElse) {
  const Case& c = GetParam();
  PatchedKernel kernel(test::recorded(c.dump));
  apply(kernel, c.change);
  const auto results = check(kernel.patched());
  const auto named = std::find_if(results.begin(), results.end(), [&](const InvariantResult& result) {
    return result.id == c.id && result.cpu == c.cpu && result.status == InvariantStatus::kViolated;
  });
  ASSERT_NE(named, results.end()) << c.id << " is not violated";
  EXPECT_FALSE(named->why.empty());
  // What is named can be looked at.
  ASSERT_FALSE(named->expression.empty());
  EXPECT_EQ(evaluate(kernel.patched(), named->expression).unread(), nullptr) << named->expression;

  const InvariantInfo* info = find_invariant(c.id);
  ASSERT_NE(info, nullptr);
  for (const std::string& id : serious(results))
    EXPECT_TRUE(id == c.id || info->implies.find(id) != std::string_view::npos)
        << id << " is violated as well: "
        << std::find_if(results.begin(), results.end(), [&](const InvariantResult& result) {
             return result.id == id && result.status == InvariantStatus::kViolated;
           })->why;
}

INSTANTIATE_TEST_SUITE_P(Invariants, OneViolation, testing::ValuesIn(cases()), [](const auto& param) {
  return "C" + param.param.id.substr(2) + "_" + param.param.what;
});

TEST(Invariants, EachThatCanBeBrokenIsBrokenHere) {
  std::set<std::string> tried;
  for (const Case& c : cases()) tried.insert(c.id);
  for (const InvariantInfo& info : invariants())
    EXPECT_EQ(tried.count(std::string(info.id)), info.id == "C-08" || info.id == "C-17" ? 0U : 1U) << info.id;
}

TEST(Invariants, HealthyKernelsAreClean) {
  for (const char* name :
       {kHealthy, "healthy-6.1.192.vmcore", "healthy-7.2.12.vmcore", "throttled-arch-6.18.12.vmcore"}) {
    PatchedKernel kernel(test::recorded(name));
    std::set<std::string> answered;
    for (const InvariantResult& result : check(kernel.patched())) {
      answered.insert(result.id);
      EXPECT_TRUE(result.status == InvariantStatus::kOk || result.status == InvariantStatus::kNotApplicable)
          << name << ": " << result.id << " is " << to_string(result.status) << ": " << result.why;
    }
    EXPECT_EQ(answered.size(), invariants().size());
  }
}

TEST(Invariants, OnlyTheNullPointerIsViolatedWhereItKilled) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  EXPECT_EQ(serious(check(kernel.patched())), std::set<std::string>{"C-01"});
}

TEST(Invariants, LegalForACpuThatWasChangingIt) {
  // CPU 1 died in the handler of a counter's NMI, which switches the PMU off and on by itself.
  PatchedKernel kernel(test::recorded(kNullEvents));
  apply(kernel, {"per_cpu_ptr(" + pmu(1, "pmu->cpu_pmu_context") + ", 1)->pmu_disable_count", constant(1)});
  apply(kernel, {pmu(1, "enabled"), constant(1)});
  bool transient = false;
  for (const InvariantResult& result : check(kernel.patched()))
    if (result.id == "C-12" && result.cpu == 1) {
      EXPECT_EQ(result.status, InvariantStatus::kTransient);
      EXPECT_NE(result.why.find("perf_event_nmi_handler"), std::string::npos) << result.why;
      transient = true;
    }
  EXPECT_TRUE(transient);
}

TEST(Invariants, WhatCannotBeReadIsNotOk) {
  PatchedKernel kernel(test::recorded(kHealthy));
  const Object events = kernel.original().per_cpu("cpu_hw_events", 0);
  kernel.memory().take_away(events.address().value(), events.type()->size);
  for (const InvariantResult& result : check(kernel.patched())) {
    if (result.cpu != 0 || result.id > "C-15" || result.id == "C-08") continue;
    EXPECT_EQ(result.status, InvariantStatus::kNotRead) << result.id;
    EXPECT_NE(result.why.find("cpu_hw_events"), std::string::npos) << result.why;
  }
}

TEST(Invariants, WithoutAPmuDriverCountersDoNotApply) {
  PatchedKernel kernel(test::recorded(kHealthy));
  apply(kernel, {"x86_pmu.name", constant(0)});
  for (const InvariantResult& result : check(kernel.patched()))
    if (result.id <= "C-18") {
      EXPECT_EQ(result.status, InvariantStatus::kNotApplicable) << result.id;
    }
}

}  // namespace
}  // namespace perfcore
