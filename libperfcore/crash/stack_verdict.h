// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What the stack of a dying CPU says of the crash, without any log.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "perfcore/unwind.h"

namespace perfcore {

/// Frames are indices into Stack::frames; never those of inlined calls.
struct StackVerdict {
  bool dying = false;                 ///< panic(), kexec or the report of an oops is on the stack
  std::optional<size_t> fault;        ///< the interrupted frame that an exception or a WARN() hit
  std::optional<size_t> decided;      ///< who called panic(), where there is no fault
  std::optional<size_t> interrupted;  ///< the code that the context of panic() interrupted
  std::string_view crash_class;       ///< of CrashState::crash_class; empty when the stack does not say
};

/// Looks for the outermost panic() or oops: a second one while the first is reported is not the cause, and
/// what interrupted either does not matter.
StackVerdict judge_stack(const Stack& stack);

}  // namespace perfcore
