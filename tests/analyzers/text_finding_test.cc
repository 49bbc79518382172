// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What rules say of console text: that it is their symptom, and never more.
#include "analyzers/text_finding.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "analyzers/registry.h"

namespace perfcore {
namespace {

std::vector<Finding> findings_of(const std::string& text) {
  const auto reports = parse_console(text);
  EXPECT_EQ(reports.size(), 1u) << text;
  return reports.empty() ? std::vector<Finding>() : text_findings(reports.front(), all_rules());
}

std::string oops(std::string_view release, std::string_view function, std::string_view under_it) {
  return fmt::format(
      "BUG: kernel NULL pointer dereference, address: 0000000000000208\n"
      "Oops: Oops: 0000 [#1] SMP NOPTI\n"
      "CPU: 1 UID: 0 PID: 77 Comm: worker Not tainted {} #1\n"
      "RIP: 0010:{}+0x2c/0x90\n"
      "Call Trace:\n"
      " <NMI>\n"
      "{}"
      " </NMI>\n"
      "---[ end trace 0000000000000000 ]---\n",
      release, function, under_it);
}

constexpr std::string_view kPmi =
    " amd_pmu_v2_handle_irq+0x1a0/0x380\n perf_event_nmi_handler+0x2a/0x50\n nmi_handle+0x59/0x110\n";

TEST(TextFinding, OfAFaultInThePmiHandlerTheRuleIsASuspect) {
  const auto findings = findings_of(oops("6.18.12+deb13-amd64", "x86_perf_event_update", kPmi));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].rule, "perf-x86-null-events");
  EXPECT_EQ(findings[0].verdict, Verdict::kUndetermined);
  EXPECT_FALSE(findings[0].cause_of_crash);
  EXPECT_EQ(findings[0].cpus, std::vector<int>{1});
  EXPECT_FALSE(findings[0].not_visible.empty());
  EXPECT_FALSE(findings[0].references.empty());
  ASSERT_EQ(findings[0].evidence.size(), 2u);
  EXPECT_EQ(findings[0].evidence[1].result, EvidenceResult::kSupports);
}

TEST(TextFinding, NotOfAReleaseWithoutTheDefect) {
  EXPECT_TRUE(findings_of(oops("6.12.40", "x86_perf_event_update", kPmi)).empty());
  EXPECT_TRUE(findings_of(oops("6.18.30", "x86_perf_event_update", kPmi)).empty());
}

TEST(TextFinding, AnUnknownReleaseIsUndetermined) {
  const auto findings = findings_of(oops("5.14.0-503.el9.x86_64", "x86_perf_event_update", kPmi));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].evidence[1].result, EvidenceResult::kUndetermined);
}

TEST(TextFinding, NotOfAFaultElsewhereOrOutsideOfThePmi) {
  EXPECT_TRUE(findings_of(oops("6.18.12", "__perf_event_overflow", kPmi)).empty());
  EXPECT_TRUE(findings_of(oops("6.18.12", "x86_perf_event_update", " x86_pmu_read+0x5/0x10\n")).empty());
}

TEST(TextFinding, OfAnNmiInsidePerfIbsStartTheRaceIsASuspect) {
  const auto findings =
      findings_of(oops("6.12.40", "__perf_event_overflow",
                       " perf_ibs_handle_irq+0x4a0/0xa00\n perf_ibs_nmi_handler+0x38/0x60\n"
                       " nmi_handle+0x59/0x110\n </NMI>\n <TASK>\n perf_ibs_start+0xa4/0x200\n"
                       " perf_ibs_add+0x4b/0x60\n <NMI>\n"));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].rule, "amd-ibs-add-nmi-race");
}

}  // namespace
}  // namespace perfcore
