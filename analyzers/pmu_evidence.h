// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What the rules about struct cpu_hw_events share: the state of a CPU's counter slots, who owns a slot,
/// whether the CPU was in the middle of changing it, and whether the fault is a NULL event met by the PMI
/// handler.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "perfcore/diagnosis.h"

namespace perfcore {

/// cpu_hw_events of one CPU, as far as it could be read.
struct CounterState {
  int cpu = -1;
  Reading<uint64_t> active_mask;
  std::vector<Reading<uint64_t>> events;  ///< kMaxCounters pointers
  Reading<int64_t> n_events;
  std::vector<Reading<uint64_t>>
      event_list;               ///< the first n_events; empty when n_events is unread or not in 0..64
  std::vector<int> null_slots;  ///< active bit set and events[i] NULL (R1)
  std::vector<Unread> unread;   ///< what R1 needs and could not be read

  bool active(int index) const { return active_mask.has_value() && (*active_mask >> index & 1); }
};

CounterState read_counters(PmuState& pmu, int cpu);

/// R3: is there exactly one event on event_list[] that owns counter `index`, active, on this CPU, running and
/// sane?
struct Owner {
  Reading<bool> holds = false;
  int position = -1;  ///< in event_list[]; -1 when none has this hw.idx
  uint64_t event = 0;
  int candidates = 0;   ///< events on event_list[] with this hw.idx
  std::string why_not;  ///< when holds is false
};
Owner find_owner(PmuState& pmu, const CounterState& counters, int index);

/// The function on this CPU's stack inside which PMU state may legally be half-changed; empty when there is
/// none; unread when the CPU's stack is not known well enough to say.
Reading<std::string> transition(Diagnosis& diagnosis, int cpu);

/// A fault of the PMI handler on an event pointer.
struct PmiFault {
  bool in_pmi = false;      ///< the faulting code was called by the PMI handler
  bool null_event = false;  ///< and the address is that of a perf_event member behind a NULL pointer
  std::string handler;      ///< "amd_pmu_v2_handle_irq"
  std::string function;     ///< that faulted
  std::string member;       ///< "hw.event_base"
};
/// nullopt when the crash is not on this CPU or is no fault.
std::optional<PmiFault> pmi_fault(Diagnosis& diagnosis, int cpu);

/// Evidence that rests on an expression: observed is its value (hexadecimal if `hex`) or why it could not be
/// read.
Evidence evidence_of(std::string claim, const Object& object, std::string expected,
                     const Reading<bool>& holds, int weight, bool hex = false);
/// Evidence that rests on something else than an expression (code, log, stack).
Evidence plain_evidence(std::string claim, std::string observed, std::string expected, EvidenceResult result,
                        int weight);

/// Adds log lines that contain `needle`, at most `max`, as evidence text; returns how many lines matched.
size_t count_log_lines(const KernelLog& log, std::string_view needle, std::string* first);

/// "CPU 1", "CPUs 1, 3".
std::string cpu_list(const std::vector<int>& cpus);

}  // namespace perfcore
