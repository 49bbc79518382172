// SPDX-License-Identifier: LGPL-2.1-or-later
//
// C-36: ring buffers (kernel/events/ring_buffer.c, struct perf_buffer of kernel/events/internal.h).
#include <fmt/format.h>

#include "diagnosis/invariant_context.h"

namespace perfcore::invariant {
namespace {

constexpr size_t kMaxEvents = 100000;
constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kMaxPages = uint64_t{1} << 36;

class BufferChecks {
 public:
  explicit BufferChecks(State& state) : s_(state) {}

  void run() {
    for (const EventRef& reference : s_.events()) {
      const Reading<uint64_t> rb = reference.event->object().member("rb").u64();
      if (!rb.has_value())
        unread_.push_back(rb.unread());
      else if (*rb != 0)
        users_[*rb].push_back(reference.event);
    }
    s_.run("C-36", std::nullopt, kOutput | kMap | kNmi, [&](Check& check) {
      for (const Unread& unread : s_.events_incomplete(std::nullopt)) check.unread(unread);
      for (const Unread& unread : unread_) check.unread(unread);
      if (users_.empty()) check.not_applicable("no event has a ring buffer");
      check.saw(fmt::format("{} ring buffer(s)", users_.size()));
      for (const auto& [address, events] : users_) buffer(check, address, events);
    });
  }

 private:
  void buffer(Check& check, uint64_t address, const std::vector<const PerfEvent*>& users) {
    const Object pointer = users.front()->object().member("rb");
    if (!s_.is_object_pointer(address)) {
      check.broken(pointer, "rb is no pointer to an object", 0);
      return;
    }
    const Object rb = s_.kernel().object("struct perf_buffer", address).load();
    const Object references = count_in(rb.member("refcount"));
    const auto count = check.take(references.s64());
    if (count && *count < 1) check.broken(references, "the buffer is in use and has no reference", kMap);
    const Object writers = count_in(rb.member("nest"));
    const auto writing = check.take(writers.s64());
    if (writing && *writing != 0)
      check.broken(writers, "a writer is inside and no CPU is in one", kOutput | kNmi, true);
    positions(check, rb);
    aux(check, rb);
    mappings(check, rb, users);
    attached(check, rb, address);
  }

  void positions(Check& check, const Object& rb) {
    const Object page_pointer = rb.member("user_page");
    const auto page = check.take(page_pointer.u64());
    if (!page) return;
    if (!s_.is_object_pointer(*page) || *page % kPageSize != 0) {
      check.broken(page_pointer, "user_page is no page", 0);
      return;
    }
    const auto overwrite = check.take(rb.member("overwrite").truth());
    const auto pages = check.take(rb.member("nr_pages").u64());
    const auto head = check.take(count_in(rb.member("head")).u64());
    if (!overwrite || !pages || !head || *overwrite || *pages == 0) return;
    if (*pages > kMaxPages) {
      check.broken(rb.member("nr_pages"), "a buffer cannot have so many pages", 0);
      return;
    }
    const Object tail = s_.kernel().object("struct perf_event_mmap_page", *page).member("data_tail");
    const auto read = check.take(tail.u64());
    if (read && *head - *read > *pages * kPageSize)
      check.broken(
          tail,
          fmt::format("{:#x} bytes were written since, the buffer has {:#x}: overrun, or its reader (who "
                      "writes data_tail) set it wrongly",
                      *head - *read, *pages * kPageSize),
          kOutput | kNmi, true);
  }

  void aux(Check& check, const Object& rb) {
    const Object nest = count_in(rb.member("aux_nest"));
    const auto inside = check.take(nest.s64());
    if (inside && *inside != 0 && *inside != 1) check.broken(nest, "aux_nest must be 0 or 1", 0);
    const auto pages = check.take(rb.member("aux_nr_pages").s64());
    const Object references = count_in(rb.member("aux_refcount"));
    const auto count = check.take(references.s64());
    if (pages && count && *pages > 0 && *count < 1)
      check.broken(references, fmt::format("{} AUX pages and no reference to them", *pages), kMap, true);
  }

  /// The buffer's count of mappings is the sum of those of the events that were mapped.
  void mappings(Check& check, const Object& rb, const std::vector<const PerfEvent*>& users) {
    if (!s_.events_incomplete(std::nullopt).empty()) return;
    const Object total_object = count_in(rb.member("mmap_count"));
    const auto total = check.take(total_object.s64());
    int64_t sum = 0;
    for (const PerfEvent* event : users) {
      const auto count = check.take(count_in(event->object().member("mmap_count")).s64());
      if (!count) return;
      sum += *count;
    }
    if (total && *total != sum)
      check.broken(total_object, fmt::format("the buffer's events were mapped {} time(s)", sum), kMap, true);
  }

  void attached(Check& check, const Object& rb, uint64_t address) {
    const ListWalk walk = list_entries(rb.member("event_list"), "struct perf_event", "rb_entry", kMaxEvents);
    if (walk.incomplete) {
      if (walk.incomplete->reason == UnreadReason::kLimit ||
          walk.incomplete->reason == UnreadReason::kNullPointer ||
          walk.incomplete->reason == UnreadReason::kNotMapped)
        check.broken(rb.member("event_list").member("next"),
                     "event_list of the buffer does not come back to its head: " + walk.incomplete->message(),
                     kMap, true);
      else
        check.unread(*walk.incomplete);
      return;
    }
    for (const Object& entry : walk.entries) {
      std::string why;
      const auto live = check.take(s_.looks_live(*entry.address(), &why));
      if (!live) continue;
      if (!*live) {
        check.broken(
            rb.member("event_list"),
            fmt::format("{:#x} on the buffer's event_list is no live event: {}", *entry.address(), why), kMap,
            true);
        continue;
      }
      const Object own = s_.pmu().event(*entry.address()).object().member("rb");
      const auto theirs = check.take(own.u64());
      if (theirs && *theirs != address)
        check.broken(own, fmt::format("this event is on the event_list of buffer {:#x}", address), kMap,
                     true);
    }
  }

  State& s_;
  std::map<uint64_t, std::vector<const PerfEvent*>> users_;
  std::vector<Unread> unread_;
};

}  // namespace

void check_ring_buffers(State& state) {
  BufferChecks(state).run();
}

}  // namespace perfcore::invariant
