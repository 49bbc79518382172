// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Who waits on a wait queue, and in which system call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "perfcore/kernel.h"

namespace perfcore {

/// An entry of a wait queue (struct wait_queue_entry, include/linux/wait.h).
struct QueueWaiter {
  uint64_t entry = 0;    ///< struct wait_queue_entry
  std::string function;  ///< its wake function; an address where no symbol starts there
  /// "poll or select", "epoll", "sleep" (wait_event() and the like), "io_uring"; empty for functions that are
  /// not known.
  std::string how;
  uint64_t task = 0;  ///< struct task_struct; 0 where there is none (an epoll instance that nobody waits on)
  std::optional<std::string> comm;
  std::optional<int64_t> pid;
  uint64_t epoll = 0;  ///< struct eventpoll, of epoll only
};

struct WaiterList {
  std::vector<QueueWaiter> waiters;
  std::vector<Unread> unread;
};

/// Entries of a struct wait_queue_head. Of epoll there is one for each task in epoll_wait() on the instance.
/// At most 1000 entries. Follows fs/select.c (pollwake()), fs/eventpoll.c (ep_poll_callback()).
WaiterList waiters_of(const Object& queue);

}  // namespace perfcore
