// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/variables.h"

#include <algorithm>
#include <iterator>

namespace perfcore {
namespace {

struct Variable {
  std::string_view name;
  std::string_view type;
};

// Ordered by name. Each has had this type in every release since 5.4 unless a comment says otherwise; types
// that a kernel does not have make the variable unread.
constexpr Variable kVariables[] = {
    {"__cpu_online_mask", "struct cpumask"},
    {"__cpu_possible_mask", "struct cpumask"},
    {"__cpu_present_mask", "struct cpumask"},
    {"__per_cpu_offset", "unsigned long []"},
    {"boot_cpu_data", "struct cpuinfo_x86"},
    {"cached_stacks", "struct vm_struct *[2]"},                 // per-CPU
    {"cea_exception_stacks", "struct cea_exception_stacks *"},  // per-CPU
    {"count_offsets", "unsigned int []"},                       // arch/x86/events/amd/core.c
    {"cpu_hw_events", "struct cpu_hw_events"},
    {"cpu_number", "int"},
    {"cpuhp_state", "struct cpuhp_cpu_state"},  // per-CPU
    {"crashing_cpu", "int"},
    {"current_task", "struct task_struct *"},  // per-CPU; pcpu_hot.current_task in 6.2 - 6.14
    {"event_offsets", "unsigned int []"},      // arch/x86/events/amd/core.c
    {"ext_regs_buf", "struct xregs_state *"},  // per-CPU; in no release up to 7.3
    {"hardirq_stack_ptr", "void *"},           // per-CPU; pcpu_hot.hardirq_stack_ptr in 6.2 - 6.14
    {"ibs_caps", "u32"},
    {"init_task", "struct task_struct"},
    {"init_uts_ns", "struct uts_namespace"},
    {"jiffies", "unsigned long"},
    {"jiffies_64", "u64"},
    {"max_samples_per_tick", "int"},
    {"modules", "struct list_head"},
    {"nmi_desc", "struct nmi_desc []"},
    {"nmi_stats", "struct nmi_stats"},  // per-CPU
    {"nr_cpu_ids", "unsigned int"},
    {"nr_node_ids", "unsigned int"},
    {"nr_vmap_nodes", "int"},
    {"page_offset_base", "unsigned long"},
    {"panic_cpu", "atomic_t"},
    {"pcpu_base_addr", "void *"},
    {"pcpu_chunk_lists", "struct list_head *"},
    {"pcpu_first_chunk", "struct pcpu_chunk *"},
    {"pcpu_hot", "struct pcpu_hot"},
    {"pcpu_nr_slots", "int"},
    {"pcpu_reserved_chunk", "struct pcpu_chunk *"},
    {"pcpu_unit_size", "int"},
    {"perf_cpu_context", "struct perf_cpu_context"},  // per-CPU, since 6.2
    {"perf_ibs_fetch", "struct perf_ibs"},
    {"perf_ibs_op", "struct perf_ibs"},
    {"perf_nmi_tstamp", "unsigned long"},
    {"perf_throttled_count", "int"},
    {"perf_throttled_seq", "u64"},
    {"pmc_prev_left", "u64 [64]"},
    {"prb", "struct printk_ringbuffer *"},
    {"runqueues", "struct rq"},
    {"saved_command_line", "char *"},
    {"shadow_timekeeper", "struct timekeeper"},   // up to 6.12
    {"swevent_htable", "struct swevent_htable"},  // per-CPU
    {"sysctl_perf_event_sample_rate", "int"},
    {"tainted_mask", "unsigned long"},
    {"tick_cpu_sched", "struct tick_sched"},   // per-CPU
    {"timekeeper_data", "struct tk_data []"},  // since 6.17
    {"tk_core", "struct tk_data"},             // 6.13 - 6.16; of a nameless struct before
    {"vmalloc_base", "unsigned long"},
    {"vmap_area_root", "struct rb_root"},
    {"vmap_nodes", "struct vmap_node *"},  // since 6.9
    {"vmemmap_base", "unsigned long"},
    {"watchdog_ev", "struct perf_event *"},  // per-CPU
    {"x86_hyper_type", "int"},               // enum x86_hypervisor_type
    {"x86_pmu", "struct x86_pmu"},
    {"x86_user_regs", "struct x86_perf_regs"},  // per-CPU; in no release up to 7.3
};

static_assert(std::ranges::is_sorted(kVariables, {}, &Variable::name));

}  // namespace

std::string_view known_variable_type(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kVariables, name, {}, &Variable::name);
  return found != std::end(kVariables) && found->name == name ? found->type : std::string_view();
}

}  // namespace perfcore
