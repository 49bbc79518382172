// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Rules in Python at the command line.
#pragma once

#include "commands.h"

namespace perfcore::cli {

/// Becomes a Python process that runs the same triage with the rules of --rules besides (perfcore.triage of
/// the Python package), and answers in the same words. Throws InputError when there is no Python or no
/// package.
[[noreturn]] void run_triage_in_python(const Options& options);

}  // namespace perfcore::cli
