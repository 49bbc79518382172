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
      next_(std::chrono::steady_clock::now() + kFirst) {}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\033[K");
}

void Progress::report(uint64_t done, uint64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + kInterval;
  restart_time_limit();
  if (!terminal_) return;
  shown_ = true;
  const double part = total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<size_t>(part * kBarWidth);
  fmt::print(stderr, "\r{} [{}{}] {:3.0f}%", what_, std::string(filled, '#'),
             std::string(kBarWidth - filled, ' '), part * 100);
}

}  // namespace perfcore::cli
