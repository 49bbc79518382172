// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The catalogue: causes of crashes that are known from elsewhere and recognised by their symptom. One file
/// of catalogue/ each; analyzers/catalogue/README.md tells the format. They are built into the program.
///
/// An entry is weaker than a rule: it says that a crash looks like a known one, never that it is. Its verdict
/// is `possible` at most, and it takes no part in findings or exit codes.
#pragma once

#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "analyzers/releases.h"
#include "perfcore/diagnosis.h"
#include "perfcore/report.h"

namespace perfcore {

/// A state of the crash that an entry explains. All its conditions must hold. Function patterns are names as
/// in the source (".isra.0" and the like are ignored), or a beginning followed by '*'.
struct CrashSignature {
  std::vector<std::string> classes;    ///< CrashState::crash_class is one of these; never empty
  std::vector<std::string> functions;  ///< CrashState::function is one of these; empty: any
  std::vector<std::string> stack_all;  ///< all are on the crashing stack
  std::vector<std::string> stack_any;  ///< one of them is; empty: nothing asked
  std::vector<std::string> log_any;    ///< a record of the log contains one of them; empty: nothing asked

  /// Without a part of the code the entry rests on its checks of memory alone, and is left out unless they
  /// hold.
  bool names_code() const { return !functions.empty() || !stack_all.empty() || !stack_any.empty(); }
};

/// A claim about memory. `{cpu}`, `{task}` and `{event}` in the expression stand for the crashed CPU's number
/// (or each CPU's), the task that ran on it, and each perf event.
struct StateCheck {
  enum class Over { kKernel, kCrashedCpu, kAnyCpu, kAnyEvent };
  std::string claim;
  std::string expression;  ///< of evaluate(); holds when not 0
  Over over = Over::kKernel;
  std::string description;  ///< claim and expression
  bool required = true;     ///< false: where it does not hold the entry stands all the same
};

/// A crash as the entry describes it, for its test.
struct CrashExample {
  std::string crash_class;
  std::string function;
  std::vector<std::string> stack;  ///< innermost first
  std::vector<std::string> log;
  std::string release;            ///< of an affected kernel; may be empty
  std::vector<std::string> also;  ///< ids of other entries that look the same
};

struct CatalogueEntry {
  std::string file;  ///< "D-01-amd-enable-all-null.json"
  std::string id;    ///< "D-01"
  std::string title;
  std::string summary;                        ///< one line
  std::string why;                            ///< the mechanism, in words
  Certainty certainty = Certainty::kUnknown;  ///< of the mechanism
  std::string source;
  std::string vendor;                 ///< "AuthenticAMD", "GenuineIntel"; empty: any
  std::vector<CrashSignature> match;  ///< one of them suffices
  std::vector<StateCheck> checks;
  /// Upstream releases that may have the defect; empty: not known. Where the release of a fix is not known it
  /// is as wide as possible.
  std::vector<ReleaseRange> affected;
  std::vector<KnownFact> kernels;
  std::vector<KnownCommit> references;
  std::vector<std::string> remedy;
  std::vector<CrashExample> examples;
};

/// A file of the catalogue is wrong; what() is "FILE:LINE: what is wrong".
class CatalogueError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws CatalogueError.
CatalogueEntry parse_catalogue_entry(std::string_view file, std::string_view text);

/// All entries by id, parsed at the first call. Lives as long as the program.
std::span<const CatalogueEntry> catalogue();
/// At least the entries that can match a crash of this class, and few others: parsing all of them costs a
/// seventh of a triage.
std::vector<CatalogueEntry> catalogue_about(std::string_view crash_class);

/// What `perfcore rules ID` shows.
RuleKnowledge knowledge_of(const CatalogueEntry& entry);

/// Does the crash look like this? Unread when at least one condition holds, none fails, and one could not be
/// decided: a stack or a log that is missing. \param why in words, set when it is not false
Reading<bool> matches(const CrashSignature& signature, const CrashState& crash, const KernelLog& log,
                      std::string* why);

/// The same for a report of console text. Frames that the kernel was not sure of are not in a report, so that
/// a stack which does not hold a function does not match.
bool matches(const CrashSignature& signature, const ConsoleReport& report, std::string* why);

/// An entry whose symptom is that of this crash.
struct KnownCause {
  const CatalogueEntry* entry = nullptr;
  Verdict verdict = Verdict::kUndetermined;  ///< possible, or undetermined when a check could not be made
  std::string why;                           ///< what matched, and what could not be checked
  bool supported = false;                    ///< a check of memory holds
};

/// The entries that this crash may be an instance of, those with support in memory first. An entry is left
/// out when a required check fails, when the CPU is another vendor's, or when the upstream release is known
/// not to be affected. When `findings` holds the cause of the crash (proven or likely), only entries that
/// memory supports remain: the symptom is explained already, and what merely shares the functions on the
/// stack would bury the answer.
std::vector<KnownCause> known_causes(Diagnosis& diagnosis, std::span<const CatalogueEntry> entries,
                                     std::span<const Finding> findings);

/// The same for a report of console text, where no check of memory can be made: entries that rest on one are
/// left out.
std::vector<KnownCause> known_causes(const ConsoleReport& report);

}  // namespace perfcore
