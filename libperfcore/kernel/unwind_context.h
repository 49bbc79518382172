// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Contexts of frames by the names of the entry code on the stack.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "perfcore/unwind.h"

namespace perfcore {

/// The context that a function begins when it is on a stack (asm_exc_nmi: kNmi); nullopt for functions that
/// begin none.
std::optional<Context> context_begun_by(std::string_view function);

/// Fills Frame::context and Frame::entry. \param complete the outermost frame is the first of its thread:
/// what lies outside of every entry ran in task context, else it is unknown.
void assign_contexts(std::vector<Frame>* frames, bool complete);

}  // namespace perfcore
