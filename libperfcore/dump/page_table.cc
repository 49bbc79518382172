// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/page_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "dump/kernel_map.h"

namespace perfcore {
namespace {

// Bits of an entry, arch/x86/include/asm/pgtable_types.h.
constexpr uint64_t kPresent = 1 << 0;
constexpr uint64_t kPageSizeBit = 1 << 7;
constexpr uint64_t kAddressBits = 0x000ffffffffff000;  // PTE_PFN_MASK; above are NX and protection keys

constexpr size_t kCachedTables = 32;
constexpr size_t kTlbEntries = 256;
/// Against damaged tables that map nothing anywhere: a sound direct map has a mapping in the first few.
constexpr int kMaxTablesSearched = 4096;

/// Bytes that one entry of a level maps; level 1 holds the PTEs.
constexpr uint64_t entry_size(int level) {
  return kPageSize << (9 * (level - 1));
}

bool is_canonical(uint64_t address, int levels) {
  const int unused = 64 - (12 + 9 * levels);
  return static_cast<uint64_t>(static_cast<int64_t>(address << unused) >> unused) == address;
}

}  // namespace

PageTable::PageTable(PhysicalMemory& physical, const PageTableSetup& setup)
    : physical_(physical),
      setup_(setup),
      tables_(kCachedTables),
      small_pages_(kTlbEntries),
      large_pages_(kTlbEntries) {}

void PageTable::flush() {
  std::fill(small_pages_.begin(), small_pages_.end(), TlbEntry{});
  std::fill(large_pages_.begin(), large_pages_.end(), TlbEntry{});
  for (CachedTable& cached : tables_) cached.address = UINT64_MAX;
}

Reading<PageTable::Translation> PageTable::translate(uint64_t address) {
  for (const TlbEntry* entry : {&large_pages_[address / entry_size(2) % kTlbEntries],
                                &small_pages_[address / kPageSize % kTlbEntries]}) {
    const uint64_t offset = address - entry->begin;
    if (offset < entry->size) return Translation{entry->physical + offset, entry->size - offset};
  }
  return walk(address);
}

uint64_t PageTable::address_in(uint64_t entry, uint64_t size) const {
  // In a large page the lowest address bit holds PAT.
  return entry & kAddressBits & ~setup_.sme_mask & ~(size - 1);
}

const PageTable::Table* PageTable::table(uint64_t address, std::optional<Unread>& failure) {
  CachedTable& cached = tables_[address / kPageSize % kCachedTables];
  if (cached.address != address) {
    cached.address = UINT64_MAX;
    failure = physical_.read(address, std::as_writable_bytes(std::span(cached.entries)));
    if (failure) return nullptr;
    cached.address = address;
  }
  return &cached.entries;
}

Reading<PageTable::Translation> PageTable::walk(uint64_t address) {
  if (!is_canonical(address, setup_.levels))
    return Unread{UnreadReason::kNotMapped, address, "virtual memory", "not a canonical address"};
  uint64_t table_address = setup_.root;
  for (int level = setup_.levels; level >= 1; level--) {
    std::optional<Unread> failure;
    const Table* entries = table(table_address, failure);
    if (entries == nullptr) {
      failure->detail = fmt::format("page table of level {} at physical {:#x}{}{}", level, table_address,
                                    failure->detail.empty() ? "" : ": ", failure->detail);
      failure->path = "virtual memory";
      failure->address = address;
      return without_tables(address, std::move(*failure));
    }
    const uint64_t size = entry_size(level);
    const uint64_t entry = (*entries)[address / size % 512];
    // PROT_NONE pages (present bit clear, PROTNONE set) are for processes; the kernel does not map them
    // either.
    if ((entry & kPresent) == 0)
      return Unread{UnreadReason::kNotMapped, address, "virtual memory",
                    fmt::format("page table level {} entry {:#x}", level, entry)};
    const bool is_leaf = level == 1 || (level <= 3 && (entry & kPageSizeBit) != 0);
    if (!is_leaf) {
      table_address = address_in(entry, kPageSize);
      continue;
    }
    const uint64_t begin = address & ~(size - 1);
    auto& tlb = level == 1 ? small_pages_ : large_pages_;
    tlb[address / (level == 1 ? kPageSize : entry_size(2)) % kTlbEntries] = {begin, size,
                                                                             address_in(entry, size)};
    return Translation{address_in(entry, size) + (address - begin), size - (address - begin)};
  }
  return Unread{UnreadReason::kCorrupt, address, "virtual memory", "page table walk did not end"};
}

Reading<PageTable::Translation> PageTable::without_tables(uint64_t address, Unread failure) {
  const uint64_t in_page = kPageSize - address % kPageSize;
  if (setup_.phys_base && address >= kKernelImageMap && address < kKernelImageMap + kMaxKernelImageSize)
    return Translation{address - kKernelImageMap + *setup_.phys_base, in_page};
  learn_direct_map();
  if (setup_.direct_map_base && address >= *setup_.direct_map_base && address < kKernelImageMap) {
    const uint64_t physical = address - *setup_.direct_map_base;
    std::byte probe;
    if (!physical_.read(physical, std::span(&probe, 1))) return Translation{physical, in_page};
  }
  return failure;
}

/// The direct map begins with the lowest kernel address that is mapped at all: what can lie below it, the LDT
/// remap of PTI, is in the tables of processes only (Documentation/arch/x86/x86_64/mm.rst).
void PageTable::learn_direct_map() {
  if (setup_.direct_map_base || direct_map_searched_) return;
  direct_map_searched_ = true;
  const int unused = 64 - (12 + 9 * setup_.levels);
  int tables_left = kMaxTablesSearched;
  std::optional<Unread> failure;
  for (uint64_t index = 256; index < 511; index++) {
    const Table* root = table(setup_.root, failure);
    if (root == nullptr) return;
    const uint64_t entry = (*root)[index];
    if ((entry & kPresent) == 0) continue;
    const uint64_t begin = index * entry_size(setup_.levels);
    const auto extended = static_cast<uint64_t>(static_cast<int64_t>(begin << unused) >> unused);
    const auto base =
        first_mapping_minus_physical(address_in(entry, kPageSize), setup_.levels - 1, extended, tables_left);
    if (!base) continue;
    // KASLR moves the direct map by multiples of 1 GB (arch/x86/mm/kaslr.c).
    if (*base >= kLowestDirectMap && *base % entry_size(3) == 0) setup_.direct_map_base = base;
    return;
  }
}

std::optional<uint64_t> PageTable::first_mapping_minus_physical(uint64_t table_address, int level,
                                                                uint64_t virtual_address, int& tables_left) {
  if (tables_left-- <= 0) return std::nullopt;
  for (uint64_t index = 0; index < 512; index++) {
    // Deeper levels may have replaced the cached copy.
    std::optional<Unread> failure;
    const Table* entries = table(table_address, failure);
    if (entries == nullptr) return std::nullopt;
    const uint64_t entry = (*entries)[index];
    if ((entry & kPresent) == 0) continue;
    const uint64_t size = entry_size(level);
    const uint64_t at = virtual_address + index * size;
    if (level == 1 || (level <= 3 && (entry & kPageSizeBit) != 0)) return at - address_in(entry, size);
    if (const auto found =
            first_mapping_minus_physical(address_in(entry, kPageSize), level - 1, at, tables_left))
      return found;
  }
  return std::nullopt;
}

}  // namespace perfcore
