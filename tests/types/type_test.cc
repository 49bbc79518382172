// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "perfcore/types.h"
#include "support/btf_builder.h"

namespace perfcore {
namespace {

/// struct event { union { struct { u64 config; u64 period; }; u32 raw[4]; } hw; struct { u32 low:3, high:5;
/// };
///                struct event *next; struct pair matrix[2][3]; u32 tail[]; };
class TypeTest : public testing::Test {
 protected:
  TypeTest() {
    test::BtfBuilder builder;
    const uint32_t u32 = builder.integer("u32", 4);
    const uint32_t u64 = builder.integer("u64", 8);
    const uint32_t values = builder.structure("", 16, {{"config", u64, 0}, {"period", u64, 64}});
    const uint32_t hw =
        builder.structure("hw", 16, {{"", values, 0}, {"raw", builder.array(u32, 4), 0}}, true);
    const uint32_t bits = builder.structure("", 4, {{"low", u32, 0, 3}, {"high", u32, 3, 5}});
    const uint32_t pair = builder.structure("pair", 8, {{"a", u32, 0}, {"b", u32, 32}});
    const uint32_t matrix = builder.array(builder.array(pair, 3), 2);
    const uint32_t forward = builder.forward("event");
    const uint32_t next = builder.constant(builder.pointer(builder.constant(forward)));
    builder.structure("event", 80,
                      {{"hw", builder.alias("hw_t", hw), 0},
                       {"", bits, 16 * 8},
                       {"next", next, 24 * 8},
                       {"matrix", matrix, 32 * 8},
                       {"tail", builder.array(u32, 0), 80 * 8}});
    Unread why;
    types_ = open_btf(builder.build(), &why);
    event_ = types_->find(TypeKind::kStruct, "event");
  }

  std::optional<uint64_t> offset_of(std::string_view path) const {
    const auto found = TypeSource::find_member(event_, path);
    if (!found) return std::nullopt;
    return found->bit_offset;
  }
  std::vector<std::string> at(uint64_t offset) const { return TypeSource::members_at(event_, offset); }

  std::unique_ptr<TypeSource> types_;
  const Type* event_ = nullptr;
};

TEST_F(TypeTest, PathsCrossAnonymousMembersAndTypedefs) {
  EXPECT_EQ(offset_of("hw.period"), 64u);
  EXPECT_EQ(offset_of("hw.raw[3]"), 96u);
  EXPECT_EQ(offset_of("high"), 16u * 8 + 3);
  EXPECT_EQ(TypeSource::find_member(event_, "high")->bit_size, 5u);
  EXPECT_EQ(offset_of("matrix[1][2].b"), (32 + 5 * 8 + 4) * 8u);
  EXPECT_EQ(TypeSource::find_member(event_, "matrix[1]")->type->to_string(), "struct pair[3]");
}

TEST_F(TypeTest, PathsThatLeadNowhereAreRefused) {
  for (const char* path : {"hw.none", "none", "hw.", ".", "hw..period", "hw.raw[4]", "hw.raw[", "hw.raw[]",
                           "hw.raw[x]", "hw.raw[99999999999999999999]", "high.low", "next[0]", "[0]"})
    EXPECT_FALSE(offset_of(path)) << path;
  EXPECT_FALSE(TypeSource::find_member(nullptr, "hw"));
  EXPECT_EQ(offset_of(""), 0u);
}

TEST_F(TypeTest, FlexibleArraysHaveNoLastElement) {
  EXPECT_EQ(offset_of("tail[7]"), (80 + 28) * 8u);
  EXPECT_EQ(offset_of("tail[4294967295]"), (80 + 4 * uint64_t{4294967295}) * 8);
}

TEST_F(TypeTest, MembersAtAnOffset) {
  EXPECT_EQ(at(8), (std::vector<std::string>{"hw.period", "hw.raw[2]"}));
  EXPECT_EQ(at(16), (std::vector<std::string>{"low", "high"}));
  EXPECT_EQ(at(24), (std::vector<std::string>{"next"}));
  EXPECT_EQ(at(32 + 5 * 8 + 5), (std::vector<std::string>{"matrix[1][2].b"}));
  EXPECT_TRUE(at(20).empty());
  EXPECT_TRUE(at(4096).empty());
}

TEST_F(TypeTest, TypesAreWrittenAsInC) {
  EXPECT_EQ(event_->to_string(), "struct event");
  EXPECT_EQ(TypeSource::find_member(event_, "next")->type->to_string(), "const struct event *const");
  EXPECT_EQ(TypeSource::find_member(event_, "hw")->type->to_string(), "hw_t");
  EXPECT_EQ(TypeSource::find_member(event_, "tail")->type->to_string(), "u32[]");
  EXPECT_EQ(types_->resolve(0)->to_string(), "void");
}

}  // namespace
}  // namespace perfcore
