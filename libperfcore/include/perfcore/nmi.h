// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Non-maskable interrupts: who handles them, how many there were (arch/x86/kernel/nmi.c), and what the hard
/// lockup detector and the throttling of perf events made of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "perfcore/kernel.h"

namespace perfcore {

/// A struct nmiaction.
struct NmiHandler {
  std::string type;      ///< "local", "unknown", "serr", "io_check": the list that it is on
  std::string name;      ///< as it was registered: "PMI", "perf_ibs", ...
  std::string function;  ///< symbol, or address in hexadecimal
  uint64_t address = 0;  ///< struct nmiaction
  Reading<uint64_t> max_duration = Unread{};  ///< longest run that was worth a warning, nanoseconds
};
struct NmiHandlerList {
  std::vector<NmiHandler> handlers;
  std::vector<Unread> incomplete;
};
/// The handlers in the order in which they are asked.
NmiHandlerList nmi_handlers(Kernel& kernel);

/// What one CPU has counted.
struct CpuNmiState {
  Reading<uint64_t> normal = Unread{}, unknown = Unread{}, external = Unread{}, swallowed = Unread{};
  Reading<uint64_t> watchdog_event = Unread{};   ///< watchdog_ev: struct perf_event of the lockup detector
  Reading<uint64_t> throttled_count = Unread{};  ///< perf_throttled_count: events throttled in this tick
  Reading<uint64_t> throttled_seq = Unread{};    ///< perf_throttled_seq: ticks so far
};
CpuNmiState cpu_nmi_state(Kernel& kernel, int cpu);

}  // namespace perfcore
