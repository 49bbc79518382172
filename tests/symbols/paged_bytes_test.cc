// SPDX-License-Identifier: LGPL-2.1-or-later
#include "symbols/paged_bytes.h"

#include <gtest/gtest.h>

#include "support/image_memory.h"

namespace perfcore {
namespace {

constexpr uint64_t kHere = 0xffffffff81000000 + 100;
constexpr uint64_t kThere = 0xffffffff91000000 + 100;
constexpr uint64_t kSize = 10 * kPageSize;

/// Ten pages and a little, the same bytes in two memories, of which a few pages were read.
class Moved : public testing::Test {
 protected:
  Moved() {
    std::string bytes(kSize, '\0');
    for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<char>(i * 31 + i / kPageSize);
    here_.write(kHere, bytes);
    there_.write(kThere, bytes);
  }
  PagedBytes read_some() {
    PagedBytes bytes(here_, kHere, kSize);
    EXPECT_TRUE(bytes.at(0, 10));
    EXPECT_TRUE(bytes.at(4 * kPageSize, 2 * kPageSize));
    return bytes;
  }

  test::ImageMemory here_, there_;
};

TEST_F(Moved, WhatWasReadIsKeptAndTheRestReadThere) {
  PagedBytes bytes = read_some();
  there_.poke<char>(kThere + 8 * kPageSize, 'x');  // not read so far
  ASSERT_TRUE(bytes.move_to(there_, kThere));
  EXPECT_EQ(bytes.address(), kThere);
  const size_t reads = there_.reads;
  EXPECT_TRUE(bytes.at(4 * kPageSize, 100));
  EXPECT_EQ(there_.reads, reads);
  EXPECT_EQ(bytes.value<char>(8 * kPageSize), 'x');
  EXPECT_GT(there_.reads, reads);
}

/// Memory of which every page is in a store.
class StoredMemory : public test::ImageMemory {
 public:
  explicit StoredMemory(uint64_t begin) : begin_(begin & ~(kPageSize - 1)) {}
  const std::byte* stored_page(uint64_t address) override { return &store[(address - begin_) / kPageSize]; }
  std::span<const std::byte> store;

 private:
  uint64_t begin_;
};

TEST(StoredPages, AreTheSameWithoutBeingRead) {
  const std::vector<std::byte> one_store(20), another_store(20);
  StoredMemory here(kHere), there(kThere);
  here.store = there.store = one_store;
  here.write(kHere, std::string(kSize, 'a'));
  there.write(kThere, std::string(kSize, 'a'));
  const auto read_all = [&] {
    PagedBytes bytes(here, kHere, kSize);
    EXPECT_TRUE(bytes.at(0, kSize));
    return bytes;
  };
  PagedBytes bytes = read_all();
  EXPECT_TRUE(bytes.move_to(there, kThere));
  EXPECT_EQ(there.reads, 0u);
  there.store = another_store;
  bytes = read_all();
  EXPECT_TRUE(bytes.move_to(there, kThere));
  EXPECT_GT(there.reads, 0u);
  there.poke<char>(kThere + 5 * kPageSize, 'x');
  bytes = read_all();
  EXPECT_FALSE(bytes.move_to(there, kThere));
}

TEST_F(Moved, NotWhenAByteThatWasReadDiffers) {
  PagedBytes bytes = read_some();
  there_.poke<char>(kThere + 5 * kPageSize + 7, 'x');
  EXPECT_FALSE(bytes.move_to(there_, kThere));
  EXPECT_EQ(bytes.address(), kHere);
  there_.poke<char>(kThere + 7 * kPageSize, 'x');
  EXPECT_NE(bytes.value<char>(7 * kPageSize), 'x');
}

TEST_F(Moved, BytesAroundTheRangeDoNotMatter) {
  PagedBytes bytes = read_some();
  there_.poke<char>(kThere - 1, 'x');
  EXPECT_TRUE(bytes.move_to(there_, kThere));
}

TEST_F(Moved, NotWhenAPageIsMissingThereOrHereOnly) {
  PagedBytes bytes = read_some();
  there_.remove_page(kThere + 4 * kPageSize);
  EXPECT_FALSE(bytes.move_to(there_, kThere));

  here_.remove_page(kHere + 4 * kPageSize);
  PagedBytes lacking(here_, kHere, kSize);
  EXPECT_FALSE(lacking.at(4 * kPageSize, 10));
  EXPECT_TRUE(lacking.move_to(there_, kThere));  // missing in both
  EXPECT_FALSE(lacking.at(4 * kPageSize, 10));
  PagedBytes again(here_, kHere, kSize);
  EXPECT_FALSE(again.at(4 * kPageSize, 10));
  there_.poke<char>(kThere + 4 * kPageSize, 'x');
  EXPECT_FALSE(again.move_to(there_, kThere));
}

TEST_F(Moved, NotToAnotherPlaceInThePageNorOutOfABuffer) {
  PagedBytes bytes = read_some();
  EXPECT_FALSE(bytes.move_to(there_, kThere + 8));
  EXPECT_FALSE(bytes.move_to(there_, UINT64_MAX - kPageSize + 101));
  PagedBytes own(std::vector<std::byte>(100));
  EXPECT_FALSE(own.move_to(there_, kThere - 100));
}

}  // namespace
}  // namespace perfcore
