// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The kernel's page tables: virtual to physical addresses on x86-64.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "perfcore/memory.h"
#include "perfcore/reading.h"

namespace perfcore {

/// What the walk has to know of a kernel.
struct PageTableSetup {
  uint64_t root = 0;      ///< physical address of the top-level table
  int levels = 4;         ///< 4, or 5 with LA57
  uint64_t sme_mask = 0;  ///< bit by which AMD's memory encryption marks a page; not part of the address
  /// physical = virtual - __START_KERNEL_map + phys_base. Used where a table of the kernel image cannot be
  /// read.
  std::optional<uint64_t> phys_base;
  /// page_offset_base; used where a table of the direct map cannot be read. Learnt from the tables when
  /// unset.
  std::optional<uint64_t> direct_map_base;
};

/// Walks page tables, with a software TLB. One thread at a time.
class PageTable {
 public:
  struct Translation {
    uint64_t physical = 0;
    uint64_t contiguous = 0;  ///< bytes from here to the end of the mapping: 4 KB, 2 MB or 1 GB page
  };

  /// \param physical  not owned; must outlive the table
  PageTable(PhysicalMemory& physical, const PageTableSetup& setup);

  const PageTableSetup& setup() const { return setup_; }

  /// Unread::address is `address`; Unread::detail says which entry of which level ended the walk.
  Reading<Translation> translate(uint64_t address);

  /// page_offset_base, given or learnt from the tables.
  std::optional<uint64_t> direct_map_base() {
    learn_direct_map();
    return setup_.direct_map_base;
  }

  /// Forgets everything, so that the next translation reads the tables again.
  void flush();

 private:
  using Table = std::array<uint64_t, 512>;
  struct CachedTable {
    uint64_t address = UINT64_MAX;
    Table entries;
  };
  struct TlbEntry {
    uint64_t begin = 1;  // never a page address: empty
    uint64_t size = 0;
    uint64_t physical = 0;
  };

  Reading<Translation> walk(uint64_t address);
  Reading<Translation> without_tables(uint64_t address, Unread failure);
  void learn_direct_map();
  std::optional<uint64_t> first_mapping_minus_physical(uint64_t table_address, int level,
                                                       uint64_t virtual_address, int& tables_left);
  /// The table at a physical address, or why it cannot be read.
  const Table* table(uint64_t address, std::optional<Unread>& failure);
  uint64_t address_in(uint64_t entry, uint64_t size) const;

  PhysicalMemory& physical_;
  PageTableSetup setup_;
  bool direct_map_searched_ = false;
  std::vector<CachedTable> tables_;
  std::vector<TlbEntry> small_pages_;
  std::vector<TlbEntry> large_pages_;
};

}  // namespace perfcore
