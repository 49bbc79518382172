// SPDX-License-Identifier: LGPL-2.1-or-later
//
// perf-aux-poll-hang: a tracer sleeps for ever in poll() on an AUX event. When the AUX buffer is full the PMU
// asks for the event to be disabled later (pending_disable, an irq_work) and wakes the tracer at once. The
// tracer drains the buffer and calls PERF_EVENT_IOC_ENABLE, which does nothing because the event is still
// ACTIVE; then the deferred disable takes effect and nobody will enable the event again. No fix is merged up
// to 7.3.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "analyzers/knowledge.h"
#include "analyzers/pmu_evidence.h"
#include "analyzers/registry.h"
#include "perfcore/code.h"
#include "perfcore/members.h"
#include "perfcore/perf_events.h"

namespace perfcore {
namespace {

constexpr uint64_t kIrqWorkBusyOrPending = 3;  // IRQ_WORK_PENDING | IRQ_WORK_BUSY, include/linux/irq_work.h
constexpr uint32_t kRecordAux = 11;            // PERF_RECORD_AUX, include/uapi/linux/perf_event.h
constexpr uint64_t kAuxFlagTruncated = 1;      // PERF_AUX_FLAG_TRUNCATED
constexpr uint64_t kStackSize = 64 << 10;      // THREAD_SIZE is 16 KiB, more with KASAN
constexpr size_t kMaxWaiters = 1000;

constexpr EvidenceKind kWaiter = {
    "a task sleeps in poll, select or epoll on the event, and its wait entry is on its own stack",
    EvidenceRole::kRequired, 0, Certainty::kReproduced, "6.12.117"};
constexpr EvidenceKind kNoTimeout = {"the wait has no timeout", EvidenceRole::kRequired, 0,
                                     Certainty::kReproduced, "6.12.117"};
constexpr EvidenceKind kNoWakeup = {
    "no wakeup is pending: rb->poll and pending_wakeup are 0, and no irq_work is queued",
    EvidenceRole::kRequired, 0, Certainty::kReproduced, "6.12.117"};
constexpr EvidenceKind kDrained = {"the tracer has read all there is", EvidenceRole::kRequired, 0,
                                   Certainty::kReproduced, "6.12.117"};
constexpr EvidenceKind kOff = {
    "the event is off although it was enabled once, or its hardware is stopped while it is ACTIVE",
    EvidenceRole::kRequired, 5, Certainty::kReproduced, "6.12.117 (off)"};
constexpr EvidenceKind kTruncated = {"the last AUX record says that data was lost for want of space",
                                     EvidenceRole::kSupports, 25, Certainty::kReproduced, "6.12.117"};
constexpr EvidenceKind kNoWriter = {"nobody writes into the AUX buffer", EvidenceRole::kSupports, 5,
                                    Certainty::kSource, "kernel/events/ring_buffer.c, aux_nest"};
constexpr EvidenceKind kTargetRuns = {"the traced task is running", EvidenceRole::kSupports, 10,
                                      Certainty::kExpert, ""};
constexpr EvidenceKind kLongWait = {"it has slept for more than 10 s", EvidenceRole::kSupports, 10,
                                    Certainty::kExpert, ""};
constexpr EvidenceKind kHungTask = {"the log has a hung-task report of it", EvidenceRole::kSupports, 5,
                                    Certainty::kExpert, ""};
constexpr EvidenceKind kSnapshot = {
    "the buffer is in snapshot mode (aux_overwrite): the user stops the event on purpose",
    EvidenceRole::kContradicts, 0, Certainty::kSource,
    "kernel/events/ring_buffer.c, perf_aux_output_begin()"};

/// Without this much support the state is only possible: an application may disable an event on purpose.
constexpr int kLikelySupport = 30;

const std::vector<KnownCommit>& commits() {
  static const std::vector<KnownCommit> kCommits = {
      {{"commit", "1476b218327b", "perf/aux: Fix pending disable flow when the AUX ring buffer overruns"},
       "6.16-rc4; not in 6.1.192 and 6.12.117",
       Certainty::kSource,
       "kernel/events/ring_buffer.c"},
      {{"link", "lkml 2026-06",
        "AUX event left disabled after poll(): a proposal; no fix is merged up to 7.3"},
       "no fix up to 7.3",
       Certainty::kSource,
       "kernel/events/core.c, _perf_event_enable(), 7.3"},
  };
  return kCommits;
}

const std::vector<std::string>& remedy() {
  static const std::vector<std::string> kRemedy = {
      "No fix is merged up to 7.3. In the tracer: poll with a timeout, and after reading call "
      "PERF_EVENT_IOC_DISABLE and "
      "then PERF_EVENT_IOC_ENABLE.",
      "Make it rarer: a larger AUX buffer (perf record -m,64M), or an aux_watermark of a quarter of the "
      "buffer.",
      "For the task that hangs now: interrupt it with a signal, or enable the event once more from a "
      "debugger."};
  return kRemedy;
}

std::optional<int64_t> pending_disable_offset(Kernel& kernel) {
  const Type* event = kernel.type("struct perf_event");
  const auto member = event ? find_member(kernel, event, "pending_disable") : std::nullopt;
  return member ? std::optional(static_cast<int64_t>(member->byte_offset())) : std::nullopt;
}

/// Probe P-AUXINATOMIC: does perf_aux_output_begin() disable the event through perf_event_disable_inatomic()
/// (1476b218327b "perf/aux: Fix pending disable flow when the AUX ring buffer overruns", 6.16)? Unread when
/// the code does not answer.
Reading<bool> disables_in_atomic(Kernel& kernel) {
  const auto code = decode_function(kernel, "perf_aux_output_begin");
  if (!code.has_value()) return code.unread();
  const auto offset = pending_disable_offset(kernel);
  bool stores_cpu = false;
  for (const Instruction& instruction : *code) {
    if (instruction.target) {
      const auto symbol = kernel.symbols().at(*instruction.target);
      if (symbol && symbol->name == "perf_event_disable_inatomic") return true;
    }
    if (!offset || !instruction.memory || !instruction.memory->written ||
        instruction.memory->displacement != *offset)
      continue;
    if (instruction.immediate == 1) return true;
    if (instruction.source != Reg::kNone) stores_cpu = true;
  }
  if (stores_cpu) return false;
  return Unread{UnreadReason::kUnsupported, 0, "perf_aux_output_begin",
                "its code does not show how it disables the event"};
}

/// Probe P-AUXPETERZ: does _perf_event_enable() clear pending_disable, as a patch proposed in 2026-06 does?
bool enable_clears_pending(Kernel& kernel) {
  const auto code = decode_function(kernel, "_perf_event_enable");
  const auto offset = pending_disable_offset(kernel);
  if (!code.has_value() || !offset) return false;
  return std::any_of(code->begin(), code->end(), [&](const Instruction& i) {
    return i.memory && i.memory->written && i.memory->displacement == *offset && i.immediate == 0;
  });
}

/// A task that waits for an event.
struct Waiter {
  Object task;
  std::string how;  ///< "poll() or select()", "epoll_wait()"
  Object entry;     ///< its wait queue entry
  Reading<bool> asleep = false;
  Reading<bool> finite = false;  ///< a timer will end the wait
  std::string comm;
  int64_t pid = 0;

  std::string name() const { return fmt::format("{} (PID {})", comm, pid); }
};

/// A or A': the code that tells them apart could not be read.
constexpr std::string_view kAOrA = "A or A'";

/// One AUX event with what decides about it.
struct Candidate {
  uint64_t address = 0;
  std::string pmu;
  std::string event_class;  ///< "A", "A'", kAOrA, "B", "C", "D", "lost-wakeup"; empty: nothing wrong
  std::vector<Evidence> evidence;
  std::optional<Waiter> waiter;
  std::string foreign_waiter;  ///< a wait function that is not understood
  bool undetermined = false;
  int support = 0;

  bool turned_off() const { return event_class.starts_with("A"); }
};

Reading<bool> equals(const Object& object, uint64_t value) {
  return object.u64().map([&](uint64_t v) { return v == value; });
}

/// task->__state since 2f064a59a11f "sched: Change task_struct::state" (5.14), task->state before.
Object task_state(const Object& task) {
  return task.member(task.has_member("__state") ? "__state" : "state");
}

class AuxHang {
 public:
  explicit AuxHang(Diagnosis& diagnosis)
      : d_(diagnosis), kernel_(diagnosis.kernel()), pmu_(diagnosis.pmu()) {}

  Finding run() {
    finding_.references = references_of(commits());
    const EventList& list = d_.events();
    for (const Unread& unread : list.incomplete) note(unread);
    std::vector<Candidate> candidates;
    for (const EventOrigin& origin : list.events)
      if (auto candidate = inspect(origin.address)) candidates.push_back(std::move(*candidate));
    judge(candidates);
    return finding_;
  }

 private:
  void note(const Unread& unread) {
    unread_ = true;
    d_.note_unread(unread);
    finding_.not_visible.push_back(unread.message());
  }

  void note_for(Candidate* candidate, const Unread& unread) {
    candidate->undetermined = true;
    note(unread);
  }

  /// nullopt: no AUX event.
  std::optional<Candidate> inspect(uint64_t address) {
    const PerfEvent& event = pmu_.event(address);
    const Object pmu = event.object().member("pmu").deref();
    const Reading<uint64_t> setup = pmu.member("setup_aux").u64();
    if (!setup.has_value()) {
      if (setup.unread().reason != UnreadReason::kNullPointer) note(setup.unread());
      return std::nullopt;
    }
    if (*setup == 0) return std::nullopt;
    Candidate candidate;
    candidate.address = address;
    const Reading<std::string> name = pmu.member("name").string(64);
    candidate.pmu = name.has_value() ? *name : "?";
    aux_events_++;
    const Object buffer = ring_buffer(event);
    const Reading<uint64_t> pages = buffer.member("aux_nr_pages").u64();
    if (!pages.has_value()) {
      if (pages.unread().reason != UnreadReason::kNullPointer) note_for(&candidate, pages.unread());
      return candidate;
    }
    // In snapshot mode (aux_overwrite) the user stops the event on purpose.
    if (*pages == 0 || equals(buffer.member("aux_overwrite"), 1).is(true)) return candidate;
    find_waiter(event, &candidate);
    if (candidate.waiter) classify(event, buffer, &candidate);
    return candidate;
  }

  /// event->rb, or that of the event it was inherited from.
  static Object ring_buffer(const PerfEvent& event) {
    const Object& e = event.object();
    const bool inherited = equals(e.member("rb"), 0).is(true) && equals(e.member("parent"), 0).is(false);
    return (inherited ? e.member("parent").member("rb") : e.member("rb")).deref().load();
  }

  void find_waiter(const PerfEvent& event, Candidate* candidate) {
    const ListWalk queue =
        list_entries(event.object().member("waitq.head"), "struct wait_queue_entry", "entry", kMaxWaiters);
    if (queue.incomplete) note_for(candidate, *queue.incomplete);
    for (const Object& entry : queue.entries) {
      const Reading<uint64_t> function = entry.member("func").u64();
      const Reading<uint64_t> data = entry.member("private").u64();
      if (!function.has_value() || !data.has_value()) {
        note_for(candidate, function.has_value() ? data.unread() : function.unread());
        continue;
      }
      const auto symbol = kernel_.symbols().at(*function);
      const std::string name =
          symbol && symbol->address == *function ? symbol->name : fmt::format("{:#x}", *function);
      if (name == "pollwake") {
        const Object wqueues = kernel_.object("struct poll_wqueues", *data);
        take_waiter(wqueues.member("polling_task").deref(), "poll() or select()", entry, wqueues, candidate);
      } else if (name == "ep_poll_callback") {
        const Object poller =
            entry.address_of().container_of("struct eppoll_entry", "wait").member("base").member("ep");
        const ListWalk sleepers =
            list_entries(poller.member("wq.head"), "struct wait_queue_entry", "entry", kMaxWaiters);
        if (sleepers.incomplete) note_for(candidate, *sleepers.incomplete);
        for (const Object& sleeper : sleepers.entries)
          if (const auto task = sleeper.member("private").u64(); task.has_value())
            take_waiter(kernel_.object("struct task_struct", *task), "epoll_wait()", sleeper, std::nullopt,
                        candidate);
      } else {
        candidate->foreign_waiter = name;
      }
    }
  }

  void take_waiter(const Object& task, const char* how, const Object& entry,
                   const std::optional<Object>& wqueues, Candidate* candidate) {
    const Reading<std::string> comm = task.member("comm").string();
    const Reading<int64_t> pid = task.member("pid").s64();
    if (!pid.has_value()) {
      note_for(candidate, pid.unread());
      return;
    }
    if (wqueues && !is_on_stack(task, *wqueues)) return;
    Waiter waiter{task, how, entry, false, has_timer(task),
                  // The name serves people; no claim rests on it.
                  comm.has_value() ? *comm : std::string("a task whose name was not read"), *pid};
    const Reading<bool> interruptible = task_state(task).u64().map([](uint64_t s) { return (s & 1) != 0; });
    const Reading<bool> untriggered = wqueues ? equals(wqueues->member("triggered"), 0) : Reading<bool>(true);
    waiter.asleep = interruptible && untriggered && is_polling(task);
    candidate->waiter = std::move(waiter);
  }

  Reading<bool> is_polling(const Object& task) {
    const Stack stack = d_.unwinder().unwind_task(task);
    for (const char* function :
         {"do_sys_poll", "do_poll", "do_select", "core_sys_select", "ep_poll", "do_epoll_wait"})
      if (stack.contains(function)) return true;
    if (stack.stopped) return *stack.stopped;
    return false;
  }

  static bool is_on_stack(const Object& task, const Object& object) {
    const Reading<uint64_t> stack = task.member("stack").u64();
    const Reading<uint64_t> address = object.address();
    return stack.has_value() && address.has_value() && *address >= *stack && *address - *stack < kStackSize;
  }

  /// Is an armed hrtimer_sleeper of this task on its stack, as schedule_hrtimeout_range() leaves for a finite
  /// timeout?
  Reading<bool> has_timer(const Object& task) {
    const auto wakeup = kernel_.symbols().find("hrtimer_wakeup");
    const Type* sleeper = kernel_.type("struct hrtimer_sleeper");
    const auto function = sleeper ? find_member(kernel_, sleeper, "timer.function") : std::nullopt;
    if (!wakeup || !function) return Unread{UnreadReason::kNoSymbol, 0, "hrtimer_wakeup", ""};
    const Reading<uint64_t> stack = task.member("stack").u64();
    const Reading<uint64_t> sp = task.member("thread.sp").u64();
    if (!stack.has_value()) return stack.unread();
    if (!sp.has_value()) return sp.unread();
    if (*sp < *stack || *sp - *stack > kStackSize)
      return Unread{UnreadReason::kCorrupt, *sp, "thread.sp", "not on the task's stack"};
    // The poll's frames end well below 8 KiB; beyond the stack's end nothing is read but a gap.
    const Snapshot slots = take_snapshot(kernel_.memory(), *sp & ~uint64_t{7}, 8192);
    for (size_t offset = 0; offset + 8 <= slots.bytes.size(); offset += 8) {
      uint64_t value;
      std::memcpy(&value, slots.bytes.data() + offset, 8);
      if (value != wakeup->address) continue;
      const Object found = kernel_.object(sleeper, slots.address + offset - function->byte_offset());
      const Reading<uint64_t> owner = found.member("task").u64();
      if (owner.has_value() && task.address().is(*owner) && equals(found.member("timer.state"), 0).is(false))
        return true;
    }
    return false;
  }

  void classify(const PerfEvent& event, const Object& buffer, Candidate* candidate) {
    const Object& e = event.object();
    const Object page = buffer.member("user_page").deref().load();
    const auto read = [&](const Object& object) {
      const Reading<uint64_t> value = object.u64();
      if (!value.has_value()) note_for(candidate, value.unread());
      return value.has_value() ? *value : 0;  // not used: an undetermined candidate is not classified
    };
    const uint64_t aux_head = read(page.member("aux_head")), aux_tail = read(page.member("aux_tail"));
    const uint64_t data_head = read(page.member("data_head")), data_tail = read(page.member("data_tail"));
    const uint64_t poll = read(buffer.member("poll.counter")), wakeup = read(e.member("pending_wakeup"));
    const uint64_t overwrite = read(buffer.member("overwrite")),
                   watermark = read(buffer.member("aux_watermark"));
    const uint64_t pending_disable = read(e.member("pending_disable"));
    const uint64_t ever_enabled = read(e.member("total_time_enabled"));
    const uint64_t hw_state = read(e.member("hw.state"));
    // One irq_work does all in 6.1; the disable got its own with 2b84def990d3 (6.11).
    const bool separate = e.has_member("pending_disable_irq");
    uint64_t works = read(e.member("pending_irq.node.a_flags.counter"));
    if (separate) works |= read(e.member("pending_disable_irq.node.a_flags.counter"));
    const Reading<int64_t> state = event.state();
    const Reading<int64_t> active = pmu_.state_active();
    const auto off = kernel_.enumerator("perf_event_state", "PERF_EVENT_STATE_OFF");
    if (!state.has_value()) note_for(candidate, state.unread());
    if (candidate->undetermined || !active.has_value() || !off) {
      candidate->undetermined = true;
      return;
    }
    const bool works_idle = (works & kIrqWorkBusyOrPending) == 0;
    const bool quiet = poll == 0 && wakeup == 0 && works_idle;
    // A read-only mapping (overwrite) never advances data_tail.
    const bool drained = aux_head == aux_tail && (overwrite || data_head == data_tail);
    const bool stopped = hw_state & kHesStopped;
    const Reading<bool> in_atomic = disables_in_atomic(kernel_);
    if (*state == *off && ever_enabled && quiet && drained && pending_disable == 0) {
      candidate->event_class = !separate || in_atomic.is(true) ? "A"
                               : in_atomic.is(false)           ? "A'"
                                                               : std::string(kAOrA);
    } else if (*state == *active && stopped && quiet && drained) {
      // perf_aux_output_begin() stored the CPU's number there before 6.16: on CPU 0 that means "nothing to
      // do".
      const bool may_be_stored = pending_disable != 0 || event.oncpu().is(0);
      if (may_be_stored && !in_atomic.has_value()) {
        note_for(candidate, in_atomic.unread());
        return;
      }
      const bool old_flow = may_be_stored && in_atomic.is(false);
      candidate->event_class = old_flow ? "C" : pending_disable == 0 ? "B" : "D";
    } else if (pending_disable != 0 || !works_idle) {
      candidate->event_class = "D";
    } else if (*state == *off && ever_enabled && quiet && watermark && aux_head - aux_tail >= watermark) {
      candidate->event_class = "lost-wakeup";
    }
    if (!candidate->event_class.empty()) gather(event, buffer, page, *off, candidate);
  }

  static void say(Candidate* candidate, std::string claim, const Object& object, std::string expected,
                  const Reading<bool>& holds, int weight, bool hex = false) {
    if (holds.is(true)) candidate->support += weight;
    candidate->evidence.push_back(
        evidence_of(std::move(claim), object, std::move(expected), holds, weight, hex));
  }

  void gather(const PerfEvent& event, const Object& buffer, const Object& page, int64_t off,
              Candidate* candidate) {
    const Object& e = event.object();
    const Waiter& waiter = *candidate->waiter;
    say(candidate, fmt::format("{} waits for it in {}", waiter.name(), waiter.how),
        waiter.entry.member("func"), "the wait function of poll, select or epoll", waiter.asleep,
        kWaiter.weight, true);
    if (!waiter.finite.is(false))
      candidate->evidence.push_back(plain_evidence(
          std::string(kNoTimeout.claim),
          waiter.finite.has_value() ? "a timer is armed on the task's stack"
                                    : waiter.finite.unread().message(),
          "no timer",
          waiter.finite.has_value() ? EvidenceResult::kContradicts : EvidenceResult::kUndetermined,
          kNoTimeout.weight));
    const Object poll = buffer.member("poll.counter");
    say(candidate, "no wakeup is waiting to be seen by poll()", poll, "0", equals(poll, 0), kNoWakeup.weight);
    const Object wakeup = e.member("pending_wakeup");
    say(candidate, "no wakeup is pending", wakeup, "0", equals(wakeup, 0), kNoWakeup.weight);
    if (candidate->turned_off())
      say(candidate, "the event is off although it was enabled once", e.member("state"),
          fmt::format("{} (PERF_EVENT_STATE_OFF)", off),
          event.state().map([&](int64_t s) { return s == off; }), kOff.weight);
    else
      say(candidate, "the event's hardware is stopped", e.member("hw.state"), "STOPPED set",
          event.hw_state().map([](uint64_t s) { return (s & kHesStopped) != 0; }), kOff.weight);
    const Reading<uint64_t> head = page.member("aux_head").u64();
    say(candidate, std::string(kDrained.claim), page.member("aux_tail"),
        fmt::format("{} (aux_head)", head.has_value() ? *head : 0), equals(page.member("aux_tail"), *head),
        kDrained.weight);
    if (is_truncated(buffer, page)) {
      candidate->support += kTruncated.weight;
      candidate->evidence.push_back(plain_evidence(std::string(kTruncated.claim),
                                                   "PERF_AUX_FLAG_TRUNCATED is set", "set",
                                                   EvidenceResult::kSupports, kTruncated.weight));
    }
    say(candidate, std::string(kNoWriter.claim), buffer.member("aux_nest"), "0",
        equals(buffer.member("aux_nest"), 0), kNoWriter.weight);
    const Object target = e.member("ctx").member("task").deref();
    if (equals(task_state(target), 0).is(true))
      say(candidate, std::string(kTargetRuns.claim), task_state(target), "0 (running)", Reading<bool>(true),
          kTargetRuns.weight);
    add_waiting_time(waiter, candidate);
    std::string line;
    if (count_log_lines(d_.log(), fmt::format("task {}:{} blocked for more than", waiter.comm, waiter.pid),
                        &line)) {
      candidate->support += kHungTask.weight;
      candidate->evidence.push_back(plain_evidence(std::string(kHungTask.claim), line,
                                                   "blocked for more than ...", EvidenceResult::kSupports,
                                                   kHungTask.weight));
    }
  }

  void add_waiting_time(const Waiter& waiter, Candidate* candidate) {
    const Object slept = waiter.task.member("se.exec_start");
    const Reading<uint64_t> cpu =
        waiter.task.member(waiter.task.has_member("thread_info.cpu") ? "thread_info.cpu" : "cpu").u64();
    if (!cpu.has_value() || *cpu > INT32_MAX || !slept.u64().has_value()) return;
    const Reading<uint64_t> now =
        kernel_.per_cpu("runqueues", static_cast<int>(*cpu)).member("clock_task").u64();
    constexpr uint64_t kSecond = 1000000000;
    if (!now.has_value() || *now < *slept.u64() + 10 * kSecond) return;
    say(candidate, fmt::format("it has slept for {} s", (*now - *slept.u64()) / kSecond), slept,
        "more than 10 s ago", Reading<bool>(true), kLongWait.weight);
  }

  /// Does the newest record of the data ring say that AUX data was lost? A PERF_RECORD_AUX has a fixed size
  /// but for the sample id behind it, so it is found from its end, data_head.
  bool is_truncated(const Object& buffer, const Object& page) {
    const Reading<uint64_t> head = page.member("data_head").u64();
    const Reading<uint64_t> pages = buffer.member("nr_pages").u64();
    if (!head.has_value() || !pages.has_value() || *pages == 0 || *pages > (1 << 20)) return false;
    const uint64_t size = *pages * kPageSize;
    const auto word = [&](uint64_t position) -> Reading<uint64_t> {
      const uint64_t offset = position % size;
      const auto data = buffer.member("data_pages").index(static_cast<int64_t>(offset / kPageSize)).u64();
      if (!data.has_value()) return data;
      return read_value<uint64_t>(kernel_.memory(), *data + offset % kPageSize);
    };
    for (uint64_t length = 32; length <= 96 && length <= *head; length += 8) {
      const Reading<uint64_t> header = word(*head - length);
      const Reading<uint64_t> flags = word(*head - length + 24);
      if (header.has_value() && flags.has_value() && (*header & 0xffffffff) == kRecordAux &&
          *header >> 48 == length)
        return *flags & kAuxFlagTruncated;
    }
    return false;
  }

  void judge(const std::vector<Candidate>& candidates) {
    const Candidate* worst = nullptr;
    bool in_flight = false, undetermined = unread_;
    std::string foreign;
    for (const Candidate& candidate : candidates) {
      undetermined |= candidate.undetermined;
      if (!candidate.waiter && !candidate.foreign_waiter.empty()) foreign = candidate.foreign_waiter;
      if (candidate.event_class == "D")
        in_flight = true;
      else if (!candidate.event_class.empty() && (!worst || candidate.support > worst->support))
        worst = &candidate;
    }
    if (aux_events_ == 0) {
      finding_.verdict = undetermined ? Verdict::kUndetermined : Verdict::kNotApplicable;
      finding_.summary = undetermined ? "no AUX event among the events that could be read"
                                      : "no perf event uses an AUX buffer";
      return;
    }
    finding_.facts["aux_events"] = static_cast<int64_t>(aux_events_);
    finding_.stage = Stage::kLatent;
    if (worst) {
      tell(*worst);
    } else if (in_flight) {
      finding_.verdict = Verdict::kPossible;
      finding_.stage = Stage::kArmed;
      finding_.facts["class"] = std::string("D");
      finding_.summary =
          "a disable of an AUX event is under way while its tracer waits: the dump was taken inside the "
          "window";
    } else if (!foreign.empty()) {
      finding_.verdict = Verdict::kUndetermined;
      finding_.summary = fmt::format(
          "an AUX event has a waiter that perfcore cannot follow (its wait function is {})", foreign);
    } else if (undetermined) {
      finding_.verdict = Verdict::kUndetermined;
      finding_.summary = "not all AUX events and their waiters could be read";
    } else {
      finding_.verdict = Verdict::kLatent;
      finding_.summary =
          fmt::format("{} AUX event{}; no tracer hangs on one", aux_events_, aux_events_ == 1 ? "" : "s");
    }
  }

  void tell(const Candidate& candidate) {
    const Waiter& waiter = *candidate.waiter;
    const bool sure = waiter.asleep.is(true) && waiter.finite.is(false) && !candidate.undetermined;
    const bool likely = sure && candidate.support >= kLikelySupport && candidate.event_class != "lost-wakeup";
    finding_.verdict = likely                                                 ? Verdict::kLikely
                       : !waiter.asleep.has_value() || candidate.undetermined ? Verdict::kUndetermined
                                                                              : Verdict::kPossible;
    finding_.stage = Stage::kFired;
    finding_.evidence = candidate.evidence;
    finding_.facts["class"] = candidate.event_class == kAOrA ? std::string("unknown") : candidate.event_class;
    finding_.facts["pmu"] = candidate.pmu;
    // A hang is the cause only of a panic that is about this hung task.
    if (d_.crash().crash_class == "hung-task" &&
        count_log_lines(d_.log(), fmt::format("task {}:{} blocked", waiter.comm, waiter.pid), nullptr)) {
      finding_.stage = Stage::kCrashed;
      finding_.cause_of_crash = likely;
    }
    const PerfEvent& event = pmu_.event(candidate.address);
    finding_.summary = fmt::format(
        "{} sleeps in {} for AUX event {:#x} of {}, which is {} and which nobody will start again",
        waiter.name(), waiter.how, candidate.address, candidate.pmu,
        candidate.turned_off() ? "off" : "stopped");
    finding_.explanation = {fmt::format("The AUX buffer of event {:#x} ({}) ran full: the kernel marked the "
                                        "event to be disabled a little later "
                                        "and woke {} at once.",
                                        candidate.address, event.describe(), waiter.name()),
                            fmt::format("{} read the data and enabled the event again. The event was still "
                                        "ACTIVE, so that call did nothing.",
                                        waiter.name()),
                            after_enable(candidate.event_class),
                            fmt::format("No more data will come, and {} waits for ever.", waiter.name())};
    if (enable_clears_pending(kernel_))
      finding_.explanation.push_back(
          "This kernel carries the proposed change that clears pending_disable when an event is enabled.");
    finding_.remedy = remedy();
    finding_.not_visible.push_back(
        "what the tracer called last: an application may disable an event and poll on purpose, so this is "
        "never proven");
  }

  static std::string after_enable(std::string_view event_class) {
    if (event_class == kAOrA)
      return "Then the disable that was pending was honoured, at once or when the traced task was next "
             "scheduled "
             "out, and turned the event off.";
    if (event_class == "A") return "Then the deferred disable ran and turned the event off.";
    if (event_class == "A'")
      return "This kernel never queues the deferred disable: the stale pending_disable was honoured when the "
             "traced task was "
             "next scheduled out, after that call, and turned the event off.";
    if (event_class == "C")
      return "The disable never ran: the event stayed ACTIVE while its hardware is stopped.";
    if (event_class == "lost-wakeup") return "Data is waiting in the buffer, and no wakeup is on its way.";
    return "The event stayed ACTIVE while its hardware is stopped: enabling an ACTIVE event does nothing.";
  }

  Diagnosis& d_;
  Kernel& kernel_;
  PmuState& pmu_;
  Finding finding_;
  int aux_events_ = 0;
  bool unread_ = false;
};

RuleKnowledge knowledge() {
  RuleKnowledge known;
  known.summary =
      "a tracer enables an AUX event while its deferred disable is still under way: the event ends up "
      "off, and the tracer sleeps in poll() for ever";
  known.symptoms = {
      {"A tracer (perf record, or one of its own kind) hangs in poll(), select() or epoll_wait() without "
       "timeout on an event with an AUX buffer; there is no crash unless hung tasks are fatal.",
       Certainty::kReproduced, "6.12.117"},
  };
  known.mechanism = {
      {"The AUX buffer runs full: perf_aux_output_end() or perf_aux_output_begin() asks for the event to be "
       "disabled later (pending_disable, an irq_work) and wakes the tracer at once.",
       Certainty::kSource, "kernel/events/ring_buffer.c"},
      {"The tracer drains the buffer and calls PERF_EVENT_IOC_ENABLE. The event is still ACTIVE, so "
       "_perf_event_enable() returns without doing anything.",
       Certainty::kSource, "kernel/events/core.c, _perf_event_enable()"},
      {"Class A: then the irq_work turns the event off. Class A' (up to 6.15, with pending_disable_irq): no "
       "irq_work was queued, and the next event_sched_out() turns it off. Nobody enables it again.",
       Certainty::kReproduced, "6.12.117 (A')"},
      {"Classes B and C: the event stays ACTIVE while its hardware is stopped. Class D: the disable is still "
       "under way, which is no hang yet.",
       Certainty::kSource, "kernel/events/core.c"},
  };
  known.evidence = {kWaiter,   kNoTimeout,  kNoWakeup, kDrained,  kOff,     kTruncated,
                    kLongWait, kTargetRuns, kNoWriter, kHungTask, kSnapshot};
  known.look_alikes = {
      {"healthy tracer that waits for data",
       "the event is ACTIVE and its hardware runs, or the buffer is below its watermark"},
      {"tracer that stopped the event on purpose", "cannot be told from the state: therefore never proven"},
      {"wakeup that was lost", "data is waiting in the buffer (class lost-wakeup, possible at most)"},
      {"traced task that has exited or sleeps", "the event is INACTIVE or EXIT, not OFF"},
  };
  known.kernels = {
      {"Class A: 6.16 and later, and 6.1; class A': kernels with pending_disable_irq and without "
       "1476b218327b, such as 6.12; class C: kernels without 1476b218327b. Unchanged in 7.2.12 and 7.3.",
       Certainty::kSource, "6.1, 6.12, 7.2, 7.3"},
      {"The first release with the defect is not known; it was reported on 6.17.", Certainty::kPublic,
       "lkml 2026-06"},
  };
  known.commits = commits();
  known.remedy = remedy();
  known.limits = {"Likely at most: an application may disable an event and poll on purpose.",
                  "A waiter other than poll, select and epoll (io_uring) makes it undetermined."};
  return known;
}

}  // namespace

RuleInfo perf_aux_poll_hang_rule() {
  return {"perf-aux-poll-hang",
          "tracer sleeps for ever in poll() on an AUX event",
          {{"struct perf_event", "struct perf_buffer"}, {}},
          [](Diagnosis& diagnosis) { return AuxHang(diagnosis).run(); },
          knowledge,
          {.variant = "class", .facets = {"pmu"}}};
}

}  // namespace perfcore
