// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What the commands that make a smaller copy of a dump have in common.
#pragma once

#include <string>

#include "perfcore/kernel.h"

namespace perfcore::cli {

/// Asks all that the copy must be able to answer again.
void touch_everything(Kernel& kernel);

/// Throws UsageError when the copy would be written over the dump itself.
void refuse_to_overwrite(Kernel& kernel, const std::string& output);

}  // namespace perfcore::cli
