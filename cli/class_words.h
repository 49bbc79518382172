// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The classes of crashes in words.
#pragma once

#include <string_view>

namespace perfcore::cli {

struct ClassWords {
  std::string_view crash_class;  ///< CrashState::crash_class
  std::string_view what;         ///< completes "the kernel died: ..."
  std::string_view next;         ///< what to look at when no rule explains it
};

/// Words for a class; those of "other" for one that is not in the table.
const ClassWords& words_for(std::string_view crash_class);

}  // namespace perfcore::cli
