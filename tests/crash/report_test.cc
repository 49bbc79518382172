// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/report.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "crash/blame.h"
#include "crash/console_line.h"
#include "crash/rust_symbol.h"

namespace perfcore {
namespace {

constexpr char kNull[] =
    R"([   41.000001][ T701] BUG: kernel NULL pointer dereference, address: 0000000000000198
[   41.000002][ T701] #PF: supervisor read access in kernel mode
[   41.000003][ T701] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
[   41.000004][ T701] CPU: 3 UID: 0 PID: 701 Comm: toy Tainted: G        W  OE      6.12.9-toy #1
[   41.000005][ T701] RIP: 0010:memcpy_orig+0x1c/0x130
[   41.000006][   C1] unrelated: line of another CPU+0x0
[   41.000007][ T701] Code: 90 90
[   41.000008][ T701] Call Trace:
[   41.000009][ T701]  <TASK>
[   41.000010][ T701]  ? toy_guess+0x1/0x2
[   41.000011][ T701]  toy_copy.isra.0+0x33/0x90 [toy]
[   41.000012][ T701]  toy_ioctl+0x21/0x40 [toy]
[   41.000013][ T701]  __x64_sys_ioctl+0x93/0xd0
[   41.000014][ T701]  do_syscall_64+0x82/0x190
[   41.000015][ T701]  entry_SYSCALL_64_after_hwframe+0x76/0x7e
[   41.000016][ T701] RIP: 0033:0x7f1c
[   41.000017][ T701]  </TASK>
[   41.000018][ T701] ---[ end trace 0000000000000000 ]---
[   41.000019][ T701] Kernel panic - not syncing: Fatal exception
)";

ConsoleReport only(std::string_view text) {
  std::vector<ConsoleReport> reports = parse_console(text);
  EXPECT_EQ(reports.size(), 1u) << text;
  return reports.empty() ? ConsoleReport() : std::move(reports.front());
}

std::string title(std::string_view text) {
  return only(text).title;
}

TEST(Report, PageFaultBlamesTheCallerOfAHelper) {
  const ConsoleReport report = only(kNull);
  EXPECT_EQ(report.title, "BUG: unable to handle kernel NULL pointer dereference in toy_copy");
  EXPECT_EQ(report.kind, "null-deref");
  EXPECT_EQ(report.type, "NULL-POINTER-DEREFERENCE");
  EXPECT_EQ(report.function, "toy_copy");
  EXPECT_EQ(report.alt_titles, std::vector<std::string>{"bad-access in toy_copy"});
  EXPECT_TRUE(report.corrupted.empty()) << report.corrupted;
  EXPECT_TRUE(report.panicked);
  EXPECT_EQ(report.pid, 701);
  EXPECT_EQ(report.cpu, 3u);
  EXPECT_EQ(report.comm, "toy");
  EXPECT_EQ(report.kernel, "6.12.9-toy");
  ASSERT_GE(report.frames.size(), 4u);
  EXPECT_EQ(report.frames[0].function, "memcpy_orig");
  EXPECT_EQ(report.frames[1].function, "toy_copy.isra.0");  // not the frame with "?"
  EXPECT_EQ(report.frames[1].module, "toy");
  EXPECT_EQ(report.frames[1].offset, 0x33u);
  EXPECT_EQ(report.frames[1].section, "TASK");
  EXPECT_EQ(report.first_line, 1u);
  EXPECT_EQ(report.last_line, 19u);
  EXPECT_EQ(report.begin, 0u);
  EXPECT_EQ(report.end, sizeof(kNull) - 1);
}

TEST(Report, PiecesOfAnySizeGiveTheSame) {
  for (size_t size : {1u, 7u, 64u, 1000u}) {
    std::vector<ConsoleReport> reports;
    ConsoleParser parser([&](ConsoleReport&& report) { reports.push_back(std::move(report)); });
    const std::string_view text = kNull;
    for (size_t at = 0; at < text.size(); at += size) parser.feed(text.substr(at, size));
    parser.finish();
    ASSERT_EQ(reports.size(), 1u) << size;
    EXPECT_EQ(reports[0].title, only(kNull).title);
    EXPECT_EQ(reports[0].end, text.size());
  }
}

TEST(Report, OldRipLineAndSyslogPrefix) {
  EXPECT_EQ(title("Jan  2 03:04:05 box kernel: general protection fault: 0000 [#1] SMP\n"
                  "Jan  2 03:04:05 box kernel: RIP: 0010:[<ffffffff81234567>]  [<ffffffff81234567>] "
                  "toy_walk+0x12/0x80\n"
                  "Jan  2 03:04:05 box kernel: Call Trace:\n"
                  "Jan  2 03:04:05 box kernel:  [<ffffffff81234999>] toy_read+0x9/0x10\n"),
            "general protection fault in toy_walk");
  EXPECT_EQ(title("<4>[    1.0] Oops: general protection fault, probably for non-canonical address 0xdead: "
                  "0000 [#1]\n"
                  "<4>[    1.0] RIP: 0010:toy_walk+0x12/0x80\n"),
            "general protection fault in toy_walk");
}

TEST(Report, Warnings) {
  EXPECT_EQ(title("WARNING: CPU: 1 PID: 2 at toy/toy.c:3 toy_check+0x1/0x2 [toy]\n"
                  "RIP: 0010:toy_check+0x1/0x2 [toy]\nCall Trace:\n toy_run+0x1/0x2\n"),
            "WARNING in toy_check");
  const ConsoleReport refcount = only(
      "refcount_t: underflow; use-after-free.\n"
      "WARNING: lib/refcount.c:28 at refcount_warn_saturate+0xba/0x110, CPU#1: toy/2\n"
      "RIP: 0010:refcount_warn_saturate+0xba/0x110\nCall Trace:\n <TASK>\n toy_put+0x1/0x2\n");
  EXPECT_EQ(refcount.title, "WARNING: refcount bug in toy_put");
  EXPECT_EQ(refcount.kind, "refcount");
  // A headline alone names a function, but nothing that confirms it.
  const ConsoleReport alone = only("WARNING: CPU: 1 PID: 2 at toy/toy.c:3 toy_check+0x1/0x2\n");
  EXPECT_EQ(alone.title, "WARNING in corrupted");
  EXPECT_EQ(alone.function, "toy_check");
  EXPECT_FALSE(alone.corrupted.empty());
}

TEST(Report, Sanitizers) {
  const ConsoleReport kasan = only(
      "BUG: KASAN: slab-use-after-free in toy_get+0x1/0x2\n"
      "Read of size 8 at addr ffff888012345678 by task toy/7\n"
      "CPU: 0 PID: 7 Comm: toy Not tainted 6.12.9 #1\nCall Trace:\n <TASK>\n"
      " dump_stack_lvl+0x1/0x2\n print_report+0x1/0x2\n kasan_report+0x1/0x2\n toy_get+0x1/0x2\n "
      "toy_open+0x1/0x2\n"
      "Allocated by task 7:\n kasan_save_stack+0x1/0x2\n toy_alloc+0x1/0x2\n");
  EXPECT_EQ(kasan.title, "KASAN: slab-use-after-free Read in toy_get");
  EXPECT_EQ(kasan.type, "KASAN-USE-AFTER-FREE-READ");
  EXPECT_EQ(kasan.frames.back().function, "toy_open");  // the trace of the allocation is another
  EXPECT_EQ(title("BUG: KFENCE: out-of-bounds write in toy_put+0x1/0x2\n\nOut-of-bounds write at 0x1:\n "
                  "toy_put+0x1/0x2\n"),
            "KFENCE: out-of-bounds write in toy_put");
  EXPECT_EQ(
      title(
          "BUG: KMSAN: uninit-value in toy_see+0x1/0x2 toy.c:1\n toy_see+0x1/0x2 toy.c:1\n toy_do+0x1/0x2\n"),
      "KMSAN: uninit-value in toy_see");
  EXPECT_EQ(
      title("UBSAN: shift-out-of-bounds in toy/toy.c:12:3\nshift exponent 64 is too large\nCall Trace:\n"
            " dump_stack_lvl+0x1/0x2\n __ubsan_handle_shift_out_of_bounds+0x1/0x2\n toy_shift+0x1/0x2\n"),
      "UBSAN: shift-out-of-bounds in toy_shift");
  EXPECT_EQ(
      title("BUG: memory leak\nunreferenced object 0xffff888012345678 (size 64):\n  comm \"toy\", pid 7\n"
            "  backtrace:\n    [<ffffffff81234567>] kmem_cache_alloc+0x1/0x2\n    [<ffffffff81234568>] "
            "toy_new+0x1/0x2\n"),
      "memory leak in toy_new");
}

TEST(Report, LocksAndContexts) {
  EXPECT_EQ(
      title("WARNING: possible circular locking dependency detected\n6.12.9 #1 Not tainted\n"
            "toy/7 is trying to acquire lock:\nffff8880 (&toy->lock){+.+.}-{3:3}, at: toy_lock+0x1/0x2\n"
            "stack backtrace:\nCall Trace:\n dump_stack_lvl+0x1/0x2\n lock_acquire+0x1/0x2\n "
            "toy_lock+0x1/0x2\n"),
      "possible deadlock in toy_lock");
  EXPECT_EQ(title("BUG: sleeping function called from invalid context at toy.c:1\nCall Trace:\n "
                  "dump_stack_lvl+0x1/0x2\n"
                  " __might_resched+0x1/0x2\n toy_sleep+0x1/0x2\n"),
            "BUG: sleeping function called from invalid context in toy_sleep");
  EXPECT_EQ(title("WARNING: suspicious RCU usage\ntoy/toy.c:7 suspicious rcu_dereference_check() usage!\n"
                  "stack backtrace:\nCall Trace:\n dump_stack_lvl+0x1/0x2\n"
                  " lockdep_rcu_suspicious+0x1/0x2\n toy_walk+0x1/0x2\n"),
            "WARNING: suspicious RCU usage in toy_walk");
}

TEST(Report, StallsWalkToWhatWasDispatched) {
  const char kTrace[] =
      "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [toy:7]\n"
      "CPU: 1 PID: 7 Comm: toy Not tainted 6.12.9 #1\nRIP: 0010:toy_inner+0x1/0x2\nCall Trace:\n <IRQ>\n"
      " watchdog_timer_fn+0x1/0x2\n __hrtimer_run_queues+0x1/0x2\n asm_sysvec_apic_timer_interrupt+0x1/0x2\n "
      "</IRQ>\n"
      " <TASK>\nRIP: 0010:toy_inner+0x1/0x2\n toy_loop+0x1/0x2\n toy_write+0x1/0x2\n vfs_write+0x1/0x2\n"
      " ksys_write+0x1/0x2\n do_syscall_64+0x1/0x2\n";
  const ConsoleReport report = only(kTrace);
  EXPECT_EQ(report.title, "BUG: soft lockup in toy_write");
  EXPECT_EQ(report.alt_titles, std::vector<std::string>{"stall in toy_write"});
  const ConsoleReport hung = only(
      "INFO: task toy:7 blocked for more than 120 seconds.\nCall Trace:\n __schedule+0x1/0x2\n "
      "schedule+0x1/0x2\n"
      " __mutex_lock+0x1/0x2\n toy_close+0x1/0x2\n");
  EXPECT_EQ(hung.title, "INFO: task hung in toy_close");
  EXPECT_EQ(
      title("NMI watchdog: Watchdog detected hard LOCKUP on cpu 2\nRIP: 0010:toy_spin+0x1/0x2\nCall Trace:\n"
            " toy_spin+0x1/0x2\n toy_irq+0x1/0x2\n __handle_irq_event_percpu+0x1/0x2\n"),
      "BUG: hard lockup in toy_irq");
}

TEST(Report, WhatOthersDoNotKnow) {
  const ConsoleReport msr = only(
      "unchecked MSR access error: WRMSR to 0x38f (tried to write 0x1) at rIP: 0xffffffff81 "
      "(native_write_msr+0x4/0x20)\n"
      "Call Trace:\n native_write_msr+0x4/0x20\n toy_pmu_enable+0x1/0x2\n");
  EXPECT_EQ(msr.kind, "msr-access");
  EXPECT_EQ(msr.function, "toy_pmu_enable");
  EXPECT_EQ(only("Uhhuh. NMI received for unknown reason 3d on CPU 0.\n").kind, "unknown-nmi");
  const ConsoleReport loop = only(
      "perfevents: irq loop stuck!\nWARNING: CPU: 0 PID: 1 at arch/x86/events/intel/core.c:1 "
      "intel_pmu_handle_irq+0x1/0x2\n"
      "RIP: 0010:intel_pmu_handle_irq+0x1/0x2\nCall Trace:\n <NMI>\n perf_event_nmi_handler+0x1/0x2\n");
  EXPECT_EQ(loop.kind, "nmi-storm");
  EXPECT_EQ(loop.function, "intel_pmu_handle_irq");
  // A trace that nothing announces counts when there is nothing else.
  EXPECT_EQ(title("some text\nRIP: 0010:toy_lost+0x1/0x2\nCall Trace:\n toy_caller+0x1/0x2\n"),
            "trace in toy_lost");
  EXPECT_EQ(title("toy_lost+0x1/0x2 [toy]\ntoy_caller+0x1/0x2\n? toy_guess+0x1/0x2\ntoy_main+0x1/0x2\n"),
            "trace in toy_lost");
  EXPECT_TRUE(
      parse_console("calling  toy_init+0x0/0x10 @ 1\ninitcall toy_init+0x0/0x10 returned 0 after 1 usecs\n")
          .empty());
  // Interrupts that take long are normal until they are many.
  const std::string slow =
      "perf: interrupt took too long (5143 > 5080), lowering kernel.perf_event_max_sample_rate\n";
  EXPECT_TRUE(parse_console(slow).empty());
  std::string storm;
  for (int i = 0; i < 8; ++i) storm += slow;
  EXPECT_EQ(only(storm).kind, "nmi-storm");
}

TEST(Report, DecodedFrames) {
  const ConsoleReport report = only(
      "BUG: kernel NULL pointer dereference, address: 0000000000000000\nRIP: 0010:toy_x (toy/toy.c:12)\nCall "
      "Trace:\n"
      "toy_y (toy/toy.h:3 (discriminator 1) toy/toy.c:40) toy\ntoy_z+0x1/0x2 toy/toy.c:50 [inline]\n");
  EXPECT_EQ(report.function, "toy_x");
  ASSERT_EQ(report.frames.size(), 3u);
  EXPECT_EQ(report.frames[1].file, "toy/toy.c");
  EXPECT_EQ(report.frames[1].line, 40u);
  EXPECT_TRUE(report.frames[2].inlined);
}

// Inlined calls are in symbolised text only.
TEST(Report, SymbolisedTextHasTheTitleOfTheRawOne) {
  const std::string head = "WARNING: CPU: 1 PID: 2 at toy/toy.c:3 toy_check+0x1/0x2\n";
  EXPECT_EQ(
      title(head + "RIP: 0010:toy_check+0x1/0x2\nCall Trace:\n toy_run+0x1/0x2\n"),
      title(head +
            "RIP: 0010:toy_inner toy/toy.h:1 [inline]\nRIP: 0010:toy_check+0x1/0x2 toy/toy.c:3\nCall Trace:\n"
            " toy_deep toy/toy.h:9 [inline]\n toy_run+0x1/0x2 toy/toy.c:9\n"));
}

TEST(Report, StacksOfOtherMessages) {
  // Fault injection prints a stack, too.
  const ConsoleReport mixed = only(
      "WARNING: CPU: 1 PID: 2 at toy/toy.c:3 toy_check+0x1/0x2\nFAULT_INJECTION: forcing a failure.\nCall "
      "Trace:\n"
      " dump_stack+0x1/0x2\n should_fail+0x1/0x2\n toy_other+0x1/0x2\n");
  EXPECT_EQ(mixed.title, "WARNING in corrupted");
  EXPECT_NE(mixed.corrupted.find("mixed in"), std::string::npos);
  // Of a stall the tasks that gave up the CPU are shown as well.
  EXPECT_EQ(title("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\nCall Trace:\n __schedule+0x1/0x2\n"
                  " toy_sleeps+0x1/0x2\n kthread+0x1/0x2\nNMI backtrace for cpu 1\nRIP: "
                  "0010:toy_spin+0x1/0x2\nCall Trace:\n"
                  " toy_spin+0x1/0x2\n toy_work+0x1/0x2\n process_one_work+0x1/0x2\n"),
            "INFO: rcu detected stall in toy_work");
}

TEST(Report, OutputOfProgramsIsNoPartOfIt) {
  std::string text =
      "[    1.0] WARNING: CPU: 1 PID: 2 at toy/toy.c:3 toy_check+0x1/0x2\n[    1.0] Call Trace:\n";
  for (int i = 0; i < 100; ++i) text += "output of a program\n fake_frame+0x1/0x2\n";
  const ConsoleReport report = only(text + "[    1.0]  toy_check+0x1/0x2\n[    1.0]  toy_run+0x1/0x2\n");
  EXPECT_EQ(report.title, "WARNING in toy_check");
  EXPECT_EQ(report.frames.size(), 2u);
}

TEST(Report, PromptBeforeTheTimeStamp) {
  EXPECT_EQ(title("box login: [   59.1][ T6792] BUG: scheduling while atomic: toy/1/0x2\n[   59.2][ T6792] "
                  "Call Trace:\n"
                  "[   59.2][ T6792]  __schedule+0x1/0x2\n[   59.2][ T6792]  toy_wait+0x1/0x2\n"),
            "BUG: scheduling while atomic in toy_wait");
}

TEST(Report, TwoCpusAtATime) {
  const char kText[] =
      "[    1.0][    C0] BUG: KASAN: stack-out-of-bounds in toy_a+0x1/0x2\n"
      "[    1.0][    T9] WARNING: CPU: 1 PID: 9 at toy.c:1 toy_b+0x1/0x2\n"
      "[    1.0][    C0] Write of size 4 at addr ffff8880 by task swapper/0\n"
      "[    1.0][    T9] RIP: 0010:toy_b+0x1/0x2\n"
      "[    1.0][    C0] Call Trace:\n"
      "[    1.0][    T9] Call Trace:\n"
      "[    1.0][    C0]  toy_a+0x1/0x2\n"
      "[    1.0][    T9]  toy_c+0x1/0x2\n";
  const std::vector<ConsoleReport> reports = parse_console(kText);
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[0].title, "KASAN: stack-out-of-bounds Write in toy_a");
  EXPECT_EQ(reports[1].title, "WARNING in toy_b");
}

TEST(Report, NoCrash) {
  EXPECT_TRUE(parse_console("").empty());
  EXPECT_TRUE(
      parse_console("all is well\nINFO: lockdep is turned off.\ntoy[7]: segfault at 0 ip 0 sp 0 error 4\n")
          .empty());
}

TEST(Report, HostileTextIsBounded) {
  std::string deep = "WARNING: CPU: 1 PID: 2 at toy/toy.c:3 toy_check+0x1/0x2\nCall Trace:\n";
  for (int i = 0; i < 100000; ++i) deep += " toy_check+0x1/0x2\n";
  const ConsoleReport report = only(deep);
  EXPECT_EQ(report.title, "WARNING in toy_check");
  EXPECT_LE(report.frames.size(), 4096u);
  EXPECT_LE(report.lines.size(), 4096u);
  EXPECT_TRUE(parse_console(std::string(10 << 20, '[')).empty());
  EXPECT_EQ(parse_console("BUG: " + std::string(10 << 20, 'x')).size(), 1u);
  EXPECT_TRUE(parse_console(std::string(1 << 20, '\n')).empty());
}

TEST(Report, MutationsDoNotHurt) {
  std::mt19937 random(20261121);
  const std::string text = kNull;
  for (int i = 0; i < 400; ++i) {
    std::string mutant = text;
    for (int n = 0; n < 12; ++n) {
      const size_t at = random() % mutant.size();
      switch (random() % 4) {
        case 0:
          mutant[at] = static_cast<char>(random());
          break;
        case 1:
          mutant.erase(at, random() % 40);
          break;
        case 2:
          mutant.insert(at, mutant.substr(random() % mutant.size(), random() % 60));
          break;
        default:
          mutant.insert(at, 1, "\n\0[<>+?]:("[random() % 10]);
          break;
      }
      if (mutant.empty()) mutant = "x";
    }
    for (const ConsoleReport& report : parse_console(mutant)) {
      EXPECT_FALSE(report.title.empty());
      EXPECT_LE(report.end, mutant.size());
      EXPECT_LT(report.begin, report.end);
    }
  }
}

TEST(Report, FunctionNames) {
  EXPECT_EQ(normalised_function("toy.constprop.0.isra.1"), "toy");
  EXPECT_EQ(normalised_function("toy.part.3.cold"), "toy");
  EXPECT_EQ(normalised_function("toy.llvm.123456"), "toy");
  for (const char* name : {"__x64_sys_read", "__se_sys_read", "__do_sys_read", "__ia32_sys_read", "ksys_read",
                           "SyS_read", "SYSC_read", "compat_SyS_read"})
    EXPECT_EQ(normalised_function(name), "sys_read") << name;
}

TEST(Report, RustNames) {
  EXPECT_EQ(rust_path("_RNvCs1a2B_3toy4main"), "toy::main");
  EXPECT_EQ(rust_path("_RNvNtCs1a2B_3toy4ring4push"), "toy::ring::push");
  EXPECT_EQ(rust_path("_RNvMs_NtCs1a2B_3toy4ringNtB4_4Ring4push"), "<toy::ring::Ring>::push");
  EXPECT_EQ(rust_path("_RNvXs_Cs1a2B_3toyNtB4_4RingNtB4_4Open4open"), "<toy::Ring as toy::Open>::open");
  EXPECT_EQ(rust_path("_RINvCs1a2B_3toy4openRhAmj8_E"), "toy::open::<&u8, [u32; _]>");
  EXPECT_EQ(rust_path("_RNCNvCs1a2B_3toy4open0"), "toy::open::{closure}");
  EXPECT_EQ(rust_path("_RNvC6_123toy4open"), "123toy::open");
  for (const char* name : {"toy_open", "_R", "_RN", "_RNvC3toy", "_RNvC9toy4open", "_RNvB_4open",
                           "_RNvCs1a2B_3toy99999999999999999999open"})
    EXPECT_EQ(rust_path(name), std::nullopt) << name;
  // Neither depth nor references that multiply take long.
  std::string deep = "_R";
  for (int i = 0; i < 100000; ++i) deep += "Nv";
  EXPECT_EQ(rust_path(deep), std::nullopt);
  std::string wide = "_RINvC3toy1f";
  for (int i = 0; i < 30; ++i) wide += "TB_B_E";
  EXPECT_EQ(rust_path(wide + "E"), std::nullopt);
  EXPECT_EQ(
      title("rust_kernel: panicked at toy.rs:7:1:\nattempt to add with overflow\nkernel BUG at "
            "rust/helpers/bug.c:7!\n"
            "RIP: 0010:rust_helper_BUG+0x1/0x2\nCall Trace:\n _RNvCs1_7___rustc17rust_begin_unwind+0x1/0x2\n"
            " _RNvNtCs1_4core9panicking9panic_fmt+0x1/0x2\n "
            "_RNvMs_NtCs1a2B_3toy4ringNtB4_4Ring4push+0x1/0x2\n"),
      "attempt to add with overflow in <toy::ring::Ring>::push");
}

// Each line of the tables has an example that it is for, and one that looks alike and is not meant.
TEST(FrameRules, EveryLineDoesWhatItSays) {
  ASSERT_GT(frame_rules().size(), 100u);
  for (const FrameRule& rule : frame_rules()) {
    const std::string_view kind =
        rule.only_in.empty() ? "warning" : rule.only_in.substr(0, rule.only_in.find(' '));
    EXPECT_FALSE(rule.reason.empty()) << rule.pattern;
    EXPECT_TRUE(applies(rule, rule.example, kind))
        << rule.kind << ": " << rule.pattern << " " << rule.example;
    EXPECT_FALSE(applies(rule, rule.counterpart, kind))
        << rule.kind << ": " << rule.pattern << " " << rule.counterpart;
    if (!rule.only_in.empty()) {
      EXPECT_FALSE(applies(rule, rule.example, "no-such-kind")) << rule.pattern;
    }
    if (rule.kind == "anchor") {
      EXPECT_FALSE(rule.take.empty()) << rule.pattern;
    } else {
      EXPECT_TRUE(rule.take.empty()) << rule.pattern;
      EXPECT_TRUE(is_passed_over(rule.example, kind)) << rule.pattern;
    }
  }
}

}  // namespace
}  // namespace perfcore
