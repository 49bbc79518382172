// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Text for people: wrapped to a width, coloured or not, and safe to send to a terminal whatever the dump
/// holds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace perfcore::cli {

enum class Style { kPlain, kStrong, kFaint, kGood, kBad, kWarn };

struct Fragment {
  std::string text;
  Style style = Style::kPlain;
};
/// A line or paragraph in several styles.
using Text = std::vector<Fragment>;

/// Escapes what a terminal could act on: control characters, DEL, C1 controls, bidirectional overrides and
/// bytes that are not UTF-8 become \xNN or \u{NNNN}. Newline and tab too, unless kept.
std::string printable(std::string_view text, bool keep_newlines = false);

/// Width in columns; every code point counts as one.
size_t columns_of(std::string_view text);

/// Collects the answer. Everything that goes in is made printable; nothing else can get out.
class TextWriter {
 public:
  /// \param width columns; text is wrapped there. 0: not at all
  TextWriter(bool color, size_t width) : color_(color), width_(width) {}

  void heading(std::string_view title, std::string_view note = "");
  /// A paragraph; continuation lines are indented by `hang` more.
  void paragraph(const Text& text, size_t indent = 0, size_t hang = 0);
  void paragraph(std::string_view text, size_t indent = 0, size_t hang = 0, Style style = Style::kPlain);
  /// A label in a column of `label_width`, the text beside it.
  void field(std::string_view label, const Text& text, size_t label_width, size_t indent = 0);
  void field(std::string_view label, std::string_view text, size_t label_width, size_t indent = 0);
  /// One line that is never wrapped (code, maps, log).
  void line(const Text& text, size_t indent = 0);
  void line(std::string_view text, size_t indent = 0);
  void blank();

  size_t width() const { return width_; }
  bool color() const { return color_; }
  const std::string& text() const { return out_; }

 private:
  void put(std::string_view text, Style style);

  bool color_;
  size_t width_;
  std::string out_;
};

}  // namespace perfcore::cli
