// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/ibs.h"

namespace perfcore {

IbsStates ibs_states(Kernel& kernel) {
  IbsStates states;
  const auto bit = [&](const char* name, uint64_t* mask) {
    const auto value = kernel.enumerator("ibs_states", name);
    if (value && *value >= 0 && *value < 64) *mask = uint64_t{1} << *value;
  };
  bit("IBS_ENABLED", &states.enabled);
  bit("IBS_STARTED", &states.started);
  bit("IBS_STOPPING", &states.stopping);
  bit("IBS_STOPPED", &states.stopped);
  return states;
}

std::string ibs_state_name(const IbsStates& states, uint64_t state) {
  std::string name;
  const auto add = [&](uint64_t mask, const char* text) {
    if (state & mask) name += (name.empty() ? "" : "|") + std::string(text);
  };
  add(states.enabled, "ENABLED");
  add(states.started, "STARTED");
  add(states.stopping, "STOPPING");
  add(states.stopped, "STOPPED");
  return name.empty() ? "idle" : name;
}

std::vector<IbsPmu> ibs_pmus(Kernel& kernel) {
  return {{"perf_ibs_fetch", kernel.variable("perf_ibs_fetch")},
          {"perf_ibs_op", kernel.variable("perf_ibs_op")}};
}

std::vector<IbsPmu> find_ibs_pmus(PmuState& pmu, const EventList& events) {
  std::vector<IbsPmu> pmus = ibs_pmus(pmu.kernel());
  for (IbsPmu& ibs : pmus) {
    const Unread* missing = ibs.pmu.unread();
    if (!missing || missing->reason != UnreadReason::kNoSymbol) continue;
    // The PMUs are registered as "ibs_fetch" and "ibs_op" (perf_event_ibs_init()).
    const std::string_view registered = std::string_view(ibs.name).substr(sizeof "perf_" - 1);
    for (const EventOrigin& origin : events.events) {
      const Object pointer = pmu.event(origin.address).object().member("pmu");
      const auto name = pointer.member("name").string(16);
      if (!name.has_value() || *name != registered) continue;
      ibs.pmu = pointer.container_of("struct perf_ibs", "pmu");
      ibs.found_by = "event";
      break;
    }
  }
  return pmus;
}

Reading<uint64_t> ibs_caps(Kernel& kernel) {
  return kernel.variable("ibs_caps").u64();
}

}  // namespace perfcore
