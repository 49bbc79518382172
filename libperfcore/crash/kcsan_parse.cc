// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "crash/kcsan_text.h"
#include "perfcore/kcsan.h"

namespace perfcore {
namespace {

constexpr size_t kMaxReports = 1024;
constexpr size_t kMaxOpenReports = 16;
constexpr size_t kMaxFrames = 256;
constexpr size_t kMaxLocks = 64;
constexpr size_t kMaxPlaces = 32;
/// More than any line that printk() emits (1024 bytes with its prefix).
constexpr size_t kMaxLine = 2048;
/// A report whose next line is this far away was cut short.
constexpr size_t kMaxGap = 512;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_name_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$';
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// A line eaten from its front.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  std::string_view rest() const { return text_; }
  bool at_end() const { return text_.empty(); }

  bool accept(std::string_view words) {
    if (!text_.starts_with(words)) return false;
    text_.remove_prefix(words.size());
    return true;
  }
  void skip_space() {
    while (!text_.empty() && is_space(text_.front())) text_.remove_prefix(1);
  }
  template <typename Predicate>
  std::string_view take_while(Predicate&& predicate) {
    size_t length = 0;
    while (length < text_.size() && predicate(text_[length])) ++length;
    std::string_view taken = text_.substr(0, length);
    text_.remove_prefix(length);
    return taken;
  }
  std::optional<uint64_t> decimal() { return number(10); }
  /// With or without "0x".
  std::optional<uint64_t> hex() {
    accept("0x");
    return number(16);
  }

 private:
  std::optional<uint64_t> number(int base) {
    uint64_t value = 0;
    const char* begin = text_.data();
    auto [end, error] = std::from_chars(begin, begin + text_.size(), value, base);
    if (error != std::errc() || end == begin) return std::nullopt;
    text_.remove_prefix(static_cast<size_t>(end - begin));
    return value;
  }

  std::string_view text_;
};

/// "[  123.456789]", "[123.4]", "[T1234]", "[    C4]"; a caller ID is handed out.
bool strip_bracket(std::string_view& text, std::string_view& caller) {
  if (text.empty() || text.front() != '[') return false;
  size_t close = text.substr(0, 32).find(']');
  if (close == std::string_view::npos) return false;
  std::string_view inside = trim(text.substr(1, close - 1));
  bool is_caller = inside.size() > 1 && (inside.front() == 'T' || inside.front() == 'C');
  std::string_view number = is_caller ? inside.substr(1) : inside;
  if (number.empty() || !std::all_of(number.begin(), number.end(),
                                     [&](char c) { return is_digit(c) || (!is_caller && c == '.'); }))
    return false;
  if (is_caller) caller = inside;
  text = trim(text.substr(close + 1));
  return true;
}

struct Line {
  std::string_view text;    // without prefixes, trimmed
  std::string_view caller;  // "T123", "C4"; empty: not printed
};

/// Takes off what consoles, dmesg, journald, syslog and mail put in front.
Line strip_prefixes(std::string_view raw) {
  Line line;
  std::string_view text = trim(raw.substr(0, kMaxLine));
  // "Nov 20 12:00:00 host kernel: ..."; only near the start, so that no frame is taken for it.
  constexpr std::string_view kKernel = "kernel: ";
  if (size_t at = text.substr(0, 96).find(kKernel); at != std::string_view::npos)
    text = trim(text.substr(at + kKernel.size()));
  else if (text.ends_with(" kernel:"))
    text = {};
  bool again = true;
  while (again && !text.empty()) {
    again = false;
    if (text.front() == '>' || text.front() == '|') {
      text = trim(text.substr(1));
      again = true;
    } else if (text.front() == '<' && text.size() > 2 && is_digit(text[1])) {
      size_t close = text.substr(0, 6).find('>');
      if (close != std::string_view::npos) {
        text = trim(text.substr(close + 1));
        again = true;
      }
    } else if (text.front() == '[') {
      again = strip_bracket(text, line.caller);
    } else if (text.starts_with("kern ") || text.starts_with("kern:")) {  // dmesg --decode: "kern  :warn  : "
      size_t facility = text.find(':');
      size_t level = facility == std::string_view::npos ? facility : text.find(':', facility + 1);
      if (level < 24) {
        text = trim(text.substr(level + 1));
        again = true;
      }
    }
  }
  line.text = text;
  return line;
}

/// "fs/foo.c:12", "./include/linux/list.h:292"; false when it does not look like a source place.
bool parse_place(std::string_view text, std::string& file, uint64_t& line) {
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  std::string_view path = text.substr(0, colon);
  if (path.find('.') == std::string_view::npos) return false;
  for (char c : path)
    if (is_space(c) || c == '(' || c == ')') return false;
  Cursor number(text.substr(colon + 1));
  std::optional<uint64_t> value = number.accept("?") ? 0 : number.decimal();  // "?": addr2line does not know
  if (!value || !number.at_end()) return false;
  if (path.starts_with("./")) path.remove_prefix(2);
  file = std::string(path);
  line = *value;
  return true;
}

struct FrameLine {
  std::vector<KcsanFrame> frames;  // innermost first
  /// addr2line form ("foo at fs/foo.c:1"): names an inlined call of the raw frame before it, or that frame.
  bool annotates_previous = false;
};

/// The frames that one line names, or nothing.
std::optional<FrameLine> parse_frame(std::string_view text) {
  Cursor cursor(text);
  cursor.accept("? ");
  if (cursor.accept("[<")) {
    cursor.take_while(is_hex_digit);
    if (!cursor.accept(">]")) return std::nullopt;
    cursor.skip_space();
  }
  bool by = cursor.accept("(inlined by) ");
  std::string_view name = cursor.take_while(is_name_character);
  if (name.empty() || is_digit(name.front())) return std::nullopt;
  FrameLine result;
  KcsanFrame frame;
  frame.function = std::string(name);
  if (cursor.accept("+0x")) {
    frame.offset = cursor.hex();
    if (!frame.offset) return std::nullopt;
    if (cursor.accept("/0x") && !cursor.hex()) return std::nullopt;
    cursor.skip_space();
  } else if (cursor.accept(" at ")) {
    std::string_view place = cursor.take_while([](char c) { return !is_space(c); });
    if (!parse_place(place, frame.file, frame.line)) return std::nullopt;
    frame.inlined = true;
    result.annotates_previous = true;
    result.frames.push_back(std::move(frame));
    return result;
  } else if (!cursor.accept(" ")) {
    return std::nullopt;
  }
  if (by) return std::nullopt;

  // What follows may be places, a module and "[inline]" in any of the orders that decoders print.
  bool placed = false;
  for (int part = 0; part < 4 && !cursor.at_end(); ++part) {
    if (cursor.accept("(")) {  // (./include/linux/list.h:292 (discriminator 1) kernel/workqueue.c:2752)
      std::vector<KcsanFrame> places;
      while (!cursor.at_end() && places.size() < kMaxPlaces) {
        cursor.skip_space();
        if (cursor.accept("(")) {
          cursor.take_while([](char c) { return c != ')'; });
          cursor.accept(")");
          continue;
        }
        if (cursor.accept(")")) break;
        std::string_view place = cursor.take_while([](char c) { return !is_space(c) && c != ')'; });
        KcsanFrame inner;
        if (!parse_place(place, inner.file, inner.line)) break;
        inner.inlined = true;
        places.push_back(std::move(inner));
      }
      if (!places.empty()) {
        frame.file = std::move(places.back().file);
        frame.line = places.back().line;
        places.pop_back();
        placed = true;
        result.frames = std::move(places);
      }
    } else if (cursor.accept("[")) {
      std::string_view inside = cursor.take_while([](char c) { return c != ']'; });
      cursor.accept("]");
      if (inside == "inline")
        frame.inlined = true;
      else if (!inside.empty())
        frame.module = std::string(inside.substr(0, inside.find(' ')));
    } else {
      std::string_view place = cursor.take_while([](char c) { return !is_space(c); });
      if (!parse_place(place, frame.file, frame.line)) {
        if (frame.offset || placed) break;
        return std::nullopt;
      }
      placed = true;
    }
    cursor.skip_space();
  }
  if (!frame.offset && !placed) return std::nullopt;
  result.frames.push_back(std::move(frame));
  return result;
}

/// The parts of "write (marked) to 0xffff.. of 8 bytes by task 1 on cpu 2:"; nothing when it is no such line.
/// `wrapped`: the line begins like one and ends before "by" (mails wrap it).
std::optional<KcsanAccess> parse_access(std::string_view text, bool& unknown_origin, bool& wrapped) {
  Cursor cursor(text);
  unknown_origin = cursor.accept("race at unknown origin, with ");
  wrapped = false;
  KcsanAccess access;
  constexpr std::array kOperations = {KcsanOperation::kReadWrite, KcsanOperation::kRead,
                                      KcsanOperation::kWrite, KcsanOperation::kAssertNoWrites,
                                      KcsanOperation::kAssertNoAccesses};
  auto found = std::find_if(kOperations.begin(), kOperations.end(),
                            [&](KcsanOperation operation) { return cursor.accept(to_string(operation)); });
  if (found == kOperations.end()) return std::nullopt;
  access.operation = *found;
  if (cursor.accept(" (")) {
    std::string_view notes = cursor.take_while([](char c) { return c != ')'; });
    cursor.accept(")");
    access.marked = notes.find("marked") != std::string_view::npos;
    access.reordered = notes.find("reordered") != std::string_view::npos;
  }
  if (!cursor.accept(" to ")) return std::nullopt;
  if (cursor.rest().starts_with("0x(") || cursor.rest().starts_with("(")) {  // hidden: "(____ptrval____)"
    cursor.take_while([](char c) { return c != ')'; });
    cursor.accept(")");
  } else if (std::optional<uint64_t> address = cursor.hex()) {
    access.address = *address;
  } else {
    return std::nullopt;
  }
  if (!cursor.accept(" of ")) return std::nullopt;
  std::optional<uint64_t> size = cursor.decimal();
  if (!size || !cursor.accept(" byte")) return std::nullopt;
  access.size = *size;
  cursor.accept("s");
  cursor.skip_space();
  wrapped = cursor.at_end();
  if (!cursor.accept("by ")) return access;
  if (cursor.accept("interrupt")) {
    access.interrupt = true;
  } else if (cursor.accept("task ")) {
    if (std::optional<uint64_t> pid = cursor.decimal()) access.pid = static_cast<int64_t>(*pid);
  }
  cursor.skip_space();
  if (cursor.accept("on cpu ")) access.cpu = cursor.decimal();
  return access;
}

/// What a line was to an open report.
enum class Outcome { kIgnored, kUsed, kEnds };

/// What the reader of one context's report expects next.
enum class Section { kAccesses, kLocks, kTail };

struct OpenReport {
  std::string caller;
  KcsanReport report;
  Section section = Section::kAccesses;
  bool in_stack = false;
  size_t last_raw_frame = 0;  // index, in the current stack, of the frame that addr2line lines annotate
  std::string wrapped;        // an access line that goes on in the next one
  bool saw_end = false;
};

class Parser {
 public:
  std::vector<KcsanReport> run(std::string_view log);

 private:
  void feed(const Line& line);
  Outcome feed_open(OpenReport& open, std::string_view text);
  void begin(const Line& line, std::string_view headline);
  void close(size_t index);
  OpenReport* find(std::string_view caller);
  bool start_access(OpenReport& open, std::string_view text);
  static void add_frames(OpenReport& open, FrameLine frames);
  static void end_stack(OpenReport& open);

  std::vector<OpenReport> open_;
  std::vector<KcsanReport> done_;
  size_t line_number_ = 0;
};

OpenReport* Parser::find(std::string_view caller) {
  for (OpenReport& open : open_)
    if (open.caller == caller) return &open;
  return nullptr;
}

/// "data-race in foo [mod] / bar+0x1/0x2" -> the names, without what KCSAN adds for unknown origins.
void parse_headline(std::string_view text, KcsanReport& report) {
  report.assertion = text.starts_with("assert:");
  std::string_view what = report.assertion ? "assert: race" : "data-race";
  size_t in = text.find(" in ");
  report.title = "KCSAN: " + std::string(what);
  if (in == std::string_view::npos) return;
  std::string_view names = text.substr(in + 4);
  while (report.functions.size() < 2 && !names.empty()) {
    Cursor cursor(names);
    cursor.skip_space();
    std::string_view name = cursor.take_while(is_name_character);
    if (name.empty()) break;
    report.functions.emplace_back(name);
    size_t slash = cursor.rest().find(" / ");
    if (slash == std::string_view::npos) break;
    names = cursor.rest().substr(slash + 3);
  }
  if (report.functions.empty()) return;
  report.title += " in " + report.functions.front();
  if (report.functions.size() == 2) report.title += " / " + report.functions.back();
}

void Parser::begin(const Line& line, std::string_view headline) {
  for (size_t i = 0; i < open_.size(); ++i)
    if (open_[i].caller == line.caller) {
      close(i);
      break;
    }
  if (open_.size() == kMaxOpenReports) close(0);
  if (done_.size() + open_.size() >= kMaxReports) return;
  OpenReport open;
  open.caller = std::string(line.caller);
  open.report.first_line = open.report.last_line = line_number_;
  parse_headline(headline, open.report);
  open_.push_back(std::move(open));
}

void Parser::end_stack(OpenReport& open) {
  open.in_stack = false;
  open.last_raw_frame = 0;
}

bool Parser::start_access(OpenReport& open, std::string_view text) {
  bool unknown_origin = false, wrapped = false;
  std::optional<KcsanAccess> access = parse_access(text, unknown_origin, wrapped);
  if (!access) return false;
  if (wrapped) {
    open.wrapped = std::string(text);
    return true;
  }
  end_stack(open);
  open.report.unknown_origin |= unknown_origin;
  if (open.report.accesses.size() < 2) {
    open.report.accesses.push_back(std::move(*access));
    open.in_stack = true;
    open.section = Section::kAccesses;
  }
  return true;
}

void Parser::add_frames(OpenReport& open, FrameLine line) {
  std::vector<KcsanFrame>& stack = open.report.accesses.back().stack;
  if (stack.size() + line.frames.size() > kMaxFrames) {
    open.report.accesses.back().stack_cut = true;
    return;
  }
  if (line.annotates_previous) {
    if (stack.empty()) return;
    KcsanFrame& raw = stack[open.last_raw_frame];
    KcsanFrame& place = line.frames.front();
    if (function_base(raw.function) == function_base(place.function)) {
      raw.file = std::move(place.file);
      raw.line = place.line;
    } else {
      place.module = raw.module;
      stack.insert(stack.begin() + static_cast<ptrdiff_t>(open.last_raw_frame), std::move(place));
      ++open.last_raw_frame;
    }
    return;
  }
  for (KcsanFrame& frame : line.frames) stack.push_back(std::move(frame));
  open.last_raw_frame = stack.size() - 1;
}

/// Lines that only a different message prints: the report was cut short by it.
bool starts_other_message(std::string_view text) {
  for (std::string_view start : {"Call Trace:", "BUG: ", "WARNING: ", "Kernel panic",
                                 "RIP: ", "Oops: ", "INFO: ", "general protection fault", "watchdog: BUG"})
    if (text.starts_with(start)) return true;
  return false;
}

/// "CPU: 0 UID: 0 PID: 12 Comm: name Tainted: G        W   6.12.0 #1" or "... Not tainted 6.12.0 #1".
void parse_reporter(std::string_view text, KcsanReport& report) {
  if (size_t pid = text.find("PID: "); pid != std::string_view::npos)
    if (std::optional<uint64_t> value = Cursor(text.substr(pid + 5)).decimal())
      report.pid = static_cast<int64_t>(*value);
  size_t comm = text.find(" Comm: ");
  if (comm == std::string_view::npos) return;
  std::string_view rest = text.substr(comm + 7);
  constexpr std::string_view kClean = " Not tainted ", kTainted = " Tainted: ";
  std::string_view release;
  if (size_t clean = rest.find(kClean); clean != std::string_view::npos) {
    release = rest.substr(clean + kClean.size());
    rest = rest.substr(0, clean);
  } else if (size_t tainted = rest.find(kTainted); tainted != std::string_view::npos) {
    // The flags are single letters and spaces; the release is the first word that is not.
    release = rest.substr(tainted + kTainted.size());
    while (!(release = trim(release)).empty() && std::min(release.find(' '), release.size()) == 1)
      release.remove_prefix(1);
    rest = rest.substr(0, tainted);
  }
  report.comm = std::string(rest);
  report.kernel = std::string(release.substr(0, release.find(' ')));
}

Outcome Parser::feed_open(OpenReport& open, std::string_view text) {
  KcsanReport& report = open.report;
  if (!open.wrapped.empty()) {
    std::string joined = std::exchange(open.wrapped, {}) + " " + std::string(text);
    if (start_access(open, joined) && open.wrapped.empty()) return Outcome::kUsed;
    open.wrapped.clear();
  }
  if (text.empty()) {
    if (!report.accesses.empty() && !report.accesses.back().stack.empty()) open.in_stack = false;
    return open.section == Section::kTail && report.pid ? Outcome::kEnds : Outcome::kIgnored;
  }
  if (text.starts_with("=====") || starts_other_message(text)) return Outcome::kEnds;
  if (start_access(open, text)) return Outcome::kUsed;
  if (text.starts_with("value changed: ")) {
    open.in_stack = false;
    Cursor cursor(text.substr(15));
    std::optional<uint64_t> before = cursor.hex();
    if (before && cursor.accept(" -> "))
      if (std::optional<uint64_t> after = cursor.hex()) report.value = KcsanValueChange{*before, *after, {}};
    return Outcome::kUsed;
  }
  if (text.starts_with("bits changed: ")) {
    size_t mask = text.find(" with mask ");
    if (mask != std::string_view::npos && report.value)
      report.value->mask = Cursor(text.substr(mask + 11)).hex();
    return Outcome::kUsed;
  }
  if (text.starts_with("Reported by Kernel Concurrency Sanitizer")) {
    open.in_stack = false;
    open.section = Section::kTail;
    open.saw_end = true;
    return Outcome::kUsed;
  }
  if (open.section == Section::kTail) {
    if (text.starts_with("CPU: ")) {
      parse_reporter(text, report);
    } else if (Cursor cursor(text); cursor.accept("Workqueue: ")) {
      report.workqueue = std::string(cursor.rest());
    } else {
      return Outcome::kIgnored;
    }
    return Outcome::kUsed;
  }
  if (report.accesses.empty()) return Outcome::kIgnored;
  KcsanAccess& access = report.accesses.back();
  bool locks_follow = is_digit(text.front()) && (text.find(" lock held by ") != std::string_view::npos ||
                                                 text.find(" locks held by ") != std::string_view::npos);
  if (locks_follow || text.starts_with("no locks held by ")) {
    open.in_stack = false;
    access.locks_listed = true;
    open.section = Section::kLocks;
    return Outcome::kUsed;
  }
  if (open.section == Section::kLocks) {
    size_t colon = text.front() == '#' ? text.find(": ") : std::string_view::npos;
    if (colon > 8 || access.locks.size() >= kMaxLocks) return Outcome::kIgnored;
    access.locks.emplace_back(text.substr(colon + 2));
    return Outcome::kUsed;
  }
  if (text.starts_with("...")) {
    access.stack_cut = true;
    return Outcome::kUsed;
  }
  std::optional<FrameLine> frames = parse_frame(text);
  if (!frames) return Outcome::kIgnored;
  add_frames(open, std::move(*frames));
  return Outcome::kUsed;
}

void Parser::close(size_t index) {
  OpenReport& open = open_[index];
  KcsanReport& report = open.report;
  size_t expected = report.unknown_origin ? 1 : 2;
  if (open.in_stack && !open.saw_end && !report.accesses.empty()) report.accesses.back().stack_cut = true;
  report.complete =
      open.saw_end && report.accesses.size() >= expected &&
      std::none_of(report.accesses.begin(), report.accesses.end(),
                   [](const KcsanAccess& access) { return access.stack.empty() || access.stack_cut; });
  done_.push_back(std::move(report));
  open_.erase(open_.begin() + static_cast<ptrdiff_t>(index));
}

void Parser::feed(const Line& line) {
  constexpr std::string_view kHeadline = "BUG: KCSAN: ";
  if (size_t at = line.text.find(kHeadline); at != std::string_view::npos) {
    begin(line, line.text.substr(at + kHeadline.size()));
    return;
  }
  OpenReport* open = find(line.caller);
  if (!open) return;
  if (line_number_ - open->report.last_line > kMaxGap) {
    close(static_cast<size_t>(open - open_.data()));
    return;
  }
  Outcome outcome = feed_open(*open, line.text);
  if (outcome == Outcome::kUsed) open->report.last_line = line_number_;
  if (outcome == Outcome::kEnds) close(static_cast<size_t>(open - open_.data()));
}

std::vector<KcsanReport> Parser::run(std::string_view log) {
  size_t begin = 0;
  while (begin < log.size()) {
    size_t end = std::min(log.find('\n', begin), log.size());
    ++line_number_;
    feed(strip_prefixes(log.substr(begin, end - begin)));
    begin = end + 1;
  }
  while (!open_.empty()) close(0);
  std::sort(done_.begin(), done_.end(),
            [](const KcsanReport& a, const KcsanReport& b) { return a.first_line < b.first_line; });
  return std::move(done_);
}

}  // namespace

std::string_view to_string(KcsanOperation operation) {
  switch (operation) {
    case KcsanOperation::kRead:
      return "read";
    case KcsanOperation::kWrite:
      return "write";
    case KcsanOperation::kReadWrite:
      return "read-write";
    case KcsanOperation::kAssertNoWrites:
      return "assert no writes";
    case KcsanOperation::kAssertNoAccesses:
      return "assert no accesses";
  }
  return "access";
}

std::vector<KcsanReport> parse_kcsan(std::string_view log) {
  return Parser().run(log);
}

}  // namespace perfcore
