// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Who of a stack is to blame, by the tables under frames/.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace perfcore {

/// The first function that is there for its own sake. `functions`: normalised, innermost first. Empty when
/// there is none.
std::string blamed_function(std::span<const std::string> functions, std::string_view kind);

/// The same for a stall, where the innermost functions are those that the watchdog happened to hit: walks
/// from the entry of the watchdog's interrupt out to what dispatched the work (system call, timer, softirq).
std::string blamed_for_stall(std::span<const std::string> functions, std::string_view kind);

/// Is it passed over in a report of this kind?
bool is_passed_over(std::string_view function, std::string_view kind);

}  // namespace perfcore
