// SPDX-License-Identifier: LGPL-2.1-or-later
//
// perf-x86-state-corruption: PMU state that the kernel's own code cannot produce. Who wrote it is not in the
// dump: never proven.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "analyzers/knowledge.h"
#include "analyzers/pmu_evidence.h"
#include "analyzers/registry.h"

namespace perfcore {
namespace {

constexpr EvidenceKind kBrokenInvariant = {
    "a CPU's struct cpu_hw_events breaks an invariant: an active counter without event that this code cannot "
    "leave (C-01), a pointer to no live event or to another counter's (C-02), a counter that the PMU lacks "
    "(C-05), impossible counts (C-06), a bad event_list[] (C-07)",
    EvidenceRole::kRequired, 30, Certainty::kReproduced, "6.1.192, 6.12.117"};
constexpr EvidenceKind kCode = {"what this kernel's code can produce (probe P-NULLEV)",
                                EvidenceRole::kSupports, 10, Certainty::kBinary, "6.1.192 to 7.2.12"};
constexpr EvidenceKind kHardwareLog = {"the log has a sign of bad or overwritten memory before the crash",
                                       EvidenceRole::kSupports, 15, Certainty::kExpert, ""};
constexpr EvidenceKind kForeignModules = {
    "out-of-tree modules are loaded, any of which may have written here", EvidenceRole::kSupports, 5,
    Certainty::kExpert, ""};

const std::vector<std::string>& remedy() {
  static const std::vector<std::string> kRemedy = {
      "Do not look for a perf fix: look for the writer. Boot with slub_debug=FZPU (or a KASAN kernel) and "
      "wait for the next one.",
      "Check the memory (EDAC and MCE logs, memtest86+), and compare the next dump: one machine only, or "
      "the same address, "
      "points to hardware; many machines point to software.",
      "Take out-of-tree modules away, if there are any.",
  };
  return kRemedy;
}

const std::vector<KnownCommit>& commits() {
  static const std::vector<KnownCommit> kCommits = {
      {{"source", "arch/x86/events/perf_event.h", "struct cpu_hw_events, whose invariants these are"},
       "all",
       Certainty::kSource,
       ""},
  };
  return kCommits;
}

/// A violated invariant of one CPU's struct cpu_hw_events.
struct Violation {
  std::string id;  ///< "C-01" ... as in `perfcore check`
  int cpu = -1;
  Object object;  ///< the value that shows it
  std::string claim;
  std::string expected;
  int slot = -1;         ///< index into events[], -1 when it is not about one
  uint64_t pointer = 0;  ///< the slot's value
  bool strong = true;    ///< false: only `possible` by itself
};

class StateCorruption {
 public:
  explicit StateCorruption(Diagnosis& diagnosis) : d_(diagnosis), pmu_(diagnosis.pmu()) {}

  Finding run() {
    const auto& cpus = pmu_.cpus();
    if (!cpus.has_value()) {
      finding_.summary = cpus.unread().message();
      finding_.not_visible.push_back(cpus.unread().message());
      return finding_;
    }
    if (pmu_.driver_initialised().is(false)) {
      finding_.verdict = Verdict::kNotApplicable;
      finding_.summary = "no x86 PMU driver is initialised in this kernel (x86_pmu.name is NULL)";
      return finding_;
    }
    for (const int cpu : *cpus) inspect(cpu);
    judge();
    return finding_;
  }

 private:
  void not_read(const Unread& unread) {
    unread_ = true;
    finding_.not_visible.push_back(unread.message());
  }

  void inspect(int cpu) {
    const CounterState counters = read_counters(pmu_, cpu);
    const CpuPmu& state = pmu_.cpu(cpu);
    for (const Unread& unread : counters.unread) not_read(unread);
    if (!counters.n_events.has_value()) not_read(counters.n_events.unread());
    check_null_slots(counters, state);
    std::vector<Violation> transient;
    check_pointers(counters, state, &transient);
    check_valid_counters(counters, state);
    check_counts(counters, state, &transient);
    check_event_list(counters, state, &transient);
    if (transient.empty()) return;
    // These may be seen half-changed; a CPU that was inside such a function proves nothing.
    const Reading<std::string> function = transition(d_, cpu);
    if (function.is(std::string())) {
      violations_.insert(violations_.end(), transient.begin(), transient.end());
      return;
    }
    for (const Violation& violation : transient) {
      finding_.evidence.push_back(evidence_of(violation.claim, violation.object, violation.expected,
                                              Reading<bool>(Unread{UnreadReason::kUnsupported, 0, "", ""}), 0,
                                              true));
    }
    finding_.not_visible.push_back(
        function.has_value()
            ? fmt::format("CPU {} was inside {}(), where its PMU state may be half-changed", cpu, *function)
            : fmt::format("whether CPU {} was changing its PMU state: {}", cpu, function.unread().message()));
  }

  /// C-01: an active bit over a NULL pointer is legal in no context and in no kernel that lacks the defect of
  /// CVE-2026-23435.
  void check_null_slots(const CounterState& counters, const CpuPmu& state) {
    for (const int index : counters.null_slots) {
      const NullEventsCode code = d_.null_events_probe().code;
      bool explained = false;
      std::string claim =
          fmt::format("counter {} of CPU {} is active and its pointer is NULL, which {} code cannot do",
                      index, counters.cpu, to_string(code));
      if (code == NullEventsCode::kG1) {
        const Owner owner = find_owner(pmu_, counters, index);
        explained = !owner.holds.is(false);
        claim = fmt::format("counter {} of CPU {} is active, its pointer is NULL, and {}", index,
                            counters.cpu, owner.why_not);
      }
      if (explained) continue;
      const bool probed = code != NullEventsCode::kUndecided && code != NullEventsCode::kUnreadable;
      if (!probed)
        claim = fmt::format(
            "counter {} of CPU {} is active and its pointer is NULL; whether this kernel's code can do that "
            "is "
            "not known ({})",
            index, counters.cpu, d_.null_events_probe().reason);
      violations_.push_back(
          {"C-01", counters.cpu, state.events(index), std::move(claim), "a live event", index, 0, probed});
    }
  }

  /// C-02: a pointer in events[i] is a live event whose hw.idx is i.
  void check_pointers(const CounterState& counters, const CpuPmu& state, std::vector<Violation>* transient) {
    for (int i = 0; i < kMaxCounters; i++) {
      const Reading<uint64_t>& pointer = counters.events[static_cast<size_t>(i)];
      if (!pointer.has_value() || *pointer == 0) continue;
      std::string why;
      const Reading<bool> sane = pmu_.is_sane_event(*pointer, &why);
      if (sane.is(false)) {
        violations_.push_back(
            {"C-02", counters.cpu, state.events(i),
             fmt::format("events[{}] of CPU {} points to no live event: {}", i, counters.cpu, why),
             "a live struct perf_event", i, *pointer, true});
        continue;
      }
      if (!sane.has_value() && pmu_.classify(*pointer) == PointerClass::kOther &&
          sane.unread().reason == UnreadReason::kNotMapped) {
        violations_.push_back(
            {"C-02", counters.cpu, state.events(i),
             fmt::format("events[{}] of CPU {} points to memory that the kernel has not mapped", i,
                         counters.cpu),
             "a live struct perf_event", i, *pointer, true});
        continue;
      }
      const Reading<int64_t> idx = pmu_.event(*pointer).hw_idx();
      if (!idx.has_value()) {
        not_read(idx.unread());
      } else if (*idx != i) {
        transient->push_back({"C-02", counters.cpu, pmu_.event(*pointer).object().member("hw.idx"),
                              fmt::format("the event in events[{}] of CPU {} says that it is on counter {}",
                                          i, counters.cpu, *idx),
                              fmt::format("{}", i), i, *pointer, true});
      }
    }
  }

  /// C-05: only counters that this PMU has.
  void check_valid_counters(const CounterState& counters, const CpuPmu& state) {
    const Reading<uint64_t> valid = pmu_.valid_counters(counters.cpu);
    if (!valid.has_value()) {
      not_read(valid.unread());
      return;
    }
    if (counters.active_mask.has_value() && (*counters.active_mask & ~*valid))
      violations_.push_back(
          {"C-05", counters.cpu, state.object().member("active_mask").index(0),
           fmt::format("active_mask of CPU {} names counters that this PMU lacks", counters.cpu),
           fmt::format("only bits of {:#x}", *valid), -1, 0, true});
    for (int i = 0; i < kMaxCounters; i++) {
      const Reading<uint64_t>& pointer = counters.events[static_cast<size_t>(i)];
      if (pointer.has_value() && *pointer != 0 && !(*valid >> i & 1))
        violations_.push_back(
            {"C-05", counters.cpu, state.events(i),
             fmt::format("CPU {} has a pointer for counter {}, which this PMU lacks", counters.cpu, i), "0x0",
             i, *pointer, true});
    }
  }

  /// C-06: 0 <= n_added <= n_events <= number of counters.
  void check_counts(const CounterState& counters, const CpuPmu& state, std::vector<Violation>* transient) {
    if (!counters.n_events.has_value()) return;
    const Reading<int64_t> added = state.n_added();
    const Reading<uint64_t> valid = pmu_.valid_counters(counters.cpu);
    const int64_t limit = valid.has_value() ? std::popcount(*valid) : kMaxCounters;
    if (*counters.n_events < 0 || *counters.n_events > limit)
      transient->push_back({"C-06", counters.cpu, state.object().member("n_events"),
                            fmt::format("n_events of CPU {} is impossible", counters.cpu),
                            fmt::format("0..{}", limit), -1, 0, false});
    if (added.has_value() && (*added < 0 || *added > *counters.n_events))
      transient->push_back({"C-06", counters.cpu, state.object().member("n_added"),
                            fmt::format("n_added of CPU {} is impossible", counters.cpu),
                            fmt::format("0..{} (n_events)", *counters.n_events), -1, 0, false});
  }

  /// C-07: event_list[0..n_events) are distinct live events.
  void check_event_list(const CounterState& counters, const CpuPmu& state,
                        std::vector<Violation>* transient) {
    std::vector<uint64_t> seen;
    for (size_t i = 0; i < counters.event_list.size(); i++) {
      const Reading<uint64_t>& pointer = counters.event_list[i];
      if (!pointer.has_value()) {
        not_read(pointer.unread());
        continue;
      }
      const Object entry = state.event_list(static_cast<int>(i));
      std::string why;
      if (std::find(seen.begin(), seen.end(), *pointer) != seen.end()) {
        transient->push_back({"C-07", counters.cpu, entry,
                              fmt::format("event_list[{}] of CPU {} repeats an event", i, counters.cpu),
                              "distinct events", -1, *pointer, true});
      } else if (*pointer == 0 || pmu_.is_sane_event(*pointer, &why).is(false)) {
        transient->push_back({"C-07", counters.cpu, entry,
                              fmt::format("event_list[{}] of CPU {} points to no live event{}{}", i,
                                          counters.cpu, why.empty() ? "" : ": ", why),
                              "a live struct perf_event", -1, *pointer, true});
      }
      seen.push_back(*pointer);
    }
  }

  /// Did the crash come from following this slot's value?
  bool is_fault_of(const Violation& violation) {
    if (violation.slot < 0) return false;
    const auto fault = pmi_fault(d_, violation.cpu);
    if (!fault || !fault->in_pmi) return false;
    if (violation.pointer == 0) return fault->null_event;
    const CrashState& crash = d_.crash();
    const Type* event = d_.kernel().type("struct perf_event");
    if (crash.fault_address && event && *crash.fault_address - violation.pointer < event->size) return true;
    // A general protection fault has no address: the pointer must be in the base register of the faulting
    // instruction.
    if (!crash.fault || !crash.fault->instruction.memory || !crash.fault_registers) return false;
    return value_of(*crash.fault_registers, crash.fault->instruction.memory->base) == violation.pointer;
  }

  /// "differs in 1 bit from event 0x..." for a value that was once a pointer to one of the CPU's events.
  std::string hamming(const Violation& violation) {
    int best = 65;
    uint64_t nearest = 0;
    const CounterState counters = read_counters(pmu_, violation.cpu);
    for (const auto& pointer : counters.event_list) {
      if (!pointer.has_value() || *pointer == 0) continue;
      const int distance = std::popcount(*pointer ^ violation.pointer);
      if (distance < best) {
        best = distance;
        nearest = *pointer;
      }
    }
    if (best > 64) return "the CPU's event_list[] holds no event to compare with";
    return fmt::format("{} bit{} away from the nearest event on event_list[], {:#x}{}", best,
                       best == 1 ? "" : "s", nearest,
                       best == 1 ? ": a single-bit flip, look at the memory" : "");
  }

  std::string neighbours(const Violation& violation) {
    const CpuPmu& state = pmu_.cpu(violation.cpu);
    std::string text;
    const uint64_t line = state.events(violation.slot).address().has_value()
                              ? *state.events(violation.slot).address() & ~uint64_t{63}
                              : 0;
    for (int i = 0; i < kMaxCounters; i++) {
      const Object entry = state.events(i);
      if (!entry.address().has_value() || (*entry.address() & ~uint64_t{63}) != line) continue;
      const Reading<uint64_t> value = entry.u64();
      text += fmt::format("{}[{}]={}", text.empty() ? "" : " ", i,
                          value.has_value() ? fmt::format("{:#x}", *value) : std::string("?"));
    }
    return fmt::format("cache line {:#x}: {}", line, text);
  }

  void judge() {
    if (violations_.empty()) {
      finding_.verdict = unread_ ? Verdict::kUndetermined : Verdict::kNotApplicable;
      // Where the kernel died as it does of such a state, it is this stage that is undetermined.
      const auto cpu = d_.crash().cpu;
      const auto fault = cpu && unread_ ? pmi_fault(d_, *cpu) : std::nullopt;
      if (fault && fault->in_pmi) {
        finding_.stage = Stage::kCrashed;
        finding_.cpus = {*cpu};
      }
      finding_.summary =
          unread_ ? "no impossible PMU state in what could be read, but not all of it could be read"
                  : "every CPU's PMU state is one that the kernel can produce";
      return;
    }
    bool strong = false;
    std::vector<int> fired, crashed;
    std::vector<std::string> ids;
    for (const Violation& violation : violations_) {
      strong |= violation.strong;
      auto& cpus = is_fault_of(violation) ? crashed : fired;
      if (std::find(cpus.begin(), cpus.end(), violation.cpu) == cpus.end()) cpus.push_back(violation.cpu);
      if (std::find(ids.begin(), ids.end(), violation.id) == ids.end()) ids.push_back(violation.id);
      add_evidence(violation);
    }
    std::sort(ids.begin(), ids.end());
    finding_.verdict = strong ? Verdict::kLikely : Verdict::kPossible;
    finding_.stage = crashed.empty() ? Stage::kFired : Stage::kCrashed;
    finding_.cpus = crashed.empty() ? fired : crashed;
    finding_.cause_of_crash = !crashed.empty() && strong;
    std::map<std::string, std::vector<int>> by_stage;
    if (!fired.empty()) by_stage["fired"] = fired;
    if (!crashed.empty()) by_stage["crashed"] = crashed;
    finding_.facts["cpus_by_stage"] = by_stage;
    finding_.facts["violated"] = fmt::format("{}", fmt::join(ids, " "));
    finding_.facts["generation"] = std::string(to_string(d_.null_events_probe().code));
    add_context();
    tell(crashed);
  }

  void add_evidence(const Violation& violation) {
    finding_.evidence.push_back(evidence_of(violation.id + ": " + violation.claim, violation.object,
                                            violation.expected, Reading<bool>(true), kBrokenInvariant.weight,
                                            true));
    if (violation.slot < 0) return;
    finding_.evidence.push_back(plain_evidence(fmt::format("the neighbours of events[{}]", violation.slot),
                                               neighbours(violation), "", EvidenceResult::kSupports, 0));
    finding_.evidence.push_back(plain_evidence("distance of the value from a live event", hamming(violation),
                                               "0 bits", EvidenceResult::kSupports, 0));
  }

  void add_context() {
    const NullEventsProbe& probe = d_.null_events_probe();
    finding_.evidence.push_back(plain_evidence(
        std::string(kCode.claim), fmt::format("{}: {}", to_string(probe.code), probe.reason), "",
        probe.code == NullEventsCode::kUndecided || probe.code == NullEventsCode::kUnreadable
            ? EvidenceResult::kUndetermined
            : EvidenceResult::kSupports,
        kCode.weight));
    std::string line;
    for (const std::string_view sign : {"Machine check", "mce: [Hardware Error]", "BUG: KASAN",
                                        "Hardware Error", "UE row", "UE memory", "CE memory"})
      if (count_log_lines(d_.log(), sign, &line)) {
        finding_.evidence.push_back(plain_evidence(std::string(kHardwareLog.claim), line, std::string(sign),
                                                   EvidenceResult::kSupports, kHardwareLog.weight));
        break;
      }
    const SystemFacts& system = d_.system();
    // TAINT_DIE is this very crash.
    constexpr uint64_t kTaintDie = 1 << 7;
    if (system.taint && (*system.taint & ~kTaintDie) != 0)
      finding_.evidence.push_back(plain_evidence("the kernel is tainted", system.taint_text, "untainted",
                                                 EvidenceResult::kSupports, 0));
    if (!system.modules_out_of_tree.empty())
      finding_.evidence.push_back(plain_evidence(
          std::string(kForeignModules.claim), fmt::format("{}", fmt::join(system.modules_out_of_tree, " ")),
          "none", EvidenceResult::kSupports, kForeignModules.weight));
  }

  void tell(const std::vector<int>& crashed) {
    const Violation& first = violations_.front();
    finding_.summary = fmt::format("{}: {}", cpu_list(finding_.cpus), first.claim);
    finding_.explanation.push_back(fmt::format(
        "The PMU state of {} breaks {} invariant{} that this kernel's code keeps: {}.",
        cpu_list(finding_.cpus), violations_.size(), violations_.size() == 1 ? "" : "s", first.claim));
    if (!crashed.empty()) {
      const auto fault = pmi_fault(d_, crashed.front());
      finding_.explanation.push_back(
          fmt::format("The next PMU interrupt (an NMI) on CPU {} followed that value in {}(), called from "
                      "{}(): the kernel died of it.",
                      crashed.front(), fault->function, fault->handler));
    }
    finding_.explanation.push_back(
        "Something else wrote there: another subsystem (a use after free, an out-of-bounds store), an "
        "out-of-tree module, a "
        "debugger, or the hardware. The dump shows the damage, not the writer.");
    finding_.remedy = remedy();
    finding_.not_visible.push_back("who wrote it: a vmcore holds no history of writes");
  }

  Diagnosis& d_;
  PmuState& pmu_;
  Finding finding_;
  std::vector<Violation> violations_;
  bool unread_ = false;
};

RuleKnowledge knowledge() {
  RuleKnowledge known;
  known.summary =
      "a CPU's PMU state is one that the kernel's own code cannot produce: something else wrote there";
  known.symptoms = {
      {"NULL pointer dereference, page fault or general protection fault in the PMI handler, on a kernel "
       "without the defect of perf-x86-null-events.",
       Certainty::kReproduced, "6.1.192, 6.12.117"},
      {"Or no crash yet: the state is found in a dump made for another reason.", Certainty::kReproduced,
       "6.12.117"},
  };
  known.mechanism = {
      {"Each CPU writes its own struct cpu_hw_events only, with interrupts off, and keeps invariants between "
       "active_mask, events[], n_events and event_list[]. The CPUs that were inside of a function that "
       "changes them are left out.",
       Certainty::kSource, "arch/x86/events/core.c"},
      {"What breaks them is a stray write: another subsystem, an out-of-tree module, a debugger, or the "
       "hardware.",
       Certainty::kExpert, ""},
  };
  known.evidence = {kBrokenInvariant, kHardwareLog, kCode, kForeignModules};
  known.look_alikes = {
      {"perf-x86-null-events", "there this kernel's code (G1) produces the NULL pointer itself"},
      {"event freed while active",
       "the pointer leads to freed or poisoned memory: the writer is the one who freed the event too early"},
  };
  known.kernels = {{"Any: it is no defect of perf.", Certainty::kSource, ""}};
  known.commits = commits();
  known.remedy = remedy();
  known.limits = {"A vmcore holds no history of writes: who wrote is not in it, so it is never proven.",
                  "Impossible counts alone (C-06) make it no more than possible."};
  return known;
}

}  // namespace

RuleInfo x86_state_corruption_rule() {
  return {"perf-x86-state-corruption",
          "PMU state that the kernel's code cannot produce",
          {{"struct cpu_hw_events", "struct perf_event"}, {"cpu_hw_events"}},
          [](Diagnosis& diagnosis) { return StateCorruption(diagnosis).run(); },
          knowledge,
          {.facts = {"violated"}, .facets = {"generation"}}};
}

}  // namespace perfcore
