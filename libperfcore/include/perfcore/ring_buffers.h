// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Perf's ring buffers and AUX buffers (struct perf_buffer, kernel/events/internal.h) and who waits for them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "perfcore/perf_events.h"
#include "perfcore/pmu.h"
#include "perfcore/waiters.h"

namespace perfcore {

/// A struct perf_buffer and the page it shares with user space, each read once.
class RingBuffer {
 public:
  /// \param buffer  struct perf_buffer lvalue
  explicit RingBuffer(const Object& buffer)
      : object_(buffer.load()), page_(object_.member("user_page").deref().load()) {}

  const Object& object() const { return object_; }
  Reading<uint64_t> address() const { return object_.address(); }
  /// An integer member of struct perf_buffer, whatever wraps it: atomic_t, refcount_t, local_t.
  Reading<int64_t> number(const char* member) const;
  /// A member of struct perf_event_mmap_page: data_head, data_tail, aux_head, aux_tail, ...
  Reading<uint64_t> shared(const char* member) const { return page_.member(member).u64(); }
  bool has(const char* member) const { return object_.has_member(member); }

  std::vector<uint64_t> events;  ///< those that write to it
  struct Waiting {
    uint64_t event = 0;  ///< on whose waitq
    QueueWaiter waiter;
  };
  std::vector<Waiting> waiters;

 private:
  Object object_;
  Object page_;
};

struct BufferList {
  std::vector<RingBuffer> buffers;
  std::vector<Unread> incomplete;
};

/// The buffers of all events, each once, with everybody who waits for one of its events.
BufferList find_buffers(PmuState& pmu, const EventList& events);

/// Members of struct perf_buffer that a person looks at, in the order of the struct's meaning: data ring
/// first, then AUX. Not every kernel has all.
std::vector<const char*> ring_buffer_members();
/// Likewise of the page shared with user space.
std::vector<const char*> shared_page_members();

}  // namespace perfcore
