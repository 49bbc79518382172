// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The kdump-compressed format as makedumpfile (IMPLEMENTATION, diskdump_mod.h) and QEMU
/// (include/sysemu/dump.h) write it for x86-64:
///
///   block 0                  DiskDumpHeader
///   block 1                  KdumpSubHeader, then VMCOREINFO and the ELF notes, sub_hdr_size blocks in all
///   then                     bitmap of the pages that exist, bitmap_blocks / 2 blocks
///   then                     bitmap of the pages that were dumped, as large
///   then                     a PageDescriptor for each dumped page, in the order of the page frame numbers
///   then                     the pages, each compressed by itself
#pragma once

#include <cstdint>

namespace perfcore {

inline constexpr char kKdumpSignature[] = "KDUMP   ";
inline constexpr char kDiskdumpSignature[] = "DISKDUMP";
inline constexpr char kFlattenedSignature[] = "makedumpfile";

inline constexpr uint32_t kKdumpBlockSize = 4096;
inline constexpr uint64_t kPagesPerBitmapBlock = uint64_t{kKdumpBlockSize} * 8;

/// struct disk_dump_header.
struct DiskDumpHeader {
  char signature[8];
  int32_t header_version;
  char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
  char padding[6];
  int64_t timestamp_seconds;
  int64_t timestamp_microseconds;
  uint32_t status;
  int32_t block_size;
  int32_t sub_hdr_size;    ///< blocks
  uint32_t bitmap_blocks;  ///< both bitmaps
  uint32_t max_mapnr;      ///< obsolete since version 6
  uint32_t total_ram_blocks;
  uint32_t device_blocks;
  uint32_t written_blocks;
  uint32_t current_cpu;
  int32_t nr_cpus;
};
static_assert(sizeof(DiskDumpHeader) == 464);

/// DiskDumpHeader::status: makedumpfile ran out of space and marked what it had written.
inline constexpr uint32_t kStatusIncomplete = 0x8;

/// struct kdump_sub_header, version 6; earlier ones end where the version says.
struct KdumpSubHeader {
  uint64_t phys_base;
  int32_t dump_level;          ///< since version 1
  int32_t split;               ///< since version 2
  uint64_t start_pfn;          ///< since version 2
  uint64_t end_pfn;            ///< since version 2
  uint64_t offset_vmcoreinfo;  ///< since version 3
  uint64_t size_vmcoreinfo;    ///< since version 3
  uint64_t offset_note;        ///< since version 4
  uint64_t size_note;          ///< since version 4
  uint64_t offset_eraseinfo;   ///< since version 5
  uint64_t size_eraseinfo;     ///< since version 5
  uint64_t start_pfn_64;       ///< since version 6
  uint64_t end_pfn_64;         ///< since version 6
  uint64_t max_mapnr_64;       ///< since version 6
};
static_assert(sizeof(KdumpSubHeader) == 104);

/// struct page_desc.
struct PageDescriptor {
  uint64_t offset;
  uint32_t size;
  uint32_t flags;  ///< one of the kCompressed bits, 0 for a page stored as it is
  uint64_t page_flags;
};
static_assert(sizeof(PageDescriptor) == 24);

inline constexpr uint32_t kCompressedZlib = 0x1;
inline constexpr uint32_t kCompressedLzo = 0x2;
inline constexpr uint32_t kCompressedSnappy = 0x4;
inline constexpr uint32_t kCompressedZstd = 0x20;

}  // namespace perfcore
