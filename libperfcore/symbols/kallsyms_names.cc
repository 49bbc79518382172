// SPDX-License-Identifier: LGPL-2.1-or-later
#include "symbols/kallsyms_names.h"

#include <algorithm>
#include <bitset>
#include <cstring>

namespace perfcore {
namespace {

/// Chooses, by the token numbers alone, the few names that are worth expanding.
class Filter {
 public:
  template <typename Tokens>
  Filter(std::span<const std::string_view> wanted, const Tokens& tokens) {
    for (std::string_view name : wanted)
      if (name.size() < sizes_.size()) sizes_.set(name.size());
    for (size_t code = 0; code < tokens.size(); code++) {
      const std::string_view text(tokens[code].text, tokens[code].size);
      const auto fits = [&](std::string_view part) {
        return std::any_of(wanted.begin(), wanted.end(),
                           [&](std::string_view name) { return name.starts_with(part); });
      };
      token_sizes_[code] = static_cast<uint16_t>(text.size());
      kind_only_[code] = text.size() == 1;
      first_[code] = !text.empty() && fits(text.substr(1));
      second_[code] = fits(text);
    }
  }

  bool accepts(const uint8_t* codes, uint32_t size) const {
    if (!first_[codes[0]]) return false;
    if (kind_only_[codes[0]] && size > 1 && !second_[codes[1]]) return false;
    uint32_t length = 0;
    for (uint32_t i = 0; i < size; i++) length += token_sizes_[codes[i]];
    return length >= 1 && length - 1 < sizes_.size() && sizes_[length - 1];
  }

 private:
  std::bitset<kMaxNameSize> sizes_;
  std::array<uint16_t, 256> token_sizes_{};
  std::array<bool, 256> kind_only_{};  // the token holds the kind and nothing of the name
  std::array<bool, 256> first_{};      // a wanted name can start with this token, less the kind
  std::array<bool, 256> second_{};     // a wanted name can start with this token
};

}  // namespace

KallsymsNames::KallsymsNames(Memory& memory, const KallsymsTables& tables)
    : count_(tables.count),
      names_(memory, tables.names, tables.names_size),
      markers_(tables.markers),
      token_table_(tables.token_table) {
  for (size_t code = 0; code < tokens_.size(); code++) {
    const size_t offset = tables.token_index[code];
    tokens_[code].text = token_table_.data() + offset;
    tokens_[code].size = static_cast<uint32_t>(token_table_.find('\0', offset) - offset);
  }
  if (markers_.empty()) make_markers();
}

bool KallsymsNames::move_to(Memory& memory, const KallsymsNames& other) {
  return count_ == other.count_ && names_.size() == other.names_.size() && markers_ == other.markers_ &&
         token_table_ == other.token_table_ &&
         std::equal(tokens_.begin(), tokens_.end(), other.tokens_.begin(),
                    [&](const Token& a, const Token& b) {
                      return a.size == b.size &&
                             a.text - token_table_.data() == b.text - other.token_table_.data();
                    }) &&
         names_.move_to(memory, other.names_.address());
}

KallsymsNames::Stored KallsymsNames::stored_at(uint64_t offset, uint64_t limit) {
  Stored stored;
  const uint8_t* first = names_.at(offset, 1);
  if (!first) return stored;
  uint64_t begin = offset + 1;
  stored.size = *first;
  if (stored.size & 0x80) {
    const uint8_t* second = names_.at(begin, 1);
    if (!second) return stored;
    stored.size = (stored.size & 0x7f) | uint32_t{*second} << 7;
    begin++;
  }
  stored.next = begin + stored.size;
  if (stored.size == 0 || stored.size > kMaxNameSize || stored.next > limit) return stored;
  stored.codes = names_.at(begin, stored.size);
  return stored;
}

std::optional<uint64_t> KallsymsNames::skip(uint64_t offset, uint64_t limit) {
  const uint8_t* first = names_.at(offset, 1);
  if (!first) return std::nullopt;
  if (*first & 0x80) {
    const Stored stored = stored_at(offset, limit);
    if (!stored.codes) return std::nullopt;
    return stored.next;
  }
  const uint64_t next = offset + 1 + *first;
  if (*first == 0 || next > limit) return std::nullopt;
  return next;
}

bool KallsymsNames::expand(const Stored& stored, KallsymsName* name) const {
  size_t size = 0;
  for (uint32_t i = 0; i < stored.size; i++) {
    const Token& token = tokens_[stored.codes[i]];
    if (size + token.size > kMaxNameSize) return false;
    std::memcpy(name->text_.data() + size, token.text, token.size);
    size += token.size;
  }
  name->size_ = size;
  return size > 1;
}

uint64_t KallsymsNames::block_limit(size_t block) const {
  return block + 1 < markers_.size() ? markers_[block + 1] : names_.size();
}

void KallsymsNames::make_markers() {
  uint64_t offset = 0;
  for (uint32_t i = 0; i < count_; i++) {
    if (i % kMarkerStep == 0) markers_.push_back(static_cast<uint32_t>(offset));
    const auto next = skip(offset, names_.size());
    if (!next) return;
    offset = *next;
  }
}

bool KallsymsNames::expand(uint32_t index, KallsymsName* name) {
  const size_t block = index / kMarkerStep;
  if (index >= count_ || block >= markers_.size()) return false;
  const uint64_t limit = block_limit(block);
  uint64_t offset = markers_[block];
  for (uint32_t i = 0; i < index % kMarkerStep; i++) {
    const auto next = skip(offset, limit);
    if (!next) return false;
    offset = *next;
  }
  const Stored stored = stored_at(offset, limit);
  return stored.codes && expand(stored, name);
}

std::vector<std::pair<uint32_t, uint32_t>> KallsymsNames::scan(std::span<const std::string_view> wanted) {
  std::vector<std::pair<uint32_t, uint32_t>> found;
  const Filter filter(wanted, tokens_);
  KallsymsName name;
  // One read for all pages where none of them is missing: dumps are read faster so.
  names_.at(0, names_.size());
  for (size_t block = 0; block < markers_.size(); block++) {
    const uint64_t limit = block_limit(block);
    uint64_t offset = markers_[block];
    const uint32_t end = std::min<uint32_t>(count_, static_cast<uint32_t>(block + 1) * kMarkerStep);
    for (uint32_t i = static_cast<uint32_t>(block) * kMarkerStep; i < end; i++) {
      const Stored stored = stored_at(offset, limit);
      if (!stored.codes) break;
      offset = stored.next;
      if (!filter.accepts(stored.codes, stored.size) || !expand(stored, &name)) continue;
      const auto at = std::lower_bound(wanted.begin(), wanted.end(), name.name());
      if (at != wanted.end() && *at == name.name())
        found.emplace_back(static_cast<uint32_t>(at - wanted.begin()), i);
    }
  }
  return found;
}

}  // namespace perfcore
