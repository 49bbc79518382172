// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Signatures: what crashes of one bug have in common, as one short identifier. Three levels: the class of
/// the crash, its cause (a rule that explains it, else the guilty function), and abstract facts that the rule
/// declares. No address, CPU, task, index or count enters one, so that the same bug on another machine has
/// the same identifier, and a crash has the same one as vmcore, minimal dump, recording or console text.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/crash.h"
#include "perfcore/diagnosis.h"
#include "perfcore/report.h"

namespace perfcore {

/// Changes whenever the same crash may get another identifier. Part of what is hashed.
inline constexpr int kSignatureSchema = 1;

/// Another identifier under which related crashes are found. For searching, never for merging.
struct RelatedSignature {
  std::string id;
  std::string level;  ///< "function" (class and guilty function), "frames" (class and three frames), "rule"
                      ///< (the rule without its facts), "log" (what the text of the log alone gives)
  std::string cause;  ///< as Signature::cause
};

struct Signature {
  int schema = kSignatureSchema;
  std::string id;           ///< "pc1-" and 16 characters of base32; with "~partial" when a fact is unknown
  std::string crash_class;  ///< of kCrashClasses
  /// "perf-aux-poll-hang/A'", "stack:ext4_readdir", "title:..." without a function. Where a rule may explain
  /// the crash and not all of it could be read, both: "perf-x86-null-events|stack:x86_pmu_handle_irq".
  std::string cause;
  /// "name=value", sorted; the value is "?" where it could not be read. "class=?": only that the kernel
  /// panicked is known.
  std::vector<std::string> facts;
  bool partial = false;  ///< a fact is "?", the cause is one of several, or the text it comes from is damaged
  std::string title;               ///< for people; not hashed
  std::vector<RelatedSignature> related;
  std::map<std::string, std::string>
      facets;                    ///< kept and shown, not hashed: "frames", "vendor", "module", ...
  std::vector<std::string> why;  ///< why this bucket, and what would make it another one
};

/// The signature of a crash of which there is a dump.
/// \param rules    those that gave the findings: what of their facts is in the key
/// \param reports  the reports in the dump's log; may be empty
/// \param vendor   of the CPU, a facet; may be empty
Signature sign(const CrashState& crash, std::span<const Finding> findings, std::span<const RuleInfo> rules,
               std::span<const ConsoleReport> reports, std::string_view vendor = {});

/// The signature of a crash of which there is only text.
Signature sign(const ConsoleReport& report);

/// Adds the id of the bucket that a crash of this rule would be in, where text can only suspect it.
void relate_to_rule(Signature* signature, const std::string& rule);

/// Gives a signature with class, cause and facts the id and schema of this version: for those that were
/// stored.
void identify(Signature* signature);

/// Whether a partial signature may be one of a crash with the complete one: all that it knows is the same.
/// Two equal signatures are compatible.
bool compatible(const Signature& partial, const Signature& complete);

}  // namespace perfcore
