// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/tasks.h"

namespace perfcore {
namespace {

constexpr size_t kMaxTasks = 1000000;

}  // namespace

std::optional<Unread> for_each_task(Kernel& kernel, const std::function<void(const Object&)>& visit) {
  const Object init = kernel.variable("init_task");
  if (const Unread* unread = init.unread()) return *unread;
  visit(init);
  ListWalk processes = list_entries(init.member("tasks"), "struct task_struct", "tasks", kMaxTasks);
  for (const Object& leader : processes.entries) {
    // thread_head holds every thread, the leader included (0c740d0afc3b "introduce for_each_thread()", 3.14).
    const ListWalk threads = list_entries(leader.member("signal").member("thread_head"), "struct task_struct",
                                          "thread_node", kMaxTasks);
    if (threads.entries.empty()) visit(leader);
    for (const Object& thread : threads.entries) visit(thread);
    if (threads.incomplete && !processes.incomplete) processes.incomplete = threads.incomplete;
  }
  return processes.incomplete;
}

}  // namespace perfcore
