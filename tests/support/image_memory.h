// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Memory made by hand.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include "perfcore/memory.h"

namespace perfcore::test {

/// Whole pages of zeros with bytes written over them; what was not written to is not mapped. One thread.
class ImageMemory : public Memory {
 public:
  void write(uint64_t address, std::string_view bytes) {
    for (size_t i = 0; i < bytes.size(); i++) page(address + i)[(address + i) % kPageSize] = bytes[i];
  }
  template <typename T>
  void poke(uint64_t address, T value) {
    write(address, std::string_view(reinterpret_cast<const char*>(&value), sizeof(value)));
  }
  /// Makes the page of this address unreadable.
  void remove_page(uint64_t address) { pages_.erase(address / kPageSize); }

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    reads++;
    for (size_t i = 0; i < out.size(); i++) {
      const auto found = pages_.find((address + i) / kPageSize);
      if (found == pages_.end()) return Unread{UnreadReason::kNotMapped, address + i, "", ""};
      out[i] = static_cast<std::byte>(found->second[(address + i) % kPageSize]);
    }
    return std::nullopt;
  }

  size_t reads = 0;

 private:
  std::string& page(uint64_t address) {
    std::string& bytes = pages_[address / kPageSize];
    if (bytes.empty()) bytes.resize(kPageSize);
    return bytes;
  }
  std::map<uint64_t, std::string> pages_;
};

}  // namespace perfcore::test
