// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The note by which write_minimal_dump() marks its dumps, so that a page which was left out by perfcore is
/// told from one that the original dump did not have.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/memory.h"
#include "perfcore/reading.h"

namespace perfcore {

inline constexpr std::string_view kMinimalNoteName = "perfcore";
inline constexpr uint32_t kMinimalNoteType = 1;

/// Pages that the original dump did not have either, though they were looked for.
struct UnreadPages {
  uint64_t begin_pfn = 0;
  uint64_t end_pfn = 0;  ///< one past the last
  UnreadReason reason = UnreadReason::kNotInDump;
};

struct MinimalInfo {
  std::string original_format;
  std::vector<UnreadPages> unread;  ///< ascending, disjoint
};

/// Content of the note: lines of KEY=VALUE.
std::string format_minimal_info(const MinimalInfo& info);
/// Lines that cannot be understood are skipped.
MinimalInfo parse_minimal_info(std::string_view content);

/// Physical memory of a minimal dump: what is not there is "not recorded", except where the original lacked
/// it. \param inner  not owned; must outlive the result
std::unique_ptr<PhysicalMemory> make_minimal_memory(PhysicalMemory& inner, MinimalInfo info);

}  // namespace perfcore
