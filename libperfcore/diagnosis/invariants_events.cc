// SPDX-License-Identifier: LGPL-2.1-or-later
//
// C-16 to C-20: struct hw_perf_event of each event (arch/x86/events/core.c, kernel/events/core.c).
#include <fmt/format.h>

#include "diagnosis/invariant_context.h"
#include "perfcore/ibs.h"

namespace perfcore::invariant {
namespace {

// arch/x86/include/asm/perf_event.h and msr-index.h.
constexpr int64_t kFixed = 32;       // INTEL_PMC_IDX_FIXED
constexpr int64_t kBts = 47;         // INTEL_PMC_IDX_FIXED_BTS
constexpr int64_t kMetricBase = 48;  // INTEL_PMC_IDX_METRIC_BASE ... METRIC_END
constexpr int64_t kMetricEnd = 55;
constexpr int64_t kVlbr = 58;              // INTEL_PMC_IDX_FIXED_VLBR
constexpr int64_t kSlots = 35;             // INTEL_PMC_IDX_FIXED_SLOTS, which the metrics are read from
constexpr uint64_t kFixedControl = 0x38d;  // MSR_ARCH_PERFMON_FIXED_CTR_CTRL
constexpr uint64_t kFixedCounter = 0x309;  // MSR_ARCH_PERFMON_FIXED_CTR0
constexpr uint64_t kV6Step = 4;            // MSR_IA32_PMC_V6_STEP
constexpr int kPerfctrCoreWord = 6, kPerfctrCoreBit = 23;  // X86_FEATURE_PERFCTR_CORE

/// The MSRs of one counter.
struct Msrs {
  uint64_t config = 0;
  uint64_t counter = 0;
};

class EventChecks {
 public:
  explicit EventChecks(State& state) : s_(state) {}

  void run() {
    if (s_.pmu().driver_initialised().is(false)) {
      for (const char* id : {"C-16", "C-17", "C-18"})
        s_.run_on_cpus(id, 0, [](Check& check, int) {
          check.not_applicable("no x86 PMU driver is initialised (x86_pmu.name is NULL)");
        });
    } else {
      on_events("C-16", kAdd | kTransaction | kSched | kEnable, &EventChecks::has_counter);
      s_.run_on_cpus("C-17", 0, [&](Check& check, int cpu) { tags(check, cpu); });
      s_.run_on_cpus("C-18", kAdd | kEnable | kSched | kTransaction | kDel,
                     [&](Check& check, int cpu) { programming(check, cpu); });
    }
    on_events("C-19", kNmi | kStop | kStart, &EventChecks::hw_state);
    on_events("C-20", kNmi | kSched | kTick, &EventChecks::throttled);
  }

 private:
  /// One answer for each CPU about the events on it or bound to it, and one about the others if there are
  /// any.
  void on_events(std::string_view id, uint32_t legal_in,
                 void (EventChecks::*method)(Check&, const PerfEvent&)) {
    const auto judge = [&](Check& check) {
      for (const Unread& unread : s_.events_incomplete(check.cpu())) check.unread(unread);
      for (const EventRef* reference : s_.events_of(check.cpu())) (this->*method)(check, *reference->event);
      if (s_.events_of(check.cpu()).empty()) check.saw("no event");
    };
    s_.run_on_cpus(id, legal_in, [&](Check& check, int) { judge(check); });
    if (!s_.events_of(std::nullopt).empty() || !s_.events_incomplete(std::nullopt).empty())
      s_.run(id, std::nullopt, legal_in, judge);
  }

  void has_counter(Check& check, const PerfEvent& event) {
    const auto x86 = check.take(s_.is_x86(event));
    if (!x86 || !*x86) return;
    const auto idx = check.take(event.hw_idx());
    const auto state = check.take(event.state());
    const auto active = check.take(s_.pmu().state_active());
    if (!idx || !state || !active || *idx != -1 || *state != *active) return;
    check.broken(event.object().member("hw.idx"), fmt::format("event {:#x} ({}) is ACTIVE and has no counter",
                                                              event.address(), event.describe()));
  }

  void tags(Check& check, int cpu) {
    const Counters& counters = s_.counters(cpu);
    if (counters.object.unread()) {
      check.unread(*counters.object.unread());
      return;
    }
    size_t differ = 0;
    for (size_t i = 0; i < counters.list.size(); i++) {
      if (!counters.list_sound[i]) continue;
      const auto last = check.take(s_.pmu().event(*counters.list[i]).object().member("hw.last_tag").u64());
      const auto tag = check.take(counters.object.member("tags").index(static_cast<int64_t>(i)).u64());
      differ += last && tag && *last != *tag ? 1 : 0;
    }
    check.saw(fmt::format("{} of {} differ", differ, counters.list.size()));
  }

  /// x86_pmu.addr_offset(idx, eventsel): how far the MSR of a counter is from the first one's.
  Reading<uint64_t> msr_offset(int64_t idx, bool eventsel) {
    const Object function = s_.kernel().variable("x86_pmu").member("addr_offset");
    const Reading<uint64_t> address = function.u64();
    if (!address.has_value()) return address.unread();
    const auto index = static_cast<uint64_t>(idx);
    if (*address == 0 || index == 0) return index;
    const Reading<std::string> name = s_.code_at(*address);
    if (!name.has_value()) return name.unread();
    if (*name == "intel_pmu_v6_addr_offset") return index * kV6Step;
    if (*name != "amd_pmu_addr_offset")
      return Unread{UnreadReason::kUnsupported, *address, function.expression(),
                    fmt::format("what {}() returns is not known", name->empty() ? "it" : *name)};
    // It keeps what it once returned in these; 0 where it was not asked yet.
    const Object table = s_.kernel().variable(eventsel ? "event_offsets" : "count_offsets").index(idx);
    const Reading<uint64_t> kept = table.u64();
    if (kept.has_value() && *kept != 0) return *kept;
    const Object word =
        s_.kernel().variable("boot_cpu_data").member("x86_capability").index(kPerfctrCoreWord);
    return word.u64().map([&](uint64_t bits) { return bits >> kPerfctrCoreBit & 1 ? index << 1 : index; });
  }

  /// What x86_assign_hw_event() programs for a counter.
  Reading<Msrs> msrs_of(int64_t idx) {
    if (idx == kBts || idx == kVlbr) return Msrs{};
    const Object pmu = s_.kernel().variable("x86_pmu");
    if (idx >= kMetricBase && idx <= kMetricEnd) idx = kSlots;
    const bool fixed = idx >= kFixed;
    if (fixed) {
      const Reading<uint64_t> offset = msr_offset(idx - kFixed, false);
      if (!offset.has_value()) return offset.unread();
      // x86_pmu.fixedctr came with f75bea2c37e3 "perf/x86/intel: Support the new MSR aliases" (6.11).
      const Reading<uint64_t> base =
          pmu.has_member("fixedctr") ? pmu.member("fixedctr").u64() : Reading<uint64_t>(kFixedCounter);
      if (!base.has_value()) return base.unread();
      const uint64_t step = pmu.has_member("fixedctr") ? *offset : static_cast<uint64_t>(idx - kFixed);
      return Msrs{kFixedControl, *base + step};
    }
    const Reading<uint64_t> config_base = pmu.member("eventsel").u64();
    const Reading<uint64_t> counter_base = pmu.member("perfctr").u64();
    const Reading<uint64_t> config = msr_offset(idx, true);
    const Reading<uint64_t> counter = msr_offset(idx, false);
    for (const auto* reading : {&config_base, &counter_base, &config, &counter})
      if (!reading->has_value()) return reading->unread();
    return Msrs{*config_base + *config, *counter_base + *counter};
  }

  void programming(Check& check, int cpu) {
    const Counters& counters = s_.counters(cpu);
    const auto added = check.take(counters.n_added);
    if (!counters.n_events.has_value()) check.unread(counters.n_events.unread());
    if (!added || !counters.n_events.has_value()) return;
    if (!counters.list_known || *added < 0) {
      check.unknown("n_events or n_added is impossible (C-06)");
      return;
    }
    for (size_t i = 0; static_cast<int64_t>(i) < static_cast<int64_t>(counters.list.size()) - *added; i++) {
      if (!counters.list_sound[i]) continue;
      const PerfEvent& event = s_.pmu().event(*counters.list[i]);
      const auto idx = check.take(event.hw_idx());
      if (!idx || *idx < 0 || *idx >= kMaxCounters || s_.is_misplaced(event.address())) continue;
      const auto expected = check.take(msrs_of(*idx));
      if (!expected) continue;
      // The metrics share the fixed counter of the slots; BTS-like ones have no MSR.
      const bool metric = *idx >= kMetricBase && *idx <= kMetricEnd;
      const auto compare = [&](const char* member, uint64_t msr) {
        const Object object = event.object().member(member);
        const auto value = check.take(object.u64());
        if (value && *value != msr && !(metric && *value == 0))
          check.broken(object,
                       fmt::format("event_list[{}] is on counter {}, whose MSR is {:#x}", i, *idx, msr));
      };
      compare("hw.config_base", expected->config);
      compare("hw.event_base", expected->counter);
    }
  }

  void hw_state(Check& check, const PerfEvent& event) {
    const Object object = event.object().member("hw.state");
    const auto value = check.take(object.u64());
    if (!value) return;
    const bool known = *value <= (kHesStopped | kHesUptodate | kHesArch);
    if (!known || ((*value & kHesArch) && !(*value & kHesStopped))) {
      check.broken(
          object, fmt::format("event {:#x} ({}): no code sets this state", event.address(), event.describe()),
          0);
      return;
    }
    // UPTODATE alone: PT leaves it so, the core PMU only for the moment of stopping.
    const Reading<bool> x86 = s_.is_x86(event);
    if (*value == kHesUptodate && x86.is(true))
      check.broken(object, fmt::format("event {:#x} ({}) is up to date and not stopped", event.address(),
                                       event.describe()));
  }

  bool is_ibs(uint64_t pmu) {
    for (const IbsPmu& ibs : ibs_pmus(s_.kernel()))
      if (ibs.pmu.address().is(pmu)) return true;
    return false;
  }

  /// Events of other PMUs may have no stop worth the name: software events go on when they are throttled.
  void throttled(Check& check, const PerfEvent& event) {
    const Object object = event.object().member("hw.interrupts");
    const auto interrupts = check.take(object.u64());
    if (!interrupts || *interrupts != kMaxInterrupts) return;
    const auto pmu = check.take(event.pmu());
    const auto x86 = check.take(s_.is_x86(event));
    if (!pmu || !x86 || (!*x86 && !is_ibs(*pmu))) return;
    const auto state = check.take(event.hw_state());
    if (state && !(*state & kHesStopped))
      check.broken(object, fmt::format("event {:#x} ({}) is throttled and not stopped (hw.state {})",
                                       event.address(), event.describe(), hw_state_name(*state)));
  }

  State& s_;
};

}  // namespace

void check_counter_events(State& state) {
  EventChecks(state).run();
}

}  // namespace perfcore::invariant
