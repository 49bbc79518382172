// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "perfcore/types.h"
#include "types/dwarf_file.h"

// The fixture's C types, as this compiler lays them out.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#define _Bool bool
#include "types/dwarf_fixture.h"
#undef _Bool
#pragma GCC diagnostic pop

namespace perfcore {
namespace {

std::string fixture(const std::string& name) {
  return std::string(PERFCORE_FIXTURES) + "/" + name;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// A file that goes with the test.
class ScratchFile {
 public:
  explicit ScratchFile(std::string_view contents)
      : path_(testing::TempDir() + "perfcore-dwarf-" + std::to_string(getpid())) {
    std::ofstream(path_, std::ios::binary)
        .write(contents.data(), static_cast<std::streamsize>(contents.size()));
  }
  ~ScratchFile() { std::filesystem::remove(path_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string refusal(const std::string& path) {
  try {
    open_dwarf(path);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

/// One compiler, DWARF version or section compression each.
class DwarfFixture : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    path_ = fixture(GetParam());
    if (!std::filesystem::exists(path_))
      GTEST_SKIP() << path_ << " was not built: its compiler is not installed";
    source_ = open_dwarf(path_);
  }

  const Type* sample() { return source_->find(TypeKind::kStruct, "sample"); }
  /// Path, byte offset and size of a member, compared with the compiler's.
  void expect_member(const char* path, uint64_t offset, uint64_t size) {
    const auto member = TypeSource::find_member(sample(), path);
    ASSERT_TRUE(member.has_value()) << path;
    EXPECT_EQ(member->bit_offset, offset * 8) << path;
    EXPECT_EQ(member->bit_size, 0u) << path;
    ASSERT_NE(member->type, nullptr) << path;
    EXPECT_EQ(member->type->size, size) << path;
  }
  std::string type_of(const char* path) {
    const auto member = TypeSource::find_member(sample(), path);
    return member && member->type ? member->type->to_string() : "no such member";
  }

  std::string path_;
  std::unique_ptr<DwarfSource> source_;
};

#define EXPECT_MEMBER(member) expect_member(#member, offsetof(struct sample, member), sizeof(sample::member))

TEST_P(DwarfFixture, LaysStructsOutAsTheCompilerDoes) {
  ASSERT_NE(sample(), nullptr);
  EXPECT_EQ(sample()->kind, TypeKind::kStruct);
  EXPECT_EQ(sample()->size, sizeof(struct sample));
  EXPECT_EQ(sample()->to_string(), "struct sample");
  EXPECT_MEMBER(tag);
  EXPECT_MEMBER(ready);
  EXPECT_MEMBER(nested);
  EXPECT_MEMBER(state);
  EXPECT_MEMBER(flag);
  EXPECT_MEMBER(matrix);
  EXPECT_MEMBER(pair);
  EXPECT_MEMBER(value);
  EXPECT_MEMBER(hits);
  EXPECT_MEMBER(anything);
  EXPECT_MEMBER(text);
  EXPECT_MEMBER(callback);
  EXPECT_MEMBER(next);
  EXPECT_MEMBER(ratio);
  EXPECT_FALSE(TypeSource::find_member(sample(), "no_such_member").has_value());
}

TEST_P(DwarfFixture, CrossesAnonymousMembersAndArrays) {
  EXPECT_MEMBER(unnamed_first);
  EXPECT_MEMBER(unnamed_second);
  const uint64_t nested = offsetof(struct sample, nested);
  expect_member("nested.word", nested + offsetof(struct inner, word), sizeof(long));
  expect_member("nested.high", nested + offsetof(struct inner, high), sizeof(short));
  const uint64_t pair = offsetof(struct sample, pair);
  expect_member("pair[1].low", pair + sizeof(struct inner) + offsetof(struct inner, low), sizeof(short));
  expect_member("matrix[1]", offsetof(struct sample, matrix) + 3 * sizeof(int), 3 * sizeof(int));
  expect_member("matrix[1][2]", offsetof(struct sample, matrix) + 5 * sizeof(int), sizeof(int));
  expect_member("value.bytes[7]", offsetof(struct sample, value) + 7, 1);
  EXPECT_FALSE(TypeSource::find_member(sample(), "matrix[2]").has_value());
  EXPECT_EQ(TypeSource::members_at(sample(), pair + sizeof(struct inner)),
            std::vector<std::string>{"pair[1].first"});
}

TEST_P(DwarfFixture, PlacesBitFieldsByTheirFirstBit) {
  const auto bits = [&](const char* path) {
    const auto member = TypeSource::find_member(sample(), path);
    return member ? std::pair(member->bit_offset, member->bit_size) : std::pair(uint64_t{0}, uint32_t{0});
  };
  // The three fields fill the four bytes behind unnamed_second.
  const uint64_t first = (offsetof(struct sample, unnamed_second) + sizeof(u64)) * 8;
  EXPECT_EQ(bits("bit_a"), std::pair(first, 3u));
  EXPECT_EQ(bits("bit_b"), std::pair(first + 3, 7u));
  EXPECT_EQ(bits("bit_c"), std::pair(first + 10, 22u));
  // The 64-bit fields do not fit what is left of those eight bytes.
  EXPECT_EQ(bits("wide_a"), std::pair(first + 64, 40u));
  EXPECT_EQ(bits("wide_b"), std::pair(first + 64 + 40, 20u));
  EXPECT_EQ(bits("signed_bits").second, 5u);
}

TEST_P(DwarfFixture, WritesTypesAsC) {
  EXPECT_EQ(type_of("matrix"), "int[2][3]");
  EXPECT_EQ(type_of("pair"), "struct inner[2]");
  EXPECT_EQ(type_of("tail"), "struct inner[]");
  EXPECT_EQ(type_of("anything"), "void *");
  EXPECT_EQ(type_of("text"), "const char *");
  EXPECT_EQ(type_of("next"), "struct sample *");
  EXPECT_EQ(type_of("state"), "enum sample_state");
  EXPECT_EQ(type_of("value"), "union either");
  EXPECT_EQ(type_of("hits"), "watched_counter_t");
}

TEST_P(DwarfFixture, FollowsTypedefsAndKnowsEncodings) {
  const Type* watched = source_->find(TypeKind::kTypedef, "watched_counter_t");
  ASSERT_NE(watched, nullptr);
  EXPECT_EQ(watched->size, 4u);
  ASSERT_NE(watched->strip(), nullptr);
  EXPECT_EQ(watched->strip()->kind, TypeKind::kInt);
  EXPECT_EQ(watched->strip()->encoding, IntEncoding::kUnsigned);
  const auto encoding = [&](const char* path) {
    return TypeSource::find_member(sample(), path)->type->strip()->encoding;
  };
  EXPECT_EQ(encoding("tag"), IntEncoding::kChar);
  EXPECT_EQ(encoding("ready"), IntEncoding::kBool);
  EXPECT_EQ(encoding("unnamed_first"), IntEncoding::kSigned);
  EXPECT_EQ(encoding("value.bytes[0]"), IntEncoding::kUnsigned);
  EXPECT_EQ(TypeSource::find_member(sample(), "ratio")->type->kind, TypeKind::kFloat);
  EXPECT_NE(source_->find(TypeKind::kInt, "int"), nullptr);
  EXPECT_EQ(source_->find(TypeKind::kFloat, "int"), nullptr);
}

TEST_P(DwarfFixture, ReadsEnumerators) {
  const auto values = [&](const char* name) {
    std::vector<std::pair<std::string, int64_t>> found;
    if (const Type* type = source_->find(TypeKind::kEnum, name))
      for (const Enumerator& enumerator : type->enumerators())
        found.emplace_back(enumerator.name, enumerator.value);
    return found;
  };
  EXPECT_EQ(values("sample_state"), (std::vector<std::pair<std::string, int64_t>>{
                                        {"STATE_DEAD", -4}, {"STATE_OFF", -1}, {"STATE_ON", 1}}));
  EXPECT_EQ(values("sample_flag"),
            (std::vector<std::pair<std::string, int64_t>>{{"FLAG_NONE", 0}, {"FLAG_HIGH", 0x80000000}}));
  EXPECT_EQ(source_->find(TypeKind::kEnum, "sample_state")->encoding, IntEncoding::kSigned);
  EXPECT_EQ(source_->find(TypeKind::kEnum, "sample_flag")->encoding, IntEncoding::kUnsigned);
}

TEST_P(DwarfFixture, CompletesForwardDeclarationsFromOtherUnits) {
  const auto secret = TypeSource::find_member(sample(), "secret");
  ASSERT_TRUE(secret && secret->type && secret->type->target());
  const Type* hidden = source_->complete(secret->type->target());
  ASSERT_NE(hidden, nullptr);
  EXPECT_EQ(hidden->kind, TypeKind::kStruct);
  EXPECT_EQ(hidden->size, 16u);
  EXPECT_TRUE(TypeSource::find_member(hidden, "part.depth").has_value());
  EXPECT_NE(source_->find(TypeKind::kStruct, "only_in_b"), nullptr);

  const auto missing = TypeSource::find_member(sample(), "missing");
  ASSERT_TRUE(missing && missing->type && missing->type->target());
  EXPECT_EQ(missing->type->target()->kind, TypeKind::kForward);
  EXPECT_EQ(source_->complete(missing->type->target()), nullptr);
}

TEST_P(DwarfFixture, FindsVariablesOfAnyUnit) {
  const auto variable = [&](const char* name) {
    const Type* type = source_->variable(name);
    return type ? type->to_string() : "none";
  };
  EXPECT_EQ(variable("current_sample"), "struct sample *");
  EXPECT_EQ(variable("global_sample"), "struct sample *");
  EXPECT_EQ(variable("watched"), "watched_counter_t");
  EXPECT_EQ(variable("hidden_object"), "struct hidden");
  // Unit a knows it without its size only.
  EXPECT_EQ(variable("shared_table"), "u32[12]");
  EXPECT_EQ(variable("defined_after_declaration"), "u32[5]");
  EXPECT_EQ(variable("sample"), "none");
  EXPECT_EQ(variable("pmu"), "struct pmu");
}

TEST_P(DwarfFixture, SaysWhatDoesNotExist) {
  EXPECT_EQ(source_->find(TypeKind::kStruct, "no_such_struct"), nullptr);
  EXPECT_EQ(source_->find(TypeKind::kUnion, "sample"), nullptr);
  EXPECT_EQ(source_->find(TypeKind::kStruct, "nowhere"), nullptr);
  EXPECT_EQ(source_->find(TypeKind::kStruct, ""), nullptr);
  EXPECT_EQ(source_->variable("no_such_variable"), nullptr);
  EXPECT_EQ(source_->resolve(1), nullptr);
  EXPECT_EQ(source_->resolve(~uint64_t{0}), nullptr);
}

TEST_P(DwarfFixture, NamesInlinedCallsInnermostFirst) {
  if (GetParam() == std::string_view("dwarf2"))
    GTEST_SKIP() << "DWARF 2 has no way to say where split inlined code is";
  const DwarfFile file(path_);
  const auto inside = file.symbol_address("inside_innermost");
  const auto outside = file.symbol_address("not_inlined");
  ASSERT_TRUE(inside && outside);
  std::vector<std::string> names;
  for (const InlinedCall& call : source_->inlined_at(*inside)) names.push_back(call.function);
  EXPECT_EQ(names, (std::vector<std::string>{"innermost", "middle"}));
  EXPECT_TRUE(source_->inlined_at(*outside).empty());
  EXPECT_TRUE(source_->inlined_at(0).empty());
}

INSTANTIATE_TEST_SUITE_P(Formats, DwarfFixture,
                         testing::Values("dwarf2", "dwarf3", "dwarf4", "dwarf5", "dwarf5_type_units",
                                         "dwarf5_64", "dwarf5_lto", "dwarf5_clang", "dwarf4_clang",
                                         "dwarf5_zlib", "dwarf5_zlib_gnu", "dwarf5_zstd",
                                         "dwarf5_no_aranges"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(DwarfFileTest, DecompressesToTheSameBytes) {
  DwarfFile plain(fixture("dwarf5"));
  const ByteSpan expected = plain.section(".debug_info");
  ASSERT_FALSE(expected.empty());
  for (const char* name : {"dwarf5_zlib", "dwarf5_zlib_gnu", "dwarf5_zstd"}) {
    DwarfFile packed(fixture(name));
    const ByteSpan bytes = packed.section(".debug_info");
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), expected.begin(), expected.end())) << name;
    EXPECT_LT(std::filesystem::file_size(fixture(name)), std::filesystem::file_size(fixture("dwarf5")))
        << name;
  }
}

TEST(DwarfFileTest, RefusesWhatIsNotAKernelWithDwarf) {
  EXPECT_NE(refusal("/nonexistent/vmlinux").find("cannot be opened"), std::string::npos);
  EXPECT_NE(refusal(testing::TempDir()).find("not a regular file"), std::string::npos);
  EXPECT_NE(refusal(ScratchFile("short").path()).find("only 5 bytes"), std::string::npos);
  std::string boot_image(4096, '\0');
  boot_image.replace(0x202, 4, "HdrS");
  EXPECT_NE(refusal(ScratchFile(boot_image).path()).find("vmlinuz"), std::string::npos);
  const std::string stripped = refusal(fixture("stripped"));
  EXPECT_NE(stripped.find("no DWARF"), std::string::npos) << stripped;
  EXPECT_NE(stripped.find(".text"), std::string::npos) << stripped;
  EXPECT_NE(stripped.find("-dbg"), std::string::npos) << stripped;

  std::string elf = read_file(fixture("dwarf5"));
  std::string wrong = elf;
  wrong[18] = 40;  // e_machine: ARM
  EXPECT_NE(refusal(ScratchFile(wrong).path()).find("machine 40"), std::string::npos);
  wrong = elf;
  wrong[16] = 1;  // e_type: ET_REL
  EXPECT_NE(refusal(ScratchFile(wrong).path()).find("module"), std::string::npos);
  EXPECT_NE(refusal(ScratchFile(std::string_view(elf).substr(0, elf.size() / 2)).path()).find("truncated"),
            std::string::npos);
}

/// Asks everything of a file that may be damaged; what it answers does not matter, that it answers does.
size_t ask_everything(const std::string& path) {
  size_t answers = 0;
  try {
    const auto source = open_dwarf(path);
    for (const char* name : {"sample", "inner", "hidden", "nowhere", "pmu", "cpu_hw_events"}) {
      const Type* type = source->find(TypeKind::kStruct, name);
      if (!type) continue;
      for (const Member& member : type->members()) {
        const Type* member_type = type->member_type(member);
        if (!member_type) continue;
        answers += member_type->to_string().size() + member_type->enumerators().size();
        if (const Type* bare = member_type->strip()) answers += bare->members().size();
        source->complete(member_type->target());
      }
      TypeSource::find_member(type, "nested.high");
      TypeSource::members_at(type, 40);
    }
    for (const char* name : {"current_sample", "shared_table", "watched"})
      if (const Type* type = source->variable(name)) answers += type->to_string().size();
    const DwarfFile file(path);
    for (const char* name : {"inside_innermost", "not_inlined"})
      if (const auto address = file.symbol_address(name)) answers += source->inlined_at(*address).size();
  } catch (const InputError&) {
  }
  return answers;
}

/// [offset, size] of the file's debug sections and section headers, to damage what matters.
TEST(DwarfDamage, TruncatedFilesAreRefusedOrAnswered) {
  for (const char* name : {"dwarf4", "dwarf5", "dwarf5_zlib"}) {
    const std::string good = read_file(fixture(name));
    ASSERT_GT(ask_everything(fixture(name)), 0u);
    for (size_t step = 0; step < 200; step++)
      ask_everything(ScratchFile(std::string_view(good).substr(0, good.size() * step / 200)).path());
  }
}

TEST(DwarfDamage, FlippedBytesDoNotCrash) {
  std::mt19937 random(20260201);
  size_t answered = 0;
  for (const char* name : {"dwarf2", "dwarf4", "dwarf5", "dwarf5_type_units", "dwarf5_zlib"}) {
    const std::string good = read_file(fixture(name));
    for (int round = 0; round < 1000; round++) {
      std::string damaged = good;
      const size_t flips = 1 + random() % 8;
      for (size_t i = 0; i < flips; i++)
        damaged[random() % damaged.size()] ^= static_cast<char>(1 + random() % 255);
      answered += ask_everything(ScratchFile(damaged).path()) > 0;
    }
  }
  EXPECT_GT(answered, 500u) << "hardly any damaged file was answered: the flips did not test the reader";
}

}  // namespace
}  // namespace perfcore
