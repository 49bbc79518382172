// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Builds tiny vmcores of every format for tests: physical memory with page tables and notes, and the files
/// in which kdump, makedumpfile and QEMU would have left it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/dump.h"

namespace perfcore::test {

/// A directory that vanishes with its contents.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string path() const { return path_; }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, std::string_view content) const;

 private:
  std::filesystem::path path_;
};

enum class Codec { kNone, kZlib, kLzo, kSnappy, kZstd };

struct KdumpOptions {
  Codec codec = Codec::kZlib;
  int32_t version = 6;
  bool split = false;
  uint64_t begin_pfn = 0;  ///< of the part, when split
  uint64_t end_pfn = 0;
  bool vmcoreinfo_in_notes = true;
  std::string machine = "x86_64";
};

struct ElfOptions {
  bool headers_after_sections = false;  ///< as QEMU 7.2 and later: section headers first
  bool virtual_addresses = true;  ///< p_vaddr of the direct map and of the image, as the kernel writes them
  bool pn_xnum = false;           ///< the number of segments in a section header
};

/// A tiny machine: 4 MB of memory in which a kernel of 2 MB lies. Its page tables map
///
///   kImage        the image by one 2 MB page; page tables, swapper_pg_dir among them, lie in it
///   direct_map()  all memory by one 1 GB page
///   vmalloc()     four 4 KB pages: two contiguous ones, one elsewhere, one not present
///
/// Pages [kPatternBegin, kPatternEnd) hold a pattern, see pattern(); the rest is zero until it is written.
class DumpBuilder {
 public:
  static constexpr uint64_t kPage = 4096;
  static constexpr uint64_t kMemorySize = 4 << 20;
  static constexpr uint64_t kImage = 0xffffffff9a000000;
  static constexpr uint64_t kImagePhysical = 2 << 20;
  static constexpr uint64_t kImageSize = 2 << 20;
  static constexpr uint64_t kPatternBegin = 0x100;  ///< page frames
  static constexpr uint64_t kPatternEnd = 0x180;
  /// Physical pages behind the four pages of vmalloc(); the last is not mapped.
  static constexpr std::array<uint64_t, 3> kVmallocPages = {0x150, 0x151, 0x140};

  explicit DumpBuilder(int levels = 4);

  int levels() const { return levels_; }
  uint64_t direct_map() const { return levels_ == 5 ? 0xff1c000040000000 : 0xffff9c8040000000; }
  uint64_t vmalloc() const { return levels_ == 5 ? 0xffb0000000000000 : 0xffffb00000000000; }
  static uint64_t phys_base() { return kImagePhysical - (kImage - 0xffffffff80000000); }
  uint64_t swapper_pg_dir() const { return kImage + (root_ - kImagePhysical); }
  uint64_t root() const { return root_; }

  /// The byte at a physical address of the pattern.
  static std::byte pattern(uint64_t physical);

  void write(uint64_t physical, std::span<const std::byte> bytes);
  void write(uint64_t physical, std::string_view text) { write(physical, std::as_bytes(std::span(text))); }
  void write_word(uint64_t physical, uint64_t value) { write(physical, std::as_bytes(std::span(&value, 1))); }
  /// Maps one page of `size` bytes (4 KB, 2 MB or 1 GB); `flags` are added to the present and writable bits.
  void map(uint64_t virtual_address, uint64_t physical, uint64_t size, uint64_t flags = 0);
  /// The page table entry that map() wrote for an address; for tests that damage it.
  uint64_t entry_address(uint64_t virtual_address, int level) const;

  /// Leaves a page out: excluded in kdump-compressed dumps, a hole in ELF ones.
  void exclude(uint64_t pfn) { excluded_.insert(pfn); }

  /// The text that a sound kernel of this shape exports.
  std::string vmcoreinfo() const;
  void set_vmcoreinfo_note(bool present) { vmcoreinfo_note_ = present; }
  /// One NT_PRSTATUS per call.
  void add_cpu(uint64_t ip, uint64_t sp, uint64_t cs, int32_t pid, uint64_t gs_base = 0);
  void add_cpu(const Registers& registers, int32_t pid);
  /// One of QEMU's notes per call, after all of add_cpu().
  void add_qemu_cpu(uint64_t cs, uint64_t gs_base, uint64_t kernel_gs_base, uint64_t cr3, uint64_t cr4);
  void add_raw_notes(std::string_view notes) { other_notes_ += notes; }
  std::string notes() const;

  std::string elf(const ElfOptions& options = {}) const;
  std::string kdump(const KdumpOptions& options = {}) const;
  /// `count` parts of a split dump, of about as many pages each.
  std::vector<std::string> split(size_t count, KdumpOptions options = {}) const;
  /// A file as makedumpfile -F would send it: in records of `record_size` bytes, the first one once more at
  /// the end.
  static std::string flatten(std::string_view file, size_t record_size = 5000);

 private:
  using Page = std::array<std::byte, kPage>;

  Page& page(uint64_t pfn) { return pages_[pfn]; }
  bool is_present(uint64_t pfn) const { return !excluded_.contains(pfn); }
  Page page_or_zero(uint64_t pfn) const;
  uint64_t word(uint64_t physical) const;

  int levels_;
  uint64_t root_ = kImagePhysical + 0x100000;
  uint64_t next_table_ = root_ + kPage;
  std::map<uint64_t, Page> pages_;
  std::set<uint64_t> excluded_;
  bool vmcoreinfo_note_ = true;
  std::string cpu_notes_, qemu_notes_, other_notes_;
};

}  // namespace perfcore::test
