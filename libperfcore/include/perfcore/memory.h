// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The one interface through which everything above the dump layer reads the dead kernel's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "perfcore/reading.h"

namespace perfcore {

inline constexpr uint64_t kPageSize = 4096;  ///< bytes; x86-64 base page

/// Memory of a kernel by kernel virtual address. Implementations: a vmcore through its page tables, a
/// recording, a test image; decorators add caching, counting, recording. One thread at a time per object.
class Memory {
 public:
  virtual ~Memory() = default;

  /// Fills all of `out` from `address`, or fills an unspecified part of it and says why the first byte that
  /// is missing could not be read (Unread::address is then the address of that byte). Never throws on bad
  /// addresses.
  virtual std::optional<Unread> read(uint64_t address, std::span<std::byte> out) = 0;

  /// For an address that cannot be read: where it is worth to try again, the next page except in memory that
  /// was not kept by whole pages. Larger than `address`, but for the end of the address space.
  virtual uint64_t unread_until(uint64_t address) { return (address | (kPageSize - 1)) + 1; }

  /// The page at this address (a multiple of kPageSize) in the store of pages that dumps have in common
  /// (PageStore); nullptr where there is no such store, or it does not know the page. Pages of two dumps that
  /// are one in the store are the same without being compared.
  virtual const std::byte* stored_page(uint64_t /*address*/) { return nullptr; }
};

/// Memory by physical address, as a dump file holds it.
class PhysicalMemory {
 public:
  struct Range {
    uint64_t begin = 0;  ///< physical address
    uint64_t end = 0;    ///< one past the last byte
  };

  virtual ~PhysicalMemory() = default;

  /// As Memory::read(), by physical address.
  virtual std::optional<Unread> read(uint64_t address, std::span<std::byte> out) = 0;

  /// The ranges of physical memory that the dump knows of, ascending and disjoint; holes and excluded pages
  /// included.
  virtual std::vector<Range> ranges() const = 0;

  /// As Memory::stored_page(), by physical address.
  virtual const std::byte* stored_page(uint64_t /*address*/) { return nullptr; }
};

/// The bytes of one object, read once, with the parts that could not be read.
struct Snapshot {
  struct Gap {
    size_t begin = 0;  ///< offset into bytes
    size_t end = 0;
    Unread unread;
  };

  uint64_t address = 0;
  std::vector<std::byte> bytes;  ///< zero where a gap says that nothing was read
  std::vector<Gap> gaps;         ///< ascending, disjoint

  /// The first gap that overlaps [offset, offset + size), or nullptr when all of it was read.
  const Gap* gap_in(size_t offset, size_t size) const;
};

/// Reads `size` bytes page by page; what cannot be read becomes a gap (Memory::unread_until() says how long).
Snapshot take_snapshot(Memory& memory, uint64_t address, size_t size);

/// Reads one trivially copyable value.
template <typename T>
Reading<T> read_value(Memory& memory, uint64_t address) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  if (auto unread = memory.read(address, std::as_writable_bytes(std::span(&value, 1))))
    return std::move(*unread);
  return value;
}

/// Reads `count` values; the caller bounds `count`.
template <typename T>
Reading<std::vector<T>> read_array(Memory& memory, uint64_t address, size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<T> values(count);
  if (auto unread = memory.read(address, std::as_writable_bytes(std::span(values))))
    return std::move(*unread);
  return values;
}

/// Reads a NUL-terminated string of at most `max_size` bytes; longer ones are cut there.
Reading<std::string> read_c_string(Memory& memory, uint64_t address, size_t max_size);

/// Caches whole pages of another memory, least recently used first out. Failed pages are cached as failures.
/// \param inner    not owned; must outlive the cache
/// \param pages    how many pages to keep
std::unique_ptr<Memory> make_page_cache(Memory& inner, size_t pages);

}  // namespace perfcore
