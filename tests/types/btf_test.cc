// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "perfcore/types.h"
#include "support/btf_builder.h"
#include "support/image_memory.h"

namespace perfcore {
namespace {

using test::BtfBuilder;

std::unique_ptr<TypeSource> open(const BtfBuilder& builder) {
  Unread why;
  auto types = open_btf(builder.build(), &why);
  EXPECT_NE(types, nullptr) << why.message();
  return types;
}

TEST(Btf, IntegersHaveSizeAndEncoding) {
  BtfBuilder builder;
  builder.integer("long unsigned int", 8);
  builder.integer("int", 4, BtfBuilder::kSigned);
  builder.integer("_Bool", 1, BtfBuilder::kBool);
  builder.integer("char", 1, BtfBuilder::kSigned);
  builder.integer("unsigned char", 1);
  const auto types = open(builder);
  EXPECT_EQ(types->resolve(1)->size, 8u);
  EXPECT_EQ(types->resolve(1)->encoding, IntEncoding::kUnsigned);
  EXPECT_EQ(types->resolve(2)->encoding, IntEncoding::kSigned);
  EXPECT_EQ(types->resolve(3)->encoding, IntEncoding::kBool);
  EXPECT_EQ(types->resolve(4)->encoding, IntEncoding::kChar);
  EXPECT_EQ(types->resolve(5)->encoding, IntEncoding::kUnsigned);
  EXPECT_EQ(types->find(TypeKind::kInt, "int"), types->resolve(2));
  EXPECT_EQ(types->resolve(0)->kind, TypeKind::kVoid);
  EXPECT_EQ(types->resolve(6), nullptr);
  EXPECT_EQ(types->resolve(uint64_t{1} << 32), nullptr);
}

TEST(Btf, DerivedTypesHaveTheSizeOfWhatTheyAreMadeOf) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("unsigned int", 4);
  const uint32_t u32 = builder.alias("u32", word);
  const uint32_t constant = builder.constant(u32);
  const uint32_t row = builder.array(constant, 3);
  const uint32_t matrix = builder.array(row, 5);
  const uint32_t pointer = builder.pointer(matrix);
  const uint32_t flexible = builder.array(u32, 0);
  const uint32_t enormous =
      builder.array(builder.array(builder.array(row, UINT32_MAX), UINT32_MAX), UINT32_MAX);
  const auto types = open(builder);
  EXPECT_EQ(types->resolve(u32)->size, 4u);
  EXPECT_EQ(types->resolve(constant)->size, 4u);
  EXPECT_EQ(types->resolve(constant)->strip(), types->resolve(word));
  EXPECT_EQ(types->resolve(matrix)->size, 60u);
  EXPECT_EQ(types->resolve(matrix)->count, 5u);
  EXPECT_EQ(types->resolve(matrix)->target()->count, 3u);
  EXPECT_EQ(types->resolve(pointer)->size, 8u);
  EXPECT_EQ(types->resolve(flexible)->size, 0u);
  EXPECT_EQ(types->resolve(flexible)->target()->size, 4u);
  EXPECT_EQ(types->resolve(enormous)->size, 0u);
  EXPECT_EQ(types->resolve(matrix)->to_string(), "const u32[5][3]");
}

TEST(Btf, BitFieldsOfBothForms) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("unsigned int", 4);
  builder.structure("with_flag", 8, {{"plain", word, 0}, {"three", word, 32, 3}, {"five", word, 35, 5}});
  // Before kind_flag: an integer of 3 bits that starts 2 bits into its 4 bytes.
  const uint32_t three = builder.integer("unsigned int", 4, 0, 2, 3);
  const uint32_t typedef_of_three = builder.alias("three_t", three);
  builder.structure("without_flag", 8, {{"plain", word, 0}, {"three", typedef_of_three, 32}});
  const auto types = open(builder);
  const auto& flagged = types->find(TypeKind::kStruct, "with_flag")->members();
  ASSERT_EQ(flagged.size(), 3u);
  EXPECT_EQ(flagged[0].bit_size, 0u);
  EXPECT_EQ(flagged[2].bit_offset, 35u);
  EXPECT_EQ(flagged[2].bit_size, 5u);
  const auto& old = types->find(TypeKind::kStruct, "without_flag")->members();
  ASSERT_EQ(old.size(), 2u);
  EXPECT_EQ(old[0].bit_size, 0u);
  EXPECT_EQ(old[1].bit_offset, 34u);
  EXPECT_EQ(old[1].bit_size, 3u);
}

TEST(Btf, EnumeratorsAreSignedAsTheirTypeSays) {
  BtfBuilder builder;
  builder.enumeration("negative", {{"DEAD", static_cast<uint32_t>(-4)}, {"ACTIVE", 1}}, true);
  builder.enumeration("positive", {{"TOP", 0x80000000}}, false);
  builder.enumeration64("wide", {{"ALL", UINT64_MAX}, {"HIGH", uint64_t{1} << 40}}, false);
  const auto types = open(builder);
  const Type* negative = types->find(TypeKind::kEnum, "negative");
  EXPECT_EQ(negative->encoding, IntEncoding::kSigned);
  EXPECT_EQ(negative->enumerators()[0].value, -4);
  EXPECT_EQ(negative->enumerators()[0].name, "DEAD");
  EXPECT_EQ(types->find(TypeKind::kEnum, "positive")->enumerators()[0].value, 0x80000000);
  const Type* wide = types->find(TypeKind::kEnum, "wide");
  EXPECT_EQ(wide->size, 8u);
  EXPECT_EQ(static_cast<uint64_t>(wide->enumerators()[0].value), UINT64_MAX);
  EXPECT_EQ(wide->enumerators()[1].value, int64_t{1} << 40);
}

TEST(Btf, EnumeratorsAreSignedInBtfFromBeforeKindFlagSaidSo) {
  BtfBuilder builder;
  builder.enumeration("perf_event_state", {{"PERF_EVENT_STATE_DEAD", static_cast<uint32_t>(-4)}}, false);
  EXPECT_EQ(open(builder)->find(TypeKind::kEnum, "perf_event_state")->enumerators()[0].value, -4);
}

TEST(Btf, TypeTagsAreTransparent) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("int", 4, BtfBuilder::kSigned);
  const uint32_t tagged = builder.type_tag("user", builder.type_tag("rcu", word));
  const uint32_t pointer = builder.pointer(tagged);
  const auto types = open(builder);
  EXPECT_EQ(types->resolve(tagged), types->resolve(word));
  EXPECT_EQ(types->resolve(pointer)->to_string(), "int *");
}

TEST(Btf, ForwardDeclarationsAreCompleted) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("int", 4);
  const uint32_t forward = builder.forward("perf_event");
  const uint32_t unknown = builder.forward("nowhere");
  builder.structure("perf_event", 4, {{"state", word, 0}});
  const auto types = open(builder);
  EXPECT_EQ(types->resolve(forward)->kind, TypeKind::kForward);
  EXPECT_EQ(types->complete(types->resolve(forward)), types->find(TypeKind::kStruct, "perf_event"));
  EXPECT_EQ(types->complete(types->resolve(unknown)), nullptr);
  EXPECT_TRUE(TypeSource::find_member(types->resolve(forward), "state"));
}

TEST(Btf, OfTypesThatShareATagTheFirstIsFound) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("int", 4);
  const uint32_t core = builder.structure("pmu", 4, {{"small", word, 0}});
  builder.structure("pmu", 8, {{"a", word, 0}, {"b", word, 32}});
  builder.structure("pmu", 16, {}, true);
  const auto types = open(builder);
  EXPECT_EQ(types->find(TypeKind::kStruct, "pmu"), types->resolve(core));
  EXPECT_EQ(types->find(TypeKind::kUnion, "pmu")->size, 16u);
  EXPECT_EQ(types->find(TypeKind::kStruct, "pm"), nullptr);
  EXPECT_EQ(types->find(TypeKind::kTypedef, "pmu"), nullptr);
  EXPECT_EQ(types->find(TypeKind::kStruct, ""), nullptr);
}

/// Anonymous types first, then the others by name, as kernels since 7.0 have them.
class SortedBtf : public testing::Test {
 protected:
  SortedBtf() {
    for (int i = 0; i < 300; i++) builder_.pointer(kWord);
    for (int i = 0; i < 500; i++) {
      const std::string name = "a_" + std::to_string(1000 + i);
      builder_.structure(name, 4, {{"member", kWord, 0}});
    }
    EXPECT_EQ(builder_.integer("int", 4), kWord);
    builder_.structure("pmu", 4, {{"small", kWord, 0}});
    large_ = builder_.structure("pmu", 8, {{"a", kWord, 0}, {"b", kWord, 32}});
    builder_.structure("pmu", 16, {}, true);
    builder_.alias("u32", kWord);
  }

  static constexpr uint32_t kWord = 801;
  BtfBuilder builder_;
  uint32_t large_ = 0;
};

TEST_F(SortedBtf, IsSearchedByName) {
  const auto types = open(builder_);
  EXPECT_EQ(types->find(TypeKind::kStruct, "a_1000")->id, 301u);
  EXPECT_EQ(types->find(TypeKind::kStruct, "a_1499")->members()[0].name, "member");
  EXPECT_EQ(types->find(TypeKind::kInt, "int")->id, kWord);
  EXPECT_EQ(types->find(TypeKind::kTypedef, "u32")->size, 4u);
  EXPECT_EQ(types->find(TypeKind::kUnion, "pmu")->size, 16u);
  EXPECT_EQ(types->find(TypeKind::kStruct, "nothing"), nullptr);
  EXPECT_EQ(types->find(TypeKind::kStruct, "u32"), nullptr);
}

TEST_F(SortedBtf, OfTypesThatShareATagTheLargestIsFound) {
  const auto types = open(builder_);
  EXPECT_EQ(types->find(TypeKind::kStruct, "pmu"), types->resolve(large_));
}

TEST_F(SortedBtf, TypesOutOfOrderAreFoundAllTheSame) {
  for (int i = 999; i > 500; i--) builder_.structure("b_" + std::to_string(i), 4, {});
  const auto types = open(builder_);
  for (const char* name : {"a_1000", "a_1499", "b_999", "b_777", "b_501", "pmu"})
    EXPECT_NE(types->find(TypeKind::kStruct, name), nullptr) << name;
}

TEST(Btf, ReadsOnlyAsFarAsItIsAsked) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("int", 4);
  for (int i = 0; i < 40000; i++) builder.structure("struct_" + std::to_string(i), 4, {{"member", word, 0}});
  const std::vector<std::byte> bytes = builder.build();
  test::ImageMemory memory;
  memory.write(0x10000, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  // Of about 400 pages, the first and the last have to do with the first types and their names.
  for (uint64_t page = 100; page < 200; page++) memory.remove_page(0x10000 + page * kPageSize);
  Unread why;
  const auto types = open_btf(memory, 0x10000, 0x10000 + bytes.size(), &why);
  ASSERT_NE(types, nullptr);
  EXPECT_NE(types->find(TypeKind::kStruct, "struct_5"), nullptr);
  EXPECT_EQ(types->incomplete(), std::nullopt);
  EXPECT_EQ(types->find(TypeKind::kStruct, "struct_39999"), nullptr);
  EXPECT_TRUE(types->incomplete());
}

/// BTF of many types at two places, the second of which may differ.
class BtfAlike : public testing::Test {
 protected:
  static constexpr uint64_t kHere = 0x10000, kThere = 0x5010000;

  BtfAlike() {
    BtfBuilder builder;
    const uint32_t word = builder.integer("int", 4);
    for (int i = 0; i < 40000; i++)
      builder.structure("struct_" + std::to_string(i), 4, {{"member", word, 0}});
    const std::vector<std::byte> bytes = builder.build();
    size_ = bytes.size();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), size_);
    here_.write(kHere, text);
    there_.write(kThere, text);
    types_ = open_btf(here_, kHere, kHere + size_, &why_);
    known_ = types_->find(TypeKind::kStruct, "struct_100");
  }
  std::unique_ptr<TypeSource> open_there() {
    std::unique_ptr<TypeSource>* const alike[] = {&types_};
    return open_btf(there_, kThere, kThere + size_, &why_, alike);
  }

  test::ImageMemory here_, there_;
  size_t size_ = 0;
  Unread why_;
  std::unique_ptr<TypeSource> types_;
  const Type* known_ = nullptr;
};

TEST_F(BtfAlike, IsTakenOverAndReadOnThere) {
  here_.remove_page(kHere + size_ - kPageSize);  // nobody reads here any more
  const auto types = open_there();
  ASSERT_NE(types, nullptr);
  EXPECT_EQ(types_, nullptr);
  EXPECT_EQ(types->find(TypeKind::kStruct, "struct_100"), known_);
  EXPECT_NE(types->find(TypeKind::kStruct, "struct_39999"), nullptr);
}

TEST_F(BtfAlike, IsLeftAloneWhereWhatItReadDiffers) {
  there_.poke<char>(kThere + 40, 'x');  // in the first type
  const auto types = open_there();
  EXPECT_NE(types_, nullptr);
  EXPECT_NE(types.get(), types_.get());
}

TEST_F(BtfAlike, IsLeftAloneWhereWhatItReadIsMissing) {
  there_.remove_page(kThere + kPageSize);
  const auto types = open_there();
  EXPECT_NE(types_, nullptr);
  ASSERT_NE(types, nullptr);
  EXPECT_TRUE(types->find(TypeKind::kStruct, "struct_39999") == nullptr && types->incomplete());
}

TEST_F(BtfAlike, IsLeftAloneWhenTheSizeDiffers) {
  size_ -= 1;
  open_there();
  EXPECT_NE(types_, nullptr);
}

TEST(Btf, PerCpuVariablesAreFoundInTheirSection) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("int", 4);
  const uint32_t counter = builder.variable("counter", word);
  const uint32_t plain = builder.variable("plain", word);
  builder.section(".data..percpu", {{counter, 0x1a240, 4}});
  builder.section(".bss", {{plain, 0x40, 4}});
  const auto types = open(builder);
  EXPECT_EQ(types->variable("counter"), types->resolve(word));
  EXPECT_EQ(types->percpu_offset("counter"), 0x1a240u);
  EXPECT_EQ(types->variable("plain"), types->resolve(word));
  EXPECT_EQ(types->percpu_offset("plain"), std::nullopt);
  EXPECT_EQ(types->variable("nothing"), nullptr);
}

TEST(Btf, AnUnknownKindEndsTheTypesAndSaysSo) {
  BtfBuilder builder;
  builder.integer("int", 4);
  builder.add(33, "new", 2, 0, {1, 2, 3});
  builder.integer("long int", 8);
  Unread why;
  const auto types = open_btf(builder.build(), &why);
  ASSERT_NE(types, nullptr);
  EXPECT_NE(types->find(TypeKind::kInt, "int"), nullptr);
  EXPECT_EQ(types->find(TypeKind::kInt, "long int"), nullptr);
  ASSERT_TRUE(types->incomplete());
  EXPECT_EQ(types->incomplete()->detail, "type of unknown kind 33; only the 1 types before it are used");
}

TEST(Btf, AnUnknownKindIsSkippedWhereTheLayoutSectionGivesItsSize) {
  BtfBuilder builder;
  builder.add(33, "new", 2, 0, {1, 2, 3});
  builder.integer("long int", 8);
  std::vector<BtfBuilder::Layout> layouts(34);
  layouts[33] = {4, 4};
  builder.set_layouts(layouts);
  const auto types = open(builder);
  EXPECT_NE(types->find(TypeKind::kInt, "long int"), nullptr);
  EXPECT_EQ(types->resolve(1)->kind, TypeKind::kUnknown);
  EXPECT_EQ(types->resolve(1)->size, 0u);
}

TEST(Btf, TypesThatReferToThemselvesEnd) {
  BtfBuilder builder;
  builder.alias("loop", 1);
  builder.array(2, 8);
  builder.type_tag("tag", 3);
  builder.pointer(5);
  builder.constant(4);
  builder.structure("cycle", 8, {{"", 6, 0}, {"", 6, 0}, {"pointer", 4, 0}});
  const auto types = open(builder);
  EXPECT_EQ(types->resolve(1)->size, 0u);
  EXPECT_EQ(types->resolve(1)->strip(), nullptr);
  EXPECT_EQ(types->resolve(2)->size, 0u);
  EXPECT_EQ(types->resolve(3), nullptr);
  EXPECT_NE(types->resolve(4)->to_string(), "");
  EXPECT_FALSE(TypeSource::find_member(types->resolve(6), "nothing"));
  TypeSource::members_at(types->resolve(6), 3);
}

TEST(Btf, APageOfTypesThatCannotBeReadEndsTheTypesAndSaysSo) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("int", 4);
  for (int i = 0; i < 1000; i++) builder.structure("struct_" + std::to_string(i), 4, {{"member", word, 0}});
  const std::vector<std::byte> bytes = builder.build();
  constexpr uint64_t kStart = 0xffffffff82000123;
  test::ImageMemory memory;
  memory.write(kStart, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  Unread why;
  {
    const auto types = open_btf(memory, kStart, kStart + bytes.size(), &why);
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(types->find(TypeKind::kStruct, "struct_999")->members()[0].name, "member");
    EXPECT_EQ(types->incomplete(), std::nullopt);
  }
  // 24 bytes a type: page 2 holds types 330 to 500.
  memory.remove_page(kStart + 3 * kPageSize);
  const auto types = open_btf(memory, kStart, kStart + bytes.size(), &why);
  ASSERT_NE(types, nullptr);
  EXPECT_NE(types->find(TypeKind::kStruct, "struct_100"), nullptr);
  EXPECT_EQ(types->find(TypeKind::kStruct, "struct_999"), nullptr);
  EXPECT_TRUE(types->incomplete());
}

TEST(Btf, NamesThatCannotBeReadAreNotTakenForAnonymous) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("int", 4);
  for (int i = 0; i < 1000; i++) builder.structure("struct_" + std::to_string(i), 4, {{"member", word, 0}});
  const std::vector<std::byte> bytes = builder.build();
  constexpr uint64_t kStart = 0xffffffff82000000;
  test::ImageMemory memory;
  memory.write(kStart, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  memory.remove_page(kStart + bytes.size() - 1);
  Unread why;
  const auto types = open_btf(memory, kStart, kStart + bytes.size(), &why);
  ASSERT_NE(types, nullptr);
  EXPECT_EQ(types->find(TypeKind::kStruct, "struct_999"), nullptr);
  EXPECT_EQ(types->resolve(1001)->name, "<not read>");
  EXPECT_FALSE(TypeSource::find_member(types->resolve(1001), "member"));
  EXPECT_NE(types->find(TypeKind::kStruct, "struct_0"), nullptr);
}

TEST(Btf, WhatIsNoBtfIsRefusedWithAReason) {
  Unread why;
  EXPECT_EQ(open_btf(std::vector<std::byte>(10), &why), nullptr);
  EXPECT_EQ(why.detail, "10 bytes are too few for a header");
  EXPECT_EQ(open_btf(std::vector<std::byte>(100), &why), nullptr);
  EXPECT_EQ(why.detail, "magic 0x0000 instead of 0xeb9f");
  BtfBuilder builder;
  builder.integer("int", 4);
  std::vector<std::byte> bytes = builder.build();
  bytes.pop_back();
  EXPECT_EQ(open_btf(bytes, &why), nullptr);
  EXPECT_EQ(why.reason, UnreadReason::kCorrupt);
  test::ImageMemory memory;
  EXPECT_EQ(open_btf(memory, 0x2000, 0x1000, &why), nullptr);
  EXPECT_EQ(open_btf(memory, 0x1000, 0x2000, &why), nullptr);
  EXPECT_EQ(why.reason, UnreadReason::kNotMapped);
  EXPECT_EQ(open_btf(memory, 0, uint64_t{1} << 40, &why), nullptr);
}

/// Asks everything of a source that its bytes may have damaged.
void exercise(TypeSource& types) {
  for (uint64_t id = 0; id < 40; id++) {
    const Type* type = types.resolve(id);
    if (!type) continue;
    for (const Member& member : type->members()) type->member_type(member);
    type->enumerators();
    type->to_string();
    type->strip();
    types.complete(type);
    TypeSource::members_at(type, 3);
    TypeSource::find_member(type, "inner.five[2]");
  }
  for (TypeKind kind :
       {TypeKind::kStruct, TypeKind::kUnion, TypeKind::kEnum, TypeKind::kTypedef, TypeKind::kInt})
    types.find(kind, "outer");
  types.variable("counter");
  types.percpu_offset("counter");
}

TEST(Btf, DamagedBytesDoNoHarm) {
  BtfBuilder builder;
  const uint32_t word = builder.integer("unsigned int", 4);
  const uint32_t inner =
      builder.structure("inner", 8, {{"a", word, 0}, {"five", builder.array(word, 5), 35, 5}});
  builder.structure("outer", 16, {{"inner", inner, 0}, {"", inner, 64}, {"next", builder.pointer(4), 0}});
  builder.enumeration("colour", {{"RED", 1}, {"BLUE", 2}}, true);
  builder.enumeration64("wide", {{"ALL", UINT64_MAX}}, false);
  builder.alias("alias", builder.constant(inner));
  builder.forward("later");
  builder.type_tag("user", word);
  builder.section(".data..percpu", {{builder.variable("counter", word), 8, 4}});
  const std::vector<std::byte> good = builder.build();
  Unread why;
  for (size_t size = 0; size < good.size(); size++)
    if (auto types = open_btf({good.begin(), good.begin() + static_cast<long>(size)}, &why)) exercise(*types);
  for (size_t i = 0; i < good.size(); i++) {
    for (int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      std::vector<std::byte> bad = good;
      bad[i] = static_cast<std::byte>(value);
      if (auto types = open_btf(std::move(bad), &why)) exercise(*types);
    }
  }
}

}  // namespace
}  // namespace perfcore
