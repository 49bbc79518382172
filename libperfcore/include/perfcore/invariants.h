// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// An fsck for PMU state: what must hold of struct cpu_hw_events, of perf events, contexts and buffers, and
/// of what they depend on, checked on every CPU of a dead (or live) kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/diagnosis.h"

namespace perfcore {

enum class InvariantStatus {
  kOk,
  /// It does not hold, and the stack of the CPU says why that is legal: the CPU was just changing this state.
  kTransient,
  kViolated,
  kNotRead,       ///< what it needs could not be read (or not judged, because of another violation)
  kNotApplicable  ///< there is nothing here that it could be about
};
std::string_view to_string(
    InvariantStatus status);  ///< "ok" "transient" "violated" "not-read" "not-applicable"

enum class Severity {
  kFatal,    ///< explains or precedes an oops
  kError,    ///< state is corrupt, or a defect of the kernel
  kWarning,  ///< wrong data
  kInfo
};
std::string_view to_string(Severity severity);  ///< "F", "E", "W", "I"

/// What is known of one invariant.
struct InvariantInfo {
  std::string_view id;  ///< "C-01"
  Severity severity = Severity::kInfo;
  std::string_view predicate;  ///< in words, with the kernel's names
  std::string_view suggests;   ///< what a violation points to
  /// Invariants that a violation of this one can break as well, by their own definition; space-separated.
  std::string_view implies;
};

/// All of them, by id.
std::span<const InvariantInfo> invariants();
/// nullptr when there is none of this id.
const InvariantInfo* find_invariant(std::string_view id);

/// One answer: of one invariant on one CPU. There are several for one pair where several values break it.
struct InvariantResult {
  std::string id;
  std::optional<int> cpu;  ///< nullopt: about the whole kernel, or about what belongs to no CPU
  InvariantStatus status = InvariantStatus::kOk;
  Severity severity = Severity::kInfo;
  std::string expression;  ///< as `perfcore print` accepts it; empty where no single value is meant
  std::optional<uint64_t> address;
  std::string observed;  ///< the value of the expression; empty without one
  std::string why;       ///< what is wrong with it, why it is legal all the same, or why it is not known
};

/// Checks all invariants on every present CPU. Per-CPU invariants have at least one result for each present
/// CPU, the others at least one without a CPU. Ordered by id, then CPU. Never throws on bad memory; an
/// invariant whose check fails otherwise is kNotRead and says so.
std::vector<InvariantResult> check_invariants(Diagnosis& diagnosis);

}  // namespace perfcore
