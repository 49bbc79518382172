// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Between what a rule knows (RuleKnowledge) and what it puts into a finding, so that both have one source.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "analyzers/releases.h"
#include "perfcore/diagnosis.h"

namespace perfcore {

/// The references of a finding.
std::vector<Reference> references_of(const std::vector<KnownCommit>& commits);

/// "6.18.2 - 6.18.19; 6.19 - 6.19.9".
std::string words_for(std::span<const ReleaseRange> ranges);

}  // namespace perfcore
