// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/layout.h"

#include <gtest/gtest.h>

#include "kernel/fake_kernel.h"

namespace perfcore::test {
namespace {

class LayoutTest : public ::testing::Test {
 protected:
  LayoutTest() : types(*fake.types) {
    byte = types.integer("char", 1);
    word = types.integer("int", 4);
    quad = types.integer("long", 8);
  }

  std::string message_of(const std::string& name) {
    try {
      find_named_type(*fake.kernel, name);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  }

  FakeKernel fake;
  FakeTypes& types;
  const Type* byte;
  const Type* word;
  const Type* quad;
};

TEST_F(LayoutTest, HolesAndPaddingAreCounted) {
  const Type* sparse = types.aggregate(TypeKind::kStruct, "sparse", 24);
  types.member(sparse, "a", 0, byte);
  types.member(sparse, "b", 8, quad);
  types.member(sparse, "c", 16, word);
  const Layout layout = layout_of(sparse);
  ASSERT_EQ(layout.entries.size(), 5u);
  EXPECT_EQ(layout.entries[1].kind, LayoutEntry::Kind::kHole);
  EXPECT_EQ(layout.entries[1].offset(), 1u);
  EXPECT_EQ(layout.entries[1].size(), 7u);
  EXPECT_EQ(layout.entries[4].kind, LayoutEntry::Kind::kPadding);
  EXPECT_EQ(layout.members, 3u);
  EXPECT_EQ(layout.holes, 1u);
  EXPECT_EQ(layout.hole_bytes, 7u);
  EXPECT_EQ(layout.padding_bytes, 4u);
}

TEST_F(LayoutTest, BitFieldsLeaveHolesOfBits) {
  const Type* bits = types.aggregate(TypeKind::kStruct, "bits", 8);
  types.bit_field(bits, "a", 0, 3, word);
  types.bit_field(bits, "b", 11, 2, word);
  types.member(bits, "c", 4, word);
  const Layout layout = layout_of(bits);
  // a, 5 bits, 3 bits, b, 3 bits, 2 bytes, c
  ASSERT_EQ(layout.entries.size(), 7u);
  EXPECT_TRUE(layout.entries[0].bit_field);
  EXPECT_EQ(layout.entries[3].name, "b");
  EXPECT_EQ(layout.entries[3].bit_offset, 11u);
  EXPECT_EQ(layout.entries[3].size(), 1u);
  EXPECT_EQ(layout.bit_holes, 3u);
  EXPECT_EQ(layout.bit_hole_bits, 11u);
  EXPECT_EQ(layout.holes, 1u);
  EXPECT_EQ(layout.hole_bytes, 2u);
  EXPECT_EQ(layout.padding_bytes, 0u);
}

TEST_F(LayoutTest, TaglessTypesAreWrittenOutWithOffsetsOfTheOuterType) {
  const Type* inner = types.aggregate(TypeKind::kUnion, "", 8);
  types.member(inner, "small", 0, byte);
  types.member(inner, "large", 0, quad);
  const Type* outer = types.aggregate(TypeKind::kStruct, "outer", 16);
  types.member(outer, "head", 0, quad);
  types.member(outer, "", 8, inner);
  const Layout layout = layout_of(outer);
  ASSERT_EQ(layout.entries.size(), 2u);
  ASSERT_EQ(layout.entries[1].members.size(), 2u);
  EXPECT_EQ(layout.entries[1].members[1].offset(), 8u);
  EXPECT_EQ(layout.members, 3u);
  EXPECT_EQ(layout.holes, 0u);
  EXPECT_EQ(find_named_type(*fake.kernel, "outer.large").location.byte_offset(), 8u);
}

TEST_F(LayoutTest, DeclaratorsGrowAroundTheName) {
  const Type* thing = types.aggregate(TypeKind::kStruct, "thing", 8);
  const Type* pointer = types.pointer(thing);
  EXPECT_EQ(declare(types.array(pointer, 4), "list"), "struct thing *list[4]");
  EXPECT_EQ(declare(types.pointer(types.array(word, 4)), "row"), "int (*row)[4]");
  EXPECT_EQ(declare(types.array(types.array(word, 3), 2), "matrix"), "int matrix[6]");
  EXPECT_EQ(declare(types.pointer(pointer), ""), "struct thing **");
}

TEST_F(LayoutTest, ATypeThatContainsItselfComesToAnEnd) {
  const Type* loop = types.aggregate(TypeKind::kStruct, "", 8);
  types.member(loop, "a", 0, loop);
  types.member(loop, "b", 0, loop);
  const Layout layout = layout_of(loop);
  EXPECT_FALSE(layout.entries.empty());
}

TEST_F(LayoutTest, WhatDoesNotExistIsSaidWithWhatToDo) {
  const Type* target = types.aggregate(TypeKind::kStruct, "target", 8);
  types.member(target, "value", 0, quad);
  const Type* holder = types.aggregate(TypeKind::kStruct, "holder", 16);
  types.member(holder, "pointer", 0, types.pointer(target));
  types.member(holder, "count", 8, word);
  EXPECT_NE(message_of("holder.pointer.value").find("\"struct target.value\""), std::string::npos)
      << message_of("holder.pointer.value");
  EXPECT_NE(message_of("holder.cuont").find("count"), std::string::npos);
  EXPECT_NE(message_of("holder.count.x").find("int"), std::string::npos);
  EXPECT_NE(message_of("nothing").find("--debuginfo"), std::string::npos);
  EXPECT_NE(message_of(""), "");
}

}  // namespace
}  // namespace perfcore::test
