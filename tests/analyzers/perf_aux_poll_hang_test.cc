// SPDX-License-Identifier: LGPL-2.1-or-later
//
// perf-aux-poll-hang on the dump of a tracer that hangs (class A'), and with single values changed to those
// of its look-alikes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "analyzers/registry.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

using test::finding_of;
using test::PatchedKernel;

constexpr const char* kHang = "aux-hang-6.12.117.vmcore";
constexpr const char* kRule = "perf-aux-poll-hang";

class AuxHang : public testing::Test {
 protected:
  AuxHang() : kernel_(test::recorded(kHang)) {}

  void SetUp() override {
    Diagnosis diagnosis(kernel_.original());
    for (const EventOrigin& origin : diagnosis.events().events) {
      const Object event = kernel_.original().object("struct perf_event", origin.address);
      const auto setup = event.member("pmu").deref().member("setup_aux").u64();
      if (!setup.has_value() || *setup == 0) continue;
      event_.emplace(event);
      buffer_.emplace(event.member("rb").deref());
      return;
    }
    FAIL() << "no AUX event in the dump";
  }

  template <typename T>
  void set(const Object& object, T value) {
    kernel_.memory().poke<T>(object.address().value(), value);
  }
  Object page() { return buffer_->member("user_page").deref(); }
  Finding judge() {
    Diagnosis diagnosis(kernel_.patched());
    return finding_of(run_rules(diagnosis, all_rules()), kRule);
  }
  static std::string event_class(const Finding& finding) {
    const auto found = finding.facts.find("class");
    return found == finding.facts.end() ? "" : std::get<std::string>(found->second);
  }

  PatchedKernel kernel_;
  std::optional<Object> event_, buffer_;
};

TEST_F(AuxHang, LikelyWhereTheTracerHangs) {
  const Finding finding = judge();
  EXPECT_EQ(finding.verdict, Verdict::kLikely);
  EXPECT_EQ(finding.stage, Stage::kFired);
  EXPECT_EQ(event_class(finding), "A'");
  EXPECT_FALSE(finding.cause_of_crash);
  EXPECT_FALSE(finding.explanation.empty());
  EXPECT_FALSE(finding.remedy.empty());
}

TEST_F(AuxHang, AWakeupThatPollWouldSeeIsNoHang) {
  set<int32_t>(buffer_->member("poll.counter"), 1);
  EXPECT_EQ(judge().verdict, Verdict::kLatent);
}

TEST_F(AuxHang, APendingWakeupIsNoHang) {
  set<uint32_t>(event_->member("pending_wakeup"), 1);
  EXPECT_EQ(judge().verdict, Verdict::kLatent);
}

TEST_F(AuxHang, DataBelowTheWatermarkIsPatience) {
  const uint64_t tail = page().member("aux_tail").u64().value();
  set<uint64_t>(page().member("aux_head"), tail + 1);
  set<uint64_t>(buffer_->member("aux_watermark"), 4096);
  EXPECT_EQ(judge().verdict, Verdict::kLatent);
}

TEST_F(AuxHang, DataBeyondTheWatermarkIsALostWakeup) {
  const uint64_t tail = page().member("aux_tail").u64().value();
  set<uint64_t>(page().member("aux_head"), tail + 8192);
  set<uint64_t>(buffer_->member("aux_watermark"), 4096);
  const Finding finding = judge();
  EXPECT_EQ(event_class(finding), "lost-wakeup");
  EXPECT_EQ(finding.verdict, Verdict::kPossible);
}

TEST_F(AuxHang, AnInactiveEventWaitsForItsTask) {
  set<int32_t>(event_->member("state"), 0);
  EXPECT_EQ(judge().verdict, Verdict::kLatent);
}

TEST_F(AuxHang, AnEventThatWasNeverEnabledIsTheTracersBusiness) {
  set<uint64_t>(event_->member("total_time_enabled"), 0);
  EXPECT_EQ(judge().verdict, Verdict::kLatent);
}

TEST_F(AuxHang, SnapshotModeIsStoppedOnPurpose) {
  set<int32_t>(buffer_->member("aux_overwrite"), 1);
  EXPECT_EQ(judge().verdict, Verdict::kLatent);
}

TEST_F(AuxHang, ADisableUnderWayIsTheWindowItself) {
  set<uint32_t>(event_->member("pending_disable"), 1);
  const Finding finding = judge();
  EXPECT_EQ(event_class(finding), "D");
  EXPECT_EQ(finding.verdict, Verdict::kPossible);
  EXPECT_EQ(finding.stage, Stage::kArmed);
}

TEST_F(AuxHang, ActiveWithStoppedHardwareAndAStaleDisableIsClassC) {
  set<int32_t>(event_->member("state"), 1);
  set<int32_t>(event_->member("oncpu"), 2);
  set<int32_t>(event_->member("hw.state"), 1);
  set<uint32_t>(event_->member("pending_disable"), 2);
  EXPECT_EQ(event_class(judge()), "C");
}

TEST_F(AuxHang, ActiveWithStoppedHardwareAndNothingPendingIsClassB) {
  set<int32_t>(event_->member("state"), 1);
  set<int32_t>(event_->member("oncpu"), 2);
  set<int32_t>(event_->member("hw.state"), 1);
  EXPECT_EQ(event_class(judge()), "B");
}

TEST_F(AuxHang, AWaiterOfAnotherKindIsNamed) {
  const ListWalk queue = list_entries(event_->member("waitq.head"), "struct wait_queue_entry", "entry", 16);
  ASSERT_FALSE(queue.entries.empty());
  // An address that is no function's start: a recording has few names.
  const uint64_t other = queue.entries.front().member("func").u64().value() + 1;
  for (const Object& entry : queue.entries) set<uint64_t>(entry.member("func"), other);
  const Finding finding = judge();
  EXPECT_EQ(finding.verdict, Verdict::kUndetermined);
  EXPECT_NE(finding.summary.find(fmt::format("{:#x}", other)), std::string::npos) << finding.summary;
}

TEST_F(AuxHang, NobodyWaitingIsNoHang) {
  const Object head = event_->member("waitq.head");
  set<uint64_t>(head.member("next"), head.address().value());
  set<uint64_t>(head.member("prev"), head.address().value());
  EXPECT_EQ(judge().verdict, Verdict::kLatent);
}

TEST_F(AuxHang, UnreadInputsAreUndetermined) {
  for (const Object& object :
       {buffer_->member("poll.counter"), event_->member("pending_wakeup"), page().member("aux_head"),
        event_->member("state"), event_->member("total_time_enabled"), buffer_->member("aux_nr_pages")}) {
    PatchedKernel kernel(test::recorded(kHang));
    kernel.memory().take_away(object.address().value(), object.type()->size);
    Diagnosis diagnosis(kernel.patched());
    EXPECT_EQ(finding_of(run_rules(diagnosis, all_rules()), kRule).verdict, Verdict::kUndetermined)
        << object.expression();
  }
}

TEST(AuxHangElsewhere, NotApplicableWithoutAnAuxEvent) {
  PatchedKernel kernel(test::recorded("healthy-6.12.117.vmcore"));
  Diagnosis diagnosis(kernel.patched());
  EXPECT_EQ(finding_of(run_rules(diagnosis, all_rules()), kRule).verdict, Verdict::kNotApplicable);
}

}  // namespace
}  // namespace perfcore
