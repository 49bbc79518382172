// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// AMD Instruction-Based Sampling: the per-CPU state of perf_ibs_fetch and perf_ibs_op
/// (arch/x86/events/amd/ibs.c).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/kernel.h"
#include "perfcore/perf_events.h"
#include "perfcore/pmu.h"

namespace perfcore {

/// Bits of cpu_perf_ibs.state by the names of enum ibs_states, from the kernel's own debug information where
/// it has them.
struct IbsStates {
  uint64_t enabled = 1;
  uint64_t started = 2;
  uint64_t stopping = 4;
  uint64_t stopped = 8;
};
/// Up to 7.3 the enumerators are ENABLED 0, STARTED 1, STOPPING 2, STOPPED 3.
IbsStates ibs_states(Kernel& kernel);
/// "ENABLED|STARTED".
std::string ibs_state_name(const IbsStates& states, uint64_t state);

/// One flavour of IBS.
struct IbsPmu {
  std::string name;                 ///< "perf_ibs_fetch" or "perf_ibs_op"
  Object pmu;                       ///< struct perf_ibs
  std::string found_by = "symbol";  ///< or "event": through event->pmu

  /// struct cpu_perf_ibs of one CPU: members event and state[0].
  Object pcpu(int cpu) const { return pmu.member("pcpu").per_cpu_ptr(cpu); }
};

/// Both flavours; their objects are unread where the kernel has no IBS driver or no symbol for it.
std::vector<IbsPmu> ibs_pmus(Kernel& kernel);

/// Both flavours, found through the PMU of an event where the symbols are missing.
std::vector<IbsPmu> find_ibs_pmus(PmuState& pmu, const EventList& events);

/// ibs_caps: 0 on CPUs without IBS and on other vendors'.
Reading<uint64_t> ibs_caps(Kernel& kernel);

}  // namespace perfcore
