// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What a rule can say of console text. Text holds no memory, so that it never decides: it shows that the
/// kernel died where the defect kills.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analyzers/catalogue.h"
#include "analyzers/releases.h"
#include "perfcore/diagnosis.h"
#include "perfcore/report.h"

namespace perfcore {

/// How a defect shows in a log.
struct TextSymptom {
  std::vector<CrashSignature> match;       ///< one of them suffices
  std::span<const ReleaseRange> affected;  ///< upstream releases that have the defect; empty: not asked
  std::string summary;                     ///< "the kernel died in the PMI handler as it does of ..."
};

/// An undetermined finding at stage crashed, without what is the same in all findings of the rule: its name,
/// title and references. nullopt when the symptom is
/// another one, or the report names an upstream release that does not have the defect.
std::optional<Finding> text_finding(const ConsoleReport& report, const TextSymptom& symptom);

/// The findings of all rules that have something to say of text.
std::vector<Finding> text_findings(const ConsoleReport& report, std::span<const RuleInfo> rules);

}  // namespace perfcore
