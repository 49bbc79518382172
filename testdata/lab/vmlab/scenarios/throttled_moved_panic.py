# SPDX-License-Identifier: LGPL-2.1-or-later
"""An event that was moved while it was throttled, in a kernel that died of something else."""

from ._throttle import panic_when_moved

SUMMARY = "as throttled-moved, and a panic by an unknown NMI"
DEFAULT_KERNEL = "vulnerable"


def run(guest):
    return panic_when_moved(guest)
