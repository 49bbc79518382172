// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Perf's event contexts: of CPUs and of tasks (struct perf_event_context, include/linux/perf_event.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "perfcore/perf_events.h"
#include "perfcore/pmu.h"

namespace perfcore {

/// The part of a context that belongs to one PMU: struct perf_event_pmu_context since bd2756811766 "perf:
/// Rewrite core context handling" (6.2); the whole context before.
class PmuContext {
 public:
  explicit PmuContext(Object object) : object_(std::move(object)) {}

  const Object& object() const { return object_; }
  Reading<uint64_t> address() const { return object_.address(); }
  Reading<uint64_t> pmu() const { return object_.member("pmu").u64(); }
  Reading<std::string> pmu_name() const { return object_.member("pmu").member("name").string(64); }
  Reading<int64_t> nr_events() const { return object_.member("nr_events").s64(); }
  /// True for those of CPUs, which are never freed.
  Reading<bool> embedded() const { return object_.member("embedded").truth(); }
  Reading<int64_t> refcount() const { return object_.member("refcount.counter").s64(); }
  Reading<int64_t> rotate_necessary() const { return object_.member("rotate_necessary").s64(); }

 private:
  Object object_;
};

/// A struct perf_event_context, read once.
class PerfContext {
 public:
  enum class Owner { kCpu, kTask };

  PerfContext(Owner owner, Object object) : owner_(owner), object_(std::move(object)) {}

  Owner owner() const { return owner_; }
  int cpu = -1;                     ///< of a CPU's context
  uint64_t task = 0;                ///< struct task_struct that refers to a task's context
  std::optional<std::string> comm;  ///< of that task
  std::optional<int64_t> pid;
  std::vector<PmuContext> pmus;

  const Object& object() const { return object_; }
  Reading<uint64_t> address() const { return object_.address(); }
  Reading<int64_t> nr_events() const { return object_.member("nr_events").s64(); }
  /// enum event_type_t: EVENT_FLEXIBLE 1, EVENT_PINNED 2, EVENT_TIME 4, ...
  Reading<uint64_t> is_active() const { return object_.member("is_active").u64(); }
  Reading<int64_t> nr_stat() const { return object_.member("nr_stat").s64(); }
  Reading<int64_t> rotate_disable() const { return object_.member("rotate_disable").s64(); }
  Reading<int64_t> refcount() const { return object_.member("refcount.refs.counter").s64(); }
  Reading<int64_t> pin_count() const { return object_.member("pin_count").s64(); }
  /// Nanoseconds.
  Reading<uint64_t> time() const { return context_time(object_); }
  /// Is ctx->lock held? The raw word of the qspinlock is not 0; a debug kernel's owner CPU is not shown.
  Reading<bool> locked() const { return object_.member("lock.raw_lock.val.counter").truth(); }
  /// ctx->task: the task whose context it is; TASK_TOMBSTONE (-1) when that has exited.
  Reading<uint64_t> ctx_task() const { return object_.member("task").u64(); }

 private:
  Owner owner_;
  Object object_;
};

struct ContextList {
  std::vector<PerfContext> contexts;  ///< of CPUs first
  std::vector<Unread> incomplete;
};

/// The contexts of all present CPUs (one per PMU that has events before 6.2) and of all tasks that have one.
ContextList find_contexts(PmuState& pmu);

}  // namespace perfcore
