// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/reading.h"

#include <gtest/gtest.h>

#include "perfcore/memory.h"

namespace perfcore {
namespace {

Unread unread_at(uint64_t address) {
  return Unread{UnreadReason::kExcluded, address, "x", ""};
}

TEST(Reading, UnreadNeverBecomesAValue) {
  Reading<int> r = unread_at(0x10);
  EXPECT_FALSE(r.has_value());
  EXPECT_THROW((void)r.value(), std::logic_error);
  EXPECT_FALSE(r.is(0));
  EXPECT_EQ(r.unread().address, 0x10u);
}

TEST(Reading, FalseWinsOverUnreadInConjunction) {
  const Reading<bool> u = unread_at(1);
  EXPECT_TRUE((u && Reading<bool>(false)).is(false));
  EXPECT_TRUE((Reading<bool>(false) && u).is(false));
  EXPECT_FALSE((u && Reading<bool>(true)).has_value());
  EXPECT_TRUE((Reading<bool>(true) && Reading<bool>(true)).is(true));
}

TEST(Reading, TrueWinsOverUnreadInDisjunction) {
  const Reading<bool> u = unread_at(1);
  EXPECT_TRUE((u || Reading<bool>(true)).is(true));
  EXPECT_FALSE((u || Reading<bool>(false)).has_value());
  EXPECT_EQ((!u).unread().address, 1u);
}

TEST(Reading, MessageNamesPathAddressAndReason) {
  const Unread u{UnreadReason::kNotSaved, 0xffff888000001000, "per_cpu(cpu_hw_events, 1).events[0]", ""};
  EXPECT_EQ(u.message(),
            "per_cpu(cpu_hw_events, 1).events[0] at 0xffff888000001000: page not saved in the dump (or all "
            "zero; an ELF "
            "dump cannot tell)");
}

/// Two pages, of which the second cannot be read.
class HalfMemory : public Memory {
 public:
  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    reads++;
    for (size_t i = 0; i < out.size(); i++) {
      if (address + i >= 2 * kPageSize) return unread_at(address + i);
      out[i] = std::byte(0x5a);
    }
    return std::nullopt;
  }
  int reads = 0;
};

TEST(Snapshot, KeepsWhatCouldBeReadAndMarksTheGap) {
  HalfMemory memory;
  const Snapshot s = take_snapshot(memory, 2 * kPageSize - 8, 16);
  ASSERT_EQ(s.gaps.size(), 1u);
  EXPECT_EQ(s.gap_in(0, 8), nullptr);
  ASSERT_NE(s.gap_in(7, 2), nullptr);
  EXPECT_EQ(s.gap_in(7, 2)->unread.address, 2 * kPageSize);
  EXPECT_EQ(s.bytes[7], std::byte(0x5a));
}

TEST(PageCache, ReadsEachPageOnceAndRemembersFailures) {
  HalfMemory memory;
  auto cache = make_page_cache(memory, 4);
  std::byte buffer[16];
  EXPECT_FALSE(cache->read(kPageSize, buffer));
  EXPECT_FALSE(cache->read(kPageSize + 100, buffer));
  EXPECT_EQ(memory.reads, 1);
  EXPECT_EQ(cache->read(2 * kPageSize - 8, buffer)->address, 2 * kPageSize);
  EXPECT_TRUE(cache->read(2 * kPageSize + 8, buffer));
  EXPECT_EQ(memory.reads, 2);
}

TEST(PageCache, DropsTheLeastRecentlyUsedPage) {
  HalfMemory memory;
  auto cache = make_page_cache(memory, 1);
  std::byte buffer[1];
  EXPECT_FALSE(cache->read(0, buffer));
  EXPECT_FALSE(cache->read(kPageSize, buffer));
  EXPECT_FALSE(cache->read(0, buffer));
  EXPECT_EQ(memory.reads, 3);
}

}  // namespace
}  // namespace perfcore
