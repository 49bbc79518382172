// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Lines of console text: what consoles, loggers and mails put in front, and the frames that a line names.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "perfcore/report.h"

namespace perfcore {

/// More than any line that printk() emits (1024 bytes with its prefix); the rest of a longer one is dropped.
constexpr size_t kMaxConsoleLine = 4096;

struct ConsoleLine {
  std::string_view text;    ///< without prefixes and trailing blanks
  std::string_view caller;  ///< "T123", "C4"; empty: not printed
  bool stamped = false;     ///< there was a time stamp or a level: printk() wrote it
};

/// Takes off what consoles, dmesg, journald, syslog and mail put in front: "<4>", "[   12.345678]",
/// "[ T123]", "Nov 20 12:00:00 host kernel: ", "kern  :warn  : ", "> ".
ConsoleLine strip_prefixes(std::string_view raw);

struct FrameLine {
  std::vector<ConsoleFrame> frames;  ///< innermost first: inlined calls come before their caller
  bool reliable = true;              ///< false for "? foo+0x1/0x2"
};
/// The frames that a line of a stack trace names; nullopt when it is no such line. Frames without offset and
/// without place are none: "foo" alone may be any word.
std::optional<FrameLine> parse_frame_line(std::string_view text);

/// "RIP: 0010:foo+0x1/0x2", "RIP: 0010:[<addr>] [<addr>] foo+0x1/0x2", "RIP: foo+0x1/0x2": the frames;
/// empty frames for user space; nullopt when it is no RIP line.
std::optional<FrameLine> parse_rip_line(std::string_view text);

/// A line of a trace that holds an address but no symbol: "[<ffffffff81000000>] 0xffffffff81000000".
bool is_bare_address(std::string_view text);

}  // namespace perfcore
