// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Reports of the Kernel Concurrency Sanitizer (KCSAN) in console text: what they say, and whether the data
/// race they show does harm. Works on text alone; no dump is needed. All functions are thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace perfcore {

/// One call of a stack, innermost first. Lines that name several source places (scripts/decode_stacktrace.sh)
/// become several frames; those before the last are inlined and have no function name.
struct KcsanFrame {
  std::string function;            ///< as printed, with compiler suffixes ("foo.isra.0"); may be empty
  std::string module;              ///< empty for the kernel itself
  std::string file;                ///< source file; empty where the text is not symbolised
  uint64_t line = 0;               ///< in `file`; 0: not given
  std::optional<uint64_t> offset;  ///< bytes into the function
  bool inlined = false;
};

/// What an access does. The two assertions are ASSERT_EXCLUSIVE_WRITER() and ASSERT_EXCLUSIVE_ACCESS().
enum class KcsanOperation { kRead, kWrite, kReadWrite, kAssertNoWrites, kAssertNoAccesses };

/// The words of kernel/kcsan/report.c: "read", "write", "read-write", "assert no writes", "assert no
/// accesses".
std::string_view to_string(KcsanOperation operation);

/// One side of the race.
struct KcsanAccess {
  KcsanOperation operation = KcsanOperation::kRead;
  bool marked = false;     ///< READ_ONCE(), WRITE_ONCE(), an atomic or a bit operation
  bool reordered = false;  ///< the modelled access was delayed (weak memory modelling, since Linux 5.17)
  uint64_t address = 0;    ///< 0 where the text hides it
  uint64_t size = 0;       ///< bytes
  bool interrupt = false;  ///< printed as "by interrupt"
  std::optional<int64_t> pid;
  std::optional<uint64_t> cpu;
  std::vector<KcsanFrame> stack;
  bool stack_cut = false;          ///< the text elides frames ("...") or ends inside the stack
  bool locks_listed = false;       ///< CONFIG_KCSAN_VERBOSE: the text says which locks were held
  std::vector<std::string> locks;  ///< as printed, without "#N: "; empty and listed: none held

  bool writes() const {
    return operation == KcsanOperation::kWrite || operation == KcsanOperation::kReadWrite;
  }
};

/// "value changed: 0x.. -> 0x..": what the delayed access saw before and after.
struct KcsanValueChange {
  uint64_t before = 0;
  uint64_t after = 0;
  std::optional<uint64_t> mask;  ///< of ASSERT_EXCLUSIVE_BITS()
};

/// One report.
struct KcsanReport {
  std::string title;                   ///< "KCSAN: data-race in foo / bar", offsets dropped
  std::vector<std::string> functions;  ///< of the title: one or two, without offset and module
  bool assertion = false;              ///< "assert: race": an ASSERT_EXCLUSIVE_*() was violated
  bool unknown_origin = false;         ///< only one side is known
  std::vector<KcsanAccess> accesses;   ///< at most two; the one that noticed the race (same CPU) comes last
  std::optional<KcsanValueChange> value;
  std::string comm;            ///< of the task that reported
  std::optional<int64_t> pid;  ///< of that task
  std::string kernel;          ///< release of the kernel that reported
  std::string workqueue;       ///< "events_unbound kfree_rcu_monitor", where printed
  bool complete = false;  ///< every side has a stack that was not cut, and the report's last line was seen
  size_t first_line = 0;  ///< in the log, from 1
  size_t last_line = 0;
  /// The racing field, "perf_event.tstamp"; parse_kcsan() leaves it empty. Whoever has a dump or types and
  /// knows what lies at the address fills it in: classify() then does not have to guess.
  std::string field;
};

/// Finds all reports in a log. Takes raw console text, dmesg, journal or mail text (prefixes, caller IDs and
/// quoting are stripped), raw or symbolised stacks. Where lines carry caller IDs (CONFIG_PRINTK_CALLER)
/// interleaved lines of other contexts are told apart; elsewhere what is not part of a report is skipped.
/// Linear in the size of the log; keeps at most 1024 reports, 256 frames a stack and 64 locks a side (the log
/// may be hostile). Follows print_report() in kernel/kcsan/report.c, 5.8 to 7.2. Never throws on bad text.
std::vector<KcsanReport> parse_kcsan(std::string_view log);

enum class KcsanLabel {
  kBenign,   ///< needs an annotation at most
  kHarmful,  ///< wrong results, lost updates, or memory unsafety can follow
  kUnclear,
};

/// "benign", "harmful", "unclear".
std::string_view to_string(KcsanLabel label);

/// What a kernel developer would answer.
struct KcsanVerdict {
  KcsanLabel label = KcsanLabel::kUnclear;
  bool confident = false;
  std::string rule;         ///< the entry of the knowledge table that decided, "list-emptiness-test"
  std::string reason;       ///< why, with the facts of this report
  std::string consequence;  ///< what can follow
  std::string suggestion;   ///< what to do
};

/// Judges a report by the kind of data, how it is meant to be protected, its lifetime and what the two sides
/// do with it. The policy is that of syzbot's assessment: benign are simple flags, hints, statistics and
/// settings that no lock is meant to protect; harmful are containers, reference counts, lifetimes, lost
/// updates and invariants that a lock is meant to hold. The text rarely names the field, so the answer is
/// only confident where an accessor or `report.field` identifies the data.
KcsanVerdict classify(const KcsanReport& report);

/// The bucket key of a report: "stack:<func A>/<func B>/<field>", functions in alphabetical order, without
/// offsets and compiler suffixes; "?" for an unknown function or field.
std::string kcsan_bucket(const KcsanReport& report);

}  // namespace perfcore
