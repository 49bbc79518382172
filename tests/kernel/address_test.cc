// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/address.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "kernel/fake_kernel.h"
#include "perfcore/slab.h"

namespace perfcore::test {
namespace {

const AddressFact* find_fact(const AddressReport& report, std::string_view kind) {
  const auto found = std::ranges::find(report.facts, kind, &AddressFact::kind);
  return found == report.facts.end() ? nullptr : &*found;
}

template <typename T>
T field(const AddressFact& fact, std::string_view name) {
  for (const auto& [key, value] : fact.fields)
    if (key == name) return std::get<T>(value);
  ADD_FAILURE() << "no field " << name;
  return T{};
}

TEST(PoisonName, KnowsTheKernelsPatternsAndWhatLiesBehindThem) {
  EXPECT_NE(poison_name(0xdead000000000100).find("LIST_POISON1"), std::string::npos);
  EXPECT_NE(poison_name(0xdead000000000108).find("LIST_POISON1"), std::string::npos);
  EXPECT_NE(poison_name(0xdead000000000122).find("LIST_POISON2"), std::string::npos);
  EXPECT_NE(poison_name(0x6b6b6b6b6b6b6b6b).find("POISON_FREE"), std::string::npos);
  EXPECT_NE(poison_name(0x6b6b6b6b6b6b6c43).find("POISON_FREE"), std::string::npos);  // plus 0xd8
  EXPECT_NE(poison_name(0x5a5a5a5a5a5a5a5a).find("POISON_INUSE"), std::string::npos);
  EXPECT_EQ(poison_name(0), "");
  EXPECT_EQ(poison_name(0xffff888000000000), "");
  EXPECT_EQ(poison_name(0xdeae000000000100), "");
}

TEST(ErrorPointerName, CoversTheLast4095ValuesOnly) {
  EXPECT_EQ(error_pointer_name(static_cast<uint64_t>(-12)), "-ENOMEM");
  EXPECT_EQ(error_pointer_name(static_cast<uint64_t>(-517)), "-EPROBE_DEFER");
  EXPECT_EQ(error_pointer_name(static_cast<uint64_t>(-4095)), "-4095");
  EXPECT_EQ(error_pointer_name(static_cast<uint64_t>(-4096)), "");
  EXPECT_EQ(error_pointer_name(0), "");
}

/// A machine of one CPU with one slab of four objects, hardened freelist, on the second page of memory.
class AddressTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kDirect = 0xffff888000000000;
  static constexpr uint64_t kVmemmap = 0xffffea0000000000;
  static constexpr uint64_t kSlabPage = kVmemmap + 64;  // struct page of page 1
  static constexpr uint64_t kCache = kDirect + 0x10000;
  static constexpr uint64_t kName = kDirect + 0x10800;
  static constexpr uint64_t kCpuSlab = kDirect + 0x10900;
  static constexpr uint64_t kSlab = kDirect + 0x1000;
  static constexpr uint64_t kRandom = 0x1234567890abcdef;
  static constexpr uint64_t kObjectSize = 64;

  AddressTest() : types(*fake.types) {
    const Type* integer = types.integer("int", 4);
    const Type* u64 = types.integer("long", 8);
    const Type* pointer = types.pointer(u64);
    const Type* text = types.pointer(types.integer("char", 1));
    const Type* count = types.aggregate(TypeKind::kStruct, "count", 4);
    types.member(count, "counter", 0, integer);
    const Type* page = types.aggregate(TypeKind::kStruct, "page", 64);
    types.member(page, "flags", 0, u64);
    types.member(page, "compound_head", 8, u64);
    types.member(page, "private", 40, u64);
    types.member(page, "page_type", 48, integer);
    types.member(page, "_refcount", 52, count);
    const Type* local = types.aggregate(TypeKind::kStruct, "kmem_cache_cpu", 24);
    types.member(local, "freelist", 0, pointer);
    const Type* slab = types.aggregate(TypeKind::kStruct, "slab", 64);
    types.member(local, "slab", 16, types.pointer(slab));
    const Type* cache = types.aggregate(TypeKind::kStruct, "kmem_cache", 128);
    types.member(cache, "cpu_slab", 0, types.pointer(local));
    types.member(cache, "size", 24, integer);
    types.member(cache, "object_size", 28, integer);
    types.member(cache, "offset", 32, integer);
    types.member(cache, "refcount", 40, integer);
    types.member(cache, "name", 48, text);
    types.member(cache, "random", 56, u64);
    types.member(slab, "slab_cache", 24, types.pointer(cache));
    types.member(slab, "freelist", 32, pointer);
    types.bit_field(slab, "objects", 40 * 8 + 16, 15, integer);
    const Type* thing = types.aggregate(TypeKind::kStruct, "thing", 56);
    types.member(thing, "head", 0, u64);
    types.member(thing, "tail", 16, u64);
    const Type* mask = types.aggregate(TypeKind::kStruct, "cpumask", 8);
    types.member(mask, "bits", 0, types.array(u64, 1));

    fake.symbols->add("__per_cpu_offset", 0xffffffff81000000, 8);
    fake.symbols->add("__cpu_possible_mask", 0xffffffff81000100, 8);
    fake.symbols->add("__cpu_present_mask", 0xffffffff81000100, 8);
    fake.symbols->add("nr_cpu_ids", 0xffffffff81000200, 4);
    fake.memory->poke<uint64_t>(0xffffffff81000000, 0);  // CPU 0's area is where the pointer says
    fake.memory->poke<uint64_t>(0xffffffff81000100, 1);
    fake.memory->poke<uint32_t>(0xffffffff81000200, 1);

    put_page(1, 0, 0xf5000000);
    fake.memory->poke<uint64_t>(kSlabPage + 24, kCache);
    fake.memory->poke<uint64_t>(kSlabPage + 32, 0);
    fake.memory->poke<uint64_t>(kSlabPage + 40, uint64_t{4} << 16);
    for (uint64_t at = kCache; at < kCache + 128; at += 8) fake.memory->poke<uint64_t>(at, 0);
    fake.memory->poke<uint64_t>(kCache, kCpuSlab);
    fake.memory->poke<uint32_t>(kCache + 24, kObjectSize);
    fake.memory->poke<uint32_t>(kCache + 28, 56);
    fake.memory->poke<uint32_t>(kCache + 32, 8);
    fake.memory->poke<uint32_t>(kCache + 40, 1);
    fake.memory->poke<uint64_t>(kCache + 48, kName);
    fake.memory->poke<uint64_t>(kCache + 56, kRandom);
    fake.memory->write(kName, std::array<char, 128>{"thing"}.data(), 128);
    for (uint64_t at = 0; at < 24; at += 8) fake.memory->poke<uint64_t>(kCpuSlab + at, 0);
    for (uint64_t at = 0; at < 4096; at += 8) fake.memory->poke<uint64_t>(kSlab + at, 0);
  }

  static constexpr uint64_t object(uint64_t i) { return kSlab + i * kObjectSize; }

  void put_page(uint64_t pfn, uint64_t flags, uint32_t type) {
    const uint64_t page = kVmemmap + pfn * 64;
    for (uint64_t at = 0; at < 64; at += 8) fake.memory->poke<uint64_t>(page + at, 0);
    fake.memory->poke<uint64_t>(page, flags);
    fake.memory->poke<uint32_t>(page + 48, type);
    fake.memory->poke<uint32_t>(page + 52, 1);
  }
  void link(uint64_t from, uint64_t to) {
    const uint64_t place = from + 8;
    fake.memory->poke<uint64_t>(place, to ^ kRandom ^ __builtin_bswap64(place));
  }
  SlabObject at(uint64_t address) {
    AddressMap map(kernel());
    const auto found = SlabReader(kernel(), map).object_at(address);
    EXPECT_TRUE(found.has_value() && *found);
    return found.has_value() && *found ? **found : SlabObject{};
  }
  Kernel& kernel() { return *fake.kernel; }

  FakeKernel fake{VmcoreInfo("NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376\n")};
  FakeTypes& types;
};

TEST_F(AddressTest, AnObjectThatIsOnNoFreelistIsAllocated) {
  const SlabObject found = at(object(2) + 16);
  EXPECT_EQ(found.cache_name, "thing");
  EXPECT_EQ(found.object, object(2));
  EXPECT_EQ(found.offset, 16u);
  EXPECT_EQ(found.index, 2u);
  EXPECT_EQ(found.count, 4u);
  EXPECT_TRUE(found.inside);
  EXPECT_TRUE(found.state.is(SlabObject::State::kAllocated));
}

TEST_F(AddressTest, HardenedFreelistIsFollowed) {
  fake.memory->poke<uint64_t>(kSlabPage + 32, object(1));
  link(object(1), object(3));
  link(object(3), 0);
  EXPECT_TRUE(at(object(1)).state.is(SlabObject::State::kFree));
  EXPECT_TRUE(at(object(3)).state.is(SlabObject::State::kFree));
  EXPECT_EQ(at(object(3)).where, "freelist of the slab");
  EXPECT_TRUE(at(object(0)).state.is(SlabObject::State::kAllocated));
}

TEST_F(AddressTest, TheFreelistOfTheCpuCountsToo) {
  fake.memory->poke<uint64_t>(kCpuSlab, object(0));
  fake.memory->poke<uint64_t>(kCpuSlab + 16, kSlabPage);
  link(object(0), 0);
  EXPECT_TRUE(at(object(0)).state.is(SlabObject::State::kFree));
  EXPECT_EQ(at(object(0)).where, "freelist of CPU 0");
  // The same list of a CPU that allocates from another slab says nothing about this one.
  fake.memory->poke<uint64_t>(kCpuSlab + 16, kSlabPage + 64);
  EXPECT_TRUE(at(object(0)).state.is(SlabObject::State::kAllocated));
}

TEST_F(AddressTest, ACorruptOrEndlessFreelistLeavesItUndetermined) {
  fake.memory->poke<uint64_t>(kSlabPage + 32, object(1));
  link(object(1), object(1));
  EXPECT_FALSE(at(object(0)).state.has_value());
  link(object(1), kDirect + 0x123456);
  const SlabObject found = at(object(0));
  ASSERT_FALSE(found.state.has_value());
  EXPECT_EQ(found.state.unread().reason, UnreadReason::kCorrupt);
  // What is on the part of the list that makes sense is free all the same.
  EXPECT_TRUE(at(object(1)).state.is(SlabObject::State::kFree));
}

TEST_F(AddressTest, SpaceBetweenObjectsBelongsToNone) {
  EXPECT_FALSE(at(object(1) + 56).inside);
  EXPECT_FALSE(at(object(4)).inside);
}

TEST_F(AddressTest, TheMemberIsNamedBeforeTheObject) {
  AddressBook book(kernel());
  const AddressReport report = book.describe(object(2) + 16);
  ASSERT_FALSE(report.facts.empty());
  EXPECT_EQ(report.facts.front().kind, "member");
  EXPECT_EQ(field<std::string>(report.facts.front(), "path"), "tail");
  const AddressFact* slab = find_fact(report, "slab-object");
  ASSERT_NE(slab, nullptr);
  EXPECT_EQ(field<uint64_t>(*slab, "object"), object(2));
  EXPECT_EQ(field<std::string>(*slab, "state"), "allocated");
}

TEST_F(AddressTest, AnAddressThatIsNothingIsHeldAgainstItsNeighboursByOneBit) {
  AddressBook book(kernel());
  const AddressReport report = book.describe(object(2) ^ uint64_t{1} << 58);
  EXPECT_NE(find_fact(report, "non-canonical"), nullptr);
  const AddressFact* off = find_fact(report, "one-bit-off");
  ASSERT_NE(off, nullptr);
  EXPECT_EQ(field<int64_t>(*off, "bit"), 58);
  EXPECT_EQ(field<uint64_t>(*off, "would_be"), object(2));
  // A free object is not what a pointer was meant to lead to.
  fake.memory->poke<uint64_t>(kSlabPage + 32, object(2));
  link(object(2), 0);
  EXPECT_EQ(find_fact(AddressBook(kernel()).describe(object(2) ^ uint64_t{1} << 58), "one-bit-off"), nullptr);
}

TEST_F(AddressTest, ValuesThatAreNoAddresses) {
  AddressBook book(kernel());
  EXPECT_EQ(book.describe(0).facts.front().words, "NULL");
  EXPECT_EQ(field<int64_t>(book.describe(0x18).facts.front(), "offset"), 0x18);
  EXPECT_EQ(book.describe(static_cast<uint64_t>(-12)).facts.front().kind, "error-pointer");
  EXPECT_EQ(book.describe(0x6b6b6b6b6b6b6b6b).facts.front().kind, "poison");
  EXPECT_NE(find_fact(book.describe(0x7f1234567000), "user"), nullptr);
}

TEST_F(AddressTest, StructPageLeadsToItsMemory) {
  const AddressReport report = AddressBook(kernel()).describe(kSlabPage + 52);
  EXPECT_EQ(field<std::string>(report.facts.front(), "path"), "_refcount.counter");
  const AddressFact* page = find_fact(report, "struct-page");
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(field<uint64_t>(*page, "pfn"), 1u);
  EXPECT_EQ(field<uint64_t>(*page, "memory"), kSlab);
}

TEST_F(AddressTest, ExpressionsNameAddresses) {
  fake.function("do_it", 0xffffffff81100000, std::vector<uint8_t>(64, 0x90));
  fake.symbols->add("_stext", 0xffffffff81100000, 0);
  fake.symbols->add("_etext", 0xffffffff81200000, 0);
  EXPECT_TRUE(address_of_expression(kernel(), "do_it+0x10/0x40").is(uint64_t{0xffffffff81100010}));
  EXPECT_TRUE(address_of_expression(kernel(), "ffff888000001000").is(kSlab));
  EXPECT_TRUE(address_of_expression(kernel(), "nr_cpu_ids").is(uint64_t{0xffffffff81000200}));
  EXPECT_TRUE(address_of_expression(kernel(), "1 + 2").is(uint64_t{3}));
  EXPECT_FALSE(address_of_expression(kernel(), "no_such_thing").has_value());
  EXPECT_THROW((void)address_of_expression(kernel(), "1 +"), std::invalid_argument);
}

}  // namespace
}  // namespace perfcore::test
