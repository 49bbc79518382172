// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What one file of a batch is worth: the work of one process on it, and how its answers travel.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "batch_inputs.h"
#include "perfcore/page_store.h"
#include "session.h"

namespace perfcore::cli {

/// Kernels that were read before, and their pages: what the dumps of one build have in common is read once.
/// One thread at a time.
class KnownKernels {
 public:
  explicit KnownKernels(Session& session) : session_(session), pages_(kMaxPages) {}

  /// Reads a dump as a worker does, and keeps what it read. Of the kernels the oldest is forgotten when there
  /// are too many. Throws what a worker would.
  void learn(const std::string& path);

  /// Opens a dump with the help of what was learnt, which it spends: once per process.
  std::unique_ptr<Kernel> open(const std::string& path);

 private:
  static constexpr size_t kMaxKernels = 8;   // some 15 MiB each
  static constexpr size_t kMaxPages = 8192;  // some 48 MiB

  Session& session_;
  PageStore pages_;
  std::vector<std::unique_ptr<Kernel>> kernels_;  // the oldest first
};

/// Exit code of a worker that is done, and has read types from its dump which were not known.
inline constexpr int kExitDoneAlone = 64;

/// Works on one file and ends the process. Memory is limited by the guard, which the process has inherited;
/// CPU time is limited here.
/// \param result  takes each crash as a frame: its size (uint64_t), then as packed() made it
/// \param words   becomes standard error
[[noreturn]] void run_worker(Session& session, KnownKernels& known, const BatchInput& input, int result,
                             int words);

}  // namespace perfcore::cli
