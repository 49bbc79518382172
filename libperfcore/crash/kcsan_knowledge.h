// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What is known of data races: by kind of data, and by field where perf is concerned. Tables only; the
/// classifier takes the first entry that fits.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crash/kcsan_traits.h"
#include "perfcore/kcsan.h"

namespace perfcore {

/// The answer of an entry.
struct KcsanAnswer {
  KcsanLabel label;
  bool confident;
  std::string_view reason;
  std::string_view consequence;
  std::string_view suggestion;
};

/// Races by kind of data. Fits when one side has all of `one`, the other all of `other`, and neither has any
/// of `never` (each set includes the traits of the value and the pair).
struct KcsanIdiom {
  std::string_view name;
  TraitSet one;
  TraitSet other;
  TraitSet never;
  KcsanAnswer answer;
};

/// Races on perf's own fields.
struct KcsanField {
  enum class Cpus : uint8_t { kAny, kSame, kDifferent };

  std::string_view name;
  /// "struct.member" patterns separated by spaces, for reports that name the field.
  std::string_view fields;
  /// For reports that do not: patterns, separated by spaces, of functions at the access. One side must match
  /// `one`, the other `other`; where these are empty the entry is only found by field.
  std::string_view one = {};
  std::string_view other = {};
  uint64_t size = 0;       ///< of the member in bytes; 0: any
  Cpus cpus = Cpus::kAny;  ///< on which CPUs the two sides ran
  TraitSet never = {};     ///< found by function: what shows that another member is meant
  bool functions_suffice =
      false;  ///< the functions touch only this data in this way, so the answer is as sure
  KcsanAnswer answer;
};

/// In order of precedence; perf's fields come before the idioms.
std::span<const KcsanField> kcsan_fields();
std::span<const KcsanIdiom> kcsan_idioms();

}  // namespace perfcore
