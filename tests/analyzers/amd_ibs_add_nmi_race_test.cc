// SPDX-License-Identifier: LGPL-2.1-or-later
//
// amd-ibs-add-nmi-race on the dump of an NMI inside perf_ibs_start(), and with single values changed.
#include <gtest/gtest.h>

#include <algorithm>

#include "analyzers/registry.h"
#include "perfcore/code.h"
#include "perfcore/ibs.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

using test::finding_of;
using test::PatchedKernel;

constexpr const char* kRace = "ibs-race-6.12.117.vmcore";
constexpr const char* kRule = "amd-ibs-add-nmi-race";

class IbsRace : public testing::Test {
 protected:
  IbsRace() : kernel_(test::recorded(kRace)) {}

  Finding judge() {
    Diagnosis diagnosis(kernel_.patched());
    return finding_of(run_rules(diagnosis, all_rules()), kRule);
  }
  /// The state of a flavour on a CPU that has no IBS event and is not changing anything.
  Object idle_state() {
    Diagnosis diagnosis(kernel_.original());
    for (const IbsPmu& pmu : ibs_pmus(kernel_.original()))
      for (const int cpu : diagnosis.pmu().cpus().value()) {
        const Object pcpu = pmu.pcpu(cpu);
        if (pcpu.member("event").u64().is(uint64_t{0}) && pcpu.member("state[0]").u64().is(uint64_t{0}) &&
            !diagnosis.stack(cpu).contains("perf_ibs_start"))
          return pcpu.member("state[0]");
      }
    ADD_FAILURE() << "every CPU has IBS events";
    return kernel_.original().variable("ibs_caps");
  }

  PatchedKernel kernel_;
};

TEST_F(IbsRace, ProvenByTheNmiInsideTheWindow) {
  const Finding finding = judge();
  EXPECT_EQ(finding.verdict, Verdict::kProven);
  EXPECT_EQ(finding.stage, Stage::kCrashed);
  EXPECT_EQ(std::get<std::string>(finding.facts.at("kind")), "nmi-inside-start");
  ASSERT_FALSE(finding.references.empty());
  EXPECT_EQ(finding.references.front().id, "1b044ff3c17e");
}

TEST_F(IbsRace, NotProvenWhereTheStackCannotBeRead) {
  Diagnosis diagnosis(kernel_.original());
  const Stack& stack = diagnosis.crash().stack;
  ASSERT_FALSE(stack.frames.empty());
  for (const Frame& frame : stack.frames)
    if (frame.function == "perf_ibs_start" && frame.registers_address)
      kernel_.memory().take_away(frame.registers_address, 168);
  EXPECT_NE(judge().verdict, Verdict::kProven);
}

TEST_F(IbsRace, NotApplicableWhereTheCodeDisablesFirst) {
  // As in the fix, an MSR is written before IBS_STARTED is set: over the NOP that ftrace keeps at the entry.
  const auto code = decode_function(kernel_.original(), "perf_ibs_start");
  ASSERT_TRUE(code.has_value());
  const auto nop = std::find_if(code->begin(), code->end(),
                                [](const Instruction& i) { return i.mnemonic == "nop" && i.length == 5; });
  ASSERT_NE(nop, code->end());
  const uint8_t wrmsr[] = {0x0f, 0x30, 0x0f, 0x1f, 0x00};
  kernel_.memory().write(nop->address, wrmsr, sizeof wrmsr);
  EXPECT_EQ(judge().verdict, Verdict::kNotApplicable);
}

TEST_F(IbsRace, NotApplicableWithoutIbs) {
  kernel_.memory().poke<uint32_t>(kernel_.original().variable("ibs_caps").address().value(), 0);
  EXPECT_EQ(judge().verdict, Verdict::kNotApplicable);
}

TEST_F(IbsRace, ImpossibleStateAtRestIsEvidence) {
  const Object state = idle_state();
  const auto evidence = [&](uint64_t bits) {
    kernel_.memory().poke<uint64_t>(state.address().value(), bits);
    const Finding finding = judge();
    return std::count_if(finding.evidence.begin(), finding.evidence.end(), [](const Evidence& e) {
      return e.claim.find("impossible state") != std::string::npos;
    });
  };
  const auto before = evidence(0);
  EXPECT_EQ(evidence(1), before + 1) << "ENABLED without an event";
  EXPECT_EQ(evidence(2), before + 1) << "STARTED without an event";
  EXPECT_EQ(evidence(4), before) << "STOPPING is left behind legally";
}

TEST_F(IbsRace, UnreadStateIsSaid) {
  const Object state = idle_state();
  kernel_.memory().take_away(state.address().value(), 8);
  const Finding finding = judge();
  EXPECT_EQ(finding.verdict, Verdict::kProven) << "the stack alone proves it";
  EXPECT_GT(finding.not_visible.size(), 1U);
}

TEST(IbsRaceElsewhere, NothingOnHealthyDumps) {
  for (const char* dump : {"healthy-6.1.192.vmcore", "healthy-6.12.117.vmcore", "healthy-7.2.12.vmcore"}) {
    PatchedKernel kernel(test::recorded(dump));
    Diagnosis diagnosis(kernel.patched());
    const auto findings = run_rules(diagnosis, all_rules());
    const Finding& finding = finding_of(findings, kRule);
    EXPECT_TRUE(finding.verdict == Verdict::kLatent || finding.verdict == Verdict::kNotApplicable) << dump;
  }
}

}  // namespace
}  // namespace perfcore
