// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Decompressed pages that dumps of one kernel have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "perfcore/memory.h"

namespace perfcore {

/// Pages by the zlib streams that they were decompressed from. Two dumps of one kernel hold its text, types
/// and symbol names in the same compressed bytes, wherever KASLR put them: a page of which the stream is
/// known need not be decompressed again, which is most of the work of opening a dump. A stream is compared as
/// a whole, so that a dump can only get what its own bytes stand for. One thread at a time.
class PageStore {
 public:
  /// \param max_pages  how many pages are kept, some 6 KiB each; what comes later is not
  explicit PageStore(size_t max_pages) : max_pages_(max_pages) {}

  /// The page of a stream; nullptr when it is not known. Valid as long as the store.
  const std::byte* find(std::span<const std::byte> stream) const;

  /// Keeps a page, unless the store is full or frozen.
  void add(std::span<const std::byte> stream, std::span<const std::byte, kPageSize> page);

  /// Frozen stores take nothing in: what a process adds that is about to end is of no use to anybody.
  void freeze(bool frozen) { frozen_ = frozen; }

  size_t size() const { return pages_.size(); }

 private:
  /// Streams of equal key are taken for the same page until their bytes are compared; the first one stays.
  static uint64_t key_of(std::span<const std::byte> stream);

  size_t max_pages_;
  bool frozen_ = false;
  std::unordered_map<uint64_t, std::vector<std::byte>> pages_;  // the page, then its stream
};

}  // namespace perfcore
