// SPDX-License-Identifier: LGPL-2.1-or-later
// What ELF dumps do not hold, and ELF files that are damaged.
#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>

#include "perfcore/dump.h"
#include "support/dump_builder.h"

namespace perfcore {
namespace {

using test::DumpBuilder;
using test::TempDir;

Elf64_Ehdr header_of(const std::string& file) {
  Elf64_Ehdr header;
  std::memcpy(&header, file.data(), sizeof(header));
  return header;
}

Elf64_Phdr& segment(std::string& file, size_t index) {
  return reinterpret_cast<Elf64_Phdr*>(file.data() + header_of(file).e_phoff)[index];
}

std::optional<Unread> read_byte(Dump& dump, uint64_t physical) {
  std::byte byte;
  return dump.physical().read(physical, std::span(&byte, 1));
}

class Elf : public testing::Test {
 protected:
  std::unique_ptr<Dump> open(const std::string& file) { return Dump::open({dir_.write("vmcore", file)}); }

  TempDir dir_;
  DumpBuilder builder_;
};

TEST_F(Elf, HolesAreNeverZeros) {
  builder_.exclude(0x120);
  builder_.exclude(0x121);
  const auto dump = open(builder_.elf());
  for (const uint64_t pfn : {0x120, 0x121}) {
    const auto unread = read_byte(*dump, pfn * kPageSize + 5);
    ASSERT_TRUE(unread);
    EXPECT_EQ(unread->reason, UnreadReason::kNotSaved);
  }
  EXPECT_FALSE(read_byte(*dump, 0x122 * kPageSize));
}

TEST_F(Elf, WhatACutFileLacksIsBeyondItsEnd) {
  test::ElfOptions options;
  options.virtual_addresses = false;  // one segment for all memory
  const std::string file = builder_.elf(options);
  const uint64_t data = file.size() - DumpBuilder::kMemorySize;
  const auto dump = open(file.substr(0, data + 0x150 * kPageSize + 100));
  EXPECT_FALSE(read_byte(*dump, 0x150 * kPageSize + 99));
  const auto unread = read_byte(*dump, 0x150 * kPageSize + 100);
  ASSERT_TRUE(unread);
  EXPECT_EQ(unread->reason, UnreadReason::kBeyondEnd);

  std::vector<std::byte> across(200);
  const auto partial = dump->physical().read(0x150 * kPageSize, across);
  ASSERT_TRUE(partial);
  EXPECT_EQ(partial->address, 0x150 * kPageSize + 100);

  ASSERT_FALSE(dump->quality().empty());
  EXPECT_EQ(dump->quality().front().count, DumpBuilder::kMemorySize / kPageSize - 0x150);
  EXPECT_EQ(dump->quality().front().first_address, 0x150 * kPageSize + 100);
  EXPECT_NE(dump->quality().front().what.find("truncated"), std::string::npos);
}

TEST_F(Elf, SectionNamesBehindTheCutDoNotMatter) {
  std::string file = builder_.elf({.headers_after_sections = true});
  Elf64_Ehdr header = header_of(file);
  header.e_shoff = file.size() + 12345;
  header.e_shstrndx = 1;
  std::memcpy(file.data(), &header, sizeof(header));
  EXPECT_FALSE(read_byte(*open(file), 0x150 * kPageSize));
}

TEST_F(Elf, OverlappingSegmentsPreferTheOneWithBytes) {
  std::string file = builder_.elf();
  // A segment that claims all memory and holds none of it, before the others.
  segment(file, 1).p_paddr = 0;
  segment(file, 1).p_filesz = 0;
  segment(file, 1).p_memsz = DumpBuilder::kMemorySize;
  const auto dump = open(file);
  std::byte byte;
  ASSERT_FALSE(dump->physical().read(0x151 * kPageSize + 3, std::span(&byte, 1)));
  EXPECT_EQ(byte, DumpBuilder::pattern(0x151 * kPageSize + 3));
}

TEST_F(Elf, SegmentsThatWrapAroundAreBounded) {
  std::string file = builder_.elf();
  segment(file, 1).p_paddr = 0x2000000;
  segment(file, 1).p_memsz = UINT64_MAX;
  segment(file, 1).p_filesz = UINT64_MAX - 5;
  segment(file, 1).p_offset = UINT64_MAX - 2;
  const auto dump = open(file);
  EXPECT_EQ(read_byte(*dump, 0x2000000)->reason, UnreadReason::kBeyondEnd);
  EXPECT_EQ(read_byte(*dump, UINT64_MAX)->reason, UnreadReason::kNotInDump);
  EXPECT_FALSE(read_byte(*dump, 0x150 * kPageSize));
}

TEST_F(Elf, AHugeNumberOfSegmentsIsBoundedByTheFile) {
  std::string file = builder_.elf({.pn_xnum = true});
  reinterpret_cast<Elf64_Shdr*>(file.data() + header_of(file).e_shoff)->sh_info = UINT32_MAX;
  const auto dump = open(file);
  EXPECT_FALSE(read_byte(*dump, 0x150 * kPageSize));
  EXPECT_FALSE(dump->quality().empty());
}

TEST_F(Elf, NotesThatLieAboutTheirSizeAreCut) {
  std::string file = builder_.elf();
  segment(file, 0).p_filesz = UINT64_MAX;
  const auto dump = open(file);
  EXPECT_EQ(dump->vmcoreinfo_source(), "note");
  EXPECT_FALSE(dump->quality().empty());
}

TEST_F(Elf, VmcoreinfoIsFoundInMemory) {
  builder_.set_vmcoreinfo_note(false);
  // What an earlier boot left behind: its page tables are gone.
  std::string stale = builder_.vmcoreinfo();
  const size_t symbol = stale.find("SYMBOL(_stext)=") + 15;
  stale.replace(symbol, 16, "ffffffff82000000");
  builder_.write(0x50 * kPageSize, stale);
  builder_.write(0x60 * kPageSize, builder_.vmcoreinfo());
  const auto dump = open(builder_.elf({.virtual_addresses = false}));
  EXPECT_EQ(dump->vmcoreinfo_source(), "found in memory");
  EXPECT_EQ(dump->vmcoreinfo().symbol("_stext"), DumpBuilder::kImage);
  EXPECT_TRUE(dump->virtual_to_physical(builder_.vmalloc()).is(DumpBuilder::kVmallocPages[0] * kPageSize));
}

TEST_F(Elf, WithoutVmcoreinfoTheTablesOfACpuAreUsed) {
  builder_.set_vmcoreinfo_note(false);
  builder_.add_cpu(0x401000, 0x7ffe0000, 0x33, 1);
  builder_.add_cpu(DumpBuilder::kImage + 0x40, 0, 0x10, 2);
  builder_.add_qemu_cpu(0x33, 0, builder_.direct_map() + 0x3000, 0xdead000, 0);
  builder_.add_qemu_cpu(0x10, builder_.direct_map() + 0x5000, 0, builder_.root() | 0x18, 0);
  const auto dump = open(builder_.elf({.virtual_addresses = false}));
  EXPECT_EQ(dump->vmcoreinfo_source(), "none");
  EXPECT_TRUE(dump->vmcoreinfo().empty());
  EXPECT_TRUE(dump->virtual_to_physical(builder_.vmalloc()).is(DumpBuilder::kVmallocPages[0] * kPageSize));
  ASSERT_FALSE(dump->quality().empty());
}

}  // namespace
}  // namespace perfcore
