// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/memory.h"

#include <algorithm>
#include <list>
#include <unordered_map>

namespace perfcore {
namespace {

/// Calls f(address, offset, size) for each part of [address, address + size) that lies within one page.
template <typename F>
void for_each_page_part(uint64_t address, size_t size, F&& f) {
  size_t offset = 0;
  while (offset < size) {
    const size_t part = std::min<size_t>(size - offset, kPageSize - ((address + offset) % kPageSize));
    if (!f(address + offset, offset, part)) return;
    offset += part;
  }
}

class PageCache : public Memory {
 public:
  PageCache(Memory& inner, size_t pages) : inner_(inner), capacity_(std::max<size_t>(pages, 1)) {}

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    std::optional<Unread> failure;
    for_each_page_part(address, out.size(), [&](uint64_t at, size_t offset, size_t size) {
      const Page& page = get(at & ~(kPageSize - 1));
      if (page.unread) {
        failure = page.unread;
        failure->address = at;
        return false;
      }
      std::memcpy(out.data() + offset, page.bytes.data() + at % kPageSize, size);
      return true;
    });
    return failure;
  }

 private:
  struct Page {
    uint64_t address = 0;
    std::optional<Unread> unread;
    std::vector<std::byte> bytes;
  };

  const Page& get(uint64_t address) {
    if (auto found = index_.find(address); found != index_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return order_.front();
    }
    if (order_.size() >= capacity_) {
      index_.erase(order_.back().address);
      order_.splice(order_.begin(), order_, std::prev(order_.end()));
    } else {
      order_.emplace_front();
    }
    Page& page = order_.front();
    page.address = address;
    page.bytes.resize(kPageSize);
    page.unread = inner_.read(address, page.bytes);
    index_.emplace(address, order_.begin());
    return page;
  }

  Memory& inner_;
  size_t capacity_;
  std::list<Page> order_;  // most recently used first
  std::unordered_map<uint64_t, std::list<Page>::iterator> index_;
};

}  // namespace

const Snapshot::Gap* Snapshot::gap_in(size_t offset, size_t size) const {
  for (const Gap& gap : gaps)
    if (offset < gap.end && gap.begin < offset + size) return &gap;
  return nullptr;
}

Snapshot take_snapshot(Memory& memory, uint64_t address, size_t size) {
  Snapshot snapshot;
  snapshot.address = address;
  snapshot.bytes.resize(size);
  for_each_page_part(address, size, [&](uint64_t, size_t offset, size_t part) {
    const size_t end = offset + part;
    const auto try_read = [&](size_t from, size_t to) {
      return memory.read(address + from, std::span(snapshot.bytes).subspan(from, to - from));
    };
    while (offset < end) {
      auto unread = try_read(offset, end);
      if (!unread) return true;
      size_t missing = offset + std::min<uint64_t>(unread->address - (address + offset), end - offset);
      if (missing == end || (missing > offset && try_read(offset, missing))) missing = offset;
      const uint64_t later = memory.unread_until(address + missing) - (address + missing);
      const size_t until = missing + std::clamp<uint64_t>(later, 1, end - missing);
      std::fill(snapshot.bytes.begin() + static_cast<ptrdiff_t>(missing),
                snapshot.bytes.begin() + static_cast<ptrdiff_t>(until), std::byte{0});
      snapshot.gaps.push_back({missing, until, std::move(*unread)});
      offset = until;
    }
    return true;
  });
  return snapshot;
}

Reading<std::string> read_c_string(Memory& memory, uint64_t address, size_t max_size) {
  std::string text;
  std::optional<Unread> failure;
  for_each_page_part(address, max_size, [&](uint64_t at, size_t, size_t part) {
    std::string chunk(part, '\0');
    failure = memory.read(at, std::as_writable_bytes(std::span(chunk)));
    if (failure) return false;
    const size_t end = chunk.find('\0');
    text.append(chunk, 0, end);
    return end == std::string::npos;
  });
  if (failure) return std::move(*failure);
  return text;
}

std::unique_ptr<Memory> make_page_cache(Memory& inner, size_t pages) {
  return std::make_unique<PageCache>(inner, pages);
}

}  // namespace perfcore
