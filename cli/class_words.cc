// SPDX-License-Identifier: LGPL-2.1-or-later
#include "class_words.h"

#include <algorithm>
#include <iterator>

namespace perfcore::cli {
namespace {

constexpr ClassWords kOther = {"other", "a failure of a kind that perfcore has no name for",
                               "Read the log around the first message that is not routine (perfcore log "
                               "DUMP), then the stacks of all CPUs "
                               "(perfcore show DUMP bt)."};

constexpr ClassWords kClasses[] = {
    {"null-deref", "it followed a NULL pointer",
     "If a member is named under \"instruction\", it says which pointer was NULL: look for who should have "
     "set it, "
     "and who "
     "clears it. If the same place also faults with other addresses, suspect memory corruption instead."},
    {"page-fault", "it touched memory that is not mapped, or may not be used in this way",
     "Compare the fault address with the pointers in the registers: an address that looks like a pointer "
     "with a few "
     "bits changed hints at bad memory or a stray write, one just past an object at an overrun. A kernel "
     "with KASAN "
     "names the object."},
    {"gpf",
     "the CPU refused an access (general protection fault), usually through an address that cannot exist",
     "Look at the registers for patterns: 0x6b6b... is freed memory, 0xdead... a deleted list entry, text a "
     "string "
     "overrun. Boot once with slub_debug=FZPU to catch the writer."},
    {"stack-segment", "the CPU refused a stack access (stack segment fault)",
     "Treat it as a general protection fault whose address was based on the stack or frame pointer: a stack "
     "that was "
     "overwritten, or a pointer loaded from it."},
    {"divide-error", "it divided by zero",
     "The divisor's register is named under \"instruction\". Look for a count or rate that user space or a "
     "device can "
     "make zero."},
    {"double-fault", "an exception hit while the CPU was entering another one (double fault)",
     "Most often the kernel stack ran out: count the frames and look for large ones or recursion in perfcore "
     "show DUMP "
     "bt."},
    {"int3", "it ran into a breakpoint instruction",
     "Check which kprobes, ftrace hooks or static keys were changing text at that address, and whether a "
     "live patch or "
     "a module load was going on."},
    {"kernel-bug", "it hit a check that its authors consider impossible (BUG)",
     "Read the source line named in the log; the condition in it was true. The caller usually broke the "
     "rule, not the "
     "function that checks it."},
    {"list-corruption", "a linked list was found broken",
     "The log names the entries. A poisoned pointer (0xdead...) is an entry that was deleted twice or used "
     "after it was "
     "freed; anything else is a stray write. Boot once with slub_debug=FZPU or KASAN."},
    {"refcount", "a reference count went wrong",
     "An object was released once too often, or used after the last release: look at both ends of the "
     "object's life in "
     "the function that complained."},
    {"bad-page", "a page of memory was freed in an impossible state",
     "The page's flags and owner are in the log. If different pages and owners appear, test the memory of "
     "the machine."},
    {"kasan", "the memory checker KASAN found an invalid access",
     "The KASAN report in the log names the object, who allocated it and who freed it: start there."},
    {"kfence", "the sampling memory checker KFENCE found an invalid access",
     "The KFENCE report in the log names the object, who allocated it and who freed it: start there."},
    {"kmsan", "the memory checker KMSAN found a use of uninitialised memory",
     "The report names where the memory came from and where it was used: start there."},
    {"kcsan", "the checker KCSAN found a data race",
     "The report names both accesses. Judge whether the race is harmful before fixing it; many are not."},
    {"ubsan", "the checker UBSAN found undefined behaviour",
     "The report names the file, the line and the values."},
    {"odebug", "an object such as a timer was used in the wrong state (debug objects)",
     "The report names the object's type and state: look for a timer or work item freed while it was "
     "active."},
    {"memory-leak", "the checker kmemleak found memory that nobody refers to",
     "The report has the stack of the allocation."},
    {"soft-lockup", "a CPU ran in the kernel for too long without letting others run (soft lockup)",
     "Look at the stack of the CPU that the log names (another one may have panicked): perfcore show DUMP bt "
     "CPU. "
     "Look for "
     "a loop without an end, or for a lock it spins on, and then for the lock's holder."},
    {"hard-lockup", "a CPU took no interrupts for too long (hard lockup)",
     "Look at the stack of the CPU named in the log: it ran with interrupts off. Spinning on a lock: find "
     "the holder "
     "among the other CPUs' stacks. Several CPUs at once: suspect firmware or the hypervisor."},
    {"rcu-stall", "a CPU or task held up RCU, the kernel's deferred freeing, for too long",
     "The log lists who stalls it. Look at those CPUs' stacks; in a virtual machine, first ask whether the "
     "host gave it "
     "CPU time."},
    {"rcu-usage", "RCU was used without the required lock (a check of lockdep)",
     "The report names the place and the locks held."},
    {"lockdep", "the lock checker found an order of locks that can deadlock",
     "The report shows both orders; one of them has to change."},
    {"atomic-sleep", "it tried to sleep where that is not allowed",
     "Look for the lock or the disabled interrupts a few frames further out in the stack."},
    {"hung-task", "a task waited for too long (hung task)",
     "The task named under \"oops\" waits for something: its stack in the log (perfcore log DUMP) shows for "
     "what. Then look for who should wake it: a mutex's owner, a device that no longer answers, a full disk "
     "queue."},
    {"workqueue-lockup", "a queue of background work did not get on",
     "The log shows the busy workers of the pool: one of them blocks the CPU or waits for ever."},
    {"unregister-netdev", "a network device could not be removed because somebody still refers to it",
     "Look for the subsystem that took the last reference; the reference tracker names it where it is "
     "compiled in."},
    {"warning", "a warning was set to be fatal (panic_on_warn)",
     "Read the source line named in the log and why it warns; without panic_on_warn the kernel would have "
     "gone on."},
    {"unknown-nmi", "an NMI (interrupt that cannot be masked) came that no driver wanted",
     "Look for hardware errors (machine's event log, EDAC), for a management controller or hypervisor that "
     "sent it on "
     "purpose, and for a performance counter interrupt that came late."},
    {"nmi-storm", "NMIs (interrupts that cannot be masked) kept coming",
     "Look at what handles them: performance counters (perfcore show DUMP pmu) or failing hardware."},
    {"msr-access", "an access to a CPU control register (MSR) failed",
     "The log names the MSR. Check microcode, and in a virtual machine whether the hypervisor offers what "
     "the CPU model "
     "promises."},
    {"mce", "the CPU reported a hardware error (machine check)",
     "This is hardware: decode the bank and status in the log, look at the machine's event log, and replace "
     "the part. "
     "Do not look for a kernel bug first."},
    {"oom-panic", "memory ran out and the kernel was told to panic then (panic_on_oom)",
     "The log lists who used the memory. Look for the largest task, for a leak in Slab or unreclaimable "
     "memory, and for "
     "a cgroup limit that is too low."},
    {"sysrq", "somebody asked for it (sysrq-c, or a write to /proc/sysrq-trigger)",
     "The crash itself needs no explanation. Ask who triggered it, and what they saw before: a hang usually. "
     "Look at "
     "the stacks of all CPUs and at blocked tasks."},
    {"panic", "it gave up by itself (panic)",
     "The reason is the message that panic() was given. For \"Attempted to kill init\" or a missing root "
     "file system "
     "look at the boot configuration."},
    {"none", "nothing in the log or the registers says that it crashed",
     "This looks like a dump of a running or hung machine. Look at the stacks of all CPUs (perfcore show "
     "DUMP bt) and "
     "the end of the log."},
};

}  // namespace

const ClassWords& words_for(std::string_view crash_class) {
  const auto* found = std::find_if(std::begin(kClasses), std::end(kClasses),
                                   [&](const ClassWords& words) { return words.crash_class == crash_class; });
  return found == std::end(kClasses) ? kOther : *found;
}

}  // namespace perfcore::cli
