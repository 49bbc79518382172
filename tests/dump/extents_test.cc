// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/extents.h"

#include <gtest/gtest.h>

#include <random>

namespace perfcore {
namespace {

/// Which extent of the input wins at an address, by asking each.
const Extent* winner(const std::vector<Extent>& extents, uint64_t address) {
  const Extent* best = nullptr;
  for (const Extent& e : extents)
    if (e.begin <= address && address < e.end && (best == nullptr || e.rank < best->rank)) best = &e;
  return best;
}

TEST(Extents, DisjointOnesAreOnlySorted) {
  const auto result = resolve_overlaps({{20, 30, 200, 0}, {0, 10, 100, 0}, {5, 5, 0, 0}});
  ASSERT_EQ(result.size(), 2u);
  EXPECT_EQ(result[0].begin, 0u);
  EXPECT_EQ(result[1].offset, 200u);
}

TEST(Extents, LowerRankWinsAndTheRestIsCutAround) {
  const auto result = resolve_overlaps({{0, 100, 1000, 1}, {40, 60, 5000, 0}});
  ASSERT_EQ(result.size(), 3u);
  EXPECT_EQ(result[0].end, 40u);
  EXPECT_EQ(result[1].offset, 5000u);
  EXPECT_EQ(result[2].begin, 60u);
  EXPECT_EQ(result[2].offset, 1060u);
}

TEST(Extents, AgreesWithAskingEachExtentForEveryAddress) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; round++) {
    std::vector<Extent> input;
    for (uint32_t i = 0; i < 12; i++) {
      const uint64_t begin = random() % 64;
      input.push_back({begin, begin + random() % 24, 1000 * (i + 1), static_cast<uint32_t>(random() % 3)});
    }
    // Ties go to the one that begins first, so give every extent a rank of its own.
    for (uint32_t i = 0; i < input.size(); i++) input[i].rank = input[i].rank * 100 + i;
    const auto result = resolve_overlaps(input);
    for (size_t i = 1; i < result.size(); i++) ASSERT_LE(result[i - 1].end, result[i].begin);
    for (uint64_t address = 0; address < 100; address++) {
      const Extent* expected = winner(input, address);
      const size_t found = find_extent(result, address);
      const bool covered = found < result.size() && result[found].begin <= address;
      ASSERT_EQ(covered, expected != nullptr);
      if (covered) {
        ASSERT_EQ(result[found].offset + (address - result[found].begin),
                  expected->offset + (address - expected->begin));
      }
    }
  }
}

}  // namespace
}  // namespace perfcore
