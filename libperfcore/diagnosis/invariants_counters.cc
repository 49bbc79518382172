// SPDX-License-Identifier: LGPL-2.1-or-later
//
// C-01 to C-15: struct cpu_hw_events of each CPU (arch/x86/events/core.c).
#include <fmt/format.h>

#include <bit>

#include "diagnosis/invariant_context.h"

namespace perfcore::invariant {
namespace {

constexpr int64_t kTxnAdd = 1;           // PERF_PMU_TXN_ADD, include/linux/perf_event.h
constexpr uint64_t kEventPair = 0x1000;  // PERF_X86_EVENT_PAIR, arch/x86/events/perf_event_flags.h since 5.10
// Events are added, moved and removed while the PMU is disabled, all within the scheduling of a context.
constexpr uint32_t kMoving = kEnable | kAdd | kDel | kTransaction | kSched;

class CounterChecks {
 public:
  explicit CounterChecks(State& state) : s_(state) {}

  void run() {
    if (s_.pmu().driver_initialised().is(false)) {
      for (int i = 1; i <= 15; i++)
        s_.run_on_cpus(fmt::format("C-{:02}", i), 0, [](Check& check, int) {
          check.not_applicable("no x86 PMU driver is initialised (x86_pmu.name is NULL)");
        });
      return;
    }
    each("C-01", 0, &CounterChecks::active_has_pointer);
    each("C-02", kEnable | kDel, &CounterChecks::pointer_is_event);
    each("C-03", kStart | kStop, &CounterChecks::active_not_stopped);
    each("C-04", kStart | kStop | kMoving, &CounterChecks::running_is_active);
    each("C-05", 0, &CounterChecks::only_valid_counters);
    each("C-06", 0, &CounterChecks::numbers);
    each("C-07", kDel, &CounterChecks::event_list);
    each("C-08", 0, &CounterChecks::stale_entries);
    each("C-09", kMoving, &CounterChecks::assignment);
    each("C-10", kSched, &CounterChecks::listed_is_active);
    find_lost_events();
    each("C-11", kSched | kTransaction | kNmi, &CounterChecks::active_is_listed);
    each("C-12", kNmi | kDisable | kEnable, &CounterChecks::enabled);
    each("C-13", kHotplug, &CounterChecks::nothing_added);
    each("C-14", kTransaction | kSched, &CounterChecks::no_transaction);
    each("C-15", kMoving, &CounterChecks::accounting);
  }

 private:
  void each(std::string_view id, uint32_t legal_in, void (CounterChecks::*method)(Check&, const Counters&)) {
    s_.run_on_cpus(id, legal_in, [&](Check& check, int cpu) {
      const Counters& counters = s_.counters(cpu);
      if (const Unread* unread = counters.object.unread())
        check.unread(*unread);
      else
        (this->*method)(check, counters);
    });
  }

  /// Calls `visit` with each sound entry of event_list[]; those that break C-07 are not judged again. `from`
  /// others are left out at the end.
  template <typename Visit>
  void for_listed(Check& check, const Counters& counters, int64_t leave_out, Visit&& visit) {
    if (!counters.n_events.has_value()) {
      check.unread(counters.n_events.unread());
      return;
    }
    if (!counters.list_known) {
      check.unknown(fmt::format("n_events is {}, which is impossible (C-06): the list has no known end",
                                *counters.n_events));
      return;
    }
    const auto count = static_cast<int64_t>(counters.list.size());
    for (int64_t i = 0; i < count - leave_out; i++) {
      const auto at = static_cast<size_t>(i);
      if (!counters.list[at].has_value())
        check.unread(counters.list[at].unread());
      else if (counters.list_sound[at])
        visit(i, s_.pmu().event(*counters.list[at]));
    }
  }

  void active_has_pointer(Check& check, const Counters& counters) {
    const auto active = check.take(counters.active);
    if (!active) return;
    for (int i = 0; i < kMaxCounters; i++) {
      // A bit of a counter that does not exist is C-05's: nobody follows its pointer.
      if (!(*active & counters.valid & uint64_t{1} << i)) continue;
      const auto pointer = check.take(counters.events[static_cast<size_t>(i)]);
      if (pointer && *pointer == 0)
        check.broken(
            counters.slot(i),
            fmt::format("counter {} is active (active_mask {:#x}) and its events[] is NULL", i, *active));
    }
  }

  void pointer_is_event(Check& check, const Counters& counters) {
    for (int i = 0; i < kMaxCounters; i++) {
      const auto pointer = check.take(counters.events[static_cast<size_t>(i)]);
      if (!pointer || *pointer == 0 || !(counters.valid >> i & 1)) continue;  // C-05
      std::string why;
      const auto live = check.take(s_.looks_live(*pointer, &why));
      if (!live) continue;
      if (!*live) {
        check.broken(counters.slot(i), fmt::format("events[{}] is no live event: {}", i, why), 0);
        continue;
      }
      const PerfEvent& event = s_.pmu().event(*pointer);
      const auto idx = check.take(event.hw_idx());
      // -1, no counter, is C-16's.
      if (!idx || *idx == i || *idx == -1) continue;
      s_.note_misplaced(*pointer);
      check.broken(event.object().member("hw.idx"),
                   fmt::format("the event in events[{}] says that it is on counter {}", i, *idx));
    }
  }

  void active_not_stopped(Check& check, const Counters& counters) {
    const auto active = check.take(counters.active);
    if (!active) return;
    for (int i = 0; i < kMaxCounters; i++) {
      if (!(*active >> i & 1)) continue;
      const auto pointer = check.take(counters.events[static_cast<size_t>(i)]);
      std::string why;
      if (!pointer || *pointer == 0 || !s_.looks_live(*pointer, &why).is(true)) continue;  // C-01, C-02
      const PerfEvent& event = s_.pmu().event(*pointer);
      const auto state = check.take(event.hw_state());
      // States that no code sets are C-19's.
      if (state && (*state & kHesStopped) && *state <= (kHesStopped | kHesUptodate | kHesArch))
        check.broken(event.object().member("hw.state"),
                     fmt::format("counter {} is active and its event is {}", i, hw_state_name(*state)));
    }
  }

  void running_is_active(Check& check, const Counters& counters) {
    if (!check.take(counters.active)) return;
    for_listed(check, counters, 0, [&](int64_t i, const PerfEvent& event) {
      const auto state = check.take(event.hw_state());
      const auto idx = check.take(event.hw_idx());
      if (!state || !idx || *state != 0 || *idx == -1 || counters.is_active(*idx) ||
          s_.is_misplaced(event.address()))
        return;
      check.broken(
          event.object().member("hw.state"),
          fmt::format("event_list[{}] runs on counter {}, whose active bit is clear (active_mask {:#x})", i,
                      *idx, *counters.active));
    });
  }

  void only_valid_counters(Check& check, const Counters& counters) {
    const auto valid = check.take(s_.pmu().valid_counters(*check.cpu()));
    const auto active = check.take(counters.active);
    if (!valid) return;
    if (active && (*active & ~*valid))
      check.broken(
          counters.object.member("active_mask").index(0),
          fmt::format("counters {:#x} do not exist (this PMU has {:#x})", *active & ~*valid, *valid));
    for (int i = 0; i < kMaxCounters; i++) {
      const auto pointer = check.take(counters.events[static_cast<size_t>(i)]);
      if (pointer && *pointer != 0 && !(*valid >> i & 1))
        check.broken(counters.slot(i), fmt::format("there is no counter {} (this PMU has {:#x})", i, *valid));
    }
  }

  void numbers(Check& check, const Counters& counters) {
    const auto events = check.take(counters.n_events);
    const auto added = check.take(counters.n_added);
    const auto valid = check.take(s_.pmu().valid_counters(*check.cpu()));
    if (!events) return;
    const int64_t limit = valid ? std::popcount(*valid) : kMaxCounters;
    if (*events < 0 || *events > limit)
      check.broken(counters.object.member("n_events"), fmt::format("n_events must be 0 to {}", limit));
    else if (added && (*added < 0 || *added > *events))
      check.broken(counters.object.member("n_added"),
                   fmt::format("n_added must be 0 to {} (n_events)", *events));
  }

  void event_list(Check& check, const Counters& counters) {
    if (!check.take(counters.n_events)) return;
    if (!counters.list_known) {
      check.unknown(fmt::format("n_events is {}, which is impossible (C-06)", *counters.n_events));
      return;
    }
    for (size_t i = 0; i < counters.list.size(); i++) {
      const auto pointer = check.take(counters.list[i]);
      if (!pointer) continue;
      for (size_t k = 0; k < i && *pointer != 0; k++)
        if (counters.list[k].is(*pointer)) {
          check.broken(counters.entry(i),
                       fmt::format("event_list[{}] is the same event as event_list[{}]", i, k));
          break;
        }
      std::string why = "NULL";
      const auto live = *pointer == 0 ? std::optional(false) : check.take(s_.looks_live(*pointer, &why));
      if (live && !*live)
        check.broken(counters.entry(i), fmt::format("event_list[{}] is no live event: {}", i, why), 0);
    }
  }

  void stale_entries(Check& check, const Counters&) {
    check.not_applicable("entries beyond n_events are never looked at, by the kernel or here");
  }

  void assignment(Check& check, const Counters& counters) {
    const auto added = check.take(counters.n_added);
    if (!added || *added < 0) return;
    for_listed(check, counters, *added, [&](int64_t i, const PerfEvent& event) {
      const Object assign = counters.object.member("assign").index(i);
      const auto assigned = check.take(assign.s64());
      const auto idx = check.take(event.hw_idx());
      if (assigned && idx && *assigned != *idx && *idx != -1 && !s_.is_misplaced(event.address()))
        check.broken(assign, fmt::format("event_list[{}] is assigned to counter {} and programmed on {}", i,
                                         *assigned, *idx));
    });
  }

  void listed_is_active(Check& check, const Counters& counters) {
    const auto active = check.take(s_.pmu().state_active());
    if (!active) return;
    for_listed(check, counters, 0, [&](int64_t i, const PerfEvent& event) {
      const auto state = check.take(event.state());
      const auto cpu = check.take(event.oncpu());
      if (state && *state != *active)
        check.broken(event.object().member("state"),
                     fmt::format("event_list[{}] is not ACTIVE ({})", i, *active));
      else if (cpu && *cpu != *check.cpu())
        check.broken(
            event.object().member("oncpu"),
            fmt::format("event_list[{}] of CPU {} says that it is on CPU {}", i, *check.cpu(), *cpu));
    });
  }

  /// Events that claim to run on a CPU and are on no event_list[], by CPU.
  void find_lost_events() {
    const Reading<int64_t> active = s_.pmu().state_active();
    if (!active.has_value()) return;
    for (const EventRef& reference : s_.events()) {
      const PerfEvent& event = *reference.event;
      const Reading<int64_t> cpu = event.oncpu();
      if (!event.state().is(*active) || !cpu.has_value() || !s_.is_x86(event).is(true)) continue;
      // Where it is on the list of another CPU, that CPU's C-10 says so.
      if (!s_.listed_on(event.address())) lost_[*cpu].push_back(&reference);
    }
  }

  void active_is_listed(Check& check, const Counters& counters) {
    if (!check.take(s_.pmu().state_active())) return;
    for (const Unread& unread : s_.events_incomplete(check.cpu())) check.unread(unread);
    if (!check.take(counters.n_events)) return;
    const auto lost = lost_.find(*check.cpu());
    if (lost == lost_.end()) return;
    bool whole = counters.list_known;
    for (const bool sound : counters.list_sound) whole &= sound;
    if (!whole) {
      check.unknown("event_list[] itself is broken (C-06 or C-07): which events it held cannot be said");
      return;
    }
    for (const EventRef* reference : lost->second)
      check.broken(reference->event->object().member("oncpu"),
                   fmt::format("event {:#x} ({}; {}) is ACTIVE here and is not on event_list[]",
                               reference->event->address(), reference->event->describe(), reference->path));
  }

  /// The count by which perf_pmu_disable() nests: a per-CPU int of the PMU, since 6.15 in its
  /// perf_cpu_pmu_context.
  Object disable_count(int cpu, const Counters& counters) {
    const Object pmu = counters.object.member("pmu");
    if (pmu.has_member("pmu_disable_count")) return pmu.member("pmu_disable_count").per_cpu_ptr(cpu);
    const Object context = pmu.member("cpu_pmu_context").per_cpu_ptr(cpu);
    return context.member("pmu_disable_count");
  }

  void enabled(Check& check, const Counters& counters) {
    const Object object = counters.object.member("enabled");
    const auto enabled = check.take(object.s64());
    if (!enabled) return;
    if (*enabled != 0 && *enabled != 1) {
      check.broken(object, "enabled must be 0 or 1", 0);
      return;
    }
    if (s_.violated("C-38", check.cpu())) {
      check.unknown("cpuc.pmu is not the PMU of this CPU (C-38)");
      return;
    }
    const Object count = disable_count(*check.cpu(), counters);
    const auto disabled = check.take(count.s64());
    if (disabled && *enabled == 1 && *disabled != 0)
      check.broken(count,
                   fmt::format("the PMU is enabled although perf_pmu_disable() is {} deep", *disabled));
  }

  void nothing_added(Check& check, const Counters& counters) {
    const auto enabled = check.take(counters.object.member("enabled").s64());
    const auto added = check.take(counters.n_added);
    if (s_.violated("C-06", check.cpu())) {
      check.unknown("n_added or n_events is impossible (C-06)");
      return;
    }
    if (enabled && added && *enabled == 1 && *added != 0)
      check.broken(
          counters.object.member("n_added"),
          fmt::format("{} added event(s) wait for perf_pmu_enable() and the PMU is enabled", *added));
  }

  void no_transaction(Check& check, const Counters& counters) {
    const Object flags = counters.object.member("txn_flags");
    const auto open = check.take(flags.s64());
    if (!open || *open == 0) return;
    const auto in = s_.inside(*check.cpu(), kTransaction | kSched);
    const auto in_txn = check.take(in);
    if (!in_txn) return;
    if (in_txn->empty()) {
      check.broken(flags, "a transaction is open and nobody is in it", 0);
      return;
    }
    const auto count = check.take(counters.object.member("n_txn").s64());
    const auto added = check.take(counters.n_added);
    if (count && added && (*open & kTxnAdd) && *count > *added)
      check.broken(counters.object.member("n_txn"),
                   fmt::format("the open transaction has more events than were added ({})", *added), 0);
    else
      check.broken(flags, "a transaction is open");
  }

  void accounting(Check& check, const Counters& counters) {
    const auto number = [&](const char* name) -> std::optional<int64_t> {
      const Object object = counters.object.member(name);
      // n_txn_pair and n_txn_metric came with 871a93b0aad6 (5.10).
      if (!counters.object.has_member(name)) return std::nullopt;
      return check.take(object.s64());
    };
    const auto at_most = [&](const char* name, const char* limit_name) {
      const auto value = number(name);
      const auto limit = number(limit_name);
      if (value && limit && (*value < 0 || *value > *limit))
        check.broken(counters.object.member(name),
                     fmt::format("{} must be 0 to {} ({})", name, *limit, limit_name));
      return !value || !limit || (*value >= 0 && *value <= *limit);
    };
    if (s_.violated("C-06", check.cpu())) {
      check.unknown("n_events is impossible (C-06)");
      return;
    }
    at_most("n_txn_pair", "n_txn");
    at_most("n_txn_metric", "n_txn");
    at_most("n_metric", "n_events");
    if (!at_most("n_pair", "n_events")) return;
    const auto pairs = number("n_pair");
    if (!pairs || s_.violated("C-07", check.cpu())) return;
    int64_t paired = 0;
    bool complete = true;
    for_listed(check, counters, 0, [&](int64_t, const PerfEvent& event) {
      const auto flags = check.take(event.object().member("hw.flags").u64());
      complete &= flags.has_value();
      paired += flags && (*flags & kEventPair) ? 1 : 0;
    });
    if (complete && paired != *pairs)
      check.broken(counters.object.member("n_pair"),
                   fmt::format("event_list[] holds {} paired events", paired));
  }

  State& s_;
  std::map<int64_t, std::vector<const EventRef*>> lost_;
};

}  // namespace

void check_counters(State& state) {
  CounterChecks(state).run();
}

}  // namespace perfcore::invariant
