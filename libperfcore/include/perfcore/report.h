// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Crash reports in console text: dmesg, a serial log, pstore, a vmcore-dmesg.txt, a mail. What the kernel
/// printed becomes a title, a class and a guilty function, so that reports of one bug get one title. Titles
/// and `type` are those that syzkaller's users know. Works on text alone; no dump is needed.
///
/// The text is hostile: any bytes, cut off or mixed up anywhere. Nothing here throws on it; what does not
/// look as the kernel prints it makes a report `corrupted`, with the reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/kcsan.h"

namespace perfcore {

/// One call of a stack. Raw ("foo+0x1/0x2 [mod]") and symbolised text (scripts/decode_stacktrace.sh,
/// "foo (fs/foo.c:12)", "foo fs/foo.c:12 [inline]") are understood.
struct ConsoleFrame {
  std::string function;            ///< as printed, with compiler suffixes
  std::string module;              ///< empty for the kernel itself
  std::string file;                ///< source file; empty where the text is not symbolised
  uint64_t line = 0;               ///< in `file`; 0: not given
  std::optional<uint64_t> offset;  ///< bytes into the function
  bool inlined = false;
  bool interrupted = false;  ///< a RIP line: where an exception, interrupt or NMI hit the frames that follow
  std::string section;       ///< "NMI", "IRQ", "TASK", ...: the innermost open <...> mark
};

/// One report of the kernel.
struct ConsoleReport {
  std::string title;                    ///< "KASAN: slab-use-after-free Read in foo"
  std::vector<std::string> alt_titles;  ///< coarser names: "bad-access in foo"
  std::string kind;      ///< of the vocabulary of CrashState::crash_class, or "bad-page", "panic", ...
  std::string type;      ///< syzkaller's crash type, "KASAN-USE-AFTER-FREE-READ"; empty: none of them
  std::string function;  ///< to blame, without compiler suffix and syscall prefix; empty: none was found
  /// The stack that belongs to the report, innermost first: RIP, then the first trace. Frames that the
  /// kernel was not sure of ("? foo+0x1/0x2") are left out.
  std::vector<ConsoleFrame> frames;
  std::string corrupted;  ///< why the report must not be used for grouping; empty: it is intact
  bool panicked = false;  ///< "Kernel panic - not syncing" was printed with it
  std::string headline;   ///< the line that the title comes from, without the console's prefixes
  std::string comm;       ///< of the task that ran; empty: not said
  std::optional<int64_t> pid;
  std::optional<uint64_t> cpu;
  std::string kernel;  ///< release, "6.12.0-rc3+"; empty: not said
  std::optional<KcsanReport> kcsan;
  size_t first_line = 0;           ///< in the text, from 1
  size_t last_line = 0;            ///< last line that was read for it
  uint64_t begin = 0;              ///< offset of its first byte in the text
  uint64_t end = 0;                ///< one past its last byte
  std::vector<std::string> lines;  ///< its text without the console's prefixes; at most 4096 lines, 256 KiB
};

/// Reads a text of any size in constant memory: pieces go in, reports come out in the order in which they
/// begin. Lines of other CPUs and tasks between those of a report are told apart where the kernel printed
/// caller IDs (CONFIG_PRINTK_CALLER). At most 16 reports are open at a time. Not thread-safe; different
/// objects are independent.
class ConsoleParser {
 public:
  using Sink = std::function<void(ConsoleReport&&)>;
  /// \param sink  gets each report when it is complete
  explicit ConsoleParser(Sink sink);
  ~ConsoleParser();
  ConsoleParser(const ConsoleParser&) = delete;
  ConsoleParser& operator=(const ConsoleParser&) = delete;

  /// A piece of the text; it may begin and end anywhere in a line.
  void feed(std::string_view piece);
  /// The text is at its end: the remaining reports are handed out. A new text may follow.
  void finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// All reports of a text, in order; of more than 65536 the first ones.
std::vector<ConsoleReport> parse_console(std::string_view text);

/// A line of the tables under crash/frames: how functions that match are treated when blame is laid.
struct FrameRule {
  std::string_view kind;     ///< plumbing, allocator, lock, sanitizer, detector: passed over; anchor
  std::string_view pattern;  ///< a function name; '*' stands for any run of characters
  std::string_view only_in;  ///< kinds or topics of reports, blank-separated; empty: all
  std::string_view take;     ///< of anchors: "caller", "callee", "self", or the name to blame instead
  std::string_view reason;
  std::string_view example;      ///< a function that it is for
  std::string_view counterpart;  ///< one that looks alike and is not meant
};
/// All of them, in the order of the files.
std::span<const FrameRule> frame_rules();
/// Does the rule apply to this function (normalised) in a report of this kind?
bool applies(const FrameRule& rule, std::string_view function, std::string_view kind);

/// A function as titles name it: without compiler suffixes (".constprop.0", ".isra.0", ".part.0", ".cold",
/// ".llvm.123") and with the entry points of one system call under one name ("__x64_sys_read", "SyS_read",
/// "ksys_read" -> "sys_read").
std::string normalised_function(std::string_view function);

}  // namespace perfcore
