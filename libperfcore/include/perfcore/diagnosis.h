// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Rules, the evidence they find, and the engine that runs them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "perfcore/crash.h"
#include "perfcore/kcsan.h"
#include "perfcore/kernel.h"
#include "perfcore/log.h"
#include "perfcore/perf_events.h"
#include "perfcore/pmu.h"
#include "perfcore/reading.h"
#include "perfcore/unwind.h"

namespace perfcore {

/// "Is this defect here?"
enum class Verdict {
  kProven,  ///< a state that only this defect can produce, in a kernel whose code has it, all of it read
  kLikely,
  kPossible,
  kLatent,         ///< the code is vulnerable, no bad state
  kContradicted,   ///< the state is there, but something rules this defect out
  kNotApplicable,  ///< no such state, and the code is not in this kernel or is fixed, or the hardware is
                   ///< absent
  kUndetermined,   ///< what it needs could not be read
};
std::string_view to_string(Verdict verdict);  ///< "proven", ..., "not-applicable", "undetermined"

/// "How far has it got?"
enum class Stage { kNone, kLatent, kPrimed, kArmed, kFired, kCrashed };
std::string_view to_string(Stage stage);

enum class EvidenceResult { kSupports, kContradicts, kUndetermined };
std::string_view to_string(EvidenceResult result);

struct Evidence {
  std::string claim;       ///< in words
  std::string expression;  ///< as `perfcore print` accepts it; empty for evidence that is no expression
  std::optional<uint64_t> address;
  std::string observed;  ///< "0x0", "page excluded by makedumpfile", "G1"
  std::string expected;
  EvidenceResult result = EvidenceResult::kUndetermined;
  int weight = 0;  ///< contribution to the score when it supports
};

struct Reference {
  std::string kind;  ///< "cve", "commit", "fix", "link"
  std::string id;
  std::string title;
};

/// A look-alike that was considered.
struct LookAlike {
  std::string title;
  bool ruled_out = false;
  std::string why;
};

using Fact = std::variant<bool, int64_t, std::string, std::vector<int>,
                          std::map<std::string, std::vector<int>>, std::vector<std::string>>;

struct Finding {
  std::string rule;
  std::string title;
  Verdict verdict = Verdict::kUndetermined;
  Stage stage = Stage::kNone;
  bool cause_of_crash = false;
  std::vector<int> cpus;  ///< those at the finding's highest stage, ascending
  int score = 0;          ///< sum of supporting weights, at most 100; ranks, never lifts a verdict
  std::string summary;    ///< one sentence: what, on which CPU
  std::vector<Evidence> evidence;
  std::vector<LookAlike> look_alikes;
  std::vector<std::string> explanation;  ///< numbered story with the dump's own values
  std::vector<std::string> remedy;
  std::vector<Reference> references;
  std::map<std::string, Fact> facts;     ///< typed; "cpus_by_stage" among them
  std::vector<std::string> not_visible;  ///< what could not be seen and matters
};

/// Everything a rule may look at. Lazily filled; nothing is read before it is asked for. One thread at a
/// time.
class Diagnosis {
 public:
  explicit Diagnosis(Kernel& kernel);
  ~Diagnosis();

  Kernel& kernel() { return kernel_; }
  const KernelLog& log();
  Unwinder& unwinder();
  const CrashState& crash();
  const SystemFacts& system();
  PmuState& pmu();
  /// Every perf event that can be reached, found once.
  const EventList& events();
  /// Stack of a CPU by its saved registers (the crashing CPU's: crash().stack).
  const Stack& stack(int cpu);
  const NullEventsProbe& null_events_probe();

  /// Reads that failed on the way, without duplicates, in order.
  const std::vector<Unread>& unread() const { return unread_; }
  void note_unread(const Unread& unread);

 private:
  Kernel& kernel_;
  std::optional<KernelLog> log_;
  std::unique_ptr<Unwinder> unwinder_;
  std::optional<CrashState> crash_;
  std::optional<SystemFacts> system_;
  std::optional<PmuState> pmu_;
  std::optional<EventList> events_;
  std::map<int, Stack> stacks_;
  std::optional<NullEventsProbe> null_events_;
  std::vector<Unread> unread_;
};

/// A KCSAN report in the dump's log, and what to think of it.
struct JudgedRace {
  KcsanReport report;
  KcsanVerdict verdict;
};
/// Judges every KCSAN report in the log. Where the racing address is inside a perf event of this dump, the
/// report's field is filled in from the type ("perf_event.tstamp"): then the text need not be guessed from.
std::vector<JudgedRace> judge_races(Diagnosis& diagnosis);
/// The same for log text that the caller has.
std::vector<JudgedRace> judge_races(Diagnosis& diagnosis, std::string_view log);

/// What a rule needs to run at all; the engine says "not run: struct x missing" when it is not there.
struct RuleNeeds {
  std::vector<std::string> types;    ///< "struct cpu_hw_events"
  std::vector<std::string> symbols;  ///< "cpu_hw_events"
};

/// How a piece of knowledge came to be known.
enum class Certainty {
  kSource,      ///< read in the kernel's source
  kBinary,      ///< seen in the machine code or the type information of released kernels
  kReproduced,  ///< seen in dumps of kernels in which the defect was provoked
  kChangelog,   ///< a distribution's changelog says so
  kPublic,      ///< a CVE record, a bug report or a mailing list says so
  kExpert,      ///< expert knowledge that was not checked
  kUnknown,     ///< not known; said so that nobody takes silence for a no
};
std::string_view to_string(Certainty certainty);  ///< "source", "binary", ..., "unknown"

/// A statement with what it rests on.
struct KnownFact {
  std::string text;
  Certainty certainty = Certainty::kUnknown;
  std::string source;  ///< "arch/x86/events/core.c, x86_pmu_start()", "CVE-2026-23435"; may be empty
};

/// What a kind of evidence does to the verdict.
enum class EvidenceRole {
  kRequired,     ///< no positive verdict without it
  kSupports,     ///< ranks: its weight goes into the score
  kContradicts,  ///< rules the defect out where it holds
};
std::string_view to_string(EvidenceRole role);  ///< "required", "supports", "contradicts"

/// A kind of evidence that a rule looks for. The rule takes the weight from here when it finds it.
struct EvidenceKind {
  std::string_view claim;
  EvidenceRole role;
  int weight;
  Certainty certainty;
  std::string_view source;
};

/// Culprit or fix, and the releases that carry it.
struct KnownCommit {
  Reference reference;
  std::string releases;                       ///< "7.0; 6.18.20, 6.19.10"; "unknown" when that is not known
  Certainty certainty = Certainty::kUnknown;  ///< of the releases
  std::string source;
};

/// Something else that looks the same, and how it is told apart.
struct KnownLookAlike {
  std::string title;
  std::string told_apart_by;
};

/// What a rule, or an entry of the catalogue, knows: `perfcore rules ID` shows it.
struct RuleKnowledge {
  std::string summary;  ///< one line: what goes wrong
  std::vector<KnownFact> symptoms;
  std::vector<KnownFact> mechanism;
  std::vector<EvidenceKind> evidence;
  std::vector<KnownLookAlike> look_alikes;
  std::vector<KnownFact> kernels;  ///< affected and not affected
  std::vector<KnownCommit> commits;
  std::vector<std::string> remedy;
  std::vector<std::string> limits;  ///< what the rule cannot see, and how far its verdict goes
};

/// What of a rule's facts goes into a crash's signature (perfcore/signature.h). Only abstract ones may: no
/// address, CPU, task, index or count.
struct RuleSignature {
  std::string variant = {};              ///< fact that tells variants of the defect apart; empty: there is one
  std::vector<std::string> facts = {};   ///< in the key: other values are another bucket
  std::vector<std::string> facets = {};  ///< kept and shown with the bucket, not in the key
};

struct ConsoleReport;

struct RuleInfo {
  std::string id;  ///< "perf-x86-null-events"
  std::string title;
  RuleNeeds needs;
  std::function<Finding(Diagnosis&)> run;
  std::function<RuleKnowledge()> knowledge = {};
  RuleSignature signature = {};
  /// What can be said of a crash of which there is only text: an undetermined finding, or nothing.
  std::function<std::optional<Finding>(const ConsoleReport&)> of_text = {};
};

/// Runs each rule; one that throws becomes an undetermined finding that says so and stops nothing else.
/// Findings come in the order of importance: cause of the crash first, then by verdict, stage and score.
std::vector<Finding> run_rules(Diagnosis& diagnosis, std::span<const RuleInfo> rules);

}  // namespace perfcore
