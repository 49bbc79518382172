// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/oops_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace perfcore {
namespace {

std::vector<LogLine> lines_of(std::string_view text) {
  std::vector<LogLine> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back({text.substr(at, end - at), lines.size() * 1000, true});
    at = end + 1;
  }
  return lines;
}

struct HeadlineCase {
  const char* line;
  const char* crash_class;  // nullptr: no headline
};

TEST(OopsText, HeadlinesOfEveryClass) {
  const HeadlineCase cases[] = {
      {"BUG: kernel NULL pointer dereference, address: 0000000000000198", "null-deref"},
      {"BUG: unable to handle kernel NULL pointer dereference at (null)", "null-deref"},
      {"BUG: unable to handle page fault for address: ffff9cd801f3f2a0", "page-fault"},
      {"BUG: unable to handle kernel paging request at ffffea0000f0e440", "page-fault"},
      {"Oops: 0002 [#1] PREEMPT SMP", "page-fault"},
      {"Oops: Oops: 0000 [#1] SMP NOPTI", "page-fault"},
      {"Oops: general protection fault, probably for non-canonical address 0x6b6b: 0000 [#1] SMP", "gpf"},
      {"general protection fault: 0000 [#1] SMP", "gpf"},
      {"Oops: divide error: 0000 [#1] SMP", "divide-error"},
      {"int3: 0000 [#1] SMP", "int3"},
      {"stack segment: 0000 [#1] SMP", "stack-segment"},
      {"traps: PANIC: double fault, error_code: 0x0", "double-fault"},
      {"BUG: TASK stack guard page was hit at ffffc9000e4aff58 (stack is 0..1)", "double-fault"},
      {"kernel BUG at mm/slub.c:4404!", "kernel-bug"},
      {"kernel BUG at lib/list_debug.c:56!", "list-corruption"},
      {"list_del corruption. prev->next should be ffff88, but was ffff99", "list-corruption"},
      {"BUG: KASAN: slab-use-after-free in perf_event_release+0x10/0x20", "kasan"},
      {"BUG: KFENCE: invalid read in f+0x1/0x2", "kfence"},
      {"BUG: KMSAN: uninit-value in f+0x1/0x2", "kmsan"},
      {"BUG: KCSAN: data-race in f / g", "kcsan"},
      {"UBSAN: shift-out-of-bounds in arch/x86/events/core.c:1:2", "ubsan"},
      {"refcount_t: underflow; use-after-free.", "refcount"},
      {"ODEBUG: free active (active state 0) object: 0 object type: timer_list hint: f+0x0/0x1", "odebug"},
      {"BUG: sleeping function called from invalid context at kernel/locking/mutex.c:1", "atomic-sleep"},
      {"BUG: scheduling while atomic: swapper/0/0/0x00010002", "atomic-sleep"},
      {"BUG: using smp_processor_id() in preemptible [00000000] code: a/1", "atomic-sleep"},
      {"WARNING: possible circular locking dependency detected", "lockdep"},
      {"[ INFO: possible recursive locking detected ]", "lockdep"},
      {"BUG: spinlock bad magic on CPU#0, a/1", "lockdep"},
      {"WARNING: suspicious RCU usage", "rcu-usage"},
      {"rcu: INFO: rcu_preempt self-detected stall on CPU", "rcu-stall"},
      {"watchdog: BUG: soft lockup - CPU#3 stuck for 23s! [kworker/3:1:123]", "soft-lockup"},
      {"NMI watchdog: Watchdog detected hard LOCKUP on cpu 3", "hard-lockup"},
      {"watchdog: CPU5: Watchdog detected hard LOCKUP on cpu 5", "hard-lockup"},
      {"INFO: task jbd2/sda1-8:271 blocked for more than 120 seconds.", "hung-task"},
      {"BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 32s!", "workqueue-lockup"},
      {"BUG: Bad page state in process a  pfn:7071f", "bad-page"},
      {"BUG: memory leak", "memory-leak"},
      {"unregister_netdevice: waiting for lo to become free. Usage count = 2", "unregister-netdev"},
      {"unchecked MSR access error: WRMSR to 0x1986 (tried to write 0x1) at rIP: 0x0", "msr-access"},
      {"perfevents: irq loop stuck!", "nmi-storm"},
      {"Uhhuh. NMI received for unknown reason 21 on CPU 3.", "unknown-nmi"},
      {"mce: [Hardware Error]: CPU 2: Machine Check: 0 Bank 5: be00000000800400", "mce"},
      {"{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 0", "mce"},
      {"EDAC MC0: 1 UE memory read error on CPU_SrcID#0", "mce"},
      {"WARNING: CPU: 29 PID: 2133 at kernel/events/core.c:3069 __perf_event_enable+0x1d3/0x220", "warning"},
      {"WARNING: kernel/tracepoint.c:175 at f+0x357/0x370, CPU#2: perf/2272", "warning"},
      {"WARNING: CPU: 0 PID: 1 at lib/refcount.c:25 refcount_warn_saturate+0xbc/0x110", "refcount"},
      {"Kernel panic - not syncing: sysrq triggered crash", "panic"},
      {"BUG: Dentry ffff880175978600{i=8bb9,n=lo}  still in use (1)", "kernel-bug"},
      {"Out of memory: Killed process 1 (a) total-vm:1kB", "oom-panic"},
      // What only looks like one.
      {"Speculative Return Stack Overflow: WARNING: See https://kernel.org/doc/ for mitigation options.",
       nullptr},
      {"WARNING: the mand mount option has been deprecated and", nullptr},
      {"INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.356 msecs", nullptr},
      {"INFO: lockdep is turned off.", nullptr},
      {"INFO: Stall ended before state dump start", nullptr},
      {"ODEBUG: Out of memory. ODEBUG disabled", nullptr},
      {"traps: a[1] general protection fault ip:47 sp:0 error:0", nullptr},
      {"---[ end Kernel panic - not syncing: sysrq triggered crash ]---", nullptr},
      {"systemd[1]: Started Kernel panic - not syncing: is what this unit is called.", nullptr},
      {"", nullptr},
      {": : : : : : :", nullptr},
  };
  for (const HeadlineCase& expected : cases) {
    const auto headline = find_headline(expected.line);
    if (!expected.crash_class) {
      EXPECT_FALSE(headline) << expected.line << " is not " << headline->crash_class;
    } else {
      ASSERT_TRUE(headline) << expected.line;
      EXPECT_EQ(headline->crash_class, expected.crash_class) << expected.line;
    }
  }
}

TEST(OopsText, CodePlaces) {
  auto place = parse_code_place("x86_pmu_stop+0x14/0xc0 [kvm]");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->function, "x86_pmu_stop");
  EXPECT_EQ(place->offset, 0x14u);
  EXPECT_EQ(place->size, 0xc0u);
  EXPECT_EQ(place->module, "kvm");
  place = parse_code_place(" [<ffffffff810eb83c>] watchdog_overflow_callback+0x9c/0xd0");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->function, "watchdog_overflow_callback");
  EXPECT_EQ(place->module, "");
  place = parse_code_place("f.isra.0+0x1/0x2 [mod 0123456789abcdef]");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->module, "mod");
  EXPECT_FALSE(parse_code_place("0x47b7a0"));
  EXPECT_FALSE(parse_code_place("+0x1/0x2"));
  EXPECT_FALSE(parse_code_place("f+0x1"));
  EXPECT_FALSE(parse_code_place("two words+0x1/0x2"));
  EXPECT_FALSE(parse_code_place("f+0xfffffffffffffffffffff/0x2"));
}

constexpr std::string_view kNmiOops = R"(smpboot: CPU0 is up
Uhhuh. NMI received for unknown reason 21 on CPU 2.
Dazed and confused, but trying to continue
BUG: kernel NULL pointer dereference, address: 0000000000000208
#PF: supervisor read access in kernel mode
#PF: error_code(0x0000) - not-present page
PGD 0 P4D 0
Oops: Oops: 0000 [#1] SMP NOPTI
CPU: 1 UID: 0 PID: 160 Comm: two words Tainted: G           OE      6.18.12+deb13-amd64 #1 PREEMPT(lazy)
Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16.2 04/01/2014
RIP: 0010:x86_pmu_handle_irq+0xba/0x220
Uhhuh. NMI received for unknown reason 31 on CPU 3.
Code: 0f 8f 2b 01 00 00 <49> 8b 87
RSP: 0000:fffffe3744260c40 EFLAGS: 00000087
RAX: ffffffffffffffff RBX: ffff8a6a93698cc0 RCX: 0000000000000001
RDX: 0000000000000002 RSI: 0000000000000400 RDI: 0000000000000340
RBP: fffffe3744260e20 R08: 0000000000000008 R09: 0000000000000009
R10: 000000000000000a R11: 000000000000000b R12: fffffe3744260c80
R13: ffffffffffffffff R14: 000000000000000e R15: 0000000000000000
FS:  00000000382d8380(0000) GS:ffff8a6af37f6000(0000) knlGS:0000000000000000
CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033
CR2: 0000000000000208 CR3: 00000000025c2000 CR4: 00000000003506f0
Call Trace:
 <NMI>
 ? __die_body.cold+0x19/0x27
 perf_event_nmi_handler+0x2a/0x50
 end_repeat_nmi+0xf/0x53
RIP: 0010:delay_tsc+0x37/0xa0
RAX: 0000000000000bad RBX: 0000000000000bad RCX: 0000000000000bad
 </NMI>
 <TASK>
 do_idle+0x1f5/0x230
 </TASK>
---[ end trace 0000000000000000 ]---
RIP: 0010:x86_pmu_handle_irq+0xba/0x220
Kernel panic - not syncing: Fatal exception in interrupt
Kernel Offset: 0x1c200000 from 0xffffffff81000000
---[ end Kernel panic - not syncing: Fatal exception in interrupt ]---
)";

TEST(OopsText, OopsInNmiWithOtherCpusTalking) {
  const auto lines = lines_of(kNmiOops);
  const LogVerdict verdict = judge_log(lines);
  EXPECT_EQ(verdict.crash_class, "null-deref");
  EXPECT_EQ(verdict.panic_message, "Fatal exception in interrupt");
  ASSERT_TRUE(verdict.panic);
  ASSERT_TRUE(verdict.report);
  const OopsReport& report = *verdict.report;
  EXPECT_EQ(report.headline, "BUG: kernel NULL pointer dereference, address: 0000000000000208");
  EXPECT_EQ(report.cpu, 1);
  EXPECT_EQ(report.pid, 160);
  EXPECT_EQ(report.comm, "two words");
  EXPECT_EQ(report.taint, "G           OE");
  EXPECT_EQ(report.rip.function, "x86_pmu_handle_irq");
  EXPECT_EQ(report.rip.offset, 0xbau);
  EXPECT_EQ(report.fault_address, 0x208u);
  EXPECT_TRUE(report.ended);
  ASSERT_TRUE(report.registers);
  EXPECT_EQ(report.registers->sp, 0xfffffe3744260c40u);
  EXPECT_EQ(report.registers->flags, 0x87u);
  EXPECT_EQ(report.registers->cs, 0x10u);
  EXPECT_EQ(report.registers->ax, ~0ull);  // not those of the interrupted delay_tsc()
  EXPECT_EQ(report.registers->r8, 8u);
  EXPECT_EQ(report.registers->r14, 14u);
  ASSERT_EQ(report.trace.size(), 4u);
  EXPECT_FALSE(report.trace[0].reliable);
  EXPECT_EQ(report.trace[1].place.function, "perf_event_nmi_handler");
  EXPECT_EQ(report.trace[1].section, "NMI");
  EXPECT_EQ(report.trace[3].section, "TASK");
  ASSERT_TRUE(verdict.first_anomaly);
  EXPECT_EQ(lines[*verdict.first_anomaly].text, "Uhhuh. NMI received for unknown reason 21 on CPU 2.");
}

TEST(OopsText, PanicMessageDecides) {
  struct Case {
    const char* log;
    const char* crash_class;
  };
  const Case cases[] = {
      // Old oopses and warnings are not why another panic happened.
      {"BUG: kernel NULL pointer dereference, address: 0000000000000008\nCPU: 1 PID: 7 Comm: a Not tainted "
       "6\n"
       "---[ end trace 0 ]---\nKernel panic - not syncing: sysrq triggered crash\n",
       "sysrq"},
      {"WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\nKernel panic - not syncing: NMI: Not continuing\n",
       "unknown-nmi"},
      {"Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n", "panic"},
      {"Kernel panic - not syncing: softlockup: hung tasks\n", "soft-lockup"},
      {"Kernel panic - not syncing: Hard LOCKUP\n", "hard-lockup"},
      {"Kernel panic - not syncing: hung_task: blocked tasks\n", "hung-task"},
      {"Kernel panic - not syncing: RCU Stall\n", "rcu-stall"},
      {"Kernel panic - not syncing: Fatal machine check\n", "mce"},
      {"Kernel panic - not syncing: Timeout: Not all CPUs entered broadcast exception handler\n", "mce"},
      {"Kernel panic - not syncing: System is deadlocked on memory\n", "oom-panic"},
      {"Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled\n", "oom-panic"},
      // These take the class of what led to them.
      {"WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\nKernel panic - not syncing: panic_on_warn set ...\n",
       "warning"},
      {"WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\nKernel panic - not syncing: kernel: panic_on_warn set "
       "...\n",
       "warning"},
      {"refcount_t: underflow; use-after-free.\nWARNING: CPU: 0 PID: 1 at lib/refcount.c:28 f+0x1/0x2\n"
       "Kernel panic - not syncing: panic_on_warn set ...\n",
       "refcount"},
      {"WARNING: CPU: 0 PID: 1 at lib/debugobjects.c:1 f+0x1/0x2\n"
       "ODEBUG: free active (active state 0) object type: timer_list hint: f\n"
       "Kernel panic - not syncing: panic_on_warn set ...\n",
       "odebug"},
      {"BUG: KASAN: use-after-free in f+0x1/0x2\nKernel panic - not syncing: KASAN: panic_on_warn set ...\n",
       "kasan"},
      {"list_add corruption. next->prev should be prev\n------------[ cut here ]------------\n"
       "kernel BUG at lib/list_debug.c:29!\nOops: invalid opcode: 0000 [#1] SMP\n"
       "Kernel panic - not syncing: Fatal exception\n",
       "list-corruption"},
      {"kernel BUG at mm/slub.c:1!\ninvalid opcode: 0000 [#1] SMP\nRIP: 0010:kfree+0x1/0x2\n"
       "Kernel panic - not syncing: Fatal exception\n",
       "kernel-bug"},
      {"Oops: 0000 [#1] SMP\nRIP: 0010:f+0x1/0x2\nCR2: 0000000000000010 CR3: 0\n"
       "Kernel panic - not syncing: Fatal exception\n",
       "null-deref"},
      {"Kernel panic - not syncing: Fatal exception\n", "panic"},
      // init dies with its own oops, or for a reason of its own.
      {"stack segment: 0000 [#1] SMP\nCPU: 0 PID: 1 Comm: init Not tainted 6\n"
       "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n",
       "stack-segment"},
      {"stack segment: 0000 [#1] SMP\nCPU: 0 PID: 5 Comm: a Not tainted 6\n"
       "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n",
       "panic"},
      // Up to 4.20 sysrq-c dereferenced NULL.
      {"SysRq : Trigger a crash\nBUG: unable to handle kernel NULL pointer dereference at (null)\n"
       "Oops: 0002 [#1] SMP\nRIP: 0010:sysrq_handle_crash+0x16/0x20\n"
       "Kernel panic - not syncing: Fatal exception\n",
       "sysrq"},
  };
  for (const Case& expected : cases) {
    const auto lines = lines_of(expected.log);
    EXPECT_EQ(judge_log(lines).crash_class, expected.crash_class) << expected.log;
  }
}

TEST(OopsText, WithoutPanicMessageNothingIsClaimed) {
  auto lines = lines_of(
      "BUG: unable to handle page fault for address: ffff9cd801f3f2a0\nOops: 0002 [#1] SMP\n"
      "CPU: 0 PID: 1 Comm: a Not tainted 6\nRIP: 0010:f+0x1/0x2\n");
  LogVerdict verdict = judge_log(lines);
  EXPECT_EQ(verdict.crash_class, "none");
  ASSERT_TRUE(verdict.report);
  EXPECT_EQ(verdict.report->crash_class, "page-fault");
  EXPECT_TRUE(verdict.unfinished_oops);

  lines = lines_of(
      "BUG: unable to handle page fault for address: ffff9cd801f3f2a0\nOops: 0002 [#1] SMP\n"
      "---[ end trace 0000000000000000 ]---\nall is well\n");
  verdict = judge_log(lines);
  ASSERT_TRUE(verdict.report);
  EXPECT_FALSE(verdict.unfinished_oops);

  verdict = judge_log({});
  EXPECT_EQ(verdict.crash_class, "none");
  EXPECT_FALSE(verdict.report || verdict.panic || verdict.first_anomaly);
}

TEST(OopsText, UserSpaceCannotPanicTheKernel) {
  std::vector<LogLine> lines = lines_of("Kernel panic - not syncing: sysrq triggered crash\n");
  lines[0].from_kernel = false;
  EXPECT_EQ(judge_log(lines).crash_class, "none");
}

TEST(OopsText, FactsOfHeadlines) {
  auto report =
      parse_report(lines_of("WARNING: kernel/tracepoint.c:175 at f+0x357/0x370, CPU#2: a/b/2272\n"), 0, 1);
  EXPECT_EQ(report.cpu, 2);
  EXPECT_EQ(report.pid, 2272);
  EXPECT_EQ(report.comm, "a/b");
  EXPECT_EQ(report.rip.function, "f");
  report =
      parse_report(lines_of("watchdog: BUG: soft lockup - CPU#3 stuck for 23s! [kworker/3:1:123]\n"), 0, 1);
  EXPECT_EQ(report.cpu, 3);
  EXPECT_EQ(report.pid, 123);
  EXPECT_EQ(report.comm, "kworker/3:1");
  report = parse_report(lines_of("INFO: task kworker/0:1:764 blocked for more than 120 seconds.\n"), 0, 1);
  EXPECT_EQ(report.pid, 764);
  EXPECT_EQ(report.comm, "kworker/0:1");
  report = parse_report(lines_of("BUG: unable to handle kernel paging request at ffffea0000f0e440\n"), 0, 1);
  EXPECT_EQ(report.fault_address, 0xffffea0000f0e440u);
}

TEST(OopsText, ALogOfWarningsStaysBounded) {
  const std::string line = "WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2";
  std::vector<LogLine> lines(200000, LogLine{line, 0, true});
  lines.push_back({"Kernel panic - not syncing: panic_on_warn set ...", 0, true});
  const LogVerdict verdict = judge_log(lines);
  EXPECT_EQ(verdict.crash_class, "warning");
  ASSERT_TRUE(verdict.report);
  EXPECT_EQ(verdict.report->first_line, 199999u);
  EXPECT_EQ(verdict.first_anomaly, 0u);
}

}  // namespace
}  // namespace perfcore
