// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Takes what tells about people and their work out of a recording.
#pragma once

#include "dump/recorded_dump.h"
#include "perfcore/kernel.h"

namespace perfcore {

/// Takes away task names, command lines, the text of the log, and the registers of user space that lie on
/// kernel stacks; also copies of them elsewhere. \param kernel  where those are looked up; not the one whose
/// reads are recorded
void redact_memory(Kernel& kernel, RecordedRanges* ranges);

}  // namespace perfcore
