// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// How titles write what the kernel printed.
#pragma once

#include <string>
#include <string_view>

namespace perfcore {

/// Numbers, addresses and places out: what differs between two reports of one bug.
std::string without_numbers(std::string_view text);

/// A function without what the compiler made of its name.
std::string plain_function(std::string_view function);

/// As titles have it: also without the prefix that SYSCALL_DEFINE() or an architecture puts before the name
/// of a system call.
std::string title_function(std::string_view printed);

}  // namespace perfcore
