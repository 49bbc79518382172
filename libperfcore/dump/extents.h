// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Ranges of one address space that lie somewhere in another: segments of an ELF file, records of a flattened
/// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace perfcore {

/// [begin, end) is found from `offset` on. Where extents overlap, the lowest rank wins, then the earlier one.
struct Extent {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t offset = 0;
  uint32_t rank = 0;
};

/// Makes extents ascending and disjoint; empty ones vanish. O(n log n) however they overlap.
std::vector<Extent> resolve_overlaps(std::vector<Extent> extents);

/// The extent that holds `address`, or the first one behind it, or extents.size(); `extents` must be
/// resolved.
size_t find_extent(const std::vector<Extent>& extents, uint64_t address);

}  // namespace perfcore
