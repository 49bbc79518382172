// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// BTF made by hand (include/uapi/linux/btf.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace perfcore::test {

/// Appends types in the order of the calls; each returns the number of its type, the first is 1.
class BtfBuilder {
 public:
  struct Member {
    std::string name;
    uint32_t type = 0;
    uint32_t offset = 0;    ///< in bits
    uint32_t bit_size = 0;  ///< 0 unless a bit-field with kind_flag
  };
  struct Entry {
    uint32_t variable = 0;
    uint32_t offset = 0;
    uint32_t size = 0;
  };
  struct Layout {
    uint8_t info = 0;
    uint8_t element = 0;
  };
  static constexpr uint32_t kSigned = 1, kChar = 2, kBool = 4;

  /// Any kind, with the words that follow struct btf_type.
  uint32_t add(uint32_t kind, std::string_view name, uint32_t count, uint32_t size_or_type,
               const std::vector<uint32_t>& words = {}, bool flag = false) {
    put(name_of(name));
    put((flag ? 1u << 31 : 0) | kind << 24 | count);
    put(size_or_type);
    for (uint32_t word : words) put(word);
    return ++last_;
  }

  uint32_t integer(std::string_view name, uint32_t size, uint32_t encoding = 0) {
    return integer(name, size, encoding, 0, size * 8);
  }
  uint32_t integer(std::string_view name, uint32_t size, uint32_t encoding, uint32_t offset, uint32_t bits) {
    return add(1, name, 0, size, {encoding << 24 | offset << 16 | bits});
  }
  uint32_t pointer(uint32_t target) { return add(2, "", 0, target); }
  uint32_t array(uint32_t element, uint32_t count) { return add(3, "", 0, 0, {element, 1, count}); }
  uint32_t structure(std::string_view name, uint32_t size, const std::vector<Member>& members,
                     bool is_union = false) {
    bool flag = false;
    for (const Member& member : members) flag |= member.bit_size != 0;
    std::vector<uint32_t> words;
    for (const Member& member : members) {
      words.push_back(name_of(member.name));
      words.push_back(member.type);
      words.push_back(flag ? member.bit_size << 24 | member.offset : member.offset);
    }
    return add(is_union ? 5 : 4, name, static_cast<uint32_t>(members.size()), size, words, flag);
  }
  uint32_t enumeration(std::string_view name, const std::vector<std::pair<std::string, uint32_t>>& values,
                       bool flag) {
    std::vector<uint32_t> words;
    for (const auto& [value_name, value] : values) words.insert(words.end(), {name_of(value_name), value});
    return add(6, name, static_cast<uint32_t>(values.size()), 4, words, flag);
  }
  uint32_t enumeration64(std::string_view name, const std::vector<std::pair<std::string, uint64_t>>& values,
                         bool flag) {
    std::vector<uint32_t> words;
    for (const auto& [value_name, value] : values)
      words.insert(words.end(),
                   {name_of(value_name), static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)});
    return add(19, name, static_cast<uint32_t>(values.size()), 8, words, flag);
  }
  uint32_t forward(std::string_view name, bool is_union = false) { return add(7, name, 0, 0, {}, is_union); }
  uint32_t alias(std::string_view name, uint32_t target) { return add(8, name, 0, target); }
  uint32_t constant(uint32_t target) { return add(10, "", 0, target); }
  uint32_t variable(std::string_view name, uint32_t type) { return add(14, name, 0, type, {1}); }
  uint32_t section(std::string_view name, const std::vector<Entry>& entries) {
    std::vector<uint32_t> words;
    for (const Entry& entry : entries) words.insert(words.end(), {entry.variable, entry.offset, entry.size});
    return add(15, name, static_cast<uint32_t>(entries.size()), 0, words);
  }
  uint32_t type_tag(std::string_view name, uint32_t target) { return add(18, name, 0, target); }

  /// Describes kinds from 0 on in a layout section, as BTF of 2026 does.
  void set_layouts(std::vector<Layout> layouts) { layouts_ = std::move(layouts); }

  std::vector<std::byte> build() const {
    std::string bytes;
    const auto word = [&](uint64_t value) { bytes.append(reinterpret_cast<const char*>(&value), 4); };
    const uint32_t layout_size = static_cast<uint32_t>(layouts_.size() * 4);
    word(0x0001eb9f);
    word(layouts_.empty() ? 24 : 32);
    word(0);
    word(types_.size());
    word(types_.size() + layout_size);
    word(strings_.size());
    if (!layouts_.empty()) {
      word(types_.size());
      word(layout_size);
    }
    bytes += types_;
    for (const Layout& layout : layouts_) word(layout.info | layout.element << 8);
    bytes += strings_;
    const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
    return {data, data + bytes.size()};
  }

 private:
  void put(uint32_t word) { types_.append(reinterpret_cast<const char*>(&word), sizeof(word)); }
  uint32_t name_of(std::string_view name) {
    if (name.empty()) return 0;
    const auto offset = static_cast<uint32_t>(strings_.size());
    strings_.append(name).push_back('\0');
    return offset;
  }

  std::string types_;
  std::string strings_ = std::string(1, '\0');
  std::vector<Layout> layouts_;
  uint32_t last_ = 0;
};

}  // namespace perfcore::test
