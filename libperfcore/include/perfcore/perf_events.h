// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// All perf events that can be reached, and the clocks of their contexts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "perfcore/kernel.h"
#include "perfcore/pmu.h"

namespace perfcore {

/// How an event was reached; the first way found is kept.
struct EventOrigin {
  uint64_t address = 0;  ///< struct perf_event
  std::string path;      ///< "CPU 1 context", "context of sleep (PID 12)", "opened by perf (PID 40)"
};

struct EventList {
  std::vector<EventOrigin> events;  ///< each once, in the order of discovery
  std::vector<Unread> incomplete;   ///< contexts and lists that could not be walked to their end
};

/// Walks cpu_hw_events, the CPU contexts (perf_cpu_context; per PMU before 6.2), every task's context and
/// every task's list of events that it opened (perf_event_list). At most 100,000 events.
EventList find_events(PmuState& pmu);

/// The time that an event's context has reached, in nanoseconds: ctx->time, or that of the event's cgroup.
/// The clock that event->tstamp is a copy of (perf_event_time(), kernel/events/core.c).
Reading<uint64_t> event_time(const PerfEvent& event);

/// ctx->time; struct perf_time_ctx since 7.0.
Reading<uint64_t> context_time(const Object& ctx);

}  // namespace perfcore
