// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/report_stacks.h"

#include <algorithm>
#include <utility>

#include "crash/console_line.h"
#include "crash/report_words.h"

namespace perfcore {

using namespace report_words;

namespace {

constexpr Text kTraceStarts[] = {"Call Trace:",
                                 "Call trace:",
                                 "backtrace:",
                                 "Backtrace:",
                                 "backtrace (crc",
                                 "Allocated by task",
                                 "Freed by task",
                                 "Allocated:",
                                 "Freed:",
                                 "stack backtrace:",
                                 "Uninit was ",
                                 "Local variable ",
                                 "allocated by task",
                                 "freed by task",
                                 "Last potentially related work creation:",
                                 "Second to last potentially"};

Text trace_start(Text line) {
  for (Text start : kTraceStarts)
    if (line.starts_with(start)) return start;
  // "[<ffffffff81000000>] Call Trace:" and the like, where prefixes got mixed up.
  if (line.size() < 80 && (line.ends_with("Call Trace:") || line.ends_with("Call trace:")))
    return "Call Trace:";
  return {};
}

constexpr Text kTraceEnds[] = {
    "---[ end ",           "Modules linked in:",    "Kernel panic",        "Showing all locks",
    "Memory state around", "Rebooting in ",         "Kernel Offset:",      "================",
    "The buggy address",   "other info that might", "Kernel command line", "------------[ cut here"};

constexpr size_t kMaxTraces = 64;
constexpr size_t kMaxTraceGap = 24;

void add(std::vector<ConsoleFrame>& to, std::vector<ConsoleFrame>&& frames) {
  for (ConsoleFrame& frame : frames)
    if (to.size() < kMaxFrames) to.push_back(std::move(frame));
}

/// "<NMI>", "</IRQ>", also with a frame behind it; moves on in `text`.
void read_section(Text& text, std::vector<std::string>& open) {
  text = trim(text);
  for (int i = 0; i < 4 && text.starts_with("<"); ++i) {
    const size_t close = text.find('>');
    if (close == text.npos || close > 20) return;
    Text name = text.substr(1, close - 1);
    const bool ends = name.starts_with("/");
    if (ends) name.remove_prefix(1);
    if (!std::all_of(name.begin(), name.end(), [](char c) { return is_word(c) || c == '#'; })) return;
    if (ends || name == "EOI" || name == "EOE") {
      if (!open.empty()) open.pop_back();
    } else if (open.size() < 8) {
      open.emplace_back(name);
    }
    text = trim(text.substr(close + 1));
  }
}

}  // namespace

bool only_inlined(const std::vector<ConsoleFrame>& frames) {
  return std::all_of(frames.begin(), frames.end(), [](const ConsoleFrame& frame) { return frame.inlined; });
}

Stacks read_stacks(const std::vector<std::string>& lines, size_t from) {
  Stacks stacks;
  Trace* trace = nullptr;
  size_t gap = 0;
  bool code_seen = false;
  std::vector<std::string> sections;
  std::vector<ConsoleFrame> rip;
  auto begin = [&](size_t line, Text announced, bool call) {
    if (stacks.traces.size() == kMaxTraces) return;
    stacks.traces.push_back({});
    trace = &stacks.traces.back();
    trace->line = line;
    trace->announced = announced;
    trace->call = call;
    trace->rip = std::move(rip);
    rip.clear();
    sections.clear();
    gap = 0;
    code_seen = false;
  };
  for (size_t i = from; i < lines.size(); ++i) {
    Text text = lines[i];
    if (Text start = trace_start(text); !start.empty()) {
      const bool call = start.starts_with("Call");
      // lockdep announces what "Call Trace:" announces once more.
      if (start == "stack backtrace:") {
        trace = nullptr;
      } else {
        begin(i, text, call);
        // "Call Trace: foo+0x1/0x2" on one line
        if (auto frame = parse_frame_line(text.substr(std::min(text.size(), text.find(':') + 1)));
            frame && trace && call)
          if (frame->reliable) add(trace->frames, std::move(frame->frames));
      }
      continue;
    }
    if (trace) read_section(text, sections);
    if (auto frames = parse_rip_line(text)) {
      if (trace && !code_seen && !trace->frames.empty()) {
        for (ConsoleFrame& frame : frames->frames) frame.interrupted = true;
        add(trace->frames, std::move(frames->frames));
        gap = 0;
      } else if (trace && trace->frames.empty() && !trace->rip.empty() && only_inlined(trace->rip)) {
        add(trace->rip, std::move(frames->frames));
      } else if (rip.empty() || only_inlined(rip)) {
        if (trace && (code_seen || trace->frames.empty()) && !trace->rip.empty()) continue;
        // Symbolised text names what was inlined first, on a line each.
        add(rip, std::move(frames->frames));
        if (trace && trace->rip.empty()) trace->rip = std::exchange(rip, {});
      }
      continue;
    }
    if (auto frames = parse_frame_line(text)) {
      // "Preemption disabled at:" and the like name one place.
      if (!trace && i > 0 && Text(lines[i - 1]).ends_with("at:")) continue;
      if (!trace) begin(i, {}, false);
      if (!trace) break;
      gap = 0;
      if (!frames->reliable) {
        ++trace->unreliable;
        continue;
      }
      for (ConsoleFrame& frame : frames->frames)
        if (!sections.empty()) frame.section = sections.back();
      add(trace->frames, std::move(frames->frames));
      continue;
    }
    if (!trace) continue;
    if (is_bare_address(text)) {
      ++trace->bare;
      continue;
    }
    if (text.starts_with("Code: ")) {
      const bool own = trace->frames.empty() || !trace->frames.back().interrupted;
      if (own) code_seen = true;
      if (own && !trace->call) trace = nullptr;
      continue;
    }
    const bool ends = std::any_of(std::begin(kTraceEnds), std::end(kTraceEnds),
                                  [&](Text end) { return text.starts_with(end); });
    ++gap;
    if (ends || gap > kMaxTraceGap || (!trace->call && !trace->frames.empty())) trace = nullptr;
  }
  stacks.last_rip = std::move(rip);
  return stacks;
}

bool has_frames(const Trace& trace) {
  return !trace.frames.empty() || !trace.rip.empty();
}

bool is_foreign(const Trace& trace) {
  return std::any_of(trace.frames.begin(), trace.frames.end(), [](const ConsoleFrame& frame) {
    const Text function = frame.function;
    return function.starts_with("should_fail") || function.starts_with("warn_alloc") ||
           function == "dump_header";
  });
}

}  // namespace perfcore
