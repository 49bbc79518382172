// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// PMU state of the dead kernel: struct cpu_hw_events of each CPU, the perf events it refers to, struct
/// x86_pmu. One face over kernel versions; every value is a Reading that knows its expression and address.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/address.h"
#include "perfcore/kernel.h"
#include "perfcore/unwind.h"

namespace perfcore {

/// Number of counter slots in struct cpu_hw_events (X86_PMC_IDX_MAX, arch/x86/events/perf_event.h).
inline constexpr int kMaxCounters = 64;

/// hw.state bits, include/linux/perf_event.h.
inline constexpr uint64_t kHesStopped = 1;   ///< PERF_HES_STOPPED: the counter was stopped
inline constexpr uint64_t kHesUptodate = 2;  ///< PERF_HES_UPTODATE: event->count is up to date
inline constexpr uint64_t kHesArch = 4;      ///< PERF_HES_ARCH: x86: leave stopped when (re)enabling
/// hw.interrupts of a throttled event (MAX_INTERRUPTS, kernel/events/core.c).
inline constexpr uint64_t kMaxInterrupts = ~uint64_t{0};

/// "running", "STOPPED|UPTODATE|ARCH", ...
std::string hw_state_name(uint64_t hw_state);

/// A struct perf_event, read once.
class PerfEvent {
 public:
  PerfEvent(Kernel& kernel, uint64_t address);

  uint64_t address() const { return address_; }
  /// The struct itself: member("hw.state") and so on; its expression names the event by address.
  const Object& object() const { return object_; }

  Reading<int64_t> hw_idx() const { return object_.member("hw.idx").s64(); }
  Reading<uint64_t> hw_state() const { return object_.member("hw.state").u64(); }
  Reading<uint64_t> hw_interrupts() const { return object_.member("hw.interrupts").u64(); }
  Reading<int64_t> hw_last_cpu() const { return object_.member("hw.last_cpu").s64(); }
  Reading<int64_t> state() const { return object_.member("state").s64(); }
  Reading<int64_t> oncpu() const { return object_.member("oncpu").s64(); }
  Reading<int64_t> cpu() const { return object_.member("cpu").s64(); }
  Reading<uint64_t> group_leader() const { return object_.member("group_leader").u64(); }
  Reading<uint64_t> pmu() const { return object_.member("pmu").u64(); }
  Reading<uint64_t> ctx() const { return object_.member("ctx").u64(); }
  Reading<uint64_t> attr_type() const { return object_.member("attr.type").u64(); }
  Reading<uint64_t> attr_config() const { return object_.member("attr.config").u64(); }
  Reading<bool> attr_pinned() const { return object_.member("attr.pinned").truth(); }
  Reading<bool> attr_freq() const { return object_.member("attr.freq").truth(); }
  Reading<uint64_t> sample_period() const { return object_.member("attr.sample_period").u64(); }

  /// "instructions, sampling period 100003, cpu 1" or "raw 0x4c2, frequency 99 Hz": what it counts, for
  /// people.
  std::string describe() const;
  /// comm and pid of the task that opened it (event->owner), unread when it has none.
  Reading<std::string> owner() const;

 private:
  uint64_t address_;
  Object object_;
};

/// struct cpu_hw_events of one CPU, read once.
class CpuPmu {
 public:
  CpuPmu(Kernel& kernel, int cpu);

  int cpu() const { return cpu_; }
  const Object& object() const { return object_; }
  Reading<uint64_t> address() const { return object_.address(); }

  Reading<uint64_t> active_mask() const;
  Reading<int64_t> enabled() const { return object_.member("enabled").s64(); }
  Reading<int64_t> n_events() const { return object_.member("n_events").s64(); }
  Reading<int64_t> n_added() const { return object_.member("n_added").s64(); }
  Reading<int64_t> n_txn() const { return object_.member("n_txn").s64(); }
  /// events[i], a pointer.
  Object events(int i) const { return object_.member("events").index(i); }
  /// event_list[i], a pointer; meaningful for i < n_events.
  Object event_list(int i) const { return object_.member("event_list").index(i); }
  Reading<int64_t> assign(int i) const { return object_.member("assign").index(i).s64(); }

 private:
  int cpu_;
  Object object_;
};

/// What the value of a pointer tells about where it points.
enum class PointerClass { kNull, kDirectMap, kVmalloc, kKernelImage, kUser, kNonCanonical, kPoison, kOther };
std::string_view to_string(PointerClass pointer_class);

/// All PMU state that rules ask for. Events are read once each and kept.
class PmuState {
 public:
  explicit PmuState(Kernel& kernel);

  Kernel& kernel() const { return *kernel_; }
  /// Present CPUs; unread when the mask cannot be read.
  const Reading<std::vector<int>>& cpus() const { return cpus_; }
  const CpuPmu& cpu(int cpu);
  const PerfEvent& event(uint64_t address);

  /// True when a PMU driver is initialised: x86_pmu.name is not NULL (init_hw_perf_events(),
  /// arch/x86/events/core.c).
  Reading<bool> driver_initialised();
  Reading<std::string> driver_name();
  /// Symbol of x86_pmu.handle_irq: "amd_pmu_v2_handle_irq", ...
  Reading<std::string> handle_irq();
  /// Counters that exist on this CPU: general-purpose bits 0.., fixed bits 32.. (num_counters up to 6.9,
  /// cntr_mask64 after), plus BTS 47, metrics 48-55 and VLBR 58. Hybrid CPUs: of cpuc->pmu.
  Reading<uint64_t> valid_counters(int cpu);
  /// Does event->pmu belong to the x86 core PMU (the "cpu" PMU, or one of the hybrid ones)?
  Reading<bool> is_x86_event(const PerfEvent& event);
  Reading<int64_t> state_active();  ///< PERF_EVENT_STATE_ACTIVE of this kernel

  PointerClass classify(uint64_t pointer);
  /// Is this plausibly a live struct perf_event: readable, pmu and ctx kernel pointers, group_leader set,
  /// state in range? `why_not` names the first member that is not sane.
  Reading<bool> is_sane_event(uint64_t address, std::string* why_not);

 private:
  Kernel* kernel_;
  AddressMap map_;
  Reading<std::vector<int>> cpus_;
  std::map<int, CpuPmu> cpu_states_;
  std::map<uint64_t, PerfEvent> events_;
};

}  // namespace perfcore
