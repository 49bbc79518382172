# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the AUX scenarios share: a PMU with an AUX area, which is a module of the lab's own."""

from .. import initramfs, module

ROUND = "auxtrace: round"


def suits(kernel):
    if f"linux-headers-{kernel.release}" not in kernel.packages.available:
        return "no headers are offered to build the labaux module with"
    return None


def archive(kernel):
    return initramfs.plain(kernel.packages, [*kernel.modules, module.build(kernel, "labaux")])


def trace(guest, *, aux_pages, busy, asleep, drain):
    """Starts a tracer on the serial line; where its output begins."""
    since = len(guest.output)
    guest.type(f"auxtrace 2 {aux_pages} {busy} {asleep} {drain} &\n")
    guest.expect(ROUND, 60, since)
    return since
