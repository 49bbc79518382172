// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What the kernel's own messages say of a crash. Knows nothing of dumps: the lines may come from a log ring
/// in memory, a vmcore-dmesg.txt or a console. All functions are linear in the text and keep views into it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/dump.h"

namespace perfcore {

/// One line of the log, without time stamp and other prefixes of the console.
struct LogLine {
  std::string_view text;
  uint64_t timestamp_ns = 0;
  bool from_kernel = true;  ///< false for what user space wrote to /dev/kmsg: never a headline
};

/// What follows from a headline, and which lines it may be joined with.
enum class HeadlineRole {
  kPrelude,   ///< names the cause; a WARNING or BUG follows on the next lines: "refcount_t: underflow"
  kFault,     ///< an exception that ends in die(): page fault, #GP, kernel BUG, double fault
  kDie,       ///< die()'s own line, "Oops: 0000 [#1] SMP": belongs to the fault above it, if there is one
  kWarning,   ///< WARN(): the kernel goes on unless panic_on_warn is set
  kReport,    ///< a checker's report (KASAN, UBSAN, lockdep, ...): the kernel goes on, as with kWarning
  kStall,     ///< a watchdog's report
  kHardware,  ///< machine check, EDAC, PCI error
  kPanic,     ///< "Kernel panic - not syncing: ..."
  kNotice,    ///< worth a mention before a crash, no crash by itself: OOM kill, I/O error, unknown NMI
};

/// The first line of a report.
struct Headline {
  std::string_view crash_class;  ///< of the vocabulary of CrashState::crash_class
  HeadlineRole role = HeadlineRole::kNotice;
  size_t offset = 0;  ///< where it begins in the line, behind a subsystem prefix such as "watchdog: "
};

/// Recognises a headline by a table of the kernel's own message texts; nullopt for every other line.
std::optional<Headline> find_headline(std::string_view line);

/// A function as the kernel prints it: "x86_pmu_stop+0x14/0xc0 [kvm]".
struct CodePlace {
  std::string_view function;
  uint64_t offset = 0;
  uint64_t size = 0;
  std::string_view module;  ///< empty for vmlinux
};
/// Reads "symbol+0xoffset/0xsize", also behind an address in brackets ("[<ffffffff81000000>] f+0x1/0x2").
std::optional<CodePlace> parse_code_place(std::string_view text);

struct TraceLine {
  CodePlace place;
  bool reliable = true;      ///< false for "? f+0x1/0x2"
  std::string_view section;  ///< "NMI", "IRQ", "TASK", ...: the innermost open <...> mark; empty without one
};

/// One report: from its headline to where the next one begins.
struct OopsReport {
  size_t first_line = 0;  ///< index of the first headline (its prelude, if it has one)
  size_t end_line = 0;    ///< one past its last line
  std::string_view crash_class;
  HeadlineRole role = HeadlineRole::kNotice;
  std::string_view headline;  ///< the line that says best what happened, prefixes included

  std::optional<int> cpu;
  std::optional<int64_t> pid;
  std::string_view comm;
  std::string_view taint;                 ///< "G        W  OE", empty when not tainted or not said
  CodePlace rip;                          ///< function empty when there is no kernel RIP line
  std::optional<uint64_t> fault_address;  ///< in the headline, else CR2 of a page fault
  /// The general registers of the fault, when all of them were printed. Never ip: the kernel prints it as a
  /// symbol, which is rip.
  std::optional<Registers> registers;
  std::vector<TraceLine> trace;
  bool ended = false;  ///< "---[ end trace" was printed: the kernel got past the oops
};

/// What a whole log says.
struct LogVerdict {
  /// No panic message, no report that belongs to one: "none".
  std::string_view crash_class = "none";
  std::optional<OopsReport> panic;  ///< the first "Kernel panic - not syncing: " and what was printed with it
  std::string_view panic_message;   ///< what panic() was told
  /// The report that led to the panic. Without a panic message: the last oops of the log, if there is one.
  std::optional<OopsReport> report;
  /// Without a panic message: the oops is the last report and was not ended, as when kexec took over from it.
  bool unfinished_oops = false;
  std::optional<size_t> first_anomaly;  ///< the first headline that is not part of the final report
};

/// The headlines of one report: those within a few lines that follow from each other.
struct ReportSpan {
  size_t first_line = 0;  ///< of its first headline
  size_t last_line = 0;   ///< of its last headline
  size_t best_line = 0;   ///< of the headline that says best what happened
  Headline headline;      ///< the one at best_line
  bool is_oops = false;   ///< ended in die()
};

/// All reports of a log, oldest first, up to the first panic message (included, as the last one). Of more
/// than 65536 the first one and the newest are kept.
std::vector<ReportSpan> find_reports(std::span<const LogLine> lines);

/// Reads the report that begins at `first_line`. Ends at `end_line` at the latest.
OopsReport parse_report(std::span<const LogLine> lines, size_t first_line, size_t end_line);

/// Finds what killed the kernel. An oops long before the end is not the cause of a panic for another reason:
/// what panic() was told decides (kernel/panic.c and its callers), and only the messages that say no more
/// than "there was an oops" or "panic_on_warn" take the class of the report before them.
LogVerdict judge_log(std::span<const LogLine> lines);

/// Class by what panic() was told alone; empty when the message only points to the report before it ("Fatal
/// exception in interrupt", "panic_on_warn set ...").
std::string_view class_of_panic(std::string_view message);

}  // namespace perfcore
