# SPDX-License-Identifier: LGPL-2.1-or-later
"""The helpers of drgn.helpers.linux that questions about perf need, under the same names."""

from .cpumask import for_each_cpu, for_each_online_cpu, for_each_possible_cpu, for_each_present_cpu
from .list import list_empty, list_for_each, list_for_each_entry
from .percpu import per_cpu, per_cpu_ptr
from .pid import find_task, for_each_task

__all__ = (
    "find_task",
    "for_each_cpu",
    "for_each_online_cpu",
    "for_each_possible_cpu",
    "for_each_present_cpu",
    "for_each_task",
    "list_empty",
    "list_for_each",
    "list_for_each_entry",
    "per_cpu",
    "per_cpu_ptr",
)
