// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/report_text.h"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "crash/blame.h"
#include "crash/console_line.h"
#include "crash/frame_roles.h"
#include "crash/oops_text.h"
#include "crash/rust_symbol.h"

namespace perfcore {
namespace {

using Role = ReportRole;
using Text = std::string_view;

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

using Pick = Source::Pick;
constexpr Way kNoWay = {{}, false};
constexpr Source kNobody = {Pick::kNobody, kNoWay, kNoWay};
constexpr Source kSpecial = {Pick::kSpecial, kNoWay, kNoWay};
// An exception: where it hit, then who called that.
constexpr Source kFault = {Pick::kFirst, {{Mark::kRip, Mark::kTrace}}, kNoWay};
// One whose stack tells no more than where it hit.
constexpr Source kPlace = {Pick::kFirst, {{Mark::kRip}, false}, kNoWay};
// A checker that prints the stack of its caller.
constexpr Source kCaller = {Pick::kFirst, {{Mark::kTrace}}, kNoWay};
// WARN() is an exception since 4.11, which prints RIP and then "Call Trace:"; what it printed before had RIP
// inside of the stack.
constexpr Source kWarned = {Pick::kFirst, {{Mark::kRip}}, {{Mark::kTrace}}};
constexpr Source kInterrupted = {Pick::kStall, {{Mark::kRip, Mark::kTrace}}, kNoWay};
constexpr Source kDeep = {Pick::kStall, {{Mark::kTrace}}, kNoWay};
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

constexpr Text kBad = "bad-access in $F";

}  // namespace

struct ReportRule {
  Text start;  ///< the headline begins so
  Text also;   ///< and holds this further on; empty: nothing more is asked
  Role role;
  Text kind;
  Text type;
  Text title;  ///< "$F" stands for the guilty function
  Source source = kFault;
  Text alt = {};
  Text topic = {};  ///< of the tables under frames/; empty: `kind`
  Special special = Special::kNone;
};

namespace {

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
    {"double fault: ", "", Role::kFault, "double-fault", kDoS, "PANIC: double fault in $F", kPlace},
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
    {"WARNING: inconsistent lock state", "", Role::kReport, "lockdep", kLock, kInconsistent, kCaller, "", "",
     Special::kLocking},
    {"INFO: possible irq lock inversion", "", Role::kReport, "lockdep", kLock, kDeadlock, kChanged, "", "",
     Special::kLocking},
    {"INFO: possible ", "lock", Role::kReport, "lockdep", kLock, kDeadlock, kWanted, "", "",
     Special::kLocking},
    {"INFO: ", "-unsafe lock order detected", Role::kReport, "lockdep", kLock, kDeadlock, kWanted, "", "",
     Special::kLocking},
    {"INFO: inconsistent lock state", "", Role::kReport, "lockdep", kLock, kInconsistent, kTaken, "", "",
     Special::kLocking},
    {"inconsistent lock state", "", Role::kReport, "lockdep", kLock, kInconsistent, kCaller, "", "",
     Special::kLocking},
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

// A stack that nothing announces.
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

bool is_lower_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}
bool is_alphanumeric(char c) {
  return is_word(c) && c != '_';
}
template <typename Predicate>
size_t end_of(Text text, size_t from, Predicate&& predicate) {
  while (from < text.size() && predicate(text[from])) ++from;
  return from;
}

/// Length of "syz-executor.3", "syzkaller1234:12": programs of a fuzzer are numbered. 0: none of them.
size_t fuzzer_length(Text text, Text name) {
  if (!text.starts_with(name)) return 0;
  size_t digits = name.size();
  if (name.ends_with("executor") && digits < text.size() && text[digits] == '.') ++digits;
  size_t end = end_of(text, digits, is_digit);
  if (end == digits) return 0;
  if (end + 1 < text.size() && (text[end] == '/' || text[end] == ':') && is_digit(text[end + 1]))
    end = end_of(text, end + 1, is_digit);
  return end;
}

/// Length of "1.2.3.4", each part of one to three digits; 0: none.
size_t ip_length(Text text) {
  size_t at = 0;
  for (int part = 0; part < 4; ++part) {
    const size_t end = std::min(end_of(text, at, is_digit), at + 3);
    if (end == at) return 0;
    at = end;
    if (part < 3 && (at >= text.size() || text[at++] != '.')) return 0;
  }
  return at;
}

/// Numbers, addresses and places out: what differs between two reports of one bug.
std::string without_numbers(Text text) {
  constexpr size_t kMaxTitle = 120;
  text = text.substr(0, kMaxConsoleLine);
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const Text rest = text.substr(i);
    const char before_it = i > 0 ? text[i - 1] : '\0';
    bool replaced = false;
    for (Text program : {Text("syz-executor"), Text("syzkaller")})
      if (const size_t length = fuzzer_length(rest, program)) {
        result += program;
        i += length;
        replaced = true;
        break;
      }
    if (replaced) continue;
    if (i > 0 && !is_alphanumeric(before_it)) {
      const size_t from = rest.starts_with("0x") ? 2 : 0;
      if (const size_t end = end_of(rest, from, is_lower_hex); end - from >= 6) {
        result += "ADDR";
        i += end;
        continue;
      }
    }
    if (const size_t length = is_digit(rest.front()) && !is_digit(before_it) ? ip_length(rest) : 0) {
      result += "IP";
      i += length;
      continue;
    }
    // ".c:12:3"
    if (rest.front() == '.') {
      const size_t colon = end_of(rest, 1, is_word);
      size_t end = colon;
      while (colon > 1 && end + 1 < rest.size() && rest[end] == ':' && is_digit(rest[end + 1]))
        end = end_of(rest, end + 1, is_digit);
      if (end > colon) {
        result += rest.substr(0, colon);
        result += ":LINE";
        i += end;
        continue;
      }
    }
    // "foo+0x1/0x2"
    if (rest.starts_with("+0x") && is_word(before_it)) {
      const size_t slash = end_of(rest, 3, is_alphanumeric);
      if (slash > 3 && rest.substr(slash).starts_with("/0x")) {
        i += end_of(rest, slash + 3, is_alphanumeric);
        continue;
      }
    }
    if (rest.starts_with("CPU#") && rest.size() > 4 && is_digit(rest[4])) {
      result += "CPU";
      i += end_of(rest, 4, is_digit);
      continue;
    }
    if (is_digit(rest.front())) {
      const size_t end = end_of(rest, 0, is_digit);
      const bool alone = i > 0 && !is_word(before_it) && (end == rest.size() || !is_word(rest[end]));
      if (alone || end >= 7)
        result += "NUM";
      else
        result += rest.substr(0, end);
      i += end;
      continue;
    }
    result += rest.front();
    ++i;
  }
  std::string clean;
  for (char c : result.substr(0, kMaxTitle)) {
    if (c == '\t') c = ' ';
    if (c < 0x20 || c == 0x7f || (c == ' ' && (clean.empty() || clean.back() == ' '))) continue;
    clean += c;
  }
  return std::string(trim(clean));
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
  size_t end;     ///< one past the last line that belongs to it for sure
  Stacks stacks;
  std::string function;
  std::string named;    ///< by less than a stack: not good enough for the title
  bool mixed = false;   ///< the stack of fault injection was met on the way
  bool missed = false;  ///< a mark was not there
  bool quoted = false;  ///< by people, not copied from a console

  const std::vector<std::string>& lines() const { return report.lines; }
};

/// A function without what the compiler made of its name.
std::string plain_function(Text function) {
  if (function.starts_with("<") || function.find("::") != function.npos) return std::string(function);
  if (size_t dot = function.find('.'); dot != function.npos && dot > 0) function = function.substr(0, dot);
  if (auto path = rust_path(function)) return *path;
  if (function.starts_with("_Z")) {
    int status = -1;
    const std::string symbol(function);
    char* plain = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
    std::string name = status == 0 && plain ? plain : "";
    std::free(plain);
    if (!name.empty()) return name.substr(0, name.find('('));
  }
  return std::string(function);
}

/// As titles have it: also without the prefix that SYSCALL_DEFINE() or an architecture puts before the name
/// of a system call.
std::string title_function(Text printed) {
  const std::string function = plain_function(printed);
  constexpr Text kEntries[] = {"__x64_",    "__ia32_",      "__arm64_",    "__se_sys_", "__se_",
                               "__do_sys_", "____sys_",     "___sys_",     "__sys_",    "ksys_",
                               "sys_",      "compat_SYSC_", "compat_SyS_", "SYSC_",     "SyS_"};
  for (Text entry : kEntries)
    if (function.starts_with(entry)) return function.substr(entry.size());
  return function;
}

/// Whom a title may name. Inlined calls are in symbolised text only: raw and symbolised text of one crash
/// must give one title.
std::vector<std::string> names(const std::vector<ConsoleFrame>& frames) {
  std::vector<std::string> result;
  for (const ConsoleFrame& frame : frames)
    if (!frame.inlined) result.push_back(title_function(frame.function));
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
  if ((r.function.empty() || r.mixed) && !is_empty(source.otherwise)) {
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
  if (r.rule.title == kInconsistent) needed = Mark::kTakes;
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
    blame(r, kCaller, "stack-protector");
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
    // Whoever notices is as random as what a watchdog hits.
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

ReportRole role_of(const ReportRule& rule) {
  return rule.role;
}
std::string_view kind_of(const ReportRule& rule) {
  return rule.kind;
}
bool is_boot(const ReportRule& rule) {
  return rule.kind == kReboot;
}

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
  for (std::string& alt : report.alt_titles) {
    put_function(alt, name);
    alt = without_numbers(alt);
  }
  // As the title has it.
  if (in_title && !r.function.empty()) report.function = without_numbers(" " + r.function);
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
