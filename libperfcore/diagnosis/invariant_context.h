// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What all invariants share: the state that they look at, read once; which CPU may legally break them; and
/// how an answer is written down.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "perfcore/invariants.h"

namespace perfcore::invariant {

/// What a CPU may be in the middle of, by the functions on its stack.
enum Where : uint32_t {
  kEnable = 1 << 0,       ///< x86_pmu_enable()
  kDisable = 1 << 1,      ///< x86_pmu_disable()
  kTransaction = 1 << 2,  ///< between start_txn and commit_txn or cancel_txn
  kAdd = 1 << 3,          ///< pmu->add()
  kDel = 1 << 4,          ///< pmu->del()
  kStart = 1 << 5,        ///< pmu->start()
  kStop = 1 << 6,         ///< pmu->stop()
  kSched = 1 << 7,        ///< events of a context are scheduled in or out
  kNmi = 1 << 8,          ///< a PMI handler
  kLists = 1 << 9,        ///< an event enters or leaves a context or a group
  kSwitch = 1 << 10,      ///< a context switch
  kOutput = 1 << 11,      ///< a writer of a ring buffer
  kTick = 1 << 12,        ///< perf_event_task_tick()
  kSoftware = 1 << 13,    ///< a software event
  kMap = 1 << 14,         ///< mmap() or munmap() of a ring buffer
  kHotplug = 1 << 15,     ///< a CPU comes or goes
};

/// struct cpu_hw_events of one CPU.
struct Counters {
  Object object;
  Reading<uint64_t> active;
  std::vector<Reading<uint64_t>> events;  ///< kMaxCounters pointers
  Reading<int64_t> n_events;
  Reading<int64_t> n_added;
  uint64_t valid = 0;                   ///< counters that exist; all of them where that could not be read
  bool list_known = false;              ///< n_events was read and is at most the number of counters
  std::vector<Reading<uint64_t>> list;  ///< event_list[0..n_events) where list_known
  std::vector<bool> list_sound;         ///< entry i is a distinct event (C-07 holds of it)

  Object slot(int i) const { return object.member("events").index(i); }
  Object entry(size_t i) const { return object.member("event_list").index(static_cast<int64_t>(i)); }
  bool is_active(int64_t i) const {
    return active.has_value() && i >= 0 && i < kMaxCounters && (*active >> i & 1) != 0;
  }
};

/// A reachable event that looks like one.
struct EventRef {
  const PerfEvent* event = nullptr;
  std::string path;  ///< how it was reached
  /// The CPU that it is on, or whose own context it is in; nullopt: neither.
  std::optional<int> home;
};

/// A struct perf_event_context.
struct ContextRef {
  Object object;
  uint64_t address = 0;
  std::optional<int> cpu;  ///< of the CPU whose own context it is
  std::string name;        ///< "context of CPU 1", "context of sleep (PID 12)"
};

/// The perf_cpu_context of a CPU: one since bd2756811766 "perf: Rewrite core context handling" (6.2), one for
/// each PMU before.
struct CpuContextRef {
  Object object;
  uint64_t context = 0;  ///< address of its ctx
  int cpu = -1;
};

/// The number in an atomic_t, atomic64_t, local_t or refcount_t; of a plain number that itself. Fields change
/// from one to the other between releases.
Object count_in(const Object& object);

class State;

/// Collects what one invariant finds on one CPU.
class Check {
 public:
  Check(State& state, std::string_view id, std::optional<int> cpu, uint32_t legal_in)
      : state_(state), id_(id), cpu_(cpu), legal_in_(legal_in) {}

  std::optional<int> cpu() const { return cpu_; }

  /// The invariant does not hold; `object` is the value that shows it. \param legal_in  overrides the places
  /// where this invariant may be broken. \param everywhere  any CPU may be changing this, not only cpu()
  void broken(const Object& object, std::string why);
  void broken(const Object& object, std::string why, uint32_t legal_in, bool everywhere = false);
  void unread(const Unread& unread);
  /// Cannot be judged for another reason than a failed read.
  void unknown(std::string why);
  /// Has effect where nothing is broken or unread.
  void not_applicable(std::string why) { not_applicable_ = std::move(why); }
  /// What the answer "ok" rests on.
  void saw(std::string observed) { observed_ = std::move(observed); }

  /// The value, or nullopt with the reason noted.
  template <typename T>
  std::optional<T> take(const Reading<T>& reading) {
    if (reading.has_value()) return *reading;
    unread(reading.unread());
    return std::nullopt;
  }

 private:
  friend class State;
  void add(InvariantStatus status, const Object* object, std::string why);

  State& state_;
  std::string_view id_;
  std::optional<int> cpu_;
  uint32_t legal_in_;
  std::vector<InvariantResult> results_;
  std::vector<std::string> unread_;
  size_t unread_count_ = 0;
  std::string not_applicable_, observed_;
};

/// Everything invariants look at, read when asked for. One thread.
class State {
 public:
  explicit State(Diagnosis& diagnosis);

  Diagnosis& diagnosis() { return d_; }
  Kernel& kernel() { return kernel_; }
  PmuState& pmu() { return pmu_; }

  /// Present CPUs with a per-CPU area.
  const std::vector<int>& cpus() const { return cpus_; }
  /// Really offline: by perf_cpu_context.online or the hotplug state machine, never by the online mask, which
  /// panic() clears.
  Reading<bool> offline(int cpu);

  const Counters& counters(int cpu);
  /// Events that look like events, and how many addresses did not.
  const std::vector<EventRef>& events();
  /// Those whose home this is.
  const std::vector<const EventRef*>& events_of(std::optional<int> home);
  /// Why events of this CPU (nullopt: of none) may be missing. What runs on a CPU is in its own context or in
  /// that of the task which it has in: tasks that cannot be reached take nothing away from a CPU.
  const std::vector<Unread>& events_incomplete(std::optional<int> cpu);
  /// Events that lie in events[] under another counter than their hw.idx (C-02): what else is said of their
  /// counter follows from that.
  void note_misplaced(uint64_t event) { misplaced_.insert(event); }
  bool is_misplaced(uint64_t event) const { return misplaced_.count(event) != 0; }
  /// The event at this address if it is a sound entry of the event_list[] of a CPU: that CPU.
  std::optional<int> listed_on(uint64_t event);
  const std::vector<CpuContextRef>& cpu_contexts();
  const std::vector<ContextRef>& contexts();
  /// nullptr when none is known at this address.
  const ContextRef* find_context(uint64_t address);
  const std::vector<Unread>& contexts_incomplete();

  /// Has this kernel no such symbol although it has a complete symbol table?
  bool lacks_symbol(std::string_view name);
  /// A live event by its looks; the reference count is not looked at (that is C-27).
  Reading<bool> looks_live(uint64_t address, std::string* why_not);
  /// May this pointer be one to an object in kernel memory?
  bool is_object_pointer(uint64_t pointer);
  /// The function that the address lies in, "[NAME]" in a module's text, empty when there is no code; unread
  /// where it lies in the kernel's text and its symbol could not be read.
  Reading<std::string> code_at(uint64_t address);
  Reading<bool> is_x86(const PerfEvent& event);

  /// Function on the CPU's stack inside which state of these kinds may be half-changed; "" when there is
  /// none; unread when the stack is not known well enough.
  Reading<std::string> inside(int cpu, uint32_t where);
  Reading<std::string> inside_any(uint32_t where);

  /// Runs one check and keeps its answer.
  void run(std::string_view id, std::optional<int> cpu, uint32_t legal_in,
           const std::function<void(Check&)>& check);
  /// The same on each CPU that is not offline; offline ones are not applicable.
  void run_on_cpus(std::string_view id, uint32_t legal_in, const std::function<void(Check&, int)>& check);
  bool violated(std::string_view id, std::optional<int> cpu) const {
    return violated_.count({std::string(id), cpu.value_or(-1)}) != 0;
  }

  std::vector<InvariantResult> take_results();

 private:
  Reading<bool> judge_live(uint64_t address, std::string* why_not);
  /// Is task_ctx the context of the task that runs on the CPU?
  bool is_context_of_current(const CpuContextRef& context);
  void find_contexts();
  void find_events();
  Reading<std::string> find_inside(uint32_t where);

  Diagnosis& d_;
  Kernel& kernel_;
  PmuState& pmu_;
  std::vector<int> cpus_;
  std::map<int, Reading<bool>> offline_;
  std::map<int, Counters> counters_;
  std::unordered_map<uint64_t, std::pair<Reading<bool>, std::string>> live_;
  std::set<uint64_t> misplaced_;
  std::optional<std::vector<EventRef>> events_;
  std::map<int, std::vector<Unread>> cpu_events_incomplete_;
  std::optional<std::map<int, std::vector<const EventRef*>>> events_by_home_;
  std::unordered_map<uint64_t, size_t> context_index_;
  std::map<uint32_t, Reading<std::string>> inside_any_;
  std::optional<std::unordered_map<uint64_t, int>> listed_;
  std::optional<std::vector<CpuContextRef>> cpu_contexts_;
  std::optional<std::vector<ContextRef>> contexts_;
  std::vector<Unread> contexts_incomplete_;
  std::optional<ModuleList> modules_;
  std::unordered_map<uint64_t, Reading<bool>> x86_pmus_;
  std::set<std::pair<std::string, int>> violated_;
  std::vector<InvariantResult> results_;
};

/// C-01 ... C-20, per CPU.
void check_counters(State& state);
void check_counter_events(State& state);
/// C-21 ... C-28.
void check_groups(State& state);
void check_contexts(State& state);
/// C-29 ... C-36.
void check_hardware_buffers(State& state);
void check_ring_buffers(State& state);
/// C-37 ... C-44.
void check_global(State& state);
void check_surroundings(State& state);

}  // namespace perfcore::invariant
