// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <deque>

#include "crash/console_line.h"
#include "crash/report_rules.h"
#include "crash/report_text.h"
#include "perfcore/report.h"

namespace perfcore {
namespace {

constexpr size_t kMaxOpen = 16;
constexpr size_t kMaxWaiting = 256;  ///< complete reports that wait for an older one
constexpr size_t kMaxLines = 4096;
constexpr size_t kMaxBytes = 256 << 10;
constexpr size_t kMaxReports = 65536;
constexpr size_t kMaxNotices = 8;
/// Of frames that nothing announces; fewer are no stack.
constexpr size_t kHeadlessFrames = 2;
/// Complaints about long interrupts that make a storm.
constexpr size_t kStorm = 4;
/// Lines between a headline that announces another and that one.
constexpr size_t kPreludeReach = 12;

struct Open {
  std::string caller;
  ReportHeadline headline;
  size_t headline_index = 0;
  ConsoleReport report;
  size_t bytes = 0;
  bool has_trace = false;
  bool has_rip = false;
  bool stamped = false;   ///< the headline had a time stamp: so has every line of the kernel
  bool abridged = false;  ///< somebody left lines out
  bool done = false;
  size_t repeated = 0;              ///< of notices
  std::vector<std::string> others;  ///< callers whose NMI backtraces belong to a stall
};

/// kernel/reboot.c, kernel/kexec_core.c: the kernel goes down as it was told.
bool is_farewell(std::string_view line) {
  return line.starts_with("reboot: ") || line.starts_with("kexec_core: Starting new kernel") ||
         line.starts_with("Restarting system") || line.starts_with("Power down");
}

/// "[...]": lines were left out here.
bool is_gap(std::string_view line) {
  constexpr std::string_view kSigns[] = {"[...]", "[ ... ]", "[snip]", "<snip>", "--- snip ---"};
  return std::find(std::begin(kSigns), std::end(kSigns), line) != std::end(kSigns);
}

}  // namespace

class ConsoleParser::Impl {
 public:
  explicit Impl(Sink sink) : sink_(std::move(sink)) {}

  void feed(std::string_view piece) {
    while (!piece.empty()) {
      const size_t end = piece.find('\n');
      const std::string_view part = piece.substr(0, end);
      if (end == piece.npos) {
        keep(part);
        offset_ += piece.size();
        return;
      }
      if (held_ == 0) {
        line(part, offset_, offset_ + end + 1);
      } else {
        keep(part);
        const uint64_t begin = begin_of_held_;
        line(buffer_, begin, offset_ + end + 1);
        buffer_.clear();
        held_ = 0;
      }
      offset_ += end + 1;
      piece.remove_prefix(end + 1);
    }
  }

  void finish() {
    if (held_ > 0) {
      line(buffer_, begin_of_held_, offset_);
      buffer_.clear();
      held_ = 0;
    }
    for (Open& open : open_) open.done = true;
    hand_out();
    if (handed_out_ == 0 && headless_) {
      close(*headless_);
      const ConsoleReport& report = headless_->report;
      const bool bare = parse_frame_line(report.headline).has_value();
      if (!report.function.empty() && (!bare || report.frames.size() >= kHeadlessFrames))
        sink_(std::move(headless_->report));
    }
    for (Open& notice : notices_) {
      // The NMI of a virtual machine takes too long every now and then.
      if (notice.headline.rule->kind == "nmi-storm" && notice.repeated < kStorm) continue;
      close(notice);
      sink_(std::move(notice.report));
    }
    notices_.clear();
    headless_.reset();
    handed_out_ = 0;
    line_number_ = 0;
    offset_ = 0;
    running_ = false;
  }

 private:
  /// Keeps the beginning of a line that has not ended yet.
  void keep(std::string_view part) {
    if (held_ == 0) begin_of_held_ = offset_;
    held_ += part.size();
    if (part.empty()) held_ += held_ == 0;
    const size_t room = kMaxConsoleLine - std::min(kMaxConsoleLine, buffer_.size());
    buffer_.append(part.substr(0, room));
  }

  void line(std::string_view raw, uint64_t begin, uint64_t end);
  Open* find(std::string_view caller);
  void append(Open& open, const ConsoleLine& line, uint64_t end);
  static bool continues(const Open& open, const ReportHeadline& headline);
  static bool joins(const Open& open, const ReportHeadline& headline);
  Open make(const ConsoleLine& line, const ReportHeadline& headline, uint64_t begin, uint64_t end);
  void close(Open& open);
  void hand_out();

  Sink sink_;
  std::string buffer_;  ///< beginning of the line that is being fed
  size_t held_ = 0;     ///< its length so far
  uint64_t begin_of_held_ = 0;
  uint64_t offset_ = 0;
  size_t line_number_ = 0;
  std::deque<Open> open_;  ///< in the order in which they begin; handed out from the front
  std::vector<Open> notices_;
  std::optional<Open> headless_;
  size_t handed_out_ = 0;
  bool running_ = false;  ///< the text so far is that of a kernel that runs
};

Open* ConsoleParser::Impl::find(std::string_view caller) {
  for (auto open = open_.rbegin(); open != open_.rend(); ++open)
    if (!open->done && open->caller == caller) return &*open;
  for (auto open = open_.rbegin(); open != open_.rend(); ++open)
    if (!open->done && std::find(open->others.begin(), open->others.end(), caller) != open->others.end())
      return &*open;
  return nullptr;
}

void ConsoleParser::Impl::append(Open& open, const ConsoleLine& line, uint64_t end) {
  if (is_gap(line.text)) open.abridged = true;
  if (open.stamped && !line.stamped) return;  // user space writes to the console, too
  if (open.report.lines.size() >= kMaxLines || open.bytes + line.text.size() > kMaxBytes) {
    open.done = true;
    return;
  }
  open.report.lines.emplace_back(line.text);
  open.bytes += line.text.size();
  open.report.last_line = line_number_;
  open.report.end = end;
  if (!open.has_trace && (line.text.starts_with("Call ") || line.text.find("+0x") != line.text.npos))
    open.has_trace = parse_frame_line(line.text).has_value();
  if (line.text.starts_with("RIP: ") || line.text.starts_with("RIP ")) open.has_rip = true;
}

/// Decoded text has a headline for each inlined call; the last one is the kernel's own.
bool ConsoleParser::Impl::continues(const Open& open, const ReportHeadline& headline) {
  const std::vector<std::string>& lines = open.report.lines;
  return lines.size() == open.headline_index + 1 && lines.back().find("[inline]") != std::string::npos &&
         open.headline.rule->kind == headline.rule->kind;
}

/// Does this headline belong to the report that is open?
bool ConsoleParser::Impl::joins(const Open& open, const ReportHeadline& headline) {
  if (continues(open, headline)) return true;
  const ReportRule& first = *open.headline.rule;
  const ReportRule& next = *headline.rule;
  const ReportRole role = next.role;
  const size_t since = open.report.lines.size() - open.headline_index;
  switch (first.role) {
    case ReportRole::kPrelude:
      if (since <= kPreludeReach) return true;
      break;
    case ReportRole::kPanic:
      // What is printed behind a panic is its stack.
      return role == ReportRole::kPanic || role == ReportRole::kDie;
    case ReportRole::kStall:
      // The stack of the stalled CPU follows, whatever it complains about on the way.
      if (!open.has_trace && (first.kind == next.kind || next.kind == "warning")) return true;
      break;
    default:
      break;
  }
  // What the same task complains about before its report has a stack: the stack that follows is that of both.
  if (!open.caller.empty() && !open.has_trace && first.role == ReportRole::kReport && since <= kPreludeReach)
    return true;
  if (first.kind == "memory-leak" && next.kind == "memory-leak" && since <= 2) return true;
  return role == ReportRole::kPanic || (role == ReportRole::kDie && !open.has_rip && !open.has_trace);
}

Open ConsoleParser::Impl::make(const ConsoleLine& line, const ReportHeadline& headline, uint64_t begin,
                               uint64_t end) {
  Open open;
  open.caller = std::string(line.caller);
  open.stamped = line.stamped;
  open.headline = headline;
  open.report.begin = begin;
  open.report.first_line = line_number_;
  append(open, line, end);
  return open;
}

void ConsoleParser::Impl::close(Open& open) {
  read_report(open.report, open.headline, open.headline_index,
              {!open.caller.empty(), !open.stamped || open.abridged});
}

void ConsoleParser::Impl::hand_out() {
  while (!open_.empty() && open_.front().done) {
    close(open_.front());
    sink_(std::move(open_.front().report));
    ++handed_out_;
    open_.pop_front();
  }
}

void ConsoleParser::Impl::line(std::string_view raw, uint64_t begin, uint64_t end) {
  ++line_number_;
  const ConsoleLine stripped = strip_prefixes(raw);
  std::optional<ReportHeadline> headline = find_report_headline(stripped.text);
  Open* open = find(stripped.caller);
  const bool boots = headline && is_boot(*headline->rule);
  const bool unexpected = boots && running_;
  if (boots || is_farewell(stripped.text))
    running_ = false;
  else if (stripped.stamped)
    running_ = true;
  if (boots && !unexpected) return;
  if (headline && headline->rule->role == ReportRole::kNotice) {
    const auto known = std::find_if(notices_.begin(), notices_.end(), [&](const Open& notice) {
      return notice.headline.rule == headline->rule;
    });
    if (known != notices_.end())
      ++known->repeated;
    else if (notices_.size() < kMaxNotices)
      notices_.push_back(make(stripped, *headline, begin, end));
    return;
  }
  if (!headline) {
    if (open) {
      append(*open, stripped, end);
      if (open->done) hand_out();
      return;
    }
    // NMI backtraces of other CPUs, which a stall's report asks for.
    if (!open_.empty() && !stripped.caller.empty() && stripped.text.starts_with("NMI backtrace for cpu")) {
      for (Open& stall : open_)
        if (!stall.done && stall.headline.rule->role == ReportRole::kStall && stall.others.size() < 1024) {
          stall.others.emplace_back(stripped.caller);
          append(stall, stripped, end);
          return;
        }
    }
    if (headless_) {
      if (headless_->caller == stripped.caller && !headless_->done) append(*headless_, stripped, end);
    } else if (handed_out_ == 0 && open_.empty() && begins_trace(stripped.text)) {
      headless_ = make(stripped, {&headless_rule(), 0}, begin, end);
    }
    return;
  }
  if (open && open->caller != stripped.caller) open = nullptr;
  if (open && joins(*open, *headline)) {
    const bool takes_over = continues(*open, *headline);
    append(*open, stripped, end);
    if (takes_over && !open->done) {
      open->headline = *headline;
      open->headline_index = open->report.lines.size() - 1;
    }
    if (open->done) hand_out();
    return;
  }
  if (open) open->done = true;
  if (open_.size() >= kMaxOpen) open_.front().done = true;
  if (open_.size() >= kMaxWaiting)
    for (Open& one : open_) one.done = true;
  hand_out();
  open_.push_back(make(stripped, *headline, begin, end));
}

ConsoleParser::ConsoleParser(Sink sink) : impl_(std::make_unique<Impl>(std::move(sink))) {}
ConsoleParser::~ConsoleParser() = default;
void ConsoleParser::feed(std::string_view piece) {
  impl_->feed(piece);
}
void ConsoleParser::finish() {
  impl_->finish();
}

std::vector<ConsoleReport> parse_console(std::string_view text) {
  std::vector<ConsoleReport> reports;
  ConsoleParser parser([&](ConsoleReport&& report) {
    if (reports.size() < kMaxReports) reports.push_back(std::move(report));
  });
  parser.feed(text);
  parser.finish();
  return reports;
}

}  // namespace perfcore
