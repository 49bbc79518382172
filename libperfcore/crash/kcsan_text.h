// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Small text helpers that the KCSAN parser and classifier share.
#pragma once

#include <string_view>

namespace perfcore {

/// The function without what compilers append: "foo.isra.0", "foo.cold" -> "foo".
inline std::string_view function_base(std::string_view function) {
  return function.substr(0, function.find('.'));
}

/// Matches a whole text against a pattern in which '*' stands for any run of characters. Time is at most
/// proportional to the product of both sizes; patterns are constants of the tables.
inline bool matches(std::string_view text, std::string_view pattern) {
  size_t at = 0, in = 0;
  size_t star = std::string_view::npos, retry = 0;
  while (at < text.size()) {
    if (in < pattern.size() && pattern[in] == '*') {
      star = in++;
      retry = at;
    } else if (in < pattern.size() && pattern[in] == text[at]) {
      ++in;
      ++at;
    } else if (star != std::string_view::npos) {
      in = star + 1;
      at = ++retry;
    } else {
      return false;
    }
  }
  while (in < pattern.size() && pattern[in] == '*') ++in;
  return in == pattern.size();
}

}  // namespace perfcore
