// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/perf_contexts.h"

#include <unordered_set>

#include "perfcore/tasks.h"

namespace perfcore {
namespace {

constexpr size_t kMaxPmus = 10000;
constexpr size_t kMaxContexts = 100000;
constexpr int kTaskContexts = 2;  // perf_nr_task_contexts: hardware and software, before 6.2

class Finder {
 public:
  explicit Finder(PmuState& pmu) : pmu_(pmu), kernel_(pmu.kernel()) {}

  ContextList find() {
    if (pmu_.cpus().has_value())
      for (const int cpu : *pmu_.cpus()) add_cpu(cpu);
    else
      list_.incomplete.push_back(pmu_.cpus().unread());
    if (auto unread = for_each_task(kernel_, [&](const Object& task) { add_task(task); }))
      list_.incomplete.push_back(std::move(*unread));
    return std::move(list_);
  }

 private:
  void add(PerfContext context) {
    const auto address = context.address();
    if (!address.has_value()) {
      list_.incomplete.push_back(address.unread());
      return;
    }
    if (list_.contexts.size() >= kMaxContexts || !seen_.insert(*address).second) return;
    const Object heads = kernel_.object(context.object().type(), *address).member("pmu_ctx_list");
    if (!heads.type()) {
      context.pmus.emplace_back(context.object());
    } else {
      const ListWalk walk = list_entries(heads, "struct perf_event_pmu_context", "pmu_ctx_entry", kMaxPmus);
      for (const Object& entry : walk.entries) context.pmus.emplace_back(entry.load());
      if (walk.incomplete) list_.incomplete.push_back(*walk.incomplete);
    }
    list_.contexts.push_back(std::move(context));
  }

  void add_cpu(int cpu) {
    if (kernel_.type("struct perf_event_pmu_context")) {
      PerfContext context(PerfContext::Owner::kCpu,
                          kernel_.per_cpu("perf_cpu_context", cpu).member("ctx").load());
      context.cpu = cpu;
      add(std::move(context));
      return;
    }
    for (const Object& pmu : pmus()) {
      const Object object = pmu.member("pmu_cpu_context").per_cpu_ptr(cpu).member("ctx").load();
      // Dozens of PMUs share the contexts of a machine's CPUs; an empty one says nothing.
      if (object.member("nr_events").u64().is(uint64_t{0})) continue;
      PerfContext context(PerfContext::Owner::kCpu, object);
      context.cpu = cpu;
      add(std::move(context));
    }
  }

  const std::vector<Object>& pmus() {
    if (!pmus_) {
      pmus_.emplace();
      for (const Symbol& symbol : kernel_.symbols().find_all("pmus")) {
        ListWalk walk =
            list_entries(kernel_.object("struct list_head", symbol.address), "struct pmu", "entry", kMaxPmus);
        if (!walk.incomplete && !walk.entries.empty()) *pmus_ = std::move(walk.entries);
      }
      if (pmus_->empty())
        list_.incomplete.push_back({UnreadReason::kNoSymbol, 0, "pmus", "the list of PMUs cannot be walked"});
    }
    return *pmus_;
  }

  void add_task(const Object& task) {
    const Object pointer = task.member("perf_event_ctxp");
    const Type* type = pointer.type() ? pointer.type()->strip() : nullptr;
    if (!type) return;
    const bool array = type->kind == TypeKind::kArray;
    for (int i = 0; i < (array ? kTaskContexts : 1); i++) {
      const Object one = array ? pointer.index(i) : pointer;
      const auto address = one.u64();
      if (!address.has_value()) {
        list_.incomplete.push_back(address.unread());
        continue;
      }
      if (*address == 0) continue;
      PerfContext context(PerfContext::Owner::kTask, one.deref().load());
      const auto owner = task.address();
      const auto comm = task.member("comm").string();
      const auto pid = task.member("pid").s64();
      if (owner.has_value()) context.task = *owner;
      if (comm.has_value()) context.comm = *comm;
      if (pid.has_value()) context.pid = *pid;
      add(std::move(context));
    }
  }

  PmuState& pmu_;
  Kernel& kernel_;
  ContextList list_;
  std::unordered_set<uint64_t> seen_;
  std::optional<std::vector<Object>> pmus_;
};

}  // namespace

ContextList find_contexts(PmuState& pmu) {
  return Finder(pmu).find();
}

}  // namespace perfcore
