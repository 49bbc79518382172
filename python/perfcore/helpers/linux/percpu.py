# SPDX-License-Identifier: LGPL-2.1-or-later
"""Per-CPU variables (include/linux/percpu.h)."""

from ..._perfcore import per_cpu, per_cpu_ptr

__all__ = ("per_cpu", "per_cpu_ptr")
