// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What functions on the stack of a dying CPU are there for. Names are those of the source: compiler suffixes
/// (".cold", ".isra.0") do not matter.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace perfcore {

enum class FrameRole {
  kDying,    ///< the kernel goes down: panic(), kexec
  kOops,     ///< reports an exception that hit the interrupted code
  kWarning,  ///< the same for a WARN(), which is an exception, too
  kHelper,   ///< between these and who called them
  kChecker,  ///< complains about its caller: refcount_warn_saturate(), usercopy_abort()
  kWaiting,  ///< sleeps on behalf of its caller: schedule(), mutex_lock()
};

/// nullopt for every function that is there for its own sake.
std::optional<FrameRole> frame_role(std::string_view function);

/// Class of a crash by a function on the stack between panic() and the interrupted code.
struct FunctionClass {
  std::string_view function;
  std::string_view crash_class;
  bool needs_oops = false;  ///< panic() may also be called on the way of a legal exception
};

/// In the order in which they count: what is called on behalf of another comes first.
std::span<const FunctionClass> function_classes();

/// Whether the function only passes the message of a crash on: it reports it, or handles the exception. All
/// that is left of a stack that could not be followed; empty ones too.
bool is_messenger(std::string_view function);

}  // namespace perfcore
