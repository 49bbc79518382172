// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/page_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace perfcore {
namespace {

std::vector<std::byte> stream_of(size_t size, int seed) {
  std::vector<std::byte> stream(size);
  for (size_t i = 0; i < size; i++) stream[i] = static_cast<std::byte>(seed + static_cast<int>(i) * 7);
  return stream;
}

std::array<std::byte, kPageSize> page_of(int value) {
  std::array<std::byte, kPageSize> page;
  page.fill(static_cast<std::byte>(value));
  return page;
}

TEST(PageStore, GivesThePageOfTheSameStreamOnly) {
  PageStore store(10);
  const auto stream = stream_of(100, 1);
  EXPECT_EQ(store.find(stream), nullptr);
  store.add(stream, page_of(1));
  ASSERT_NE(store.find(stream), nullptr);
  EXPECT_EQ(store.find(stream)[kPageSize - 1], std::byte{1});
  for (size_t i = 0; i < stream.size(); i++) {
    auto other = stream;
    other[i] ^= std::byte{1};
    EXPECT_EQ(store.find(other), nullptr) << i;
  }
  EXPECT_EQ(store.find(std::span(stream).first(99)), nullptr);
}

TEST(PageStore, OfStreamsThatEndAlikeTheFirstStays) {
  PageStore store(10);
  const auto first = stream_of(100, 1);
  auto second = first;
  second[0] ^= std::byte{1};
  store.add(first, page_of(1));
  store.add(second, page_of(2));
  EXPECT_EQ(store.find(first)[0], std::byte{1});
  EXPECT_EQ(store.find(second), nullptr);
}

TEST(PageStore, TakesNothingWhenFrozenOrFull) {
  PageStore store(2);
  store.freeze(true);
  store.add(stream_of(10, 1), page_of(1));
  EXPECT_EQ(store.size(), 0u);
  store.freeze(false);
  for (int i = 1; i < 5; i++) store.add(stream_of(10, i), page_of(i));
  EXPECT_EQ(store.size(), 2u);
  EXPECT_NE(store.find(stream_of(10, 2)), nullptr);
  EXPECT_EQ(store.find(stream_of(10, 3)), nullptr);
}

TEST(PageStore, StreamsOfNoBytesAreTakenToo) {
  PageStore store(2);
  store.add({}, page_of(3));
  ASSERT_NE(store.find({}), nullptr);
  EXPECT_EQ(store.find({})[0], std::byte{3});
}

}  // namespace
}  // namespace perfcore
