// SPDX-License-Identifier: LGPL-2.1-or-later
//
// C-21, C-22, C-25 and C-28: groups of perf events, their times, and the work they wait for
// (kernel/events/core.c).
#include <fmt/format.h>

#include <algorithm>

#include "diagnosis/invariant_context.h"
#include "perfcore/perf_events.h"

namespace perfcore::invariant {
namespace {

constexpr uint64_t kAttachGroup = 2;      // PERF_ATTACH_GROUP, include/linux/perf_event.h
constexpr uint64_t kSoftwareEvent = 1;    // PERF_EV_CAP_SOFTWARE
constexpr uint64_t kMaxReadSize = 16384;  // perf_event_validate_size()
constexpr size_t kMaxSiblings = 100000;
constexpr uint64_t kWorkQueued = 3;     // IRQ_WORK_PENDING | IRQ_WORK_BUSY, include/linux/smp_types.h
constexpr uint64_t kTickNs = 10000000;  // one tick at 100 Hz: what two updates of a group may lie apart

class GroupChecks {
 public:
  explicit GroupChecks(State& state) : s_(state) {}

  void run() {
    on_events("C-21", kLists, &GroupChecks::group);
    on_events("C-22", kSched | kLists | kTransaction, &GroupChecks::all_or_none);
    on_events("C-25", kSched | kNmi, &GroupChecks::times);
    on_events("C-28", kNmi | kOutput | kSched, &GroupChecks::pending_work);
  }

 private:
  void on_events(std::string_view id, uint32_t legal_in,
                 void (GroupChecks::*method)(Check&, const PerfEvent&)) {
    const auto judge = [&](Check& check) {
      for (const Unread& unread : s_.events_incomplete(check.cpu())) check.unread(unread);
      for (const EventRef* reference : s_.events_of(check.cpu())) (this->*method)(check, *reference->event);
      if (s_.events_of(check.cpu()).empty()) check.saw("no event");
    };
    s_.run_on_cpus(id, legal_in, [&](Check& check, int) { judge(check); });
    if (!s_.events_of(std::nullopt).empty() || !s_.events_incomplete(std::nullopt).empty())
      s_.run(id, std::nullopt, legal_in, judge);
  }

  /// The siblings of a leader. A list that does not end well is broken.
  const ListWalk& siblings(const PerfEvent& leader) {
    const auto known = siblings_.find(leader.address());
    if (known != siblings_.end()) return known->second;
    return siblings_
        .emplace(leader.address(), list_entries(leader.object().member("sibling_list"), "struct perf_event",
                                                "sibling_list", kMaxSiblings))
        .first->second;
  }

  void group(Check& check, const PerfEvent& event) {
    const auto leader = check.take(event.group_leader());
    const auto attached = check.take(event.object().member("attach_state").u64());
    if (!leader || !attached || !(*attached & kAttachGroup)) return;
    if (*leader == event.address())
      leader_of(check, event);
    else
      member_of(check, event, *leader);
    const Object read_size = event.object().member("read_size");
    const auto size = check.take(read_size.u64());
    if (size && *size > kMaxReadSize)
      check.broken(read_size, fmt::format("read_size must be at most {}", kMaxReadSize));
  }

  void leader_of(Check& check, const PerfEvent& leader) {
    const Object number = leader.object().member("nr_siblings");
    const auto count = check.take(number.s64());
    const ListWalk& walk = siblings(leader);
    const Object list = leader.object().member("sibling_list");
    if (walk.incomplete) {
      if (is_corruption(walk.incomplete->reason))
        check.broken(list.member("next"),
                     "sibling_list does not come back to its leader: " + walk.incomplete->message(), kLists,
                     true);
      else
        check.unread(*walk.incomplete);
      return;
    }
    if (count && *count != static_cast<int64_t>(walk.entries.size()))
      check.broken(number, fmt::format("the leader's sibling_list holds {} event(s)", walk.entries.size()),
                   kLists, true);
    for (const Object& entry : walk.entries) {
      std::string why;
      const uint64_t address = *entry.address();
      const auto live = check.take(s_.looks_live(address, &why));
      if (!live) continue;
      if (!*live) {
        check.broken(list.member("next"), fmt::format("sibling {:#x} is no live event: {}", address, why),
                     kLists, true);
        continue;
      }
      const PerfEvent& sibling = s_.pmu().event(address);
      const auto its_leader = check.take(sibling.group_leader());
      if (its_leader && *its_leader != leader.address() && !is_attached(sibling))
        check.broken(sibling.object().member("group_leader"),
                     fmt::format("it is on the sibling_list of {:#x}", leader.address()), kLists, true);
      else
        same_context(check, leader, sibling);
    }
  }

  /// Its own check complains where its group_leader is wrong.
  bool is_attached(const PerfEvent& event) {
    const Reading<uint64_t> attached = event.object().member("attach_state").u64();
    return attached.has_value() && (*attached & kAttachGroup);
  }

  void same_context(Check& check, const PerfEvent& leader, const PerfEvent& sibling) {
    const auto theirs = check.take(leader.ctx());
    const auto ours = check.take(sibling.ctx());
    if (theirs && ours && *theirs != *ours) {
      check.broken(sibling.object().member("ctx"), fmt::format("its leader's is {:#x}", *theirs), kLists,
                   true);
      return;
    }
    // perf_event_pmu_context came with bd2756811766 (6.2).
    if (!sibling.object().has_member("pmu_ctx")) return;
    const auto caps = check.take(sibling.object().member("event_caps").u64());
    const auto leader_context = check.take(leader.object().member("pmu_ctx").u64());
    const auto context = check.take(sibling.object().member("pmu_ctx").u64());
    if (caps && !(*caps & kSoftwareEvent) && leader_context && context && *leader_context != *context)
      check.broken(sibling.object().member("pmu_ctx"), fmt::format("its leader's is {:#x}", *leader_context),
                   kLists, true);
  }

  void member_of(Check& check, const PerfEvent& event, uint64_t leader) {
    std::string why;
    const Object object = event.object().member("group_leader");
    const auto live = check.take(s_.looks_live(leader, &why));
    if (!live) return;
    if (!*live) {
      check.broken(object, "the group leader is no live event: " + why, kLists, true);
      return;
    }
    const ListWalk& walk = siblings(s_.pmu().event(leader));
    if (walk.incomplete) {
      if (!is_corruption(walk.incomplete->reason)) check.unread(*walk.incomplete);
      return;  // else the leader's own check says so
    }
    for (const Object& entry : walk.entries)
      if (*entry.address() == event.address()) return;
    check.broken(object, fmt::format("the group leader {:#x} does not have it on its sibling_list", leader),
                 kLists, true);
  }

  static bool is_corruption(UnreadReason reason) {
    return reason == UnreadReason::kLimit || reason == UnreadReason::kNullPointer ||
           reason == UnreadReason::kNotMapped;
  }

  void all_or_none(Check& check, const PerfEvent& event) {
    const auto leader = check.take(event.group_leader());
    const auto active = check.take(s_.pmu().state_active());
    const auto state = check.take(event.state());
    const auto attached = check.take(event.object().member("attach_state").u64());
    if (!leader || !active || !state || !attached || *leader == event.address() ||
        !(*attached & kAttachGroup))
      return;
    std::string why;
    if (!s_.looks_live(*leader, &why).is(true)) return;  // C-21
    const ListWalk& group = siblings(s_.pmu().event(*leader));
    if (std::ranges::none_of(group.entries,
                             [&](const Object& entry) { return entry.address().is(event.address()); }))
      return;  // C-21
    const auto leading = check.take(s_.pmu().event(*leader).state());
    if (!leading) return;
    // Siblings that are OFF or worse stay out when the group goes on.
    if (*leading == *active && *state >= 0 && *state != *active)
      check.broken(event.object().member("state"),
                   fmt::format("its leader {:#x} is ACTIVE and it is not", *leader));
    else if (*leading != *active && *state == *active)
      check.broken(s_.pmu().event(*leader).object().member("state"),
                   fmt::format("its sibling {:#x} is ACTIVE and the leader is not", event.address()));
  }

  void times(Check& check, const PerfEvent& event) {
    const Object enabled_object = event.object().member("total_time_enabled");
    const Object running_object = event.object().member("total_time_running");
    const auto enabled = check.take(enabled_object.u64());
    const auto running = check.take(running_object.u64());
    const auto stamp = check.take(event.object().member("tstamp").u64());
    if (!enabled || !running || !stamp) return;
    if (*running > *enabled)
      check.broken(running_object, fmt::format("it ran for longer than it was enabled, {} ns", *enabled), 0);
    const auto ctx = check.take(event.ctx());
    if (!ctx || *ctx == 0) return;
    const auto now = check.take(event_time(event));
    if (!now) return;
    if (*stamp > *now)
      check.broken(event.object().member("tstamp"),
                   fmt::format("its last update is later than its context's clock, {} ns", *now));
    else if (*enabled > *now)
      check.broken(enabled_object,
                   fmt::format("it was enabled for longer than its context's clock has run, {} ns", *now));
    older_than_leader(check, event, *enabled, *now);
  }

  void older_than_leader(Check& check, const PerfEvent& event, uint64_t enabled, uint64_t now) {
    const Reading<uint64_t> leader = event.group_leader();
    std::string why;
    if (!leader.has_value() || *leader == event.address() || !s_.looks_live(*leader, &why).is(true)) return;
    const Object leading = s_.pmu().event(*leader).object();
    const auto limit = check.take(leading.member("total_time_enabled").u64());
    const auto stamp = check.take(leading.member("tstamp").u64());
    // The leader's own time stands still between its updates: what has passed since belongs to it as well.
    if (!limit || !stamp || *stamp > now || enabled <= *limit + (now - *stamp) + kTickNs) return;
    check.broken(event.object().member("total_time_enabled"),
                 fmt::format("its group leader was enabled for {} ns only", *limit));
  }

  void pending_work(Check& check, const PerfEvent& event) {
    const auto waits = [&](const char* member, const char* work) {
      const Object object = event.object().member(member);
      const auto pending = check.take(object.s64());
      const auto flags = check.take(event.object().member(work).member("node.a_flags.counter").u64());
      if (pending && flags && *pending != 0 && !(*flags & kWorkQueued))
        check.broken(object, fmt::format("{} is not queued (node.a_flags {:#x}): nobody will act on it", work,
                                         *flags));
    };
    // One irq_work for both until pending_disable_irq was split off (2b84def990d3, 6.11 and its backports).
    waits("pending_wakeup", "pending_irq");
    waits("pending_disable",
          event.object().has_member("pending_disable_irq") ? "pending_disable_irq" : "pending_irq");
  }

  State& s_;
  std::unordered_map<uint64_t, ListWalk> siblings_;
};

}  // namespace

void check_groups(State& state) {
  GroupChecks(state).run();
}

}  // namespace perfcore::invariant
