// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The stacks in a report's text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "perfcore/report.h"

namespace perfcore {

/// The parts of a report's text that hold stacks.
struct Trace {
  size_t line = 0;
  std::string_view announced;  ///< the line that announces it; empty: none does
  bool call = false;           ///< "Call Trace:"
  std::vector<ConsoleFrame> rip;
  std::vector<ConsoleFrame> frames;
  size_t bare = 0;        ///< lines with an address and no symbol
  size_t unreliable = 0;  ///< lines with "?"
};

struct Stacks {
  std::vector<Trace> traces;
  std::vector<ConsoleFrame> last_rip;  ///< behind the last trace
};

constexpr size_t kMaxFrames = 1024;

/// At most 64 traces of 1024 frames; their views are into `lines`.
/// \param from  the line to begin with
Stacks read_stacks(const std::vector<std::string>& lines, size_t from);

bool has_frames(const Trace& trace);
/// The stack of a message that is no report: fault injection, a failed allocation. Without caller IDs it gets
/// between a headline and its stack.
bool is_foreign(const Trace& trace);
/// Does no frame stand for itself? Empty: true.
bool only_inlined(const std::vector<ConsoleFrame>& frames);

}  // namespace perfcore
