// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include "kernel/code_decode.h"
#include "kernel/code_facts.h"
#include "kernel/null_events_probe.h"
#include "perfcore/members.h"

namespace perfcore {
namespace {

struct WholeFunction {
  std::vector<Instruction> code;
  uint64_t entry = 0;
};

Reading<WholeFunction> read_function(Kernel& kernel, std::string_view name) {
  auto symbol = kernel.symbols().find(name);
  if (!symbol)
    return Unread{UnreadReason::kNoSymbol, 0, std::string(name), "the kernel has no such function"};
  auto code = decode_whole_function(kernel, &*symbol);
  if (!code.has_value()) return code.unread();
  return WholeFunction{std::move(code).value(), symbol->address};
}

std::optional<NullEventsLayout> find_layout(Kernel& kernel, std::string* missing) {
  NullEventsLayout layout;
  layout.cpu_hw_events = kernel.type("struct cpu_hw_events");
  layout.perf_event = kernel.type("struct perf_event");
  const auto range = [&](const Type* type, const char* path, NullEventsLayout::Range* out) {
    const auto member = type ? find_member(kernel, type, path) : std::nullopt;
    if (!member || !member->type) {
      *missing = path;
      return false;
    }
    out->begin = static_cast<int64_t>(member->byte_offset());
    out->end = out->begin + static_cast<int64_t>(member->type->size);
    return true;
  };
  NullEventsLayout::Range state;
  if (!range(layout.cpu_hw_events, "events", &layout.events) ||
      !range(layout.cpu_hw_events, "event_list", &layout.event_list) ||
      !range(layout.cpu_hw_events, "active_mask", &layout.active_mask) ||
      !range(layout.perf_event, "hw.state", &state))
    return std::nullopt;
  layout.hw_state = state.begin;
  return layout;
}

}  // namespace

NullEventsProbe probe_null_events(Kernel& kernel) {
  NullEventsProbe probe;
  const auto start = read_function(kernel, "x86_pmu_start");
  const auto enable = read_function(kernel, "x86_pmu_enable");
  for (const auto* function : {&start, &enable}) {
    if (function->has_value()) continue;
    probe.code = NullEventsCode::kUnreadable;
    probe.reason = function->unread().message();
    return probe;
  }
  std::string missing;
  const auto layout = find_layout(kernel, &missing);
  if (!layout) {
    probe.reason = fmt::format("the types of this kernel do not tell where {} lies", missing);
    return probe;
  }
  const auto function_at = [&](uint64_t target) {
    const auto symbol = kernel.symbols().at(target);
    return symbol && symbol->address == target ? symbol->name : std::string();
  };
  const KernelFacts facts(kernel);
  const NullEventsVerdict verdict = probe_null_events_code(
      {start->code, start->entry}, {enable->code, enable->entry}, facts, *layout, function_at);
  probe.code = verdict.code;
  probe.reason = verdict.reason;
  probe.address = verdict.address;
  if (verdict.address == 0) return probe;
  if (const auto symbol = kernel.symbols().at(verdict.address))
    probe.location = fmt::format("{}+{:#x}", symbol->name, verdict.address - symbol->address);
  if (const auto instruction = decode_at(kernel, verdict.address); instruction.has_value())
    probe.instruction = instruction->text;
  return probe;
}

}  // namespace perfcore
