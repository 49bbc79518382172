// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/report_rules.h"

#include <algorithm>
#include <array>
#include <vector>

#include "crash/console_line.h"
#include "crash/report_words.h"

namespace perfcore {

using namespace report_words;

namespace {

using Role = ReportRole;
using Pick = Source::Pick;

constexpr Source kNobody = {Pick::kNobody, kNoWay, kNoWay};
constexpr Source kSpecial = {Pick::kSpecial, kNoWay, kNoWay};
constexpr Source kFault = kExceptionSource;
// One whose stack tells no more than where it hit.
constexpr Source kPlace = {Pick::kFirst, {{Mark::kRip}, false}, kNoWay};
constexpr Source kCaller = kCallerSource;
// WARN() is an exception since 4.11, which prints RIP and then "Call Trace:"; what it printed before had RIP
// inside of the stack.
constexpr Source kWarned = {Pick::kFirst, {{Mark::kRip}}, {{Mark::kTrace}}};
constexpr Source kInterrupted = {Pick::kStall, {{Mark::kRip, Mark::kTrace}}, kNoWay};
// RCU prints its stalls from the timer interrupt.
constexpr Source kTimedOut = {Pick::kStall, {{Mark::kTimer, Mark::kRip}}, {{Mark::kTimer}}};
constexpr Source kCircular = {Pick::kFirst, {{Mark::kSite, Mark::kSite}}, kNoWay};
constexpr Source kWanted = {Pick::kNamed, {{Mark::kWanted, Mark::kSite}, false}, kNoWay};
constexpr Source kChanged = {Pick::kNamed, {{Mark::kChanged, Mark::kSite}, false}, kNoWay};
constexpr Source kTaken = {Pick::kNamed, {{Mark::kTakes, Mark::kSite}, false}, kNoWay};
constexpr Source kHeld = {Pick::kNamed, {{Mark::kSite}, false}, {{Mark::kAddress}, false}};
constexpr Source kLeft = {Pick::kNamed, {{Mark::kLeaving, Mark::kSite}, false}, kNoWay};
constexpr Source kBecame = {Pick::kFirst, {{Mark::kBecame}}, kNoWay};
constexpr Source kUnlock = {Pick::kFirst, {{Mark::kAddress, Mark::kTrace}}, kNoWay};
constexpr Source kLeak = {Pick::kFirst, {{Mark::kBacktrace}}, kNoWay};
constexpr Source kOrigin = {Pick::kFirst, {{Mark::kOrigin}}, kNoWay};
constexpr Source kAccess = {Pick::kFirst, {{Mark::kHeadline, Mark::kTrace}}, kNoWay};
constexpr Source kAccessOwnStack = {Pick::kFirst, {{Mark::kHeadline}}, kNoWay};
// Up to 2020 behind "Call Trace:" as well.
constexpr Source kOwnStack = {Pick::kFirst, {}, {{Mark::kTrace}}};

constexpr Text kBad = "bad-access in $F";
constexpr Text kDoS = "DoS", kHang = "HANG", kLock = "LOCKDEP", kWarn = "WARNING",
               kMemory = "MEMORY_SAFETY_BUG", kNullType = "NULL-POINTER-DEREFERENCE";
constexpr Text kReboot = "reboot";
constexpr Text kGpf = "general protection fault in $F";
constexpr Text kPaging = "BUG: unable to handle kernel paging request in $F";
constexpr Text kNull = "BUG: unable to handle kernel NULL pointer dereference in $F";
constexpr Text kUser = "BUG: unable to handle kernel access to user memory in $F";
constexpr Text kHung = "INFO: task hung in $F";
constexpr Text kRcuStall = "INFO: rcu detected stall in $F";
constexpr Text kDeadlock = "possible deadlock in $F";
constexpr Text kInconsistent = "inconsistent lock state in $F";
constexpr Text kOverrun = "BUG: stack guard page was hit in $F";
constexpr Text kCorruptedList = "BUG: corrupted list in $F";
constexpr Text kStuck = "BUG: hard lockup in $F";
constexpr Text kStalled = "stall in $F", kHangs = "hang in $F", kOverflow = "stack-overflow in $F";

// The kernel's own words, by the function that prints them. Of two rules with one beginning the more specific
// comes first.
constexpr ReportRule kRules[] = {
    // arch/x86/mm/fault.c, show_fault_oops(), with the wordings up to 5.0 and of other machines.
    {"BUG: kernel NULL pointer dereference", "", Role::kFault, "null-deref", kNullType, kNull, kFault, kBad},
    {"BUG: Kernel NULL pointer dereference", "", Role::kFault, "null-deref", kNullType, kNull, kFault, kBad},
    {"BUG: unable to handle kernel NULL pointer dereference", "", Role::kFault, "null-deref", kNullType,
     kNull, kFault, kBad},
    {"BUG: unable to handle kernel paging request", "", Role::kFault, "page-fault", kMemory, kPaging, kFault,
     kBad},
    {"BUG: unable to handle page fault for address", "", Role::kFault, "page-fault", kMemory, kPaging, kFault,
     kBad},
    {"BUG: Unable to handle kernel data access", "", Role::kFault, "page-fault", kMemory, kPaging, kFault,
     kBad},
    // Up to 5.0 the rest of the line was printed by another printk().
    {"BUG: unable to handle ", "", Role::kFault, "page-fault", kMemory, "BUG: unable to handle kernel",
     kFault, "", "", Special::kNone},
    {"BUG: Unable to handle kernel ", "", Role::kFault, "page-fault", kMemory, "BUG: unable to handle kernel",
     kFault, "", "", Special::kNone},
    {"Unable to handle kernel NULL pointer dereference", "", Role::kFault, "null-deref", kNullType, kNull,
     kFault, kBad},
    {"Unable to handle kernel access to user memory", "", Role::kFault, "page-fault", kMemory, kUser, kFault,
     kBad},
    {"Unable to handle kernel ", "", Role::kFault, "page-fault", kMemory, kPaging, kFault, kBad},
    {"Unhandled fault: ", "", Role::kFault, "other", "", "Unhandled fault in $F", kFault, kBad},
    {"Internal error: ", "", Role::kDie, "other", "", "Internal error in $F", kFault, kBad},
    {"Alignment trap: ", "", Role::kFault, "other", "", "Alignment trap in $F"},
    // arch/x86/kernel/traps.c and dumpstack.c, "%s: %04lx [#%d]"; since 6.10 with "Oops: " before them.
    {"general protection fault: ", "", Role::kFault, "gpf", kDoS, kGpf, kFault, kBad},
    {"general protection fault, ", "", Role::kFault, "gpf", kDoS, kGpf, kFault, kBad},
    {"general protection fault ", "", Role::kFault, "gpf", kDoS, kGpf, kFault, kBad},
    {"divide error: ", "", Role::kFault, "divide-error", kDoS, "divide error in $F", kPlace},
    {"divide_error: ", "", Role::kFault, "divide-error", kDoS, "divide error in $F", kPlace},
    {"int3: ", "", Role::kFault, "int3", kDoS, "int3 in $F"},
    {"stack segment: ", "", Role::kFault, "stack-segment", kDoS, "stack segment fault in $F"},
    {"PANIC: double fault", "", Role::kFault, "double-fault", kDoS, "PANIC: double fault in $F", kPlace},
    {"double fault: ", "[#", Role::kDie, "double-fault", kDoS, "PANIC: double fault in $F", kPlace},
    {"BUG: ", "stack guard page was hit", Role::kFault, "double-fault", "", kOverrun, kInterrupted, kOverflow,
     "stack-guard"},
    {"stack guard page: ", "", Role::kDie, "double-fault", "", kOverrun, kInterrupted, kOverflow,
     "stack-guard"},
    {"kernel stack overflow", "", Role::kDie, "double-fault", "", "kernel stack overflow in $F", kInterrupted,
     kOverflow, "stack-overflow"},
    {"kernel BUG at ", "lib/list_debug.c", Role::kFault, "list-corruption", kMemory, kCorruptedList, kCaller,
     kBad},
    {"kernel BUG at ", "mm/usercopy.c", Role::kFault, "kernel-bug", "BUG", "BUG: bad usercopy in $F", kCaller,
     "", "usercopy"},
    {"kernel BUG at ", "", Role::kFault, "kernel-bug", "BUG", "kernel BUG in $F"},
    {"Kernel BUG ", "[", Role::kFault, "kernel-bug", "BUG", "kernel BUG in $F"},
    {"invalid opcode: ", "[#", Role::kDie, "kernel-bug", kDoS, "invalid opcode in $F", kPlace, "",
     "invalid-opcode"},
    {"Oops: ", "[#", Role::kDie, "other", kDoS, "Oops in $F"},
    // Sanitisers: mm/kasan, mm/kfence, mm/kmsan, kernel/kcsan, lib/ubsan.c; mm/kmemleak.c.
    {"BUG: KASAN: ", "", Role::kReport, "kasan", "", "", kAccess, "", "", Special::kKasan},
    {"BUG: KFENCE: ", "", Role::kReport, "kfence", "", "", kAccessOwnStack, "", "", Special::kKfence},
    {"BUG: KMSAN: ", "", Role::kReport, "kmsan", "", "", kOwnStack, "", "", Special::kKmsan},
    {"BUG: KCSAN: ", "", Role::kReport, "kcsan", "", "", kSpecial, "", "", Special::kKcsan},
    {"UBSAN: ", " in ", Role::kReport, "ubsan", "UBSAN", "", kCaller, "", "", Special::kUbsan},
    {"BUG: memory leak", "", Role::kReport, "memory-leak", "LEAK", "memory leak in $F", kLeak},
    {"unreferenced object 0x", "", Role::kReport, "memory-leak", "LEAK", "memory leak in $F", kLeak},
    // kernel/sched/core.c, lib/smp_processor_id.c, kernel/workqueue.c, arch/x86/entry.
    {"BUG: sleeping function called from invalid context", "", Role::kReport, "atomic-sleep", "ATOMIC_SLEEP",
     "BUG: sleeping function called from invalid context in $F", kCaller},
    {"BUG: scheduling while atomic", "", Role::kReport, "atomic-sleep", "ATOMIC_SLEEP",
     "BUG: scheduling while atomic in $F", kCaller, "", "scheduling"},
    {"BUG: using ", " in preemptible", Role::kReport, "atomic-sleep", kLock, "", kCaller, "", "preemptible",
     Special::kPreemptible},
    {"BUG: workqueue leaked lock or atomic", "", Role::kReport, "lockdep", "",
     "BUG: workqueue leaked lock or atomic in $F", kSpecial, "", "", Special::kWorkqueue},
    // kernel/locking/lockdep.c and spinlock_debug.c; "INFO: " and "[ BUG: ... ]" up to 4.13.
    {"WARNING: possible circular locking", "", Role::kReport, "lockdep", kLock, kDeadlock, kCircular, "",
     "circular", Special::kLocking},
    {"WARNING: possible recursive locking", "", Role::kReport, "lockdep", kLock, kDeadlock, kWanted, "", "",
     Special::kLocking},
    {"WARNING: possible irq lock inversion", "", Role::kReport, "lockdep", kLock, kDeadlock, kChanged, "", "",
     Special::kLocking},
    {"WARNING: possible ", "lock", Role::kReport, "lockdep", kLock, kDeadlock, kWanted, "", "",
     Special::kLocking},
    {"WARNING: ", "-unsafe lock order detected", Role::kReport, "lockdep", kLock, kDeadlock, kBecame, "", "",
     Special::kLocking},
    {"WARNING: inconsistent lock state", "", Role::kReport, "lockdep", kLock, kInconsistent, kCaller, "",
     "inconsistent", Special::kLocking},
    {"INFO: possible irq lock inversion", "", Role::kReport, "lockdep", kLock, kDeadlock, kChanged, "", "",
     Special::kLocking},
    {"INFO: possible ", "lock", Role::kReport, "lockdep", kLock, kDeadlock, kWanted, "", "",
     Special::kLocking},
    {"INFO: ", "-unsafe lock order detected", Role::kReport, "lockdep", kLock, kDeadlock, kWanted, "", "",
     Special::kLocking},
    {"INFO: inconsistent lock state", "", Role::kReport, "lockdep", kLock, kInconsistent, kTaken, "",
     "inconsistent", Special::kLocking},
    {"inconsistent lock state", "", Role::kReport, "lockdep", kLock, kInconsistent, kCaller, "",
     "inconsistent", Special::kLocking},
    {"WARNING: bad unlock balance", "", Role::kReport, "lockdep", kLock, "WARNING: bad unlock balance in $F",
     kUnlock, "", "", Special::kLocking},
    {"BUG: bad unlock balance", "", Role::kReport, "lockdep", kLock, "BUG: bad unlock balance in $F", kUnlock,
     "", "", Special::kLocking},
    {"WARNING: bad contention", "", Role::kReport, "lockdep", kLock, "WARNING: bad contention in $F", kUnlock,
     "", "", Special::kLocking},
    {"WARNING: held lock freed", "", Role::kReport, "lockdep", kLock, "WARNING: held lock freed in $F", kHeld,
     "", "", Special::kLocking},
    {"BUG: held lock freed", "", Role::kReport, "lockdep", kLock, "BUG: held lock freed in $F", kHeld, "", "",
     Special::kLocking},
    {"WARNING: ", "still has locks held", Role::kReport, "lockdep", kLock,
     "WARNING: still has locks held in $F", kHeld, "", "", Special::kLocking},
    {"BUG: ", "still has locks held", Role::kReport, "lockdep", kLock, "BUG: still has locks held in $F",
     kHeld, "", "", Special::kLocking},
    {"WARNING: lock held when returning to user", "", Role::kReport, "lockdep", kLock,
     "WARNING: lock held when returning to user space in $F", kLeft, "", "", Special::kLocking},
    {"BUG: lock held when returning to user", "", Role::kReport, "lockdep", kLock,
     "BUG: lock held when returning to user space in $F", kLeft, "", "", Special::kLocking},
    {"WARNING: lock held at task exit", "", Role::kReport, "lockdep", kLock,
     "WARNING: lock held at task exit in $F", kHeld, "", "", Special::kLocking},
    {"WARNING: Nested lock was not taken", "", Role::kReport, "lockdep", kLock,
     "WARNING: nested lock was not taken in $F", kWarned},
    {"INFO: trying to register non-static key", "", Role::kReport, "lockdep", "",
     "INFO: trying to register non-static key in $F", kCaller, "", "non-static-key"},
    {"BUG: Invalid wait context", "", Role::kReport, "lockdep", kLock, "WARNING: locking bug in $F", kCaller,
     "", "locking-bug"},
    {"BUG: spinlock ", "", Role::kReport, "lockdep", kLock, "", kCaller, "", "spinlock", Special::kLocking},
    {"BUG: rwlock ", "", Role::kReport, "lockdep", kLock, "", kCaller, "", "spinlock", Special::kLocking},
    {"WARNING: suspicious RCU usage", "", Role::kReport, "rcu-usage", kLock,
     "WARNING: suspicious RCU usage in $F", kCaller},
    {"INFO: suspicious RCU usage", "", Role::kReport, "rcu-usage", "", "INFO: suspicious RCU usage in $F",
     kCaller},
    {"suspicious RCU usage.", "", Role::kReport, "rcu-usage", "", "INFO: suspicious RCU usage in $F",
     kCaller},
    {"INFO: suspicious rcu_dereference_check() usage", "", Role::kReport, "rcu-usage", "",
     "INFO: suspicious RCU usage in $F", kCaller},
    // mm/page_alloc.c, mm/memory.c, mm/filemap.c, kernel/fork.c, mm/slub.c. A bad page is noticed far from
    // whom it belongs to.
    {"BUG: Bad page state", "", Role::kReport, "bad-page", "", "BUG: Bad page state in $F", kOrigin},
    {"BUG: Bad page cache", "", Role::kReport, "bad-page", "", "BUG: Bad page cache in $F", kOrigin},
    {"BUG: Bad page map", "", Role::kReport, "bad-page", "", "BUG: Bad page map", kNobody},
    {"BUG: Bad rss-counter state", "", Role::kReport, "bad-page", "", "BUG: Bad rss-counter state", kNobody},
    {"BUG: non-zero nr_ptes", "", Role::kReport, "bad-page", "", "BUG: non-zero nr_ptes on freeing mm",
     kNobody},
    {"BUG: non-zero nr_pmds", "", Role::kReport, "bad-page", "", "BUG: non-zero nr_pmds on freeing mm",
     kNobody},
    {"BUG: non-zero pgtables_bytes", "", Role::kReport, "bad-page", "",
     "BUG: non-zero pgtables_bytes on freeing mm", kNobody},
    {"BUG kmalloc-", ": Object already free", Role::kReport, "other", "", "BUG: Object already free", kNobody,
     "", "", Special::kNone},
    {"BUG ", "): ", Role::kReport, "other", "", "SLUB: corrupted object in $F", kCaller, "", "",
     Special::kSlub},
    // kernel/watchdog.c, watchdog_perf.c; kernel/rcu/tree_stall.h; kernel/hung_task.c; kernel/workqueue.c.
    {"BUG: soft lockup", "", Role::kStall, "soft-lockup", kHang, "BUG: soft lockup in $F", kInterrupted,
     kStalled},
    {"Watchdog detected hard LOCKUP", "", Role::kStall, "hard-lockup", kHang, kStuck, kSpecial, kStalled, "",
     Special::kHardLockup},
    {"Watchdog detected LOCKUP", "", Role::kStall, "hard-lockup", kHang, kStuck, kSpecial, kStalled, "",
     Special::kHardLockup},
    {"CPU", "detected hard LOCKUP", Role::kStall, "hard-lockup", kHang, kStuck, kSpecial, kStalled, "",
     Special::kHardLockup},
    {"INFO: rcu_", "stall", Role::kStall, "rcu-stall", kHang, kRcuStall, kTimedOut, kStalled},
    {"INFO: rcu detected stall", "", Role::kStall, "rcu-stall", kHang, kRcuStall, kTimedOut, kStalled},
    {"INFO: task ", " blocked for more than ", Role::kReport, "hung-task", kHang, kHung, kCaller, kHangs},
    {"INFO: task ", " blocked in I/O wait for more than ", Role::kReport, "hung-task", kHang, kHung, kCaller,
     kHangs},
    {"INFO: task ", " can't die for more than ", Role::kReport, "hung-task", kHang,
     "INFO: task can't die in $F", kCaller, kHangs, "cannot-die"},
    {"INFO: task ", "", Role::kReport, "hung-task", kHang, kHung, kCaller, kHangs},
    {"BUG: workqueue lockup", "", Role::kStall, "workqueue-lockup", kHang, "BUG: workqueue lockup", kNobody},
    // net/core/dev.c, fs/dcache.c, fs/open.c, fs/super.c.
    {"unregister_netdevice: waiting for ", " to become free", Role::kReport, "unregister-netdev", kDoS,
     "unregister_netdevice: waiting for DEV to become free", kNobody},
    {"BUG: Dentry ", " still in use ", Role::kReport, "kernel-bug", "", "BUG: Dentry still in use in unmount",
     kNobody},
    {"VFS: Close: file count is ", "", Role::kReport, "other", kDoS,
     "VFS: Close: file count is zero (use-after-free)", kNobody},
    {"VFS: Busy inodes after unmount", "", Role::kReport, "other", "",
     "VFS: Busy inodes after unmount (use-after-free)", kNobody},
    // rust/kernel: panic of Rust code, before its BUG().
    {"rust_kernel: panicked at ", "", Role::kPrelude, "other", "", "", kCaller, "", "rust", Special::kRust},
    // arch/x86/mm/extable.c; arch/x86/events/intel/core.c; arch/x86/kernel/nmi.c; kernel/events/core.c.
    {"unchecked MSR access error", "", Role::kReport, "msr-access", "", "unchecked MSR access error in $F",
     kSpecial, "", "", Special::kWholeStack},
    {"perfevents: irq loop stuck", "", Role::kPrelude, "nmi-storm", "", "perfevents: irq loop stuck in $F",
     kSpecial, "", "", Special::kWholeStack},
    {"Uhhuh. NMI received", "", Role::kNotice, "unknown-nmi", "", "NMI received for unknown reason", kNobody},
    {"NMI received for unknown reason", "", Role::kNotice, "unknown-nmi", "",
     "NMI received for unknown reason", kNobody},
    {"INFO: NMI handler ", "took too long", Role::kNotice, "nmi-storm", "", "INFO: NMI handler took too long",
     kSpecial, "", "", Special::kNmiHandler},
    {"perf: interrupt took too long", "", Role::kNotice, "nmi-storm", "", "perf: interrupt took too long",
     kNobody},
    // arch/x86/boot/compressed/misc.c, on the console behind the last words of a kernel that did not mean to
    // go.
    {"Booting the kernel.", "", Role::kNotice, kReboot, "REBOOT", "unexpected kernel reboot", kNobody},
    // kernel/panic.c, __warn(), with the wordings up to 3.x and since 6.18; kernel/unwind of x86.
    {"WARNING: kernel stack ", " has bad ", Role::kReport, "warning", "", "", kSpecial, "", "",
     Special::kUnwinder},
    {"WARNING: ", " at ", Role::kReport, "warning", kWarn, "", kWarned, "", "", Special::kWarning},
    {"WARNING: at ", "", Role::kReport, "warning", kWarn, "", kWarned, "", "", Special::kWarning},
    {"WARNING: CPU: ", "", Role::kReport, "warning", kWarn, "", kWarned, "", "", Special::kWarning},
    {"Kernel panic - not syncing", "", Role::kPanic, "panic", kDoS, "", kSpecial, "", "", Special::kPanic},
    // Whatever else calls itself a bug or a warning.
    {"BUG:", "", Role::kReport, "kernel-bug", "", "", kSpecial, "", "", Special::kAnyBug},
    {"WARNING:", "", Role::kReport, "warning", kWarn, "", kSpecial, "", "", Special::kAnyBug},
};

/// What the kernel warns of in these words, and not with a report.
constexpr Text kHarmless[] = {
    "INFO: lockdep is turned off",                // kernel/locking/lockdep.c: a report came before
    "INFO: Stall ended before state dump start",  // kernel/rcu/tree_stall.h
    "INFO: recovery required on readonly filesystem",
    "WARNING: workqueue cpumask: online intersect > possible intersect",
    "WARNING: the mand mount option",
    "WARNING: The mand mount option",
    "WARNING: Unprivileged eBPF is enabled with eIBRS",  // arch/x86/kernel/cpu/bugs.c
    "for mitigation options.",
    "WARNING: kernel not compiled with",
    "WARNING: fbcon: Driver",
    "WARNING: Unsupported flag value(s) of",  // the C library of a program
    "WARNING: /etc/ssh/moduli does not exist",
    "uses deprecated v2 capabilities",
    "uses wireless extensions",
    "EXT4-fs ",
    "EXT4-fs: ",
    "XFS (",
};

bool is_harmless(Text line) {
  return std::any_of(std::begin(kHarmless), std::end(kHarmless),
                     [&](Text words) { return line.find(words) != line.npos; });
}

// A stack that nothing announces.
constexpr ReportRule kHeadless = {"", "", Role::kNotice,       "other", "", "trace in $F", kSpecial,
                                  "", "", Special::kWholeStack};

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

}  // namespace

namespace {

std::optional<ReportHeadline> find_any_headline(Text line) {
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
                              "WARNING: possible ",
                              "WARNING: suspicious RCU usage",
                              "INFO: rcu_",
                              "INFO: task ",
                              "INFO: possible ",
                              "INFO: trying to register non-static key",
                              "Kernel panic - not syncing",
                              "general protection fault: ",
                              "kernel BUG at ",
                              "unregister_netdevice: waiting for ",
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

}  // namespace

std::optional<ReportHeadline> find_report_headline(Text line) {
  const auto headline = find_any_headline(line);
  if (headline && headline->rule->special == Special::kAnyBug && is_harmless(line)) return std::nullopt;
  return headline;
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

bool is_boot(const ReportRule& rule) {
  return rule.kind == kReboot;
}

}  // namespace perfcore
