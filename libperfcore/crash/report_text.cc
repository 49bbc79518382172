// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/report_text.h"

#include <algorithm>
#include <utility>

#include "crash/blame.h"
#include "crash/console_line.h"
#include "crash/frame_roles.h"
#include "crash/oops_text.h"
#include "crash/report_stacks.h"
#include "crash/report_title.h"
#include "crash/report_words.h"

namespace perfcore {

using namespace report_words;

namespace {

using Pick = Source::Pick;

constexpr Text kHang = "HANG", kLock = "LOCKDEP", kWarn = "WARNING";
constexpr Text kStuck = "BUG: hard lockup in $F";
constexpr Text kStalled = "stall in $F", kOverflow = "stack-overflow in $F";
// Whoever notices that a stack ran over is as random as what a watchdog hits.
constexpr Source kDeep = {Pick::kStall, {{Mark::kTrace}}, kNoWay};

/// What the rules work on.
struct Draft {
  ConsoleReport& report;
  const ReportRule& rule;
  Text headline;  ///< from the rule's beginning on
  size_t index;   ///< of the headline's line
  size_t end;     ///< one past the last line that belongs to it for sure
  Stacks stacks;
  std::string function;
  std::string named;    ///< by less than a stack: not good enough for the title
  bool mixed = false;   ///< the stack of fault injection was met on the way
  bool missed = false;  ///< a mark was not there
  bool quoted = false;  ///< by people, not copied from a console

  const std::vector<std::string>& lines() const { return report.lines; }
};

/// Whom a title may name. Inlined calls are in symbolised text only: raw and symbolised text of one crash
/// must give one title.
std::vector<std::string> names(const std::vector<ConsoleFrame>& frames) {
  std::vector<std::string> result;
  for (const ConsoleFrame& frame : frames)
    if (!frame.inlined) result.push_back(title_function(frame.function));
  return result;
}

const Trace* first_trace(const Draft& r) {
  const Trace* foreign = nullptr;
  for (const Trace& trace : r.stacks.traces) {
    if (!has_frames(trace)) continue;
    if (!is_foreign(trace)) return &trace;
    if (foreign == nullptr) foreign = &trace;
  }
  return foreign;
}

std::vector<ConsoleFrame> stack_of(const Draft& r, const Trace* trace) {
  std::vector<ConsoleFrame> frames;
  if (trace) {
    frames = trace->rip;
    for (ConsoleFrame& frame : frames) frame.interrupted = false;
    frames.insert(frames.end(), trace->frames.begin(), trace->frames.end());
  }
  if (frames.empty()) frames = r.stacks.last_rip;
  return frames;
}

/// lockdep's own stack is that behind "stack backtrace:"; those before it show how the locks were taken.
const Trace* call_trace(const Draft& r) {
  for (const Trace& trace : r.stacks.traces)
    if (trace.call && has_frames(trace)) return &trace;
  return nullptr;
}

/// should_fail() of lib/fault-inject.c on a stack that the report's own got mixed with.
bool is_injected(Text line) {
  if (line.find("should_fail") == line.npos) return false;
  const auto frame = parse_frame_line(line);
  if (!frame || !frame->reliable || frame->frames.front().inlined) return false;
  const Text function = frame->frames.front().function;
  const Text name = function.substr(0, function.find('.'));
  return name == "should_fail" || name == "should_failslab";
}

/// Another stack begins here: nothing behind belongs to the one before.
bool begins_stack(Text line) {
  constexpr Text kAnywhere[] = {"Call Trace",        "Call trace",    "Backtrace:",
                                "Allocated by task", "Freed by task", "Uninit was stored to memory at"};
  for (Text mark : kAnywhere)
    if (line.find(mark) != line.npos) return true;
  return line.starts_with("Allocated:") || line.starts_with("Freed:") || line.starts_with("backtrace:") ||
         line.starts_with("backtrace (crc ");
}

/// The function of a frame that stands for itself: no guess ("?"), not inlined.
std::optional<std::string> frame_name(Text text) {
  if (text.starts_with("<")) return std::nullopt;
  const auto frame = parse_frame_line(text);
  if (!frame || !frame->reliable) return std::nullopt;
  for (const ConsoleFrame& one : frame->frames)
    if (!one.inlined) return plain_function(one.function);
  return std::nullopt;
}

/// Messages with a stack that are no reports: without caller IDs what follows them may be theirs.
size_t end_of_own_lines(const std::vector<std::string>& lines, size_t headline) {
  constexpr Text kOthers[] = {"vmalloc: allocation failure:", "FAULT_INJECTION: forcing a failure",
                              "FAULT_FLAG_ALLOW_RETRY missing"};
  for (size_t i = headline + 1; i < lines.size(); ++i)
    for (Text other : kOthers)
      if (lines[i].find(other) != std::string::npos) return i;
  return lines.size();
}

/// Is the mark on line `i`? Functions that it names are appended to `functions`.
bool has_mark(const Draft& r, size_t i, Mark mark, std::vector<std::string>& functions) {
  const Text line = r.lines()[i];
  auto name = [&](Text text) {
    auto function = frame_name(text);
    if (function) functions.push_back(std::move(*function));
    return function.has_value();
  };
  switch (mark) {
    case Mark::kNone:
      return true;
    case Mark::kHeadline: {
      if (i != r.index) return false;
      if (auto in = after(line, " in ")) name(*in);
      return true;
    }
    case Mark::kRip: {
      const auto rip = parse_rip_line(line);
      if (!rip) return false;
      // Symbolised text names what was inlined first, on a line each.
      if (!rip->frames.empty() && only_inlined(rip->frames)) return false;
      if (!rip->frames.empty()) functions.push_back(plain_function(rip->frames.front().function));
      return true;
    }
    case Mark::kTrace:
      return line.find("Call Trace:") != line.npos || line.find("Call trace:") != line.npos ||
             line.find("Backtrace:") != line.npos;
    case Mark::kTimer:
      return line.find("apic_timer_interrupt") != line.npos && line.find("? ") == line.npos;
    case Mark::kSite: {
      if (auto at = after(line, "at: ")) return name(*at);
      // Up to 4.x the place was on a line of its own.
      return line.ends_with(" at:") && i + 1 < r.lines().size() && name(r.lines()[i + 1]);
    }
    case Mark::kAddress: {
      const size_t bracket = line.find("[<");
      return bracket != line.npos && name(line.substr(bracket));
    }
    case Mark::kWanted:
      return line.find("is trying to acquire") != line.npos;
    case Mark::kChanged:
      return line.find("just changed the state of lock") != line.npos;
    case Mark::kTakes:
      return line.find("takes") != line.npos;
    case Mark::kLeaving:
      return line.find("leaving the kernel with locks still held") != line.npos;
    case Mark::kBecame: {
      const auto became = after(line, "which became ");
      return became && became->find("at:") != became->npos;
    }
    case Mark::kBacktrace:
      return line.find("backtrace") != line.npos;
    case Mark::kOrigin:
      return line.find("page last allocated") != line.npos;
  }
  return false;
}

std::vector<std::string> along(Draft& r, const Way& way) {
  std::vector<std::string> functions;
  const size_t end = r.end;
  size_t i = r.index;
  for (Mark mark : way.marks) {
    if (mark == Mark::kNone) continue;
    bool found = false;
    for (; !found && i < end; ++i) {
      if (is_injected(r.lines()[i])) {
        r.mixed = true;
        ++i;
        break;
      }
      found = has_mark(r, i, mark, functions);
    }
    if (!found) r.missed = true;
  }
  for (; way.stack && i < end && functions.size() < kMaxFrames; ++i) {
    if (is_injected(r.lines()[i])) {
      r.mixed = true;
      break;
    }
    if (begins_stack(r.lines()[i])) break;
    if (auto function = frame_name(r.lines()[i])) functions.push_back(std::move(*function));
  }
  return functions;
}

bool is_empty(const Way& way) {
  return way.marks[0] == Mark::kNone && !way.stack;
}

/// All of the first stack: for reports that have no form of their own.
void blame_whole_stack(Draft& r, Text topic) {
  r.report.frames = stack_of(r, first_trace(r));
  r.function = blamed_function(names(r.report.frames), topic);
}

/// Any of the stacks that a watchdog asked for.
void blame_any_stall(Draft& r, Text kind) {
  r.report.frames = stack_of(r, first_trace(r));
  for (const Trace& trace : r.stacks.traces) {
    if (!has_frames(trace)) continue;
    const std::vector<ConsoleFrame> frames = stack_of(r, &trace);
    // A task that gave up the CPU is not the one that does not let go of it.
    if (!frames.empty() && frames.front().function == "__schedule") continue;
    r.function = blamed_for_stall(names(frames), kind);
    if (!r.function.empty()) {
      r.report.frames = frames;
      return;
    }
  }
}

/// Lays the blame as the source says; `topic` chooses who is passed over.
void blame(Draft& r, const Source& source, Text topic) {
  r.report.frames = stack_of(r, r.rule.kind == "lockdep" ? call_trace(r) : first_trace(r));
  auto pick = [&](std::vector<std::string> functions) {
    if (source.pick == Pick::kNamed) return functions.empty() ? std::string() : functions.front();
    for (std::string& function : functions) function = title_function(function);
    return source.pick == Pick::kStall ? blamed_for_stall(functions, topic)
                                       : blamed_function(functions, topic);
  };
  r.function = pick(along(r, source.way));
  const bool doubtful = r.mixed && source.way.marks[0] != Mark::kNone;
  if ((r.function.empty() || doubtful) && !is_empty(source.otherwise)) {
    r.mixed = false;
    r.function = pick(along(r, source.otherwise));
  }
  // Mails quote what the writer found worth it: the marks may be left out.
  const Trace* trace = first_trace(r);
  if (!r.function.empty() || !r.quoted || !r.missed || r.mixed || (trace && is_foreign(*trace))) return;
  if (source.pick == Pick::kStall)
    blame_any_stall(r, topic);
  else if (source.pick == Pick::kFirst)
    r.function = pick(names(r.report.frames));
}

Text topic_of(const ReportRule& rule) {
  return rule.topic.empty() ? rule.kind : rule.topic;
}

void blame(Draft& r) {
  blame(r, r.rule.source, topic_of(r.rule));
}

/// Is what follows the headline of a lockdep report there, as far as its title needs it?
bool is_complete(Draft& r) {
  if (r.rule.kind == "rcu-usage") {
    // "toy/toy.c:12 suspicious rcu_dereference_check() usage!"
    for (size_t i = r.index + 1; i < r.end; ++i)
      for (Text mark : {Text(".c:"), Text(".h:")})
        if (auto line = after(r.lines()[i], mark); line && !line->empty() && is_digit(line->front()))
          return true;
    return false;
  }
  if (r.rule.source.pick == Pick::kNamed) return !r.function.empty();
  std::vector<std::string> unused;
  Mark needed = Mark::kNone;
  if (r.rule.topic == "circular") needed = Mark::kWanted;
  if (r.rule.topic == "inconsistent") needed = Mark::kTakes;
  for (size_t i = r.index; i < r.end; ++i)
    if (has_mark(r, i, needed, unused)) return true;
  return false;
}

void read_locking(Draft& r) {
  blame(r);
  if (r.rule.title.empty()) {
    // spin_dump() of kernel/locking/spinlock_debug.c: "BUG: spinlock bad magic on CPU#0, toy/7"
    Text what = before(before(r.headline.substr(r.rule.start.size()), " on CPU#"), ",");
    r.report.title = std::string(r.rule.start) + std::string(trim(what)) + " in $F";
  }
}

// print_error_description() of mm/kasan/report.c: "BUG: KASAN: use-after-free in foo+0x1/0x2", then "Read of
// size 8 at addr ..."; "... in foo at addr ..." up to 4.9.
void read_kasan(Draft& r) {
  const Text what = r.headline.substr(r.rule.start.size());
  Text access;
  for (size_t i = r.index + 1; i < std::min(r.lines().size(), r.index + 64) && access.empty(); ++i)
    for (Text word : {Text("Read"), Text("Write")})
      for (Text of : {Text(" of size "), Text(" at addr ")})
        if (r.lines()[i].find(std::string(word) + std::string(of)) != std::string::npos) access = word;
  Text bug = before(what, " in ");
  bug = before(bug, " on ");
  if (access.empty() && (bug.find("invalid-free") != bug.npos || bug == "double-free")) {
    blame(r, r.rule.source, "invalid-free");
    r.report.title = "KASAN: invalid-free in $F";
    r.report.alt_titles = {"invalid-free in $F"};
    r.report.type = "KASAN-INVALID-FREE";
    return;
  }
  blame(r);
  if (access.empty()) {
    // Without the access nothing says that what follows belongs to it.
    r.report.title = "KASAN: " + std::string(what);
    r.report.type = "KASAN-READ";
    r.report.corrupted = "the line that says which access it was is missing";
    if (auto in = after(what, " in ")) r.function = title_function(function_in(*in));
    return;
  }
  std::string upper = access == "Write" ? "WRITE" : "READ";
  if (bug.find("use-after-free") != bug.npos)
    r.report.type = "KASAN-USE-AFTER-FREE-" + upper;
  else if (bug == "null-ptr-deref")
    r.report.type = "KASAN-NULL-POINTER-DEREFERENCE-" + upper;
  else
    r.report.type = "KASAN-" + upper;
  r.report.title = "KASAN: " + std::string(bug) + " " + std::string(access) + " in $F";
  // Accesses to other address spaces name no function.
  if (what.find(" in ") == what.npos) {
    r.function.clear();
    r.report.title.resize(r.report.title.size() - 6);
  }
  if (bug != "null-ptr-deref" || !r.function.empty()) r.report.alt_titles = {"bad-access in $F"};
}

void read_kmsan(Draft& r) {
  const Text bug = before(r.headline.substr(r.rule.start.size()), " in ");
  const bool usb = bug == "kernel-usb-infoleak";
  blame(r, r.rule.source, usb ? "kmsan-usb" : "kmsan");
  r.report.title = "KMSAN: " + std::string(bug) + " in $F";
  r.report.type = bug.find("infoleak") != bug.npos ? "KMSAN-INFO-LEAK" : "KMSAN-UNINIT-VALUE";
  if (usb) {
    // The leak is found far from where the memory comes from.
    for (const Trace& trace : r.stacks.traces)
      if (trace.announced.starts_with("Uninit was created")) {
        const std::string origin = blamed_function(names(trace.frames), "kmsan-usb");
        if (!origin.empty()) r.report.alt_titles = {"KMSAN origin in " + origin};
      }
  } else {
    r.report.alt_titles = {"bad-access in $F"};
  }
}

void read_kfence(Draft& r) {
  const Text bug = before(r.headline.substr(r.rule.start.size()), " in ");
  blame(r);
  r.report.title = "KFENCE: " + std::string(bug) + " in $F";
  if (bug == "invalid free") {
    r.report.type = "KFENCE-INVALID-FREE";
    r.report.alt_titles = {"invalid-free in $F"};
  } else if (bug == "memory corruption") {
    r.report.type = "KFENCE-MEMORY-CORRUPTION";
  } else {
    const Text way = bug.ends_with("write") ? "WRITE" : "READ";
    r.report.type =
        (bug.starts_with("use-after-free") ? "KFENCE-USE-AFTER-FREE-" : "KFENCE-") + std::string(way);
    r.report.alt_titles = {"bad-access in $F"};
  }
}

void read_kcsan(Draft& r) {
  std::string text;
  for (size_t i = r.index; i < r.lines().size(); ++i) (text += r.lines()[i]) += '\n';
  std::vector<KcsanReport> races = parse_kcsan(text);
  if (races.empty()) return;
  KcsanReport& race = races.front();
  race.first_line += r.report.first_line - 1 + r.index;
  race.last_line += r.report.first_line - 1 + r.index;
  r.report.title = race.title;
  r.report.type = race.assertion ? "KCSAN-ASSERT" : "KCSAN-DATARACE";
  if (!race.functions.empty()) r.function = race.functions.front();
  if (!race.accesses.empty()) {
    for (const KcsanFrame& frame : race.accesses.front().stack) {
      if (frame.function.empty()) continue;
      ConsoleFrame& to = r.report.frames.emplace_back();
      to.function = frame.function;
      to.module = frame.module;
      to.file = frame.file;
      to.line = frame.line;
      to.offset = frame.offset;
      to.inlined = frame.inlined;
    }
  } else {
    r.report.corrupted = "no side of the race could be read";
  }
  r.report.kcsan = std::move(race);
}

// "UBSAN: shift-out-of-bounds in fs/foo.c:1:2"; "UBSAN: Undefined behaviour in fs/foo.c:1:2" up to 5.4.
void read_ubsan(Draft& r) {
  const Text what = trim(before(r.headline.substr(r.rule.start.size()), " in "));
  blame(r);
  r.report.type = "UBSAN";
  if (what == "Undefined behaviour") {
    r.report.title = "UBSAN: undefined-behaviour in $F";
  } else {
    r.report.title = "UBSAN: " + std::string(what) + " in $F";
    if (what == "array-index-out-of-bounds") {
      r.report.type = "MEMORY_SAFETY_UBSAN";
      r.report.alt_titles = {"bad-access in $F"};
    }
  }
}

/// What a WARN() in a library or checker is about; its callers are to blame.
struct WarningTopic {
  Text file;      ///< that has the WARN()
  Text function;  ///< that has it: the beginning of its name or, behind '*', a part; since 6.18 any
  Text bug;       ///< as titles call it; empty: "WARNING in"
  Text topic;
  Text kind = "warning";
  Text type = kWarn;
};
constexpr WarningTopic kWarningTopics[] = {
    {"lib/debugobjects.c", "debug_", "ODEBUG bug", "odebug", "odebug"},
    {"mm/usercopy.c", "usercopy_warn", "bad usercopy", "usercopy"},
    {"lib/kobject.c", "kobject_", "kobject bug", ""},
    {"fs/proc/generic.c", "proc_register", "proc registration bug", "proc-bug"},
    {"lib/refcount.c", "refcount_", "refcount bug", "refcount", "refcount", "REFCOUNT_WARNING"},
    {"kernel/locking/lockdep.c", "*lock_", "locking bug", "locking-bug", "lockdep", kLock},
    {"mm/vmalloc.c", "*__vmalloc_node", "zero-size vmalloc", ""},
    {"mm/", "kmalloc", "kmalloc bug", "kmalloc-bug"},
    {"mm/", "kvmalloc", "kmalloc bug", "kmalloc-bug"},
    {"mm/", "vmalloc", "kmalloc bug", "kmalloc-bug"},
    {"mm/", "malloc", "kmalloc bug", "kmalloc-bug"},
};

// "WARNING: CPU: 1 PID: 2 at fs/foo.c:3 bar+0x1/0x2", "WARNING: fs/foo.c:3 at bar+0x1/0x2, CPU#1: comm/2"
// since 6.18, also with "[text] " before the file, "WARNING: at fs/foo.c:3 bar+0x1/0x2()" up to 3.x.
void read_warning(Draft& r) {
  Text place, named;
  const Text text = r.headline.substr(r.rule.start.size());
  const bool since_6_18 = text.find(", CPU#") != text.npos && !r.headline.starts_with("WARNING: CPU: ");
  if (since_6_18) {
    place = text;
    if (place.starts_with("["))
      if (size_t close = place.find("] "); close != place.npos) place = place.substr(close + 2);
    if (auto in_function = after(place, " at ")) named = before(*in_function, ", CPU#");
  } else if (r.headline.starts_with("WARNING: at ")) {
    place = r.headline.substr(12);
  } else if (auto at = after(r.headline, " at ")) {
    place = *at;
  }
  const Text file = before(place, ":");
  if (named.empty())
    if (size_t space = place.find(' '); space != place.npos) named = place.substr(space + 1);
  const bool decoded = parse_frame_line(named).has_value();
  const std::string own = title_function(function_in(named));
  Text bug, topic = "warning", kind = "warning", type = kWarn;
  for (const WarningTopic& known : kWarningTopics) {
    const Text relative = file.starts_with("./") ? file.substr(2) : file;
    const bool here = known.file.ends_with("/") ? relative.find(known.file) != relative.npos
                                                : relative.ends_with(known.file);
    if (!here) continue;
    const bool part = known.function.starts_with("*");
    const size_t at = own.find(known.function.substr(part ? 1 : 0));
    const bool any = (since_6_18 || own.empty()) && !part && !known.file.ends_with("/");
    if (!any && (at == own.npos || (at > 0 && !part))) continue;
    bug = known.bug, topic = known.topic, kind = known.kind, type = known.type;
    break;
  }
  std::string tail;
  // What is wrong is the URB, which its caller made.
  if (own == "usb_submit_urb") topic = "usb", tail = "/usb_submit_urb";
  r.report.kind = kind;
  r.report.type = type;
  // Up to 4.12 the hard lockup detector only warned, where it was not told to panic.
  if (own == "watchdog_overflow_callback") {
    blame_any_stall(r, "hard-lockup");
    r.report.kind = "hard-lockup";
    r.report.type = kHang;
    r.report.title = kStuck;
    if (r.function.empty()) r.named = own;
    return;
  }
  blame(r, r.rule.source, topic);
  if (r.report.frames.empty() && !own.empty() && !is_digit(own.front())) r.named = own;
  // A place alone, where no function could be told: the line is all there is.
  if (bug.empty() && tail.empty() && r.function.empty() && !decoded && r.report.frames.empty()) {
    r.report.title = r.headline;
    r.report.corrupted = "the line that says where it is ends early";
    return;
  }
  r.report.title = (bug.empty() ? std::string("WARNING") : "WARNING: " + std::string(bug)) + " in $F" + tail;
}

void read_panic(Draft& r) {
  Text what = r.headline.substr(r.rule.start.size());
  if (what.starts_with(":")) what = trim(what.substr(1));
  r.report.panicked = true;
  if (auto in = after(what, "stack is corrupted in: ")) {
    blame(r, kCallerSource, "stack-protector");
    std::string named = title_function(function_in(*in));
    if (auto frame = parse_frame_line(*in); frame && !frame->frames.empty())
      named = title_function(frame->frames.front().function);
    const bool symbol = !named.empty() && !is_digit(named.front()) &&
                        named.find_first_not_of("0123456789abcdef") != named.npos;
    if (symbol) r.function = named;
    r.report.title = "kernel panic: stack is corrupted in $F";
    return;
  }
  if (what.starts_with("corrupted stack end")) {
    blame(r, kDeep, "stack-end");
    r.report.title = "kernel panic: corrupted stack end in $F";
    r.report.alt_titles = {std::string(kOverflow)};
    return;
  }
  if (what.starts_with("kernel stack overflow")) {
    blame(r, kDeep, "stack-overflow");
    r.report.kind = "double-fault";
    r.report.title = "kernel stack overflow in $F";
    r.report.alt_titles = {std::string(kOverflow)};
    return;
  }
  // The same words decide of what class a dump is.
  const Text told = class_of_panic(what);
  if (told == "hard-lockup") {
    blame_any_stall(r, told);
    r.report.kind = told;
    r.report.type = kHang;
    r.report.title = kStuck;
    r.report.alt_titles = {std::string(kStalled)};
    return;
  }
  r.report.frames = stack_of(r, first_trace(r));
  if (told.empty())
    r.report.corrupted = "the report that the panic is about is missing";
  else
    r.report.kind = told;
  // What called panic() may tell more than what it said.
  if (told == "panic") {
    const std::vector<std::string> functions = names(r.report.frames);
    for (const FunctionClass& known : function_classes()) {
      if (known.needs_oops ||
          std::find(functions.begin(), functions.end(), known.function) == functions.end())
        continue;
      r.report.kind = known.crash_class;
      break;
    }
  }
  for (Text whole : {Text("Attempted to kill init!"), Text("panic_on_warn set"), Text("Fatal exception"),
                     Text("hung_task: blocked tasks")})
    if (what.starts_with(whole)) what = whole;
  if (what.starts_with("Couldn't open N_TTY ldisc for ")) what = "Couldn't open N_TTY ldisc";
  r.report.title = "kernel panic: " + std::string(what);
}

// "BUG: using smp_processor_id() in preemptible [00000000] code: syz/1", "BUG: using __this_cpu_add() in ..."
void read_preemptible(Draft& r) {
  const Text what = before(r.headline.substr(r.rule.start.size()), " in preemptible");
  blame(r);
  r.report.title = "BUG: using " + std::string(what) + " in preemptible code in $F";
}

// "rust_kernel: panicked at file.rs:1:2:" and the message on the next line; the oops follows.
void read_rust(Draft& r) {
  blame(r);
  Text message;
  if (r.index + 1 < r.lines().size()) message = r.lines()[r.index + 1];
  r.report.title = std::string(message) + " in $F";
}

void read_any_bug(Draft& r) {
  r.report.frames = stack_of(r, first_trace(r));
  r.report.title = r.headline;
  // Nothing but the mark: lines of others took the place of the rest.
  if (trim(r.headline.substr(r.rule.start.size())).empty()) {
    r.report.title = std::string(trim(r.rule.start)) + " corrupted";
    r.report.corrupted = "the rest of the headline is missing";
  }
}

// "BUG: workqueue leaked lock or atomic: kworker/1:2/0x00000000/34", then "last function: foo".
void read_workqueue_leak(Draft& r) {
  r.report.frames = stack_of(r, first_trace(r));
  for (size_t i = r.index; i < std::min(r.lines().size(), r.index + 8); ++i)
    if (auto last = after(r.lines()[i], "last function: ")) r.function = title_function(function_in(*last));
}

// arch/x86/kernel/unwind_frame.c: "WARNING: kernel stack regs at 0000000012345678 in toy:7 has bad 'bp' value
// 0000000087654321", "WARNING: kernel stack frame pointer at ... has bad value ..."; up to 4.9 without a
// value that could be read from the line, as pointers were not printed.
void read_unwinder(Draft& r) {
  r.report.frames = stack_of(r, first_trace(r));
  Text what = r.headline.substr(Text("WARNING: kernel stack ").size());
  const Text subject = before(what, " at ");
  const auto address = after(what, " at ");
  const size_t digits = address ? end_of(*address, 0, is_lower_hex) : 0;
  const bool readable = digits > 0 && address->substr(digits).starts_with(" in ");
  r.report.title = "WARNING: kernel stack regs has bad value";
  if (!readable) return;
  if (const auto bad = after(what, " has bad '"); bad && subject == "regs")
    r.report.title = "WARNING: kernel stack regs has bad '" + std::string(before(*bad, "'")) + "' value";
  else if (subject == "frame pointer")
    r.report.title = "WARNING: kernel stack frame pointer has bad value";
}

// "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.234 msecs"
void read_nmi_handler(Draft& r) {
  if (auto open = after(r.headline, "NMI handler (")) r.function = title_function(function_in(*open));
}

void put_function(std::string& title, const std::string& function) {
  if (size_t at = title.find("$F"); at != std::string::npos) title.replace(at, 2, function);
}

void read_facts(ConsoleReport& report) {
  for (const std::string& line : report.lines) {
    const Text text = line;
    if (text.starts_with("Kernel panic - not syncing")) report.panicked = true;
    if (text.starts_with("CPU: ")) {
      if (!report.cpu) report.cpu = number<uint64_t>(text.substr(5));
      if (auto pid = after(text, " PID: "); pid && !report.pid) report.pid = number<int64_t>(*pid);
      if (auto comm = after(text, " Comm: "); comm && report.comm.empty()) {
        size_t end = comm->size();
        for (Text next : {Text(" Kdump: loaded"), Text(" Not tainted"), Text(" Tainted: ")})
          end = std::min(end, comm->find(next));
        report.comm = trim(comm->substr(0, end));
        // "Not tainted 6.12.0-rc3+ #1", "Tainted: G        W  OE      6.12.0-rc3+ #1"
        Text rest = before(comm->substr(end), " #");
        if (size_t space = rest.rfind(' '); space != rest.npos) report.kernel = trim(rest.substr(space));
      }
    }
  }
}

}  // namespace

void read_report(ConsoleReport& report, const ReportHeadline& headline, size_t headline_index,
                 LineOrigin origin) {
  const ReportRule& rule = *headline.rule;
  Text text = report.lines[headline_index];
  report.headline = std::string(text);
  report.kind = rule.kind;
  report.type = rule.type;
  Draft r{report,
          rule,
          text.substr(std::min(headline.offset, text.size())),
          headline_index,
          origin.tagged ? report.lines.size() : end_of_own_lines(report.lines, headline_index),
          read_stacks(report.lines, headline_index),
          {},
          {},
          false,
          false,
          origin.quoted};
  read_facts(report);
  if (!rule.title.empty()) report.title = rule.title;
  if (!rule.alt.empty()) report.alt_titles = {std::string(rule.alt)};
  switch (rule.special) {
    case Special::kNone:
      if (rule.source.pick == Pick::kNobody)
        report.frames = stack_of(r, first_trace(r));
      else
        blame(r);
      break;
    case Special::kKasan:
      read_kasan(r);
      break;
    case Special::kKmsan:
      read_kmsan(r);
      break;
    case Special::kKfence:
      read_kfence(r);
      break;
    case Special::kKcsan:
      read_kcsan(r);
      break;
    case Special::kUbsan:
      read_ubsan(r);
      break;
    case Special::kWarning:
      read_warning(r);
      break;
    case Special::kPanic:
      read_panic(r);
      break;
    case Special::kPreemptible:
      read_preemptible(r);
      break;
    case Special::kLocking:
      read_locking(r);
      break;
    case Special::kAnyBug:
      read_any_bug(r);
      break;
    case Special::kRust:
      read_rust(r);
      break;
    case Special::kSlub:
    case Special::kWholeStack:
      blame_whole_stack(r, rule.kind);
      break;
    case Special::kWorkqueue:
      read_workqueue_leak(r);
      break;
    case Special::kUnwinder:
      read_unwinder(r);
      break;
    case Special::kNmiHandler:
      read_nmi_handler(r);
      break;
    case Special::kHardLockup:
      blame_any_stall(r, rule.kind);
      break;
  }
  // Without a headline the functions of the stack may tell the class.
  if (&rule == &headless_rule()) {
    const std::vector<std::string> functions = names(report.frames);
    for (const FunctionClass& known : function_classes()) {
      if (known.needs_oops ||
          std::find(functions.begin(), functions.end(), known.function) == functions.end())
        continue;
      report.kind = known.crash_class;
      break;
    }
  }
  report.function = r.function.empty() ? r.named : r.function;
  const bool in_title = report.title.find("$F") != std::string::npos;
  if (in_title && r.function.empty()) {
    if (report.corrupted.empty())
      report.corrupted =
          r.stacks.traces.empty() ? "there is no stack" : "no function of the stack can be blamed";
  }
  // Two stacks that are printed at a time cannot be told apart.
  const bool cut = r.end < report.lines.size() && r.function.empty() && in_title;
  if (cut || (r.mixed && report.corrupted.empty()))
    report.corrupted = "the stack of another message is mixed in";
  // Cut off behind the headline: nothing is known but it.
  const bool nameless = in_title && r.function.empty();
  if ((nameless || (in_title && !r.quoted)) && (rule.kind == "lockdep" || rule.kind == "rcu-usage") &&
      !is_complete(r)) {
    report.title = r.headline;
    if (r.headline.starts_with("WARNING: ")) report.type = kWarn;
    report.corrupted = "nothing follows the headline";
    if (rule.kind == "lockdep") report.kind = "warning";
  }
  const std::string name = r.function.empty() ? "corrupted" : r.function;
  put_function(report.title, name);
  report.title = without_numbers(report.title);
  // Nothing that can be printed is left of the line.
  if (report.title.empty()) {
    report.title = std::string(trim(rule.start)) + " corrupted";
    report.corrupted = "the headline cannot be read";
  }
  for (std::string& alt : report.alt_titles) {
    put_function(alt, name);
    alt = without_numbers(alt);
  }
  // As the title has it.
  if (in_title && !r.function.empty()) report.function = without_numbers(" " + r.function);
}

}  // namespace perfcore
