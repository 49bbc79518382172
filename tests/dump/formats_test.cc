// SPDX-License-Identifier: LGPL-2.1-or-later
// The same machine in every format must read the same.
#include <gtest/gtest.h>

#include "perfcore/dump.h"
#include "support/dump_builder.h"

namespace perfcore {
namespace {

using test::Codec;
using test::DumpBuilder;
using test::TempDir;

constexpr uint64_t kExcludedPfn = 0x160;

struct Format {
  const char* name;
  const char* expected;  ///< Dump::format()
  UnreadReason reason;   ///< of a page that was left out
  std::vector<std::string> (*files)(const DumpBuilder&);
};

void PrintTo(const Format& format, std::ostream* out) {
  *out << format.name;
}

std::vector<std::string> kdump_with(const DumpBuilder& builder, Codec codec) {
  test::KdumpOptions options;
  options.codec = codec;
  return {builder.kdump(options)};
}

const Format kFormats[] = {
    {"elf", "elf", UnreadReason::kNotSaved, [](const DumpBuilder& b) { return std::vector{b.elf()}; }},
    {"elf_of_qemu", "elf", UnreadReason::kNotSaved,
     [](const DumpBuilder& b) {
       test::ElfOptions options;
       options.headers_after_sections = true;
       options.virtual_addresses = false;
       return std::vector{b.elf(options)};
     }},
    {"elf_with_pn_xnum", "elf", UnreadReason::kNotSaved,
     [](const DumpBuilder& b) {
       test::ElfOptions options;
       options.pn_xnum = true;
       return std::vector{b.elf(options)};
     }},
    {"elf_flattened", "elf (flattened)", UnreadReason::kNotSaved,
     [](const DumpBuilder& b) { return std::vector{DumpBuilder::flatten(b.elf())}; }},
    {"zlib", "kdump-compressed", UnreadReason::kExcluded,
     [](const DumpBuilder& b) { return kdump_with(b, Codec::kZlib); }},
    {"uncompressed", "kdump-compressed", UnreadReason::kExcluded,
     [](const DumpBuilder& b) { return kdump_with(b, Codec::kNone); }},
    {"lzo", "kdump-compressed", UnreadReason::kExcluded,
     [](const DumpBuilder& b) { return kdump_with(b, Codec::kLzo); }},
    {"snappy", "kdump-compressed", UnreadReason::kExcluded,
     [](const DumpBuilder& b) { return kdump_with(b, Codec::kSnappy); }},
    {"zstd", "kdump-compressed", UnreadReason::kExcluded,
     [](const DumpBuilder& b) { return kdump_with(b, Codec::kZstd); }},
    {"version_3", "kdump-compressed", UnreadReason::kExcluded,
     [](const DumpBuilder& b) {
       test::KdumpOptions options;
       options.version = 3;  // VMCOREINFO, but no notes
       return std::vector{b.kdump(options)};
     }},
    {"of_qemu", "kdump-compressed (flattened)", UnreadReason::kExcluded,
     [](const DumpBuilder& b) {
       test::KdumpOptions options;
       options.vmcoreinfo_in_notes = false;
       options.machine = "";
       return std::vector{DumpBuilder::flatten(b.kdump(options), 16384)};
     }},
    {"zlib_flattened", "kdump-compressed (flattened)", UnreadReason::kExcluded,
     [](const DumpBuilder& b) { return std::vector{DumpBuilder::flatten(b.kdump())}; }},
    {"lzo_flattened", "kdump-compressed (flattened)", UnreadReason::kExcluded,
     [](const DumpBuilder& b) {
       return std::vector{DumpBuilder::flatten(kdump_with(b, Codec::kLzo).front(), 999)};
     }},
    {"split", "kdump-compressed (split, 3 parts)", UnreadReason::kExcluded,
     [](const DumpBuilder& b) { return b.split(3); }},
    {"split_lzo", "kdump-compressed (split, 2 parts)", UnreadReason::kExcluded,
     [](const DumpBuilder& b) {
       test::KdumpOptions options;
       options.codec = Codec::kLzo;
       return b.split(2, options);
     }},
};

class Formats : public testing::TestWithParam<std::tuple<Format, int>> {
 protected:
  Formats() : builder_(std::get<1>(GetParam())) {
    builder_.add_cpu(DumpBuilder::kImage + 0x1234, 0xffffb00000000fc0, 0x10, 77, 0x1111);
    builder_.add_cpu(0x401000, 0x7ffe0000, 0x33, 78);
    builder_.exclude(kExcludedPfn);
    size_t i = 0;
    for (const std::string& file : format().files(builder_))
      paths_.push_back(dir_.write("vmcore." + std::to_string(++i), file));
  }
  const Format& format() const { return std::get<0>(GetParam()); }

  TempDir dir_;
  DumpBuilder builder_;
  std::vector<std::string> paths_;
};

TEST_P(Formats, NamesItself) {
  const auto dump = Dump::open(paths_);
  EXPECT_EQ(dump->format(), format().expected);
  EXPECT_EQ(dump->path(), paths_.front());
  EXPECT_TRUE(dump->quality().empty()) << dump->quality().front().what;
}

TEST_P(Formats, ReadsEveryPhysicalByte) {
  const auto dump = Dump::open(paths_);
  for (uint64_t pfn = DumpBuilder::kPatternBegin; pfn < DumpBuilder::kPatternEnd; pfn++) {
    std::array<std::byte, kPageSize> page;
    const auto unread = dump->physical().read(pfn * kPageSize, page);
    if (pfn == kExcludedPfn) {
      ASSERT_TRUE(unread);
      EXPECT_EQ(unread->reason, format().reason);
      EXPECT_EQ(unread->address, pfn * kPageSize);
      continue;
    }
    ASSERT_FALSE(unread) << unread->message();
    for (uint64_t i = 0; i < kPageSize; i++)
      ASSERT_EQ(page[i], DumpBuilder::pattern(pfn * kPageSize + i)) << "pfn " << pfn << " byte " << i;
  }
}

TEST_P(Formats, ReadsAcrossPagesAndSaysWhereItStopped) {
  const auto dump = Dump::open(paths_);
  const uint64_t begin = DumpBuilder::kPatternBegin * kPageSize + 100;
  std::vector<std::byte> bytes(kExcludedPfn * kPageSize + 8 - begin);
  const auto unread = dump->physical().read(begin, bytes);
  ASSERT_TRUE(unread);
  EXPECT_EQ(unread->address, kExcludedPfn * kPageSize);
  bytes.resize(bytes.size() - 8);
  ASSERT_FALSE(dump->physical().read(begin, bytes));
  EXPECT_EQ(bytes.front(), DumpBuilder::pattern(begin));
  EXPECT_EQ(bytes.back(), DumpBuilder::pattern(kExcludedPfn * kPageSize - 1));
}

TEST_P(Formats, PagesOfZerosAreReal) {
  const auto dump = Dump::open(paths_);
  std::array<std::byte, kPageSize> page;
  page.fill(std::byte{1});
  ASSERT_FALSE(dump->physical().read(0x1000, page));
  EXPECT_EQ(page, (std::array<std::byte, kPageSize>{}));
}

TEST_P(Formats, NothingLiesBehindTheEndOfMemory) {
  const auto dump = Dump::open(paths_);
  std::byte byte;
  const auto unread = dump->physical().read(DumpBuilder::kMemorySize, std::span(&byte, 1));
  ASSERT_TRUE(unread);
  EXPECT_EQ(unread->reason, UnreadReason::kNotInDump);
  const auto ranges = dump->physical().ranges();
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges.front().begin, 0u);
  EXPECT_EQ(ranges.front().end, DumpBuilder::kMemorySize);
}

TEST_P(Formats, TranslatesKernelAddresses) {
  const auto dump = Dump::open(paths_);
  EXPECT_TRUE(
      dump->virtual_to_physical(DumpBuilder::kImage + 0x1234).is(DumpBuilder::kImagePhysical + 0x1234));
  EXPECT_TRUE(dump->virtual_to_physical(builder_.direct_map() + 0x150123).is(uint64_t{0x150123}));
  EXPECT_TRUE(dump->virtual_to_physical(builder_.vmalloc() + 0x2008).is(uint64_t{0x140008}));
  const auto hole = dump->virtual_to_physical(builder_.vmalloc() + 0x3000);
  ASSERT_FALSE(hole.has_value());
  EXPECT_EQ(hole.unread().reason, UnreadReason::kNotMapped);
  EXPECT_EQ(hole.unread().detail, "page table level 1 entry 0x0");
}

TEST_P(Formats, ReadsVirtualMemoryInSmallAndLargePieces) {
  const auto dump = Dump::open(paths_);
  for (const size_t size : {size_t{1}, size_t{8}, size_t{5000}, size_t{3 * kPageSize}}) {
    std::vector<std::byte> bytes(size);
    for (uint64_t at = 0; at + size <= 3 * kPageSize; at += 1777) {
      ASSERT_FALSE(dump->memory().read(builder_.vmalloc() + at, bytes));
      for (uint64_t i = 0; i < size; i += 97) {
        const uint64_t physical =
            DumpBuilder::kVmallocPages[(at + i) / kPageSize] * kPageSize + (at + i) % kPageSize;
        ASSERT_EQ(bytes[i], DumpBuilder::pattern(physical));
      }
    }
  }
  std::vector<std::byte> all((DumpBuilder::kPatternEnd - DumpBuilder::kPatternBegin) * kPageSize);
  const auto unread =
      dump->memory().read(builder_.direct_map() + DumpBuilder::kPatternBegin * kPageSize, all);
  ASSERT_TRUE(unread);
  EXPECT_EQ(unread->reason, format().reason);
  EXPECT_EQ(unread->address, builder_.direct_map() + kExcludedPfn * kPageSize);
}

TEST_P(Formats, KeepsNotesAndVmcoreinfo) {
  const auto dump = Dump::open(paths_);
  EXPECT_EQ(dump->vmcoreinfo_source(), "note");
  EXPECT_EQ(dump->vmcoreinfo().text(), builder_.vmcoreinfo());
  if (std::string_view(format().name) == "version_3") {
    EXPECT_TRUE(dump->cpu_status().empty());
    return;
  }
  ASSERT_EQ(dump->cpu_status().size(), 2u);
  EXPECT_EQ(dump->cpu_status()[0].pid, 77);
  EXPECT_EQ(dump->cpu_status()[0].registers.ip, DumpBuilder::kImage + 0x1234);
  EXPECT_FALSE(dump->cpu_status()[0].registers.from_user());
  EXPECT_EQ(dump->cpu_status()[0].gs_base, 0x1111u);
  EXPECT_TRUE(dump->cpu_status()[1].registers.from_user());
}

INSTANTIATE_TEST_SUITE_P(All, Formats, testing::Combine(testing::ValuesIn(kFormats), testing::Values(4, 5)),
                         [](const auto& parameter) {
                           return std::string(std::get<0>(parameter.param).name) + "_level" +
                                  std::to_string(std::get<1>(parameter.param));
                         });

}  // namespace
}  // namespace perfcore
