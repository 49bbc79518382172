// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/ring_buffers.h"

#include <map>

namespace perfcore {

Reading<int64_t> RingBuffer::number(const char* member) const {
  Object value = object_.member(member);
  // refcount_t { atomic_t refs }, atomic_t { int counter }, local_t { atomic_long_t a }.
  for (const char* inner : {"refs", "a", "counter"})
    if (value.has_member(inner)) value = value.member(inner);
  return value.s64();
}

BufferList find_buffers(PmuState& pmu, const EventList& events) {
  BufferList list;
  std::map<uint64_t, size_t> known;
  for (const EventOrigin& origin : events.events) {
    const PerfEvent& event = pmu.event(origin.address);
    const auto pointer = event.object().member("rb").u64();
    if (!pointer.has_value()) {
      list.incomplete.push_back(pointer.unread());
      continue;
    }
    if (*pointer == 0) continue;
    const auto [found, is_new] = known.try_emplace(*pointer, list.buffers.size());
    if (is_new) list.buffers.emplace_back(event.object().member("rb").deref());
    RingBuffer& buffer = list.buffers[found->second];
    buffer.events.push_back(origin.address);
    const Object queue = pmu.kernel().object("struct perf_event", origin.address).member("waitq");
    WaiterList waiting = waiters_of(queue);
    for (QueueWaiter& waiter : waiting.waiters) buffer.waiters.push_back({origin.address, std::move(waiter)});
    for (Unread& unread : waiting.unread) list.incomplete.push_back(std::move(unread));
  }
  return list;
}

std::vector<const char*> ring_buffer_members() {
  return {"refcount",
          "nr_pages",
          "overwrite",
          "paused",
          "poll",
          "head",
          "nest",
          "events",
          "wakeup",
          "lost",
          "watermark",
          "mmap_count",
          "mmap_locked",
          "aux_nr_pages",
          "aux_head",
          "aux_nest",
          "aux_wakeup",
          "aux_watermark",
          "aux_overwrite",
          "aux_refcount",
          "aux_mmap_count",
          "aux_mmap_locked",
          "aux_in_sampling",
          "aux_pgoff"};
}

std::vector<const char*> shared_page_members() {
  return {"data_head", "data_tail", "data_offset", "data_size",
          "aux_head",  "aux_tail",  "aux_offset",  "aux_size"};
}

}  // namespace perfcore
