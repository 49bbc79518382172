// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Recordings: what a diagnosis read and asked of a dump, in a file of some hundred kilobytes that opens like
/// the dump and gives the same answers.
#pragma once

#include <cstdint>
#include <string>

#include "perfcore/kernel.h"

namespace perfcore {

struct RecordOptions {
  /// Leave out task names (comm), command lines, the text of the kernel log and the registers of user space;
  /// they read as not recorded, and the recording's Dump::quality() says so.
  bool redact = false;
};

/// What was written.
struct RecordSummary {
  uint64_t file_bytes = 0;    ///< size of the file
  uint64_t memory_bytes = 0;  ///< of kernel memory in it
  uint64_t symbols = 0;       ///< answers about symbols
  uint64_t types = 0;         ///< type layouts
};

/// Writes what was read and asked of a kernel that was opened with KernelOptions::record: memory by virtual
/// address, answers about symbols and types (that there is no such symbol is an answer, too), registers,
/// VMCOREINFO and what is known of the file. What fails to read fails in the recording for the same reason.
/// Of types all members are kept, so that other members of the same objects can be asked for later; anything
/// else that was not asked reads as UnreadReason::kNotRecorded. A log that had to be taken from a text file
/// beside the dump is not kept. Throws InputError when the file cannot be written.
RecordSummary write_recording(Kernel& kernel, const std::string& path, const RecordOptions& options = {});

}  // namespace perfcore
