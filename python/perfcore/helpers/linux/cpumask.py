# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPU masks (include/linux/cpumask.h)."""

from __future__ import annotations

from ..._perfcore import Kernel, Object, online_cpus, possible_cpus, present_cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

__all__ = ("for_each_cpu", "for_each_online_cpu", "for_each_possible_cpu", "for_each_present_cpu")


def for_each_cpu(mask: Object) -> Iterator[int]:
    """The CPUs in a ``struct cpumask``, ascending."""
    for i, word in enumerate(mask.bits.value_()):
        for bit in range(64):
            if word >> bit & 1:
                yield i * 64 + bit


def for_each_possible_cpu(prog: Kernel) -> Iterator[int]:
    """CPUs for which the kernel has per-CPU memory, ascending. Raises FaultError when the mask cannot be read."""
    return iter(possible_cpus(prog))


def for_each_present_cpu(prog: Kernel) -> Iterator[int]:
    """CPUs that are plugged in, ascending. Raises FaultError when the mask cannot be read."""
    return iter(present_cpus(prog))


def for_each_online_cpu(prog: Kernel) -> Iterator[int]:
    """CPUs that ran, ascending; a dying kernel takes the others off before it is dumped."""
    return iter(online_cpus(prog))
