// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Taint flags, as in taint_flags[] of kernel/panic.c and Documentation/admin-guide/tainted-kernels.rst.
#pragma once

#include <cstdint>
#include <string>

namespace perfcore {

/// "POE": the letters of the bits that are set; a bit that this table does not know is "<bit 20>".
std::string taint_letters(uint64_t mask);

/// "O (out-of-tree module), E (unsigned module)"; "" for 0.
std::string taint_words(uint64_t mask);

}  // namespace perfcore
