// SPDX-License-Identifier: LGPL-2.1-or-later
#include "symbols/paged_bytes.h"

#include <algorithm>
#include <new>

namespace perfcore {

PagedBytes::PagedBytes(Memory& memory, uint64_t address, uint64_t size)
    : memory_(&memory), address_(address), size_(std::min(size, kMaxSize)), lead_(address % kPageSize) {
  if (address_ > UINT64_MAX - size_) size_ = UINT64_MAX - address_;
  const uint64_t pages = (lead_ + size_ + kPageSize - 1) / kPageSize;
  // Not a vector: its bytes would be set to zero, which makes every page of the range resident.
  buffer_.reset(static_cast<uint8_t*>(std::malloc(std::max<uint64_t>(pages, 1) * kPageSize)));
  if (!buffer_) throw std::bad_alloc();
  bytes_ = buffer_.get();
  state_.assign(pages + 1, State::kNotRead);
}

PagedBytes::PagedBytes(std::vector<std::byte> bytes)
    : size_(bytes.size()),
      owned_(std::move(bytes)),
      bytes_(reinterpret_cast<const uint8_t*>(owned_.data())),
      state_(size_ / kPageSize + 2, State::kRead) {}

bool PagedBytes::load(uint64_t page, uint64_t last) {
  const auto read = [&](uint64_t first, uint64_t count) {
    return !memory_->read(
        address_ - lead_ + first * kPageSize,
        std::as_writable_bytes(std::span(buffer_.get() + first * kPageSize, count * kPageSize)));
  };
  if (state_[page] == State::kFailed) return false;
  uint64_t end = page;
  while (end <= last && state_[end] == State::kNotRead) end++;
  const auto state = state_.begin() + static_cast<ptrdiff_t>(page);
  if (read(page, end - page)) {
    std::fill(state, state_.begin() + static_cast<ptrdiff_t>(end), State::kRead);
    note_stored(page, end);
    return true;
  }
  for (uint64_t i = page; i < end; i++) state_[i] = read(i, 1) ? State::kRead : State::kFailed;
  return *state == State::kRead;
}

void PagedBytes::note_stored(uint64_t page, uint64_t end) {
  for (; page < end; page++) {
    const std::byte* stored = memory_->stored_page(address_ - lead_ + page * kPageSize);
    // Most dumps have no store: what is asked of the first page is not asked of them all.
    if (!stored && stored_.empty()) return;
    stored_.resize(state_.size());
    stored_[page] = stored;
  }
}

bool PagedBytes::move_to(Memory& memory, uint64_t address) {
  constexpr uint64_t kPagesPerRead = 16;
  if (!memory_ || address % kPageSize != lead_ || address > UINT64_MAX - size_) return false;
  std::vector<std::byte> there(kPagesPerRead * kPageSize);
  const auto is_one_in_store = [&](uint64_t page) {
    return !stored_.empty() && stored_[page] &&
           memory.stored_page(address - lead_ + page * kPageSize) == stored_[page];
  };
  for (uint64_t page = 0; page < state_.size();) {
    const State state = state_[page];
    uint64_t end = page + 1;
    if (state == State::kRead) {
      if (is_one_in_store(page)) {
        page = end;
        continue;
      }
      while (end < state_.size() && end - page < kPagesPerRead && state_[end] == state) end++;
    }
    // Of the first and the last page only what belongs to this range must be the same.
    const uint64_t from = std::max(page * kPageSize, lead_);
    const uint64_t until = std::min(end * kPageSize, lead_ + size_);
    page = end;
    if (state == State::kNotRead || from >= until) continue;
    const std::span<std::byte> piece(there.data(), until - from);
    const bool failed = memory.read(address - lead_ + from, piece).has_value();
    if (failed != (state == State::kFailed)) return false;
    if (!failed && std::memcmp(piece.data(), buffer_.get() + from, piece.size()) != 0) return false;
  }
  memory_ = &memory;
  address_ = address;
  return true;
}

std::optional<Unread> PagedBytes::why_not(uint64_t offset, uint64_t size) {
  if (size > size_ || offset > size_ - size)
    return Unread{UnreadReason::kCorrupt, address_ + offset, "", "beyond the end of its table"};
  for (uint64_t page = (lead_ + offset) / kPageSize; page * kPageSize < lead_ + offset + size; page++) {
    if (state_[page] == State::kRead || load(page, page)) continue;
    uint8_t byte;
    const uint64_t address = std::max(address_ + offset, address_ - lead_ + page * kPageSize);
    return memory_->read(address, std::as_writable_bytes(std::span(&byte, 1)));
  }
  return std::nullopt;
}

}  // namespace perfcore
