// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel prints for each kind of report, as its source has it, and the title that follows.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/report.h"

namespace perfcore {
namespace {

struct Form {
  const char* name;
  const char* kind;
  const char* title;
  const char* text;
};

const char kCpu[] = "CPU: 1 UID: 0 PID: 7 Comm: toy Not tainted 6.12.9-toy #1\nHardware name: Toy\n";
const char kTrace[] =
    "Call Trace:\n <TASK>\n dump_stack_lvl+0x5d/0x80\n ? toy_guess+0x1/0x2\n toy_ioctl+0x33/0x90\n"
    " vfs_ioctl+0x1/0x2\n do_syscall_64+0x82/0x190\n </TASK>\n";

// $C stands for kCpu, $T for kTrace.
const Form kForms[] = {
    // arch/x86/mm/fault.c, show_fault_oops()
    {"PageFault", "page-fault", "BUG: unable to handle kernel paging request in toy_read",
     "BUG: unable to handle page fault for address: ffffc90000001000\n#PF: supervisor write access in kernel "
     "mode\n#PF: error_code(0x0002) - not-present page\nOops: Oops: 0002 [#1] PREEMPT SMP\n$C"
     "RIP: 0010:memcpy+0xc/0x10\nCode: 90\nCall Trace:\n toy_read+0x1/0x20\n"},
    {"PageFaultCutOff", "page-fault", "BUG: unable to handle kernel", "BUG: unable to handle kernel \n$C$T"},
    // arch/arm64/mm/fault.c, die_kernel_fault()
    {"UserMemory", "page-fault", "BUG: unable to handle kernel access to user memory in toy_read",
     "Unable to handle kernel access to user memory outside uaccess routines at virtual address "
     "0000000000000010\npc : toy_read+0x1/0x20\nCall trace:\n toy_open+0x1/0x20\n"},
    // arch/arm64/kernel/traps.c, __die(): alone for a synchronous abort
    {"InternalError", "other", "Internal error in toy_read",
     "Internal error: synchronous external abort: 0000000096000010 [#1] SMP\n$Cpc : toy_read+0x1/0x20\n"
     "Call trace:\n toy_open+0x1/0x20\n"},
    // arch/x86/kernel/traps.c
    {"Gpf", "gpf", "general protection fault in toy_read",
     "Oops: general protection fault, probably for non-canonical address 0xdffffc0000000003: 0000 [#1] SMP "
     "KASAN\nKASAN: null-ptr-deref in range [0x18-0x1f]\n$CRIP: 0010:toy_read+0x1/0x20\nCall Trace:\n "
     "toy_open+0x1/0x20\n"},
    // Only where it hit counts; a divisor is not passed by the caller of a helper.
    {"Divide", "divide-error", "divide error in toy_scale",
     "divide_error: 0000 [#1] PREEMPT SMP\n$CRIP: 0010:toy_scale+0x1/0x20\nCall Trace:\n "
     "toy_open+0x1/0x20\n"},
    {"InvalidOpcode", "kernel-bug", "invalid opcode in skb_toy",
     "invalid opcode: 0000 [#1] PREEMPT SMP\n$CRIP: 0010:skb_toy+0x1/0x20\nCall Trace:\n "
     "toy_open+0x1/0x20\n"},
    {"DoubleFault", "double-fault", "PANIC: double fault in toy_deep",
     "traps: PANIC: double fault, error_code: 0x0\nOops: double fault: 0000 [#1] PREEMPT SMP\n$CRIP: "
     "0010:toy_deep+0x1/0x20\nCall Trace:\n "
     "toy_open+0x1/0x20\n"},
    // Endless recursion: the innermost functions are random.
    {"GuardPage", "double-fault", "BUG: stack guard page was hit in toy_ioctl",
     "BUG: TASK stack guard page was hit at ffffc90000ffffd8 (stack is ffffc90001000000..ffffc90001008000)\n"
     "Oops: stack guard page: 0000 [#1]\n$CRIP: 0010:toy_deep+0x1/0x20\n$T"},
    // lib/list_debug.c, mm/usercopy.c, net/core/skbuff.c: BUG()s of a helper
    {"List", "list-corruption", "BUG: corrupted list in toy_ioctl",
     "list_del corruption. prev->next should be ffff888000001000, but was 0. (prev=ffff888000002000)\n"
     "------------[ cut here ]------------\nkernel BUG at lib/list_debug.c:62!\nOops: invalid opcode: 0000 "
     "[#1]\n$CRIP: 0010:__list_del_entry_valid_or_report+0x1/0x20\n$T"},
    {"Usercopy", "kernel-bug", "BUG: bad usercopy in toy_ioctl",
     "usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-8' (offset 0, size 16)!\n"
     "kernel BUG at mm/usercopy.c:102!\n$CRIP: 0010:usercopy_abort+0x1/0x20\nCall Trace:\n "
     "__check_heap_object+0x1/0x20\n __check_object_size+0x1/0x20\n toy_ioctl+0x1/0x20\n"},
    {"Skb", "kernel-bug", "kernel BUG in toy_xmit",
     "skbuff: skb_over_panic: text:ffffffff81000000 len:1 put:1\nkernel BUG at net/core/skbuff.c:200!\n$C"
     "RIP: 0010:skb_panic+0x1/0x20\nCall Trace:\n skb_put+0x1/0x20\n toy_xmit+0x1/0x20\n"},
    // mm/kasan/report.c
    {"KasanHelper", "kasan", "KASAN: slab-use-after-free Write in toy_ioctl",
     "BUG: KASAN: slab-use-after-free in _raw_spin_lock+0x1/0x20\nWrite of size 4 at addr ffff888000001000 "
     "by "
     "task toy/7\n\n$C$T\nAllocated by task 7:\n toy_new+0x1/0x20\n"},
    {"KasanFree", "kasan", "KASAN: invalid-free in toy_ioctl",
     "BUG: KASAN: double-free in kfree_sensitive+0x1/0x20\nFree of addr ffff888000001000 by task "
     "toy/7\n\n$C$T"},
    {"KasanDecoded", "kasan", "KASAN: null-ptr-deref Write in toy_put",
     "BUG: KASAN: null-ptr-deref in atomic_dec include/linux/atomic.h:1 [inline]\nBUG: KASAN: null-ptr-deref "
     "in "
     "toy_put+0x1/0x20 toy/toy.c:7\nWrite of size 4 at addr 0000000000000018 by task toy/7\n\n$C"
     "Call Trace:\n kasan_report+0x1/0x20 mm/kasan/report.c:1\n toy_put+0x1/0x20 toy/toy.c:7\n"},
    // mm/kmsan/report.c: no "Call Trace:"
    {"Kmsan", "kmsan", "KMSAN: uninit-value in toy_parse",
     "BUG: KMSAN: uninit-value in nlmsg_toy+0x1/0x20\n netlink_rcv_skb+0x1/0x20\n "
     "toy_parse+0x1/0x20\n\nUninit was "
     "created at:\n toy_new+0x1/0x20\n"},
    {"Ubsan", "ubsan", "UBSAN: array-index-out-of-bounds in toy_ioctl",
     "UBSAN: array-index-out-of-bounds in toy/toy.c:7:3\nindex 9 is out of range for type 'int [8]'\n$C$T"},
    // mm/kmemleak.c; mm/page_alloc.c with CONFIG_PAGE_OWNER
    {"Leak", "memory-leak", "memory leak in toy_open",
     "BUG: memory leak\nunreferenced object 0xffff888000001000 (size 64):\n  comm \"toy\", pid 7, jiffies 1\n"
     "  backtrace (crc 1a2b3c4d):\n    kmemleak_alloc+0x1/0x20\n    toy_alloc_ring+0x1/0x20\n    "
     "toy_open+0x1/0x20\n"},
    {"BadPage", "bad-page", "BUG: Bad page state in toy_mmap_pages",
     "BUG: Bad page state in process toy  pfn:12345\npage: refcount:0 mapcount:1\npage dumped because: "
     "nonzero "
     "mapcount\npage_owner tracks the page as allocated\npage last allocated via order 0, migratetype "
     "Unmovable\n set_page_owner+0x1/0x20\n get_page_from_freelist+0x1/0x20\n __alloc_pages+0x1/0x20\n "
     "toy_mmap_pages+0x1/0x20\n$C$T"},
    // lib/refcount.c, lib/debugobjects.c, lib/kobject.c, fs/proc/generic.c, mm/util.c
    {"Refcount", "refcount", "WARNING: refcount bug in toy_ioctl",
     "refcount_t: underflow; use-after-free.\nWARNING: CPU: 1 PID: 7 at lib/refcount.c:28 "
     "refcount_warn_saturate+0x1/0x20\n$CRIP: 0010:refcount_warn_saturate+0x1/0x20\n$T"},
    {"Odebug", "odebug", "WARNING: ODEBUG bug in toy_ioctl",
     "ODEBUG: free active (active state 0) object: ffff888000001000 object type: timer_list hint: "
     "toy_fn+0x0/0x9\n"
     "WARNING: lib/debugobjects.c:612 at debug_print_object+0x1/0x20, CPU#1: toy/7\n$CRIP: "
     "0010:debug_print_object+0x1/0x20\nCall Trace:\n debug_check_no_obj_freed+0x1/0x20\n "
     "rcu_free_toy+0x1/0x20\n toy_ioctl+0x1/0x20\n"},
    {"OdebugBehind", "odebug", "WARNING: ODEBUG bug in toy_ioctl",
     "WARNING: CPU: 1 PID: 7 at lib/debugobjects.c:260 debug_print_object+0x1/0x20\nODEBUG: init active "
     "(active "
     "state 0) object type: timer_list hint: 0\n$C$T"},
    {"Kobject", "warning", "WARNING: kobject bug in toy_ioctl",
     "WARNING: CPU: 1 PID: 7 at lib/kobject.c:734 kobject_put+0x1/0x20\n$CRIP: "
     "0010:kobject_put+0x1/0x20\n$T"},
    {"Proc", "warning", "WARNING: proc registration bug in toy_ioctl",
     "proc_dir_entry 'toy/toy' already registered\nWARNING: CPU: 1 PID: 7 at fs/proc/generic.c:375 "
     "proc_register+0x1/0x20\n$CRIP: 0010:proc_register+0x1/0x20\nCall Trace:\n proc_mkdir+0x1/0x20\n "
     "toy_ioctl+0x1/0x20\n"},
    {"ProcOther", "warning", "WARNING in remove_proc_entry",
     "WARNING: CPU: 1 PID: 7 at fs/proc/generic.c:717 remove_proc_entry+0x1/0x20\n$CRIP: "
     "0010:remove_proc_entry+0x1/0x20\n$T"},
    {"Kmalloc", "warning", "WARNING: kmalloc bug in toy_ioctl",
     "WARNING: CPU: 1 PID: 7 at mm/util.c:650 kvmalloc_node+0x1/0x20\n$CRIP: "
     "0010:kvmalloc_node+0x1/0x20\n$T"},
    {"Urb", "warning", "WARNING in toy_ioctl/usb_submit_urb",
     "usb 1-1: BOGUS urb xfer, pipe 1 != type 3\nWARNING: CPU: 1 PID: 7 at drivers/usb/core/urb.c:503 "
     "usb_submit_urb+0x1/0x20\n$CRIP: 0010:usb_submit_urb+0x1/0x20\nCall Trace:\n "
     "usb_start_wait_urb+0x1/0x20\n "
     "toy_ioctl+0x1/0x20\n"},
    // Up to 4.16 the stack of panic() came first, with RIP in it.
    {"WarningThenPanic", "warning", "WARNING in toy_check",
     "WARNING: CPU: 1 PID: 7 at toy/toy.c:7 toy_check+0x1/0x20\nKernel panic - not syncing: panic_on_warn "
     "set ...\n\n"
     "CPU: 1 PID: 7 Comm: toy Not tainted 4.15.0 #1\nCall Trace:\n dump_stack+0x1/0x20\n panic+0x1/0x20\n "
     "__warn+0x1/0x20\n report_bug+0x1/0x20\n fixup_bug+0x1/0x20\n do_error_trap+0x1/0x20\n "
     "do_invalid_op+0x1/0x20\n "
     "invalid_op+0x1/0x20\nRIP: 0010:toy_check+0x1/0x20\nRSP: 0018:ffff8800\n toy_ioctl+0x1/0x20\n"},
    {"WarningWithoutPlace", "warning", "WARNING: toy ring is full, NUM entries",
     "WARNING: toy ring is full, 64 entries\n"},
    // kernel/sched/core.c, lib/smp_processor_id.c
    {"Atomic", "atomic-sleep", "BUG: scheduling while atomic in toy_ioctl",
     "BUG: scheduling while atomic: toy/7/0x00000002\n$CCall Trace:\n __schedule_bug+0x1/0x20\n "
     "__schedule+0x1/0x20\n "
     "schedule_timeout+0x1/0x20\n toy_ioctl+0x1/0x20\n"},
    {"Sleeping", "atomic-sleep", "BUG: sleeping function called from invalid context in toy_ioctl",
     "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:7\nin_atomic(): 1\n$CCall "
     "Trace:\n "
     "__might_resched+0x1/0x20\n mutex_lock+0x1/0x20\n toy_ioctl+0x1/0x20\n"},
    {"Preemptible", "atomic-sleep", "BUG: using __this_cpu_add() in preemptible code in toy_ioctl",
     "BUG: using __this_cpu_add() in preemptible [00000000] code: toy/7\ncaller is "
     "toy_ioctl+0x1/0x20\n$CCall "
     "Trace:\n check_preemption_disabled+0x1/0x20\n toy_ioctl+0x1/0x20\n"},
    // kernel/locking/lockdep.c and spinlock_debug.c
    {"Circular", "lockdep", "possible deadlock in toy_stop",
     "WARNING: possible circular locking dependency detected\n6.12.9 #1 Not tainted\ntoy/7 is trying to "
     "acquire "
     "lock:\nffff8880 (&a){+.+.}-{3:3}, at: __flush_workqueue+0x1/0x20\n\nbut task is already holding "
     "lock:\nffff8880 (&b){+.+.}-{3:3}, at: toy_stop+0x1/0x20\n\nstack backtrace:\n$C$T"},
    // The lock site as it is: nobody is passed over.
    {"Recursive", "lockdep", "possible deadlock in lock_sock_nested",
     "WARNING: possible recursive locking detected\ntoy/7 is trying to acquire lock:\nffff8880 "
     "(&a){+.+.}-{3:3}, "
     "at: lock_sock_nested+0x1/0x20\n\nbut task is already holding lock:\nffff8880 (&a){+.+.}-{3:3}, at: "
     "toy_stop+0x1/0x20\nstack backtrace:\n$C$T"},
    {"Inversion", "lockdep", "possible deadlock in toy_irq",
     "WARNING: possible irq lock inversion dependency detected\ntoy/7 just changed the state of "
     "lock:\nffff8880 "
     "(&a){-...}-{2:2}, at: toy_irq+0x1/0x20\nbut this lock took another, HARDIRQ-unsafe lock in the "
     "past:\nstack "
     "backtrace:\n$C$T"},
    {"IrqOrder", "lockdep", "possible deadlock in toy_irq",
     "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected\ntoy/7 [HC0[0]:SC0[0]:HE0:SE1] is trying "
     "to "
     "acquire:\nffff8880 (&a){+.+.}-{2:2}, at: toy_stop+0x1/0x20\nbut this new dependency connects a "
     "HARDIRQ-irq-safe lock:\n (&b){-...}-{2:2}\n\n... which became HARDIRQ-irq-safe at:\n  "
     "lock_acquire+0x1/0x20\n  toy_irq+0x1/0x20\n\nto a HARDIRQ-irq-unsafe lock:\nstack backtrace:\n$C$T"},
    {"Inconsistent", "lockdep", "inconsistent lock state in toy_ioctl",
     "WARNING: inconsistent lock state\ninconsistent {SOFTIRQ-ON-W} -> {IN-SOFTIRQ-W} usage.\ntoy/7 "
     "[HC0[0]:SC1[1]:HE1:SE0] takes:\nffff8880 (&a){+.?.}-{2:2}, at: toy_tick+0x1/0x20\nstack "
     "backtrace:\n$C$T"},
    {"Unlock", "lockdep", "WARNING: bad unlock balance in toy_unlock_all",
     "WARNING: bad unlock balance detected!\ntoy/7 is trying to release lock (&a) at:\n[<ffffffff81234567>] "
     "toy_unlock_all+0x1/0x20\nbut there are no more locks to release!\nstack backtrace:\n$C$T"},
    {"HeldFreed", "lockdep", "WARNING: held lock freed in toy_open",
     "WARNING: held lock freed!\ntoy/7 is freeing memory ffff8880-ffff8881, with a lock still held "
     "there!\nffff8880 "
     "(&a){+.+.}-{3:3}, at: toy_open+0x1/0x20\nstack backtrace:\n$C$T"},
    {"StillHeld", "lockdep", "WARNING: still has locks held in toy_open",
     "WARNING: toy/7 still has locks held!\n6.12.9 #1 Not tainted\n1 lock held by toy/7:\n #0: ffff8880 "
     "(&a){+.+.}-{3:3}, at: toy_open+0x1/0x20\nstack backtrace:\n$C$T"},
    {"UserReturn", "lockdep", "WARNING: lock held when returning to user space in toy_open",
     "WARNING: lock held when returning to user space!\ntoy/7 is leaving the kernel with locks still "
     "held!\n1 lock "
     "held by toy/7:\n #0: ffff8880 (&a){+.+.}-{3:3}, at: toy_open+0x1/0x20\n"},
    {"WaitContext", "lockdep", "WARNING: locking bug in toy_ioctl",
     "[ BUG: Invalid wait context ]\n6.12.9 #1 Not tainted\ntoy/7 is trying to lock:\nffff8880 "
     "(&a){....}-{3:3}, at: "
     "toy_open+0x1/0x20\nstack backtrace:\n$CCall Trace:\n __lock_acquire+0x1/0x20\n lock_acquire+0x1/0x20\n "
     "toy_ioctl+0x1/0x20\n"},
    {"NonStatic", "lockdep", "INFO: trying to register non-static key in toy_ioctl",
     "INFO: trying to register non-static key.\nThe code is fine but needs lockdep annotation, or "
     "maybe\n$CCall "
     "Trace:\n register_lock_class+0x1/0x20\n __lock_acquire+0x1/0x20\n toy_ioctl+0x1/0x20\n"},
    {"SpinMagic", "lockdep", "BUG: spinlock wrong owner in toy_ioctl",
     "BUG: spinlock wrong owner on CPU#1, toy/7\n lock: 0xffff888000001000, .magic: dead4ead\n$CCall "
     "Trace:\n "
     "spin_dump+0x1/0x20\n do_raw_spin_unlock+0x1/0x20\n toy_ioctl+0x1/0x20\n"},
    {"RcuUsage", "rcu-usage", "WARNING: suspicious RCU usage in toy_ioctl",
     "WARNING: suspicious RCU usage\n6.12.9 #1 Not tainted\ntoy/toy.c:7 suspicious rcu_dereference_check() "
     "usage!\nstack backtrace:\n$CCall Trace:\n lockdep_rcu_suspicious+0x1/0x20\n toy_rcu_next+0x1/0x20\n "
     "toy_ioctl+0x1/0x20\n"},
    {"LockdepCutOff", "warning", "WARNING: possible circular locking dependency detected",
     "[    1.0] WARNING: possible circular locking dependency detected\n[    1.0] 6.12.9 #1 Not tainted\n"},
    // kernel/rcu/tree_stall.h: from the timer interrupt, behind the stacks of RCU's own threads
    {"RcuStall", "rcu-stall", "INFO: rcu detected stall in toy_ioctl",
     "rcu: INFO: rcu_preempt self-detected stall on CPU\nrcu: \t0-....: (10500 ticks this GP)\nrcu: RCU "
     "grace-period kthread stack dump:\nCall Trace:\n __schedule+0x1/0x20\n rcu_gp_kthread+0x1/0x20\n "
     "kthread+0x1/0x20\nNMI backtrace for cpu 0\n$CCall Trace:\n <IRQ>\n rcu_dump_cpu_stacks+0x1/0x20\n "
     "__hrtimer_run_queues+0x1/0x20\n sysvec_apic_timer_interrupt+0x1/0x20\n </IRQ>\n <TASK>\n "
     "asm_sysvec_apic_timer_interrupt+0x1/0x20\nRIP: 0010:toy_spin+0x1/0x20\nCode: 90\n toy_loop+0x1/0x20\n "
     "toy_ioctl+0x1/0x20\n vfs_ioctl+0x1/0x20\n"},
    // kernel/hung_task.c: victims of one lock belong together
    {"HungRtnl", "hung-task", "INFO: task hung in rtnl_lock",
     "INFO: task toy:7 blocked for more than 143 seconds.\n      Not tainted 6.12.9 #1\nCall Trace:\n "
     "__schedule+0x1/0x20\n __mutex_lock+0x1/0x20\n rtnl_lock+0x1/0x20\n toy_ioctl+0x1/0x20\n"},
    {"HungWait", "hung-task", "INFO: task hung in toy_flush",
     "INFO: task toy:7 blocked for more than 143 seconds.\nCall Trace:\n __schedule+0x1/0x20\n "
     "schedule+0x1/0x20\n "
     "wait_on_toy+0x1/0x20\n down_read+0x1/0x20\n toy_flush+0x1/0x20\n"},
    // kernel/panic.c
    {"StackProtector", "panic", "kernel panic: stack is corrupted in toy_copy",
     "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: toy_copy+0x1/0x20\n$C$T"},
    {"StackEnd", "panic", "kernel panic: corrupted stack end in toy_ioctl",
     "Kernel panic - not syncing: corrupted stack end detected inside scheduler\n$CCall Trace:\n "
     "panic+0x1/0x20\n "
     "__schedule+0x1/0x20\n toy_deep+0x1/0x20\n toy_ioctl+0x1/0x20\n vfs_ioctl+0x1/0x20\n"},
    {"PanicNumbers", "panic", "kernel panic: toy ADDR has NUM of NUM rings",
     "Kernel panic - not syncing: toy 0xffff888000001000 has 3 of 8 rings\n$C$T"},
};

std::string expand(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "$C")
      result += kCpu, ++i;
    else if (text.substr(i, 2) == "$T")
      result += kTrace, ++i;
    else
      result += text[i];
  }
  return result;
}

/// As a console with CONFIG_PRINTK_CALLER shows it, with lines of another CPU in between.
std::string on_console(std::string_view text) {
  std::string result;
  size_t n = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    result += "[   41." + std::to_string(100000 + n) + "][  T701] " + std::string(text.substr(0, end)) + "\n";
    if (++n % 3 == 0) result += "[   41." + std::to_string(100000 + n) + "][    C2]  other_cpu+0x1/0x20\n";
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return result;
}

class ReportForms : public testing::TestWithParam<Form> {};

TEST_P(ReportForms, HaveTheTitleOfTheField) {
  const Form& form = GetParam();
  const std::string text = expand(form.text);
  const std::vector<ConsoleReport> reports = parse_console(text);
  ASSERT_FALSE(reports.empty()) << text;
  EXPECT_EQ(reports.front().title, form.title) << text;
  EXPECT_EQ(reports.front().kind, form.kind);
}

TEST_P(ReportForms, AreToldFromOtherCpusByCallerIds) {
  const std::string text = expand(GetParam().text);
  if (text.starts_with("[    1.0]")) GTEST_SKIP() << "is a console's own";
  const std::vector<ConsoleReport> reports = parse_console(on_console(text));
  ASSERT_FALSE(reports.empty()) << text;
  EXPECT_EQ(reports.front().title, GetParam().title) << on_console(text);
}

INSTANTIATE_TEST_SUITE_P(Kernel, ReportForms, testing::ValuesIn(kForms),
                         [](const testing::TestParamInfo<Form>& form) { return form.param.name; });

// What calls itself INFO or WARNING and is none.
TEST(ReportNoise, IsNoReport) {
  for (const char* line :
       {"INFO: lockdep is turned off.", "INFO: Stall ended before state dump start",
        "WARNING: workqueue cpumask: online intersect > possible intersect",
        "WARNING: the mand mount option is being deprecated and",
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible",
        "EXT4-fs (toy1): WARNING: mounting unchecked fs",
        "fbcon: WARNING: fbcon: Driver 'toy' missed to adjust"})
    EXPECT_TRUE(parse_console(std::string(line) + "\n").empty()) << line;
}

// The console's text of a machine that boots again.
TEST(ReportReboot, IsUnexpectedUnlessTheKernelSaidSo) {
  const std::string boot =
      "early console in extract_kernel\nDecompressing Linux... done.\nBooting the kernel.\n[    0.0] Linux "
      "version 6.12.9\n";
  EXPECT_TRUE(parse_console(boot).empty());
  EXPECT_TRUE(parse_console(boot + "[   99.1] reboot: Restarting system\n" + boot).empty());
  const auto reports = parse_console(boot + "[   99.1] toy: all is well\n" + boot);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].title, "unexpected kernel reboot");
  EXPECT_EQ(reports[0].kind, "reboot");
  // A crash before it explains it.
  EXPECT_EQ(
      parse_console(boot + "[   99.1] kernel BUG at toy.c:7!\n[   99.1] RIP: 0010:toy_run+0x1/0x2\n" + boot)
          .front()
          .title,
      "kernel BUG in toy_run");
}

// Every form, cut off, mixed up and damaged at random: never a crash, and places that lie in the text.
TEST(ReportForms, MutationsDoNotHurt) {
  std::mt19937 random(20261121);
  std::vector<std::string> texts;
  for (const Form& form : kForms) texts.push_back(expand(form.text));
  for (int i = 0; i < 3000; ++i) {
    std::string mutant = texts[random() % texts.size()];
    if (random() % 2) mutant = on_console(mutant);
    for (size_t n = random() % 16; n > 0 && !mutant.empty(); --n) {
      const size_t at = random() % mutant.size();
      const std::string& other = texts[random() % texts.size()];
      switch (random() % 6) {
        case 0:
          mutant[at] = static_cast<char>(random());
          break;
        case 1:
          mutant.erase(at, random() % 200);
          break;
        case 2:
          mutant.insert(at, other.substr(random() % other.size(), random() % 300));
          break;
        case 3:
          mutant.resize(at);
          break;
        case 4:
          mutant.insert(at, std::string(random() % 5000, "x\n \0[<"[random() % 6]));
          break;
        default:
          mutant.insert(at, 1, "\n\r\0[<>+?]:("[random() % 11]);
          break;
      }
    }
    for (const ConsoleReport& report : parse_console(mutant)) {
      EXPECT_FALSE(report.title.empty());
      EXPECT_LE(report.title.size(), 160u);
      EXPECT_EQ(report.title.find("$F"), std::string::npos) << report.title;
      EXPECT_LE(report.end, mutant.size());
      EXPECT_LT(report.begin, report.end);
    }
  }
}

}  // namespace
}  // namespace perfcore
