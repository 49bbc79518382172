// SPDX-License-Identifier: LGPL-2.1-or-later
//
// perf-x86-null-events and perf-x86-state-corruption on real dumps, as they are and with single values
// changed or taken away.
#include <gtest/gtest.h>

#include "analyzers/registry.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

using test::finding_of;
using test::PatchedKernel;

constexpr const char* kNullEvents = "null-events-6.18.12.vmcore";
constexpr const char* kArmed = "throttled-arch-6.18.12.vmcore";
constexpr const char* kHealthy = "healthy-6.12.117.vmcore";
constexpr const char* kLookAlike = "lookalike-corruption-6.12.117.vmcore";
constexpr const char* kRule = "perf-x86-null-events";
constexpr const char* kCorruption = "perf-x86-state-corruption";
constexpr const char* kUnprogrammed = "perf-x86-stopped-migrated-unprogrammed";

std::vector<Finding> triage(Kernel& kernel) {
  Diagnosis diagnosis(kernel);
  return run_rules(diagnosis, all_rules());
}

/// Where things are in the dump with the NULL event: CPU 1, counter 0.
struct NullEventPlaces {
  explicit NullEventPlaces(Kernel& kernel)
      : pmu(kernel.per_cpu("cpu_hw_events", 1)),
        owner(pmu.member("event_list[0]").deref()),
        other(pmu.member("event_list[1]").deref()) {}
  Object pmu, owner, other;
};

uint64_t at(const Object& object) {
  return object.address().value();
}

TEST(NullEvents, ProvenAndTheCauseWhereItKilled) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const auto findings = triage(kernel.patched());
  const Finding& finding = finding_of(findings, kRule);
  EXPECT_EQ(finding.verdict, Verdict::kProven);
  EXPECT_EQ(finding.stage, Stage::kCrashed);
  EXPECT_TRUE(finding.cause_of_crash);
  EXPECT_EQ(finding.cpus, std::vector<int>{1});
  EXPECT_EQ(findings.front().rule, kRule);
  EXPECT_FALSE(finding.explanation.empty());
  EXPECT_EQ(finding_of(findings, kCorruption).verdict, Verdict::kNotApplicable);
  EXPECT_EQ(finding_of(findings, kUnprogrammed).verdict, Verdict::kNotApplicable);
}

TEST(NullEvents, EveryExpressionInTheEvidenceCanBePrinted) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  Kernel& patched = kernel.patched();
  int expressions = 0;
  for (const Finding& finding : triage(patched)) {
    for (const Evidence& evidence : finding.evidence) {
      if (evidence.expression.empty()) continue;
      expressions++;
      const Object object = evaluate(patched, evidence.expression);
      ASSERT_EQ(object.unread(), nullptr) << evidence.expression << ": " << object.unread()->message();
      if (evidence.address) {
        EXPECT_EQ(at(object), *evidence.address) << evidence.expression;
      }
    }
  }
  EXPECT_GT(expressions, 5);
}

TEST(NullEvents, NotTheBugWhenThePointerIsThere) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const NullEventPlaces places(kernel.original());
  kernel.memory().poke(at(places.pmu.member("events[0]")), at(places.owner));
  const auto findings = triage(kernel.patched());
  const Finding& finding = finding_of(findings, kRule);
  EXPECT_EQ(finding.verdict, Verdict::kLatent);
  EXPECT_LE(finding.stage, Stage::kPrimed);
  EXPECT_FALSE(finding.cause_of_crash);
}

TEST(NullEvents, ContradictedWhenNoEventOwnsTheCounter) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const NullEventPlaces places(kernel.original());
  kernel.memory().poke<int32_t>(at(places.owner.member("hw.idx")), 3);
  const auto findings = triage(kernel.patched());
  EXPECT_EQ(finding_of(findings, kRule).verdict, Verdict::kContradicted);
  EXPECT_EQ(finding_of(findings, kRule).stage, Stage::kNone);
  EXPECT_EQ(finding_of(findings, kCorruption).verdict, Verdict::kLikely);
  EXPECT_TRUE(finding_of(findings, kCorruption).cause_of_crash);
}

TEST(NullEvents, ContradictedWhenTwoEventsOwnTheCounter) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const NullEventPlaces places(kernel.original());
  kernel.memory().poke<int32_t>(at(places.other.member("hw.idx")), 0);
  EXPECT_EQ(finding_of(triage(kernel.patched()), kRule).verdict, Verdict::kContradicted);
}

TEST(NullEvents, ContradictedWhenTheOwnerIsStopped) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const NullEventPlaces places(kernel.original());
  kernel.memory().poke<int32_t>(at(places.owner.member("hw.state")), 1);
  EXPECT_EQ(finding_of(triage(kernel.patched()), kRule).verdict, Verdict::kContradicted);
}

TEST(NullEvents, ContradictedWhenTheNeighbourIsGarbage) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const NullEventPlaces places(kernel.original());
  kernel.memory().poke<uint64_t>(at(places.pmu.member("events[1]")), 0x6b6b6b6b6b6b6b6b);
  const auto findings = triage(kernel.patched());
  EXPECT_EQ(finding_of(findings, kRule).verdict, Verdict::kContradicted);
  EXPECT_EQ(finding_of(findings, kCorruption).verdict, Verdict::kLikely);
}

TEST(NullEvents, UndeterminedWhenTheOwnerWasNotSaved) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const NullEventPlaces places(kernel.original());
  kernel.memory().take_away(at(places.owner), places.owner.type()->size);
  const Finding finding = finding_of(triage(kernel.patched()), kRule);
  EXPECT_EQ(finding.verdict, Verdict::kUndetermined);
  EXPECT_GE(finding.stage, Stage::kFired);
  EXPECT_FALSE(finding.cause_of_crash);
  EXPECT_FALSE(finding.not_visible.empty());
}

TEST(NullEvents, UndeterminedWhenCpuHwEventsWasNotSaved) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const NullEventPlaces places(kernel.original());
  kernel.memory().take_away(at(places.pmu), places.pmu.type()->size);
  const Finding finding = finding_of(triage(kernel.patched()), kRule);
  EXPECT_EQ(finding.verdict, Verdict::kUndetermined);
  EXPECT_FALSE(finding.cause_of_crash);
}

TEST(NullEvents, AnotherCpuThatWasNotSavedDoesNotWeakenTheProof) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const Object other = kernel.original().per_cpu("cpu_hw_events", 3);
  kernel.memory().take_away(at(other), other.type()->size);
  const Finding finding = finding_of(triage(kernel.patched()), kRule);
  EXPECT_EQ(finding.verdict, Verdict::kProven);
  EXPECT_TRUE(finding.cause_of_crash);
}

TEST(NullEvents, AtMostLikelyWithoutTheCode) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const auto enable = kernel.original().symbols().find("x86_pmu_enable");
  const auto start = kernel.original().symbols().find("x86_pmu_start");
  ASSERT_TRUE(enable && start);
  kernel.memory().take_away(enable->address, enable->size);
  kernel.memory().take_away(start->address, start->size);
  const Finding finding = finding_of(triage(kernel.patched()), kRule);
  EXPECT_EQ(finding.verdict, Verdict::kLikely);
  EXPECT_EQ(finding.stage, Stage::kCrashed);
}

TEST(NullEvents, ArmedIsProvenButNotTheCauseOfAnotherPanic) {
  PatchedKernel kernel(test::recorded(kArmed));
  const Finding finding = finding_of(triage(kernel.patched()), kRule);
  EXPECT_EQ(finding.verdict, Verdict::kProven);
  EXPECT_EQ(finding.stage, Stage::kArmed);
  EXPECT_FALSE(finding.cause_of_crash);
  EXPECT_EQ(finding.cpus, std::vector<int>{1});
}

TEST(NullEvents, FiredButNotTheCauseWhenTheBitIsSetBeforeAnotherPanic) {
  PatchedKernel kernel(test::recorded(kArmed));
  const Object pmu = kernel.original().per_cpu("cpu_hw_events", 1);
  const Object event = pmu.member("event_list[0]").deref();
  kernel.memory().poke<uint64_t>(at(pmu.member("active_mask[0]")), 3);
  kernel.memory().poke<int32_t>(at(event.member("hw.state")), 0);
  const Finding finding = finding_of(triage(kernel.patched()), kRule);
  EXPECT_EQ(finding.verdict, Verdict::kProven);
  EXPECT_EQ(finding.stage, Stage::kFired);
  EXPECT_FALSE(finding.cause_of_crash);
}

TEST(NullEvents, OnlyPrimedWhileTheThrottledEventStillOwnsItsSlot) {
  PatchedKernel kernel(test::recorded(kArmed));
  const Object pmu = kernel.original().per_cpu("cpu_hw_events", 1);
  kernel.memory().poke(at(pmu.member("events[0]")), at(pmu.member("event_list[0]").deref()));
  const Finding finding = finding_of(triage(kernel.patched()), kRule);
  EXPECT_EQ(finding.verdict, Verdict::kLatent);
  EXPECT_EQ(finding.stage, Stage::kPrimed);
}

TEST(NullEvents, NotApplicableOnAHealthyOldKernel) {
  PatchedKernel kernel(test::recorded(kHealthy));
  const auto findings = triage(kernel.patched());
  for (const char* rule : {kRule, kCorruption, kUnprogrammed}) {
    EXPECT_EQ(finding_of(findings, rule).verdict, Verdict::kNotApplicable) << rule;
    EXPECT_EQ(finding_of(findings, rule).stage, Stage::kNone) << rule;
  }
}

TEST(NullEvents, ContradictedOnAKernelThatCannotProduceTheState) {
  PatchedKernel kernel(test::recorded(kLookAlike));
  const auto findings = triage(kernel.patched());
  EXPECT_EQ(finding_of(findings, kRule).verdict, Verdict::kContradicted);
  EXPECT_EQ(finding_of(findings, kRule).stage, Stage::kNone);
  EXPECT_FALSE(finding_of(findings, kRule).cause_of_crash);
  EXPECT_EQ(finding_of(findings, kCorruption).verdict, Verdict::kLikely);
  EXPECT_EQ(finding_of(findings, kCorruption).stage, Stage::kCrashed);
  EXPECT_TRUE(finding_of(findings, kCorruption).cause_of_crash);
  EXPECT_EQ(finding_of(findings, kCorruption).cpus, std::vector<int>{2});
}

TEST(NullEvents, ThrottledWithHwState7IsLegalOnOldKernels) {
  PatchedKernel kernel(test::recorded(kHealthy));
  // What x86_pmu_enable() leaves on these kernels when it moves a throttled event.
  const Object pmu = kernel.original().per_cpu("cpu_hw_events", 1);
  const Object event = pmu.member("event_list[0]").deref();
  kernel.memory().poke<uint64_t>(at(pmu.member("active_mask[0]")), 0xe);
  kernel.memory().poke<uint64_t>(at(pmu.member("events[0]")), 0);
  kernel.memory().poke<int32_t>(at(event.member("hw.state")), 7);
  kernel.memory().poke<uint64_t>(at(event.member("hw.interrupts")), ~uint64_t{0});
  const auto findings = triage(kernel.patched());
  EXPECT_EQ(finding_of(findings, kRule).verdict, Verdict::kNotApplicable);
  EXPECT_EQ(finding_of(findings, kCorruption).verdict, Verdict::kNotApplicable);
}

TEST(StateCorruption, ASingleBitFlipIsNamed) {
  PatchedKernel kernel(test::recorded(kHealthy));
  const Object slot = kernel.original().per_cpu("cpu_hw_events", 1).member("events[2]");
  kernel.memory().poke(at(slot), slot.u64().value() ^ (uint64_t{1} << 50));
  const Finding finding = finding_of(triage(kernel.patched()), kCorruption);
  EXPECT_EQ(finding.verdict, Verdict::kLikely);
  EXPECT_EQ(finding.stage, Stage::kFired);
  EXPECT_FALSE(finding.cause_of_crash);
  const auto flip = std::any_of(finding.evidence.begin(), finding.evidence.end(), [](const Evidence& e) {
    return e.observed.find("single-bit flip") != std::string::npos;
  });
  EXPECT_TRUE(flip);
}

TEST(StateCorruption, ImpossibleCountsAreOnlyPossible) {
  PatchedKernel kernel(test::recorded(kHealthy));
  const Object pmu = kernel.original().per_cpu("cpu_hw_events", 0);
  kernel.memory().poke<int32_t>(at(pmu.member("n_added")), 5);
  const Finding finding = finding_of(triage(kernel.patched()), kCorruption);
  EXPECT_EQ(finding.verdict, Verdict::kPossible);
}

TEST(StateCorruption, CountersThatThePmuLacksAreReported) {
  PatchedKernel kernel(test::recorded(kHealthy));
  const Object pmu = kernel.original().per_cpu("cpu_hw_events", 0);
  kernel.memory().poke<uint64_t>(at(pmu.member("events[20]")), pmu.member("event_list[0]").u64().value());
  const Finding finding = finding_of(triage(kernel.patched()), kCorruption);
  EXPECT_EQ(finding.verdict, Verdict::kLikely);
  EXPECT_NE(std::get<std::string>(finding.facts.at("violated")).find("C-05"), std::string::npos);
}

}  // namespace
}  // namespace perfcore
