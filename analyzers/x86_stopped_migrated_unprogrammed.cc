// SPDX-License-Identifier: LGPL-2.1-or-later
//
// perf-x86-stopped-migrated-unprogrammed: kernels with the first fix of CVE-2026-23435 (8d5fae601126) and not
// the second (f1cac6ac62d2 "x86/perf: Make sure to program the counter value for stopped events on
// migration"): an event that moved while it was stopped has its pointer, but its new counter was never
// programmed. Upstream: 6.18.20 and 6.19.10.
#include <fmt/format.h>

#include "analyzers/knowledge.h"
#include "analyzers/pmu_evidence.h"
#include "analyzers/registry.h"
#include "analyzers/releases.h"

namespace perfcore {
namespace {

constexpr ReleaseRange kAffected[] = {{{6, 18, 20}, {6, 18, 21}}, {{6, 19, 10}, {6, 19, 11}}};

constexpr EvidenceKind kHalfFixedCode = {
    "this kernel has the first fix of CVE-2026-23435 without the second (probe P-NULLEV)",
    EvidenceRole::kRequired, 20, Certainty::kBinary, "6.19.10 is G2"};
constexpr EvidenceKind kUnprogrammed = {
    "a running event's hw.prev_count is none that x86_perf_event_set_period() leaves: -left with 0 < left <= "
    "max_period",
    EvidenceRole::kRequired, 20, Certainty::kSource, "arch/x86/events/core.c, x86_perf_event_set_period()"};
constexpr EvidenceKind kSymptom = {"the log has its symptom: long PMU interrupts or a hard lockup",
                                   EvidenceRole::kSupports, 10, Certainty::kExpert, ""};

const std::vector<KnownCommit>& commits() {
  static const std::vector<KnownCommit> kCommits = {
      {{"fix", "f1cac6ac62d2",
        "x86/perf: Make sure to program the counter value for stopped events on migration"},
       "7.0; 6.18.21, 6.19.11",
       Certainty::kBinary,
       "7.0.4, 7.0.13, 7.2.12; not in 6.19.10"},
      {{"culprit", "8d5fae601126", "perf/x86: Move event pointer setup earlier in x86_pmu_enable()"},
       "7.0; 6.18.20, 6.19.10",
       Certainty::kBinary,
       "6.19.10, 7.0.4"},
  };
  return kCommits;
}

const std::vector<std::string>& remedy() {
  static const std::vector<std::string> kRemedy = {
      "Update to 6.18.21 or later, 6.19.11 or later, 7.0 or later (f1cac6ac62d2)."};
  return kRemedy;
}

/// Does hw.prev_count say that x86_perf_event_set_period() programmed this counter? It stores -left there,
/// with 0 < left <= max_period (arch/x86/events/core.c). \param why set when the answer is false.
Reading<bool> is_programmed(Diagnosis& d, const PerfEvent& event, std::string* why) {
  const Object pmu = d.kernel().variable("x86_pmu");
  const Reading<uint64_t> bits = pmu.member("cntval_bits").u64();
  const Reading<uint64_t> max_period = pmu.member("max_period").u64();
  const Reading<int64_t> prev_count = event.object().member("hw.prev_count.a.a.counter").s64();
  const Reading<uint64_t> period = event.sample_period();
  if (!bits.has_value()) return bits.unread();
  if (!max_period.has_value()) return max_period.unread();
  if (!prev_count.has_value()) return prev_count.unread();
  if (!period.has_value()) return period.unread();
  if (*bits < 8 || *bits > 64)
    return Unread{UnreadReason::kCorrupt, 0, "x86_pmu.cntval_bits", fmt::format("{} bits", *bits)};
  const int shift = 64 - static_cast<int>(*bits);
  const int64_t extended = static_cast<int64_t>(static_cast<uint64_t>(*prev_count) << shift) >> shift;
  if (extended == 0 && *period > 0) {
    *why = "hw.prev_count is 0 although the event samples";
    return false;
  }
  if (extended < 0 && -static_cast<uint64_t>(extended) > *max_period) {
    *why = fmt::format("-hw.prev_count = {:#x} is more than max_period {:#x}",
                       -static_cast<uint64_t>(extended), *max_period);
    return false;
  }
  return true;
}

Finding run(Diagnosis& d) {
  Finding finding;
  const NullEventsProbe& probe = d.null_events_probe();
  finding.facts["generation"] = std::string(to_string(probe.code));
  finding.references = references_of(commits());
  const bool decided = probe.code != NullEventsCode::kUndecided && probe.code != NullEventsCode::kUnreadable;
  std::optional<Release> release;
  if (!decided) release = upstream_release(d.kernel().release(), d.system().version);
  const bool affected = decided ? probe.code == NullEventsCode::kG2 : release && in_any(*release, kAffected);
  Evidence code = plain_evidence(std::string(kHalfFixedCode.claim),
                                 fmt::format("{}: {}", to_string(probe.code), probe.reason), "G2",
                                 !decided   ? EvidenceResult::kUndetermined
                                 : affected ? EvidenceResult::kSupports
                                            : EvidenceResult::kContradicts,
                                 kHalfFixedCode.weight);
  if (probe.address) code.address = probe.address;
  finding.evidence.push_back(std::move(code));
  if (!affected) {
    const bool open = !decided && !release;
    finding.verdict = open ? Verdict::kUndetermined : Verdict::kNotApplicable;
    finding.summary =
        open      ? "this kernel's code did not answer, and its release number is a vendor's"
        : decided ? fmt::format("this kernel's code is not the half-fixed one ({})", to_string(probe.code))
                  : fmt::format("release {} is not affected (from the version only)", release->to_string());
    return finding;
  }
  PmuState& pmu = d.pmu();
  const auto& cpus = pmu.cpus();
  if (!cpus.has_value()) {
    finding.summary = cpus.unread().message();
    finding.not_visible.push_back(cpus.unread().message());
    return finding;
  }
  finding.verdict = Verdict::kLatent;
  finding.stage = Stage::kLatent;
  finding.summary =
      "this kernel does not program the counter of an event that moved while stopped; no such event was seen";
  bool unread = false;
  for (const int cpu : *cpus) {
    const CounterState counters = read_counters(pmu, cpu);
    for (const auto& pointer : counters.event_list) {
      if (!pointer.has_value()) {
        unread = true;
        continue;
      }
      const PerfEvent& event = pmu.event(*pointer);
      const Reading<int64_t> active = pmu.state_active();
      if (!event.hw_state().is(uint64_t{0}) || !active.has_value() || !event.state().is(*active)) continue;
      std::string why;
      const Reading<bool> programmed = is_programmed(d, event, &why);
      if (!programmed.has_value()) {
        unread = true;
        finding.not_visible.push_back(programmed.unread().message());
        continue;
      }
      if (*programmed) continue;
      finding.evidence.push_back(
          evidence_of(fmt::format("CPU {}: {}", cpu, why), event.object().member("hw.prev_count.a.a.counter"),
                      "-left with 0 < left <= max_period", Reading<bool>(true), kUnprogrammed.weight, true));
      if (finding.cpus.empty() || finding.cpus.back() != cpu) finding.cpus.push_back(cpu);
    }
  }
  finding.not_visible.push_back(
      "counter registers are not in a vmcore: what was programmed can only be inferred");
  if (finding.cpus.empty()) {
    if (unread) finding.verdict = Verdict::kUndetermined;
    return finding;
  }
  finding.stage = Stage::kFired;
  std::string line;
  const bool symptom = count_log_lines(d.log(), "interrupt took too long", &line) ||
                       count_log_lines(d.log(), "took too long to run", &line) ||
                       count_log_lines(d.log(), "hard LOCKUP", &line);
  finding.verdict = symptom ? Verdict::kLikely : Verdict::kPossible;
  if (symptom)
    finding.evidence.push_back(plain_evidence("the log has its symptom", line,
                                              "long PMU interrupts or a hard lockup",
                                              EvidenceResult::kSupports, kSymptom.weight));
  finding.summary = fmt::format(
      "{}: a running event's counter was never programmed after it moved; counts are wrong and NMIs may "
      "storm",
      cpu_list(finding.cpus));
  finding.facts["cpus_by_stage"] = std::map<std::string, std::vector<int>>{{"fired", finding.cpus}};
  finding.explanation = {
      "An event was throttled (stopped), then x86_pmu_enable() moved it to another counter; with "
      "8d5fae601126 its pointer is "
      "stored, but without f1cac6ac62d2 the counter keeps whatever value it had.",
      "When the event is started again it counts from that value: its count jumps, and it overflows at the "
      "wrong time or at once."};
  finding.remedy = remedy();
  return finding;
}

RuleKnowledge knowledge() {
  RuleKnowledge known;
  known.summary =
      "an event that moved to another counter while it was stopped runs on a counter that was never "
      "programmed for it";
  known.symptoms = {
      {"Counts that jump, samples at the wrong time, an NMI storm when the stale value is about to overflow.",
       Certainty::kExpert, ""},
  };
  known.mechanism = {
      {"With 8d5fae601126 x86_pmu_enable() stores the pointer of a stopped event that it moves, but it still "
       "skips x86_perf_event_set_period(): the new counter keeps what its last user left.",
       Certainty::kBinary, "6.19.10"},
      {"x86_pmu_start() from the unthrottling tick does not reload the period: the event counts from there.",
       Certainty::kSource, "arch/x86/events/core.c, x86_pmu_start()"},
  };
  known.evidence = {kHalfFixedCode, kUnprogrammed, kSymptom};
  known.look_alikes = {
      {"perf-x86-null-events",
       "there the code is G1 and the pointer is NULL; here it is G2 and the pointer is set"}};
  known.kernels = {{"Affected upstream releases: " + words_for(kAffected) + ".", Certainty::kPublic,
                    "stable mails; checked in the code of 6.19.10"}};
  known.commits = commits();
  known.remedy = remedy();
  known.limits = {
      "Counter registers are not in a vmcore: what was programmed can only be inferred, so it is "
      "never proven, and likely only with the symptom in the log."};
  return known;
}

}  // namespace

RuleInfo x86_stopped_migrated_unprogrammed_rule() {
  return {"perf-x86-stopped-migrated-unprogrammed",
          "event moved while stopped, its new counter never programmed",
          {{"struct cpu_hw_events", "struct perf_event"}, {"cpu_hw_events"}},
          run,
          knowledge,
          {.facts = {"generation"}}};
}

}  // namespace perfcore
