// SPDX-License-Identifier: LGPL-2.1-or-later
//
// perf-event-time-race on a healthy dump whose events' times are changed one at a time, and the judgement of
// KCSAN reports about addresses in a dump.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "analyzers/registry.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

using test::finding_of;
using test::PatchedKernel;

constexpr const char* kHealthy = "healthy-6.12.117.vmcore";
constexpr const char* kRule = "perf-event-time-race";
constexpr uint64_t kSecond = 1'000'000'000;

class TimeRace : public testing::Test {
 protected:
  TimeRace() : kernel_(test::recorded(kHealthy)) {}

  void SetUp() override {
    Diagnosis diagnosis(kernel_.original());
    for (const EventOrigin& origin : diagnosis.events().events) {
      const PerfEvent& event = diagnosis.pmu().event(origin.address);
      const auto now = event_time(event);
      if (!now.has_value() || *now < kSecond / 10 || !event.state().is(1)) continue;
      event_.emplace(kernel_.original().object("struct perf_event", origin.address));
      now_ = *now;
      return;
    }
    FAIL() << "no active event with a running clock in the dump";
  }

  uint64_t place(const char* member) { return event_->member(member).address().value(); }
  uint64_t value(const char* member) { return event_->member(member).u64().value(); }
  Finding judge() {
    Diagnosis diagnosis(kernel_.patched());
    return finding_of(run_rules(diagnosis, all_rules()), kRule);
  }
  static std::string predicates(const Finding& finding) {
    const auto found = finding.facts.find("predicates");
    return found == finding.facts.end() ? "" : std::get<std::string>(found->second);
  }

  PatchedKernel kernel_;
  std::optional<Object> event_;
  uint64_t now_ = 0;
};

TEST_F(TimeRace, LatentWhereAllTimesAreConsistent) {
  const Finding finding = judge();
  EXPECT_EQ(finding.verdict, Verdict::kLatent);
  EXPECT_FALSE(finding.cause_of_crash);
}

TEST_F(TimeRace, RanForLongerThanItWasEnabled) {
  kernel_.memory().poke<uint64_t>(place("total_time_running"), value("total_time_enabled") + 1);
  const Finding finding = judge();
  EXPECT_EQ(predicates(finding), "T1");
  EXPECT_EQ(finding.stage, Stage::kFired);
  EXPECT_NE(finding.verdict, Verdict::kProven);
  EXPECT_FALSE(finding.cause_of_crash);
  EXPECT_EQ(std::get<std::string>(finding.facts.at("severity")), "statistics-only");
}

TEST_F(TimeRace, UpdatedInTheFutureOfItsContext) {
  kernel_.memory().poke<uint64_t>(place("tstamp"), now_ + 1);
  EXPECT_EQ(predicates(judge()), "T2");
}

TEST_F(TimeRace, EnabledForLongerThanItsClockHasRun) {
  kernel_.memory().poke<uint64_t>(place("total_time_enabled"), now_ + kSecond);
  EXPECT_EQ(predicates(judge()).substr(0, 2), "T4");
}

TEST_F(TimeRace, UnreadTimesAreUndetermined) {
  kernel_.memory().take_away(place("total_time_enabled"), 8);
  const Finding finding = judge();
  EXPECT_EQ(finding.verdict, Verdict::kUndetermined);
  EXPECT_FALSE(finding.not_visible.empty());
}

std::string race_at(uint64_t address) {
  return fmt::format(
      "BUG: KCSAN: data-race in first_user / second_user\n\n"
      "write to {0:#018x} of 8 bytes by task 7 on cpu 1:\n first_user+0x10/0x20\n do_work+0x1/0x2\n\n"
      "read to {0:#018x} of 8 bytes by task 8 on cpu 0:\n second_user+0x10/0x20\n do_work+0x1/0x2\n\n"
      "value changed: 0x0000000000000001 -> 0x0000000000000002\n\n"
      "Reported by Kernel Concurrency Sanitizer on:\nCPU: 0 PID: 8 Comm: b Not tainted 6.12.0 #1\n",
      address);
}

TEST_F(TimeRace, ReportsAboutAnEventNameItsMember) {
  Diagnosis diagnosis(kernel_.original());
  const auto races = judge_races(diagnosis, race_at(place("total_time_enabled")));
  ASSERT_EQ(races.size(), 1U);
  EXPECT_EQ(races[0].report.field, "perf_event.total_time_enabled");
  EXPECT_EQ(races[0].verdict.label, KcsanLabel::kHarmful);
  const auto list = judge_races(diagnosis, race_at(place("sibling_list")));
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].report.field, "perf_event.sibling_list");
  EXPECT_EQ(list[0].verdict.label, KcsanLabel::kHarmful);
  const auto throttling = judge_races(diagnosis, race_at(place("hw.interrupts")));
  ASSERT_EQ(throttling.size(), 1U);
  EXPECT_EQ(throttling[0].report.field, "hw_perf_event.interrupts");
  EXPECT_EQ(throttling[0].verdict.label, KcsanLabel::kBenign);
}

TEST_F(TimeRace, ReportsAboutOtherMemoryAreJudgedFromTheText) {
  Diagnosis diagnosis(kernel_.original());
  const auto races = judge_races(diagnosis, race_at(0xffff888000001230));
  ASSERT_EQ(races.size(), 1U);
  EXPECT_EQ(races[0].report.field, "");
  EXPECT_TRUE(judge_races(diagnosis).empty()) << "this dump's log has no KCSAN report";
}

}  // namespace
}  // namespace perfcore
