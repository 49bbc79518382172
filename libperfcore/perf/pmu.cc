// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/pmu.h"

#include <fmt/format.h>

#include <algorithm>

namespace perfcore {
namespace {

// Counters that are not general-purpose or fixed ones but live in the same arrays: BTS 47, the top-down
// metrics 48 - 55 and VLBR 58 (INTEL_PMC_IDX_FIXED_BTS, INTEL_PMC_IDX_METRIC_BASE, INTEL_PMC_IDX_FIXED_VLBR
// in arch/x86/include/asm/perf_event.h).
constexpr uint64_t kPseudoCounters = uint64_t{1} << 47 | uint64_t{0xff} << 48 | uint64_t{1} << 58;
constexpr int kFixedBase = 32;  // INTEL_PMC_IDX_FIXED

uint64_t low_bits(uint64_t count) {
  return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

/// enum perf_type_id and enum perf_hw_id / perf_sw_ids of include/uapi/linux/perf_event.h: user ABI, fixed
/// for ever.
std::string event_name(uint64_t type, uint64_t config) {
  static constexpr std::string_view kHardware[] = {
      "cycles",        "instructions", "cache-references",        "cache-misses",           "branches",
      "branch-misses", "bus-cycles",   "stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles"};
  const uint64_t id = config & 0xffffffff;  // the upper half may name a hybrid PMU
  switch (type) {
    case 0:
      return id < std::size(kHardware) ? std::string(kHardware[id]) : fmt::format("hardware event {}", id);
    case 1:
      return fmt::format("software event {}", id);
    case 2:
      return fmt::format("tracepoint {}", config);
    case 3:
      return fmt::format("cache event {:#x}", id);
    case 4:
      return fmt::format("raw event {:#x}", config);
    case 5:
      return "breakpoint";
    default:
      return fmt::format("event of PMU type {}, config {:#x}", type, config);
  }
}

}  // namespace

std::string hw_state_name(uint64_t hw_state) {
  if (hw_state == 0) return "running";
  std::string name;
  const auto add = [&](uint64_t bit, const char* text) {
    if (hw_state & bit) name += (name.empty() ? "" : "|") + std::string(text);
  };
  add(kHesStopped, "STOPPED");
  add(kHesUptodate, "UPTODATE");
  add(kHesArch, "ARCH");
  if (hw_state & ~(kHesStopped | kHesUptodate | kHesArch))
    name += fmt::format("{}{:#x}", name.empty() ? "" : "|", hw_state & ~uint64_t{7});
  return name;
}

PerfEvent::PerfEvent(Kernel& kernel, uint64_t address)
    : address_(address), object_(kernel.object("struct perf_event", address).load()) {}

std::string PerfEvent::describe() const {
  const Reading<uint64_t> type = attr_type();
  const Reading<uint64_t> config = attr_config();
  if (!type.has_value() || !config.has_value())
    return fmt::format("event {:#x} (its attr could not be read)", address_);
  std::string text = event_name(*type, *config);
  const Reading<uint64_t> period = sample_period();
  const Reading<bool> freq = attr_freq();
  if (period.has_value() && freq.has_value()) {
    if (*freq)
      text += fmt::format(", sampled at {} Hz", *period);
    else if (*period)
      text += fmt::format(", sampled every {}", *period);
    else
      text += ", counting";
  }
  const Reading<int64_t> cpu_bound = cpu();
  if (cpu_bound.has_value())
    text += *cpu_bound < 0 ? ", bound to a task" : fmt::format(", bound to CPU {}", *cpu_bound);
  return text;
}

Reading<std::string> PerfEvent::owner() const {
  const Object task = object_.member("owner").deref();
  const Reading<std::string> comm = task.member("comm").string();
  if (!comm.has_value()) return comm.unread();
  const Reading<int64_t> pid = task.member("pid").s64();
  return pid.has_value() ? fmt::format("{} (PID {})", *comm, *pid) : *comm;
}

CpuPmu::CpuPmu(Kernel& kernel, int cpu) : cpu_(cpu), object_(kernel.per_cpu("cpu_hw_events", cpu).load()) {}

Reading<uint64_t> CpuPmu::active_mask() const {
  return object_.member("active_mask").index(0).u64();
}

std::string_view to_string(PointerClass pointer_class) {
  switch (pointer_class) {
    case PointerClass::kNull:
      return "NULL";
    case PointerClass::kDirectMap:
      return "direct map";
    case PointerClass::kVmalloc:
      return "vmalloc";
    case PointerClass::kKernelImage:
      return "kernel image or module";
    case PointerClass::kPoison:
      return "poison";
    case PointerClass::kUser:
      return "user address";
    case PointerClass::kNonCanonical:
      return "non-canonical";
    case PointerClass::kOther:
      return "other kernel address";
  }
  return "?";
}

PmuState::PmuState(Kernel& kernel) : kernel_(&kernel), map_(kernel), cpus_(kernel.present_cpus()) {}

const CpuPmu& PmuState::cpu(int cpu) {
  return cpu_states_.try_emplace(cpu, *kernel_, cpu).first->second;
}

const PerfEvent& PmuState::event(uint64_t address) {
  return events_.try_emplace(address, *kernel_, address).first->second;
}

Reading<bool> PmuState::driver_initialised() {
  return kernel_->variable("x86_pmu").member("name").truth();
}

Reading<std::string> PmuState::driver_name() {
  return kernel_->variable("x86_pmu").member("name").string(64);
}

Reading<std::string> PmuState::handle_irq() {
  const Object handler = kernel_->variable("x86_pmu").member("handle_irq");
  const Reading<uint64_t> address = handler.u64();
  if (!address.has_value()) return address.unread();
  const auto symbol = kernel_->symbols().at(*address);
  if (!symbol || symbol->address != *address)
    return Unread{UnreadReason::kNoSymbol, *address, handler.expression(), "no function starts here"};
  return symbol->name;
}

Reading<uint64_t> PmuState::valid_counters(int cpu) {
  Object pmu = kernel_->variable("x86_pmu");
  const Reading<uint64_t> hybrid = pmu.member("num_hybrid_pmus").u64();
  if (!hybrid.has_value() && hybrid.unread().reason != UnreadReason::kNoMember) return hybrid.unread();
  if (hybrid.has_value() && *hybrid > 0)
    pmu = this->cpu(cpu).object().member("pmu").container_of("struct x86_hybrid_pmu", "pmu");
  // "perf/x86: Support counter mask" (722e42e45c2f, 6.11) replaced the numbers of counters by masks.
  if (pmu.has_member("cntr_mask64")) {
    const Reading<uint64_t> general = pmu.member("cntr_mask64").u64();
    const Reading<uint64_t> fixed = pmu.member("fixed_cntr_mask64").u64();
    if (!general.has_value()) return general;
    if (!fixed.has_value()) return fixed;
    return *general | *fixed << kFixedBase | kPseudoCounters;
  }
  const Reading<uint64_t> general = pmu.member("num_counters").u64();
  const Reading<uint64_t> fixed = pmu.member("num_counters_fixed").u64();
  if (!general.has_value()) return general;
  if (!fixed.has_value()) return fixed;
  return low_bits(*general) | low_bits(std::min<uint64_t>(*fixed, 16)) << kFixedBase | kPseudoCounters;
}

Reading<bool> PmuState::is_x86_event(const PerfEvent& event) {
  // event_init rather than the address of `pmu`: hybrid PMUs are copies of it, and data symbols may be
  // missing.
  const auto init = kernel_->symbols().find("x86_pmu_event_init");
  if (!init) return Unread{UnreadReason::kNoSymbol, 0, "x86_pmu_event_init", ""};
  return event.object().member("pmu").member("event_init").u64().map([&](uint64_t address) {
    return address == init->address;
  });
}

Reading<int64_t> PmuState::state_active() {
  if (const auto value = kernel_->enumerator("perf_event_state", "PERF_EVENT_STATE_ACTIVE")) return *value;
  return Unread{UnreadReason::kNoType, 0, "enum perf_event_state", ""};
}

PointerClass PmuState::classify(uint64_t pointer) {
  if (pointer == 0) return PointerClass::kNull;
  if (!poison_name(pointer).empty()) return PointerClass::kPoison;
  switch (map_.region(pointer)) {
    case Region::kNullPage:
    case Region::kUser:
      return PointerClass::kUser;
    case Region::kNonCanonical:
      return PointerClass::kNonCanonical;
    case Region::kDirectMap:
      return PointerClass::kDirectMap;
    case Region::kVmalloc:
      return PointerClass::kVmalloc;
    case Region::kKernelImage:
    case Region::kModules:
    case Region::kFixmap:
    case Region::kErrorPointer:
      return PointerClass::kKernelImage;
    case Region::kVmemmap:
    case Region::kCpuEntryArea:
    case Region::kOtherKernel:
      break;
  }
  return PointerClass::kOther;
}

Reading<bool> PmuState::is_sane_event(uint64_t address, std::string* why_not) {
  const PointerClass pointer_class = classify(address);
  if (pointer_class != PointerClass::kDirectMap && pointer_class != PointerClass::kVmalloc &&
      pointer_class != PointerClass::kOther) {
    *why_not = fmt::format("{:#x} is no slab address ({})", address, to_string(pointer_class));
    return false;
  }
  if (address % 8 != 0) {
    *why_not = fmt::format("{:#x} is not aligned", address);
    return false;
  }
  const PerfEvent& candidate = event(address);
  const Reading<int64_t> state = candidate.state();
  if (!state.has_value()) return state.unread();
  // PERF_EVENT_STATE_DEAD is -4 up to 6.13 and -5 since PERF_EVENT_STATE_REVOKED was added.
  if (*state < -5 || *state > 1) {
    *why_not = fmt::format("state = {}", *state);
    return false;
  }
  const Reading<int64_t> refcount = candidate.object().member("refcount.counter").s64();
  if (!refcount.has_value()) return refcount.unread();
  if (*refcount <= 0) {
    *why_not = fmt::format("refcount = {}", *refcount);
    return false;
  }
  for (const char* name : {"pmu", "ctx", "group_leader"}) {
    const Reading<uint64_t> pointer = candidate.object().member(name).u64();
    if (!pointer.has_value()) return pointer.unread();
    const PointerClass target = classify(*pointer);
    if (target == PointerClass::kNull || target == PointerClass::kUser ||
        target == PointerClass::kNonCanonical || target == PointerClass::kPoison) {
      *why_not = fmt::format("{} = {:#x}", name, *pointer);
      return false;
    }
  }
  return true;
}

}  // namespace perfcore
