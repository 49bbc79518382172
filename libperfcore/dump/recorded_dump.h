// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A recording seen as a dump, and the part of a recording that describes the file and the memory of a dump.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dump/recording_file.h"
#include "perfcore/dump.h"

namespace perfcore {

/// What of a kernel's memory goes into a recording.
struct RecordedRanges {
  /// Begin to end by virtual address, disjoint, not adjacent.
  std::map<uint64_t, uint64_t> ranges;
  /// Reads that failed: where, up to where the same holds, and why. Unread::address is where.
  std::map<uint64_t, std::pair<uint64_t, Unread>> failures;

  void add(uint64_t begin, uint64_t end);
  /// Takes [begin, end) away; what was there reads as `why` from now on.
  void remove(uint64_t begin, uint64_t end, const Unread& why);
};

/// What a recording says of the dump that it was made of.
struct RecordedFile {
  std::string format;
  std::string vmcoreinfo;
  std::string vmcoreinfo_source;
  std::vector<QualityNote> quality;
  std::vector<CpuStatus> cpu_status;
  std::vector<PhysicalMemory::Range> memory;
};

/// \param ranges  what cannot be read any more becomes a failure
void write_recorded_dump(RecordWriter& out, const RecordedFile& file, RecordedRanges ranges, Memory& memory);

/// Whether this is a regular file that begins as recordings do, of whichever version.
bool is_recording(const std::string& path);
/// Throws InputError when the recording is truncated, corrupt or of another version.
std::unique_ptr<Dump> open_recorded_dump(const std::string& path);

}  // namespace perfcore
