// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/nmi.h"

#include <fmt/format.h>

#include <array>

namespace perfcore {
namespace {

constexpr size_t kMaxHandlers = 1000;
/// arch/x86/include/asm/nmi.h: NMI_LOCAL, NMI_UNKNOWN, NMI_SERR, NMI_IO_CHECK.
constexpr std::array<const char*, 4> kTypes = {"local", "unknown", "serr", "io_check"};

}  // namespace

NmiHandlerList nmi_handlers(Kernel& kernel) {
  NmiHandlerList list;
  const Object descriptors = kernel.variable("nmi_desc");
  if (const Unread* unread = descriptors.unread()) {
    list.incomplete.push_back(*unread);
    return list;
  }
  for (size_t i = 0; i < kTypes.size(); i++) {
    const ListWalk walk = list_entries(descriptors.index(static_cast<int64_t>(i)).member("head"),
                                       "struct nmiaction", "list", kMaxHandlers);
    if (walk.incomplete) list.incomplete.push_back(*walk.incomplete);
    for (const Object& action : walk.entries) {
      NmiHandler handler;
      handler.type = kTypes[i];
      handler.max_duration = action.member("max_duration").u64();
      if (const auto address = action.address(); address.has_value()) handler.address = *address;
      if (const auto name = action.member("name").string(64); name.has_value())
        handler.name = *name;
      else
        list.incomplete.push_back(name.unread());
      if (const auto function = action.member("handler").u64(); function.has_value()) {
        const auto symbol = kernel.symbols().at(*function);
        handler.function =
            symbol && symbol->address == *function ? symbol->name : fmt::format("{:#x}", *function);
      } else {
        list.incomplete.push_back(function.unread());
      }
      list.handlers.push_back(std::move(handler));
    }
  }
  return list;
}

CpuNmiState cpu_nmi_state(Kernel& kernel, int cpu) {
  const Object stats = kernel.per_cpu("nmi_stats", cpu).load();
  CpuNmiState state;
  state.normal = stats.member("normal").u64();
  state.unknown = stats.member("unknown").u64();
  state.external = stats.member("external").u64();
  state.swallowed = stats.member("swallow").u64();
  state.watchdog_event = kernel.per_cpu("watchdog_ev", cpu).u64();
  state.throttled_count = kernel.per_cpu("perf_throttled_count", cpu).u64();
  state.throttled_seq = kernel.per_cpu("perf_throttled_seq", cpu).u64();
  return state;
}

}  // namespace perfcore
