// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Words of a report's lines.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>

namespace perfcore::report_words {

using Text = std::string_view;

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
inline bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

inline Text trim(Text text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

inline std::optional<Text> after(Text line, Text label) {
  const size_t at = line.find(label);
  if (at == line.npos) return std::nullopt;
  return line.substr(at + label.size());
}
inline Text before(Text text, Text mark) {
  return text.substr(0, text.find(mark));
}

template <typename T>
std::optional<T> number(Text text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 10);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

inline bool is_lower_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}
inline bool is_alphanumeric(char c) {
  return is_word(c) && c != '_';
}
template <typename Predicate>
size_t end_of(Text text, size_t from, Predicate&& predicate) {
  while (from < text.size() && predicate(text[from])) ++from;
  return from;
}

/// "foo+0x1/0x2 ..." or "foo" -> "foo"
inline Text function_in(Text text) {
  text = trim(text);
  size_t end = 0;
  if (text.starts_with("<")) {
    end = std::min(text.find("+0x"), text.size());
  } else {
    while (end < text.size() && (is_word(text[end]) || text[end] == '.' || text[end] == ':')) ++end;
  }
  return text.substr(0, end);
}

}  // namespace perfcore::report_words
