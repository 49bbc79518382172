// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The core of probe P-NULLEV, over decoded code.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "kernel/code_flow.h"
#include "perfcore/code.h"

namespace perfcore {

/// Where the members lie that the probe looks for, in bytes.
struct NullEventsLayout {
  struct Range {
    int64_t begin = 0;
    int64_t end = 0;
    bool contains(int64_t offset) const { return offset >= begin && offset < end; }
  };
  const Type* cpu_hw_events = nullptr;
  const Type* perf_event = nullptr;
  Range events, event_list, active_mask;  ///< in struct cpu_hw_events
  int64_t hw_state = 0;                   ///< in struct perf_event
};

struct NullEventsVerdict {
  NullEventsCode code = NullEventsCode::kUndecided;
  uint64_t address = 0;  ///< of the proving instruction
  std::string reason;
};

/// A function's code, its .cold part included, ascending.
struct ProbedFunction {
  std::span<const Instruction> code;
  uint64_t entry = 0;  ///< address of its first instruction
};

/// Decides on the control flow, not on the order of addresses: compilers move blocks.
/// \param start, enable  x86_pmu_start() and x86_pmu_enable()
/// \param name_of        name of the function at a call's target; empty when it is not known
NullEventsVerdict probe_null_events_code(const ProbedFunction& start, const ProbedFunction& enable,
                                         const FlowFacts& facts, const NullEventsLayout& layout,
                                         const std::function<std::string(uint64_t)>& name_of);

}  // namespace perfcore
