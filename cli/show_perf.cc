// SPDX-License-Identifier: LGPL-2.1-or-later
#include "show_perf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "perfcore/ibs.h"
#include "perfcore/perf_contexts.h"
#include "perfcore/ring_buffers.h"
#include "perfcore/tasks.h"
#include "report.h"

namespace perfcore::cli {
namespace {

constexpr uint64_t kKernelThread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h

/// "active" for PERF_EVENT_STATE_ACTIVE, by the kernel's own names: two states were inserted over time.
std::string state_name(Kernel& kernel, const std::optional<int64_t>& state) {
  const Type* states = kernel.type("enum perf_event_state");
  if (!states || !state) return "";
  constexpr std::string_view kPrefix = "PERF_EVENT_STATE_";
  for (const Enumerator& known : states->enumerators()) {
    if (known.value != *state || !known.name.starts_with(kPrefix)) continue;
    std::string name = known.name.substr(kPrefix.size());
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    return name;
  }
  return "";
}

/// TASK_* and EXIT_* of include/linux/sched.h; the letters are those of fs/proc/array.c. 0x400 is
/// TASK_NOLOAD: with TASK_UNINTERRUPTIBLE an idle kernel thread.
std::string state_letter(uint64_t state, uint64_t exit_state) {
  if (exit_state & 0x10) return "X";
  if (exit_state & 0x20) return "Z";
  if ((state & 0x402) == 0x402) return "I";
  for (const auto& [bit, letter] :
       {std::pair{0x1, "S"}, {0x2, "D"}, {0x4, "T"}, {0x8, "t"}, {0x40, "P"}, {0x80, "X"}})
    if (state & static_cast<uint64_t>(bit)) return letter;
  return state == 0 ? "R" : "?";
}

IbsCpuView ibs_cpu_view(Diagnosis& diagnosis, const IbsPmu& ibs, const IbsStates& states, int cpu,
                        UnreadList& unread) {
  const Object pcpu = ibs.pcpu(cpu);
  IbsCpuView view;
  view.cpu = cpu;
  view.address = unread.take(pcpu.address());
  if (!view.address) return view;
  view.event = unread.take(pcpu.member("event").u64());
  view.state = unread.take(pcpu.member("state").index(0).u64());
  if (view.state) view.state_names = ibs_state_name(states, *view.state);
  if (!view.event || *view.event == 0) return view;
  const PerfEvent& event = diagnosis.pmu().event(*view.event);
  view.counts = event.describe();
  view.event_state = unread.take(event.state());
  view.event_oncpu = unread.take(event.oncpu());
  view.event_hw_state = unread.take(event.hw_state());
  return view;
}

EventRow event_row(Diagnosis& diagnosis, const EventOrigin& origin, UnreadList& unread) {
  const PerfEvent& event = diagnosis.pmu().event(origin.address);
  const Object& object = event.object();
  EventRow row;
  row.address = origin.address;
  row.path = origin.path;
  row.counts = event.describe();
  row.pmu = unread.take(object.member("pmu").member("name").string(64));
  const auto has_owner = object.member("owner").truth();
  if (has_owner.is(true)) row.owner = unread.take(event.owner());
  row.state = unread.take(event.state());
  row.state_name = state_name(diagnosis.kernel(), row.state);
  row.oncpu = unread.take(event.oncpu());
  row.cpu = unread.take(event.cpu());
  row.hw_idx = unread.take(event.hw_idx());
  row.hw_state = unread.take(event.hw_state());
  row.hw_interrupts = unread.take(event.hw_interrupts());
  row.count = unread.take(object.member("count.a.a.counter").u64());
  row.enabled_ns = unread.take(object.member("total_time_enabled").u64());
  row.running_ns = unread.take(object.member("total_time_running").u64());
  row.tstamp = unread.take(object.member("tstamp").u64());
  row.context_time = unread.take(event_time(event));
  row.refcount = unread.take(object.member("refcount.counter").s64());
  row.ctx = unread.take(event.ctx());
  row.rb = unread.take(object.member("rb").u64());
  row.parent = unread.take(object.member("parent").u64());
  row.group_leader = unread.take(event.group_leader());
  return row;
}

}  // namespace

IbsReport make_ibs_report(Diagnosis& diagnosis) {
  IbsReport report;
  UnreadList unread;
  Kernel& kernel = diagnosis.kernel();
  report.caps = unread.take(ibs_caps(kernel));
  const IbsStates states = ibs_states(kernel);
  const auto cpus = unread.take(kernel.present_cpus());
  for (const IbsPmu& ibs : find_ibs_pmus(diagnosis.pmu(), diagnosis.events())) {
    IbsPmuView view{ibs.name, unread.take(ibs.pmu.address()), ibs.found_by, {}};
    // Without IBS the driver sets nothing up: there are no per-CPU structs.
    const auto set_up = ibs.pmu.member("pcpu").u64();
    if (!set_up.has_value()) unread.add(set_up.unread());
    if (cpus && set_up.has_value() && *set_up != 0)
      for (const int cpu : *cpus) view.cpus.push_back(ibs_cpu_view(diagnosis, ibs, states, cpu, unread));
    report.pmus.push_back(std::move(view));
  }
  report.unread = unread.items();
  return report;
}

EventsReport make_events_report(Diagnosis& diagnosis) {
  EventsReport report;
  UnreadList unread;
  for (const EventOrigin& origin : diagnosis.events().events)
    report.events.push_back(event_row(diagnosis, origin, unread));
  unread.add(diagnosis.events().incomplete);
  report.unread = unread.items();
  return report;
}

ContextsReport make_contexts_report(Diagnosis& diagnosis) {
  ContextsReport report;
  UnreadList unread;
  const ContextList list = find_contexts(diagnosis.pmu());
  for (const PerfContext& context : list.contexts) {
    ContextView view;
    view.address = context.address().value();
    if (context.owner() == PerfContext::Owner::kCpu)
      view.cpu = context.cpu;
    else
      view.task = context.task;
    view.comm = context.comm;
    view.pid = context.pid;
    view.nr_events = unread.take(context.nr_events());
    view.is_active = unread.take(context.is_active());
    view.time = unread.take(context.time());
    view.refcount = unread.take(context.refcount());
    view.pin_count = unread.take(context.pin_count());
    view.locked = unread.take(context.locked());
    for (const PmuContext& pmu : context.pmus) {
      ContextView::Pmu part;
      part.address = unread.take(pmu.address());
      part.name = unread.take(pmu.pmu_name());
      part.nr_events = unread.take(pmu.nr_events());
      if (pmu.object().has_member("embedded")) {
        part.embedded = unread.take(pmu.embedded());
        part.refcount = unread.take(pmu.refcount());
      }
      view.pmus.push_back(std::move(part));
    }
    report.contexts.push_back(std::move(view));
  }
  unread.add(list.incomplete);
  report.unread = unread.items();
  return report;
}

BuffersReport make_buffers_report(Diagnosis& diagnosis) {
  BuffersReport report;
  UnreadList unread;
  const BufferList list = find_buffers(diagnosis.pmu(), diagnosis.events());
  for (const RingBuffer& buffer : list.buffers) {
    BufferView view;
    const auto address = unread.take(buffer.address());
    if (!address) continue;
    view.address = *address;
    view.events = buffer.events;
    for (const char* member : ring_buffer_members())
      if (buffer.has(member)) view.members.emplace_back(member, unread.take(buffer.number(member)));
    for (const char* member : shared_page_members()) {
      const auto value = unread.take(buffer.shared(member));
      view.user_page.emplace_back(member, value ? std::optional(static_cast<int64_t>(*value)) : std::nullopt);
    }
    for (const RingBuffer::Waiting& waiting : buffer.waiters) {
      const QueueWaiter& waiter = waiting.waiter;
      view.waiters.push_back({waiting.event, waiter.function, waiter.how,
                              waiter.task ? std::optional(waiter.task) : std::nullopt, waiter.comm,
                              waiter.pid, waiter.epoll ? std::optional(waiter.epoll) : std::nullopt});
    }
    report.buffers.push_back(std::move(view));
  }
  unread.add(list.incomplete);
  unread.add(diagnosis.events().incomplete);
  report.unread = unread.items();
  return report;
}

TasksReport make_tasks_report(Kernel& kernel) {
  TasksReport report;
  UnreadList unread;
  const auto incomplete = for_each_task(kernel, [&](const Object& task) {
    TaskRow row;
    const auto address = unread.take(task.address());
    if (!address) return;
    row.address = *address;
    row.pid = unread.take(task.member("pid").s64());
    row.tgid = unread.take(task.member("tgid").s64());
    row.comm = unread.take(task.member("comm").string());
    row.state = unread.take(task.member(task.has_member("__state") ? "__state" : "state").u64());
    const auto exit_state = unread.take(task.member("exit_state").u64());
    if (row.state && exit_state) row.state_letter = state_letter(*row.state, *exit_state);
    // In thread_info since bcf9033e5449 "sched: move CPU field back into thread_info if
    // THREAD_INFO_IN_TASK=y" (5.16).
    row.cpu = unread.take(task.member(task.has_member("thread_info.cpu") ? "thread_info.cpu" : "cpu").s64());
    row.on_cpu = unread.take(task.member("on_cpu").truth());
    const auto flags = unread.take(task.member("flags").u64());
    if (flags) row.kernel_thread = (*flags & kKernelThread) != 0;
    row.stack = unread.take(task.member("stack").u64());
    const Object contexts = task.member("perf_event_ctxp");
    const Type* type = contexts.type() ? contexts.type()->strip() : nullptr;
    if (type && type->kind == TypeKind::kArray)
      row.has_context = unread.take(contexts.index(0).truth() || contexts.index(1).truth());
    else
      row.has_context = unread.take(contexts.truth());
    report.tasks.push_back(std::move(row));
  });
  if (incomplete) unread.add(*incomplete);
  report.unread = unread.items();
  return report;
}

}  // namespace perfcore::cli
