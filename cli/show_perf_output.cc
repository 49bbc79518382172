// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>

#include "json_value.h"
#include "show_perf.h"
#include "text.h"

namespace perfcore::cli {
namespace {

// ---- JSON ----

std::string answer(const char* schema, const char* name, Json list, const std::vector<Unread>& unread) {
  return dump({{"schema", schema}, {name, std::move(list)}, {"unread", to_json_value(unread)}});
}

Json to_json_value(const IbsCpuView& view) {
  return {{"cpu", view.cpu},
          {"address", hex(view.address)},
          {"event", hex(view.event)},
          {"state", hex(view.state)},
          {"state_names", text(view.state_names)},
          {"counts", text(view.counts)},
          {"event_state", plain(view.event_state)},
          {"event_oncpu", plain(view.event_oncpu)},
          {"event_hw_state", hex(view.event_hw_state)}};
}

Json to_json_value(const EventRow& row) {
  return {{"address", hex(row.address)},
          {"path", row.path},
          {"counts", row.counts},
          {"pmu", plain(row.pmu)},
          {"owner", plain(row.owner)},
          {"state", plain(row.state)},
          {"state_name", text(row.state_name)},
          {"oncpu", plain(row.oncpu)},
          {"cpu", plain(row.cpu)},
          {"hw.idx", plain(row.hw_idx)},
          {"hw.state", hex(row.hw_state)},
          {"hw.interrupts", hex(row.hw_interrupts)},
          {"throttled", row.hw_interrupts ? Json(*row.hw_interrupts == kMaxInterrupts) : Json(nullptr)},
          {"count", hex(row.count)},
          {"total_time_enabled", plain(row.enabled_ns)},
          {"total_time_running", plain(row.running_ns)},
          {"tstamp", plain(row.tstamp)},
          {"context_time", plain(row.context_time)},
          {"refcount", plain(row.refcount)},
          {"ctx", hex(row.ctx)},
          {"rb", hex(row.rb)},
          {"parent", hex(row.parent)},
          {"group_leader", hex(row.group_leader)}};
}

Json to_json_value(const ContextView& view) {
  Json pmus = Json::array();
  for (const ContextView::Pmu& pmu : view.pmus)
    pmus.push_back({{"address", hex(pmu.address)},
                    {"pmu", plain(pmu.name)},
                    {"nr_events", plain(pmu.nr_events)},
                    {"refcount", plain(pmu.refcount)},
                    {"embedded", plain(pmu.embedded)}});
  return {{"address", hex(view.address)},
          {"owner", view.cpu ? "cpu" : "task"},
          {"cpu", plain(view.cpu)},
          {"task", hex(view.task)},
          {"comm", plain(view.comm)},
          {"pid", plain(view.pid)},
          {"nr_events", plain(view.nr_events)},
          {"is_active", hex(view.is_active)},
          {"time", plain(view.time)},
          {"refcount", plain(view.refcount)},
          {"pin_count", plain(view.pin_count)},
          {"locked", plain(view.locked)},
          {"pmus", pmus}};
}

Json to_json_value(const MemberValues& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values) json[name] = plain(value);
  return json;
}

Json to_json_value(const BufferView& view) {
  Json events = Json::array();
  for (const uint64_t event : view.events) events.push_back(hex(event));
  Json waiters = Json::array();
  for (const BufferView::Waiter& waiter : view.waiters)
    waiters.push_back({{"event", hex(waiter.event)},
                       {"function", waiter.function},
                       {"how", text(waiter.how)},
                       {"task", hex(waiter.task)},
                       {"comm", plain(waiter.comm)},
                       {"pid", plain(waiter.pid)},
                       {"epoll", hex(waiter.epoll)}});
  return {{"address", hex(view.address)},
          {"events", events},
          {"buffer", to_json_value(view.members)},
          {"user_page", to_json_value(view.user_page)},
          {"waiters", waiters}};
}

Json to_json_value(const TaskRow& row) {
  return {{"address", hex(row.address)},
          {"pid", plain(row.pid)},
          {"tgid", plain(row.tgid)},
          {"comm", plain(row.comm)},
          {"state", hex(row.state)},
          {"state_letter", text(row.state_letter)},
          {"cpu", plain(row.cpu)},
          {"on_cpu", plain(row.on_cpu)},
          {"kernel_thread", plain(row.kernel_thread)},
          {"stack", hex(row.stack)},
          {"perf_context", plain(row.has_context)}};
}

template <typename T>
Json list_of(const std::vector<T>& items) {
  Json list = Json::array();
  for (const T& item : items) list.push_back(to_json_value(item));
  return list;
}

// ---- text ----

std::string words(const std::optional<uint64_t>& address) {
  return address ? fmt::format("{:#x}", *address) : "not read";
}
std::string number(const std::optional<int64_t>& value) {
  return value ? fmt::format("{}", *value) : "?";
}
std::string count_of(size_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}
std::string who(const std::optional<std::string>& comm, const std::optional<int64_t>& pid) {
  return fmt::format("{} (PID {})", comm.value_or("?"), number(pid));
}

/// Members side by side, as many as fit.
void put_members(TextWriter& out, const char* label, const MemberValues& values) {
  std::string line;
  for (const auto& [name, value] : values)
    line += fmt::format("{}{} {}", line.empty() ? "" : ", ", name, number(value));
  out.field(label, line, 12, 2);
}

}  // namespace

std::string to_json(const IbsReport& report) {
  Json pmus = Json::array();
  for (const IbsPmuView& pmu : report.pmus)
    pmus.push_back({{"name", pmu.name},
                    {"address", hex(pmu.address)},
                    {"found_by", pmu.found_by},
                    {"cpus", list_of(pmu.cpus)}});
  return dump({{"schema", "perfcore.show-ibs/1"},
               {"ibs_caps", hex(report.caps)},
               {"pmus", pmus},
               {"unread", cli::to_json_value(report.unread)}});
}

std::string to_json(const EventsReport& report) {
  return answer("perfcore.show-events/1", "events", list_of(report.events), report.unread);
}
std::string to_json(const ContextsReport& report) {
  return answer("perfcore.show-contexts/1", "contexts", list_of(report.contexts), report.unread);
}
std::string to_json(const BuffersReport& report) {
  return answer("perfcore.show-buffers/1", "buffers", list_of(report.buffers), report.unread);
}
std::string to_json(const TasksReport& report) {
  return answer("perfcore.show-tasks/1", "tasks", list_of(report.tasks), report.unread);
}

void render(TextWriter& out, const IbsReport& report) {
  if (report.caps == uint64_t{0})
    out.paragraph("No IBS: ibs_caps is 0 (another vendor's CPU, a guest without it, or it is disabled).");
  else
    out.paragraph(fmt::format("ibs_caps {}", words(report.caps)));
  for (const IbsPmuView& pmu : report.pmus) {
    out.heading(pmu.name, fmt::format("struct perf_ibs at {}", words(pmu.address)));
    if (pmu.cpus.empty()) out.paragraph("not set up: it has no per-CPU state", 2);
    for (const IbsCpuView& cpu : pmu.cpus) {
      std::string line =
          fmt::format("CPU {:<3} {:<28} event {}", cpu.cpu,
                      cpu.state ? fmt::format("{} ({:#x})", cpu.state_names, *cpu.state) : "not read",
                      cpu.event == uint64_t{0} ? "none" : words(cpu.event));
      if (!cpu.counts.empty())
        line += fmt::format(": {}, state {}, on CPU {}", cpu.counts, number(cpu.event_state),
                            number(cpu.event_oncpu));
      out.paragraph(line, 2, 8);
    }
  }
  render_unread(out, report.unread);
}

void render(TextWriter& out, const EventsReport& report) {
  out.paragraph(fmt::format("{} reached from CPUs and tasks", count_of(report.events.size(), "event")));
  for (const EventRow& row : report.events) {
    out.paragraph(Text{{fmt::format("{:#x} ", row.address), Style::kStrong},
                       {fmt::format("{} [{}]", row.counts, row.pmu.value_or("?"))}},
                  0, 4);
    const bool throttled = row.hw_interrupts == kMaxInterrupts;
    out.paragraph(
        fmt::format("{}{}, on CPU {}, hw.idx {}, hw.state {}{}",
                    row.state_name.empty() ? "state " + number(row.state) : row.state_name,
                    row.rb && *row.rb ? ", sampling" : "", number(row.oncpu), number(row.hw_idx),
                    row.hw_state ? hw_state_name(*row.hw_state) : "not read", throttled ? ", throttled" : ""),
        4, 4);
    out.paragraph(
        fmt::format("{}{}", row.path,
                    row.owner && !row.path.starts_with("opened by") ? ", opened by " + *row.owner : ""),
        4, 4);
  }
  render_unread(out, report.unread);
}

void render(TextWriter& out, const ContextsReport& report) {
  if (report.contexts.empty()) out.paragraph("No contexts.");
  for (const ContextView& view : report.contexts) {
    out.paragraph(Text{{view.cpu ? fmt::format("CPU {}: ", *view.cpu)
                                 : fmt::format("task {}: ", who(view.comm, view.pid)),
                        Style::kStrong},
                       {fmt::format("context {:#x}, {} events, is_active {}, time {} ns, refcount {}{}",
                                    view.address, number(view.nr_events), words(view.is_active),
                                    view.time ? fmt::format("{}", *view.time) : "?", number(view.refcount),
                                    view.locked == true ? ", its lock is held" : "")}},
                  0, 4);
    for (const ContextView::Pmu& pmu : view.pmus)
      out.paragraph(fmt::format("{}: {} events{}", pmu.name.value_or("?"), number(pmu.nr_events),
                                pmu.refcount ? fmt::format(", refcount {}", *pmu.refcount) : ""),
                    4, 4);
  }
  render_unread(out, report.unread);
}

void render(TextWriter& out, const BuffersReport& report) {
  if (report.buffers.empty()) out.paragraph("No event that was found has a ring buffer.");
  for (const BufferView& view : report.buffers) {
    out.heading(fmt::format("Ring buffer {:#x}", view.address), count_of(view.events.size(), "event"));
    for (const uint64_t event : view.events) out.field("event", fmt::format("{:#x}", event), 12, 2);
    put_members(out, "buffer", view.members);
    put_members(out, "user page", view.user_page);
    for (const BufferView::Waiter& waiter : view.waiters)
      out.field("waiter",
                fmt::format("{}{} ({})", waiter.task ? who(waiter.comm, waiter.pid) : "nobody at present",
                            waiter.how.empty() ? ", in a way that is not known" : ", in " + waiter.how,
                            waiter.function),
                12, 2);
    if (view.waiters.empty()) out.field("waiter", "none", 12, 2);
  }
  render_unread(out, report.unread);
}

void render(TextWriter& out, const TasksReport& report) {
  out.line(Text{{fmt::format("{:>7} {:>7}  {:<3} {:>4}  {:<18} {:<5} {}", "PID", "TGID", "st", "CPU",
                             "task_struct", "perf", "command"),
                 Style::kStrong}});
  for (const TaskRow& row : report.tasks)
    out.line(fmt::format(
        "{:>7} {:>7}  {:<3} {:>4}  {:<18} {:<5} {}", number(row.pid), number(row.tgid),
        row.state_letter.empty() ? "?" : row.state_letter + (row.on_cpu == true ? "+" : ""), number(row.cpu),
        fmt::format("{:#x}", row.address), row.has_context ? (*row.has_context ? "yes" : "-") : "?",
        row.kernel_thread == true ? "[" + row.comm.value_or("?") + "]" : row.comm.value_or("?")));
  render_unread(out, report.unread);
}

}  // namespace perfcore::cli
