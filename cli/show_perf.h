// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The answers of `perfcore show DUMP ibs|events|contexts|buffers|tasks`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "perfcore/diagnosis.h"
#include "perfcore/nmi.h"
#include "text_writer.h"

namespace perfcore::cli {

/// Values by the names of the kernel's members, in order; what could not be read has no value.
using MemberValues = std::vector<std::pair<std::string, std::optional<int64_t>>>;

struct IbsCpuView {
  int cpu = 0;
  std::optional<uint64_t> address;  ///< struct cpu_perf_ibs
  std::optional<uint64_t> event;
  std::optional<uint64_t> state;
  std::string state_names;
  std::string counts;                  ///< what the event counts; empty without one
  std::optional<int64_t> event_state;  ///< event->state
  std::optional<int64_t> event_oncpu;  ///< event->oncpu
  std::optional<uint64_t> event_hw_state;
};
struct IbsPmuView {
  std::string name;
  std::optional<uint64_t> address;  ///< struct perf_ibs
  std::string found_by;             ///< "symbol", "event"
  std::vector<IbsCpuView> cpus;
};
struct IbsReport {
  std::optional<uint64_t> caps;
  std::vector<IbsPmuView> pmus;
  std::vector<Unread> unread;
};
IbsReport make_ibs_report(Diagnosis& diagnosis);

struct EventRow {
  uint64_t address = 0;
  std::string path;    ///< how it was reached
  std::string counts;  ///< what it counts
  std::optional<std::string> pmu;
  std::optional<std::string> owner;
  std::optional<int64_t> state;
  std::string state_name;
  std::optional<int64_t> oncpu;
  std::optional<int64_t> cpu;
  std::optional<int64_t> hw_idx;
  std::optional<uint64_t> hw_state;
  std::optional<uint64_t> hw_interrupts;
  std::optional<uint64_t> count;
  std::optional<uint64_t> enabled_ns;
  std::optional<uint64_t> running_ns;
  std::optional<uint64_t> tstamp;
  std::optional<uint64_t> context_time;  ///< the clock that tstamp is a copy of
  std::optional<int64_t> refcount;
  std::optional<uint64_t> ctx;
  std::optional<uint64_t> rb;
  std::optional<uint64_t> parent;
  std::optional<uint64_t> group_leader;
};
struct EventsReport {
  std::vector<EventRow> events;
  std::vector<Unread> unread;
};
EventsReport make_events_report(Diagnosis& diagnosis);

struct ContextView {
  uint64_t address = 0;
  std::optional<int> cpu;        ///< of a CPU's context
  std::optional<uint64_t> task;  ///< of a task's
  std::optional<std::string> comm;
  std::optional<int64_t> pid;
  std::optional<int64_t> nr_events;
  std::optional<uint64_t> is_active;
  std::optional<uint64_t> time;
  std::optional<int64_t> refcount;
  std::optional<int64_t> pin_count;
  std::optional<bool> locked;
  struct Pmu {
    std::optional<uint64_t> address;
    std::optional<std::string> name;
    std::optional<int64_t> nr_events;
    std::optional<int64_t> refcount;  ///< nullopt also where contexts of PMUs have none (before 6.2)
    std::optional<bool> embedded;
  };
  std::vector<Pmu> pmus;
};
struct ContextsReport {
  std::vector<ContextView> contexts;
  std::vector<Unread> unread;
};
ContextsReport make_contexts_report(Diagnosis& diagnosis);

struct BufferView {
  uint64_t address = 0;
  std::vector<uint64_t> events;
  MemberValues members;    ///< of struct perf_buffer
  MemberValues user_page;  ///< of struct perf_event_mmap_page
  struct Waiter {
    uint64_t event = 0;
    std::string function;
    std::string how;
    std::optional<uint64_t> task;
    std::optional<std::string> comm;
    std::optional<int64_t> pid;
    std::optional<uint64_t> epoll;
  };
  std::vector<Waiter> waiters;
};
struct BuffersReport {
  std::vector<BufferView> buffers;
  std::vector<Unread> unread;
};
BuffersReport make_buffers_report(Diagnosis& diagnosis);

struct TaskRow {
  uint64_t address = 0;
  std::optional<int64_t> pid;
  std::optional<int64_t> tgid;
  std::optional<std::string> comm;
  std::optional<uint64_t> state;
  std::string state_letter;  ///< as ps(1) has it; empty when the state is unread
  std::optional<int64_t> cpu;
  std::optional<bool> on_cpu;
  std::optional<bool> kernel_thread;
  std::optional<uint64_t> stack;
  std::optional<bool> has_context;  ///< a perf context of its own
};
struct TasksReport {
  std::vector<TaskRow> tasks;
  std::vector<Unread> unread;
};
TasksReport make_tasks_report(Kernel& kernel);

std::string to_json(const IbsReport& report);
std::string to_json(const EventsReport& report);
std::string to_json(const ContextsReport& report);
std::string to_json(const BuffersReport& report);
std::string to_json(const TasksReport& report);
void render(TextWriter& out, const IbsReport& report);
void render(TextWriter& out, const EventsReport& report);
void render(TextWriter& out, const ContextsReport& report);
void render(TextWriter& out, const BuffersReport& report);
void render(TextWriter& out, const TasksReport& report);

}  // namespace perfcore::cli
