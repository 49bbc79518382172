// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The tasks of the dead kernel.
#pragma once

#include <functional>
#include <optional>

#include "perfcore/kernel.h"
#include "perfcore/object.h"

namespace perfcore {

/// Calls `visit` with each struct task_struct (an lvalue): every process and every thread of it, the idle
/// tasks of CPUs other than 0 excepted (they are on no list). Follows for_each_process_thread() of
/// include/linux/sched/signal.h. At most one million tasks. \return why some were not visited; nullopt when
/// all were.
std::optional<Unread> for_each_task(Kernel& kernel, const std::function<void(const Object&)>& visit);

}  // namespace perfcore
