// SPDX-License-Identifier: LGPL-2.1-or-later
//
// C-39 and C-41 to C-44: what surrounds the PMU on each CPU: watchdog, throttling, software events, cgroups,
// hotplug (kernel/watchdog_perf.c, kernel/events/core.c, kernel/cpu.c).
#include <fmt/format.h>

#include "diagnosis/invariant_context.h"

namespace perfcore::invariant {
namespace {

constexpr uint64_t kTypeSoftware = 1;            // PERF_TYPE_SOFTWARE
constexpr uint64_t kTickDepPerfEvents = 1 << 1;  // TICK_DEP_MASK_PERF_EVENTS, include/linux/tick.h
constexpr uint64_t kInitialJiffies = uint64_t{1}
                                     << 32;        // INITIAL_JIFFIES: five minutes before 32 bits overflow
constexpr uint64_t kMostTicksBefore = 300 * 1000;  // these five minutes at 1000 Hz
constexpr size_t kMaxBucket = 100000;

class SurroundingChecks {
 public:
  explicit SurroundingChecks(State& state) : s_(state) {
    for (const EventRef& reference : s_.events())
      if (const Reading<int64_t> cpu = reference.event->oncpu(); cpu.has_value() && *cpu >= 0)
        on_[*cpu].push_back(reference.event);
  }

  void run() {
    s_.run_on_cpus("C-39", kHotplug | kSched | kLists, [&](Check& check, int cpu) { watchdog(check, cpu); });
    s_.run_on_cpus("C-41", kNmi | kTick | kSched, [&](Check& check, int cpu) { throttling(check, cpu); });
    s_.run_on_cpus("C-42", kSoftware | kSched | kLists, [&](Check& check, int cpu) { software(check, cpu); });
    s_.run_on_cpus("C-43", kSwitch | kSched | kLists, [&](Check& check, int cpu) { cgroup(check, cpu); });
    for (const int cpu : s_.cpus()) s_.run("C-44", cpu, kHotplug, [&](Check& check) { offline(check, cpu); });
  }

 private:
  void watchdog(Check& check, int cpu) {
    if (s_.lacks_symbol("watchdog_ev")) {
      check.not_applicable("this kernel has no NMI watchdog made of perf events");
      return;
    }
    const Object pointer = s_.kernel().per_cpu("watchdog_ev", cpu);
    const auto address = check.take(pointer.u64());
    if (!address) return;
    if (*address == 0) {
      check.not_applicable("the NMI watchdog has no event on this CPU");
      return;
    }
    std::string why;
    const auto live = check.take(s_.looks_live(*address, &why));
    if (!live) return;
    if (!*live) {
      check.broken(pointer, "the watchdog's event is no live event: " + why, 0);
      return;
    }
    const PerfEvent& event = s_.pmu().event(*address);
    const auto bound = check.take(event.cpu());
    if (bound && *bound != cpu)
      check.broken(event.object().member("cpu"), fmt::format("it is the watchdog's event of CPU {}", cpu));
    const auto state = check.take(event.state());
    const auto active = check.take(s_.pmu().state_active());
    // OFF: the watchdog was switched off and keeps its event.
    if (!state || !active || *state == -1) return;
    if (*state != *active) {
      check.broken(event.object().member("state"), "the watchdog's event is not ACTIVE");
      return;
    }
    const Counters& counters = s_.counters(cpu);
    for (const auto& slot : counters.events) {
      if (!check.take(slot)) return;
      if (slot.is(*address)) return;
    }
    check.broken(pointer, "the watchdog's event is ACTIVE and on no counter");
  }

  void throttling(Check& check, int cpu) {
    const Object count_object = s_.kernel().per_cpu("perf_throttled_count", cpu);
    const Object sequence_object = s_.kernel().per_cpu("perf_throttled_seq", cpu);
    const auto count = check.take(count_object.s64());
    const auto sequence = check.take(sequence_object.u64());
    const auto jiffies = check.take(s_.kernel().variable("jiffies_64").u64());
    // One step for each tick: it cannot be ahead of the clock.
    if (sequence && jiffies && *jiffies >= kInitialJiffies - kMostTicksBefore &&
        *sequence > *jiffies - (kInitialJiffies - kMostTicksBefore))
      check.broken(sequence_object, fmt::format("more ticks than there were (jiffies_64 {:#x})", *jiffies),
                   0);
    const Reading<int64_t> active = s_.pmu().state_active();
    for (const PerfEvent* event : on_[cpu]) {
      if (!event->hw_interrupts().is(kMaxInterrupts) || !active.has_value() || !event->state().is(*active))
        continue;
      if (!s_.is_x86(*event).is(true) || !count || *count > 0) continue;
      // The throttling that is to come keeps the tick: without a count, that must at least go on.
      const auto kept =
          check.take(s_.kernel().per_cpu("tick_cpu_sched", cpu).member("tick_dep_mask.counter").u64());
      if (kept && !(*kept & kTickDepPerfEvents))
        check.broken(event->object().member("hw.interrupts"),
                     fmt::format("event {:#x} is throttled, perf_throttled_count is {} and the tick may stop",
                                 event->address(), *count));
    }
  }

  /// Nesting of software events: in swevent_htable up to 6.10, in the task since then (0d40a6d83e3e).
  void recursion(Check& check, const Object& table, int cpu) {
    Object array = table.member("recursion");
    if (!table.has_member("recursion")) {
      const Object task = s_.kernel().current_task(cpu);
      if (!task.has_member("perf_recursion")) return;
      array = task.member("perf_recursion");
    }
    for (int i = 0; i < 4; i++) {
      const Object level = array.index(i);
      const auto value = check.take(level.u64());
      if (!value || *value == 0) continue;
      if (*value > 1)
        check.broken(level, "recursion must be 0 or 1", 0);
      else
        check.broken(level, "nobody is inside a software event", kSoftware | kOutput | kNmi | kSched);
    }
  }

  void software(Check& check, int cpu) {
    const Object table = s_.kernel().per_cpu("swevent_htable", cpu).load();
    if (table.unread()) {
      check.unread(*table.unread());
      return;
    }
    recursion(check, table, cpu);
    const Object pointer = table.member("swevent_hlist");
    const auto list = check.take(pointer.u64());
    if (!list) return;
    if (*list == 0) {
      check.saw("no software event");
      return;
    }
    if (!s_.is_object_pointer(*list)) {
      check.broken(pointer, "swevent_hlist is no pointer to an object", 0);
      return;
    }
    const Object heads = pointer.deref().load().member("heads");
    const Type* type = heads.type() ? heads.type()->strip() : nullptr;
    const uint64_t buckets = type ? std::min<uint64_t>(type->count, 4096) : 0;
    size_t events = 0;
    for (uint64_t i = 0; i < buckets; i++)
      bucket(check, heads.index(static_cast<int64_t>(i)).member("first"), &events);
    check.saw(fmt::format("{} software event(s)", events));
  }

  void bucket(Check& check, const Object& first, size_t* events) {
    const Type* event_type = s_.kernel().type("struct perf_event");
    const auto link = event_type ? TypeSource::find_member(event_type, "hlist_entry") : std::nullopt;
    const auto head = check.take(first.u64());
    if (!link || !head) return;
    uint64_t next = *head;
    Reading<uint64_t> from = first.address();
    Object holder = first;
    for (size_t n = 0; next != 0; n++) {
      std::string why;
      const uint64_t address = next - link->byte_offset();
      const auto live = check.take(s_.looks_live(address, &why));
      if (!live) return;
      if (!*live || n >= kMaxBucket) {
        check.broken(
            holder, !*live ? fmt::format("{:#x} is no live event: {}", address, why) : "the chain is endless",
            0);
        return;
      }
      const PerfEvent& event = s_.pmu().event(address);
      const Object entry = event.object().member("hlist_entry");
      const auto kind = check.take(event.attr_type());
      if (kind && *kind != kTypeSoftware)
        check.broken(event.object().member("attr.type"), "an event in the hash of software events is none");
      const auto back = check.take(entry.member("pprev").u64());
      if (back && from.has_value() && *back != *from)
        check.broken(entry.member("pprev"), fmt::format("it must point back to {:#x}", *from));
      (*events)++;
      holder = entry.member("next");
      from = holder.address();
      const auto following = check.take(holder.u64());
      if (!following) return;
      next = *following;
    }
  }

  /// Cgroups of events that are on this CPU or bound to it, and that of its context.
  void cgroup(Check& check, int cpu) {
    bool any = false;
    for (const EventRef* reference : s_.events_of(cpu)) {
      if (!reference->event->object().has_member("cgrp")) continue;
      const Object pointer = reference->event->object().member("cgrp");
      const auto cgrp = check.take(pointer.u64());
      if (!cgrp || *cgrp == 0) continue;
      any = true;
      live_cgroup(check, pointer, *cgrp);
    }
    for (const CpuContextRef& context : s_.cpu_contexts()) {
      if (context.cpu != cpu || !context.object.has_member("cgrp")) continue;
      // Before 6.2 the number was kept elsewhere: there the pointer is NULL without such events.
      const Object number = context.object.member("ctx.nr_cgroups");
      const auto count = check.take(number.s64());
      if (!count || *count <= 0) continue;
      any = true;
      const Object pointer = context.object.member("cgrp");
      const auto cgrp = check.take(pointer.u64());
      const auto id = s_.kernel().enumerator("cgroup_subsys_id", "perf_event_cgrp_id");
      if (!cgrp || !id) {
        if (!id) check.unread(Unread{UnreadReason::kNoType, 0, "enum cgroup_subsys_id", ""});
        continue;
      }
      const Object css = s_.kernel().current_task(cpu).member("cgroups").member("subsys").index(*id);
      // css is the first member of struct perf_cgroup.
      const auto current = check.take(css.u64());
      if (current && *current != *cgrp)
        check.broken(pointer, fmt::format("the cgroup of the current task is {:#x}", *current));
    }
    if (!any) check.not_applicable("no event of this CPU counts for a cgroup");
  }

  void live_cgroup(Check& check, const Object& pointer, uint64_t cgrp) {
    if (!s_.is_object_pointer(cgrp)) {
      check.broken(pointer, "cgrp is no pointer to an object", 0);
      return;
    }
    const auto of = check.take(pointer.member("css.cgroup").u64());
    const auto subsystem = check.take(pointer.member("css.ss").u64());
    if (of && subsystem && (!s_.is_object_pointer(*of) || !s_.is_object_pointer(*subsystem)))
      check.broken(
          pointer,
          fmt::format("it is no live cgroup state (css.cgroup {:#x}, css.ss {:#x})", *of, *subsystem), 0);
  }

  void offline(Check& check, int cpu) {
    const auto off = check.take(s_.offline(cpu));
    if (!off) return;
    if (!*off) {
      check.not_applicable("the CPU is online");
      return;
    }
    const auto hotplug = s_.kernel().enumerator("cpuhp_state", "CPUHP_ONLINE");
    const Object state = s_.kernel().per_cpu("cpuhp_state", cpu).member("state");
    if (hotplug && state.s64().is(*hotplug))
      check.broken(s_.kernel().per_cpu("perf_cpu_context", cpu).member("online"),
                   "the perf context of a CPU that is online (cpuhp_state) is offline");
    for (const PerfEvent* event : on_[cpu])
      check.broken(
          event->object().member("oncpu"),
          fmt::format("event {:#x} ({}) is on a CPU that is offline", event->address(), event->describe()));
    for (const CpuContextRef& context : s_.cpu_contexts()) {
      if (context.cpu != cpu || !context.object.has_member("online")) continue;
      const Object online = context.object.member("online");
      const auto value = check.take(online.truth());
      if (value && *value) check.broken(online, "the CPU is offline and its perf context is online");
    }
  }

  State& s_;
  std::map<int64_t, std::vector<const PerfEvent*>> on_;
};

}  // namespace

void check_surroundings(State& state) {
  SurroundingChecks(state).run();
}

}  // namespace perfcore::invariant
