// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/unwind_context.h"

#include <gtest/gtest.h>

namespace perfcore {
namespace {

Frame frame(std::string function, bool interrupted = false) {
  Frame frame;
  frame.function = std::move(function);
  frame.interrupted = interrupted;
  return frame;
}

/// "function context entry" of each frame, innermost first.
std::vector<std::string> contexts(std::vector<Frame> frames, bool complete = true) {
  assign_contexts(&frames, complete);
  std::vector<std::string> lines;
  for (const Frame& f : frames)
    lines.push_back(f.function + " " + std::string(to_string(f.context)) +
                    (f.entry.empty() ? "" : " " + f.entry));
  return lines;
}

TEST(UnwindContext, PageFaultInNmiFromKernelMode) {
  EXPECT_EQ(contexts({frame("oops_end", true), frame("exc_page_fault"), frame("asm_exc_page_fault"),
                      frame("x86_perf_event_update", true), frame("nmi_handle.part.0"), frame("exc_nmi"),
                      frame("end_repeat_nmi"), frame("do_idle", true), frame("cpu_startup_entry")}),
            (std::vector<std::string>{
                "oops_end exception asm_exc_page_fault", "exc_page_fault exception asm_exc_page_fault",
                "asm_exc_page_fault exception asm_exc_page_fault", "x86_perf_event_update nmi asm_exc_nmi",
                "nmi_handle.part.0 nmi asm_exc_nmi", "exc_nmi nmi asm_exc_nmi",
                "end_repeat_nmi nmi asm_exc_nmi", "do_idle task", "cpu_startup_entry task"}));
}

TEST(UnwindContext, NmiFromUserModeIsToldByItsEntry) {
  EXPECT_EQ(contexts({frame("amd_pmu_handle_irq", true), frame("exc_nmi"), frame("asm_exc_nmi")}),
            (std::vector<std::string>{"amd_pmu_handle_irq nmi asm_exc_nmi", "exc_nmi nmi asm_exc_nmi",
                                      "asm_exc_nmi nmi asm_exc_nmi"}));
}

TEST(UnwindContext, InterruptInSoftirqBehindAnInterrupt) {
  EXPECT_EQ(
      contexts({frame("stop_this_cpu", true), frame("sysvec_reboot"), frame("asm_sysvec_reboot"),
                frame("rcu_core", true), frame("handle_softirqs"), frame("__irq_exit_rcu"),
                frame("asm_sysvec_apic_timer_interrupt"), frame("default_idle", true)}),
      (std::vector<std::string>{
          "stop_this_cpu irq asm_sysvec_reboot", "sysvec_reboot irq asm_sysvec_reboot",
          "asm_sysvec_reboot irq asm_sysvec_reboot", "rcu_core softirq handle_softirqs",
          "handle_softirqs softirq handle_softirqs", "__irq_exit_rcu irq asm_sysvec_apic_timer_interrupt",
          "asm_sysvec_apic_timer_interrupt irq asm_sysvec_apic_timer_interrupt", "default_idle task"}));
}

TEST(UnwindContext, ExceptionInExceptionBeginsAnew) {
  EXPECT_EQ(contexts({frame("asm_exc_general_protection"), frame("fixup_bug", true),
                      frame("asm_exc_invalid_op"), frame("foo", true)}),
            (std::vector<std::string>{"asm_exc_general_protection exception asm_exc_general_protection",
                                      "fixup_bug exception asm_exc_invalid_op",
                                      "asm_exc_invalid_op exception asm_exc_invalid_op", "foo task"}));
}

TEST(UnwindContext, WhatLiesOutsideOfAnIncompleteStackIsNotKnown) {
  EXPECT_EQ(contexts({frame("exc_nmi"), frame("foo")}, false),
            (std::vector<std::string>{"exc_nmi nmi exc_nmi", "foo unknown"}));
}

TEST(UnwindContext, EntriesOfOtherKinds) {
  EXPECT_EQ(context_begun_by("xen_asm_exc_xen_hypervisor_callback"), Context::kIrq);
  EXPECT_EQ(context_begun_by("fred_exc_nmi"), Context::kNmi);
  EXPECT_EQ(context_begun_by("fred_sysvec_apic_timer_interrupt"), Context::kIrq);
  EXPECT_EQ(context_begun_by("__do_softirq"), Context::kSoftirq);
  EXPECT_EQ(context_begun_by("handle_softirqs.isra.0"), Context::kSoftirq);
  EXPECT_EQ(context_begun_by("nmi_handle"), std::nullopt);
  EXPECT_EQ(context_begun_by("entry_SYSCALL_64_after_hwframe"), std::nullopt);
}

TEST(Stack, ContainsIgnoresCompilerSuffixesAndGuesses) {
  Stack stack;
  stack.frames = {frame("nmi_handle.part.0"), frame("perf_ibs_start")};
  stack.frames[1].reliable = false;
  EXPECT_TRUE(stack.contains("nmi_handle"));
  EXPECT_TRUE(stack.contains("nmi_handle.isra.0"));
  EXPECT_FALSE(stack.contains("nmi"));
  EXPECT_FALSE(stack.contains("perf_ibs_start"));
}

}  // namespace
}  // namespace perfcore
