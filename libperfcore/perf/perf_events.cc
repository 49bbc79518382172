// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/perf_events.h"

#include <fmt/format.h>

#include <unordered_set>

#include "perfcore/tasks.h"

namespace perfcore {
namespace {

constexpr size_t kMaxEvents = 100000;

class Finder {
 public:
  explicit Finder(PmuState& pmu) : pmu_(pmu), kernel_(pmu.kernel()) {}

  EventList find() {
    if (pmu_.cpus().has_value()) {
      for (const int cpu : *pmu_.cpus()) {
        add_counters(cpu);
        add_cpu_contexts(cpu);
      }
    } else {
      list_.incomplete.push_back(pmu_.cpus().unread());
    }
    if (auto unread = for_each_task(kernel_, [&](const Object& task) { add_task(task); }))
      list_.incomplete.push_back(std::move(*unread));
    return std::move(list_);
  }

 private:
  void add(uint64_t address, const std::string& path) {
    if (address && list_.events.size() < kMaxEvents && seen_.insert(address).second)
      list_.events.push_back({address, path});
  }

  void add_counters(int cpu) {
    const CpuPmu& counters = pmu_.cpu(cpu);
    const Reading<int64_t> count = counters.n_events();
    for (int i = 0; count.has_value() && i < *count && i < kMaxCounters; i++)
      if (const auto event = counters.event_list(i).u64(); event.has_value())
        add(*event, fmt::format("event_list[] of CPU {}", cpu));
  }

  /// One per CPU since bd2756811766 "perf: Rewrite core context handling" (6.2), before that one per PMU and
  /// CPU.
  void add_cpu_contexts(int cpu) {
    const std::string path = fmt::format("context of CPU {}", cpu);
    if (!kernel_.type("struct perf_event_pmu_context")) {
      for (const Object& pmu : pmus())
        add_context(pmu.member("pmu_cpu_context").per_cpu_ptr(cpu).member("ctx"), path);
      return;
    }
    add_context(kernel_.per_cpu("perf_cpu_context", cpu).member("ctx"), path);
  }

  const std::vector<Object>& pmus() {
    if (!pmus_) {
      pmus_.emplace();
      // `pmus` is also the name of another variable in some kernels; the list's neighbours tell it apart by
      // walking well.
      for (const Symbol& symbol : kernel_.symbols().find_all("pmus")) {
        const ListWalk walk =
            list_entries(kernel_.object("struct list_head", symbol.address), "struct pmu", "entry", 10000);
        if (!walk.incomplete && !walk.entries.empty()) *pmus_ = walk.entries;
      }
    }
    return *pmus_;
  }

  void add_context(const Object& ctx, const std::string& path) {
    add_list(ctx.member("event_list"), "event_entry", path);
  }

  void add_list(const Object& head, const char* link, const std::string& path) {
    // Most lists are empty: one read tells.
    const Reading<uint64_t> first = head.member("next").u64();
    const Reading<uint64_t> self = head.address();
    if (first.has_value() && self.has_value() && *first == *self) return;
    const ListWalk walk = list_entries(head, "struct perf_event", link, kMaxEvents);
    for (const Object& event : walk.entries) add(event.address().value(), path);
    if (walk.incomplete) list_.incomplete.push_back(*walk.incomplete);
  }

  void add_task(const Object& task) {
    const auto name = [&] {
      const Reading<std::string> comm = task.member("comm").string();
      const Reading<int64_t> pid = task.member("pid").s64();
      return fmt::format("{} (PID {})", comm.has_value() ? *comm : "?", pid.has_value() ? *pid : -1);
    };
    // An array of two contexts (hardware, software) before 6.2, one pointer after.
    const Object ctxp = task.member("perf_event_ctxp");
    if (ctxp.unread()) return;
    if (ctxp.type()->strip() && ctxp.type()->strip()->kind == TypeKind::kArray) {
      for (int i = 0; i < 2; i++) add_task_context(ctxp.index(i), name);
    } else {
      add_task_context(ctxp, name);
    }
    const Object opened = task.member("perf_event_list");
    const Reading<uint64_t> first = opened.member("next").u64();
    const Reading<uint64_t> self = opened.address();
    // init_task's list is not initialised with a head of its own in every release: an empty or zero list
    // holds nothing.
    if (!first.has_value() || *first == 0 || (self.has_value() && *first == *self)) return;
    add_list(opened, "owner_entry", "opened by " + name());
  }

  template <typename Name>
  void add_task_context(const Object& pointer, const Name& name) {
    const Reading<uint64_t> ctx = pointer.u64();
    if (ctx.has_value() && *ctx != 0) add_context(pointer.deref(), "context of " + name());
  }

  PmuState& pmu_;
  Kernel& kernel_;
  EventList list_;
  std::unordered_set<uint64_t> seen_;
  std::optional<std::vector<Object>> pmus_;
};

}  // namespace

EventList find_events(PmuState& pmu) {
  return Finder(pmu).find();
}

Reading<uint64_t> context_time(const Object& ctx) {
  const Object time = ctx.member("time");
  // struct perf_time_ctx { time, stamp, offset } since 7.0; a plain u64 before.
  return time.has_member("time") ? time.member("time").u64() : time.u64();
}

Reading<uint64_t> event_time(const PerfEvent& event) {
  const Object cgroup = event.object().member("cgrp");
  if (cgroup.u64().has_value() && *cgroup.u64() != 0) {
    const Reading<int64_t> cpu = event.cpu();
    if (!cpu.has_value()) return cpu.unread();
    return context_time(cgroup.member("info").per_cpu_ptr(static_cast<int>(*cpu)));
  }
  return context_time(event.object().member("ctx").deref());
}

}  // namespace perfcore
