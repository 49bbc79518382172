// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What the dump formats have in common: physical memory, notes, and what is wrong with the file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dump/byte_source.h"
#include "perfcore/dump.h"
#include "perfcore/memory.h"

namespace perfcore {

/// Notes are kept in memory: 4096 CPUs need about 4 MB.
inline constexpr uint64_t kMaxNotesSize = 64 << 20;

/// An opened file (or set of files) of one format.
class Container : public PhysicalMemory {
 public:
  /// "elf", "kdump-compressed", ... as Dump::format() says.
  const std::string& format() const { return format_; }
  /// Notes in the layout of PT_NOTE.
  const std::string& raw_notes() const { return raw_notes_; }
  /// VMCOREINFO text that the format keeps outside of its notes; empty when there is none.
  const std::string& vmcoreinfo_text() const { return vmcoreinfo_text_; }
  const std::vector<QualityNote>& quality() const { return quality_; }
  /// phys_base as the format itself tells it: physical = virtual - __START_KERNEL_map + phys_base.
  std::optional<uint64_t> phys_base() const { return phys_base_; }
  /// Where physical address 0 is mapped directly (page_offset_base), if the format tells it.
  std::optional<uint64_t> direct_map_base() const { return direct_map_base_; }

  void note(std::string what, uint64_t count = 1, uint64_t first_address = 0) {
    quality_.push_back({std::move(what), count, first_address});
  }
  void add_to_format(std::string_view suffix) { format_ += suffix; }

 protected:
  std::string format_;
  std::string raw_notes_;
  std::string vmcoreinfo_text_;
  std::vector<QualityNote> quality_;
  std::optional<uint64_t> phys_base_;
  std::optional<uint64_t> direct_map_base_;
};

/// Opens an ELF core (x86-64, little-endian). Throws InputError.
std::unique_ptr<Container> open_elf(std::unique_ptr<ByteSource> source);

/// Opens a kdump-compressed dump from all parts that there are. Throws InputError.
/// \param pages  as in DumpOptions
std::unique_ptr<Container> open_kdump(std::vector<std::unique_ptr<ByteSource>> parts, PageStore* pages);

}  // namespace perfcore
