// SPDX-License-Identifier: LGPL-2.1-or-later
#include "text_writer.h"

#include <fmt/format.h>

#include <algorithm>

namespace perfcore::cli {
namespace {

const char* escape_of(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kStrong:
      return "\033[1m";
    case Style::kFaint:
      return "\033[2m";
    case Style::kGood:
      return "\033[32m";
    case Style::kBad:
      return "\033[1;31m";
    case Style::kWarn:
      return "\033[33m";
  }
  return "";
}

/// Length of the UTF-8 sequence at the start of `text` and its code point; 0 when it is none.
size_t decode_utf8(std::string_view text, uint32_t* code_point) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) {
    *code_point = first;
    return 1;
  }
  const size_t length = first >= 0xf0 && first < 0xf5   ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc2 && first < 0xe0 ? 2
                                                        : 0;
  if (length == 0 || length > text.size()) return 0;
  uint32_t value = first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3fu);
  }
  const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return 0;
  *code_point = value;
  return length;
}

/// Control characters, and those that change the direction or hide text.
bool is_dangerous(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/// A space at which no line is broken. Control characters do not get past printable(), so that it is free.
constexpr char kNoBreak = '\x1f';

struct Word {
  Text pieces;
  size_t columns = 0;
};

/// Short spans of code between backticks are one word: `struct perf_event *` is not torn apart.
std::string join_code(std::string text) {
  constexpr size_t kLongest = 50;
  for (size_t begin = text.find('`'); begin != std::string::npos;) {
    const size_t end = text.find('`', begin + 1);
    if (end == std::string::npos) break;
    if (end - begin <= kLongest) std::replace(text.begin() + begin, text.begin() + end, ' ', kNoBreak);
    begin = text.find('`', end + 1);
  }
  return text;
}

std::vector<Word> split_words(const Text& text) {
  std::vector<Word> words;
  bool open = false;  // the last word goes on
  for (const Fragment& fragment : text) {
    const std::string safe = join_code(printable(fragment.text, true));
    size_t at = 0;
    while (at < safe.size()) {
      if (safe[at] == ' ' || safe[at] == '\n') {
        open = false;
        ++at;
        continue;
      }
      const size_t end = std::min(safe.find_first_of(" \n", at), safe.size());
      if (!open) words.emplace_back();
      open = true;
      words.back().pieces.push_back({safe.substr(at, end - at), fragment.style});
      words.back().columns += columns_of(words.back().pieces.back().text);
      std::replace(words.back().pieces.back().text.begin(), words.back().pieces.back().text.end(), kNoBreak,
                   ' ');
      at = end;
    }
  }
  return words;
}

}  // namespace

std::string printable(std::string_view text, bool keep_newlines) {
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  while (at < text.size()) {
    uint32_t c = 0;
    const size_t length = decode_utf8(text.substr(at), &c);
    if (length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[at]));
      ++at;
      continue;
    }
    if (c == '\n' && keep_newlines)
      out += '\n';
    else if (is_dangerous(c))
      out += c < 0x100 ? fmt::format("\\x{:02x}", c) : fmt::format("\\u{{{:x}}}", c);
    else
      out += text.substr(at, length);
    at += length;
  }
  return out;
}

size_t columns_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(),
                                           [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

void TextWriter::put(std::string_view text, Style style) {
  if (!color_ || style == Style::kPlain) {
    out_ += text;
    return;
  }
  out_ += escape_of(style);
  out_ += text;
  out_ += "\033[0m";
}

void TextWriter::heading(std::string_view title, std::string_view note) {
  blank();
  Text text = {{std::string(title), Style::kStrong}};
  if (!note.empty()) text.push_back({fmt::format("  ({})", note), Style::kFaint});
  paragraph(text, 0, 2);
}

void TextWriter::paragraph(const Text& text, size_t indent, size_t hang) {
  size_t column = indent;
  out_.append(indent, ' ');
  bool first_on_line = true;
  for (const Word& word : split_words(text)) {
    if (!first_on_line && width_ != 0 && column + 1 + word.columns > width_) {
      out_ += '\n';
      out_.append(indent + hang, ' ');
      column = indent + hang;
      first_on_line = true;
    }
    if (!first_on_line) {
      out_ += ' ';
      ++column;
    }
    for (const Fragment& piece : word.pieces) put(piece.text, piece.style);
    column += word.columns;
    first_on_line = false;
  }
  out_ += '\n';
}

void TextWriter::paragraph(std::string_view text, size_t indent, size_t hang, Style style) {
  paragraph(Text{{std::string(text), style}}, indent, hang);
}

void TextWriter::field(std::string_view label, const Text& text, size_t label_width, size_t indent) {
  // The label is laid down first; the paragraph's own indentation is then cut back by what is already there.
  const std::string safe = printable(label);
  TextWriter body(color_, width_);
  body.paragraph(text, indent + label_width, 0);
  out_.append(indent, ' ');
  put(safe, Style::kFaint);
  const size_t used = columns_of(safe);
  if (used < label_width)
    out_.append(label_width - used, ' ');
  else
    out_ += ' ';
  out_ += std::string_view(body.out_).substr(indent + label_width);
}

void TextWriter::field(std::string_view label, std::string_view text, size_t label_width, size_t indent) {
  field(label, Text{{std::string(text)}}, label_width, indent);
}

void TextWriter::line(const Text& text, size_t indent) {
  out_.append(indent, ' ');
  for (const Fragment& fragment : text) put(printable(fragment.text), fragment.style);
  out_ += '\n';
}

void TextWriter::line(std::string_view text, size_t indent) {
  line(Text{{std::string(text)}}, indent);
}

void TextWriter::blank() {
  if (!out_.empty() && !out_.ends_with("\n\n")) out_ += '\n';
}

}  // namespace perfcore::cli
