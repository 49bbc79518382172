// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/console_line.h"

#include <algorithm>
#include <charconv>

namespace perfcore {
namespace {

constexpr size_t kMaxPlaces = 32;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
// Rust symbols are printed demangled: "<kernel::Foo as Bar>::baz".
bool is_name_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$';
}

std::string_view trim_front(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}
std::string_view trim(std::string_view text) {
  text = trim_front(text);
  while (!text.empty() && (is_space(text.back()) || text.back() == '\0')) text.remove_suffix(1);
  return text;
}

bool accept(std::string_view& text, std::string_view words) {
  if (!text.starts_with(words)) return false;
  text.remove_prefix(words.size());
  return true;
}

template <typename Predicate>
std::string_view take_while(std::string_view& text, Predicate&& predicate) {
  size_t length = 0;
  while (length < text.size() && predicate(text[length])) ++length;
  std::string_view taken = text.substr(0, length);
  text.remove_prefix(length);
  return taken;
}

std::optional<uint64_t> take_number(std::string_view& text, int base) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

// "[  123.456789]", "[T1234]", "[    C4]", "[ 12.345678,3]", "[12.3 @ 2]"; the last two are older kernels
// with vendor patches: the number behind is the CPU. Also "[12.3][ T123]" as one after the other.
bool strip_bracket(std::string_view& text, ConsoleLine& line) {
  const size_t close = text.substr(0, 40).find(']');
  if (close == std::string_view::npos) return false;
  std::string_view inside = trim(text.substr(1, close - 1));
  if (inside.size() > 1 && (inside.front() == 'T' || inside.front() == 'C') &&
      std::all_of(inside.begin() + 1, inside.end(), is_digit)) {
    line.caller = inside;
  } else {
    if (inside.empty() || !is_digit(inside.front())) return false;
    bool dot = false;
    for (char c : inside) {
      if (c == '.')
        dot = true;
      else if (!is_digit(c) && c != ' ' && c != ',' && c != '@')
        return false;
    }
    if (!dot) return false;
    line.stamped = true;
  }
  text = text.substr(close + 1);
  return true;
}

/// "fs/foo.c:12", "./include/linux/list.h:292"; false when it does not look like a source place.
bool parse_place(std::string_view text, std::string& file, uint64_t& line) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view path = text.substr(0, colon);
  if (path.find('.') == std::string_view::npos) return false;
  for (char c : path)
    if (is_space(c) || c == '(' || c == ')') return false;
  std::string_view number = text.substr(colon + 1);
  std::optional<uint64_t> value = accept(number, "?") ? std::optional<uint64_t>(0) : take_number(number, 10);
  if (!value || !number.empty()) return false;
  file = path.starts_with("./") ? path.substr(2) : path;
  line = *value;
  return true;
}

/// Eats the name of a function: a C symbol or a demangled Rust path.
std::string_view take_name(std::string_view& text) {
  if (text.starts_with("<") || text.find("::") != std::string_view::npos) {
    int depth = 0;
    size_t length = 0;
    for (; length < text.size(); ++length) {
      const char c = text[length];
      if (c == '<' || c == '(' || c == '{')
        ++depth;
      else if (c == '>' || c == ')' || c == '}')
        --depth;
      else if (depth == 0 && !is_name_character(c) && c != ':')
        break;
      if (depth < 0 || length > 512) return {};
    }
    std::string_view name = text.substr(0, length);
    if (depth != 0 || name.find("::") == std::string_view::npos) return {};
    text.remove_prefix(length);
    return name;
  }
  return take_while(text, is_name_character);
}

/// A frame from the function's name on.
std::optional<FrameLine> parse_frame(std::string_view text) {
  const std::string_view name = take_name(text);
  if (name.empty() || is_digit(name.front()) || name.front() == '.') return std::nullopt;
  FrameLine result;
  ConsoleFrame frame;
  frame.function = std::string(name);
  if (accept(text, "+0x")) {
    frame.offset = take_number(text, 16);
    if (!frame.offset) return std::nullopt;
    if (accept(text, "/0x") && !take_number(text, 16)) return std::nullopt;
  } else if (!text.starts_with(" ") && !text.starts_with("\t")) {
    return std::nullopt;
  }
  text = trim_front(text);
  // What follows may be places, a module and "[inline]" in any of the orders that decoders print.
  bool placed = false;
  for (int part = 0; part < 4 && !text.empty(); ++part) {
    if (accept(text, "(")) {  // (./include/linux/list.h:292 (discriminator 1) kernel/workqueue.c:2752)
      size_t places = 0;
      while (!text.empty() && places < kMaxPlaces) {
        text = trim_front(text);
        if (accept(text, "(")) {
          take_while(text, [](char c) { return c != ')'; });
          accept(text, ")");
          continue;
        }
        if (accept(text, ")")) break;
        std::string_view place = take_while(text, [](char c) { return !is_space(c) && c != ')'; });
        // The last place is that of the function itself; inlined ones before it have no name.
        if (!parse_place(place, frame.file, frame.line)) break;
        ++places;
      }
      if (places == 0) {
        if (!frame.offset) return std::nullopt;
        break;
      }
      placed = true;
    } else if (accept(text, "[")) {
      const std::string_view inside = take_while(text, [](char c) { return c != ']'; });
      accept(text, "]");
      if (inside == "inline" || inside == "inlined")
        frame.inlined = true;
      else if (!inside.empty())
        frame.module = std::string(inside.substr(0, inside.find(' ')));
    } else {
      const std::string_view place = take_while(text, [](char c) { return !is_space(c); });
      if (!parse_place(place, frame.file, frame.line)) {
        if (frame.offset || placed) break;
        return std::nullopt;
      }
      placed = true;
    }
    text = trim_front(text);
  }
  if (!frame.offset && !placed) return std::nullopt;
  result.frames.push_back(std::move(frame));
  return result;
}

/// "[<ffffffff81000000>] ", with one or two of them as before 4.10, "[ffffffff81000000] ", "(ffff...) ".
bool skip_addresses(std::string_view& text) {
  bool any = false;
  while (true) {
    std::string_view rest = text;
    const bool angle = accept(rest, "[<");
    if (!angle && !accept(rest, "[")) return any;
    accept(rest, "0x");
    const std::string_view digits = take_while(rest, is_hex_digit);
    if (digits.size() < 8 || !accept(rest, angle ? ">]" : "]")) return any;
    text = trim_front(rest);
    any = true;
  }
}

}  // namespace

ConsoleLine strip_prefixes(std::string_view raw) {
  ConsoleLine line;
  std::string_view text = trim(raw.substr(0, kMaxConsoleLine));
  // "Nov 20 12:00:00 host kernel: ..."; only near the start, so that no frame is taken for it.
  constexpr std::string_view kKernel = " kernel: ";
  const std::string_view head = text.substr(0, 96);
  if (!head.empty() && head.front() != '[' && head.front() != '<') {
    if (size_t at = head.find(kKernel); at != std::string_view::npos) {
      text = trim_front(text.substr(at + kKernel.size()));
      line.stamped = true;
    } else if (text.starts_with(kKernel.substr(1))) {
      text = trim_front(text.substr(kKernel.size() - 1));
      line.stamped = true;
    } else if (head.ends_with(" kernel:")) {
      text = {};
    }
  }
  // "login: [   59.806466] ...": a prompt before the kernel's line.
  if (size_t at = text.substr(0, 48).find('['); at != std::string_view::npos && at > 0) {
    ConsoleLine inner;
    std::string_view rest = text.substr(at);
    if (text[at - 1] == ' ' && strip_bracket(rest, inner) && inner.stamped) text.remove_prefix(at);
  }
  for (int i = 0; i < 16 && !text.empty(); ++i) {
    if (text.front() == '[') {
      if (!strip_bracket(text, line)) break;
    } else if (text.front() == '>' || text.front() == '|') {
      text.remove_prefix(1);
    } else if (text.front() == '<' && text.size() > 2 && is_digit(text[1])) {
      const size_t close = text.substr(0, 6).find('>');
      if (close == std::string_view::npos) break;
      text.remove_prefix(close + 1);
      line.stamped = true;
    } else if (text.starts_with("kern ") || text.starts_with("kern:")) {  // dmesg --decode: "kern  :warn  : "
      const size_t facility = text.find(':');
      const size_t level = facility == std::string_view::npos ? facility : text.find(':', facility + 1);
      if (level >= 24) break;
      text.remove_prefix(level + 1);
    } else {
      break;
    }
    text = trim_front(text);
  }
  line.text = text;
  return line;
}

std::optional<FrameLine> parse_frame_line(std::string_view text) {
  text = trim_front(text);
  if (text.empty() || text.front() == '#') return std::nullopt;
  skip_addresses(text);
  bool reliable = true;
  // Up to 3.x an unreliable frame was marked behind its address, as now.
  if (accept(text, "? ")) {
    reliable = false;
    text = trim_front(text);
    skip_addresses(text);
  }
  accept(text, "(inlined by) ");
  auto line = parse_frame(text);
  if (line) line->reliable = reliable;
  return line;
}

std::optional<FrameLine> parse_rip_line(std::string_view text) {
  text = trim_front(text);
  // "EIP: foo+0x1/0x2 SS:ESP" and "EIP is at foo+0x1/0x2" on 32-bit machines, "pc : foo+0x1/0x2" and "epc :
  // ..." on others.
  if (accept(text, "EIP is at ") || accept(text, "PC is at ") || accept(text, "pc : ") ||
      accept(text, "epc : ") || accept(text, "IP: ") || accept(text, "NIP ")) {
    skip_addresses(text);
  } else if (accept(text, "RIP: ") || accept(text, "RIP  ") || accept(text, "RIP ") ||
             accept(text, "EIP: ")) {
    text = trim_front(text);
    std::string_view rest = text;
    const std::string_view selector = take_while(rest, is_hex_digit);
    if (!selector.empty() && selector.size() <= 4 && accept(rest, ":")) {
      if (selector == "0033" || selector == "0023" || selector == "002b") return FrameLine{};
      text = trim_front(rest);
    }
    skip_addresses(text);
  } else {
    return std::nullopt;
  }
  if (auto line = parse_frame(text)) return line;
  return FrameLine{};
}

bool is_bare_address(std::string_view text) {
  text = trim_front(text);
  const bool bracket = skip_addresses(text);
  accept(text, "? ");
  if (accept(text, "0x")) {
    const std::string_view digits = take_while(text, is_hex_digit);
    return digits.size() >= 8;
  }
  return bracket && text.empty();
}

}  // namespace perfcore
