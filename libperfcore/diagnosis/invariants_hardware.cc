// SPDX-License-Identifier: LGPL-2.1-or-later
//
// C-29 to C-35: PEBS, LBR, BRS, northbridge counters, IBS, PT and BTS (arch/x86/events/intel,
// arch/x86/events/amd).
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "diagnosis/invariant_context.h"
#include "perfcore/ibs.h"

namespace perfcore::invariant {
namespace {

constexpr uint64_t kNeedsBranchStack = 0x40000;  // PERF_X86_EVENT_NEEDS_BRANCH_STACK, since 5.19
constexpr uint64_t kPebsCounters = 0xffffffff;   // PEBS_COUNTER_MASK
constexpr int64_t kVlbr = 58;                    // INTEL_PMC_IDX_FIXED_VLBR
constexpr uint64_t kMaxLbr = 32;                 // MAX_LBR_ENTRIES
constexpr int kBrsEntries = 16;

class HardwareChecks {
 public:
  explicit HardwareChecks(State& state) : s_(state), x86_(state.kernel().variable("x86_pmu").load()) {}

  void run() {
    each("C-29", kNmi, &HardwareChecks::debug_store);
    each("C-30", kStart | kStop | kAdd | kDel | kNmi | kEnable | kDisable | kSched, &HardwareChecks::pebs);
    each("C-31", kAdd | kDel | kSched, &HardwareChecks::lbr);
    each("C-32", kAdd | kDel | kEnable | kDisable | kStart | kStop | kSched, &HardwareChecks::brs);
    each("C-33", kEnable | kSched | kTransaction | kHotplug, &HardwareChecks::northbridge);
    ibs();
    traces();
  }

 private:
  void each(std::string_view id, uint32_t legal_in, void (HardwareChecks::*method)(Check&, const Counters&)) {
    s_.run_on_cpus(id, legal_in, [&](Check& check, int cpu) {
      const Counters& counters = s_.counters(cpu);
      if (const Unread* unread = counters.object.unread())
        check.unread(*unread);
      else
        (this->*method)(check, counters);
    });
  }

  std::optional<int64_t> number(Check& check, const Counters& counters, const char* name) {
    return check.take(counters.object.member(name).s64());
  }

  /// x86_pmu.pebs was renamed ds_pebs, and arch_pebs added, in 7.0.
  std::optional<bool> has_ds_pebs(Check& check) {
    return check.take(x86_.member(x86_.has_member("ds_pebs") ? "ds_pebs" : "pebs").truth());
  }

  /// Calls `visit` with each event on event_list[] and its counter.
  template <typename Visit>
  bool for_listed(Check& check, const Counters& counters, Visit&& visit) {
    if (!counters.list_known) {
      if (!counters.n_events.has_value())
        check.unread(counters.n_events.unread());
      else
        check.unknown("n_events is impossible (C-06)");
      return false;
    }
    bool complete = true;
    for (size_t i = 0; i < counters.list.size(); i++) {
      if (!counters.list_sound[i]) {
        complete = false;
        continue;
      }
      const PerfEvent& event = s_.pmu().event(*counters.list[i]);
      const auto idx = check.take(event.hw_idx());
      if (idx)
        visit(event, *idx);
      else
        complete = false;
    }
    return complete;
  }

  void debug_store(Check& check, const Counters& counters) {
    const int cpu = *check.cpu();
    const Object pointer = counters.object.member("ds");
    const auto ds = check.take(pointer.u64());
    const auto users = number(check, counters, "n_pebs");
    if (!ds || !users) return;
    const auto ds_pebs = has_ds_pebs(check);
    if (!ds_pebs) return;
    // The debug store is used through the cpu_entry_area, whose place the exception stacks tell. Asked for in
    // any case: with the same object and another pointer in it, a recording must be able to tell.
    const Object stacks = s_.kernel().per_cpu("cea_exception_stacks", cpu);
    const Object area = stacks.container_of("struct cpu_entry_area", "estacks");
    const Reading<uint64_t> store_of_cpu = area.member("cpu_debug_store").address();
    if (*ds == 0) {
      if (*users > 0 && *ds_pebs)
        check.broken(pointer, fmt::format("{} PEBS event(s) and no debug store", *users));
      else
        check.not_applicable("this CPU has no debug store (cpuc.ds is NULL)");
      return;
    }
    const auto expected = check.take(store_of_cpu);
    if (!expected) return;
    if (*ds != *expected) {
      check.broken(pointer,
                   fmt::format("cpuc.ds must be NULL or {:#x}, the debug store of this CPU", *expected), 0);
      return;
    }
    if (*users <= 0 || !*ds_pebs) return;
    const Object store = s_.kernel().object("struct debug_store", *ds).load();
    const auto base = check.take(store.member("pebs_buffer_base").u64());
    const auto index = check.take(store.member("pebs_index").u64());
    const auto maximum = check.take(store.member("pebs_absolute_maximum").u64());
    const auto threshold = check.take(store.member("pebs_interrupt_threshold").u64());
    if (!base || !index || !maximum || !threshold) return;
    if (*index < *base || *index > *maximum)
      check.broken(store.member("pebs_index"),
                   fmt::format("pebs_index must be {:#x} to {:#x}", *base, *maximum));
    if (*threshold <= *base || *threshold > *maximum)
      check.broken(store.member("pebs_interrupt_threshold"),
                   fmt::format("the threshold must be above {:#x} and at most {:#x}", *base, *maximum));
    auto size = check.take(counters.object.member("pebs_record_size").u64());
    if (size && *size == 0) size = check.take(x86_.member("pebs_record_size").u64());
    if (size && *size != 0 && *index >= *base && (*index - *base) % *size != 0)
      check.broken(store.member("pebs_index"),
                   fmt::format("pebs_index is not at a record ({} bytes)", *size));
  }

  void pebs(Check& check, const Counters& counters) {
    const Object mask = counters.object.member("pebs_enabled");
    const auto enabled = check.take(mask.u64());
    const auto users = number(check, counters, "n_pebs");
    const auto large = number(check, counters, "n_large_pebs");
    const auto via_pt = number(check, counters, "n_pebs_via_pt");
    if (!enabled || !users || !large || !via_pt) return;
    if (*enabled == 0 && *users == 0 && *large == 0 && *via_pt == 0) {
      check.not_applicable("no PEBS event on this CPU (pebs_enabled, n_pebs are 0)");
      return;
    }
    uint64_t precise = 0;
    int64_t precise_events = 0;
    const bool complete = for_listed(check, counters, [&](const PerfEvent& event, int64_t idx) {
      const auto level = check.take(event.object().member("attr.precise_ip").u64());
      if (!level || *level == 0) return;
      precise_events++;
      if (idx >= 0 && idx < kMaxCounters) precise |= uint64_t{1} << idx;
    });
    const uint64_t counting = *enabled & kPebsCounters;
    if (complete && (counting & ~precise))
      check.broken(mask, fmt::format("bits {:#x} belong to no PEBS event of this CPU", counting & ~precise));
    if (std::popcount(counting) > *users)
      check.broken(counters.object.member("n_pebs"),
                   fmt::format("{} counters are in pebs_enabled", std::popcount(counting)));
    if (complete && *users > precise_events)
      check.broken(counters.object.member("n_pebs"),
                   fmt::format("event_list[] holds {} PEBS event(s)", precise_events));
    for (const char* name : {"n_large_pebs", "n_pebs_via_pt"}) {
      const auto part = number(check, counters, name);
      if (part && (*part < 0 || *part > *users))
        check.broken(counters.object.member(name), fmt::format("{} must be 0 to {} (n_pebs)", name, *users));
    }
  }

  void lbr(Check& check, const Counters& counters) {
    const auto depth = check.take(x86_.member("lbr_nr").s64());
    const auto users = number(check, counters, "lbr_users");
    const auto pebs_users = number(check, counters, "lbr_pebs_users");
    const auto entries = check.take(counters.object.member("lbr_stack.nr").u64());
    if (!depth || !users || !pebs_users || !entries) return;
    if (*depth == 0 && *users == 0 && *pebs_users == 0 && *entries == 0) {
      check.not_applicable("this PMU has no branch records in use (x86_pmu.lbr_nr is 0)");
      return;
    }
    const Object lbr_users = counters.object.member("lbr_users");
    if (*users < 0) {
      check.broken(lbr_users, "lbr_users must not be negative", 0);
      return;
    }
    if (*pebs_users < 0 || *pebs_users > *users)
      check.broken(counters.object.member("lbr_pebs_users"),
                   fmt::format("lbr_pebs_users must be 0 to {} (lbr_users)", *users));
    if (*depth < 0 || static_cast<uint64_t>(*depth) > kMaxLbr)
      check.broken(x86_.member("lbr_nr"), fmt::format("lbr_nr must be 0 to {}", kMaxLbr), 0);
    else if (*entries > static_cast<uint64_t>(*depth))
      check.broken(counters.object.member("lbr_stack.nr"),
                   fmt::format("lbr_stack.nr must be at most {} (x86_pmu.lbr_nr)", *depth), 0);
    int64_t wanting = 0;
    const bool complete = for_listed(check, counters, [&](const PerfEvent& event, int64_t idx) {
      const auto branches = check.take(event.object().member("attr.branch_sample_type").u64());
      const auto level = check.take(event.object().member("attr.precise_ip").u64());
      const auto flags = check.take(event.object().member("hw.flags").u64());
      // Precise events may use the LBR without having asked for it (intel_pmu_needs_branch_stack()).
      if ((branches && *branches) || (level && *level > 1) || (flags && (*flags & kNeedsBranchStack)) ||
          idx == kVlbr)
        wanting++;
    });
    if (complete && *users > wanting)
      check.broken(lbr_users, fmt::format("event_list[] holds {} event(s) that use branch records", wanting));
  }

  void brs(Check& check, const Counters& counters) {
    // AMD's branch sampling came with ada543459cab (5.19).
    if (!counters.object.has_member("brs_active")) {
      check.not_applicable("this kernel knows no AMD branch sampling");
      return;
    }
    const Object object = counters.object.member("brs_active");
    const auto active = check.take(object.u64());
    if (!active) return;
    check.saw(fmt::format("{}", *active));
    if (*active == 0) return;
    const auto users = number(check, counters, "lbr_users");
    const auto depth = check.take(x86_.member("lbr_nr").s64());
    if (!users || !depth) return;
    if (*active != 1 || *users <= 0 || *depth != kBrsEntries)
      check.broken(object,
                   fmt::format("brs_active is {} with lbr_users {} and lbr_nr {}", *active, *users, *depth));
  }

  /// cpuc.amd_nb of every CPU; and nb_id of each.
  const std::map<int, Reading<uint64_t>>& northbridges() {
    for (const int cpu : s_.cpus()) {
      if (northbridges_.size() == s_.cpus().size()) break;
      const Object pointer = s_.counters(cpu).object.member("amd_nb");
      const Reading<uint64_t> nb = pointer.u64();
      northbridges_.emplace(cpu, nb);
      if (nb.has_value() && s_.is_object_pointer(*nb) && !northbridge_ids_.count(*nb))
        northbridge_ids_.emplace(*nb, pointer.deref().member("nb_id").s64());
    }
    return northbridges_;
  }

  void northbridge(Check& check, const Counters& counters) {
    const Object pointer = counters.object.member("amd_nb");
    const auto nb = check.take(pointer.u64());
    if (!nb) return;
    if (*nb == 0) {
      check.not_applicable("this CPU has no northbridge counters (cpuc.amd_nb is NULL)");
      return;
    }
    if (!s_.is_object_pointer(*nb)) {
      check.broken(pointer, "amd_nb is no pointer to an object", 0);
      return;
    }
    const Object node = pointer.deref().load();
    const auto id = check.take(node.member("nb_id").s64());
    const auto references = check.take(node.member("refcnt").s64());
    if (!id) return;
    int64_t sharing = 0;
    bool complete = true;
    for (const auto& [other, theirs] : northbridges()) {
      complete &= theirs.has_value();
      if (!theirs.has_value() || *theirs == 0) continue;
      sharing += *theirs == *nb ? 1 : 0;
      if (*theirs == *nb) continue;
      const auto other_id = northbridge_ids_.find(*theirs);
      if (other_id != northbridge_ids_.end() && other_id->second.is(*id) && *id != -1)
        check.broken(pointer,
                     fmt::format("CPU {} is on the same northbridge {} and has another amd_nb", other, *id));
    }
    if (references && complete && *references != sharing)
      check.broken(node.member("refcnt"), fmt::format("{} CPU(s) share this amd_nb", sharing));
    const Object owners = node.member("owners");
    for (int i = 0; i < kMaxCounters; i++) {
      const auto owner = check.take(owners.index(i).u64());
      if (!owner || *owner == 0) continue;
      const auto cpu = s_.listed_on(*owner);
      if (cpu && s_.counters(*cpu).object.member("amd_nb").u64().is(*nb) &&
          s_.pmu().event(*owner).hw_idx().is(i))
        continue;
      check.broken(owners.index(i), fmt::format("the owner of northbridge counter {} is no event on it", i),
                   kEnable | kSched | kTransaction | kHotplug, true);
    }
  }

  /// What is wrong with a state of rest (perf_ibs_start/stop/add/del); empty when nothing is.
  static std::string unrest(const IbsStates& s, uint64_t state, bool has_event, uint64_t hw_state,
                            uint64_t interrupts) {
    const bool enabled = state & s.enabled, started = state & s.started, stopping = state & s.stopping;
    if (!has_event) {
      if (enabled) return "ENABLED without an event";
      if (started) return "STARTED without an event";
      if ((state & s.stopped) && !stopping) return "STOPPED without STOPPING";
      return "";
    }
    if (!enabled) return "an event is left although it is not ENABLED";
    if (started && stopping) return "STARTED and STOPPING at once";
    if (started && (hw_state & kHesStopped)) return "STARTED although the event is stopped";
    if (!started && !(hw_state & kHesStopped)) return "not STARTED although the event runs";
    if (started && interrupts == kMaxInterrupts)
      return "running although the event is throttled: a stop was lost";
    return "";
  }

  void ibs() {
    constexpr uint32_t kLegal = kAdd | kDel | kStart | kStop | kNmi | kSched;
    const Reading<uint64_t> caps = ibs_caps(s_.kernel());
    const IbsStates states = ibs_states(s_.kernel());
    s_.run_on_cpus("C-34", kLegal, [&](Check& check, int cpu) {
      if (s_.lacks_symbol("ibs_caps") || caps.is(uint64_t{0})) {
        check.not_applicable(caps.is(uint64_t{0}) ? "this CPU has no IBS (ibs_caps is 0)"
                                                  : "this kernel has no IBS driver");
        return;
      }
      if (!check.take(caps)) return;
      for (const IbsPmu& pmu : ibs_pmus(s_.kernel())) flavour(check, pmu, states, cpu);
    });
  }

  void flavour(Check& check, const IbsPmu& pmu, const IbsStates& states, int cpu) {
    const Object pcpu = pmu.pcpu(cpu);
    const Object state = pcpu.member("state[0]");
    const Object pointer = pcpu.member("event");
    const auto bits = check.take(state.u64());
    const auto event = check.take(pointer.u64());
    if (!bits || !event) return;
    const std::string name = fmt::format("{} is {}", pmu.name, ibs_state_name(states, *bits));
    uint64_t hw_state = 0, interrupts = 0;
    if (*event != 0) {
      std::string why;
      const auto live = check.take(s_.looks_live(*event, &why));
      if (!live) return;
      if (!*live) {
        check.broken(pointer, fmt::format("the event of {} is no live event: {}", pmu.name, why), 0);
        return;
      }
      const PerfEvent& of_ibs = s_.pmu().event(*event);
      const auto owner = check.take(of_ibs.pmu());
      const auto address = check.take(pmu.pmu.address());
      if (owner && address && *owner != *address) {
        check.broken(pointer, fmt::format("the event of {} belongs to the PMU at {:#x}", pmu.name, *owner),
                     0);
        return;
      }
      const auto hw = check.take(of_ibs.hw_state());
      const auto count = check.take(of_ibs.hw_interrupts());
      const auto on = check.take(of_ibs.oncpu());
      if (!hw || !count || !on) return;
      hw_state = *hw;
      interrupts = *count;
      if (*on != cpu)
        check.broken(of_ibs.object().member("oncpu"),
                     fmt::format("it is the event of {} on CPU {}", pmu.name, cpu));
    }
    const std::string why = unrest(states, *bits, *event != 0, hw_state, interrupts);
    if (!why.empty()) check.broken(state, fmt::format("{}: {}", name, why));
  }

  /// The per-CPU context of PT or BTS; unread where this kernel has none. Both are static, and debug
  /// information may lack the type of such a variable.
  Object trace_context(const char* name, const char* type, int cpu) {
    const Object typed = s_.kernel().per_cpu(name, cpu);
    if (!typed.unread() || typed.unread()->reason != UnreadReason::kNoType) return typed;
    const auto symbol = s_.kernel().symbols().find(name);
    const Reading<uint64_t> offset = s_.kernel().per_cpu_offset(cpu);
    if (!symbol) return Object::of_unread(s_.kernel(), Unread{UnreadReason::kNoSymbol, 0, name, ""});
    if (!offset.has_value()) return Object::of_unread(s_.kernel(), offset.unread());
    return s_.kernel().object(type, symbol->address + *offset);
  }

  /// C-35. bts_ctx is a pointer to dynamic per-CPU memory since 6.18.
  void traces() {
    s_.run_on_cpus("C-35", kAdd | kDel | kStart | kStop | kNmi | kSched, [&](Check& check, int cpu) {
      bool any = false;
      if (!s_.lacks_symbol("pt_ctx"))
        any |= trace(check, trace_context("pt_ctx", "struct pt", cpu), "pt_pmu", cpu);
      if (!s_.lacks_symbol("bts_ctx")) {
        const auto symbol = s_.kernel().symbols().find("bts_ctx");
        const Type* type = s_.kernel().type("struct bts_ctx");
        if (symbol && type && symbol->size >= type->size) {
          any |= trace(check, trace_context("bts_ctx", "struct bts_ctx", cpu), "bts_pmu", cpu);
        } else if (symbol && type) {
          const Reading<uint64_t> pointer = s_.kernel().object("unsigned long", symbol->address).u64();
          const Reading<uint64_t> offset = s_.kernel().per_cpu_offset(cpu);
          if (pointer.has_value() && *pointer != 0 && offset.has_value())
            any |= trace(check, s_.kernel().object(type, *pointer + *offset), "bts_pmu", cpu);
          else if (!pointer.has_value())
            check.unread(pointer.unread());
        }
      }
      if (!any) check.not_applicable("neither PT nor BTS has an event on this CPU");
    });
  }

  bool trace(Check& check, const Object& context, const char* pmu_name, int cpu) {
    const Object handle = context.member("handle");
    const Object pointer = handle.member("event");
    const auto event = check.take(pointer.u64());
    bool any = false;
    if (context.has_member("handle_nmi")) {
      const auto in_nmi = check.take(context.member("handle_nmi").s64());
      if (in_nmi && *in_nmi != 0 && *in_nmi != 1) {
        check.broken(context.member("handle_nmi"), "handle_nmi must be 0 or 1", 0);
        any = true;
      }
    }
    if (!event) return true;
    if (*event == 0) return lost_trace(check, pointer, pmu_name, cpu) || any;
    std::string why;
    const auto live = check.take(s_.looks_live(*event, &why));
    if (live && !*live) check.broken(pointer, "the event of the handle is no live event: " + why, 0);
    if (!live || !*live) return true;
    const PerfEvent& traced = s_.pmu().event(*event);
    const auto on = check.take(traced.oncpu());
    if (on && *on != cpu)
      check.broken(traced.object().member("oncpu"), fmt::format("its handle is that of CPU {}", cpu));
    const Object buffer = handle.member("rb");
    const auto rb = check.take(buffer.u64());
    const Object parent = traced.object().member("parent");
    const auto inherited = check.take(parent.u64());
    const auto own = check.take((inherited && *inherited ? parent : pointer).member("rb").u64());
    if (rb && own && *rb != *own) check.broken(buffer, fmt::format("the event's buffer is {:#x}", *own));
    const Object aux_nest = count_in(buffer.member("aux_nest"));
    const auto nest = check.take(aux_nest.s64());
    if (rb && nest && *nest != 1) check.broken(aux_nest, "aux_nest must be 1 while the handle is in use");
    return true;
  }

  /// An event of this PMU that thinks it runs while the hardware has none.
  bool lost_trace(Check& check, const Object& pointer, const char* pmu_name, int cpu) {
    const auto pmu = s_.kernel().symbols().find(pmu_name);
    const Reading<int64_t> active = s_.pmu().state_active();
    bool any = false;
    for (const EventRef* reference : s_.events_of(cpu)) {
      const PerfEvent& event = *reference->event;
      if (!pmu || !event.pmu().is(pmu->address) || !event.oncpu().is(cpu)) continue;
      any = true;
      const auto state = check.take(event.state());
      const auto hw = check.take(event.hw_state());
      if (state && hw && active.is(*state) && !(*hw & kHesStopped))
        check.broken(pointer, fmt::format("event {:#x} is ACTIVE and not stopped, and the hardware has none",
                                          event.address()));
    }
    return any;
  }

  State& s_;
  Object x86_;
  std::map<int, Reading<uint64_t>> northbridges_;
  std::map<uint64_t, Reading<int64_t>> northbridge_ids_;
};

}  // namespace

void check_hardware_buffers(State& state) {
  HardwareChecks(state).run();
}

}  // namespace perfcore::invariant
