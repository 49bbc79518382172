// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Looking for members so that a recording kernel knows of it.
#pragma once

#include <optional>
#include <string_view>

#include "perfcore/kernel.h"
#include "perfcore/types.h"

namespace perfcore {

/// TypeSource::find_member() on a type of this kernel. A kernel opened with KernelOptions::record remembers
/// what was looked for, and whether it was there.
std::optional<MemberLocation> find_member(Kernel& kernel, const Type* type, std::string_view path);

}  // namespace perfcore
