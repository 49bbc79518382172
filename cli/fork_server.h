// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The process that reads what the dumps of one kernel build have in common, and forks a worker from itself
/// for each of them.
#pragma once

#include <sys/types.h>

#include <stdexcept>
#include <string>

#include "batch_inputs.h"
#include "session.h"

namespace perfcore::cli {

/// The server has ended, and its workers with it: what they were working on must be started again.
class ForkServerEnded : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A dump that is made to hurt costs the process that reads it. That is a worker, and for the one dump per
/// build that is read for all of them it is the server, but never the caller, who has the store and the
/// results. One thread at a time.
class ForkServer {
 public:
  /// Starts the server. Throws InputError when there is no process for it.
  explicit ForkServer(Session& session);
  ~ForkServer();
  ForkServer(const ForkServer&) = delete;
  ForkServer& operator=(const ForkServer&) = delete;

  /// Starts a worker (run_worker()). \return its process, which the caller may kill until it has called
  /// wait() Throws ForkServerEnded, or InputError when there is no process.
  pid_t start(const BatchInput& input, int result, int words);
  /// Waits for the end of a worker. \return its status, as waitpid() gives it. Throws ForkServerEnded.
  int wait(pid_t worker);
  /// Lets the server read a dump for all that follow (KnownKernels::learn()). Throws ForkServerEnded when
  /// that was too much for it; a dump that cannot be read is passed over.
  void learn(const std::string& path);

  /// After ForkServerEnded: another server, which knows nothing.
  void restart();

 private:
  void begin();
  void end();
  /// Sends a request and waits for the answer.
  int ask(int request, int argument, const std::string& path, int result = -1, int words = -1);

  Session& session_;
  pid_t server_ = -1;
  int socket_ = -1;
};

}  // namespace perfcore::cli
