// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A range of the dead kernel's memory of which only the pages that are looked at get read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "perfcore/memory.h"

namespace perfcore {

/// [address, address + size) of a Memory, contiguous in this process, read page by page on demand and then
/// kept. Address space for all of it is reserved at once, but memory is used for the pages that were read.
/// One thread at a time.
class PagedBytes {
 public:
  /// Larger ranges are cut to this: no table of any kernel comes near it.
  static constexpr uint64_t kMaxSize = uint64_t{256} << 20;  // bytes

  PagedBytes() = default;
  /// \param memory not owned, must outlive this object
  PagedBytes(Memory& memory, uint64_t address, uint64_t size);
  /// Bytes that are in this process already.
  explicit PagedBytes(std::vector<std::byte> bytes);

  uint64_t address() const { return address_; }
  uint64_t size() const { return size_; }

  /// Bytes [offset, offset + size), or nullptr when they are not within the range or could not be read. Valid
  /// as long as this object.
  const uint8_t* at(uint64_t offset, uint64_t size) {
    if (size > size_ || offset > size_ - size) return nullptr;
    const uint64_t first = (lead_ + offset) / kPageSize;
    const uint64_t last = size == 0 ? first : (lead_ + offset + size - 1) / kPageSize;
    for (uint64_t page = first; page <= last; page++)
      if (state_[page] != State::kRead && !load(page, last)) return nullptr;
    return bytes_ + lead_ + offset;
  }

  /// True when at() would not have to read anything.
  bool is_read(uint64_t offset, uint64_t size) const {
    if (size == 0 || size > size_ || offset > size_ - size) return false;
    const uint64_t last = (lead_ + offset + size - 1) / kPageSize;
    for (uint64_t page = (lead_ + offset) / kPageSize; page <= last; page++)
      if (state_[page] != State::kRead) return false;
    return true;
  }

  /// A little-endian value.
  template <typename T>
  std::optional<T> value(uint64_t offset) {
    const uint8_t* bytes = at(offset, sizeof(T));
    if (!bytes) return std::nullopt;
    T result;
    std::memcpy(&result, bytes, sizeof(T));
    return result;
  }

  /// From now on these are the bytes at another place of the same kernel, in another dump of it: pages that
  /// were read are taken for those there, the others are read there. False, and nothing is changed, unless
  /// every page that was read holds the same bytes there, and none can be read there that could not here.
  bool move_to(Memory& memory, uint64_t address);

  /// Why the first unreadable byte of [offset, offset + size) could not be read; nothing when all of it can
  /// be.
  std::optional<Unread> why_not(uint64_t offset, uint64_t size);

 private:
  enum class State : uint8_t { kNotRead, kRead, kFailed };
  struct Free {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };

  /// Reads the pages from `page` to `last` that were not read yet, in as few reads as it takes; true when
  /// `page` is there.
  bool load(uint64_t page, uint64_t last);
  void note_stored(uint64_t page, uint64_t end);

  Memory* memory_ = nullptr;
  uint64_t address_ = 0;
  uint64_t size_ = 0;
  uint64_t lead_ = 0;  // bytes between the start of the first page and address_
  std::unique_ptr<uint8_t, Free> buffer_;
  std::vector<std::byte> owned_;
  const uint8_t* bytes_ = nullptr;  // the first page, in buffer_ or owned_
  std::vector<State> state_;        // one per page
  /// Of pages that were read, Memory::stored_page(); empty where there is no store.
  std::vector<const std::byte*> stored_;
};

}  // namespace perfcore
