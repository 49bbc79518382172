// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzers/pmu_evidence.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace perfcore {
namespace {

/// Functions that change cpu_hw_events or an event's hw.state step by step (arch/x86/events/core.c,
/// kernel/events/core.c).
constexpr std::array<std::string_view, 16> kTransitions = {
    "x86_pmu_enable",     "x86_pmu_disable",      "x86_pmu_add",       "x86_pmu_del",
    "x86_pmu_start",      "x86_pmu_stop",         "x86_pmu_start_txn", "x86_pmu_commit_txn",
    "x86_pmu_cancel_txn", "event_sched_in",       "event_sched_out",   "group_sched_in",
    "group_sched_out",    "perf_event_set_state", "ctx_resched",       "perf_event_nmi_handler"};

}  // namespace

CounterState read_counters(PmuState& pmu, int cpu) {
  const CpuPmu& state = pmu.cpu(cpu);
  CounterState counters{cpu, state.active_mask(), {}, state.n_events(), {}, {}, {}};
  if (!counters.active_mask.has_value()) counters.unread.push_back(counters.active_mask.unread());
  for (int i = 0; i < kMaxCounters; i++) {
    counters.events.push_back(state.events(i).u64());
    if (!counters.active(i)) continue;
    const Reading<uint64_t>& pointer = counters.events.back();
    if (!pointer.has_value())
      counters.unread.push_back(pointer.unread());
    else if (*pointer == 0)
      counters.null_slots.push_back(i);
  }
  if (counters.n_events.has_value() && *counters.n_events >= 0 && *counters.n_events <= kMaxCounters)
    for (int i = 0; i < *counters.n_events; i++) counters.event_list.push_back(state.event_list(i).u64());
  return counters;
}

Owner find_owner(PmuState& pmu, const CounterState& counters, int index) {
  Owner owner;
  if (!counters.n_events.has_value()) {
    owner.holds = counters.n_events.unread();
    return owner;
  }
  std::optional<Unread> unread;
  for (size_t i = 0; i < counters.event_list.size(); i++) {
    const Reading<uint64_t>& pointer = counters.event_list[i];
    if (!pointer.has_value()) {
      unread = pointer.unread();
      continue;
    }
    const Reading<int64_t> idx = pmu.event(*pointer).hw_idx();
    if (!idx.has_value()) {
      unread = idx.unread();
    } else if (*idx == index) {
      owner.candidates++;
      owner.position = static_cast<int>(i);
      owner.event = *pointer;
    }
  }
  if (owner.candidates > 1) {
    owner.holds = false;
    owner.why_not = fmt::format("{} events on event_list[] have hw.idx {}", owner.candidates, index);
    return owner;
  }
  if (unread) {
    owner.holds = *unread;
    return owner;
  }
  if (owner.candidates == 0) {
    owner.why_not = fmt::format("no event on event_list[] has hw.idx {}", index);
    return owner;
  }
  const PerfEvent& event = pmu.event(owner.event);
  const Reading<int64_t> active = pmu.state_active();
  const Reading<bool> is_active = active.and_then(
      [&](int64_t value) { return event.state().map([&](int64_t s) { return s == value; }); });
  const Reading<bool> on_cpu = event.oncpu().map([&](int64_t cpu) { return cpu == counters.cpu; });
  const Reading<bool> running = event.hw_state().map([](uint64_t state) { return state == 0; });
  std::string insane;
  const Reading<bool> sane = pmu.is_sane_event(owner.event, &insane);
  const Reading<bool> is_x86 = pmu.is_x86_event(event);
  owner.holds = is_active && on_cpu && running && sane && is_x86;
  if (is_active.is(false)) owner.why_not = "the event with this hw.idx is not ACTIVE";
  if (on_cpu.is(false)) owner.why_not = "the event with this hw.idx is not on this CPU";
  if (running.is(false)) owner.why_not = "the event with this hw.idx is stopped";
  if (sane.is(false)) owner.why_not = "what event_list[] points to is no live event: " + insane;
  if (is_x86.is(false)) owner.why_not = "the event with this hw.idx belongs to another PMU";
  return owner;
}

Reading<std::string> transition(Diagnosis& diagnosis, int cpu) {
  const Stack& stack = diagnosis.stack(cpu);
  for (const std::string_view function : kTransitions)
    if (stack.contains(function)) return std::string(function);
  if (stack.complete()) return std::string();
  if (stack.stopped) return *stack.stopped;
  return Unread{UnreadReason::kUnsupported, 0, fmt::format("stack of CPU {}", cpu),
                "it could not be unwound reliably"};
}

std::optional<PmiFault> pmi_fault(Diagnosis& diagnosis, int cpu) {
  const CrashState& crash = diagnosis.crash();
  if (crash.cpu != cpu || (!crash.fault_registers && !crash.fault_address)) return std::nullopt;
  PmiFault fault;
  fault.function = crash.function;
  const Reading<std::string> handler = diagnosis.pmu().handle_irq();
  if (handler.has_value()) fault.handler = *handler;
  // Between the fault and the PMI handler nothing may stand that calls back into other code with pointers of
  // its own.
  const auto& frames = crash.stack.frames;
  for (size_t i = crash.fault_frame.value_or(frames.size()); i < frames.size(); i++) {
    const std::string_view name = frames[i].function;
    if (name.starts_with("__perf_event_overflow") || name.starts_with("perf_event_overflow") ||
        name.starts_with("perf_ibs_"))
      break;
    if (name == "perf_event_nmi_handler" || (!fault.handler.empty() && name == fault.handler)) {
      fault.in_pmi = true;
      if (fault.handler.empty() && i > 0) fault.handler = frames[i - 1].function;
      break;
    }
  }
  if (!crash.fault_frame && crash.context == Context::kNmi) {
    // The stack could not be unwound: the log's RIP must do. These are who follows events[] first, by
    // handler.
    constexpr std::array<std::string_view, 4> kReaders = {"x86_perf_event_update", "x86_pmu_handle_irq",
                                                          "handle_pmi_common", "intel_pmu_save_and_restart"};
    fault.in_pmi = std::find(kReaders.begin(), kReaders.end(), crash.function) != kReaders.end() ||
                   (!fault.handler.empty() && crash.function == fault.handler);
  }
  const Type* event = diagnosis.kernel().type("struct perf_event");
  if (!fault.in_pmi || !event) return fault;
  if (crash.fault_address && *crash.fault_address < event->size) {
    const auto members = TypeSource::members_at(event, *crash.fault_address);
    // What the handlers read of an event first; anything else means that the pointer was not the event's.
    const auto known = std::find_if(members.begin(), members.end(), [](const std::string& name) {
      return name.starts_with("hw.") || name == "group_leader" || name == "attr" || name.starts_with("attr.");
    });
    fault.null_event = known != members.end();
    if (fault.null_event) fault.member = *known;
    for (const char* preferred : {"hw.event_base", "hw.last_period"})
      if (std::find(members.begin(), members.end(), preferred) != members.end()) fault.member = preferred;
  } else if (!crash.fault_address && crash.fault) {
    fault.null_event = crash.fault->null_pointer && crash.fault->type == "perf_event";
    fault.member = crash.fault->member;
  }
  return fault;
}

Evidence evidence_of(std::string claim, const Object& object, std::string expected,
                     const Reading<bool>& holds, int weight, bool hex) {
  Evidence evidence;
  evidence.claim = std::move(claim);
  evidence.expression = object.expression();
  if (const auto address = object.address(); address.has_value()) evidence.address = *address;
  const Reading<int64_t> value = object.s64();
  if (!value.has_value())
    evidence.observed = std::string(to_string(value.unread().reason));
  else
    evidence.observed = hex ? fmt::format("{:#x}", static_cast<uint64_t>(*value)) : fmt::format("{}", *value);
  evidence.expected = std::move(expected);
  evidence.weight = weight;
  evidence.result = !holds.has_value() ? EvidenceResult::kUndetermined
                    : *holds           ? EvidenceResult::kSupports
                                       : EvidenceResult::kContradicts;
  return evidence;
}

Evidence plain_evidence(std::string claim, std::string observed, std::string expected, EvidenceResult result,
                        int weight) {
  Evidence evidence;
  evidence.claim = std::move(claim);
  evidence.observed = std::move(observed);
  evidence.expected = std::move(expected);
  evidence.result = result;
  evidence.weight = weight;
  return evidence;
}

size_t count_log_lines(const KernelLog& log, std::string_view needle, std::string* first) {
  size_t count = 0;
  for (const LogRecord& record : log.records) {
    if (record.text.find(needle) == std::string::npos) continue;
    if (count++ == 0 && first) *first = record.text;
  }
  return count;
}

std::string cpu_list(const std::vector<int>& cpus) {
  return fmt::format("CPU{} {}", cpus.size() == 1 ? "" : "s", fmt::join(cpus, ", "));
}

}  // namespace perfcore
