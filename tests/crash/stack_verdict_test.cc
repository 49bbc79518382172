// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/stack_verdict.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace perfcore {
namespace {

// Frames by name, innermost first: "> f" was interrupted, "? f" was found by scanning, "= f" is inlined in
// the next one.
Stack stack_of(std::initializer_list<std::string> names) {
  Stack stack;
  for (const std::string& name : names) {
    Frame frame;
    const bool marked = name.size() > 2 && name[1] == ' ';
    frame.function = marked ? name.substr(2) : name;
    frame.interrupted = name[0] == '>';
    frame.reliable = name[0] != '?';
    frame.inlined = name[0] == '=';
    stack.frames.push_back(frame);
  }
  return stack;
}

std::string function_at(const Stack& stack, std::optional<size_t> index) {
  return index ? stack.frames[*index].function : "-";
}

struct Case {
  Stack stack;
  const char* crash_class;
  const char* fault;
  const char* decided;
  const char* interrupted;
};

TEST(StackVerdict, NamesFaultCallerAndClass) {
  const Case cases[] = {
      // An oops in an NMI that hit an interrupt handler.
      {stack_of({"> delay", "panic", "oops_end.cold", "page_fault_oops", "exc_page_fault",
                 "asm_exc_page_fault", "> x86_pmu_handle_irq", "perf_event_nmi_handler", "exc_nmi",
                 "end_repeat_nmi", "> delay_tsc", "hrtimer_interrupt", "asm_sysvec_apic_timer_interrupt"}),
       "page-fault", "x86_pmu_handle_irq", "-", "x86_pmu_handle_irq"},
      // The walk ended before the interrupted frame.
      {stack_of({"> panic", "oops_end", "die_addr", "exc_general_protection", "asm_exc_general_protection",
                 "= inlined", "outer", "caller"}),
       "gpf", "-", "exc_general_protection", "-"},
      // panic() for its own sake.
      {stack_of({"> vpanic", "panic", "sysrq_handle_crash", "__handle_sysrq", "write_sysrq_trigger"}),
       "sysrq", "-", "sysrq_handle_crash", "-"},
      {stack_of({"> __crash_kexec", "panic", "out_of_memory", "handle_mm_fault", "exc_page_fault",
                 "asm_exc_page_fault", "> copy_to_user", "vfs_read"}),
       "oom-panic", "-", "out_of_memory", "copy_to_user"},
      // An NMI that hit panic() does not matter.
      {stack_of({"> native_halt", "exc_nmi", "end_repeat_nmi", "> delay", "panic", "nmi_panic",
                 "unknown_nmi_error", "default_do_nmi", "exc_nmi", "end_repeat_nmi", "> default_idle"}),
       "unknown-nmi", "-", "unknown_nmi_error", "default_idle"},
      // A second oops while panic() runs is not the cause.
      {stack_of({"> panic", "oops_end", "page_fault_oops", "exc_page_fault", "asm_exc_page_fault", "> printk",
                 "panic", "oops_end", "die", "exc_divide_error", "asm_exc_divide_error", "> divide",
                 "caller"}),
       "divide-error", "divide", "-", "divide"},
      // panic_on_warn.
      {stack_of({"> panic", "check_panic_on_warn", "__warn", "report_bug", "handle_bug", "exc_invalid_op",
                 "asm_exc_invalid_op", "> warns", "caller"}),
       "warning", "warns", "-", "warns"},
      {stack_of({"> panic", "check_panic_on_warn", "__warn", "report_bug", "handle_bug", "exc_invalid_op",
                 "asm_exc_invalid_op", "> refcount_warn_saturate", "caller"}),
       "refcount", "refcount_warn_saturate", "-", "refcount_warn_saturate"},
      // A WARNING that was being printed when the watchdog's NMI came is not why it panicked.
      {stack_of({"> panic", "nmi_panic", "watchdog_hardlockup_check", "exc_nmi", "end_repeat_nmi",
                 "> serial_out", "vprintk", "__warn", "report_bug", "handle_bug", "asm_exc_invalid_op",
                 "> warns"}),
       "hard-lockup", "-", "watchdog_hardlockup_check", "serial_out"},
      {stack_of({"> panic", "watchdog_timer_fn", "hrtimer_interrupt", "asm_sysvec_apic_timer_interrupt",
                 "> spins", "caller"}),
       "soft-lockup", "-", "watchdog_timer_fn", "spins"},
      {stack_of({"> panic", "kasan_report", "__asan_load8", "uses_freed", "caller"}), "kasan", "-",
       "__asan_load8", "-"},
  };
  for (const Case& expected : cases) {
    const StackVerdict verdict = judge_stack(expected.stack);
    const std::string& name = expected.stack.frames[1].function + " ... " + expected.crash_class;
    EXPECT_TRUE(verdict.dying) << name;
    EXPECT_EQ(verdict.crash_class, expected.crash_class) << name;
    EXPECT_EQ(function_at(expected.stack, verdict.fault), expected.fault) << name;
    EXPECT_EQ(function_at(expected.stack, verdict.decided), expected.decided) << name;
    EXPECT_EQ(function_at(expected.stack, verdict.interrupted), expected.interrupted) << name;
  }
}

TEST(StackVerdict, InlinedFramesAtTheFaultAreSteppedOver) {
  Stack stack = stack_of({"> panic", "oops_end", "page_fault_oops", "asm_exc_page_fault", "= inlined",
                          "= inlined_too", "symbol", "caller"});
  for (size_t i : {4, 5, 6}) stack.frames[i].interrupted = true;
  const StackVerdict verdict = judge_stack(stack);
  EXPECT_EQ(function_at(stack, verdict.fault), "symbol");
}

TEST(StackVerdict, LivingStacksSayNothing) {
  for (const Stack& stack :
       {stack_of({"> default_idle", "do_idle"}), stack_of({"? panic", "? oops_end"}), stack_of({}),
        stack_of({"> serial_out", "vprintk", "__warn", "report_bug", "handle_bug", "asm_exc_invalid_op",
                  "> warns"})}) {
    const StackVerdict verdict = judge_stack(stack);
    EXPECT_FALSE(verdict.dying);
    EXPECT_EQ(verdict.crash_class, "");
    EXPECT_FALSE(verdict.fault || verdict.decided || verdict.interrupted);
  }
}

}  // namespace
}  // namespace perfcore
