// SPDX-License-Identifier: LGPL-2.1-or-later
#include "text_writer.h"

#include <gtest/gtest.h>

namespace perfcore::cli {
namespace {

TEST(Printable, KeepsText) {
  EXPECT_EQ(printable("plain text, 100% of it"), "plain text, 100% of it");
  EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(printable("\xf0\x9f\x90\xa7"), "\xf0\x9f\x90\xa7");
}

TEST(Printable, EscapesWhatATerminalWouldActOn) {
  EXPECT_EQ(printable("\033[31mred"), "\\x1b[31mred");
  EXPECT_EQ(printable("a\rb\bc\x7f"), "a\\x0db\\x08c\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m")
      << "the C1 form of ESC [";
  EXPECT_EQ(printable("\xe2\x80\xae"
                      "gpj.exe"),
            "\\u{202e}gpj.exe")
      << "right-to-left override";
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Printable, EscapesWhatIsNotUtf8) {
  EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(printable("\xc3"), "\\xc3") << "cut off";
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
}

TEST(Printable, NewlinesOnlyWhenAskedFor) {
  EXPECT_EQ(printable("a\nb"), "a\\x0ab");
  EXPECT_EQ(printable("a\nb", true), "a\nb");
}

TEST(TextWriter, WrapsWithHangingIndent) {
  TextWriter out(false, 20);
  out.paragraph("one two three four five six", 2, 2);
  EXPECT_EQ(out.text(), "  one two three four\n    five six\n");
}

TEST(TextWriter, LongWordsStandOut) {
  TextWriter out(false, 10);
  out.paragraph("a 0123456789abcdef b");
  EXPECT_EQ(out.text(), "a\n0123456789abcdef\nb\n");
}

TEST(TextWriter, CodeIsNotTornApart) {
  TextWriter out(false, 17);
  out.paragraph("it is a `struct x *` here");
  EXPECT_EQ(out.text(), "it is a\n`struct x *` here\n");
}

TEST(TextWriter, FieldsAlign) {
  TextWriter out(false, 20);
  out.field("a", "first line of it", 6);
  out.field("longer label", "x", 6);
  EXPECT_EQ(out.text(), "a     first line of\n      it\nlonger label x\n");
}

TEST(TextWriter, ColoursDoNotCountAsWidth) {
  TextWriter plain(false, 20), coloured(true, 20);
  const Text text = {{"one two ", Style::kBad}, {"three four", Style::kGood}, {" five"}};
  plain.paragraph(text);
  coloured.paragraph(text);
  std::string stripped = coloured.text();
  for (size_t at; (at = stripped.find('\033')) != std::string::npos;)
    stripped.erase(at, stripped.find('m', at) - at + 1);
  EXPECT_NE(coloured.text(), plain.text());
  EXPECT_EQ(stripped, plain.text());
}

TEST(TextWriter, NothingGetsPastIt) {
  TextWriter out(false, 40);
  const std::string evil = "\033]0;title\007";
  out.heading(evil, evil);
  out.paragraph(evil);
  out.field(evil, evil, 4);
  out.line(evil);
  for (const char c : out.text()) EXPECT_TRUE(c == '\n' || c >= ' ') << static_cast<int>(c);
}

TEST(TextWriter, OneBlankLineBetweenParts) {
  TextWriter out(false, 40);
  out.heading("first");
  out.blank();
  out.blank();
  out.line("x");
  EXPECT_EQ(out.text(), "first\n\nx\n");
}

}  // namespace
}  // namespace perfcore::cli
