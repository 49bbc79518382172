// SPDX-License-Identifier: LGPL-2.1-or-later
#include "progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "guard.h"

namespace perfcore::cli {
namespace {
constexpr std::chrono::milliseconds kFirst{300};
constexpr std::chrono::milliseconds kInterval{100};
constexpr size_t kBarWidth = 30;
}  // namespace

Progress::Progress(std::string what)
    : what_(std::move(what)),
      terminal_(isatty(STDERR_FILENO) != 0),
      begin_(std::chrono::steady_clock::now()),
      next_(begin_ + kFirst) {}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\033[K");
}

bool Progress::is_due() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return false;
  next_ = now + kInterval;
  restart_time_limit();
  return terminal_;
}

void Progress::draw(uint64_t done, uint64_t total, const std::string& note) {
  shown_ = true;
  const double part = total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<size_t>(part * kBarWidth);
  fmt::print(stderr, "\r{} [{}{}] {:3.0f}%{}", what_, std::string(filled, '#'),
             std::string(kBarWidth - filled, ' '), part * 100, note);
}

void Progress::report(uint64_t done, uint64_t total) {
  if (is_due()) draw(done, total, "");
}

void Progress::report_items(uint64_t done, uint64_t total, uint64_t skipped) {
  if (!is_due()) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  const double rate = static_cast<double>(done - skipped) / seconds;
  std::string note = fmt::format("  {} of {}, {:.0f}/s", done, total, rate);
  if (rate > 0) {
    const auto left = static_cast<uint64_t>(static_cast<double>(total - done) / rate);
    note += fmt::format(", {}:{:02}:{:02} left", left / 3600, left / 60 % 60, left % 60);
  }
  draw(done, total, note + "\033[K");
}

}  // namespace perfcore::cli
