// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Console text and JSONL files of any size, read piece by piece.
#pragma once

#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

#include "guard.h"

namespace perfcore::cli {

/// Hands out the file in pieces of at most `size` bytes, until `take` returns false. The time limit is for a
/// piece: the text may have any size.
/// \return false when the file cannot be read; errno says why
template <typename Take>
bool read_pieces(std::FILE* file, size_t size, Take&& take) {
  std::string piece(size, '\0');
  while (const size_t got = std::fread(piece.data(), 1, piece.size(), file)) {
    restart_time_limit();
    if (!take(std::string_view(piece.data(), got))) return true;
  }
  return std::ferror(file) == 0;
}

/// Puts lines together from pieces, in memory for one of them.
class LineReader {
 public:
  static constexpr size_t kMaxLine = size_t{64} << 20;  ///< bytes; no ring buffer or serial log comes near it

  /// \param line      gets each line, without its end
  /// \param too_long  is called in its place for a line beyond kMaxLine
  LineReader(std::function<void(std::string_view)> line, std::function<void()> too_long)
      : on_line_(std::move(line)), on_too_long_(std::move(too_long)) {}

  void feed(std::string_view piece) {
    while (!piece.empty()) {
      const size_t end = piece.find('\n');
      const std::string_view part = piece.substr(0, end);
      if (line_.size() + part.size() > kMaxLine) {
        too_long_ = true;
        line_ = std::string();
      }
      if (!too_long_) line_.append(part);
      if (end == piece.npos) return;
      finish();
      piece.remove_prefix(end + 1);
    }
  }

  /// The text is at its end, and with it the last line.
  void finish() {
    if (too_long_)
      on_too_long_();
    else
      on_line_(line_);
    line_.clear();
    too_long_ = false;
  }

 private:
  std::function<void(std::string_view)> on_line_;
  std::function<void()> on_too_long_;
  std::string line_;
  bool too_long_ = false;
};

}  // namespace perfcore::cli
