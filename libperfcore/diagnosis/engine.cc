// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <exception>
#include <tuple>

#include "perfcore/diagnosis.h"

namespace perfcore {
namespace {

/// Empty when the kernel has what the rule needs, else what is missing.
std::string missing_needs(Kernel& kernel, const RuleNeeds& needs) {
  for (const std::string& type : needs.types)
    if (!kernel.type(type)) return type;
  for (const std::string& symbol : needs.symbols)
    if (!kernel.symbols().find(symbol) && !kernel.types().percpu_offset(symbol))
      return "symbol " + symbol + (kernel.symbols().unknown(symbol) ? ", which was not recorded," : "");
  return "";
}

Finding not_run(const RuleInfo& rule, std::string why) {
  Finding finding;
  finding.verdict = Verdict::kUndetermined;
  finding.summary = std::move(why);
  finding.not_visible.push_back(finding.summary);
  finding.rule = rule.id;
  finding.title = rule.title;
  return finding;
}

/// Lower comes first.
int importance(Verdict verdict) {
  switch (verdict) {
    case Verdict::kProven:
      return 0;
    case Verdict::kLikely:
      return 1;
    case Verdict::kPossible:
      return 2;
    case Verdict::kUndetermined:
      return 3;
    case Verdict::kLatent:
      return 4;
    case Verdict::kContradicted:
      return 5;
    case Verdict::kNotApplicable:
      return 6;
  }
  return 7;
}

}  // namespace

std::vector<Finding> run_rules(Diagnosis& diagnosis, std::span<const RuleInfo> rules) {
  std::vector<Finding> findings;
  for (const RuleInfo& rule : rules) {
    if (const std::string missing = missing_needs(diagnosis.kernel(), rule.needs); !missing.empty()) {
      findings.push_back(not_run(rule, "not run: " + missing + " is missing"));
      continue;
    }
    try {
      Finding finding = rule.run(diagnosis);
      finding.rule = rule.id;
      finding.title = rule.title;
      int score = 0;
      for (const Evidence& evidence : finding.evidence)
        if (evidence.result == EvidenceResult::kSupports) score += evidence.weight;
      finding.score = std::clamp(score, 0, 100);
      findings.push_back(std::move(finding));
    } catch (const std::exception& error) {
      findings.push_back(not_run(rule, std::string("failed: ") + error.what()));
    }
  }
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
    const auto key = [](const Finding& f) {
      return std::tuple(!f.cause_of_crash, importance(f.verdict), -static_cast<int>(f.stage), -f.score);
    };
    return key(a) < key(b);
  });
  return findings;
}

}  // namespace perfcore
