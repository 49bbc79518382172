// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Limits and last words of the process. The input is hostile: a dump must never be able to hang the tool, to
/// eat the machine's memory, or to end it without a message.
#pragma once

#include <cstdint>

namespace perfcore::cli {

struct Limits {
  double cpu_seconds = 5;              ///< user and system time; 0: no limit
  uint64_t heap_bytes = 768ull << 20;  ///< RLIMIT_DATA: heap and private memory, file mappings not counted
};

/// Sets the limits and the signal handlers. A crash or an expired limit then writes one line to stderr that
/// names the current activity and ends the process with exit code 3; heap beyond the limit is std::bad_alloc.
/// Builds with AddressSanitizer keep its own handlers and have no heap limit.
void install_guard(const Limits& limits);

/// What the process is doing, for the last words: "reading the kernel log". \param what a string literal
void set_activity(const char* what);
const char* activity();

/// Starts the time limit anew: for long work whose length is bounded by the size of the input (un-flattening,
/// writing).
void restart_time_limit();

}  // namespace perfcore::cli
