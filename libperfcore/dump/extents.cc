// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/extents.h"

#include <algorithm>
#include <queue>

namespace perfcore {

std::vector<Extent> resolve_overlaps(std::vector<Extent> extents) {
  std::erase_if(extents, [](const Extent& e) { return e.begin >= e.end; });
  std::stable_sort(extents.begin(), extents.end(),
                   [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  const auto overlap = std::adjacent_find(extents.begin(), extents.end(),
                                          [](const Extent& a, const Extent& b) { return a.end > b.begin; });
  if (overlap == extents.end()) return extents;

  // Sweep over the beginnings; the heap holds what covers the current position, best first. Extents that
  // ended stay in the heap until they come to its top.
  const auto worse = [&](size_t a, size_t b) {
    return extents[a].rank != extents[b].rank ? extents[a].rank > extents[b].rank : a > b;
  };
  std::priority_queue<size_t, std::vector<size_t>, decltype(worse)> active(worse);
  std::vector<Extent> result;
  size_t last_source = extents.size();
  size_t next = 0;
  uint64_t position = 0;
  while (next < extents.size() || !active.empty()) {
    while (!active.empty() && extents[active.top()].end <= position) active.pop();
    if (active.empty()) {
      if (next == extents.size()) break;
      position = extents[next].begin;
    }
    while (next < extents.size() && extents[next].begin <= position) active.push(next++);
    while (!active.empty() && extents[active.top()].end <= position) active.pop();
    if (active.empty()) continue;

    const size_t source = active.top();
    const Extent& winner = extents[source];
    const uint64_t end = next < extents.size() ? std::min(winner.end, extents[next].begin) : winner.end;
    if (source == last_source && result.back().end == position)
      result.back().end = end;
    else
      result.push_back({position, end, winner.offset + (position - winner.begin), winner.rank});
    last_source = source;
    position = end;
  }
  return result;
}

size_t find_extent(const std::vector<Extent>& extents, uint64_t address) {
  const auto found = std::upper_bound(extents.begin(), extents.end(), address,
                                      [](uint64_t a, const Extent& e) { return a < e.end; });
  return static_cast<size_t>(found - extents.begin());
}

}  // namespace perfcore
