// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// How well a kernel is known: what each rule asks it for by name, and what the kernel calls it.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "perfcore/diagnosis.h"
#include "perfcore/kernel.h"

namespace perfcore {

/// A type, member or symbol that a rule needed.
struct NameNeed {
  enum class Kind { kType, kMember, kSymbol };
  Kind kind = Kind::kType;
  std::string
      name;  ///< "struct perf_event", "struct x86_pmu.cntr_mask64", "cpu_hw_events"; newest name first
  std::string found_as;  ///< the name in this kernel; empty where it has none
};
std::string_view to_string(NameNeed::Kind kind);  ///< "type", "member", "symbol"

struct RuleCompatibility {
  std::string rule;
  std::string not_run;  ///< why the rule cannot run on this kernel at all; empty where it can
  std::vector<NameNeed>
      needs;  ///< by kind, then by name; names of the same thing in several releases are one
};

/// Runs each rule on a kernel of its own and watches what it asks for. What a rule asks depends on the state
/// that it finds: a dump with perf events shows more needs than one without.
/// \param open  gives a newly opened kernel with KernelOptions::record set
std::vector<RuleCompatibility> compatibility_of(const std::function<std::unique_ptr<Kernel>()>& open,
                                                std::span<const RuleInfo> rules);

}  // namespace perfcore
