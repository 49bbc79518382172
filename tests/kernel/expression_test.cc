// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Objects and expressions on a bundled real dump (null-events: CPU 1 has n_events 2, active_mask 3, events[0]
// NULL).
#include <gtest/gtest.h>

#include "support/overlay.h"

namespace perfcore {
namespace {

class Expression : public ::testing::Test {
 protected:
  Expression() : patched_(test::bundled("null-events-6.18.12.vmcore")), kernel_(patched_.original()) {}

  uint64_t value(std::string_view expression) {
    const Reading<int64_t> result = evaluate(kernel_, expression).s64();
    EXPECT_TRUE(result.has_value()) << expression << ": " << result.unread().message();
    return result.has_value() ? static_cast<uint64_t>(*result) : 0xbadbadbad;
  }
  UnreadReason reason(std::string_view expression) {
    const Reading<uint64_t> result = evaluate(kernel_, expression).u64();
    EXPECT_FALSE(result.has_value()) << expression;
    return result.has_value() ? UnreadReason::kUnsupported : result.unread().reason;
  }

  test::PatchedKernel patched_;
  Kernel& kernel_;
};

TEST_F(Expression, ComparisonsAreSignedAsInC) {
  EXPECT_EQ(value("-5 < 0"), 1u);
  EXPECT_EQ(value("-5 < 0u"), 0u);
  EXPECT_EQ(value("-6 / 2 == -3"), 1u);
  EXPECT_EQ(value("0xffffffffffffffff > 1"), 1u);
  EXPECT_EQ(value("per_cpu(cpu_hw_events, 1).n_events - 5 < 0"), 1u);
  EXPECT_EQ(value("per_cpu(cpu_hw_events, 1).active_mask[0] - 5 < 0"), 0u);
}

TEST_F(Expression, WhatTheLeftSideDecidesNeedsNoRightSide) {
  EXPECT_EQ(value("0 && no_such_variable"), 0u);
  EXPECT_EQ(value("1 || no_such_variable"), 1u);
  EXPECT_EQ(
      value("per_cpu(cpu_hw_events, 1).events[0] != 0 && per_cpu(cpu_hw_events, 1).events[0]->oncpu == 1"),
      0u);
  EXPECT_EQ(reason("1 && no_such_variable"), UnreadReason::kNoSymbol);
  EXPECT_EQ(reason("no_such_variable && 0"), UnreadReason::kNoSymbol);
}

TEST_F(Expression, MembersOfPerCpuVariables) {
  EXPECT_EQ(value("per_cpu(cpu_hw_events, 1).n_events"), 2u);
  EXPECT_EQ(value("per_cpu(cpu_hw_events, 1).active_mask[0]"), 3u);
  EXPECT_EQ(value("per_cpu(cpu_hw_events, 1).events[0]"), 0u);
  EXPECT_EQ(value("per_cpu(cpu_hw_events, 1).event_list[0]->hw.idx"), 0u);
  EXPECT_EQ(value("per_cpu(cpu_hw_events, 1).event_list[1].hw.idx"),
            1u);  // '.' follows pointers, as people type it
}

TEST_F(Expression, GlobalsGetTheirTypeWithoutDwarf) {
  EXPECT_EQ(evaluate(kernel_, "x86_pmu.name").string().value(), "AMD");
  EXPECT_EQ(value("nr_cpu_ids"), 4u);
}

TEST_F(Expression, CastsAndPointerArithmetic) {
  const uint64_t event = value("per_cpu(cpu_hw_events, 1).event_list[0]");
  const std::string hex = "0x" + [&] {
    char text[20];
    std::snprintf(text, sizeof text, "%lx", event);
    return std::string(text);
  }();
  EXPECT_EQ(value("(*(struct perf_event *)" + hex + ").oncpu"), 1u);
  EXPECT_EQ(value("((struct perf_event *)" + hex + ")->oncpu"), 1u);
  EXPECT_EQ(value("&((struct perf_event *)" + hex + ")->hw == (struct hw_perf_event *)(" + hex + " + " +
                  std::to_string(value("&((struct perf_event *)4096)->hw") - 4096) + ")"),
            1u);
  EXPECT_EQ(value("(u8)0x1ff"), 0xffu);
  EXPECT_EQ(value("*(per_cpu(cpu_hw_events, 1).event_list + 1) == per_cpu(cpu_hw_events, 1).event_list[1]"),
            1u);
  EXPECT_EQ(value("container_of(&per_cpu(cpu_hw_events, 1).event_list[0]->hw, struct perf_event, hw) == "
                  "per_cpu(cpu_hw_events, "
                  "1).event_list[0]"),
            1u);
}

TEST_F(Expression, CArithmetic) {
  EXPECT_EQ(value("1 + 2 * 3"), 7u);
  EXPECT_EQ(value("(1 + 2) * 3"), 9u);
  EXPECT_EQ(value("1 << 4 | 1"), 17u);
  EXPECT_EQ(value("7 & 3 == 3"), 1u);  // as in C, == binds tighter than &
  EXPECT_EQ(value("-1 < 0"), 1u);
  EXPECT_EQ(value("10 - 2 - 3"), 5u);
  EXPECT_EQ(value("!0 && ~0"), 1u);
  EXPECT_EQ(value("sizeof(struct list_head)"), 16u);
}

TEST_F(Expression, WhatCannotBeReadSaysWhy) {
  EXPECT_EQ(reason("per_cpu(cpu_hw_events, 1).events[0]->hw.idx"), UnreadReason::kNullPointer);
  EXPECT_EQ(reason("no_such_variable_anywhere"), UnreadReason::kNoSymbol);
  EXPECT_EQ(reason("x86_pmu.no_such_member"), UnreadReason::kNoMember);
  EXPECT_EQ(reason("per_cpu(cpu_hw_events, 99).n_events"), UnreadReason::kNotMapped);
  EXPECT_EQ(reason("per_cpu(cpu_hw_events, 1).events[64]"), UnreadReason::kNoMember);
  EXPECT_EQ(reason("1 / 0"), UnreadReason::kUnsupported);
  EXPECT_FALSE(evaluate(kernel_, "*(struct perf_event *)0x10").member("state").u64().has_value());
}

TEST_F(Expression, NonsenseIsRefusedWithTheColumn) {
  for (const char* text : {"", "(", "1 +", "per_cpu(", "per_cpu(x86_pmu", "a..b", "x86_pmu.", "1 2",
                           "(struct nothing *)0", "[1]", "99999999999999999999999", "\"", "0x"}) {
    EXPECT_THROW(evaluate(kernel_, text), std::invalid_argument) << text;
  }
  EXPECT_THROW(evaluate(kernel_, std::string(100000, '(')), std::invalid_argument);
  EXPECT_THROW(evaluate(kernel_, std::string(100000, '*')), std::invalid_argument);
  try {
    evaluate(kernel_, "x86_pmu ? 1");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("column 9"), std::string::npos) << error.what();
  }
}

TEST_F(Expression, ExpressionsOfObjectsEvaluateToTheSameObject) {
  const Object event = kernel_.per_cpu("cpu_hw_events", 1).member("event_list[0]").deref();
  for (const Object& object :
       {event.member("hw.idx"), event.member("ctx").member("task"), event.address_of(),
        kernel_.object("struct perf_event", event.address().value()).member("attr.config"),
        event.member("pmu").member("cpu_pmu_context").per_cpu_ptr(2),
        event.member("hw.prev_count").address_of().deref()}) {
    const Object again = evaluate(kernel_, object.expression());
    ASSERT_EQ(again.unread(), nullptr) << object.expression() << ": " << again.unread()->message();
    if (object.address().has_value())
      EXPECT_EQ(again.address().value(), object.address().value()) << object.expression();
    else
      EXPECT_EQ(again.u64().value(), object.u64().value()) << object.expression();
  }
}

TEST_F(Expression, ListsStopAtACycle) {
  const Object modules = kernel_.variable("modules");
  const ListWalk whole = list_entries(modules, "struct module", "list");
  ASSERT_FALSE(whole.incomplete) << whole.incomplete->message();
  ASSERT_FALSE(whole.entries.empty());
  // The last module points back to the first instead of to the head.
  const Object last = whole.entries.back().member("list.next");
  patched_.memory().poke(last.address().value(), whole.entries.front().member("list").address().value());
  const ListWalk cycle = list_entries(patched_.patched().variable("modules"), "struct module", "list");
  ASSERT_TRUE(cycle.incomplete);
  EXPECT_EQ(cycle.incomplete->reason, UnreadReason::kLimit);
  EXPECT_EQ(cycle.entries.size(), whole.entries.size());
}

TEST_F(Expression, ListsGoOnBehindAnEntryThatCannotBeRead) {
  const auto tasks = [](Kernel& kernel) {
    return list_entries(kernel.variable("init_task").member("tasks"), "struct task_struct", "tasks");
  };
  const ListWalk whole = tasks(kernel_);
  ASSERT_FALSE(whole.incomplete) << whole.incomplete->message();
  ASSERT_GT(whole.entries.size(), 10U);
  patched_.memory().take_away(whole.entries[3].member("tasks").address().value(), 16);
  const ListWalk gap = tasks(patched_.patched());
  ASSERT_TRUE(gap.incomplete);
  EXPECT_EQ(gap.incomplete->address, whole.entries[3].member("tasks").address().value());
  ASSERT_EQ(gap.entries.size(), whole.entries.size());
  for (size_t i = 0; i < whole.entries.size(); i++)
    EXPECT_EQ(gap.entries[i].address().value(), whole.entries[i].address().value()) << i;
}

TEST_F(Expression, PrintedStructsHaveNamesTypesAndUnreadParts) {
  const Object hw = kernel_.per_cpu("cpu_hw_events", 1).member("event_list[0]").member("hw");
  const std::string text = format_object(hw);
  EXPECT_NE(text.find(".idx = (int)0,"), std::string::npos) << text;
  const Object state = kernel_.per_cpu("cpu_hw_events", 1).member("event_list[0]").member("state");
  EXPECT_EQ(format_object(state), "(enum perf_event_state)PERF_EVENT_STATE_ACTIVE");
  patched_.memory().take_away(hw.member("idx").address().value(), 4);
  Kernel& kernel = patched_.patched();
  const std::string gap =
      format_object(kernel.per_cpu("cpu_hw_events", 1).member("event_list[0]").member("hw"));
  EXPECT_NE(gap.find(".idx = (int)<page excluded by makedumpfile>"), std::string::npos) << gap;
}

}  // namespace
}  // namespace perfcore
