// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/page_bitmap.h"

#include <algorithm>
#include <bit>

#include "dump/kdump_format.h"

namespace perfcore {
namespace {

constexpr uint64_t kBitsPerWord = 64;

}  // namespace

PageBitmap::PageBitmap(ByteSource& source, uint64_t offset, uint64_t bits)
    : source_(source), offset_(offset), bits_(bits) {}

uint64_t PageBitmap::block_count() const {
  return (bits_ + kPagesPerBitmapBlock - 1) / kPagesPerBitmapBlock;
}

const PageBitmap::Block& PageBitmap::block(uint64_t index) {
  Block& block = blocks_[index % blocks_.size()];
  if (index == block.index) return block;
  block.words.assign(kKdumpBlockSize / sizeof(uint64_t), 0);
  source_.read_at(offset_ + index * kKdumpBlockSize, std::as_writable_bytes(std::span(block.words)));
  // Bits behind the last page frame are padding.
  for (uint64_t bit = std::max(bits_, index * kPagesPerBitmapBlock);
       bit < (index + 1) * kPagesPerBitmapBlock;) {
    const uint64_t in_block = bit % kPagesPerBitmapBlock;
    block.words[in_block / kBitsPerWord] &= (uint64_t{1} << (in_block % kBitsPerWord)) - 1;
    bit += kBitsPerWord - in_block % kBitsPerWord;
  }
  block.before.resize(block.words.size());
  uint16_t before = 0;
  for (size_t i = 0; i < block.words.size(); i++) {
    block.before[i] = before;
    before = static_cast<uint16_t>(before + std::popcount(block.words[i]));
  }
  block.index = index;
  return block;
}

bool PageBitmap::test(uint64_t pfn) {
  if (pfn >= bits_) return false;
  const uint64_t in_block = pfn % kPagesPerBitmapBlock;
  return block(pfn / kPagesPerBitmapBlock).words[in_block / kBitsPerWord] >> (in_block % kBitsPerWord) & 1;
}

uint64_t PageBitmap::rank(uint64_t pfn) {
  pfn = std::min(pfn, bits_);
  if (before_.empty()) {
    before_.reserve(block_count() + 1);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < block_count(); i++) {
      before_.push_back(sum);
      const Block& whole = block(i);
      sum += whole.before.back() + static_cast<uint64_t>(std::popcount(whole.words.back()));
    }
    before_.push_back(sum);
  }
  const uint64_t index = pfn / kPagesPerBitmapBlock;
  const uint64_t in_block = pfn % kPagesPerBitmapBlock;
  if (in_block == 0) return before_[index];
  const Block& own = block(index);
  const size_t word = in_block / kBitsPerWord;
  const uint64_t rest = (uint64_t{1} << (in_block % kBitsPerWord)) - 1;
  return before_[index] + own.before[word] + static_cast<uint64_t>(std::popcount(own.words[word] & rest));
}

uint64_t PageBitmap::count_runs(uint64_t begin, uint64_t end) {
  uint64_t runs = 0;
  for (uint64_t pfn = find(begin, true); pfn < std::min(end, bits_); pfn = find(find(pfn, false), true))
    runs++;
  return runs;
}

uint64_t PageBitmap::find(uint64_t pfn, bool value) {
  while (pfn < bits_) {
    const uint64_t in_block = pfn % kPagesPerBitmapBlock;
    uint64_t word = block(pfn / kPagesPerBitmapBlock).words[in_block / kBitsPerWord];
    if (!value) word = ~word;
    word &= ~uint64_t{0} << (in_block % kBitsPerWord);
    const uint64_t word_begin = pfn - in_block % kBitsPerWord;
    if (word != 0) return std::min(bits_, word_begin + static_cast<uint64_t>(std::countr_zero(word)));
    pfn = word_begin + kBitsPerWord;
  }
  return bits_;
}

}  // namespace perfcore
