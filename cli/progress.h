// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// How far long work has got, on standard error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace perfcore::cli {

/// A bar on a terminal, nothing elsewhere. Appears only when the work takes longer than a moment and is wiped
/// when done. Each report is proof of progress, so that it starts the time limit anew.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// \param done, total  bytes
  void report(uint64_t done, uint64_t total);
  /// Of items, with rate and time left. \param skipped  of those done: cost no time
  void report_items(uint64_t done, uint64_t total, uint64_t skipped);

 private:
  bool is_due();
  void draw(uint64_t done, uint64_t total, const std::string& note);

  std::string what_;
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point begin_, next_;
};

}  // namespace perfcore::cli
