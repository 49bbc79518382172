// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/report_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "crash/blame.h"
#include "crash/console_line.h"
#include "crash/frame_roles.h"
#include "crash/oops_text.h"

namespace perfcore {
namespace {

using Role = ReportRole;
using Text = std::string_view;

/// Where the guilty function comes from.
enum class Blame {
  kNobody,           ///< the title names no function
  kStack,            ///< RIP and the first trace
  kStall,            ///< the same, by the rules for stalls
  kStackOrLockSite,  ///< the stack, or else as kLockSite
  kLockSite,         ///< "at: foo+0x1/0x2" of lockdep, where the lock is or was taken
  kSpecial,          ///< by the report's own rule
};

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
  kRust
};

constexpr Text kBad = "bad-access in $F";

}  // namespace

struct ReportRule {
  Text start;  ///< the headline begins so
  Text also;   ///< and holds this further on; empty: nothing more is asked
  Role role;
  Text kind;
  Text type;
  Text title;  ///< "$F" stands for the guilty function
  Blame blame = Blame::kStack;
  Text alt = {};
  Special special = Special::kNone;
};

namespace {

// The kernel's own words, by the function that prints them. Of two rules with one beginning the more specific
// comes first.
constexpr Text kDoS = "DoS", kHang = "HANG", kLock = "LOCKDEP", kWarn = "WARNING",
               kMemory = "MEMORY_SAFETY_BUG";
constexpr Text kGpf = "general protection fault in $F";
constexpr Text kPaging = "BUG: unable to handle kernel paging request in $F";
constexpr Text kNull = "BUG: unable to handle kernel NULL pointer dereference in $F";
constexpr Text kNullType = "NULL-POINTER-DEREFERENCE";
constexpr Text kHung = "INFO: task hung in $F";
constexpr Text kRcuStall = "INFO: rcu detected stall in $F";
constexpr Text kDeadlock = "possible deadlock in $F";

constexpr ReportRule kRules[] = {
    // arch/x86/mm/fault.c, show_fault_oops(), with the wordings up to 5.0 and of other machines.
    {"BUG: kernel NULL pointer dereference", "", Role::kFault, "null-deref", kNullType, kNull, Blame::kStack,
     kBad},
    {"BUG: Kernel NULL pointer dereference", "", Role::kFault, "null-deref", kNullType, kNull, Blame::kStack,
     kBad},
    {"BUG: unable to handle kernel NULL pointer dereference", "", Role::kFault, "null-deref", kNullType,
     kNull, Blame::kStack, kBad},
    {"BUG: unable to handle kernel ", "", Role::kFault, "page-fault", kMemory, kPaging, Blame::kStack, kBad},
    {"BUG: unable to handle page fault", "", Role::kFault, "page-fault", kMemory, kPaging, Blame::kStack,
     kBad},
    {"BUG: Unable to handle kernel ", "", Role::kFault, "page-fault", kMemory, kPaging, Blame::kStack, kBad},
    {"Unable to handle kernel NULL pointer dereference", "", Role::kFault, "null-deref", kNullType, kNull,
     Blame::kStack, kBad},
    {"Unable to handle kernel ", "", Role::kFault, "page-fault", kMemory, kPaging, Blame::kStack, kBad},
    // arch/x86/kernel/traps.c and dumpstack.c, "%s: %04lx [#%d]"; since 6.10 with "Oops: " before them.
    {"general protection fault: ", "", Role::kFault, "gpf", kDoS, kGpf, Blame::kStack, kBad},
    {"general protection fault, ", "", Role::kFault, "gpf", kDoS, kGpf, Blame::kStack, kBad},
    {"general protection fault ", "", Role::kFault, "gpf", kDoS, kGpf, Blame::kStack, kBad},
    {"divide error: ", "", Role::kFault, "divide-error", kDoS, "divide error in $F"},
    {"int3: ", "", Role::kFault, "int3", kDoS, "int3 in $F"},
    {"stack segment: ", "", Role::kFault, "stack-segment", kDoS, "stack segment fault in $F"},
    {"PANIC: double fault", "", Role::kFault, "double-fault", kDoS, "PANIC: double fault in $F"},
    {"double fault: ", "", Role::kFault, "double-fault", kDoS, "PANIC: double fault in $F"},
    {"BUG: ", "stack guard page was hit", Role::kFault, "double-fault", "",
     "BUG: stack guard page was hit in $F", Blame::kStall, "stack-overflow in $F"},
    {"stack guard page: ", "", Role::kDie, "double-fault", "", "BUG: stack guard page was hit in $F",
     Blame::kStall, "stack-overflow in $F"},
    {"kernel stack overflow", "", Role::kDie, "double-fault", "", "kernel stack overflow in $F",
     Blame::kStack, "stack-overflow in $F"},
    {"kernel BUG at ", "lib/list_debug.c", Role::kFault, "list-corruption", kMemory,
     "BUG: corrupted list in $F", Blame::kStack, kBad},
    {"kernel BUG at ", "mm/usercopy.c", Role::kFault, "kernel-bug", "BUG", "BUG: bad usercopy in $F"},
    {"kernel BUG at ", "", Role::kFault, "kernel-bug", "BUG", "kernel BUG in $F"},
    {"Kernel BUG ", "[", Role::kFault, "kernel-bug", "BUG", "kernel BUG in $F"},
    {"invalid opcode: ", "[#", Role::kDie, "kernel-bug", kDoS, "invalid opcode in $F"},
    {"Oops: ", "[#", Role::kDie, "other", kDoS, "Oops in $F"},
    // Sanitisers: mm/kasan, mm/kfence, mm/kmsan, kernel/kcsan, lib/ubsan.c; mm/kmemleak.c.
    {"BUG: KASAN: ", "", Role::kReport, "kasan", "", "", Blame::kSpecial, "", Special::kKasan},
    {"BUG: KFENCE: ", "", Role::kReport, "kfence", "", "", Blame::kSpecial, "", Special::kKfence},
    {"BUG: KMSAN: ", "", Role::kReport, "kmsan", "", "", Blame::kSpecial, "", Special::kKmsan},
    {"BUG: KCSAN: ", "", Role::kReport, "kcsan", "", "", Blame::kSpecial, "", Special::kKcsan},
    {"UBSAN: ", " in ", Role::kReport, "ubsan", "UBSAN", "", Blame::kSpecial, "", Special::kUbsan},
    {"BUG: memory leak", "", Role::kReport, "memory-leak", "LEAK", "memory leak in $F"},
    {"unreferenced object 0x", "", Role::kReport, "memory-leak", "LEAK", "memory leak in $F"},
    // lib/list_debug.c, lib/debugobjects.c.
    {"list_add corruption", "", Role::kPrelude, "list-corruption", kMemory, "BUG: corrupted list in $F",
     Blame::kStack, kBad},
    {"list_add double add", "", Role::kPrelude, "list-corruption", kMemory, "BUG: corrupted list in $F",
     Blame::kStack, kBad},
    {"list_del corruption", "", Role::kPrelude, "list-corruption", kMemory, "BUG: corrupted list in $F",
     Blame::kStack, kBad},
    {"ODEBUG: ", " object type: ", Role::kPrelude, "odebug", kWarn, "WARNING: ODEBUG bug in $F"},
    // kernel/sched/core.c, lib/smp_processor_id.c, kernel/workqueue.c, arch/x86/entry.
    {"BUG: sleeping function called from invalid context", "", Role::kReport, "atomic-sleep", "ATOMIC_SLEEP",
     "BUG: sleeping function called from invalid context in $F"},
    {"BUG: scheduling while atomic", "", Role::kReport, "atomic-sleep", "ATOMIC_SLEEP",
     "BUG: scheduling while atomic in $F"},
    {"BUG: using ", " in preemptible", Role::kReport, "atomic-sleep", kLock, "", Blame::kSpecial, "",
     Special::kPreemptible},
    {"BUG: workqueue leaked ", "", Role::kReport, "lockdep", "", "BUG: workqueue leaked lock or atomic in $F",
     Blame::kSpecial},
    // kernel/locking/lockdep.c and spinlock_debug.c; "INFO: " and "[ BUG: ... ]" up to 4.13.
    {"WARNING: possible ", "lock", Role::kReport, "lockdep", kLock, kDeadlock, Blame::kLockSite},
    {"INFO: possible ", "lock", Role::kReport, "lockdep", kLock, kDeadlock, Blame::kLockSite},
    {"WARNING: inconsistent lock state", "", Role::kReport, "lockdep", kLock, "inconsistent lock state in $F",
     Blame::kStackOrLockSite},
    {"INFO: inconsistent lock state", "", Role::kReport, "lockdep", kLock, "inconsistent lock state in $F",
     Blame::kStackOrLockSite},
    {"inconsistent lock state", "", Role::kReport, "lockdep", kLock, "inconsistent lock state in $F",
     Blame::kStackOrLockSite},
    {"WARNING: HARDIRQ-", "", Role::kReport, "lockdep", kLock, kDeadlock, Blame::kLockSite},
    {"WARNING: SOFTIRQ-", "", Role::kReport, "lockdep", kLock, kDeadlock, Blame::kLockSite},
    {"INFO: HARDIRQ-", "", Role::kReport, "lockdep", kLock, kDeadlock, Blame::kLockSite},
    {"INFO: SOFTIRQ-", "", Role::kReport, "lockdep", kLock, kDeadlock, Blame::kLockSite},
    {"WARNING: bad unlock balance", "", Role::kReport, "lockdep", kLock, "WARNING: bad unlock balance in $F",
     Blame::kLockSite},
    {"BUG: bad unlock balance", "", Role::kReport, "lockdep", kLock, "BUG: bad unlock balance in $F",
     Blame::kLockSite},
    {"WARNING: bad contention", "", Role::kReport, "lockdep", kLock, "WARNING: bad contention in $F",
     Blame::kLockSite},
    {"WARNING: held lock freed", "", Role::kReport, "lockdep", kLock, "WARNING: held lock freed in $F",
     Blame::kLockSite},
    {"BUG: held lock freed", "", Role::kReport, "lockdep", kLock, "BUG: held lock freed in $F",
     Blame::kLockSite},
    {"WARNING: lock held when returning to user", "", Role::kReport, "lockdep", kLock,
     "WARNING: lock held when returning to user space in $F", Blame::kLockSite},
    {"BUG: lock held when returning to user", "", Role::kReport, "lockdep", kLock,
     "BUG: lock held when returning to user space in $F", Blame::kLockSite},
    {"WARNING: lock held at task exit", "", Role::kReport, "lockdep", kLock,
     "WARNING: lock held at task exit in $F", Blame::kLockSite},
    {"WARNING: Nested lock was not taken", "", Role::kReport, "lockdep", kLock,
     "WARNING: nested lock was not taken in $F", Blame::kLockSite},
    {"INFO: trying to register non-static key", "", Role::kReport, "lockdep", "",
     "INFO: trying to register non-static key in $F"},
    {"BUG: spinlock bad magic", "", Role::kReport, "lockdep", kLock, "BUG: spinlock bad magic in $F"},
    {"BUG: spinlock already unlocked", "", Role::kReport, "lockdep", kLock,
     "BUG: spinlock already unlocked in $F"},
    {"BUG: spinlock recursion", "", Role::kReport, "lockdep", kLock, "BUG: spinlock recursion in $F"},
    {"BUG: spinlock lockup", "", Role::kReport, "lockdep", kLock, "BUG: spinlock lockup suspected in $F"},
    {"BUG: spinlock ", "", Role::kReport, "lockdep", kLock, "BUG: spinlock misuse in $F"},
    {"BUG: rwlock ", "", Role::kReport, "lockdep", kLock, "BUG: rwlock misuse in $F"},
    {"BUG: Invalid wait context", "", Role::kReport, "lockdep", kLock, "BUG: Invalid wait context in $F"},
    {"WARNING: suspicious RCU usage", "", Role::kReport, "rcu-usage", kLock,
     "WARNING: suspicious RCU usage in $F"},
    {"INFO: suspicious RCU usage", "", Role::kReport, "rcu-usage", "", "INFO: suspicious RCU usage in $F"},
    {"suspicious RCU usage.", "", Role::kReport, "rcu-usage", "", "INFO: suspicious RCU usage in $F"},
    {"INFO: suspicious rcu_dereference_check() usage", "", Role::kReport, "rcu-usage", "",
     "INFO: suspicious RCU usage in $F"},
    // mm/page_alloc.c, mm/memory.c, kernel/fork.c, mm/slub.c.
    {"BUG: Bad page state", "", Role::kReport, "bad-page", "", "BUG: Bad page state in $F"},
    {"BUG: Bad page map", "", Role::kReport, "bad-page", "", "BUG: Bad page map", Blame::kNobody},
    {"BUG: Bad rss-counter state", "", Role::kReport, "bad-page", "", "BUG: Bad rss-counter state",
     Blame::kNobody},
    {"BUG: non-zero pgtables_bytes", "", Role::kReport, "bad-page", "",
     "BUG: non-zero pgtables_bytes on freeing mm", Blame::kNobody},
    {"BUG ", "): ", Role::kReport, "other", "", "SLUB: corrupted object in $F"},
    // kernel/watchdog.c, watchdog_perf.c; kernel/rcu/tree_stall.h; kernel/hung_task.c; kernel/workqueue.c.
    {"BUG: soft lockup", "", Role::kStall, "soft-lockup", kHang, "BUG: soft lockup in $F", Blame::kStall,
     "stall in $F"},
    {"Watchdog detected hard LOCKUP", "", Role::kStall, "hard-lockup", kHang, "BUG: hard lockup in $F",
     Blame::kStall, "stall in $F"},
    {"Watchdog detected LOCKUP", "", Role::kStall, "hard-lockup", kHang, "BUG: hard lockup in $F",
     Blame::kStall, "stall in $F"},
    {"CPU", "detected hard LOCKUP", Role::kStall, "hard-lockup", kHang, "BUG: hard lockup in $F",
     Blame::kStall, "stall in $F"},
    {"INFO: rcu_", "stall", Role::kStall, "rcu-stall", kHang, kRcuStall, Blame::kStall, "stall in $F"},
    {"INFO: rcu detected stall", "", Role::kStall, "rcu-stall", kHang, kRcuStall, Blame::kStall,
     "stall in $F"},
    {"INFO: task ", " blocked for more than ", Role::kReport, "hung-task", kHang, kHung, Blame::kStack,
     "hang in $F"},
    {"INFO: task ", " can't die for more than ", Role::kReport, "hung-task", kHang,
     "INFO: task can't die in $F", Blame::kStack, "hang in $F"},
    {"INFO: task ", "", Role::kReport, "hung-task", kHang, kHung, Blame::kStack, "hang in $F"},
    {"BUG: workqueue lockup", "", Role::kStall, "workqueue-lockup", kHang, "BUG: workqueue lockup",
     Blame::kNobody},
    // net/core/dev.c, fs/dcache.c, fs/open.c, fs/super.c.
    {"unregister_netdevice: waiting for ", " to become free", Role::kReport, "unregister-netdev", kDoS,
     "unregister_netdevice: waiting for DEV to become free", Blame::kNobody},
    {"BUG: Dentry ", " still in use ", Role::kReport, "kernel-bug", "", "BUG: Dentry still in use in unmount",
     Blame::kNobody},
    {"VFS: Close: file count is ", "", Role::kReport, "other", kDoS,
     "VFS: Close: file count is zero (use-after-free)", Blame::kNobody},
    {"VFS: Busy inodes after unmount", "", Role::kReport, "other", "",
     "VFS: Busy inodes after unmount (use-after-free)", Blame::kNobody},
    // rust/kernel: panic of Rust code, before its BUG().
    {"rust_kernel: panicked at ", "", Role::kPrelude, "other", "", "", Blame::kSpecial, "", Special::kRust},
    // arch/x86/mm/extable.c; arch/x86/events/intel/core.c; arch/x86/kernel/nmi.c; kernel/events/core.c.
    {"unchecked MSR access error", "", Role::kReport, "msr-access", "", "unchecked MSR access error in $F"},
    {"perfevents: irq loop stuck", "", Role::kPrelude, "nmi-storm", "", "perfevents: irq loop stuck in $F"},
    {"Uhhuh. NMI received", "", Role::kNotice, "unknown-nmi", "", "NMI received for unknown reason",
     Blame::kNobody},
    {"NMI received for unknown reason", "", Role::kNotice, "unknown-nmi", "",
     "NMI received for unknown reason", Blame::kNobody},
    {"INFO: NMI handler ", "took too long", Role::kNotice, "nmi-storm", "", "INFO: NMI handler took too long",
     Blame::kSpecial},
    {"perf: interrupt took too long", "", Role::kNotice, "nmi-storm", "", "perf: interrupt took too long",
     Blame::kNobody},
    // kernel/panic.c, __warn(), with the wordings up to 3.x and since 6.18.
    {"WARNING: kernel stack ", " has bad 'bp' value", Role::kReport, "warning", "",
     "WARNING: kernel stack regs has bad 'bp' value", Blame::kNobody},
    {"WARNING: kernel stack ", " has bad value", Role::kReport, "warning", "",
     "WARNING: kernel stack regs has bad value", Blame::kNobody},
    {"WARNING: CPU: ", "", Role::kReport, "warning", kWarn, "", Blame::kSpecial, "", Special::kWarning},
    {"WARNING: at ", "", Role::kReport, "warning", kWarn, "", Blame::kSpecial, "", Special::kWarning},
    {"WARNING: ", " at ", Role::kReport, "warning", kWarn, "", Blame::kSpecial, "", Special::kWarning},
    {"WARNING: ", ", CPU#", Role::kReport, "warning", kWarn, "", Blame::kSpecial, "", Special::kWarning},
    {"Kernel panic - not syncing", "", Role::kPanic, "panic", kDoS, "", Blame::kSpecial, "", Special::kPanic},
    // Whatever else calls itself a bug.
    {"BUG: ", "", Role::kReport, "kernel-bug", "", "", Blame::kSpecial, "", Special::kAnyBug},
};

constexpr ReportRule kHeadless = {
    "", "", Role::kNotice, "other", "", "trace in $F",
};

class RuleIndex {
 public:
  RuleIndex() {
    for (const ReportRule& rule : kRules)
      by_first_[static_cast<unsigned char>(rule.start[0])].push_back(&rule);
  }
  const ReportRule* match(Text text) const {
    if (text.empty()) return nullptr;
    for (const ReportRule* rule : by_first_[static_cast<unsigned char>(text[0])])
      if (text.starts_with(rule->start) &&
          (rule->also.empty() || text.find(rule->also, rule->start.size() - 1) != text.npos))
        return rule;
    return nullptr;
  }

 private:
  std::array<std::vector<const ReportRule*>, 256> by_first_;
};

const RuleIndex& rule_index() {
  static const RuleIndex index;
  return index;
}

// Length of a subsystem prefix ("watchdog: ", "NMI watchdog: ", "rcu: ", "[ ", "Oops: ") or 0.
size_t prefix_length(Text text) {
  if (text.starts_with("[ ")) return 2;
  constexpr size_t kMaxPrefix = 32;
  const size_t end = text.substr(0, kMaxPrefix).find(": ");
  if (end == text.npos) return 0;
  return std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(end), ' ') <= 1 ? end + 2 : 0;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

Text trim(Text text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

std::optional<Text> after(Text line, Text label) {
  const size_t at = line.find(label);
  if (at == line.npos) return std::nullopt;
  return line.substr(at + label.size());
}
Text before(Text text, Text mark) {
  return text.substr(0, text.find(mark));
}

template <typename T>
std::optional<T> number(Text text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 10);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

/// Numbers and addresses out: what differs between two reports of one bug.
std::string without_numbers(Text text) {
  constexpr size_t kMaxTitle = 120;
  std::string result;
  for (size_t i = 0; i < text.size() && result.size() < kMaxTitle;) {
    size_t end = i;
    while (end < text.size() && is_word(text[end])) ++end;
    if (end == i) {
      result += text[i++];
      continue;
    }
    const Text word = text.substr(i, end - i);
    const bool decimal = std::all_of(word.begin(), word.end(), is_digit);
    const bool hex =
        word.starts_with("0x") || (word.size() >= 8 && std::all_of(word.begin(), word.end(), [](char c) {
                                     return is_digit(c) || (c >= 'a' && c <= 'f');
                                   }));
    if (hex && !(decimal && word.size() < 8))
      result += "ADDR";
    else if (decimal)
      result += result.ends_with(".c:") || result.ends_with(".h:") ? "LINE" : "NUM";
    else
      result += word;
    i = end;
  }
  return std::string(trim(result));
}

/// The parts of a report's text that hold stacks.
struct Trace {
  size_t line = 0;
  Text announced;     ///< the line that announces it; empty: none does
  bool call = false;  ///< "Call Trace:"
  std::vector<ConsoleFrame> rip;
  std::vector<ConsoleFrame> frames;
  size_t bare = 0;        ///< lines with an address and no symbol
  size_t unreliable = 0;  ///< lines with "?"
};

struct Stacks {
  std::vector<Trace> traces;
  std::vector<ConsoleFrame> last_rip;  ///< behind the last trace
};

constexpr Text kTraceStarts[] = {"Call Trace:",
                                 "Call trace:",
                                 "backtrace:",
                                 "Backtrace:",
                                 "backtrace (crc",
                                 "Allocated by task",
                                 "Freed by task",
                                 "Allocated:",
                                 "Freed:",
                                 "stack backtrace:",
                                 "Uninit was ",
                                 "Local variable ",
                                 "allocated by task",
                                 "freed by task",
                                 "Last potentially related work creation:",
                                 "Second to last potentially"};

Text trace_start(Text line) {
  for (Text start : kTraceStarts)
    if (line.starts_with(start)) return start;
  // "[<ffffffff81000000>] Call Trace:" and the like, where prefixes got mixed up.
  if (line.size() < 80 && (line.ends_with("Call Trace:") || line.ends_with("Call trace:")))
    return "Call Trace:";
  return {};
}

constexpr Text kTraceEnds[] = {
    "---[ end ",           "Modules linked in:",    "Kernel panic",        "Showing all locks",
    "Memory state around", "Rebooting in ",         "Kernel Offset:",      "================",
    "The buggy address",   "other info that might", "Kernel command line", "------------[ cut here"};

constexpr size_t kMaxTraces = 64;
constexpr size_t kMaxFrames = 1024;
constexpr size_t kMaxTraceGap = 24;

void add(std::vector<ConsoleFrame>& to, std::vector<ConsoleFrame>&& frames) {
  for (ConsoleFrame& frame : frames)
    if (to.size() < kMaxFrames) to.push_back(std::move(frame));
}

/// "<NMI>", "</IRQ>", also with a frame behind it; moves on in `text`.
void read_section(Text& text, std::vector<std::string>& open) {
  text = trim(text);
  for (int i = 0; i < 4 && text.starts_with("<"); ++i) {
    const size_t close = text.find('>');
    if (close == text.npos || close > 20) return;
    Text name = text.substr(1, close - 1);
    const bool ends = name.starts_with("/");
    if (ends) name.remove_prefix(1);
    if (!std::all_of(name.begin(), name.end(), [](char c) { return is_word(c) || c == '#'; })) return;
    if (ends || name == "EOI" || name == "EOE") {
      if (!open.empty()) open.pop_back();
    } else if (open.size() < 8) {
      open.emplace_back(name);
    }
    text = trim(text.substr(close + 1));
  }
}

bool only_inlined(const std::vector<ConsoleFrame>& frames) {
  return std::all_of(frames.begin(), frames.end(), [](const ConsoleFrame& frame) { return frame.inlined; });
}

Stacks read_stacks(const std::vector<std::string>& lines, size_t from) {
  Stacks stacks;
  Trace* trace = nullptr;
  size_t gap = 0;
  bool code_seen = false;
  std::vector<std::string> sections;
  std::vector<ConsoleFrame> rip;
  auto begin = [&](size_t line, Text announced, bool call) {
    if (stacks.traces.size() == kMaxTraces) return;
    stacks.traces.push_back({});
    trace = &stacks.traces.back();
    trace->line = line;
    trace->announced = announced;
    trace->call = call;
    trace->rip = std::move(rip);
    rip.clear();
    sections.clear();
    gap = 0;
    code_seen = false;
  };
  for (size_t i = from; i < lines.size(); ++i) {
    Text text = lines[i];
    if (Text start = trace_start(text); !start.empty()) {
      const bool call = start.starts_with("Call");
      // lockdep announces what "Call Trace:" announces once more.
      if (start == "stack backtrace:") {
        trace = nullptr;
      } else {
        begin(i, text, call);
        // "Call Trace: foo+0x1/0x2" on one line
        if (auto frame = parse_frame_line(text.substr(std::min(text.size(), text.find(':') + 1)));
            frame && trace && call)
          if (frame->reliable) add(trace->frames, std::move(frame->frames));
      }
      continue;
    }
    if (trace) read_section(text, sections);
    if (auto frames = parse_rip_line(text)) {
      if (trace && !code_seen && !trace->frames.empty()) {
        for (ConsoleFrame& frame : frames->frames) frame.interrupted = true;
        add(trace->frames, std::move(frames->frames));
        gap = 0;
      } else if (trace && trace->frames.empty() && !trace->rip.empty() && only_inlined(trace->rip)) {
        add(trace->rip, std::move(frames->frames));
      } else if (rip.empty() || only_inlined(rip)) {
        if (trace && (code_seen || trace->frames.empty()) && !trace->rip.empty()) continue;
        // Symbolised text names what was inlined first, on a line each.
        add(rip, std::move(frames->frames));
        if (trace && trace->rip.empty()) trace->rip = std::exchange(rip, {});
      }
      continue;
    }
    if (auto frames = parse_frame_line(text)) {
      // "Preemption disabled at:" and the like name one place.
      if (!trace && i > 0 && Text(lines[i - 1]).ends_with("at:")) continue;
      if (!trace) begin(i, {}, false);
      if (!trace) break;
      gap = 0;
      if (!frames->reliable) {
        ++trace->unreliable;
        continue;
      }
      for (ConsoleFrame& frame : frames->frames)
        if (!sections.empty()) frame.section = sections.back();
      add(trace->frames, std::move(frames->frames));
      continue;
    }
    if (!trace) continue;
    if (is_bare_address(text)) {
      ++trace->bare;
      continue;
    }
    if (text.starts_with("Code: ")) {
      const bool own = trace->frames.empty() || !trace->frames.back().interrupted;
      if (own) code_seen = true;
      if (own && !trace->call) trace = nullptr;
      continue;
    }
    const bool ends = std::any_of(std::begin(kTraceEnds), std::end(kTraceEnds),
                                  [&](Text end) { return text.starts_with(end); });
    ++gap;
    if (ends || gap > kMaxTraceGap || (!trace->call && !trace->frames.empty())) trace = nullptr;
  }
  stacks.last_rip = std::move(rip);
  return stacks;
}

/// What the rules work on.
struct Draft {
  ConsoleReport& report;
  const ReportRule& rule;
  Text headline;  ///< from the rule's beginning on
  size_t index;   ///< of the headline's line
  Stacks stacks;
  std::string function;
  std::string named;  ///< by the headline, when no stack says more: not good enough for the title

  const std::vector<std::string>& lines() const { return report.lines; }
};

/// Whom a title may name. Inlined calls are in symbolised text only: raw and symbolised text of one crash
/// must give one title.
std::vector<std::string> names(const std::vector<ConsoleFrame>& frames) {
  std::vector<std::string> result;
  for (const ConsoleFrame& frame : frames)
    if (!frame.inlined) result.push_back(normalised_function(frame.function));
  return result;
}

/// "foo+0x1/0x2 ..." or "foo" -> "foo"
Text function_in(Text text) {
  text = trim(text);
  size_t end = 0;
  if (text.starts_with("<")) {
    end = std::min(text.find("+0x"), text.size());
  } else {
    while (end < text.size() && (is_word(text[end]) || text[end] == '.' || text[end] == ':')) ++end;
  }
  return text.substr(0, end);
}

bool has_frames(const Trace& trace) {
  return !trace.frames.empty() || !trace.rip.empty();
}

/// The stack of a message that is no report: fault injection, a failed allocation. Without caller IDs it gets
/// between a headline and its stack.
bool is_foreign(const Trace& trace) {
  return std::any_of(trace.frames.begin(), trace.frames.end(), [](const ConsoleFrame& frame) {
    const Text function = frame.function;
    return function.starts_with("should_fail") || function.starts_with("warn_alloc") ||
           function == "dump_header";
  });
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

/// RIP and the first trace, and who of them is to blame.
void blame_stack(Draft& r, Text kind, std::vector<std::string> first = {}) {
  r.report.frames = stack_of(r, first_trace(r));
  std::vector<std::string> functions = std::move(first);
  for (std::string& name : names(r.report.frames)) functions.push_back(std::move(name));
  r.function = blamed_function(functions, kind);
}

/// An exception's RIP line, also where lines of others got in between.
std::vector<std::string> faulting_functions(const Draft& r) {
  constexpr size_t kReach = 48;
  for (size_t i = r.index + 1; i < std::min(r.lines().size(), r.index + kReach); ++i)
    if (auto rip = parse_rip_line(r.lines()[i]); rip && !(only_inlined(rip->frames) && !rip->frames.empty()))
      return names(rip->frames);
  return {};
}

void blame_stall(Draft& r, Text kind) {
  const Trace* first = first_trace(r);
  r.report.frames = stack_of(r, first);
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

/// "at: foo+0x1/0x2", "at: [<addr>] foo+0x1/0x2", "at:" and the frame on the next line.
std::optional<std::string> lock_site(const Draft& r, size_t line) {
  const Text text = r.lines()[line];
  Text rest;
  if (size_t at = text.find("at: "); at != text.npos)
    rest = text.substr(at + 4);
  else if (text.ends_with(" at:") && line + 1 < r.lines().size())
    rest = r.lines()[line + 1];
  else
    return std::nullopt;
  if (auto frame = parse_frame_line(rest))
    for (const ConsoleFrame& one : frame->frames)
      if (!one.inlined || one.offset) return normalised_function(one.function);
  return std::nullopt;
}

/// Where the lock was taken that is one too many: the first site that is not a locking function itself.
void blame_lock_site(Draft& r) {
  std::vector<std::string> functions;
  constexpr size_t kReach = 64;
  const size_t end = std::min(r.lines().size(), r.index + kReach);
  // "... which became HARDIRQ-irq-safe at:" is followed by the stack of who uses the lock in an interrupt.
  const bool irq_order = r.headline.find("-safe -> ") != r.headline.npos;
  for (size_t i = r.index + 1; i < end; ++i) {
    const Text line = r.lines()[i];
    if (trace_start(line) == "Call Trace:") break;
    if (irq_order) {
      if (line.find("which became ") == line.npos) continue;
      for (size_t j = i + 1; j < end; ++j) {
        auto frame = parse_frame_line(r.lines()[j]);
        if (!frame) break;
        if (frame->reliable)
          for (const ConsoleFrame& one : frame->frames)
            functions.push_back(normalised_function(one.function));
      }
      break;
    }
    if (auto site = lock_site(r, i)) functions.push_back(std::move(*site));
  }
  r.function = blamed_function(functions, r.rule.kind);
  if (!functions.empty()) r.named = functions.front();
}

/// lockdep's own stack is that behind "stack backtrace:"; those before it show how the locks were taken.
const Trace* call_trace(const Draft& r) {
  for (const Trace& trace : r.stacks.traces)
    if (trace.call && has_frames(trace)) return &trace;
  return nullptr;
}

void read_lockdep(Draft& r) {
  r.report.frames = stack_of(r, call_trace(r));
  if (r.rule.blame == Blame::kStackOrLockSite)
    r.function = blamed_function(names(r.report.frames), r.rule.kind);
  if (r.function.empty()) blame_lock_site(r);
  if (r.function.empty() && r.rule.blame == Blame::kLockSite)
    r.function = blamed_function(names(r.report.frames), r.rule.kind);
  if (r.function.empty()) r.function = std::exchange(r.named, {});
}

// print_error_description() of mm/kasan/report.c: "BUG: KASAN: use-after-free in foo+0x1/0x2", then "Read of
// size 8 at addr ..."; "... in foo at addr ..." up to 4.9.
void read_kasan(Draft& r) {
  const Text what = r.headline.substr(r.rule.start.size());
  blame_stack(r, "kasan");
  Text access;
  for (size_t i = r.index + 1; i < std::min(r.lines().size(), r.index + 12) && access.empty(); ++i)
    for (Text word : {Text("Read"), Text("Write"), Text("Free")})
      if (after(r.lines()[i], std::string(word) + (word == "Free" ? " of addr" : " of size "))) access = word;
  Text bug = before(what, " in ");
  bug = before(bug, " on ");
  if (what.find("invalid-free") != what.npos || bug == "double-free") {
    r.report.title = "KASAN: invalid-free in $F";
    r.report.alt_titles = {"invalid-free in $F"};
    r.report.type = "KASAN-INVALID-FREE";
    return;
  }
  if (access.empty()) {
    // Without the access nothing says that what follows belongs to it.
    r.report.title = "KASAN: " + without_numbers(what);
    if (size_t plus = r.report.title.find("+ADDR"); plus != std::string::npos)
      r.report.title.erase(plus, r.report.title.find(' ', plus) - plus);
    r.report.type = "KASAN-READ";
    r.report.corrupted = "the line that says which access it was is missing";
    if (auto in = after(what, " in ")) r.function = normalised_function(function_in(*in));
    return;
  }
  if (r.function.empty())
    if (auto in = after(what, " in ")) {
      const std::string named = normalised_function(function_in(*in));
      if (!is_passed_over(named, "kasan")) r.function = named;
      r.report.corrupted = "the stack is missing";
    }
  std::string upper = access == "Write" ? "WRITE" : "READ";
  if (bug.find("use-after-free") != bug.npos)
    r.report.type = "KASAN-USE-AFTER-FREE-" + upper;
  else if (bug == "null-ptr-deref")
    r.report.type = "KASAN-NULL-POINTER-DEREFERENCE-" + upper;
  else
    r.report.type = "KASAN-" + upper;
  r.report.title = "KASAN: " + std::string(bug) + " " + std::string(access) + " in $F";
  // Accesses to other address spaces need no stack to be told apart, those to objects do.
  if (r.function.empty() && what.find(" in ") == what.npos) r.report.title.resize(r.report.title.size() - 6);
  if (bug != "null-ptr-deref" || !r.function.empty()) r.report.alt_titles = {"bad-access in $F"};
}

void read_kmsan(Draft& r) {
  const Text what = r.headline.substr(r.rule.start.size());
  const Text bug = before(what, " in ");
  blame_stack(r, "kmsan");
  if (r.function.empty())
    if (auto in = after(what, " in ")) {
      const std::string named = normalised_function(function_in(*in));
      if (!is_passed_over(named, "kmsan")) r.function = named;
    }
  r.report.title = "KMSAN: " + std::string(bug) + " in $F";
  r.report.type = bug.find("infoleak") != bug.npos ? "KMSAN-INFO-LEAK" : "KMSAN-UNINIT-VALUE";
  if (bug == "kernel-usb-infoleak") {
    // The leak is found far from where the memory comes from.
    for (const Trace& trace : r.stacks.traces)
      if (trace.announced.starts_with("Uninit was created")) {
        const std::string origin = blamed_function(names(trace.frames), "kmsan");
        if (!origin.empty()) r.report.alt_titles = {"KMSAN origin in " + origin};
      }
  } else {
    r.report.alt_titles = {"bad-access in $F"};
  }
}

void read_kfence(Draft& r) {
  const Text what = r.headline.substr(r.rule.start.size());
  const Text bug = before(what, " in ");
  blame_stack(r, "kfence");
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
  blame_stack(r, "ubsan");
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

// "WARNING: CPU: 1 PID: 2 at fs/foo.c:3 bar+0x1/0x2", "WARNING: fs/foo.c:3 at bar+0x1/0x2, CPU#1: comm/2"
// since 6.18, "WARNING: at fs/foo.c:3 bar+0x1/0x2()" up to 3.x.
void read_warning(Draft& r) {
  Text place, named;
  if (auto at = after(r.headline, "WARNING: CPU: ")) {
    if (auto rest = after(*at, " at ")) place = *rest;
  } else if (auto old = after(r.headline, "WARNING: at ")) {
    place = *old;
  } else if (r.headline.find(", CPU#") != r.headline.npos) {
    place = r.headline.substr(9);
    if (auto in_function = after(place, " at ")) named = before(*in_function, ", CPU#");
  } else if (auto rest = after(r.headline, " at ")) {
    place = *rest;
  }
  const Text file = before(place, ":");
  if (named.empty())
    if (size_t space = place.find(' '); space != place.npos) named = place.substr(space + 1);
  const Text in = function_in(named);
  std::vector<std::string> first;
  if (!in.empty()) first.push_back(normalised_function(in));
  Text bug, kind = "warning", type = "WARNING";
  std::string tail;
  const std::string own = first.empty() ? std::string() : first.front();
  if (file.ends_with("lib/refcount.c")) {
    bug = "refcount bug", kind = "refcount", type = "REFCOUNT_WARNING";
  } else if (file.ends_with("lib/debugobjects.c")) {
    bug = "ODEBUG bug", kind = "odebug";
  } else if (file.ends_with("kernel/locking/lockdep.c")) {
    bug = "locking bug", kind = "lockdep", type = "LOCKDEP";
  } else if (file.ends_with("mm/usercopy.c")) {
    bug = "bad usercopy";
  } else if (file.ends_with("lib/kobject.c")) {
    bug = "kobject bug";
  } else if (file.ends_with("lib/list_debug.c")) {
    bug = "corrupted list", kind = "list-corruption";
  } else if (own.starts_with("kmalloc") || own.find("kvmalloc") != std::string::npos) {
    bug = "kmalloc bug";
  } else if (file.ends_with("mm/vmalloc.c") && own.starts_with("__vmalloc_node_range")) {
    bug = "zero-size vmalloc";
  }
  // The function of the headline is that of the stack. Without one it is all that is left of the report.
  if (!first.empty() && (is_digit(first.front().front()) || !first_trace(r))) first.clear();
  blame_stack(r, kind, first);
  if (r.report.frames.empty()) r.named = own;
  // Up to 4.12 the hard lockup detector only warned, where it was not told to panic.
  if (own == "watchdog_overflow_callback") {
    blame_stall(r, "hard-lockup");
    r.report.kind = "hard-lockup";
    r.report.type = kHang;
    r.report.title = "BUG: hard lockup in $F";
    if (r.function.empty()) r.named = own;
    return;
  }
  // What is wrong is the URB, which its caller made.
  if (own == "usb_submit_urb" && !r.report.frames.empty()) {
    std::vector<std::string> functions = names(r.report.frames);
    const auto at = std::find(functions.begin(), functions.end(), own);
    if (at != functions.end()) functions.erase(functions.begin(), at + 1);
    std::erase(functions, own);
    r.function = blamed_function(functions, kind);
    bug = {};
    tail = "/usb_submit_urb";
  }
  r.report.kind = kind;
  r.report.type = type;
  r.report.title = (bug.empty() ? std::string("WARNING") : "WARNING: " + std::string(bug)) + " in $F" + tail;
  if (kind == "list-corruption") r.report.alt_titles = {"bad-access in $F"};
}

void read_panic(Draft& r) {
  Text what = r.headline.substr(r.rule.start.size());
  if (what.starts_with(":")) what = trim(what.substr(1));
  r.report.panicked = true;
  if (auto in = after(what, "stack is corrupted in: ")) {
    blame_stack(r, "panic", {});
    std::string named = normalised_function(function_in(*in));
    if (auto frame = parse_frame_line(*in); frame && !frame->frames.empty())
      named = normalised_function(frame->frames.front().function);
    const bool symbol = !named.empty() && !is_digit(named.front()) &&
                        named.find_first_not_of("0123456789abcdef") != named.npos;
    if (symbol) r.function = named;
    r.report.title = "kernel panic: stack is corrupted in $F";
    return;
  }
  if (what.starts_with("corrupted stack end")) {
    // Whoever notices is as random as what a watchdog hits.
    blame_stall(r, "soft-lockup");
    r.report.title = "kernel panic: corrupted stack end in $F";
    return;
  }
  // The same words decide of what class a dump is.
  const Text told = class_of_panic(what);
  if (told == "hard-lockup") {
    blame_stall(r, told);
    r.report.kind = told;
    r.report.type = kHang;
    r.report.title = "BUG: hard lockup in $F";
    r.report.alt_titles = {"stall in $F"};
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
  for (Text whole : {Text("Attempted to kill init!"), Text("panic_on_warn set"), Text("Fatal exception")})
    if (what.starts_with(whole)) what = whole;
  r.report.title = "kernel panic: " + without_numbers(what);
}

// "BUG: using smp_processor_id() in preemptible [00000000] code: syz/1", "BUG: using __this_cpu_add() in ..."
void read_preemptible(Draft& r) {
  const Text what = before(r.headline.substr(r.rule.start.size()), " in preemptible");
  blame_stack(r, r.rule.kind);
  r.report.title = "BUG: using " + std::string(what) + " in preemptible code in $F";
}

// "rust_kernel: panicked at file.rs:1:2:" and the message on the next line; the oops follows.
void read_rust(Draft& r) {
  blame_stack(r, "other");
  Text message;
  if (r.index + 1 < r.lines().size()) message = r.lines()[r.index + 1];
  r.report.title = without_numbers(message) + " in $F";
}

void read_any_bug(Draft& r) {
  blame_stack(r, r.rule.kind);
  r.function.clear();
  r.report.title = without_numbers(r.headline);
}

// "BUG: workqueue leaked lock or atomic: kworker/1:2/0x00000000/34", then "last function: foo".
void read_workqueue_leak(Draft& r) {
  blame_stack(r, r.rule.kind);
  r.function.clear();
  for (size_t i = r.index; i < std::min(r.lines().size(), r.index + 8); ++i)
    if (auto last = after(r.lines()[i], "last function: "))
      r.function = normalised_function(function_in(*last));
}

// "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.234 msecs"
void read_nmi_handler(Draft& r) {
  if (auto open = after(r.headline, "NMI handler (")) r.function = normalised_function(function_in(*open));
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

std::optional<ReportHeadline> find_report_headline(Text line) {
  const RuleIndex& index = rule_index();
  size_t offset = 0;
  for (int i = 0; i < 3; ++i) {
    if (const ReportRule* rule = index.match(line.substr(offset))) {
      // "Oops: general protection fault ..." since 6.10 is the fault's own line.
      if (rule->role == Role::kDie && rule->start == "Oops: ")
        if (const ReportRule* inner = index.match(line.substr(offset + rule->start.size())))
          return ReportHeadline{inner, offset + rule->start.size()};
      return ReportHeadline{rule, offset};
    }
    const size_t length = prefix_length(line.substr(offset));
    if (length == 0) break;
    offset += length;
  }
  // Output of others on the same line, as consoles mix them.
  constexpr Text kStrong[] = {"BUG: ",
                              "WARNING: CPU: ",
                              "INFO: rcu_",
                              "INFO: task ",
                              "Kernel panic - not syncing",
                              "general protection fault: ",
                              "kernel BUG at ",
                              "WARNING: possible ",
                              "UBSAN: "};
  for (Text strong : kStrong)
    if (size_t at = line.find(strong); at != line.npos && at > 0) {
      const char left = line[at - 1];
      if (left == '"' || left == '\'' || left == '`' || left == '(') continue;
      if (const ReportRule* rule = index.match(line.substr(at)); rule && rule->special != Special::kAnyBug)
        return ReportHeadline{rule, at};
    }
  return std::nullopt;
}

bool begins_trace(Text line) {
  if (line.starts_with("Call Trace:") || line.starts_with("Call trace:") || line.starts_with("RIP: 0010:"))
    return true;
  // "foo+0x1/0x2" alone: mails often quote no more than the stack.
  if (line.find("+0x") == line.npos) return false;
  const auto frame = parse_frame_line(line);
  return frame && frame->frames.front().offset;
}

const ReportRule& headless_rule() {
  return kHeadless;
}

ReportRole role_of(const ReportRule& rule) {
  return rule.role;
}
std::string_view kind_of(const ReportRule& rule) {
  return rule.kind;
}

bool yields_to(const ReportRule& first, const ReportRule& next) {
  return first.role == Role::kPrelude && next.role != Role::kPanic && next.kind == "warning" &&
         first.kind == "other";
}

void read_report(ConsoleReport& report, const ReportHeadline& headline, size_t headline_index, bool tagged) {
  const ReportRule& rule = *headline.rule;
  Text text = report.lines[headline_index];
  report.headline = std::string(text);
  report.kind = rule.kind;
  report.type = rule.type;
  Draft r{report,
          rule,
          text.substr(std::min(headline.offset, text.size())),
          headline_index,
          read_stacks(report.lines, headline_index),
          {},
          {}};
  read_facts(report);
  if (!rule.title.empty()) report.title = rule.title;
  if (!rule.alt.empty()) report.alt_titles = {std::string(rule.alt)};
  switch (rule.special) {
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
    case Special::kAnyBug:
      read_any_bug(r);
      break;
    case Special::kRust:
      read_rust(r);
      break;
    case Special::kNone:
      switch (rule.blame) {
        case Blame::kStack:
          blame_stack(r, rule.kind,
                      rule.role == Role::kFault ? faulting_functions(r) : std::vector<std::string>());
          break;
        case Blame::kStall:
          // Of endless recursion the innermost functions are as random as those that a watchdog hits.
          blame_stall(r, rule.kind == "double-fault" ? Text("soft-lockup") : rule.kind);
          if (rule.kind == "double-fault" && r.function.empty()) blame_stack(r, rule.kind);
          break;
        case Blame::kLockSite:
        case Blame::kStackOrLockSite:
          read_lockdep(r);
          break;
        case Blame::kNobody:
          report.frames = stack_of(r, first_trace(r));
          break;
        case Blame::kSpecial:
          if (rule.kind == "lockdep")
            read_workqueue_leak(r);
          else
            read_nmi_handler(r);
          break;
      }
      break;
  }
  // Without a headline the functions of the stack may tell the class.
  if (&rule == &kHeadless) {
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
  if (report.title.find("$F") != std::string::npos && r.function.empty()) {
    if (report.corrupted.empty())
      report.corrupted =
          r.stacks.traces.empty() ? "there is no stack" : "no function of the stack can be blamed";
  }
  // Without caller IDs two stacks that are printed at a time cannot be told apart.
  if (const Trace* trace = first_trace(r); trace && !tagged && report.title.find("$F") != std::string::npos) {
    const bool allocation = report.title.find("malloc") != std::string::npos;
    bool mixed = is_foreign(*trace) && !allocation;
    for (size_t i = headline_index; !mixed && i < trace->line; ++i) {
      const Text line = report.lines[i];
      mixed = line.find("FAULT_INJECTION: forcing") != line.npos ||
              line.find(": allocation failure") != line.npos;
    }
    // KASAN's own frames say whose stack it is.
    const bool own = rule.special == Special::kKasan &&
                     std::any_of(trace->frames.begin(), trace->frames.end(), [](const ConsoleFrame& frame) {
                       return frame.function.find("kasan") != std::string::npos;
                     });
    if (mixed && !own && rule.role != Role::kFault) {
      report.corrupted = "the stack of another message is mixed in";
      r.function.clear();
    }
  }
  // Cut off behind the headline: nothing is known but it.
  if (r.function.empty() && report.title.find("$F") != std::string::npos &&
      r.headline.starts_with("WARNING: ") && (rule.kind == "lockdep" || rule.kind == "rcu-usage")) {
    report.title = without_numbers(r.headline);
    report.type = kWarn;
    report.corrupted = "nothing follows the headline";
    if (rule.kind == "lockdep") report.kind = "warning";
  }
  const std::string name = r.function.empty() ? "corrupted" : r.function;
  put_function(report.title, name);
  for (std::string& alt : report.alt_titles) put_function(alt, name);
}

std::string normalised_function(Text function) {
  // What compilers append.
  if (!function.starts_with("<") && function.find("::") == function.npos) {
    constexpr Text kSuffixes[] = {".constprop", ".isra",     ".part",  ".cold",
                                  ".llvm",      ".lto_priv", ".clone", ".ipa"};
    size_t end = function.size();
    for (Text suffix : kSuffixes) end = std::min(end, function.find(suffix));
    function = function.substr(0, end);
    // "foo.123": a static function that was renamed
    if (size_t dot = function.rfind('.');
        dot != function.npos && dot > 0 && dot + 1 < function.size() &&
        std::all_of(function.begin() + static_cast<ptrdiff_t>(dot) + 1, function.end(), is_digit))
      function = function.substr(0, dot);
  }
  // SYSCALL_DEFINE() of include/linux/syscalls.h and arch/x86/include/asm/syscall_wrapper.h.
  constexpr Text kEntries[] = {"__x64_sys_",
                               "__ia32_sys_",
                               "__x64_compat_sys_",
                               "__ia32_compat_sys_",
                               "__se_sys_",
                               "__se_compat_sys_",
                               "__do_sys_",
                               "__do_compat_sys_",
                               "__x32_compat_sys_",
                               "compat_SYSC_",
                               "compat_SyS_",
                               "compat_sys_",
                               "__arm64_sys_",
                               "SYSC_",
                               "SyS_",
                               "ksys_"};
  for (Text entry : kEntries)
    if (function.starts_with(entry)) return "sys_" + std::string(function.substr(entry.size()));
  return std::string(function);
}

}  // namespace perfcore
