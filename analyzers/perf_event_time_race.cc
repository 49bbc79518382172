// SPDX-License-Identifier: LGPL-2.1-or-later
//
// perf-event-time-race: perf_mmap_rb() (perf_mmap() before 6.16) calls perf_event_update_time() with
// mmap_mutex only, while the scheduler does the same under ctx->lock. An update of total_time_enabled,
// total_time_running or tstamp can be lost or made twice. Times are all that suffers: no pointer, list or
// lock is involved. Not fixed up to 7.3.
#include <fmt/format.h>

#include <algorithm>

#include "analyzers/knowledge.h"
#include "analyzers/pmu_evidence.h"
#include "analyzers/registry.h"
#include "perfcore/perf_events.h"

namespace perfcore {
namespace {

/// More than one tick at 100 Hz: what two updates of a group may legally lie apart.
constexpr uint64_t kTickNs = 10000000;

constexpr EvidenceKind kRanTooLong = {"T1: an event ran for longer than it was enabled",
                                      EvidenceRole::kRequired, 30, Certainty::kSource,
                                      "kernel/events/core.c, __perf_update_times()"};
constexpr EvidenceKind kFutureUpdate = {"T2: an event's last update lies in its context's future",
                                        EvidenceRole::kRequired, 10, Certainty::kSource,
                                        "kernel/events/core.c, perf_event_update_time()"};
constexpr EvidenceKind kEnabledTooLong = {
    "T4: an event was enabled for longer than its context's clock has run", EvidenceRole::kRequired, 30,
    Certainty::kSource, "kernel/events/core.c, perf_event_time()"};
constexpr EvidenceKind kLongerThanLeader = {"T6: a group member was enabled for longer than its leader",
                                            EvidenceRole::kRequired, 10, Certainty::kSource,
                                            "kernel/events/core.c, perf_event_update_sibling_time()"};
constexpr EvidenceKind kPageAhead = {"T7: a mapped page shows more time than its event has",
                                     EvidenceRole::kRequired, 20, Certainty::kSource,
                                     "kernel/events/core.c, perf_event_update_userpage()"};

const std::vector<KnownCommit>& commits() {
  static const std::vector<KnownCommit> kCommits = {
      {{"link", "syzbot: KCSAN: data-race in _perf_event_enable / perf_event_update_time",
        "reports of this race; no fix is known up to 7.3"},
       "no fix up to 7.3",
       Certainty::kSource,
       "kernel/events/core.c, perf_mmap_rb(), 7.3"},
  };
  return kCommits;
}

const std::vector<std::string>& remedy() {
  static const std::vector<std::string> kRemedy = {
      "No fix is known up to 7.3. Map the buffer before the event is enabled (attr.disabled = 1, mmap(), "
      "then "
      "PERF_EVENT_IOC_ENABLE), and do not rely on scaled counts of an event that was mapped while it ran."};
  return kRemedy;
}
/// How far the clock of a context that is in use may be ahead of ctx->time: it is brought up to date whenever
/// events are scheduled or read, at the latest on every tick that rotates or adjusts them.
constexpr uint64_t kClockLagNs = 10'000'000'000;

struct Hit {
  std::string predicate;  ///< "T1" ...
  uint64_t off_by = 0;    ///< nanoseconds
};

class TimeRace {
 public:
  explicit TimeRace(Diagnosis& diagnosis) : d_(diagnosis), pmu_(diagnosis.pmu()) {}

  Finding run() {
    finding_.facts["severity"] = std::string("statistics-only");
    finding_.references = references_of(commits());
    const EventList& list = d_.events();
    for (const Unread& unread : list.incomplete) {
      unread_ = true;
      d_.note_unread(unread);
      finding_.not_visible.push_back(unread.message());
    }
    for (const EventOrigin& origin : list.events) inspect(origin);
    judge(list.events.size());
    return finding_;
  }

 private:
  void inspect(const EventOrigin& origin) {
    const PerfEvent& event = pmu_.event(origin.address);
    const Object enabled_object = event.object().member("total_time_enabled");
    const Object running_object = event.object().member("total_time_running");
    const Object tstamp_object = event.object().member("tstamp");
    const Reading<uint64_t> enabled = enabled_object.u64();
    const Reading<uint64_t> running = running_object.u64();
    const Reading<uint64_t> tstamp = tstamp_object.u64();
    if (!enabled.has_value() || !running.has_value() || !tstamp.has_value()) {
      unread_ = true;
      const Unread& unread = !enabled.has_value()   ? enabled.unread()
                             : !running.has_value() ? running.unread()
                                                    : tstamp.unread();
      d_.note_unread(unread);
      finding_.not_visible.push_back(unread.message());
      return;
    }
    const Reading<uint64_t> buffer = event.object().member("rb").u64();
    const bool mapped = buffer.has_value() && *buffer != 0;
    const std::string who =
        fmt::format("event {:#x} ({}; {})", origin.address, event.describe(), origin.path);
    // T1: never legal, not even between the two stores of __perf_update_times(), which writes the enabled
    // time first.
    if (*running > *enabled)
      hit("T1", mapped, *running - *enabled,
          evidence_of(who + ": it ran for longer than it was enabled", running_object,
                      fmt::format("at most {} (total_time_enabled)", *enabled), Reading<bool>(true),
                      kRanTooLong.weight));
    const Reading<uint64_t> ctx = event.ctx();
    if (!ctx.has_value() || *ctx == 0) return;
    const Reading<uint64_t> now = event_time(event);
    if (!now.has_value()) return;
    // T2: tstamp is a copy of an earlier reading of this clock.
    if (*tstamp > *now)
      hit("T2", false, *tstamp - *now,
          evidence_of(who + ": its last update lies in its context's future", tstamp_object,
                      fmt::format("at most {} (context time)", *now), Reading<bool>(true),
                      kFutureUpdate.weight));
    // T4: it cannot have been enabled for longer than its clock has run. Inherited counts are kept apart
    // (child_total_time_*).
    if (*enabled > *now && *tstamp <= *now)
      hit("T4", mapped, *enabled - *now,
          evidence_of(who + ": it was enabled for longer than its context's clock has run", enabled_object,
                      fmt::format("at most {} (context time)", *now), Reading<bool>(true),
                      kEnabledTooLong.weight));
    inspect_sibling(event, *enabled, who);
    if (mapped) inspect_user_page(event, *enabled, *tstamp, *now, who);
  }

  /// T7: what the mmap() side wrote for the user is ahead of the event. perf_event_update_userpage() adds
  /// what has passed since tstamp by the clock, which may be ahead of the context's copy of it; an event that
  /// is off gets nothing added.
  void inspect_user_page(const PerfEvent& event, uint64_t enabled, uint64_t tstamp, uint64_t now,
                         const std::string& who) {
    const Object page_time =
        event.object().member("rb").deref().member("user_page").deref().member("time_enabled");
    const Reading<uint64_t> shown = page_time.u64();
    const Reading<uint64_t> children = event.object().member("child_total_time_enabled.counter").u64();
    const Reading<int64_t> state = event.state();
    const auto inactive = d_.kernel().enumerator("perf_event_state", "PERF_EVENT_STATE_INACTIVE");
    if (!shown.has_value() || !children.has_value() || !state.has_value() || !inactive) return;
    uint64_t limit = enabled + *children;
    if (*state >= *inactive) limit += (now > tstamp ? now - tstamp : 0) + kClockLagNs;
    if (*shown <= limit) return;
    hit("T7", true, *shown - limit,
        evidence_of(who + ": its mapped page shows more time than the event has", page_time,
                    fmt::format("at most {}", limit), Reading<bool>(true), kPageAhead.weight));
  }

  /// T6: a sibling enabled for longer than the leader it depends on.
  void inspect_sibling(const PerfEvent& event, uint64_t enabled, const std::string& who) {
    const Reading<uint64_t> leader = event.group_leader();
    if (!leader.has_value() || *leader == 0 || *leader == event.address()) return;
    const Object leader_enabled = pmu_.event(*leader).object().member("total_time_enabled");
    const Reading<uint64_t> limit = leader_enabled.u64();
    if (!limit.has_value() || enabled <= *limit + kTickNs) return;
    // The leader's own time stands still between its updates: what has passed since belongs to it as well.
    const Reading<uint64_t> stamp = pmu_.event(*leader).object().member("tstamp").u64();
    const Reading<uint64_t> now = event_time(event);
    if (!stamp.has_value() || !now.has_value() || *now < *stamp ||
        enabled <= *limit + (*now - *stamp) + kTickNs)
      return;
    hit("T6", false, enabled - *limit,
        evidence_of(who + ": a group member enabled for longer than its leader",
                    event.object().member("total_time_enabled"), fmt::format("at most {} (leader)", *limit),
                    Reading<bool>(true), kLongerThanLeader.weight));
  }

  void hit(const char* predicate, bool strong, uint64_t off_by, Evidence evidence) {
    evidence.claim = std::string(predicate) + ": " + evidence.claim + fmt::format(" (off by {} ns)", off_by);
    finding_.evidence.push_back(std::move(evidence));
    hits_.push_back({predicate, off_by});
    strong_ |= strong;
  }

  void judge(size_t events) {
    if (hits_.empty()) {
      if (events == 0 && !unread_) {
        finding_.verdict = Verdict::kNotApplicable;
        finding_.summary = "there is no perf event in this kernel";
      } else if (unread_) {
        finding_.verdict = Verdict::kUndetermined;
        finding_.summary = "no event's times are wrong among those that could be read";
      } else {
        finding_.verdict = Verdict::kLatent;
        finding_.stage = Stage::kLatent;
        finding_.summary =
            fmt::format("the times of {} event{} are consistent; the race exists in every kernel up to 7.3",
                        events, events == 1 ? "" : "s");
      }
      return;
    }
    std::vector<std::string> predicates;
    uint64_t worst = 0;
    for (const Hit& one : hits_) {
      worst = std::max(worst, one.off_by);
      if (std::find(predicates.begin(), predicates.end(), one.predicate) == predicates.end())
        predicates.push_back(one.predicate);
    }
    finding_.verdict = strong_ ? Verdict::kLikely : Verdict::kPossible;
    finding_.stage = Stage::kFired;
    finding_.facts["predicates"] = fmt::format("{}", fmt::join(predicates, " "));
    finding_.summary = fmt::format(
        "time accounting of {} event{} is off by up to {} ns: statistics only, no crash follows from it",
        hits_.size(), hits_.size() == 1 ? "" : "s", worst);
    finding_.explanation = {
        "mmap() of a perf event updates the event's times under mmap_mutex, the scheduler does so under "
        "ctx->lock: the two can run at "
        "once, and one update is lost or made twice.",
        "What a user sees is a wrong time_enabled or time_running, and so a wrongly scaled count. Memory is "
        "not harmed."};
    finding_.remedy = remedy();
  }

  Diagnosis& d_;
  PmuState& pmu_;
  Finding finding_;
  std::vector<Hit> hits_;
  bool unread_ = false;
  bool strong_ = false;
};

RuleKnowledge knowledge() {
  RuleKnowledge known;
  known.summary =
      "mmap() of a perf event updates the event's times without the lock that the scheduler holds: an "
      "update is lost or made twice";
  known.symptoms = {
      {"A KCSAN report of a data race in perf_event_update_time(), or a time_enabled or time_running that "
       "cannot be, and with it a wrongly scaled count.",
       Certainty::kPublic, "syzbot"},
      {"Never a crash: no pointer, list or lock is involved.", Certainty::kSource, "kernel/events/core.c"},
  };
  known.mechanism = {
      {"perf_mmap_rb() (perf_mmap() before 6.16) calls perf_event_update_time() with mmap_mutex only; the "
       "scheduler does the same under ctx->lock.",
       Certainty::kSource, "kernel/events/core.c, 6.1 to 7.3"},
      {"The two read, add and store total_time_enabled, total_time_running and tstamp at once.",
       Certainty::kSource, "kernel/events/core.c, __perf_update_times()"},
  };
  known.evidence = {kRanTooLong, kFutureUpdate, kEnabledTooLong, kLongerThanLeader, kPageAhead};
  known.look_alikes = {
      {"child time accounting (D-42)", "only child_total_time_* are wrong, not the event's own times"},
      {"clock of a cgroup or of a guest", "the event's own clock is used: that of its cgroup or context"},
  };
  known.kernels = {{"Every release from 6.1 to 7.3 has it; the first one is not known.", Certainty::kSource,
                    "6.1, 6.12, 7.2, 7.3"}};
  known.commits = commits();
  known.remedy = remedy();
  known.limits = {
      "One of the predicates is required. T1, T4 and T7 on an event that is mapped make it likely, "
      "the others possible; it is never proven: corrupt memory looks the same."};
  return known;
}

}  // namespace

RuleInfo perf_event_time_race_rule() {
  return {"perf-event-time-race",
          "perf_event_update_time() without ctx->lock from mmap(): wrong times",
          {{"struct perf_event"}, {}},
          [](Diagnosis& diagnosis) { return TimeRace(diagnosis).run(); },
          knowledge,
          {.facets = {"predicates", "severity"}}};
}

}  // namespace perfcore
