// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/oops_text.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace perfcore {
namespace {

using Role = HeadlineRole;

struct Pattern {
  std::string_view start;  // the headline begins so
  std::string_view also;   // and holds this further on; empty: nothing more is asked
  std::string_view crash_class;
  Role role;
};

// The kernel's own words, by the function that prints them. Of two patterns with one beginning the more
// specific comes first.
constexpr Pattern kPatterns[] = {
    // arch/x86/mm/fault.c, show_fault_oops(); the older wording up to 5.0; the last two on other machines.
    {"BUG: kernel NULL pointer dereference", "", "null-deref", Role::kFault},
    {"BUG: Kernel NULL pointer dereference", "", "null-deref", Role::kFault},
    {"BUG: unable to handle kernel NULL pointer dereference", "", "null-deref", Role::kFault},
    {"BUG: unable to handle ", "", "page-fault", Role::kFault},
    {"BUG: Unable to handle kernel ", "", "page-fault", Role::kFault},
    {"Unable to handle kernel NULL pointer dereference", "", "null-deref", Role::kFault},
    {"Unable to handle kernel ", "", "page-fault", Role::kFault},
    // arch/x86/kernel/traps.c and dumpstack.c, "%s: %04lx [#%d]"; since 6.10 with "Oops: " before them.
    {"general protection fault", "", "gpf", Role::kFault},
    {"divide error: ", "", "divide-error", Role::kFault},
    {"int3: ", "", "int3", Role::kFault},
    {"stack segment: ", "", "stack-segment", Role::kFault},
    {"PANIC: double fault", "", "double-fault", Role::kFault},
    {"double fault: ", "", "double-fault", Role::kFault},
    {"kernel stack overflow", "", "double-fault", Role::kFault},
    {"stack guard page: ", "", "double-fault", Role::kFault},
    {"BUG: ", "stack guard page was hit", "double-fault", Role::kFault},
    {"kernel BUG at ", "lib/list_debug.c", "list-corruption", Role::kFault},
    {"kernel BUG at ", "", "kernel-bug", Role::kFault},
    {"invalid opcode: ", "", "kernel-bug", Role::kDie},
    {"Oops: ", "", "other", Role::kDie},
    {"Missing ENDBR: ", "", "other", Role::kPrelude},
    {"CFI failure at ", "", "other", Role::kPrelude},
    // Sanitisers: mm/kasan, mm/kfence, mm/kmsan, kernel/kcsan, lib/ubsan.c; mm/kmemleak.c.
    {"BUG: KASAN: ", "", "kasan", Role::kReport},
    {"BUG: KFENCE: ", "", "kfence", Role::kReport},
    {"BUG: KMSAN: ", "", "kmsan", Role::kReport},
    {"BUG: KCSAN: ", "", "kcsan", Role::kReport},
    {"UBSAN: ", " in ", "ubsan", Role::kReport},
    {"BUG: memory leak", "", "memory-leak", Role::kReport},
    // lib/list_debug.c, lib/refcount.c, lib/debugobjects.c, mm/usercopy.c, lib/string_helpers.c (fortify).
    {"list_add corruption", "", "list-corruption", Role::kPrelude},
    {"list_add double add", "", "list-corruption", Role::kPrelude},
    {"list_del corruption", "", "list-corruption", Role::kPrelude},
    {"refcount_t: ", "", "refcount", Role::kPrelude},
    {"ODEBUG: ", " object type: ", "odebug", Role::kPrelude},
    {"Kernel memory exposure attempt", "", "kernel-bug", Role::kPrelude},
    {"Kernel memory overwrite attempt", "", "kernel-bug", Role::kPrelude},
    {"detected buffer overflow in ", "", "kernel-bug", Role::kPrelude},
    {"panicked at ", "", "other", Role::kPrelude},
    // kernel/sched/core.c, lib/smp_processor_id.c, kernel/workqueue.c.
    {"BUG: sleeping function called from invalid context", "", "atomic-sleep", Role::kReport},
    {"BUG: scheduling while atomic", "", "atomic-sleep", Role::kReport},
    {"BUG: using ", "in preemptible", "atomic-sleep", Role::kReport},
    {"BUG: workqueue leaked", "", "lockdep", Role::kReport},
    // kernel/locking/lockdep.c and spinlock_debug.c; "INFO: " and "[ BUG: ... ]" up to 4.13.
    {"WARNING: possible ", "lock", "lockdep", Role::kReport},
    {"WARNING: inconsistent lock state", "", "lockdep", Role::kReport},
    {"WARNING: HARDIRQ-", "", "lockdep", Role::kReport},
    {"WARNING: SOFTIRQ-", "", "lockdep", Role::kReport},
    {"WARNING: bad unlock balance", "", "lockdep", Role::kReport},
    {"WARNING: bad contention", "", "lockdep", Role::kReport},
    {"WARNING: held lock freed", "", "lockdep", Role::kReport},
    {"WARNING: lock held ", "", "lockdep", Role::kReport},
    {"WARNING: Nested lock was not taken", "", "lockdep", Role::kReport},
    {"INFO: possible ", "lock", "lockdep", Role::kReport},
    {"INFO: inconsistent lock state", "", "lockdep", Role::kReport},
    {"INFO: HARDIRQ-", "", "lockdep", Role::kReport},
    {"INFO: SOFTIRQ-", "", "lockdep", Role::kReport},
    {"INFO: trying to register non-static key", "", "lockdep", Role::kReport},
    {"BUG: bad unlock balance", "", "lockdep", Role::kReport},
    {"BUG: bad contention", "", "lockdep", Role::kReport},
    {"BUG: held lock freed", "", "lockdep", Role::kReport},
    {"BUG: lock held ", "", "lockdep", Role::kReport},
    {"BUG: spinlock ", "", "lockdep", Role::kReport},
    {"BUG: rwlock", "", "lockdep", Role::kReport},
    {"BUG: Invalid wait context", "", "lockdep", Role::kReport},
    {"BUG: MAX_LOCK", "", "lockdep", Role::kReport},
    {"WARNING: suspicious RCU usage", "", "rcu-usage", Role::kReport},
    {"INFO: suspicious RCU usage", "", "rcu-usage", Role::kReport},
    // mm/page_alloc.c, mm/memory.c, kernel/fork.c, mm/slub.c.
    {"BUG: Bad page ", "", "bad-page", Role::kReport},
    {"BUG: Bad rss-counter state", "", "bad-page", Role::kReport},
    {"BUG ", "): ", "other", Role::kReport},
    {"BUG ", ": Objects remaining", "other", Role::kReport},
    // kernel/watchdog.c, watchdog_perf.c; kernel/rcu/tree_stall.h; kernel/hung_task.c; kernel/workqueue.c.
    {"BUG: soft lockup", "", "soft-lockup", Role::kStall},
    {"Watchdog detected hard LOCKUP", "", "hard-lockup", Role::kStall},
    {"INFO: rcu_", "stall", "rcu-stall", Role::kStall},
    {"INFO: task ", " blocked", "hung-task", Role::kStall},
    {"INFO: task ", "can't die for more than", "hung-task", Role::kStall},
    {"BUG: workqueue lockup", "", "workqueue-lockup", Role::kStall},
    // net/core/dev.c, fs/open.c, fs/super.c.
    {"unregister_netdevice: waiting for ", "", "unregister-netdev", Role::kReport},
    {"VFS: Close: file count is", "", "other", Role::kReport},
    {"VFS: Busy inodes after unmount", "", "other", Role::kReport},
    // arch/x86/mm/extable.c; arch/x86/events/intel/core.c; arch/x86/kernel/nmi.c.
    {"unchecked MSR access error", "", "msr-access", Role::kReport},
    {"perfevents: irq loop stuck", "", "nmi-storm", Role::kPrelude},
    {"Uhhuh. NMI received", "", "unknown-nmi", Role::kNotice},
    {"NMI: PCI system error (SERR)", "", "other", Role::kHardware},
    {"NMI: IOCK error", "", "other", Role::kHardware},
    // arch/x86/kernel/cpu/mce, drivers/acpi/apei/ghes.c, drivers/edac/edac_mc.c, drivers/pci/pcie/aer.c.
    {"[Hardware Error]: ", "", "mce", Role::kHardware},
    {"Machine check events logged", "", "mce", Role::kHardware},
    {"EDAC MC", " UE ", "mce", Role::kHardware},
    {"EDAC MC", " CE ", "mce", Role::kHardware},
    {"PCIe Bus Error: severity=Uncorrect", "", "other", Role::kHardware},
    // mm/oom_kill.c, mm/page_alloc.c, block/blk-core.c, fs/buffer.c.
    {"Out of memory: ", "", "oom-panic", Role::kNotice},
    {"Memory cgroup out of memory: ", "", "oom-panic", Role::kNotice},
    {"page allocation failure", "", "other", Role::kNotice},
    {"I/O error, dev ", "", "other", Role::kNotice},
    {"critical medium error, dev ", "", "other", Role::kNotice},
    {"Buffer I/O error on dev", "", "other", Role::kNotice},
    // kernel/panic.c: __warn() and panic(). "WARNING: file:line at func, CPU#n: comm/pid" since 6.18.
    {"WARNING: ", " at lib/refcount.c:", "refcount", Role::kWarning},
    {"WARNING: lib/refcount.c:", "", "refcount", Role::kWarning},
    {"WARNING: ", " at lib/debugobjects.c:", "odebug", Role::kWarning},
    {"WARNING: lib/debugobjects.c:", "", "odebug", Role::kWarning},
    {"WARNING: ", " at lib/list_debug.c:", "list-corruption", Role::kWarning},
    {"WARNING: lib/list_debug.c:", "", "list-corruption", Role::kWarning},
    {"WARNING: ", " at kernel/locking/lockdep.c:", "lockdep", Role::kWarning},
    {"WARNING: kernel/locking/lockdep.c:", "", "lockdep", Role::kWarning},
    {"WARNING: CPU: ", "", "warning", Role::kWarning},
    {"WARNING: ", ", CPU#", "warning", Role::kWarning},
    {"WARNING: at ", "", "warning", Role::kWarning},
    {"WARNING: kernel stack ", "", "warning", Role::kWarning},
    {"Kernel panic - not syncing: ", "", "panic", Role::kPanic},
    // Whatever else calls itself a bug.
    {"BUG: ", "", "kernel-bug", Role::kReport},
};

constexpr std::string_view kPanicStart = "Kernel panic - not syncing: ";

// Index of the patterns by their first character: most lines of a log are dismissed by one look.
class PatternIndex {
 public:
  PatternIndex() {
    for (const Pattern& pattern : kPatterns)
      by_first_[static_cast<unsigned char>(pattern.start[0])].push_back(&pattern);
  }
  const std::vector<const Pattern*>& at(char first) const {
    return by_first_[static_cast<unsigned char>(first)];
  }

 private:
  std::array<std::vector<const Pattern*>, 256> by_first_;
};

const Pattern* match_at(std::string_view text) {
  static const PatternIndex index;
  if (text.empty()) return nullptr;
  for (const Pattern* pattern : index.at(text[0])) {
    if (!text.starts_with(pattern->start)) continue;
    if (pattern->also.empty() || text.find(pattern->also, pattern->start.size() - 1) != text.npos)
      return pattern;
  }
  return nullptr;
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// What die() was told by a page fault is "Oops" itself, so that its line is "Oops: 0000 [#1]".
bool is_page_fault_code(std::string_view text) {
  return text.size() > 4 && std::all_of(text.begin(), text.begin() + 4, is_hex) && text[4] == ' ';
}

// Length of a subsystem prefix ("watchdog: ", "NMI watchdog: ", "pcieport 0000:00:1c.0: ", "{1}") or 0. A
// sentence is none: "Speculative Return Stack Overflow: WARNING: See ..." is no warning.
size_t prefix_length(std::string_view text) {
  if (text.starts_with("[ ")) return 2;
  if (text.starts_with("{")) {
    size_t end = text.find('}');
    return end != text.npos && end <= 4 ? end + 1 : 0;
  }
  constexpr size_t kMaxPrefix = 32;
  size_t end = text.substr(0, kMaxPrefix).find(": ");
  if (end == text.npos) return 0;
  return std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(end), ' ') <= 1 ? end + 2 : 0;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

template <typename T>
std::optional<T> parse_number(std::string_view text, int base) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::optional<uint64_t> parse_hex(std::string_view text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  return parse_number<uint64_t>(text, 16);
}

// What follows `label` in `line`; nullopt when it is not there.
std::optional<std::string_view> after(std::string_view line, std::string_view label) {
  size_t at = line.find(label);
  if (at == line.npos) return std::nullopt;
  return line.substr(at + label.size());
}

// "CPU: 1 UID: 0 PID: 168 Comm: pmu Tainted: G        W          6.12.117+deb12-amd64 #1 ..." of
// dump_stack_print_info(), lib/dump_stack.c (UID since 6.12); "Pid: 0, comm: swapper/0 Not tainted" up
// to 3.9.
void parse_cpu_line(std::string_view line, OopsReport& report) {
  std::optional<std::string_view> rest;
  if (line.starts_with("CPU: ")) {
    if (!report.cpu) report.cpu = parse_number<int>(line.substr(5), 10);
    if (!report.pid)
      if (auto pid = after(line, " PID: ")) report.pid = parse_number<int64_t>(*pid, 10);
    rest = after(line, " Comm: ");
  } else {
    if (!report.pid) report.pid = parse_number<int64_t>(line.substr(5), 10);
    rest = after(line, ", comm: ");
  }
  if (!rest) return;
  size_t end = rest->size();
  for (std::string_view next : {" Kdump: loaded", " Not tainted", " Tainted: "})
    end = std::min(end, rest->find(next));
  if (report.comm.empty()) report.comm = rest->substr(0, end);
  if (auto taint = after(rest->substr(end), " Tainted: ")) {
    size_t letters = 0;
    while (letters < taint->size() &&
           ((*taint)[letters] == ' ' || ((*taint)[letters] >= 'A' && (*taint)[letters] <= 'Z')))
      ++letters;
    report.taint = trim(taint->substr(0, letters));
  }
}

// "comm:pid" or "comm/pid": the number behind the last separator.
void parse_task(std::string_view text, char separator, OopsReport& report) {
  size_t at = text.rfind(separator);
  if (at == text.npos) return;
  auto pid = parse_number<int64_t>(text.substr(at + 1), 10);
  if (!pid) return;
  report.pid = pid;
  report.comm = text.substr(0, at);
}

// CPU, task, place and address as far as the headline itself tells.
void parse_headline_facts(std::string_view line, OopsReport& report) {
  if (auto rest = after(line, "WARNING: CPU: ")) {
    report.cpu = parse_number<int>(*rest, 10);
    if (auto pid = after(*rest, " PID: ")) report.pid = parse_number<int64_t>(*pid, 10);
    if (auto at = after(*rest, " at "))
      if (size_t space = at->find(' '); space != at->npos)
        if (auto place = parse_code_place(at->substr(space + 1))) report.rip = *place;
  } else if (auto cpu = after(line, ", CPU#"); cpu && line.find("WARNING: ") != line.npos) {
    report.cpu = parse_number<int>(*cpu, 10);
    if (auto task = after(*cpu, ": ")) parse_task(*task, '/', report);
    if (auto at = after(line.substr(0, line.find(", CPU#")), " at "))
      if (auto place = parse_code_place(*at)) report.rip = *place;
  } else if (auto lockup = after(line, "soft lockup - CPU#")) {
    report.cpu = parse_number<int>(*lockup, 10);
    size_t open = lockup->find('['), close = lockup->rfind(']');
    if (open != lockup->npos && close != lockup->npos && open < close)
      parse_task(lockup->substr(open + 1, close - open - 1), ':', report);
  } else if (auto hard = after(line, "hard LOCKUP on cpu ")) {
    report.cpu = parse_number<int>(*hard, 10);
  } else if (auto nmi = after(line, "NMI received for unknown reason ")) {
    if (auto on = after(*nmi, " on CPU ")) report.cpu = parse_number<int>(*on, 10);
  } else if (auto task = after(line, "INFO: task ")) {
    parse_task(task->substr(0, task->find(" blocked")), ':', report);
  } else if (auto address = after(line, "dereference, address: ")) {
    report.fault_address = parse_hex(*address);
  } else if (auto fault = after(line, "page fault for address: ")) {
    report.fault_address = parse_hex(*fault);
  } else if (auto gp = after(line, "for non-canonical address ")) {
    report.fault_address = parse_hex(*gp);
  } else if (auto old = after(line, "unable to handle kernel ")) {
    // "... NULL pointer dereference at 0000000000000008" or "at (null)"
    if (auto at = after(*old, " at ")) {
      if (at->find("(null)") != at->npos)
        report.fault_address = 0;
      else
        report.fault_address = parse_hex(*at);
    }
  } else if (auto bug = after(line, "BUG: K"); bug && line.find(" in ") != line.npos) {
    if (auto place = parse_code_place(*after(line, " in "))) report.rip = *place;
  }
}

struct RegisterName {
  std::string_view name;
  uint64_t Registers::*field;
};
// As __show_regs() prints them, arch/x86/kernel/process_64.c.
constexpr RegisterName kRegisterNames[] = {
    {"RAX", &Registers::ax},  {"RBX", &Registers::bx},  {"RCX", &Registers::cx},  {"RDX", &Registers::dx},
    {"RSI", &Registers::si},  {"RDI", &Registers::di},  {"RBP", &Registers::bp},  {"R08", &Registers::r8},
    {"R09", &Registers::r9},  {"R10", &Registers::r10}, {"R11", &Registers::r11}, {"R12", &Registers::r12},
    {"R13", &Registers::r13}, {"R14", &Registers::r14}, {"R15", &Registers::r15},
};

// Gathers the registers of one report; complete when RSP and all of kRegisterNames were seen.
class RegisterReader {
 public:
  // "RAX: ... RBX: ... RCX: ...", "RSP: 0018:... EFLAGS: ..."; false when the line is another.
  bool read(std::string_view line) {
    if (line.starts_with("RSP: ")) {
      // "RSP: 0018:ffffc90000003f88 EFLAGS: 00010246"
      std::string_view rest = line.substr(5);
      if (size_t colon = rest.find(':'); colon != rest.npos && colon <= 4) {
        if (auto ss = parse_hex(rest.substr(0, colon))) registers_.ss = *ss;
        rest.remove_prefix(colon + 1);
      }
      auto sp = parse_hex(rest);
      if (!sp) return false;
      registers_.sp = *sp;
      have_sp_ = true;
      if (auto flags = after(rest, "EFLAGS: "))
        if (auto value = parse_hex(*flags)) registers_.flags = *value;
      if (auto orig = after(rest, "ORIG_RAX: "))
        if (auto value = parse_hex(*orig)) registers_.orig_ax = *value;
      return true;
    }
    bool any = false;
    for (size_t i = 0; i < std::size(kRegisterNames); ++i) {
      size_t at = line.find(kRegisterNames[i].name);
      if (at == line.npos || line.substr(at + 3, 2) != ": ") continue;
      auto value = parse_hex(line.substr(at + 5));
      if (!value) continue;
      registers_.*kRegisterNames[i].field = *value;
      seen_ |= 1u << i;
      any = true;
    }
    return any;
  }
  void set_cs(uint64_t cs) { registers_.cs = cs; }
  std::optional<Registers> result() const {
    constexpr uint32_t kAll = (1u << std::size(kRegisterNames)) - 1;
    return have_sp_ && seen_ == kAll ? std::optional(registers_) : std::nullopt;
  }

 private:
  Registers registers_;
  uint32_t seen_ = 0;
  bool have_sp_ = false;
};

// Marks of one report: which roles may follow each other within a few lines. See the callers of __warn(),
// die() and the checks that print before they BUG().
bool may_join(Role lead, Role next) {
  switch (lead) {
    case Role::kPrelude:
      return next == Role::kPrelude || next == Role::kWarning || next == Role::kFault || next == Role::kDie;
    case Role::kFault:
      return next == Role::kDie || next == Role::kFault;
    case Role::kWarning:
      return next == Role::kPrelude;  // WARN() with a text prints it below its own line
    default:
      return false;
  }
}

// How well a headline of a role says what happened: a prelude names the cause, die() only that there is one.
int specificity(Role role) {
  switch (role) {
    case Role::kPrelude:
      return 3;
    case Role::kDie:
      return 0;
    case Role::kWarning:
      return 1;
    default:
      return 2;
  }
}

bool is_detail(std::string_view line) {
  return line.starts_with("RIP: ") || line.starts_with("Call Trace:") || line.starts_with("Call trace:") ||
         line.starts_with("CPU: ");
}

struct Mark {
  size_t line = 0;
  Headline headline;
};

constexpr size_t kMaxHeadlineGap = 8;  // lines between the headlines of one report

bool joins(std::span<const LogLine> lines, Role lead, const Mark& previous, const Mark& next) {
  if (next.line - previous.line > kMaxHeadlineGap) return false;
  if (!may_join(lead, next.headline.role) && !may_join(previous.headline.role, next.headline.role))
    return false;
  for (size_t i = previous.line + 1; i < next.line; ++i)
    if (is_detail(trim(lines[i].text))) return false;
  return true;
}

bool is_oops(Role role) {
  return role == Role::kFault || role == Role::kDie;
}

// A WARNING, a checker's report: what panic_on_warn makes fatal.
bool is_warning(const ReportSpan& span) {
  const Role role = span.headline.role;
  return role == Role::kWarning || role == Role::kReport || role == Role::kPrelude;
}

struct PanicText {
  std::string_view text;  // found anywhere in the message
  std::string_view crash_class;
};

// panic()'s callers.
constexpr PanicText kPanicTexts[] = {
    {"sysrq triggered crash", "sysrq"},         // drivers/tty/sysrq.c, since 5.0
    {"softlockup: hung tasks", "soft-lockup"},  // kernel/watchdog.c
    {"softlockup: ", "soft-lockup"},            // 6.18: "softlockup: %s"
    {"ard LOCKUP", "hard-lockup"},              // "Hard LOCKUP", "Watchdog detected hard LOCKUP"
    {"hung_task: ", "hung-task"},               // kernel/hung_task.c
    {"RCU Stall", "rcu-stall"},                 // kernel/rcu/tree_stall.h
    {"workqueue: ", "workqueue-lockup"},        // kernel/workqueue.c, panic_on_stall, 6.11
    {"NMI: Not continuing", "unknown-nmi"},     // arch/x86/kernel/nmi.c
    {"achine check", "mce"},                    // arch/x86/kernel/cpu/mce/core.c
    {"Not all CPUs entered broadcast exception handler", "mce"},  //
    {"CPUs did not respond to MCE broadcast", "mce"},             //
    {"Fatal hardware error", "mce"},                              // drivers/acpi/apei/ghes.c
    {"Out of memory", "oom-panic"},                               // mm/oom_kill.c
    {"ut of memory: ", "oom-panic"},                              //
    {"System is deadlocked on memory", "oom-panic"},              //
    {"panic_on_oom", "oom-panic"},                                //
    {"KASAN: ", "kasan"},                                         // check_panic_on_warn(), since 6.2
    {"KFENCE: ", "kfence"},                                       //
    {"KCSAN: ", "kcsan"},                                         //
    {"KMSAN: ", "kmsan"},                                         //
    {"kmsan.panic set", "kmsan"},                                 // mm/kmsan/report.c
    {"kfence.fault", "kfence"},                                   // mm/kfence/core.c, 7.0
    {"UBSAN: ", "ubsan"},                                         //
    {"scheduling while atomic", "atomic-sleep"},                  //
    {"Machine halted", "double-fault"},                           // exc_double_fault()
    {"kernel stack overflow", "double-fault"},                    //
};

// Messages that only say that there was an oops: oops_end(), do_exit(), make_task_dead().
constexpr std::string_view kPointsToOops[] = {
    "Fatal exception",        "Aiee, killing interrupt handler", "Attempted to kill the idle task",
    "Attempted to kill init",
    "Oops exceeded",  // "Oopsed too often (kernel.oops_limit is %d)" is written as two messages
    "Oopsed too often",
};
// check_panic_on_warn(): "%s: panic_on_warn set ..."; "Warned too often (kernel.warn_limit is %d)".
constexpr std::string_view kPointsToWarning[] = {"panic_on_warn set", "Warned too often",
                                                 "system warned too often"};

bool points_to(std::span<const std::string_view> texts, std::string_view message) {
  return std::any_of(texts.begin(), texts.end(),
                     [&](std::string_view text) { return message.find(text) != message.npos; });
}

}  // namespace

std::optional<Headline> find_headline(std::string_view line) {
  constexpr int kMaxPrefixes = 4;
  size_t offset = 0;
  while (offset < line.size() && (line[offset] == ' ' || line[offset] == '\t')) ++offset;
  std::optional<Headline> die;
  for (int i = 0; i <= kMaxPrefixes; ++i) {
    std::string_view rest = line.substr(offset);
    if (const Pattern* pattern = match_at(rest)) {
      Headline found{pattern->crash_class, pattern->role, offset};
      if (pattern->start != "Oops: ") return found;
      // "Oops: general protection fault, ..." since 6.10: the words behind it say more.
      if (is_page_fault_code(rest.substr(6))) found.crash_class = "page-fault";
      die = found;
    }
    size_t prefix = prefix_length(rest);
    if (prefix == 0) break;
    offset += prefix;
  }
  return die;
}

std::optional<CodePlace> parse_code_place(std::string_view text) {
  text = trim(text);
  while (text.starts_with("[<")) {
    size_t end = text.find(">]");
    if (end == text.npos) return std::nullopt;
    text = trim(text.substr(end + 2));
  }
  size_t plus = text.find("+0x");
  if (plus == text.npos || plus == 0) return std::nullopt;
  CodePlace place;
  place.function = text.substr(0, plus);
  if (place.function.find(' ') != place.function.npos) return std::nullopt;
  std::string_view rest = text.substr(plus + 3);
  size_t slash = rest.find('/');
  auto offset = parse_hex(rest);
  if (!offset || slash == rest.npos) return std::nullopt;
  place.offset = *offset;
  auto size = parse_hex(rest.substr(slash + 1));
  if (!size) return std::nullopt;
  place.size = *size;
  size_t open = rest.find(" [", slash);
  if (open != rest.npos) {
    std::string_view module = rest.substr(open + 2);
    module = module.substr(0, module.find_first_of(" ]"));
    // With CONFIG_STACKTRACE_BUILD_ID the build ID stands in the same brackets; "[inline]" is a decoder's.
    if (module != "inline") place.module = module;
  }
  return place;
}

OopsReport parse_report(std::span<const LogLine> lines, size_t first_line, size_t end_line) {
  constexpr size_t kMaxLines = 1000;
  constexpr size_t kMaxTrace = 256;
  OopsReport report;
  report.first_line = first_line;
  report.end_line = std::min({end_line, lines.size(), first_line + kMaxLines});
  RegisterReader registers;
  bool in_detail = false, in_trace = false, have_rip = false;
  std::vector<std::string_view> sections;
  for (size_t i = first_line; i < report.end_line; ++i) {
    std::string_view line = trim(lines[i].text);
    if (line.starts_with("---[ end trace") || line.starts_with("---[ end Kernel panic")) {
      report.ended = true;
      report.end_line = i + 1;
      break;
    }
    if (auto headline = find_headline(line)) {
      const bool first = i == first_line;
      // Others are another CPU's.
      if (!first && (in_detail || !may_join(report.role, headline->role))) continue;
      if (first || specificity(headline->role) > specificity(report.role)) {
        report.headline = line;
        report.crash_class = headline->crash_class;
        report.role = headline->role;
      }
      parse_headline_facts(line, report);
      continue;
    }
    in_detail = in_detail || is_detail(line);
    if (line.starts_with("CPU: ") || (line.starts_with("Pid: ") && line.find(", comm: ") != line.npos)) {
      parse_cpu_line(line, report);
    } else if (line.starts_with("RIP: ") && !in_trace && !have_rip) {
      std::string_view rest = line.substr(5);
      uint64_t cs = 0;
      if (size_t colon = rest.find(':'); colon != rest.npos && colon <= 4) {
        cs = parse_hex(rest.substr(0, colon)).value_or(0);
        rest.remove_prefix(colon + 1);
      }
      if (auto place = parse_code_place(rest)) report.rip = *place;
      registers.set_cs(cs);
      have_rip = true;
    } else if (line.starts_with("Call Trace:") || line.starts_with("Call trace:")) {
      in_trace = true;
    } else if (line.starts_with("CR2: ")) {
      bool page_fault = report.crash_class == "null-deref" || report.crash_class == "page-fault";
      if (page_fault && !report.fault_address) report.fault_address = parse_hex(line.substr(5));
    } else if (line.starts_with("<") && line.ends_with(">") && line.size() <= 24) {
      in_trace = true;
      std::string_view name = line.substr(1, line.size() - 2);
      if (!name.starts_with("/"))
        sections.push_back(name);
      else if (!sections.empty())
        sections.pop_back();
      if (sections.size() > 16) sections.erase(sections.begin());
    } else if (in_trace) {
      bool reliable = true;
      if (size_t mark = line.find("? "); mark != line.npos && (mark == 0 || line.starts_with("[<"))) {
        reliable = false;
        line = line.substr(mark + 2);
      }
      auto place = parse_code_place(line);
      if (place && report.trace.size() < kMaxTrace)
        report.trace.push_back({*place, reliable, sections.empty() ? std::string_view() : sections.back()});
    } else if (have_rip) {
      registers.read(line);
    }
  }
  if (have_rip) report.registers = registers.result();
  // A page fault whose first line was lost ("Oops: 0000 [#1]" alone), told by its address.
  if (report.role == Role::kDie && report.crash_class == "page-fault" &&
      report.fault_address.value_or(~0ull) < 4096)
    report.crash_class = "null-deref";
  return report;
}

std::string_view class_of_panic(std::string_view message) {
  for (const PanicText& panic : kPanicTexts)
    if (message.find(panic.text) != message.npos) return panic.crash_class;
  if (points_to(kPointsToOops, message) || points_to(kPointsToWarning, message)) return "";
  return "panic";
}

std::vector<ReportSpan> find_reports(std::span<const LogLine> lines) {
  constexpr size_t kMaxReports = 1 << 16;
  std::vector<ReportSpan> reports;
  Mark previous;
  Role lead = Role::kNotice;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].from_kernel) continue;
    auto headline = find_headline(lines[i].text);
    if (!headline) continue;
    const Mark mark{i, *headline};
    if (!reports.empty() && joins(lines, lead, previous, mark)) {
      ReportSpan& report = reports.back();
      report.last_line = i;
      report.is_oops = report.is_oops || is_oops(headline->role);
      if (specificity(headline->role) > specificity(report.headline.role)) {
        report.headline = *headline;
        report.best_line = i;
      }
    } else {
      // A log of nothing but warnings: the newest ones matter, and the very first.
      if (reports.size() == kMaxReports)
        reports.erase(reports.begin() + 1, reports.begin() + kMaxReports / 2);
      reports.push_back({i, i, i, *headline, is_oops(headline->role)});
      lead = headline->role;
    }
    previous = mark;
    if (headline->role == Role::kPanic) break;
  }
  return reports;
}

LogVerdict judge_log(std::span<const LogLine> lines) {
  LogVerdict verdict;
  const std::vector<ReportSpan> all = find_reports(lines);
  std::span<const ReportSpan> reports = all;
  size_t end = lines.size();
  if (!reports.empty() && reports.back().headline.role == Role::kPanic) {
    const ReportSpan& panic = reports.back();
    end = panic.first_line;
    verdict.panic = parse_report(lines, end, lines.size());
    verdict.panic_message = trim(lines[end].text.substr(panic.headline.offset + kPanicStart.size()));
    reports = reports.first(reports.size() - 1);
  }
  auto find_last = [&](auto&& fits) -> const ReportSpan* {
    auto found = std::find_if(reports.rbegin(), reports.rend(), fits);
    return found == reports.rend() ? nullptr : &*found;
  };
  auto read = [&](const ReportSpan& span) {
    const auto* next = &span + 1;
    // Messages of other CPUs between the lines of an oops do not end it.
    bool to_end = span.is_oops || next == reports.data() + reports.size();
    OopsReport report = parse_report(lines, span.first_line, to_end ? end : next->first_line);
    // Where the headline is die()'s alone, the lines below it were needed to tell the class.
    if (span.headline.role != Role::kDie) report.crash_class = span.headline.crash_class;
    report.role = span.headline.role;
    report.headline = trim(lines[span.best_line].text);
    return report;
  };
  auto oops = [](const ReportSpan& span) { return span.is_oops; };

  const ReportSpan* cause = nullptr;
  if (verdict.panic) {
    const std::string_view told = class_of_panic(verdict.panic_message);
    verdict.crash_class = told.empty() ? "panic" : told;
    if (told.empty()) {
      cause = points_to(kPointsToOops, verdict.panic_message) ? find_last(oops) : find_last(is_warning);
    } else if (told != "panic") {
      cause = find_last([&](const ReportSpan& span) { return span.headline.crash_class == told; });
    }
    if (cause) verdict.report = read(*cause);
    // init can also end by itself or by a signal, long after an oops of another task.
    if (cause && verdict.panic_message.find("kill init") != std::string_view::npos &&
        verdict.report->pid != 1) {
      verdict.report.reset();
      cause = nullptr;
    }
    if (cause && told.empty()) verdict.crash_class = verdict.report->crash_class;
  } else if ((cause = find_last(oops)) != nullptr) {
    verdict.report = read(*cause);
    bool newest = std::all_of(cause + 1, reports.data() + reports.size(), [](const ReportSpan& span) {
      return span.headline.role == Role::kNotice || span.headline.role == Role::kHardware;
    });
    verdict.unfinished_oops = newest && !verdict.report->ended;
  }
  // Up to 4.20 sysrq-c crashed by a NULL dereference of its own (8341f2f222d7).
  if (verdict.report && verdict.report->rip.function == "sysrq_handle_crash") {
    verdict.report->crash_class = "sysrq";
    if (verdict.panic) verdict.crash_class = "sysrq";
  }
  const size_t own = verdict.report ? verdict.report->first_line : end;
  if (!reports.empty() && reports.front().first_line < own)
    verdict.first_anomaly = reports.front().first_line;
  return verdict;
}

}  // namespace perfcore
