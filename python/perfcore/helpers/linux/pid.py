# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tasks."""

from __future__ import annotations

from ..._perfcore import NULL, Kernel, Object, _task_walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, SupportsIndex

__all__ = ("find_task", "for_each_task")


def for_each_task(prog: Kernel) -> Iterator[Object]:
    """Every task but the idle tasks, as ``struct task_struct *``.

    Where a list cannot be read to its end FaultError is raised after the tasks that can be reached.
    """
    entries, incomplete = _task_walk(prog)
    # The first is init_task, which has no PID of its own.
    yield from entries[1:]
    if incomplete is not None:
        incomplete()


def find_task(prog: Kernel, pid: SupportsIndex) -> Object:
    """The task with a PID as ``struct task_struct *``; NULL when there is none.

    Raises FaultError when it was not found and not all tasks could be read.
    """
    wanted = pid.__index__()
    for task in for_each_task(prog):
        if task.pid == wanted:
            return task
    return NULL(prog, "struct task_struct *")
