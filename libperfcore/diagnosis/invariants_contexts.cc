// SPDX-License-Identifier: LGPL-2.1-or-later
//
// C-23, C-24, C-26 and C-27: struct perf_event_context of CPUs and tasks (kernel/events/core.c).
#include <fmt/format.h>

#include <algorithm>

#include "diagnosis/invariant_context.h"

namespace perfcore::invariant {
namespace {

constexpr uint64_t kAttachContext = 1;         // PERF_ATTACH_CONTEXT, include/linux/perf_event.h
constexpr uint64_t kAttachTask = 4;            // PERF_ATTACH_TASK
constexpr uint64_t kSoftwareEvent = 1;         // PERF_EV_CAP_SOFTWARE
constexpr uint64_t kScheduledIn = 3;           // EVENT_FLEXIBLE | EVENT_PINNED of is_active
constexpr uint64_t kTombstone = ~uint64_t{0};  // TASK_TOMBSTONE
constexpr size_t kMaxEvents = 100000;
constexpr size_t kMaxPmus = 10000;

bool is_corruption(UnreadReason reason) {
  return reason == UnreadReason::kLimit || reason == UnreadReason::kNullPointer ||
         reason == UnreadReason::kNotMapped;
}

class ContextChecks {
 public:
  explicit ContextChecks(State& state) : s_(state) {}

  void run() {
    on_contexts("C-23", kLists | kSched, &ContextChecks::lists);
    on_contexts("C-24", kSched | kLists, &ContextChecks::active_lists);
    places();
    on_contexts("C-27", kLists, &ContextChecks::references);
  }

 private:
  void on_contexts(std::string_view id, uint32_t legal_in,
                   void (ContextChecks::*method)(Check&, const ContextRef&)) {
    s_.run_on_cpus(id, legal_in, [&](Check& check, int cpu) {
      bool any = false;
      for (const ContextRef& context : s_.contexts()) {
        if (context.cpu != cpu) continue;
        any = true;
        (this->*method)(check, context);
      }
      if (any) return;
      if (s_.contexts_incomplete().empty()) check.not_applicable("this CPU has no perf context");
      for (const Unread& unread : s_.contexts_incomplete()) check.unread(unread);
    });
    s_.run(id, std::nullopt, legal_in, [&](Check& check) {
      for (const Unread& unread : s_.contexts_incomplete()) check.unread(unread);
      bool any = false;
      for (const ContextRef& context : s_.contexts()) {
        if (context.cpu) continue;
        any = true;
        (this->*method)(check, context);
      }
      if (!any) check.not_applicable("no task has a perf context");
    });
  }

  const ListWalk& events_of(const ContextRef& context) {
    const auto known = events_.find(context.address);
    if (known != events_.end()) return known->second;
    return events_
        .emplace(context.address, list_entries(context.object.member("event_list"), "struct perf_event",
                                               "event_entry", kMaxEvents))
        .first->second;
  }

  /// The perf_event_pmu_contexts of a context; empty before 6.2.
  ListWalk pmu_contexts_of(const ContextRef& context) {
    if (!context.object.has_member("pmu_ctx_list")) return {};
    return list_entries(context.object.member("pmu_ctx_list"), "struct perf_event_pmu_context",
                        "pmu_ctx_entry", kMaxPmus);
  }

  /// Lists change under IPI on the CPU of a CPU context, and on any CPU for a task's.
  static bool everywhere(const ContextRef& context) { return !context.cpu; }

  void lists(Check& check, const ContextRef& context) {
    const auto broken = [&](const Object& object, std::string why) {
      check.broken(object, fmt::format("{}: {}", context.name, why), kLists | kSched, everywhere(context));
    };
    const ListWalk& walk = events_of(context);
    if (walk.incomplete) {
      if (is_corruption(walk.incomplete->reason))
        broken(context.object.member("event_list").member("next"),
               "event_list does not come back to its head: " + walk.incomplete->message());
      else
        check.unread(*walk.incomplete);
      return;
    }
    const auto active = check.take(s_.pmu().state_active());
    int64_t sampled = 0, with_stat = 0;
    bool complete = active.has_value();
    for (const Object& entry : walk.entries) {
      std::string why;
      const auto live = check.take(s_.looks_live(*entry.address(), &why));
      if (!live) {
        complete = false;
        continue;
      }
      if (!*live) {
        broken(context.object.member("event_list"),
               fmt::format("{:#x} on it is no live event: {}", *entry.address(), why));
        complete = false;
        continue;
      }
      const PerfEvent& event = s_.pmu().event(*entry.address());
      member(check, context, event, broken);
      const Reading<bool> freq = event.attr_freq();
      const Reading<uint64_t> rate = event.sample_period();
      const Reading<int64_t> state = event.state();
      const Reading<bool> stat = event.object().member("attr.inherit_stat").truth();
      complete &= freq.has_value() && rate.has_value() && state.has_value() && stat.has_value();
      // An event on an event_list[] counts as ACTIVE: if it is not, that is C-10's.
      if (complete && *freq && *rate != 0 && (*state == *active || s_.listed_on(event.address()))) sampled++;
      if (complete && *stat) with_stat++;
    }
    const auto equals = [&](const char* name, int64_t expected, const char* what) {
      if (!context.object.has_member(name)) return;
      const auto value = check.take(context.object.member(name).s64());
      if (value && *value != expected)
        broken(context.object.member(name), fmt::format("event_list holds {} {}", expected, what));
    };
    equals("nr_events", static_cast<int64_t>(walk.entries.size()), "events");
    if (complete) equals("nr_freq", sampled, "ACTIVE events with a frequency");
    if (complete) equals("nr_stat", with_stat, "events with inherit_stat");
    pmu_contexts(check, context, static_cast<int64_t>(walk.entries.size()), broken);
  }

  template <typename Broken>
  void member(Check& check, const ContextRef& context, const PerfEvent& event, const Broken& broken) {
    const auto ctx = check.take(event.ctx());
    if (ctx && *ctx != context.address) {
      broken(event.object().member("ctx"),
             fmt::format("this event of its list says otherwise ({:#x} is right)", context.address));
    }
    const auto attached = check.take(event.object().member("attach_state").u64());
    if (attached && !(*attached & kAttachContext))
      broken(event.object().member("attach_state"), "this event of its list says that it is in no context");
    if (!event.object().has_member("pmu_ctx")) return;
    const auto pmu = check.take(event.pmu());
    const auto caps = check.take(event.object().member("event_caps").u64());
    const auto pmu_of_context = check.take(event.object().member("pmu_ctx").member("pmu").u64());
    if (pmu && caps && pmu_of_context && *pmu != *pmu_of_context && !(*caps & kSoftwareEvent))
      broken(
          event.object().member("pmu_ctx"),
          fmt::format("this event's pmu_ctx is that of PMU {:#x}, its pmu is {:#x}", *pmu_of_context, *pmu));
  }

  template <typename Broken>
  void pmu_contexts(Check& check, const ContextRef& context, int64_t events, const Broken& broken) {
    if (!context.object.has_member("pmu_ctx_list")) return;
    const ListWalk walk = pmu_contexts_of(context);
    if (walk.incomplete) {
      if (is_corruption(walk.incomplete->reason))
        broken(context.object.member("pmu_ctx_list").member("next"),
               "pmu_ctx_list does not come back to its head: " + walk.incomplete->message());
      else
        check.unread(*walk.incomplete);
      return;
    }
    int64_t sum = 0;
    bool complete = true;
    for (const Object& entry : walk.entries) {
      const Object pmu_context = entry.load();
      const auto ctx = check.take(pmu_context.member("ctx").u64());
      if (ctx && *ctx != context.address)
        broken(pmu_context.member("ctx"),
               fmt::format("this pmu_ctx of its list says otherwise ({:#x} is right)", context.address));
      const auto count = check.take(pmu_context.member("nr_events").s64());
      complete &= count.has_value();
      if (count) sum += *count;
    }
    // Where nr_events itself is wrong that was said.
    if (complete && sum != events && context.object.member("nr_events").s64().is(events) &&
        !walk.entries.empty())
      broken(walk.entries.front().member("nr_events"),
             fmt::format("nr_events of its PMU contexts add up to {} and event_list holds {}", sum, events));
  }

  void active_lists(Check& check, const ContextRef& context) {
    const auto active = check.take(s_.pmu().state_active());
    const ListWalk& all = events_of(context);
    if (!active || all.incomplete) {
      if (all.incomplete && !is_corruption(all.incomplete->reason)) check.unread(*all.incomplete);
      return;
    }
    const auto broken = [&](const Object& object, std::string why) {
      check.broken(object, fmt::format("{}: {}", context.name, why), kLists | kSched, everywhere(context));
    };
    // The heads: of the context itself before 6.2, of each of its PMU contexts after.
    std::vector<Object> owners;
    if (context.object.has_member("pinned_active")) {
      owners.push_back(context.object);
    } else {
      const ListWalk walk = pmu_contexts_of(context);
      if (walk.incomplete) {
        if (!is_corruption(walk.incomplete->reason)) check.unread(*walk.incomplete);
        return;
      }
      owners = walk.entries;
    }
    std::set<uint64_t> listed;
    for (const Object& owner : owners) {
      for (const char* name : {"pinned_active", "flexible_active"}) {
        const ListWalk walk =
            list_entries(owner.member(name), "struct perf_event", "active_list", kMaxEvents);
        if (walk.incomplete) {
          if (is_corruption(walk.incomplete->reason))
            broken(owner.member(name).member("next"),
                   fmt::format("{} does not come back to its head: {}", name, walk.incomplete->message()));
          else
            check.unread(*walk.incomplete);
          return;
        }
        for (const Object& entry : walk.entries) {
          const uint64_t address = *entry.address();
          listed.insert(address);
          std::string why;
          if (!s_.looks_live(address, &why).is(true)) {
            broken(owner.member(name), fmt::format("{:#x} on {} is no live event: {}", address, name, why));
            continue;
          }
          const PerfEvent& event = s_.pmu().event(address);
          const auto state = check.take(event.state());
          const auto pinned = check.take(event.attr_pinned());
          // An event on an event_list[] that is not ACTIVE is C-10's.
          if (state && *state != *active && !s_.listed_on(address))
            broken(event.object().member("state"), fmt::format("this event is on {} and not ACTIVE", name));
          if (pinned && *pinned != (std::string_view(name) == "pinned_active"))
            broken(event.object().member("attr.pinned"), fmt::format("this event is on {}", name));
        }
      }
    }
    for (const Object& entry : all.entries) {
      std::string why;
      const uint64_t address = *entry.address();
      if (!s_.looks_live(address, &why).is(true)) continue;
      const PerfEvent& event = s_.pmu().event(address);
      // Only leaders are on these lists.
      if (!event.state().is(*active) || !event.group_leader().is(address) || listed.count(address)) continue;
      broken(event.object().member("state"),
             "this event is ACTIVE and on neither pinned_active nor flexible_active");
    }
  }

  /// C-26. An event's context; then the context that each CPU has in; then the task contexts that are in.
  void places() {
    const auto judge = [&](Check& check) {
      for (const Unread& unread : s_.events_incomplete(check.cpu())) check.unread(unread);
      for (const EventRef* reference : s_.events_of(check.cpu())) event_context(check, *reference->event);
    };
    s_.run_on_cpus("C-26", kSwitch | kSched | kLists, [&](Check& check, int cpu) {
      judge(check);
      for (const CpuContextRef& cpu_context : s_.cpu_contexts()) {
        if (cpu_context.cpu != cpu) continue;
        task_context_of(check, cpu_context);
        own_context_is_in(check, cpu_context);
      }
    });
    s_.run("C-26", std::nullopt, kSwitch | kSched | kLists, [&](Check& check) {
      judge(check);
      bool any = !s_.events_of(std::nullopt).empty();
      for (const ContextRef& context : s_.contexts()) {
        if (context.cpu) continue;
        any = true;
        task_context_is_in(check, context);
      }
      if (!any) check.not_applicable("no task has a perf context");
    });
  }

  void event_context(Check& check, const PerfEvent& event) {
    const auto attached = check.take(event.object().member("attach_state").u64());
    const auto ctx = check.take(event.ctx());
    const auto cpu = check.take(event.cpu());
    if (!attached || !ctx || !cpu || !(*attached & kAttachContext)) return;
    const ContextRef* found = s_.find_context(*ctx);
    const bool known = found != nullptr;
    if (*attached & kAttachTask) {
      if (known && found->cpu)
        check.broken(event.object().member("ctx"), fmt::format("event {:#x} is bound to a task and in the {}",
                                                               event.address(), found->name));
      return;
    }
    if (known && found->cpu && *found->cpu == *cpu) return;
    if (!std::ranges::binary_search(s_.cpus(), static_cast<int>(*cpu))) return;
    if (!s_.contexts_incomplete().empty() && !known) {
      check.unread(s_.contexts_incomplete().front());
      return;
    }
    check.broken(event.object().member("ctx"),
                 fmt::format("event {:#x} is bound to CPU {} and its context is {}", event.address(), *cpu,
                             known ? "the " + found->name : "that of no CPU and of no task"));
  }

  void task_context_of(Check& check, const CpuContextRef& cpu_context) {
    const Object object = cpu_context.object.member("task_ctx");
    const auto ctx = check.take(object.u64());
    if (!ctx || *ctx == 0) return;
    if (!s_.is_object_pointer(*ctx)) {
      check.broken(object, "task_ctx is no pointer to a context", 0);
      return;
    }
    const Object context = object.deref();
    const auto task = check.take(context.member("task").u64());
    const auto current = check.take(s_.kernel().current_task(cpu_context.cpu).address());
    if (task && *task == kTombstone) return;  // C-27
    if (task && current && *task != *current) {
      check.broken(object,
                   fmt::format("the context that is in belongs to task {:#x}, the current task is {:#x}",
                               *task, *current));
      return;
    }
    const auto in = check.take(context.member("is_active").u64());
    if (in && *in == 0) check.broken(context.member("is_active"), "this context is in and not active");
  }

  /// A CPU's own context with ACTIVE events is active.
  void own_context_is_in(Check& check, const CpuContextRef& cpu_context) {
    const Object is_active = cpu_context.object.member("ctx.is_active");
    const auto in = check.take(is_active.u64());
    const auto active = check.take(s_.pmu().state_active());
    if (!in || !active || (*in & kScheduledIn)) return;
    for (const EventRef* reference : s_.events_of(cpu_context.cpu))
      if (reference->event->ctx().is(cpu_context.context) && reference->event->state().is(*active)) {
        check.broken(is_active, fmt::format("the context is not active and its event {:#x} is",
                                            reference->event->address()));
        return;
      }
  }

  void task_context_is_in(Check& check, const ContextRef& context) {
    const Object object = context.object.member("is_active");
    const auto active = check.take(object.u64());
    if (!active || !(*active & kScheduledIn)) return;
    if (!task_contexts_) {
      task_contexts_.emplace();
      for (const CpuContextRef& cpu_context : s_.cpu_contexts()) {
        const auto in = check.take(cpu_context.object.member("task_ctx").u64());
        all_task_contexts_ &= in.has_value();
        if (in) (*task_contexts_)[*in]++;
      }
    }
    if (!all_task_contexts_) {
      check.unknown("which task contexts CPUs have in could not be read");
      return;
    }
    const int cpus = (*task_contexts_)[context.address];
    if (cpus != 1)
      check.broken(object, fmt::format("{} is active and {} CPUs have it in", context.name, cpus),
                   kSwitch | kSched | kLists, true);
  }

  void references(Check& check, const ContextRef& context) {
    const Object count = count_in(context.object.member("refcount"));
    const auto references = check.take(count.s64());
    if (references &&
        (*references < 1 || s_.pmu().classify(static_cast<uint64_t>(*references)) == PointerClass::kPoison))
      check.broken(count, fmt::format("{} is in use and has no reference", context.name), kLists, true);
    const Object task = context.object.member("task");
    const auto owner = check.take(task.u64());
    if (owner && *owner == kTombstone)
      check.broken(task,
                   fmt::format("{} belongs to a dead task (TASK_TOMBSTONE) and is in use", context.name),
                   kLists, true);
    const ListWalk& walk = events_of(context);
    for (const Object& entry : walk.entries) {
      std::string why;
      if (!s_.looks_live(*entry.address(), &why).is(true)) continue;
      const Object held = count_in(s_.pmu().event(*entry.address()).object().member("refcount"));
      const auto value = check.take(held.s64());
      if (value && *value < 1)
        check.broken(held, fmt::format("{}: this event is in use and has no reference", context.name), kLists,
                     true);
    }
  }

  State& s_;
  std::unordered_map<uint64_t, ListWalk> events_;
  bool all_task_contexts_ = true;
  std::optional<std::unordered_map<uint64_t, int>> task_contexts_;  ///< how many CPUs have each in
};

}  // namespace

void check_contexts(State& state) {
  ContextChecks(state).run();
}

}  // namespace perfcore::invariant
