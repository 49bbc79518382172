// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/virtual_memory.h"

#include <fmt/format.h>

#include <algorithm>

namespace perfcore {
namespace {

constexpr size_t kCachedPages = 128;
/// From here on copying through the cache costs more than it saves, and would push out what small reads need.
constexpr size_t kLargeRead = 4 * kPageSize;

}  // namespace

std::optional<Unread> RecordingMemory::read(uint64_t address, std::span<std::byte> out) {
  if (recording_ && !out.empty())
    for (uint64_t pfn = address / kPageSize; pfn <= (address + out.size() - 1) / kPageSize; pfn++)
      pages_.insert(pfn);
  return inner_.read(address, out);
}

PageSet RecordingMemory::pages() const {
  PageSet result(pages_.begin(), pages_.end());
  std::sort(result.begin(), result.end());
  return result;
}

VirtualMemory::VirtualMemory(PhysicalMemory& physical, const PageTableSetup& setup)
    : page_table_(physical, setup),
      uncached_(physical, page_table_),
      cache_(make_page_cache(uncached_, kCachedPages)) {}

std::optional<Unread> VirtualMemory::read(uint64_t address, std::span<std::byte> out) {
  // Who asks for whole pages keeps them.
  const bool whole_pages = address % kPageSize == 0 && out.size() % kPageSize == 0;
  return (out.size() < kLargeRead && !whole_pages ? *cache_ : uncached_).read(address, out);
}

const std::byte* VirtualMemory::Uncached::stored_page(uint64_t address) {
  const auto translation = page_table_.translate(address);
  return translation.has_value() ? physical_.stored_page(translation->physical) : nullptr;
}

void VirtualMemory::flush() {
  page_table_.flush();
  cache_ = make_page_cache(uncached_, kCachedPages);
}

std::optional<Unread> VirtualMemory::Uncached::read(uint64_t address, std::span<std::byte> out) {
  while (!out.empty()) {
    auto translation = page_table_.translate(address);
    if (!translation.has_value()) return translation.unread();
    const uint64_t physical = translation->physical;
    uint64_t size = std::min<uint64_t>(out.size(), translation->contiguous);
    while (size < out.size()) {
      const auto next = page_table_.translate(address + size);
      if (!next.has_value() || next->physical != physical + size) break;
      size += std::min<uint64_t>(out.size() - size, next->contiguous);
    }
    if (auto failure = physical_.read(physical, out.first(size))) {
      const uint64_t missing = failure->address;
      failure->detail =
          fmt::format("physical {:#x}{}{}", missing, failure->detail.empty() ? "" : ": ", failure->detail);
      failure->path = "virtual memory";
      failure->address = address + (missing - physical);
      return failure;
    }
    address += size;
    out = out.subspan(size);
  }
  return std::nullopt;
}

}  // namespace perfcore
