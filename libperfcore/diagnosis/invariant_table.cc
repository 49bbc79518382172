// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is known of each invariant. Sources are those of 6.1 to 7.3: arch/x86/events/core.c,
// kernel/events/core.c and what they include.
#include <algorithm>

#include "perfcore/invariants.h"

namespace perfcore {
namespace {

constexpr Severity F = Severity::kFatal, E = Severity::kError, W = Severity::kWarning, I = Severity::kInfo;

constexpr InvariantInfo kInvariants[] = {
    {"C-01", F, "every bit of active_mask has a pointer in events[]",
     "CVE-2026-23435 (7e772a93eb61, fixed by 8d5fae601126) where the kernel's code has it, else corrupt "
     "memory",
     ""},
    {"C-02", F, "every pointer in events[i] is a live struct perf_event whose hw.idx is i",
     "an event freed while in use, a wrong counter assignment, a group that was taken apart wrongly", ""},
    {"C-03", E, "an event whose counter is active is not STOPPED", "a race between throttling and stopping",
     ""},
    {"C-04", E, "an event on event_list[] that is not STOPPED has its counter's active bit",
     "a lost start: the event is silently dead", ""},
    {"C-05", F, "active_mask and events[] name only counters that this PMU has",
     "the PMU of another core type (hybrid CPUs), corrupt memory", ""},
    {"C-06", F, "0 <= n_added <= n_events <= number of counters",
     "a group too large, a transaction on the wrong PMU (CVE-2026-31528)", ""},
    {"C-07", F, "event_list[0..n_events) are distinct live events",
     "an event freed while in use, or added twice", ""},
    {"C-08", I, "event_list[] beyond n_events is stale and means nothing", "", ""},
    {"C-09", F, "assign[i] is the hw.idx of event_list[i], for all events that are not newly added",
     "a counter that was not reprogrammed (CVE-2026-23435)", ""},
    {"C-10", E, "events on event_list[] are ACTIVE and on this CPU", "a race of the scheduler", "C-22 C-24"},
    {"C-11", E, "ACTIVE events of the core PMU that are on this CPU are on its event_list[]",
     "a transaction on the wrong PMU (CVE-2026-31528), a lost event", ""},
    {"C-12", E, "enabled is 0 or 1, and 1 only where pmu_disable_count is 0",
     "unbalanced perf_pmu_disable(): counters stay off", ""},
    {"C-13", E, "nothing is newly added (n_added) while enabled", "a lost perf_pmu_enable()", ""},
    {"C-14", E, "no transaction is open (txn_flags), and an open one has n_txn <= n_added",
     "a leaked transaction: an early return without commit or cancel", ""},
    {"C-15", W,
     "n_txn_pair and n_txn_metric are at most n_txn, n_metric at most n_events, n_pair the number of paired "
     "events",
     "wrong accounting of AMD counter pairs or Intel metrics", ""},
    {"C-16", F, "an ACTIVE event has a counter: hw.idx is not -1", "CVE-2025-39821 (a shift by -1)", ""},
    {"C-17", I,
     "hw.last_tag is tags[] of the event's place in event_list[]: not so in healthy kernels either", "", ""},
    {"C-18", F, "hw.config_base and hw.event_base are the MSRs of counter hw.idx",
     "a wrong counter assignment, corrupt memory", ""},
    {"C-19", E, "hw.state is a sum of flags that the code uses: 0, 1, 3, 5, 7, and 2 in passing",
     "corrupt memory", ""},
    {"C-20", E, "a throttled event (hw.interrupts is ~0) is STOPPED",
     "a stop that was lost: the IBS race, a defect of throttling", "C-34 C-41"},
    {"C-21", F, "a group's leader and siblings refer to each other, count each other, and share one context",
     "CVE-2023-2235, CVE-2023-5717, CVE-2023-6931, CVE-2026-64556, CVE-2026-74637", ""},
    {"C-22", E, "a group is on a CPU as a whole or not at all",
     "a part of a group was scheduled (CVE-2026-31528), a defect of detaching", "C-10"},
    {"C-23", E, "the lists and numbers of a context agree with its events", "a race of exit, clone or exec",
     "C-26"},
    {"C-24", E, "pinned_active and flexible_active hold exactly the ACTIVE leaders",
     "a race of the scheduler", ""},
    {"C-25", W, "an event's times agree with each other and with the clock of its context",
     "the race of mmap() with the scheduler: statistics only", ""},
    {"C-26", F,
     "an event's context is that of its CPU or of its task, and a task's context is active on one CPU",
     "CVE-2025-21889, a context freed while in use", "C-23 C-21"},
    {"C-27", F,
     "reference counts of events and contexts are at least 1, and no context in use is that of a dead task",
     "an event or context freed while in use", ""},
    {"C-28", W, "an event that waits for its irq_work (pending_wakeup, pending_disable) has it queued",
     "a lost wakeup: CVE-2022-48950, CVE-2025-37747", ""},
    {"C-29", F, "cpuc.ds is NULL or the debug store of this CPU, and the PEBS buffer's marks are in order",
     "NULL or stale debug store", ""},
    {"C-30", E, "pebs_enabled names only counters of PEBS events, and n_pebs counts them",
     "the PEBS mask of KVM (CVE-2025-37936), a drain inside a drain (CVE-2026-97960)", ""},
    {"C-31", E, "the users of the LBR are counted right", "unbalanced LBR users", "C-32"},
    {"C-32", E, "branch sampling of AMD (brs_active) is on only while it has users and 16 entries",
     "the reload of BRS for SVM", ""},
    {"C-33", F, "CPUs of one northbridge share one amd_nb, and its owners[] are events on their CPUs",
     "a defect of CPU hotplug on AMD", ""},
    {"C-34", E, "the IBS state machine is in a state of rest, and its event is one of this IBS PMU",
     "the race of perf_ibs_start() with an NMI (fixed by 1b044ff3c17e)", "C-20"},
    {"C-35", E, "the PT and BTS handles hold the event that runs on this CPU",
     "a hang of an AUX tracer, a leaked AUX buffer", ""},
    {"C-36", F, "a ring buffer's counts, positions and events agree",
     "CVE-2024-46713, CVE-2026-64300, CVE-2026-23248, CVE-2020-14351", ""},
    {"C-37", F, "the functions of x86_pmu are kernel text, and its static calls go to them",
     "a static call that was not patched, corrupt memory", ""},
    {"C-38", F, "cpuc.pmu is the PMU of this CPU",
     "x86_pmu functions on the wrong core type: CVE-2026-31782, CVE-2025-38322", "C-12"},
    {"C-39", W, "the NMI watchdog's event is on its CPU's counters", "the watchdog is silently dead", ""},
    {"C-40", E, "NMI handlers are kernel text, and the PMU drivers have theirs",
     "the handler of a module that is gone, a driver that failed to start", ""},
    {"C-41", W, "throttled events are counted in perf_throttled_count, so that the tick starts them again",
     "events that are never unthrottled", ""},
    {"C-42", E, "the hash of software events holds software events, linked both ways", "CVE-2026-23014", ""},
    {"C-43", E, "the cgroup of a CPU's context is that of its current task, and cgroups of events are live",
     "a dangling cgroup", ""},
    {"C-44", E, "an offline CPU has no event, and its perf context is offline", "a defect of CPU hotplug",
     ""},
};

}  // namespace

std::string_view to_string(InvariantStatus status) {
  switch (status) {
    case InvariantStatus::kOk:
      return "ok";
    case InvariantStatus::kTransient:
      return "transient";
    case InvariantStatus::kViolated:
      return "violated";
    case InvariantStatus::kNotRead:
      return "not-read";
    case InvariantStatus::kNotApplicable:
      return "not-applicable";
  }
  return "?";
}

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::kFatal:
      return "F";
    case Severity::kError:
      return "E";
    case Severity::kWarning:
      return "W";
    case Severity::kInfo:
      return "I";
  }
  return "?";
}

std::span<const InvariantInfo> invariants() {
  return kInvariants;
}

const InvariantInfo* find_invariant(std::string_view id) {
  const auto* found = std::ranges::find(kInvariants, id, &InvariantInfo::id);
  return found == std::end(kInvariants) ? nullptr : found;
}

}  // namespace perfcore
