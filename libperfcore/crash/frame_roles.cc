// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/frame_roles.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "perfcore/unwind.h"

namespace perfcore {
namespace {

struct Row {
  std::string_view function;
  FrameRole role;
};

using enum FrameRole;

constexpr Row kRows[] = {
    // kernel/panic.c, kernel/crash_core.c and kexec_core.c, arch/x86/kernel/{crash,machine_kexec_64}.c
    {"panic", kDying},
    {"vpanic", kDying},
    {"nmi_panic", kDying},
    {"crash_kexec", kDying},
    {"__crash_kexec", kDying},
    {"machine_kexec", kDying},
    {"machine_crash_shutdown", kDying},
    {"check_panic_on_warn", kHelper},
    // arch/x86/kernel/dumpstack.c, arch/x86/mm/fault.c
    {"oops_end", kOops},
    {"die", kOops},
    {"die_addr", kOops},
    {"__die", kOops},
    {"page_fault_oops", kOops},
    {"no_context", kOops},
    // kernel/panic.c, lib/bug.c, arch/x86/kernel/traps.c
    {"__warn", kWarning},
    {"report_bug", kWarning},
    {"__report_bug", kWarning},
    {"handle_bug", kWarning},
    {"warn_slowpath_fmt", kHelper},
    {"warn_slowpath_null", kHelper},
    {"__warn_printk", kHelper},
    {"dump_stack", kHelper},
    {"dump_stack_lvl", kHelper},
    // mm/kasan/report.c, mm/kfence/report.c, mm/kmsan/report.c, lib/ubsan.c
    {"end_report", kHelper},
    {"print_report", kHelper},
    {"kasan_report", kHelper},
    {"kasan_report_invalid_free", kHelper},
    {"kasan_report_double_free", kHelper},
    {"kasan_check_range", kChecker},
    {"kfence_report_error", kHelper},
    {"kmsan_report", kHelper},
    {"ubsan_epilogue", kHelper},
    // lib/refcount.c, lib/list_debug.c, lib/debugobjects.c, mm/usercopy.c, lib/string_helpers.c,
    // kernel/sched/core.c, lib/smp_processor_id.c, net/core/skbuff.c
    {"refcount_warn_saturate", kChecker},
    {"__list_add_valid", kChecker},
    {"__list_add_valid_or_report", kChecker},
    {"__list_del_entry_valid", kChecker},
    {"__list_del_entry_valid_or_report", kChecker},
    {"debug_print_object", kChecker},
    {"debug_check_no_obj_freed", kChecker},
    {"usercopy_abort", kChecker},
    {"__check_heap_object", kChecker},
    {"__check_object_size", kChecker},
    {"check_heap_object", kChecker},
    {"__fortify_panic", kChecker},
    {"fortify_panic", kChecker},
    {"__fortify_report", kChecker},
    {"__stack_chk_fail", kChecker},
    {"__schedule_bug", kChecker},
    {"__might_resched", kChecker},
    {"__might_sleep", kChecker},
    {"check_preemption_disabled", kChecker},
    {"debug_smp_processor_id", kChecker},
    {"__this_cpu_preempt_check", kChecker},
    {"skb_panic", kChecker},
    // kernel/sched, kernel/locking, kernel/time
    {"__schedule", kWaiting},
    {"schedule", kWaiting},
    {"schedule_preempt_disabled", kWaiting},
    {"preempt_schedule", kWaiting},
    {"preempt_schedule_common", kWaiting},
    {"schedule_timeout", kWaiting},
    {"schedule_timeout_interruptible", kWaiting},
    {"schedule_timeout_uninterruptible", kWaiting},
    {"schedule_hrtimeout_range", kWaiting},
    {"schedule_hrtimeout_range_clock", kWaiting},
    {"io_schedule", kWaiting},
    {"io_schedule_timeout", kWaiting},
    {"msleep", kWaiting},
    {"usleep_range_state", kWaiting},
    {"__cond_resched", kWaiting},
    {"__mutex_lock", kWaiting},
    {"__mutex_lock_slowpath", kWaiting},
    {"__mutex_lock_killable_slowpath", kWaiting},
    {"__mutex_lock_interruptible_slowpath", kWaiting},
    {"mutex_lock", kWaiting},
    {"mutex_lock_killable", kWaiting},
    {"mutex_lock_interruptible", kWaiting},
    {"mutex_lock_io", kWaiting},
    {"__ww_mutex_lock", kWaiting},
    {"ww_mutex_lock", kWaiting},
    {"__down", kWaiting},
    {"__down_common", kWaiting},
    {"__down_interruptible", kWaiting},
    {"down", kWaiting},
    {"down_interruptible", kWaiting},
    {"down_read", kWaiting},
    {"down_read_killable", kWaiting},
    {"down_write", kWaiting},
    {"down_write_killable", kWaiting},
    {"rwsem_down_read_slowpath", kWaiting},
    {"rwsem_down_write_slowpath", kWaiting},
    {"percpu_rwsem_wait", kWaiting},
    {"__percpu_down_read", kWaiting},
    {"__wait_for_common", kWaiting},
    {"do_wait_for_common", kWaiting},
    {"wait_for_common", kWaiting},
    {"wait_for_common_io", kWaiting},
    {"wait_for_completion", kWaiting},
    {"wait_for_completion_io", kWaiting},
    {"wait_for_completion_state", kWaiting},
    {"wait_for_completion_timeout", kWaiting},
    {"wait_for_completion_killable", kWaiting},
    {"wait_for_completion_interruptible", kWaiting},
    {"__wait_on_bit", kWaiting},
    {"__wait_on_bit_lock", kWaiting},
    {"out_of_line_wait_on_bit", kWaiting},
    {"out_of_line_wait_on_bit_lock", kWaiting},
    {"bit_wait", kWaiting},
    {"bit_wait_io", kWaiting},
    {"folio_wait_bit_common", kWaiting},
    {"rt_mutex_schedule", kWaiting},
    {"rt_mutex_slowlock", kWaiting},
    {"rt_mutex_lock", kWaiting},
};

constexpr FunctionClass kFunctionClasses[] = {
    {"sysrq_handle_crash", "sysrq"},
    {"watchdog_hardlockup_check", "hard-lockup"},   // since 6.5
    {"watchdog_overflow_callback", "hard-lockup"},  // kernel/watchdog_perf.c
    {"watchdog_timer_fn", "soft-lockup"},
    {"check_hung_uninterruptible_tasks", "hung-task"},
    {"check_hung_task", "hung-task"},
    {"watchdog", "hung-task"},  // khungtaskd itself, kernel/hung_task.c
    {"wq_watchdog_timer_fn", "workqueue-lockup"},
    {"panic_on_rcu_stall", "rcu-stall"},
    {"print_cpu_stall", "rcu-stall"},
    {"print_other_cpu_stall", "rcu-stall"},
    {"check_cpu_stall", "rcu-stall"},
    {"rcu_sched_clock_irq", "rcu-stall"},
    {"unknown_nmi_error", "unknown-nmi"},
    {"mce_panic", "mce"},
    {"do_machine_check", "mce"},
    {"__ghes_panic", "mce"},
    {"out_of_memory", "oom-panic"},
    {"check_panic_on_oom", "oom-panic"},
    {"exc_double_fault", "double-fault"},
    {"kasan_report", "kasan"},
    {"kasan_report_invalid_free", "kasan"},
    {"kasan_report_double_free", "kasan"},
    {"kfence_report_error", "kfence"},
    {"kmsan_report", "kmsan"},
    {"ubsan_epilogue", "ubsan"},
    {"__schedule_bug", "atomic-sleep"},
    {"__might_resched", "atomic-sleep"},
    {"__list_add_valid", "list-corruption"},
    {"__list_add_valid_or_report", "list-corruption"},  // since 6.6
    {"__list_del_entry_valid", "list-corruption"},
    {"__list_del_entry_valid_or_report", "list-corruption"},
    {"refcount_warn_saturate", "refcount"},
    {"debug_print_object", "odebug"},
    {"ex_handler_msr", "msr-access"},
    {"__warn", "warning"},
    {"exc_general_protection", "gpf", true},
    {"exc_invalid_op", "kernel-bug", true},
    {"exc_divide_error", "divide-error", true},
    {"exc_stack_segment", "stack-segment", true},
    {"exc_int3", "int3"},
    {"exc_machine_check", "mce"},
    {"exc_page_fault", "page-fault", true},
    // Entry code, should the handler behind it be inlined or jumped to.
    {"asm_exc_general_protection", "gpf", true},
    {"asm_exc_invalid_op", "kernel-bug", true},
    {"asm_exc_divide_error", "divide-error", true},
    {"asm_exc_stack_segment", "stack-segment", true},
    {"asm_exc_double_fault", "double-fault"},
    {"asm_exc_int3", "int3"},
    {"asm_exc_machine_check", "mce"},
    {"asm_exc_page_fault", "page-fault", true},
};

}  // namespace

std::optional<FrameRole> frame_role(std::string_view function) {
  const std::string_view name = without_compiler_suffix(function);
  for (const Row& row : kRows)
    if (row.function == name) return row.role;
  // What the compiler calls for its checks.
  for (std::string_view prefix : {"__asan_", "__ubsan_handle_", "__msan_", "__tsan_"})
    if (name.starts_with(prefix)) return kChecker;
  return std::nullopt;
}

std::span<const FunctionClass> function_classes() {
  return kFunctionClasses;
}

bool is_messenger(std::string_view function) {
  // Handlers of exceptions (arch/x86/kernel/traps.c, arch/x86/mm/fault.c).
  constexpr std::array<std::string_view, 4> kHandlers = {"do_trap", "do_error_trap", "handle_bug",
                                                         "handle_stack_overflow"};
  return function.empty() || function.starts_with("exc_") || function.starts_with("asm_exc_") ||
         std::find(kHandlers.begin(), kHandlers.end(), function) != kHandlers.end() || frame_role(function) ||
         std::any_of(std::begin(kFunctionClasses), std::end(kFunctionClasses),
                     [&](const FunctionClass& known) { return known.function == function; });
}

}  // namespace perfcore
