// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "perfcore/symbols.h"
#include "perfcore/types.h"

namespace perfcore {
namespace {

constexpr uint64_t kText = 0xffffffff81000000;
constexpr uint64_t kSlide = 0x1c000000;
const std::string kFixture = PERFCORE_FIXTURES "/vmlinux";
const std::string kStripped = PERFCORE_FIXTURES "/stripped";

std::string file_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A file that goes away with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& bytes)
      : path_(testing::TempDir() + "elf_symbols_test." + std::to_string(getpid())) {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(ElfSymbols, FindsSymbolsByName) {
  const auto table = open_elf_symbols(kFixture, 0);
  EXPECT_EQ(table->source(), "elf");
  const auto function = table->find("__do_softirq");
  ASSERT_TRUE(function);
  EXPECT_EQ(function->address, kText);
  EXPECT_EQ(function->size, 16u);
  EXPECT_EQ(function->kind, 'T');
  EXPECT_EQ(table->find("__pfx_twice")->kind, 't');
  EXPECT_EQ(table->find("weak_alias")->kind, 'W');
  EXPECT_EQ(table->find("x86_pmu")->kind, 'D');
  EXPECT_FALSE(table->find("nowhere"));
  EXPECT_FALSE(table->find(""));
  EXPECT_FALSE(table->find("__do_soft"));
  EXPECT_FALSE(table->find("absolute_value"));
}

TEST(ElfSymbols, PrefetchFindsWhatFindDoes) {
  const auto table = open_elf_symbols(kFixture, 0);
  const std::vector<std::string_view> names = {"__do_softirq", "nowhere", "x86_pmu", "x86_pmu", "twice"};
  table->prefetch(names);
  EXPECT_EQ(table->find("__do_softirq")->address, kText);
  EXPECT_FALSE(table->find("nowhere"));
  EXPECT_EQ(table->find_all("x86_pmu").size(), 1u);
  EXPECT_EQ(table->find_all("twice").size(), 2u);
}

TEST(ElfSymbols, SlidesTheKernelImageAndNotPerCpuOffsets) {
  const auto table = open_elf_symbols(kFixture, kSlide);
  EXPECT_EQ(table->find("_stext")->address, kText + kSlide);
  EXPECT_EQ(table->find("cpu_hw_events")->address, 0x40u);
  EXPECT_EQ(table->at(kText + kSlide + 4)->name, "__do_softirq");
  EXPECT_EQ(table->at(kText + kSlide + 4)->address, kText + kSlide);
  EXPECT_FALSE(table->at(kText + 4));
  EXPECT_FALSE(table->at(0x40));
  EXPECT_FALSE(table->at(0x44 + kSlide));
  EXPECT_FALSE(table->at(0));
  EXPECT_FALSE(table->at(UINT64_MAX));
}

TEST(ElfSymbols, OfOneNameTheGlobalSymbolIsFoundElseTheFirst) {
  const auto table = open_elf_symbols(kFixture, 0);
  const auto twice = table->find_all("twice");
  ASSERT_EQ(twice.size(), 2u);
  EXPECT_LT(twice[0].address, twice[1].address);
  EXPECT_EQ(table->find("twice")->address, twice[0].address);
  EXPECT_EQ(table->find_all("panic_cpu").size(), 2u);
  EXPECT_EQ(table->find("panic_cpu")->kind, 'D');
}

TEST(ElfSymbols, NamesAddresses) {
  const auto table = open_elf_symbols(kFixture, 0);
  // Global before local, strong before weak, functions before labels of the linker script.
  EXPECT_EQ(table->at(kText)->name, "__do_softirq");
  EXPECT_EQ(table->at(kText + 16)->name, "__pfx_twice");
  EXPECT_EQ(table->at(kText + 31)->name, "__pfx_twice");
  EXPECT_EQ(table->at(kText + 32)->name, "twice");
  EXPECT_EQ(table->at(kText + 32)->size, 8u);
  // Padding belongs to the function before it.
  EXPECT_EQ(table->at(kText + 47)->name, "twice");
  EXPECT_EQ(table->at(table->find("x86_pmu")->address + 63)->name, "x86_pmu");
  EXPECT_FALSE(table->at(kText - 1));
  EXPECT_FALSE(table->at(kText + 0x40000000));
}

TEST(ElfSymbols, FilesThatAreOfNoUseAreRefused) {
  const auto message = [](const std::string& path) -> std::string {
    try {
      open_elf_symbols(path, 0);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("/nonexistent").find("No such file"), std::string::npos);
  EXPECT_NE(message("/").find("not a regular file"), std::string::npos);
  EXPECT_NE(message(kStripped).find("no symbol table"), std::string::npos);
  const TemporaryFile text("not ELF at all");
  EXPECT_NE(message(text.path()).find("not an ELF file (14 bytes)"), std::string::npos);
  const TemporaryFile empty("");
  EXPECT_NE(message(empty.path()).find("not an ELF file (0 bytes)"), std::string::npos);
  std::string other = file_bytes(kFixture);
  other[18] = 40;  // e_machine: EM_ARM
  const TemporaryFile arm(other);
  EXPECT_NE(message(arm.path()).find("machine 40"), std::string::npos);
}

TEST(ElfSymbols, DamagedFilesDoNoHarm) {
  const std::string good = file_bytes(kFixture);
  const auto exercise = [](const std::string& bytes) {
    const TemporaryFile file(bytes);
    try {
      elf_build_id(file.path());
      const auto table = open_elf_symbols(file.path(), kSlide);
      table->find("x86_pmu");
      table->find_all("twice");
      for (uint64_t address = kText; address < kText + 0x10000; address += 0x777) table->at(address + kSlide);
      table->at(UINT64_MAX);
    } catch (const InputError&) {
    }
  };
  for (size_t size = 0; size < good.size(); size += 61) exercise(good.substr(0, size));
  // Headers, and the last part of the file: symbols, names and section headers.
  for (size_t i = 0; i < good.size(); i += (i < 512 || i + 4096 > good.size()) ? 7 : 509) {
    for (char value : {'\0', '\x7f', '\xff'}) {
      std::string bad = good;
      bad[i] = value;
      exercise(bad);
    }
  }
}

TEST(ElfBuildId, IsReadFromSectionsAndSegments) {
  EXPECT_EQ(elf_build_id(kFixture), "0123456789abcdef0123456789abcdef01234567");
  EXPECT_EQ(elf_build_id(kStripped), "0123456789abcdef0123456789abcdef01234567");
  EXPECT_THROW(elf_build_id("/nonexistent"), InputError);
  std::string bytes = file_bytes(kFixture);
  // Without section headers (e_shoff, e_shnum, e_shstrndx) the program headers are left.
  std::fill_n(bytes.begin() + 40, 8, '\0');
  std::fill_n(bytes.begin() + 60, 4, '\0');
  const TemporaryFile file(bytes);
  EXPECT_EQ(elf_build_id(file.path()), "0123456789abcdef0123456789abcdef01234567");
}

}  // namespace
}  // namespace perfcore
