// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The headlines of the kernel's reports: what each is, how it is titled, and where the function to blame
/// comes from.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace perfcore {

/// What a headline means for the lines around it.
enum class ReportRole {
  kPrelude,  ///< says what a WARNING or BUG on the next lines is about
  kFault,    ///< an exception that ends in die()
  kDie,      ///< die()'s own line: belongs to the fault above it, if there is one
  kReport,   ///< a checker's report or a WARN()
  kStall,    ///< a watchdog's report; stacks of other CPUs belong to it
  kPanic,    ///< belongs to the report above it, if there is one
  kNotice,   ///< worth a mention when the text holds no crash
};

/// A line that a search for the guilty function passes on its way, and the function that it names.
enum class Mark {
  kNone,
  kHeadline,   ///< the report's own headline: "BUG: KASAN: use-after-free in foo+0x1/0x2"
  kRip,        ///< "RIP: 0010:foo+0x1/0x2"; names none when that is no symbol
  kTrace,      ///< "Call Trace:"
  kTimer,      ///< entry of the timer interrupt in which a watchdog ran
  kSite,       ///< "at: foo+0x1/0x2" of lockdep: where a lock was or is to be taken
  kWanted,     ///< "is trying to acquire lock:"
  kChanged,    ///< "just changed the state of lock:"
  kTakes,      ///< "takes:"
  kLeaving,    ///< "leaving the kernel with locks still held!"
  kBecame,     ///< "which became HARDIRQ-irq-safe at:"
  kAddress,    ///< "[<ffffffff81000000>] foo+0x1/0x2"
  kBacktrace,  ///< "backtrace:" of kmemleak
  kOrigin,     ///< "page last allocated via ..."
};

/// Which functions a title may name: those at marks, found one behind the other, then those of the stack
/// behind the last mark. A mark that is not there leaves nothing to read behind it.
struct Way {
  Mark marks[2] = {Mark::kNone, Mark::kNone};
  bool stack = true;
};

/// Where the guilty function comes from.
struct Source {
  enum class Pick {
    kNobody,   ///< the title names no function
    kFirst,    ///< the first that is not passed over
    kNamed,    ///< the one that a mark names, whichever it is
    kStall,    ///< what the nearest anchor dispatched
    kSpecial,  ///< by the report's own rule
  };
  Pick pick = Pick::kNobody;
  Way way = {};
  Way otherwise = {};  ///< when the first way finds nobody; no stack: there is none
};

/// What reads a report that the rule alone does not tell enough of.
enum class Special {
  kNone,
  kKasan,
  kKmsan,
  kKfence,
  kKcsan,
  kUbsan,
  kWarning,
  kPanic,
  kAnyBug,
  kPreemptible,
  kLocking,
  kRust,
  kWholeStack,
  kSlub,
  kWorkqueue,
  kNmiHandler,
  kHardLockup,
  kUnwinder,
};

/// Where no function is looked for.
constexpr Way kNoWay = {{}, false};
/// An exception: where it hit, then who called that.
constexpr Source kExceptionSource = {Source::Pick::kFirst, {{Mark::kRip, Mark::kTrace}}, kNoWay};
/// A checker that prints the stack of its caller.
constexpr Source kCallerSource = {Source::Pick::kFirst, {{Mark::kTrace}}, kNoWay};

/// One form of report.
struct ReportRule {
  std::string_view start;  ///< the headline begins so
  std::string_view also;   ///< and holds this further on; empty: nothing more is asked
  ReportRole role;
  std::string_view kind;
  std::string_view type;
  std::string_view title;  ///< "$F" stands for the guilty function
  Source source = kExceptionSource;
  std::string_view alt = {};
  std::string_view topic = {};  ///< of the tables under frames/; empty: `kind`
  Special special = Special::kNone;
};

/// The first line of a report.
struct ReportHeadline {
  const ReportRule* rule = nullptr;
  size_t offset = 0;  ///< where it begins in the line
};

/// Recognises a headline by the table of the kernel's messages; nullopt for every other line.
std::optional<ReportHeadline> find_report_headline(std::string_view line);
/// A trace that no headline announces begins here.
bool begins_trace(std::string_view line);
/// The rule for such a trace.
const ReportRule& headless_rule();

/// A kernel boots: worth a mention only when one ran before and did not say that it goes down.
bool is_boot(const ReportRule& rule);

}  // namespace perfcore
