// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/waiters.h"

#include <fmt/format.h>

#include <algorithm>

namespace perfcore {
namespace {

constexpr size_t kMaxWaiters = 1000;

struct WakeFunction {
  std::string_view name;
  std::string_view how;
};
/// Functions whose entry points to the task itself.
constexpr WakeFunction kSleepers[] = {
    {"autoremove_wake_function", "sleep"}, {"default_wake_function", "sleep"},
    {"woken_wake_function", "sleep"},      {"ep_autoremove_wake_function", "epoll"},
    {"ep_wake_function", "epoll"},
};

class Collector {
 public:
  explicit Collector(Kernel& kernel) : kernel_(kernel) {}

  WaiterList collect(const Object& queue) {
    const ListWalk walk = list_entries(queue.member("head"), "struct wait_queue_entry", "entry", kMaxWaiters);
    if (walk.incomplete) list_.unread.push_back(*walk.incomplete);
    for (const Object& entry : walk.entries) add(entry.load(), entry);
    return std::move(list_);
  }

 private:
  void add(const Object& loaded, const Object& entry) {
    const auto function = loaded.member("func").u64();
    const auto data = loaded.member("private").u64();
    const auto address = entry.address();
    if (!function.has_value() || !data.has_value() || !address.has_value()) {
      list_.unread.push_back(function.has_value() ? data.unread() : function.unread());
      return;
    }
    QueueWaiter waiter;
    waiter.entry = *address;
    const auto symbol = kernel_.symbols().at(*function);
    waiter.function = symbol && symbol->address == *function ? symbol->name : fmt::format("{:#x}", *function);
    if (waiter.function == "pollwake") {
      // The entry belongs to a struct poll_wqueues on the stack of the task in poll() or select().
      waiter.how = "poll or select";
      const auto task = kernel_.object("struct poll_wqueues", *data).member("polling_task").u64();
      if (task.has_value())
        set_task(*task, &waiter);
      else
        list_.unread.push_back(task.unread());
    } else if (waiter.function == "ep_poll_callback") {
      add_epoll(entry, std::move(waiter));
      return;
    } else if (waiter.function.starts_with("io_poll_") || waiter.function == "io_async_wake") {
      waiter.how = "io_uring";
    } else {
      const auto* known = std::ranges::find(kSleepers, waiter.function, &WakeFunction::name);
      if (known != std::end(kSleepers)) {
        waiter.how = known->how;
        set_task(*data, &waiter);
      }
    }
    list_.waiters.push_back(std::move(waiter));
  }

  void add_epoll(const Object& entry, QueueWaiter waiter) {
    waiter.how = "epoll";
    const Object instance =
        entry.address_of().container_of("struct eppoll_entry", "wait").member("base").member("ep");
    if (const auto address = instance.u64(); address.has_value()) waiter.epoll = *address;
    const ListWalk sleepers =
        list_entries(instance.member("wq.head"), "struct wait_queue_entry", "entry", kMaxWaiters);
    if (sleepers.incomplete) list_.unread.push_back(*sleepers.incomplete);
    if (sleepers.entries.empty()) list_.waiters.push_back(waiter);
    for (const Object& sleeper : sleepers.entries) {
      QueueWaiter one = waiter;
      const auto task = sleeper.member("private").u64();
      if (task.has_value())
        set_task(*task, &one);
      else
        list_.unread.push_back(task.unread());
      list_.waiters.push_back(std::move(one));
    }
  }

  void set_task(uint64_t address, QueueWaiter* waiter) {
    waiter->task = address;
    const Object task = kernel_.object("struct task_struct", address);
    const auto comm = task.member("comm").string();
    const auto pid = task.member("pid").s64();
    if (comm.has_value()) waiter->comm = *comm;
    if (pid.has_value()) waiter->pid = *pid;
    // A name that was not read leaves the list complete.
    if (!pid.has_value()) list_.unread.push_back(pid.unread());
  }

  Kernel& kernel_;
  WaiterList list_;
};

}  // namespace

WaiterList waiters_of(const Object& queue) {
  return Collector(queue.kernel()).collect(queue);
}

}  // namespace perfcore
