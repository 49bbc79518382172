// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Help, man pages and shell completion, all written from the table of commands.
#pragma once

#include <string>

#include "commands.h"

namespace perfcore::cli {

std::string help_text();
std::string help_text(const Command& command);

/// A man page in troff: of a command, or of perfcore itself.
std::string man_page();
std::string man_page(const Command& command);

std::string bash_completion();

}  // namespace perfcore::cli
