// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The compressed names of kallsyms: by number, by name, in one pass.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "perfcore/memory.h"
#include "symbols/kallsyms_tables.h"
#include "symbols/paged_bytes.h"

namespace perfcore {

/// An expanded name with the letter of its kind in front.
class KallsymsName {
 public:
  char kind() const { return text_[0]; }
  std::string_view name() const { return {text_.data() + 1, size_ - 1}; }

 private:
  friend class KallsymsNames;
  std::array<char, kMaxNameSize + 1> text_;
  size_t size_ = 1;
};

/// kallsyms_names with its markers and tokens. Names are stored as a length (one byte, two from 128 on:
/// 73bbb94466fd "kallsyms: support "big" kernel symbols", 6.1) and as many token numbers. One thread at a
/// time.
class KallsymsNames {
 public:
  /// \param memory not owned, must outlive this object
  KallsymsNames(Memory& memory, const KallsymsTables& tables);

  uint32_t count() const { return count_; }

  /// True when expand() would not have to read anything.
  bool is_read(uint32_t index) const {
    const size_t block = index / kMarkerStep;
    return block < markers_.size() && names_.is_read(markers_[block], block_limit(block) - markers_[block]);
  }
  /// The name of a symbol; false when it cannot be read or is corrupt.
  bool expand(uint32_t index, KallsymsName* name);

  /// PagedBytes::move_to() of the names, to the place where the names of the other are: false also when the
  /// tables that these were opened with differ.
  bool move_to(Memory& memory, const KallsymsNames& other);

  /// Looks for names in one pass over all of them. Blocks of 256 names that cannot be read or are corrupt are
  /// skipped.
  /// \param wanted  sorted, each once
  /// \return (position in `wanted`, number of the symbol), ascending by symbol
  std::vector<std::pair<uint32_t, uint32_t>> scan(std::span<const std::string_view> wanted);

 private:
  struct Token {
    const char* text = nullptr;
    uint32_t size = 0;
  };
  /// A stored name: where its token numbers are.
  struct Stored {
    const uint8_t* codes = nullptr;
    uint32_t size = 0;
    uint64_t next = 0;  ///< offset of the name after it
  };

  /// The name at an offset; codes is nullptr when it cannot be read or goes beyond `limit`.
  Stored stored_at(uint64_t offset, uint64_t limit);
  /// The offset of the name after the one at `offset`; nothing under the same conditions.
  std::optional<uint64_t> skip(uint64_t offset, uint64_t limit);
  bool expand(const Stored& stored, KallsymsName* name) const;
  /// Where the block of a marker ends at the latest.
  uint64_t block_limit(size_t block) const;
  /// Kernels whose markers were not found: makes them, in one pass.
  void make_markers();

  uint32_t count_;
  PagedBytes names_;
  std::vector<uint32_t> markers_;
  std::string token_table_;
  std::array<Token, 256> tokens_;
};

}  // namespace perfcore
