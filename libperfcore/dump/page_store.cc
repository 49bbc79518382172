// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/page_store.h"

#include <algorithm>
#include <cstring>

namespace perfcore {

uint64_t PageStore::key_of(std::span<const std::byte> stream) {
  // A zlib stream ends with the Adler-32 checksum of the page (RFC 1950).
  uint64_t tail = 0;
  const size_t size = std::min(stream.size(), sizeof(tail));
  if (size > 0) std::memcpy(&tail, stream.data() + stream.size() - size, size);
  return tail ^ stream.size() * 0x9e3779b97f4a7c15;
}

const std::byte* PageStore::find(std::span<const std::byte> stream) const {
  const auto found = pages_.find(key_of(stream));
  if (found == pages_.end() || found->second.size() != kPageSize + stream.size() ||
      std::memcmp(found->second.data() + kPageSize, stream.data(), stream.size()) != 0)
    return nullptr;
  return found->second.data();
}

void PageStore::add(std::span<const std::byte> stream, std::span<const std::byte, kPageSize> page) {
  if (frozen_ || pages_.size() >= max_pages_) return;
  std::vector<std::byte>& kept = pages_[key_of(stream)];
  if (!kept.empty()) return;
  kept.resize(page.size() + stream.size());
  std::memcpy(kept.data(), page.data(), page.size());
  std::memcpy(kept.data() + page.size(), stream.data(), stream.size());
}

}  // namespace perfcore
