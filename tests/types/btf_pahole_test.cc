// SPDX-License-Identifier: LGPL-2.1-or-later
// BTF as pahole makes it for kernels, of a file whose types the compiler knows as well.
#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "perfcore/types.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#define _Bool bool
#include "types/dwarf_fixture.h"
#undef _Bool
#pragma GCC diagnostic pop

namespace perfcore {
namespace {

class PaholeBtf : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path = PERFCORE_FIXTURES "/dwarf5.btf";
    if (!std::filesystem::exists(path))
      GTEST_SKIP() << "pahole (package dwarves) was not there to make " << path;
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    Unread why;
    btf_ = open_btf({data, data + text.size()}, &why);
    ASSERT_NE(btf_, nullptr) << why.message();
  }

  uint64_t offset_of(std::string_view path) const {
    const auto found = TypeSource::find_member(btf_->find(TypeKind::kStruct, "sample"), path);
    return found ? found->bit_offset : UINT64_MAX;
  }

  std::unique_ptr<TypeSource> btf_;
};

TEST_F(PaholeBtf, AgreesWithTheCompiler) {
  EXPECT_EQ(btf_->find(TypeKind::kStruct, "sample")->size, sizeof(struct sample));
  EXPECT_EQ(btf_->find(TypeKind::kStruct, "inner")->size, sizeof(struct inner));
  EXPECT_EQ(btf_->find(TypeKind::kUnion, "either")->size, sizeof(union either));
  EXPECT_EQ(btf_->find(TypeKind::kTypedef, "watched_counter_t")->size, sizeof(u32));
  EXPECT_EQ(offset_of("nested.high"), offsetof(struct sample, nested.high) * 8);
  EXPECT_EQ(offset_of("unnamed_second"), offsetof(struct sample, unnamed_second) * 8);
  // pahole makes one dimension of several.
  EXPECT_EQ(offset_of("matrix[5]"), offsetof(struct sample, matrix[1][2]) * 8);
  EXPECT_EQ(offset_of("pair[1].low"), offsetof(struct sample, pair[1].low) * 8);
  EXPECT_EQ(offset_of("secret"), offsetof(struct sample, secret) * 8);
  EXPECT_EQ(offset_of("tail[3].first"), offsetof(struct sample, tail) * 8 + 3 * sizeof(struct inner) * 8);
  const auto flag = btf_->find(TypeKind::kEnum, "sample_flag")->enumerators();
  ASSERT_EQ(flag.size(), 2u);
  EXPECT_EQ(flag[1].value, 0x80000000);
  EXPECT_EQ(btf_->find(TypeKind::kEnum, "sample_state")->enumerators()[0].value, -4);
}

/// Both types, and everything that they are made of, name for name.
void expect_equal(const Type* btf, const Type* dwarf, int depth) {
  ASSERT_EQ(btf == nullptr, dwarf == nullptr);
  if (!btf || depth > 6) return;
  // pahole puts the definition in the place of a declaration.
  if (dwarf->kind == TypeKind::kForward && btf->kind != TypeKind::kForward)
    dwarf = dwarf->source->complete(dwarf);
  ASSERT_NE(dwarf, nullptr);
  while (dwarf->kind == TypeKind::kArray && dwarf->target()->kind == TypeKind::kArray) {
    // pahole makes one dimension of several.
    EXPECT_EQ(btf->size, dwarf->size);
    btf = btf->target();
    dwarf = dwarf->target()->target();
  }
  EXPECT_EQ(btf->to_string(), dwarf->to_string());
  EXPECT_EQ(btf->kind, dwarf->kind) << btf->to_string();
  EXPECT_EQ(btf->size, dwarf->size) << btf->to_string();
  EXPECT_EQ(btf->count, dwarf->count) << btf->to_string();
  EXPECT_EQ(btf->encoding, dwarf->encoding) << btf->to_string();
  ASSERT_EQ(btf->members().size(), dwarf->members().size());
  for (size_t i = 0; i < btf->members().size(); i++) {
    const Member& a = btf->members()[i];
    const Member& b = dwarf->members()[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.bit_offset, b.bit_offset) << a.name;
    EXPECT_EQ(a.bit_size, b.bit_size) << a.name;
    expect_equal(btf->member_type(a), dwarf->member_type(b), depth + 1);
  }
  ASSERT_EQ(btf->enumerators().size(), dwarf->enumerators().size());
  for (size_t i = 0; i < btf->enumerators().size(); i++) {
    EXPECT_EQ(btf->enumerators()[i].name, dwarf->enumerators()[i].name);
    EXPECT_EQ(btf->enumerators()[i].value, dwarf->enumerators()[i].value);
  }
  if (btf->kind != TypeKind::kFunction) expect_equal(btf->target(), dwarf->target(), depth + 1);
}

TEST_F(PaholeBtf, AgreesWithDwarf) {
  const auto dwarf = open_dwarf(PERFCORE_FIXTURES "/dwarf5");
  for (const char* name : {"sample", "inner", "hidden"})
    expect_equal(btf_->find(TypeKind::kStruct, name), dwarf->find(TypeKind::kStruct, name), 0);
  for (const char* name : {"counter_t", "watched_counter_t", "u64"})
    expect_equal(btf_->find(TypeKind::kTypedef, name), dwarf->find(TypeKind::kTypedef, name), 0);
}

}  // namespace
}  // namespace perfcore
