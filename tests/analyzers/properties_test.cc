// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What holds of every verdict: CPUs that change places and addresses that move change none of them, pages
// that are taken away only weaken them.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "analyzers/registry.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

using test::finding_of;
using test::PatchedKernel;

std::vector<Finding> triage(Kernel& kernel) {
  Diagnosis diagnosis(kernel);
  return run_rules(diagnosis, all_rules());
}

bool is_positive(const Finding& finding) {
  return finding.verdict == Verdict::kProven || finding.verdict == Verdict::kLikely;
}

/// What speaks for it; not capped as the score is.
int support(const Finding& finding) {
  int sum = 0;
  for (const Evidence& evidence : finding.evidence)
    if (evidence.result == EvidenceResult::kSupports) sum += evidence.weight;
  return sum;
}

/// The same but for the numbers of CPUs and for addresses.
void expect_same(const std::vector<Finding>& before, const std::vector<Finding>& after) {
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); i++) {
    SCOPED_TRACE(before[i].rule);
    EXPECT_EQ(after[i].rule, before[i].rule);
    EXPECT_EQ(after[i].verdict, before[i].verdict);
    EXPECT_EQ(after[i].stage, before[i].stage);
    EXPECT_EQ(after[i].cause_of_crash, before[i].cause_of_crash);
    EXPECT_EQ(after[i].score, before[i].score);
    EXPECT_EQ(after[i].evidence.size(), before[i].evidence.size());
  }
}

class Properties : public testing::TestWithParam<const char*> {};

TEST_P(Properties, CpusThatChangePlacesChangeNothing) {
  PatchedKernel kernel(test::recorded(GetParam()));
  const auto before = triage(kernel.patched());
  for (const auto& [a, b] : {std::pair(0, 1), std::pair(1, 2), std::pair(0, 3)}) {
    PatchedKernel other(test::recorded(GetParam()));
    const auto cpus = other.original().present_cpus();
    ASSERT_TRUE(cpus.has_value());
    if (std::count(cpus->begin(), cpus->end(), b) == 0) continue;
    SCOPED_TRACE("CPUs " + std::to_string(a) + " and " + std::to_string(b));
    other.swap_cpus(a, b);
    const auto after = triage(other.patched());
    expect_same(before, after);
    for (const Finding& finding : before) {
      std::vector<int> moved = finding.cpus;
      for (int& cpu : moved) cpu = cpu == a ? b : cpu == b ? a : cpu;
      std::sort(moved.begin(), moved.end());
      EXPECT_EQ(finding_of(after, finding.rule).cpus, moved) << finding.rule;
    }
  }
}

TEST_P(Properties, AddressesThatMoveChangeNothing) {
  PatchedKernel kernel(test::recorded(GetParam()));
  const auto before = triage(kernel.patched());
  constexpr uint64_t kBy = uint64_t{3} << 30;
  kernel.move_direct_map(kBy);
  const auto after = triage(kernel.patched());
  expect_same(before, after);
  for (const Finding& finding : before) {
    const Finding& moved = finding_of(after, finding.rule);
    EXPECT_EQ(moved.cpus, finding.cpus) << finding.rule;
    for (size_t i = 0; i < finding.evidence.size() && i < moved.evidence.size(); i++) {
      const auto address = finding.evidence[i].address;
      if (!address) continue;
      EXPECT_TRUE(moved.evidence[i].address == address || moved.evidence[i].address == *address + kBy)
          << finding.evidence[i].claim;
    }
  }
}

/// Every page that the triage reads, one at a time.
TEST_P(Properties, PagesThatAreTakenAwayOnlyWeaken) {
  PatchedKernel kernel(test::recorded(GetParam()));
  const auto whole = triage(kernel.patched());
  const std::set<uint64_t> pages = kernel.memory().pages_read();
  ASSERT_GT(pages.size(), 50u);
  size_t weakened = 0;
  for (const uint64_t page : pages) {
    SCOPED_TRACE(testing::Message() << "page " << std::hex << page);
    PatchedKernel other(test::recorded(GetParam()));
    other.memory().take_away(page, kPageSize);
    const auto findings = triage(other.patched());
    for (const Finding& before : whole) {
      SCOPED_TRACE(before.rule);
      const Finding& after = finding_of(findings, before.rule);
      if (is_positive(after)) {
        EXPECT_TRUE(is_positive(before));
        EXPECT_GE(after.verdict, before.verdict);
        EXPECT_LE(after.stage, before.stage);
      }
      EXPECT_LE(after.cause_of_crash, before.cause_of_crash);
      if (after.verdict == Verdict::kUndetermined && before.verdict != Verdict::kUndetermined) {
        EXPECT_FALSE(after.not_visible.empty()) << "it is not said what was missing";
      }
      if (!is_positive(before)) continue;
      const bool rests_on_it =
          std::any_of(before.evidence.begin(), before.evidence.end(), [&](const Evidence& evidence) {
            return evidence.address && (*evidence.address & ~(kPageSize - 1)) == page &&
                   evidence.result == EvidenceResult::kSupports && evidence.weight > 0;
          });
      if (!rests_on_it) continue;
      EXPECT_TRUE(after.verdict > before.verdict || after.stage < before.stage ||
                  support(after) < support(before));
      weakened++;
    }
  }
  if (std::any_of(whole.begin(), whole.end(), is_positive)) {
    EXPECT_GT(weakened, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Dumps, Properties,
                         testing::Values("null-events-6.18.12.vmcore", "throttled-arch-6.18.12.vmcore",
                                         "ibs-race-6.12.117.vmcore", "aux-hang-6.12.117.vmcore",
                                         "lookalike-corruption-6.12.117.vmcore", "healthy-6.1.192.vmcore",
                                         "healthy-6.12.117.vmcore", "healthy-7.2.12.vmcore"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           name.resize(name.size() - sizeof(".vmcore") + 1);
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace perfcore
