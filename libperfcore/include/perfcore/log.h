// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The kernel log out of the dump's memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/kernel.h"

namespace perfcore {

struct LogRecord {
  uint64_t sequence = 0;
  uint64_t timestamp_ns = 0;  ///< local_clock() of the CPU that printed: nanoseconds since boot, roughly
  int level = -1;             ///< 0 (emerg) - 7 (debug); -1 unknown
  int facility = -1;          ///< 0: the kernel; others: user space by way of /dev/kmsg; -1 unknown
  std::string text;           ///< without prefix; may hold several lines
};

struct KernelLog {
  std::vector<LogRecord> records;    ///< oldest first
  std::optional<Unread> incomplete;  ///< why records are missing, if some are
  std::string source;                ///< "printk_ringbuffer", "log_buf (before 5.10)", "vmcore-dmesg.txt"
};

/// Reads the log: struct printk_ringbuffer since 5.10 (896fbe20b4e2 "printk: use the lockless ringbuffer"),
/// log_buf with struct printk_log before; the vmcore-dmesg.txt beside the dump when neither can be read.
/// Bounded by the ring's size.
KernelLog read_log(Kernel& kernel);

/// "[    4.219865] text", one per line of the record.
std::string format_log_record(const LogRecord& record);

}  // namespace perfcore
