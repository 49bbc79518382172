// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Kernel virtual memory of a dump, and the record of what was read of it.
#pragma once

#include <memory>
#include <unordered_set>

#include "dump/page_table.h"
#include "perfcore/dump.h"
#include "perfcore/memory.h"

namespace perfcore {

/// Physical memory that can remember which pages were read. One thread at a time.
class RecordingMemory : public PhysicalMemory {
 public:
  /// \param inner  not owned; must outlive this
  explicit RecordingMemory(PhysicalMemory& inner) : inner_(inner) {}

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override;
  std::vector<Range> ranges() const override { return inner_.ranges(); }
  /// None while pages are recorded, which are to be read.
  const std::byte* stored_page(uint64_t address) override {
    return recording_ ? nullptr : inner_.stored_page(address);
  }

  void start() { recording_ = true; }
  /// Ascending.
  PageSet pages() const;

 private:
  PhysicalMemory& inner_;
  bool recording_ = false;
  std::unordered_set<uint64_t> pages_;
};

/// Kernel virtual memory through page tables. Small reads come from a cache of pages; large ones go past it,
/// in pieces as long as the physical memory behind them is contiguous. One thread at a time.
class VirtualMemory : public Memory {
 public:
  /// \param physical  not owned; must outlive this
  VirtualMemory(PhysicalMemory& physical, const PageTableSetup& setup);

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override;
  const std::byte* stored_page(uint64_t address) override { return uncached_.stored_page(address); }

  PageTable& page_table() { return page_table_; }
  /// Forgets cached pages and translations.
  void flush();

 private:
  class Uncached : public Memory {
   public:
    Uncached(PhysicalMemory& physical, PageTable& page_table)
        : physical_(physical), page_table_(page_table) {}
    std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override;
    const std::byte* stored_page(uint64_t address) override;

   private:
    PhysicalMemory& physical_;
    PageTable& page_table_;
  };

  PageTable page_table_;
  Uncached uncached_;
  std::unique_ptr<Memory> cache_;
};

}  // namespace perfcore
