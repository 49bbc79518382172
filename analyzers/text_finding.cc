// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzers/text_finding.h"

#include <algorithm>

#include "analyzers/pmu_evidence.h"

namespace perfcore {

std::optional<Finding> text_finding(const ConsoleReport& report, const TextSymptom& symptom) {
  std::string why;
  if (std::none_of(symptom.match.begin(), symptom.match.end(),
                   [&](const CrashSignature& signature) { return matches(signature, report, &why); }))
    return std::nullopt;
  const auto release = upstream_release(report.kernel, "");
  if (release && !symptom.affected.empty() && !in_any(*release, symptom.affected)) return std::nullopt;
  Finding finding;
  finding.stage = Stage::kCrashed;
  finding.summary = symptom.summary;
  if (report.cpu) finding.cpus = {static_cast<int>(*report.cpu)};
  finding.evidence.push_back(plain_evidence("the kernel died where this defect kills", why, "its symptom",
                                            EvidenceResult::kSupports, 0));
  if (!symptom.affected.empty())
    finding.evidence.push_back(plain_evidence(
        "the kernel's release has the defect", report.kernel.empty() ? "not in the text" : report.kernel,
        "an affected upstream release", release ? EvidenceResult::kSupports : EvidenceResult::kUndetermined,
        0));
  finding.not_visible.push_back("the kernel's code and memory, which decide: text holds none of them");
  finding.remedy.push_back(
      "Give the vmcore of this crash to perfcore triage; without one, make the next crash leave one "
      "(kdump).");
  return finding;
}

std::vector<Finding> text_findings(const ConsoleReport& report, std::span<const RuleInfo> rules) {
  std::vector<Finding> findings;
  for (const RuleInfo& rule : rules) {
    auto finding = rule.of_text ? rule.of_text(report) : std::nullopt;
    if (!finding) continue;
    finding->rule = rule.id;
    finding->title = rule.title;
    findings.push_back(std::move(*finding));
  }
  return findings;
}

}  // namespace perfcore
