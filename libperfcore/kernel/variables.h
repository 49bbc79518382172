// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string_view>

namespace perfcore {

/// C type of a kernel variable that perfcore knows by name, or "" for others. BTF has no global variables,
/// and finding one in DWARF by name alone means reading every compile unit.
std::string_view known_variable_type(std::string_view name);

}  // namespace perfcore
