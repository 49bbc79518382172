// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A bitmap of page frames in a kdump-compressed file, with counting.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dump/byte_source.h"

namespace perfcore {

/// One bit per page frame, least significant first. Of the bitmap only one block is held, and a count for
/// every 128 MB of memory: a terabyte costs 64 KB. One thread at a time.
class PageBitmap {
 public:
  /// \param source  not owned; must outlive the bitmap
  /// \param offset  of the first byte in the file
  /// \param bits    how many page frames; bits behind the end of the file count as clear
  PageBitmap(ByteSource& source, uint64_t offset, uint64_t bits);

  bool test(uint64_t pfn);
  /// How many bits are set before `pfn`. The first call reads the whole bitmap once.
  uint64_t rank(uint64_t pfn);
  /// How many runs of set bits there are in [begin, end). Reads that part once.
  uint64_t count_runs(uint64_t begin, uint64_t end);
  /// The first page frame at or after `pfn` whose bit is `value`, `bits` when there is none.
  uint64_t find(uint64_t pfn, bool value);

 private:
  struct Block {
    uint64_t index = UINT64_MAX;
    std::vector<uint64_t> words;   // 4096 bytes
    std::vector<uint16_t> before;  // set bits of the block before each word
  };
  const Block& block(uint64_t index);
  uint64_t block_count() const;

  ByteSource& source_;
  uint64_t offset_;
  uint64_t bits_;
  std::array<Block, 8> blocks_;   // by index modulo their number; each 128 MiB of memory
  std::vector<uint64_t> before_;  // set bits before each block; empty until rank() was asked
};

}  // namespace perfcore
