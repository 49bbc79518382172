// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/rust_symbol.h"

#include <utility>

namespace perfcore {
namespace {

constexpr int kMaxDepth = 48;
constexpr size_t kMaxPath = 512;
/// Back references make a short symbol long.
constexpr size_t kMaxSteps = 4096;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view basic_type(char tag) {
  switch (tag) {
    case 'a':
      return "i8";
    case 'b':
      return "bool";
    case 'c':
      return "char";
    case 'd':
      return "f64";
    case 'e':
      return "str";
    case 'f':
      return "f32";
    case 'h':
      return "u8";
    case 'i':
      return "isize";
    case 'j':
      return "usize";
    case 'l':
      return "i32";
    case 'm':
      return "u32";
    case 'n':
      return "i128";
    case 'o':
      return "u128";
    case 'p':
      return "_";
    case 's':
      return "i16";
    case 't':
      return "u16";
    case 'u':
      return "()";
    case 'v':
      return "...";
    case 'x':
      return "i64";
    case 'y':
      return "u64";
    case 'z':
      return "!";
    default:
      return {};
  }
}

/// A parser by the grammar of RFC 2603; each function eats what it is named after and appends its text.
class Demangler {
 public:
  explicit Demangler(std::string_view text) : text_(text) {}

  bool path(int depth, bool in_type = false) {
    if (!step(depth)) return false;
    switch (next()) {
      case 'C':
        return identifier();
      case 'M':
        return impl_path(depth) && put("<") && type(depth + 1) && put(">");
      case 'X':
        return impl_path(depth) && put("<") && type(depth + 1) && put(" as ") && path(depth + 1, true) &&
               put(">");
      case 'Y':
        return put("<") && type(depth + 1) && put(" as ") && path(depth + 1, true) && put(">");
      case 'N': {
        const char space = next();
        if (!path(depth + 1, in_type) || !put("::")) return false;
        if (space == 'C') return put("{closure}") && quietly([&] { return identifier(); });
        return identifier();
      }
      case 'I':
        if (!path(depth + 1, in_type) || !put(in_type ? "<" : "::<")) return false;
        for (bool first = true; peek() != 'E'; first = false)
          if ((!first && !put(", ")) || !argument(depth + 1)) return false;
        return next() == 'E' && put(">");
      case 'B':
        return reference([&] { return path(depth + 1, in_type); });
      default:
        return false;
    }
  }

  std::string take() { return std::move(out_); }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  char next() { return at_ < text_.size() ? text_[at_++] : '\0'; }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool step(int depth) { return depth <= kMaxDepth && ++steps_ <= kMaxSteps; }
  bool put(std::string_view text) {
    if (quiet_ == 0) out_ += text;
    return out_.size() <= kMaxPath;
  }
  template <typename Parse>
  bool quietly(Parse&& parse) {
    ++quiet_;
    const bool good = parse();
    --quiet_;
    return good;
  }

  bool base_62(size_t& value) {
    value = 0;
    if (accept('_')) return true;
    while (true) {
      const char c = next();
      if (c == '_') break;
      size_t digit = 0;
      if (is_digit(c))
        digit = static_cast<size_t>(c - '0');
      else if (c >= 'a' && c <= 'z')
        digit = static_cast<size_t>(c - 'a') + 10;
      else if (c >= 'A' && c <= 'Z')
        digit = static_cast<size_t>(c - 'A') + 36;
      else
        return false;
      // Hashes of crates may be larger than a position; only that of a reference is used.
      value = value * 62 + digit;
    }
    ++value;
    return true;
  }
  bool disambiguator() {
    size_t unused = 0;
    return !accept('s') || base_62(unused);
  }
  bool identifier() {
    if (!disambiguator()) return false;
    const bool punycode = accept('u');
    if (!is_digit(peek())) return false;
    size_t length = 0;
    while (is_digit(peek()) && length < text_.size())
      length = length * 10 + static_cast<size_t>(next() - '0');
    accept('_');
    if (length > text_.size() - at_) return false;
    const std::string_view name = text_.substr(at_, length);
    at_ += length;
    return punycode ? put("punycode{") && put(name) && put("}") : put(name);
  }
  bool impl_path(int depth) {
    return disambiguator() && quietly([&] { return path(depth + 1); });
  }
  template <typename Parse>
  bool reference(Parse&& parse) {
    const size_t tag = at_ - 1;
    size_t position = 0;
    if (!base_62(position) || position >= tag) return false;
    const size_t back = std::exchange(at_, position);
    const bool good = parse();
    at_ = back;
    return good;
  }
  bool lifetime() {
    size_t unused = 0;
    return !accept('L') || base_62(unused);
  }
  bool constant(int depth) {
    if (!step(depth)) return false;
    if (accept('B')) return reference([&] { return constant(depth + 1); });
    if (accept('p')) return put("_");
    if (basic_type(next()).empty()) return false;
    accept('n');
    while (peek() != '_')
      if (next() == '\0') return false;
    return next() == '_' && put("_");
  }
  bool argument(int depth) {
    if (peek() == 'L') return lifetime() && put("'_");
    if (accept('K')) return constant(depth);
    return type(depth);
  }
  bool list(int depth, std::string_view open, std::string_view close) {
    if (!put(open)) return false;
    for (bool first = true; !accept('E'); first = false)
      if ((!first && !put(", ")) || !type(depth + 1)) return false;
    return put(close);
  }
  bool type(int depth) {
    if (!step(depth)) return false;
    const char tag = peek();
    if (const std::string_view basic = basic_type(tag); !basic.empty()) {
      ++at_;
      return put(basic);
    }
    switch (tag) {
      case 'A':
        ++at_;
        return put("[") && type(depth + 1) && put("; ") && constant(depth + 1) && put("]");
      case 'S':
        ++at_;
        return put("[") && type(depth + 1) && put("]");
      case 'T':
        ++at_;
        return list(depth, "(", ")");
      case 'R':
      case 'Q':
        ++at_;
        return lifetime() && put(tag == 'R' ? "&" : "&mut ") && type(depth + 1);
      case 'P':
      case 'O':
        ++at_;
        return put(tag == 'P' ? "*const " : "*mut ") && type(depth + 1);
      case 'B':
        ++at_;
        return reference([&] { return type(depth + 1); });
      case 'F':
        ++at_;
        return function(depth);
      case 'D':
        ++at_;
        return traits(depth);
      default:
        return path(depth + 1, true);
    }
  }
  bool binder() {
    size_t unused = 0;
    return !accept('G') || base_62(unused);
  }
  bool function(int depth) {
    if (!binder()) return false;
    accept('U');
    if (accept('K') && !accept('C') && !quietly([&] { return identifier(); })) return false;
    if (!list(depth, "fn(", ")")) return false;
    if (accept('u')) return true;
    return put(" -> ") && type(depth + 1);
  }
  bool traits(int depth) {
    if (!binder() || !put("dyn ")) return false;
    for (bool first = true; !accept('E'); first = false) {
      if ((!first && !put(" + ")) || !path(depth + 1, true)) return false;
      while (accept('p'))
        if (!quietly([&] { return identifier() && type(depth + 1); })) return false;
    }
    return lifetime();
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t steps_ = 0;
  int quiet_ = 0;
  std::string out_;
};

}  // namespace

std::optional<std::string> rust_path(std::string_view symbol) {
  if (!symbol.starts_with("_R")) return std::nullopt;
  // Positions of back references count from behind the prefix.
  Demangler demangler(symbol.substr(2));
  if (!demangler.path(0)) return std::nullopt;
  return demangler.take();
}

}  // namespace perfcore
