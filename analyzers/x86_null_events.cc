// SPDX-License-Identifier: LGPL-2.1-or-later
//
// perf-x86-null-events: an active counter whose events[] pointer is NULL (CVE-2026-23435).
//
// Since 7e772a93eb61 "perf/x86: Fix NULL event access and potential PEBS record loss"
// (6.19-rc1; 6.17.13, 6.18.2) only x86_pmu_enable() stores cpuc->events[idx], and it skips the store for an
// event that is stopped (PERF_HES_ARCH). An event that is throttled, then moved to another counter, then
// unthrottled gets its active bit from x86_pmu_start() without a pointer, and the next PMI follows NULL.
// 8d5fae601126 "perf/x86: Move event pointer setup earlier in x86_pmu_enable()" (7.0; 6.18.20, 6.19.10) mends
// it.
#include <fmt/format.h>

#include <algorithm>

#include "analyzers/knowledge.h"
#include "analyzers/pmu_evidence.h"
#include "analyzers/registry.h"
#include "analyzers/releases.h"
#include "analyzers/text_finding.h"

namespace perfcore {
namespace {

constexpr ReleaseRange kAffected[] = {
    {{6, 17, 13}, {6, 18, 0}}, {{6, 18, 2}, {6, 18, 20}}, {{6, 19, 0}, {6, 19, 10}}};

// The kinds of evidence, in the order in which `perfcore rules` lists them.
constexpr EvidenceKind kVulnerableCode = {
    "this kernel's code has the defect: x86_pmu_enable() skips the store of events[] for a stopped event, "
    "and "
    "x86_pmu_start() does not make up for it (probe P-NULLEV of the dump's text: G1)",
    EvidenceRole::kRequired, 20, Certainty::kBinary, "6.18.12, 6.19.6; G0 in 6.1.192, 6.12.117"};
constexpr EvidenceKind kActiveBit = {"the counter's bit in active_mask is set", EvidenceRole::kRequired, 10,
                                     Certainty::kSource, "arch/x86/events/core.c, x86_pmu_start()"};
constexpr EvidenceKind kNullPointer = {"the counter's events[] pointer is NULL, which is legal in no context",
                                       EvidenceRole::kRequired, 20, Certainty::kReproduced,
                                       "6.18.12, 6.19.6"};
constexpr EvidenceKind kOneOwner = {
    "exactly one event on event_list[] owns the counter: hw.idx names it, state is ACTIVE, oncpu is this "
    "CPU, "
    "hw.state is 0",
    EvidenceRole::kRequired, 10, Certainty::kReproduced, "6.18.12, 6.19.6"};
constexpr EvidenceKind kArmedEvent = {
    "armed: an event was moved to another counter while it was stopped (hw.state has STOPPED and ARCH)",
    EvidenceRole::kRequired, 20, Certainty::kReproduced, "6.18.12"};
constexpr EvidenceKind kArmedPointer = {"armed: the new counter's events[] pointer is not that event",
                                        EvidenceRole::kRequired, 20, Certainty::kReproduced, "6.18.12"};
constexpr EvidenceKind kPmiFault = {"the CPU faulted in the PMI handler", EvidenceRole::kSupports, 30,
                                    Certainty::kReproduced, "6.18.12, 6.19.6"};
constexpr EvidenceKind kNullMember = {"the fault address (CR2) is a member of a NULL struct perf_event",
                                      EvidenceRole::kSupports, 15, Certainty::kReproduced, "6.18.12, 6.19.6"};
constexpr EvidenceKind kSeveralCpus = {"several CPUs show the same state", EvidenceRole::kSupports, 10,
                                       Certainty::kExpert, ""};
constexpr EvidenceKind kThrottled = {"events were throttled on this CPU since its last tick",
                                     EvidenceRole::kSupports, 5, Certainty::kSource,
                                     "kernel/events/core.c, perf_throttled_count"};
constexpr EvidenceKind kCompany = {"other hardware events share this CPU, so that a move is possible",
                                   EvidenceRole::kSupports, 5, Certainty::kSource,
                                   "arch/x86/events/core.c, x86_schedule_events()"};
constexpr EvidenceKind kPrimedEvent = {"a throttled event sits on a counter: one move away",
                                       EvidenceRole::kSupports, 5, Certainty::kSource,
                                       "kernel/events/core.c, hw.interrupts == MAX_INTERRUPTS"};
constexpr EvidenceKind kLongInterrupts = {"the log tells of long PMU interrupts, which lead to throttling",
                                          EvidenceRole::kSupports, 5, Certainty::kSource,
                                          "kernel/events/core.c, perf_sample_event_took()"};
constexpr EvidenceKind kStalePeriod = {"the counter was last programmed for another value than this event's",
                                       EvidenceRole::kSupports, 3, Certainty::kSource,
                                       "arch/x86/events/core.c, pmc_prev_left"};
constexpr EvidenceKind kGrouped = {"the event is in a group, which is throttled as a whole (since 6.16)",
                                   EvidenceRole::kSupports, 3, Certainty::kPublic, "9734e25fbf5a"};
constexpr EvidenceKind kFrequency = {"the event adjusts its own period (frequency mode)",
                                     EvidenceRole::kSupports, 2, Certainty::kExpert, ""};
constexpr EvidenceKind kDamage = {
    "the slot's neighbours are damaged: bits of active_mask that the PMU lacks, n_events out of range, a "
    "pointer to no live event",
    EvidenceRole::kContradicts, 0, Certainty::kExpert, ""};

// What looks the same.
constexpr const char* kEnableFault = "AMD enable fault (866cf36bfee4)";
constexpr const char* kIndexMinusOne = "counter index -1 (CVE-2025-39821)";
constexpr const char* kWrongPmu = "transaction on the wrong PMU (CVE-2026-31528)";
constexpr const char* kFreedEvent = "event freed while active";
constexpr const char* kCorruption = "memory corruption";
constexpr const char* kDrain = "NULL event while PEBS records are drained (fixed by 7e772a93eb61 itself)";
constexpr const char* kGuest = "KVM guest switch of the PMU";
constexpr const char* kStaleNmi = "stale NMI after an event was deleted";
constexpr const char* kOldRaces = "active_mask races of kernels before 3.15";
constexpr const char* kSnapshots = "PEBS counter snapshots applied to a stopped event";

const std::vector<KnownCommit>& commits() {
  static const std::vector<KnownCommit> kCommits = {
      {{"cve", "CVE-2026-23435", "perf/x86: Move event pointer setup earlier in x86_pmu_enable()"},
       "unknown",
       Certainty::kPublic,
       ""},
      {{"culprit", "7e772a93eb61", "perf/x86: Fix NULL event access and potential PEBS record loss"},
       "6.19-rc1; 6.17.13, 6.18.2",
       Certainty::kPublic,
       "stable mails of 2025-12-16; seen in the code of 6.18.12 and 6.19.6"},
      {{"fix", "8d5fae601126", "perf/x86: Move event pointer setup earlier in x86_pmu_enable()"},
       "7.0; 6.18.20, 6.19.10",
       Certainty::kBinary,
       "6.19.10, 7.0.4, 7.0.13, 7.2.12; stable mails of 2026-03-23"},
      {{"fix", "f1cac6ac62d2",
        "x86/perf: Make sure to program the counter value for stopped events on migration"},
       "7.0; 6.18.21, 6.19.11",
       Certainty::kBinary,
       "7.0.4, 7.0.13, 7.2.12; not in 6.19.10; stable mails of 2026-03-31"},
  };
  return kCommits;
}

const std::vector<std::string>& remedy() {
  static const std::vector<std::string> kRemedy = {
      "Update to a kernel with both fixes: 6.18.21 or later, 6.19.11 or later, 7.0 or later (8d5fae601126 "
      "and f1cac6ac62d2; a "
      "distribution may carry them under another version).",
      "Until then keep events from being throttled: sample less often (perf record -F or a larger -c), and "
      "set "
      "kernel.perf_cpu_time_max_percent=0 with a high kernel.perf_event_max_sample_rate.",
      "Do not sample in groups (perf record -e '{...}', ':S'), and set kernel.nmi_watchdog=0: one counter "
      "less in use means "
      "fewer moves of events between counters.",
  };
  return kRemedy;
}
/// PEBS_DATACFG_CNTR (arch/x86/include/asm/perf_event.h, 6.15): records carry values of other counters.
constexpr uint64_t kPebsDataCfgCounters = 1 << 4;

/// Is the defect in this kernel's code, and how do we know?
enum class Code {
  kVulnerable,     ///< seen in the text: G1
  kNotVulnerable,  ///< seen in the text: G0, G2, G3
  kInRange,        ///< text undecided or unread; the release is affected
  kOutOfRange,     ///< text undecided or unread; the release is not affected
  kUnknown,        ///< text undecided or unread; the release says nothing (vendor kernel)
};

struct FiredSlot {
  int index = 0;
  Owner owner;
  std::string damage;  ///< what around it looks overwritten; empty when nothing does
};

struct StoppedEvent {
  int position = 0;
  uint64_t address = 0;
  int64_t index = 0;
};

/// What one CPU shows.
struct CpuReport {
  explicit CpuReport(CounterState state) : counters(std::move(state)) {}
  CounterState counters;
  std::vector<FiredSlot> fired;
  std::vector<StoppedEvent> armed;
  std::vector<StoppedEvent> primed;
  std::vector<Unread> unread;  ///< values that the judgement needs
  Reading<std::string> in_transition = std::string();
};

Code code_of(Diagnosis& d, std::optional<Release>* release) {
  switch (d.null_events_probe().code) {
    case NullEventsCode::kG1:
      return Code::kVulnerable;
    case NullEventsCode::kG0:
    case NullEventsCode::kG2:
    case NullEventsCode::kG3:
      return Code::kNotVulnerable;
    case NullEventsCode::kUndecided:
    case NullEventsCode::kUnreadable:
      break;
  }
  *release = upstream_release(d.kernel().release(), d.system().version);
  if (!*release) return Code::kUnknown;
  return in_any(**release, kAffected) ? Code::kInRange : Code::kOutOfRange;
}

/// What around counter `index` cannot be this defect's doing: it clears nothing else.
std::string damage_around(PmuState& pmu, const CounterState& counters, int index) {
  const Reading<uint64_t> valid = pmu.valid_counters(counters.cpu);
  if (valid.has_value() && (*counters.active_mask & ~*valid))
    return fmt::format("active_mask {:#x} has bits outside this PMU's counters {:#x}", *counters.active_mask,
                       *valid);
  if (counters.n_events.has_value() && (*counters.n_events < 0 || *counters.n_events > kMaxCounters))
    return fmt::format("n_events is {}", *counters.n_events);
  for (const int neighbour : {index - 1, index + 1}) {
    if (neighbour < 0 || neighbour >= kMaxCounters) continue;
    const Reading<uint64_t>& pointer = counters.events[static_cast<size_t>(neighbour)];
    if (!pointer.has_value()) continue;
    if (*pointer != 0) {
      std::string why;
      if (pmu.is_sane_event(*pointer, &why).is(false))
        return fmt::format("events[{}] beside it is no live event: {}", neighbour, why);
    } else if (counters.active(neighbour)) {
      const Owner owner = find_owner(pmu, counters, neighbour);
      if (owner.holds.is(false))
        return fmt::format("events[{}] beside it is NULL as well: {}", neighbour, owner.why_not);
    }
  }
  return "";
}

/// Throttled and moved-while-stopped events: what leads up to the crash on vulnerable kernels, and is legal
/// on all others.
void find_stopped_events(Diagnosis& d, CpuReport* report) {
  PmuState& pmu = d.pmu();
  const CounterState& counters = report->counters;
  const Reading<int64_t> active = pmu.state_active();
  if (!active.has_value()) report->unread.push_back(active.unread());
  if (!counters.n_events.has_value()) report->unread.push_back(counters.n_events.unread());
  for (size_t i = 0; i < counters.event_list.size(); i++) {
    const Reading<uint64_t>& pointer = counters.event_list[i];
    if (!pointer.has_value()) {
      report->unread.push_back(pointer.unread());
      continue;
    }
    const PerfEvent& event = pmu.event(*pointer);
    const Reading<uint64_t> hw_state = event.hw_state();
    const Reading<int64_t> idx = event.hw_idx();
    const Reading<int64_t> state = event.state();
    if (!hw_state.has_value() || !idx.has_value() || !state.has_value()) {
      report->unread.push_back(!hw_state.has_value() ? hw_state.unread()
                               : !idx.has_value()    ? idx.unread()
                                                     : state.unread());
      continue;
    }
    if (!(*hw_state & kHesStopped) || *idx < 0 || *idx >= kMaxCounters || !active.is(*state)) continue;
    const int index = static_cast<int>(*idx);
    const Reading<uint64_t>& slot = counters.events[static_cast<size_t>(index)];
    if (!slot.has_value()) {
      report->unread.push_back(slot.unread());
      continue;
    }
    const StoppedEvent stopped{static_cast<int>(i), *pointer, *idx};
    if (*slot != *pointer) {
      if ((*hw_state & kHesArch) && counters.active_mask.has_value() && !counters.active(index))
        report->armed.push_back(stopped);
    } else {
      const Reading<uint64_t> interrupts = event.hw_interrupts();
      if (!interrupts.has_value())
        report->unread.push_back(interrupts.unread());
      else if (*interrupts == kMaxInterrupts)
        report->primed.push_back(stopped);
    }
  }
  if (!report->armed.empty()) report->in_transition = transition(d, counters.cpu);
}

class NullEvents {
 public:
  explicit NullEvents(Diagnosis& diagnosis) : d_(diagnosis), pmu_(diagnosis.pmu()) {}

  Finding run() {
    const Reading<bool> driver = pmu_.driver_initialised();
    if (driver.is(false)) {
      finding_.verdict = Verdict::kNotApplicable;
      finding_.summary = "no x86 PMU driver is initialised in this kernel (x86_pmu.name is NULL)";
      finding_.evidence.push_back(evidence_of("an x86 PMU driver is initialised",
                                              d_.kernel().variable("x86_pmu").member("name"), "not NULL",
                                              driver, 0, true));
      return finding_;
    }
    const Reading<std::vector<int>>& cpus = pmu_.cpus();
    if (!cpus.has_value()) {
      finding_.verdict = Verdict::kUndetermined;
      finding_.summary = "the present CPUs are not known: " + cpus.unread().message();
      finding_.not_visible.push_back(cpus.unread().message());
      return finding_;
    }
    if (const auto name = pmu_.driver_name(); name.has_value()) finding_.facts["driver"] = *name;
    code_ = code_of(d_, &release_);
    for (const int cpu : *cpus) inspect(cpu);
    judge();
    add_code_evidence();
    for (const CpuReport& report : reports_) add_cpu_evidence(report);
    add_context_evidence();
    add_look_alikes();
    tell();
    finding_.references = references_of(commits());
    return finding_;
  }

 private:
  bool maybe_vulnerable() const { return code_ != Code::kNotVulnerable && code_ != Code::kOutOfRange; }

  void inspect(int cpu) {
    CpuReport report(read_counters(pmu_, cpu));
    report.unread = report.counters.unread;
    for (const int index : report.counters.null_slots) {
      FiredSlot slot{index, find_owner(pmu_, report.counters, index), ""};
      slot.damage = damage_around(pmu_, report.counters, index);
      report.fired.push_back(std::move(slot));
    }
    if (maybe_vulnerable()) find_stopped_events(d_, &report);
    for (const Unread& unread : report.unread) d_.note_unread(unread);
    reports_.push_back(std::move(report));
  }

  static bool is_this_defect(const FiredSlot& slot) {
    return slot.owner.holds.is(true) && slot.damage.empty();
  }
  static bool is_refuted(const FiredSlot& slot) { return slot.owner.holds.is(false) || !slot.damage.empty(); }

  void add_to_stage(Stage stage, int cpu) {
    auto& cpus = stages_[stage];
    if (std::find(cpus.begin(), cpus.end(), cpu) == cpus.end()) cpus.push_back(cpu);
  }

  /// The table of verdicts: rules by code, then by what memory shows.
  void judge() {
    bool any_null = false, any_this = false, any_open = false, any_unread = false, armed_certain = false;
    for (const CpuReport& report : reports_) {
      const int cpu = report.counters.cpu;
      any_null |= !report.fired.empty();
      any_unread |= !report.unread.empty();
      bool fired_here = false;
      for (const FiredSlot& slot : report.fired) {
        if (is_refuted(slot)) continue;
        (is_this_defect(slot) ? any_this : any_open) = true;
        fired_here = true;
      }
      if (fired_here) {
        const auto fault = pmi_fault(d_, cpu);
        const bool crashed = fault && fault->in_pmi && fault->null_event;
        add_to_stage(crashed ? Stage::kCrashed : Stage::kFired, cpu);
        if (!crashed && d_.crash().cpu == cpu && !d_.crash().stack.complete())
          finding_.not_visible.push_back(
              "whether this killed the kernel: the stack of the crash could not be followed to its end");
      }
      if (!report.armed.empty() && report.in_transition.is(std::string())) {
        add_to_stage(Stage::kArmed, cpu);
        armed_certain = true;
      } else if (!report.armed.empty() && !report.in_transition.has_value()) {
        add_to_stage(Stage::kArmed, cpu);
      }
      if (!report.primed.empty()) add_to_stage(Stage::kPrimed, cpu);
    }
    const Stage highest = stages_.empty() ? Stage::kLatent : stages_.rbegin()->first;
    switch (code_) {
      case Code::kNotVulnerable:
        set(any_null     ? Verdict::kContradicted
            : any_unread ? Verdict::kUndetermined
                         : Verdict::kNotApplicable,
            Stage::kNone);
        return;
      case Code::kOutOfRange:
        if (any_null)
          set(Verdict::kPossible, std::max(highest, Stage::kFired));
        else
          set_open(any_unread ? Verdict::kUndetermined : Verdict::kNotApplicable, Stage::kNone);
        return;
      case Code::kUnknown:
        if (any_null)
          set(Verdict::kPossible, std::max(highest, Stage::kFired));
        else
          set_open(Verdict::kUndetermined, Stage::kNone);
        return;
      case Code::kVulnerable:
      case Code::kInRange:
        break;
    }
    const Verdict certain = code_ == Code::kVulnerable ? Verdict::kProven : Verdict::kLikely;
    if (any_this)
      set(certain, highest);
    else if (any_open)
      set(Verdict::kUndetermined, highest);
    else if (any_null)
      set(Verdict::kContradicted, Stage::kNone);
    else if (highest == Stage::kArmed)
      set(armed_certain ? certain : Verdict::kLikely, Stage::kArmed);
    else if (any_unread)
      set_open(Verdict::kUndetermined, highest);
    else
      set(Verdict::kLatent, highest);
  }

  /// The memory that would show it could not be read: where the kernel died as it does of this defect, it is
  /// this stage that is undetermined.
  void set_open(Verdict verdict, Stage stage) {
    const auto cpu = d_.crash().cpu;
    const auto fault = cpu && verdict == Verdict::kUndetermined ? pmi_fault(d_, *cpu) : std::nullopt;
    if (fault && fault->in_pmi && fault->null_event) {
      add_to_stage(Stage::kCrashed, *cpu);
      stage = Stage::kCrashed;
    }
    set(verdict, stage);
  }

  void set(Verdict verdict, Stage stage) {
    finding_.verdict = verdict;
    finding_.stage = stage;
    if (stage > Stage::kLatent) {
      // A slot that was refuted is not in stages_; its CPU is what a `possible` finding is about all the
      // same.
      if (stages_[stage].empty())
        for (const CpuReport& report : reports_)
          if (!report.fired.empty()) add_to_stage(stage, report.counters.cpu);
      finding_.cpus = stages_[stage];
    }
    std::map<std::string, std::vector<int>> by_stage;
    if (stage != Stage::kNone)
      for (const auto& [reached, cpus] : stages_)
        if (reached <= stage && !cpus.empty()) by_stage[std::string(to_string(reached))] = cpus;
    finding_.facts["cpus_by_stage"] = by_stage;
    finding_.cause_of_crash =
        stage == Stage::kCrashed && (verdict == Verdict::kProven || verdict == Verdict::kLikely);
  }

  void add_code_evidence() {
    const NullEventsProbe& probe = d_.null_events_probe();
    finding_.facts["generation"] = std::string(to_string(probe.code));
    Evidence evidence = plain_evidence("this kernel's code has the defect (probe P-NULLEV of its text)",
                                       fmt::format("{}: {}", to_string(probe.code), probe.reason), "G1",
                                       code_ == Code::kVulnerable      ? EvidenceResult::kSupports
                                       : code_ == Code::kNotVulnerable ? EvidenceResult::kContradicts
                                                                       : EvidenceResult::kUndetermined,
                                       kVulnerableCode.weight);
    if (probe.address) evidence.address = probe.address;
    if (!probe.location.empty())
      evidence.observed += fmt::format(" (`{}` at {})", probe.instruction, probe.location);
    finding_.evidence.push_back(std::move(evidence));
    if (code_ == Code::kVulnerable || code_ == Code::kNotVulnerable) return;
    const bool known = release_.has_value();
    finding_.evidence.push_back(
        plain_evidence(fmt::format("the release is in an affected range ({})", words_for(kAffected)),
                       known ? release_->to_string()
                             : fmt::format("{}: vendor kernel, ranges of upstream releases do not apply",
                                           d_.kernel().release()),
                       "in range",
                       !known                    ? EvidenceResult::kUndetermined
                       : code_ == Code::kInRange ? EvidenceResult::kSupports
                                                 : EvidenceResult::kContradicts,
                       0));
    finding_.not_visible.push_back("the fix status is from the version only; distributions backport: " +
                                   probe.reason);
  }

  void add_cpu_evidence(const CpuReport& report) {
    const CpuPmu& state = pmu_.cpu(report.counters.cpu);
    for (const FiredSlot& slot : report.fired) {
      const int i = slot.index;
      finding_.evidence.push_back(evidence_of(fmt::format("counter {} of CPU {} is active", i, state.cpu()),
                                              state.object().member("active_mask").index(0),
                                              fmt::format("bit {} set", i), Reading<bool>(true),
                                              kActiveBit.weight, true));
      finding_.evidence.push_back(evidence_of("its event pointer is NULL", state.events(i), "0x0",
                                              Reading<bool>(true), kNullPointer.weight, true));
      if (slot.owner.position < 0) {
        finding_.evidence.push_back(plain_evidence(
            fmt::format("exactly one event on event_list[] of CPU {} owns counter {}", state.cpu(), i),
            slot.owner.holds.has_value() ? slot.owner.why_not : slot.owner.holds.unread().message(), "one",
            slot.owner.holds.has_value() ? EvidenceResult::kContradicts : EvidenceResult::kUndetermined,
            kOneOwner.weight));
        continue;
      }
      const PerfEvent& owner = pmu_.event(slot.owner.event);
      finding_.evidence.push_back(evidence_of("the event that owns it is on event_list[]",
                                              state.event_list(slot.owner.position), "a live event",
                                              slot.owner.holds, kOneOwner.weight, true));
      const auto is = [](const Reading<int64_t>& value, int64_t wanted) {
        return value.map([&](int64_t v) { return v == wanted; });
      };
      finding_.evidence.push_back(evidence_of("it owns this counter", owner.object().member("hw.idx"),
                                              fmt::format("{}", i), is(owner.hw_idx(), i), 0));
      finding_.evidence.push_back(evidence_of("it was started and not stopped since",
                                              owner.object().member("hw.state"), "0 (running)",
                                              owner.hw_state().map([](uint64_t v) { return v == 0; }), 0));
      if (slot.owner.candidates > 1 || !slot.owner.why_not.empty())
        finding_.evidence.push_back(plain_evidence("exactly one running event owns the counter",
                                                   slot.owner.why_not, "one", EvidenceResult::kContradicts,
                                                   0));
      if (!slot.damage.empty())
        finding_.evidence.push_back(plain_evidence("nothing around the slot is damaged", slot.damage,
                                                   "sane neighbours", EvidenceResult::kContradicts, 0));
      if (is_this_defect(slot)) add_supporting_evidence(owner, state, slot);
    }
    for (const StoppedEvent& stopped : report.armed) {
      const PerfEvent& event = pmu_.event(stopped.address);
      const auto in_transition = report.in_transition;
      const Reading<bool> at_rest = in_transition.map([](const std::string& f) { return f.empty(); });
      finding_.evidence.push_back(evidence_of(
          fmt::format("an event of CPU {} was moved to counter {} while it was stopped", state.cpu(),
                      stopped.index),
          event.object().member("hw.state"), "STOPPED|ARCH set (5 or 7)", at_rest, kArmedEvent.weight));
      finding_.evidence.push_back(evidence_of(
          "the counter's pointer is not that event", state.events(static_cast<int>(stopped.index)),
          fmt::format("not {:#x}", stopped.address), at_rest, kArmedPointer.weight, true));
      if (!at_rest.is(true)) {
        finding_.evidence.push_back(plain_evidence(
            fmt::format("CPU {} is not in the middle of changing its PMU state", state.cpu()),
            in_transition.has_value() ? "its stack is in " + *in_transition
                                      : in_transition.unread().message(),
            "no such function on its stack",
            in_transition.has_value() ? EvidenceResult::kContradicts : EvidenceResult::kUndetermined, 0));
      }
    }
    for (const StoppedEvent& stopped : report.primed) {
      finding_.evidence.push_back(evidence_of(
          fmt::format("a throttled event sits on counter {} of CPU {}", stopped.index, state.cpu()),
          pmu_.event(stopped.address).object().member("hw.interrupts"), "0xffffffffffffffff (throttled)",
          Reading<bool>(true), kPrimedEvent.weight, true));
    }
    for (const Unread& unread : report.unread) finding_.not_visible.push_back(unread.message());
    for (const FiredSlot& slot : report.fired)
      if (!slot.owner.holds.has_value()) finding_.not_visible.push_back(slot.owner.holds.unread().message());
  }

  void add_supporting_evidence(const PerfEvent& owner, const CpuPmu& state, const FiredSlot& slot) {
    Kernel& kernel = d_.kernel();
    const Object throttled = kernel.per_cpu("perf_throttled_count", state.cpu());
    if (throttled.s64().has_value() && *throttled.s64() > 0)
      finding_.evidence.push_back(evidence_of(std::string(kThrottled.claim), throttled, "> 0",
                                              Reading<bool>(true), kThrottled.weight));
    if (state.n_events().has_value() && *state.n_events() > 1)
      finding_.evidence.push_back(evidence_of(std::string(kCompany.claim), state.object().member("n_events"),
                                              "> 1", Reading<bool>(true), kCompany.weight));
    const Object left = kernel.per_cpu("pmc_prev_left", state.cpu()).index(slot.index);
    const Object period_left = owner.object().member("hw.period_left");
    const Reading<int64_t> programmed = left.s64();
    const Reading<int64_t> wanted = period_left.member("counter").s64();
    if (programmed.has_value() && wanted.has_value() && *programmed != *wanted && *programmed != -*wanted)
      finding_.evidence.push_back(evidence_of(std::string(kStalePeriod.claim), left,
                                              fmt::format("not {}", *wanted), Reading<bool>(true),
                                              kStalePeriod.weight));
    if (owner.attr_freq().is(true))
      finding_.evidence.push_back(evidence_of(std::string(kFrequency.claim),
                                              owner.object().member("attr.freq"), "1", Reading<bool>(true),
                                              kFrequency.weight));
    if (owner.group_leader().has_value() && *owner.group_leader() != owner.address())
      finding_.evidence.push_back(evidence_of(std::string(kGrouped.claim),
                                              owner.object().member("group_leader"), "another event",
                                              Reading<bool>(true), kGrouped.weight, true));
  }

  void add_context_evidence() {
    if (finding_.stage < Stage::kFired) return;
    if (finding_.cpus.size() >= 2)
      finding_.evidence.push_back(plain_evidence(std::string(kSeveralCpus.claim), cpu_list(finding_.cpus),
                                                 "2 or more", EvidenceResult::kSupports,
                                                 kSeveralCpus.weight));
    std::string first;
    if (count_log_lines(d_.log(), "perf: interrupt took too long", &first))
      finding_.evidence.push_back(plain_evidence(std::string(kLongInterrupts.claim), first,
                                                 "perf: interrupt took too long", EvidenceResult::kSupports,
                                                 kLongInterrupts.weight));
    for (const int cpu : finding_.cpus) {
      const auto fault = pmi_fault(d_, cpu);
      if (!fault) continue;
      const CrashState& crash = d_.crash();
      if (fault->in_pmi) {
        finding_.facts["handler"] = fault->handler;
        finding_.evidence.push_back(plain_evidence(
            fmt::format("CPU {} faulted in the PMI handler", cpu),
            fmt::format("{}+{:#x} called from {}", fault->function, crash.offset, fault->handler),
            "in the PMI handler", EvidenceResult::kSupports, kPmiFault.weight));
      }
      if (crash.fault_address) {
        finding_.evidence.push_back(plain_evidence(
            std::string(kNullMember.claim),
            fmt::format("{:#x}{}", *crash.fault_address, fault->member.empty() ? "" : ": " + fault->member),
            "a member that the handler reads first",
            fault->null_event ? EvidenceResult::kSupports : EvidenceResult::kContradicts,
            kNullMember.weight));
      }
    }
  }

  void look_alike(std::string title, bool ruled_out, std::string why) {
    finding_.look_alikes.push_back({std::move(title), ruled_out, std::move(why)});
  }

  /// intel_perf_event_update_pmc() takes what a PEBS record says of each counter whose events[idx] is set;
  /// since 7e772a93eb61 a stopped event is among those. It miscounts and does not crash.
  void add_snapshot_look_alike() {
    const Reading<uint64_t> max_period = d_.kernel().variable("x86_pmu").member("max_period").u64();
    bool snapshots = false;
    std::string absurd;
    for (const CpuReport& report : reports_) {
      const Reading<uint64_t> config = pmu_.cpu(report.counters.cpu).object().member("pebs_data_cfg").u64();
      if (!config.has_value() || !(*config & kPebsDataCfgCounters)) continue;
      snapshots = true;
      for (const auto& pointer : report.counters.event_list) {
        if (!pointer.has_value() || !max_period.has_value()) continue;
        const PerfEvent& event = pmu_.event(*pointer);
        const Reading<uint64_t> hw_state = event.hw_state();
        const Reading<int64_t> left = event.object().member("hw.period_left.counter").s64();
        if (!hw_state.has_value() || !(*hw_state & kHesStopped) || !left.has_value()) continue;
        const uint64_t size = *left < 0 ? -static_cast<uint64_t>(*left) : static_cast<uint64_t>(*left);
        if (size > *max_period)
          absurd = fmt::format("the stopped event {:#x} on CPU {} has hw.period_left {}", *pointer,
                               report.counters.cpu, *left);
      }
    }
    look_alike(kSnapshots, absurd.empty(),
               !absurd.empty() ? absurd
               : snapshots ? "no stopped event has a period beyond x86_pmu.max_period; that defect miscounts "
                             "and does not crash"
                           : "no CPU has PEBS records with counter snapshots");
  }

  void add_look_alikes() {
    if (finding_.stage < Stage::kArmed && finding_.verdict != Verdict::kContradicted) return;
    const CrashState& crash = d_.crash();
    const KernelLog& log = d_.log();
    const bool enable_fault = crash.function.find("pmu_enable_event") != std::string::npos;
    look_alike(kEnableFault, !enable_fault,
               enable_fault
                   ? "the fault is in " + crash.function
                   : "the fault is not in amd_pmu_enable_event(); that defect faults outside of the PMI");
    bool negative = false;
    for (const CpuReport& report : reports_)
      for (const auto& pointer : report.counters.event_list)
        if (pointer.has_value() && pmu_.event(*pointer).hw_idx().is(-1)) negative = true;
    const bool shift = count_log_lines(log, "UBSAN: shift-out-of-bounds", nullptr) > 0;
    look_alike(kIndexMinusOne, !negative && !shift,
               negative ? "an event on event_list[] has hw.idx -1"
               : shift  ? "the log has a UBSAN shift report"
                       : "no event on any event_list[] has hw.idx -1, and the log has no UBSAN shift report");
    add_snapshot_look_alike();
    bool all_owned = true;
    for (const CpuReport& report : reports_)
      for (const FiredSlot& slot : report.fired) all_owned &= slot.owner.position >= 0;
    look_alike(kWrongPmu, all_owned,
               all_owned
                   ? "each NULL slot has its owner on event_list[]; that defect loses the event from the list"
                   : "a NULL slot has no owner on event_list[]");
    if (finding_.stage >= Stage::kFired || finding_.verdict == Verdict::kContradicted) {
      look_alike(kFreedEvent, true, "the pointer is NULL, not one to freed or poisoned memory");
      const bool made_by_code = code_ == Code::kVulnerable;
      look_alike(kCorruption, made_by_code && finding_.verdict != Verdict::kContradicted,
                 made_by_code ? "this kernel's code produces the state itself"
                 : code_ == Code::kNotVulnerable
                     ? "this kernel's code cannot produce the state: something else wrote it (see "
                       "perf-x86-state-corruption)"
                     : "whether this kernel's code can produce the state is not known");
      const bool drain = crash.stack.contains("intel_pmu_drain_pebs_icl") ||
                         crash.stack.contains("intel_pmu_drain_pebs_nhm");
      look_alike(kDrain, !drain, drain ? "the stack drains PEBS records" : "no PEBS drain on the stack");
      const bool unknown_nmi = crash.crash_class == "unknown-nmi";
      look_alike(kStaleNmi, !unknown_nmi,
                 unknown_nmi
                     ? "the panic is about an NMI that no handler wanted: that takes no NULL pointer"
                     : "that leaves no active bit and no fault, only \"NMI received for unknown reason\" "
                       "in the log");
      const auto upstream = upstream_release(d_.kernel().release(), d_.system().version);
      look_alike(kOldRaces, upstream && *upstream >= Release{3, 15, 0},
                 upstream ? "this kernel is built from " + upstream->to_string()
                          : "the upstream release of this kernel is not known");
      bool guest = false;
      for (const Frame& frame : crash.stack.frames)
        guest |= frame.function.starts_with("kvm_") || frame.function.starts_with("vmx_") ||
                 frame.function.starts_with("svm_") || frame.function.starts_with("intel_guest_get_msrs");
      look_alike(
          kGuest, !guest,
          guest ? "the stack is in KVM" : "no KVM function on the crashing stack, and the active bit is set");
    }
  }

  /// The story, the remedy and the one-line summary.
  void tell() {
    const NullEventsProbe& probe = d_.null_events_probe();
    finding_.remedy = remedy();
    switch (finding_.verdict) {
      case Verdict::kNotApplicable:
        finding_.summary = fmt::format(
            "no active counter lacks its event, and {}",
            code_ == Code::kOutOfRange
                ? "the release is not affected (from the version only)"
                : fmt::format("this kernel's code does not have the defect ({})", to_string(probe.code)));
        finding_.remedy.clear();
        return;
      case Verdict::kContradicted:
        finding_.summary =
            code_ == Code::kNotVulnerable
                ? fmt::format(
                      "an active counter has a NULL event, but this kernel ({}) cannot produce that by "
                      "CVE-2026-23435: look for memory corruption",
                      to_string(probe.code))
                : "an active counter has a NULL event, but what surrounds it speaks against CVE-2026-23435";
        finding_.remedy.clear();
        return;
      case Verdict::kLatent:
        finding_.summary =
            finding_.stage == Stage::kPrimed
                ? fmt::format(
                      "this kernel has CVE-2026-23435, and a throttled event on {} is one move away from it",
                      cpu_list(finding_.cpus))
                : "this kernel has CVE-2026-23435, but nothing bad has happened yet";
        return;
      case Verdict::kUndetermined:
        finding_.summary = "whether CVE-2026-23435 struck cannot be told: needed memory is not in the dump";
        return;
      default:
        break;
    }
    for (const CpuReport& report : reports_) {
      for (const FiredSlot& slot : report.fired)
        if (!is_refuted(slot) || finding_.verdict == Verdict::kPossible) tell_fired(report, slot);
      if (finding_.stage == Stage::kArmed)
        for (const StoppedEvent& stopped : report.armed) tell_armed(report, stopped);
    }
    finding_.summary = fmt::format(
        "{}: {} ({})", cpu_list(finding_.cpus),
        finding_.stage == Stage::kArmed ? "an event was moved to another counter while throttled and left "
                                          "without its events[] pointer; unthrottling it is fatal"
                                        : "a counter is active while its events[] pointer is NULL",
        finding_.stage == Stage::kCrashed ? "the PMI handler followed it" : to_string(finding_.stage));
    if (finding_.stage == Stage::kFired)
      finding_.remedy.insert(
          finding_.remedy.begin(),
          "This CPU panics at its next PMU interrupt, if this kernel's handler does not check for NULL.");
  }

  std::string code_place() const {
    const NullEventsProbe& probe = d_.null_events_probe();
    return probe.location.empty() ? "x86_pmu_enable()" : probe.location;
  }

  void tell_throttled(const PerfEvent& event, int cpu) {
    const Reading<std::string> owner = event.owner();
    const Reading<int64_t> limit = d_.kernel().variable("max_samples_per_tick").s64();
    finding_.explanation.push_back(
        fmt::format("Event {:#x} ({}{}) took more interrupts per tick than allowed{} on CPU {} and was "
                    "throttled: its hw.state became STOPPED.",
                    event.address(), event.describe(), owner.has_value() ? ", opened by " + *owner : "",
                    limit.has_value() ? fmt::format(" (max_samples_per_tick is {})", *limit) : "", cpu));
  }

  void tell_moved(int cpu, int64_t index) {
    finding_.explanation.push_back(
        fmt::format("Before it was started again, another event was scheduled on CPU {} and x86_pmu_enable() "
                    "moved it to counter {}: it set "
                    "hw.idx = {} and, because the event was stopped (PERF_HES_ARCH), skipped the store of "
                    "events[{}] ({}).",
                    cpu, index, index, index, code_place()));
  }

  void tell_fired(const CpuReport& report, const FiredSlot& slot) {
    const int cpu = report.counters.cpu;
    if (slot.owner.position >= 0) tell_throttled(pmu_.event(slot.owner.event), cpu);
    tell_moved(cpu, slot.index);
    finding_.explanation.push_back(
        fmt::format("Then it was unthrottled: x86_pmu_start() cleared hw.state, set bit {} of active_mask "
                    "(now {:#x}) and programmed the "
                    "counter. Since 7e772a93eb61 it no longer stores events[{}], which stayed NULL.",
                    slot.index, *report.counters.active_mask, slot.index));
    const auto fault = pmi_fault(d_, cpu);
    if (fault && fault->in_pmi && fault->null_event) {
      finding_.explanation.push_back(
          fmt::format("The next PMU interrupt (an NMI) on CPU {} walked active_mask in {}(), took events[{}] "
                      "= NULL, and {}() read {} at "
                      "NULL + {:#x}: the kernel died.",
                      cpu, fault->handler, slot.index, fault->function, fault->member,
                      d_.crash().fault_address.value_or(0)));
    } else {
      finding_.explanation.push_back(
          fmt::format("The next PMU interrupt (an NMI) on CPU {} will take events[{}] = NULL. "
                      "Nothing that could be read shows that it has happened.",
                      cpu, slot.index));
    }
  }

  void tell_armed(const CpuReport& report, const StoppedEvent& stopped) {
    const int cpu = report.counters.cpu;
    tell_throttled(pmu_.event(stopped.address), cpu);
    tell_moved(cpu, stopped.index);
    finding_.explanation.push_back(fmt::format(
        "The event is still stopped, so bit {} of active_mask ({:#x}) is clear and nothing has gone wrong "
        "yet. The tick "
        "that unthrottles it sets the bit, and the PMU interrupt after that follows the NULL pointer.",
        stopped.index, *report.counters.active_mask));
  }

  Diagnosis& d_;
  PmuState& pmu_;
  Finding finding_;
  Code code_ = Code::kUnknown;
  std::optional<Release> release_;
  std::vector<CpuReport> reports_;
  std::map<Stage, std::vector<int>> stages_;
};

RuleKnowledge knowledge() {
  RuleKnowledge known;
  known.summary =
      "an event that is moved to another counter while it is throttled loses its events[] "
      "pointer, and the next counter interrupt follows NULL";
  known.symptoms = {
      {"NULL pointer dereference in an NMI, in the PMI handler or the first function that it calls: "
       "x86_perf_event_update() from amd_pmu_v2_handle_irq(), x86_pmu_handle_irq() itself, "
       "handle_pmi_common() on Intel without 9415f749d34b.",
       Certainty::kReproduced, "6.18.12, 6.19.6"},
      {"The fault address is a member of struct perf_event: hw.event_base, hw.last_period, group_leader, "
       "hw.flags, hw.config or hw.prev_count; which one depends on the handler and the release.",
       Certainty::kBinary, "type information of 6.1.192 to 7.2.12"},
      {"The handler is under perf_event_nmi_handler(), nmi_handle() and exc_nmi(). An NMI from user mode "
       "runs "
       "on the task's stack: the log then prints <TASK> instead of <NMI>.",
       Certainty::kReproduced, "6.18.12"},
      {"On Intel with 9415f749d34b nothing crashes: the event silently stops to count.", Certainty::kSource,
       "arch/x86/events/intel/core.c, handle_pmi_common(), 7.2"},
  };
  known.mechanism = {
      {"An event takes more interrupts per tick than allowed and is throttled: x86_pmu_stop() clears its "
       "active bit, and hw.state becomes STOPPED. Since 9734e25fbf5a (6.16) its whole group is throttled; a "
       "group is not needed.",
       Certainty::kReproduced, "6.18.12"},
      {"Before it is started again another event is scheduled, and x86_pmu_enable() moves it to another "
       "counter: it sets hw.idx and, as the event is stopped (PERF_HES_ARCH), skips the store of events[].",
       Certainty::kSource, "arch/x86/events/core.c, x86_pmu_enable()"},
      {"The tick unthrottles it: x86_pmu_start() sets the active bit and programs the counter. Since "
       "7e772a93eb61 it no longer stores the pointer.",
       Certainty::kBinary, "6.18.12, 6.19.6"},
      {"The next PMI walks active_mask and takes the NULL pointer.", Certainty::kReproduced,
       "6.18.12, 6.19.6"},
  };
  known.evidence = {kVulnerableCode, kActiveBit,   kNullPointer, kOneOwner,  kArmedEvent, kArmedPointer,
                    kPmiFault,       kNullMember,  kSeveralCpus, kThrottled, kCompany,    kPrimedEvent,
                    kLongInterrupts, kStalePeriod, kGrouped,     kFrequency, kDamage};
  known.look_alikes = {
      {kEnableFault, "the fault is in amd_pmu_enable_event() or its callers, not in the PMI handler"},
      {kIndexMinusOne, "an event on event_list[] has hw.idx -1, or the log has a UBSAN shift report"},
      {kWrongPmu, "no event on event_list[] owns the counter: that defect loses the event from the list"},
      {kFreedEvent, "the pointer is not NULL but one to freed or poisoned memory"},
      {kCorruption,
       "this kernel's code cannot produce the state (G0, G2, G3), or the slot's neighbours are "
       "damaged: see perf-x86-state-corruption"},
      {kDrain, "intel_pmu_drain_pebs_icl() or intel_pmu_drain_pebs_nhm() is on the stack"},
      {kGuest, "KVM functions are on the crashing stack"},
      {kStaleNmi,
       "no active bit is left; the log says \"NMI received for unknown reason\" and nothing faults"},
      {kSnapshots,
       "a stopped event has a period beyond x86_pmu.max_period while PEBS records carry counters; nothing "
       "faults"},
      {kOldRaces, "the kernel is older than 3.15"},
  };
  known.kernels = {
      {"Affected upstream releases: " + words_for(kAffected) + ".", Certainty::kPublic,
       "stable mails; checked in the code of 6.18.12 and 6.19.6"},
      {"Not affected: 6.1 and 6.12 (x86_pmu_start() stores the pointer), 7.0 and later.", Certainty::kBinary,
       "6.1.192, 6.12.117, 7.0.4, 7.0.13, 7.2.12"},
      {"A distribution may have taken the culprit or the fixes under any number: the code in the dump "
       "decides, and the release only where the code cannot be read.",
       Certainty::kSource, ""},
  };
  known.commits = commits();
  known.remedy = remedy();
  known.limits = {
      "Proven only when the code, the active bit, the NULL pointer and its owner were all read; at most "
      "likely when the code's answer has to come from the release.",
      "When the event was throttled and who moved it is not in a vmcore.",
  };
  return known;
}

/// Where the PMI handlers follow events[] first, by vendor and by what the compiler inlined.
std::optional<Finding> of_text(const ConsoleReport& report) {
  static const TextSymptom kSymptom = {
      {{.classes = {"null-deref", "gpf"},
        .functions = {"x86_perf_event_update", "x86_pmu_handle_irq", "amd_pmu_handle_irq",
                      "amd_pmu_v2_handle_irq", "intel_pmu_handle_irq", "handle_pmi_common",
                      "intel_pmu_save_and_restart", "x86_perf_event_set_period"},
        .stack_all = {},
        .stack_any = {"perf_event_nmi_handler", "amd_pmu_handle_irq", "amd_pmu_v2_handle_irq",
                      "intel_pmu_handle_irq", "x86_pmu_handle_irq"},
        .log_any = {}}},
      kAffected,
      "the kernel died in the PMI handler, on an event pointer, as it does of CVE-2026-23435; a vmcore would "
      "tell"};
  auto finding = text_finding(report, kSymptom);
  if (finding) finding->references = references_of(commits());
  return finding;
}

}  // namespace

RuleInfo x86_null_events_rule() {
  return {"perf-x86-null-events",
          "active counter with a NULL events[] pointer (CVE-2026-23435)",
          {{"struct cpu_hw_events", "struct perf_event"}, {"cpu_hw_events"}},
          [](Diagnosis& diagnosis) { return NullEvents(diagnosis).run(); },
          knowledge,
          {.facts = {"generation"}, .facets = {"driver", "handler"}},
          of_text};
}

}  // namespace perfcore
