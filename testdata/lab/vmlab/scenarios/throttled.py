# SPDX-License-Identifier: LGPL-2.1-or-later
"""A sampling event that the kernel has throttled, at the moment of the dump."""

from ._throttle import dump_when_throttled

SUMMARY = "a throttled sampling event, the guest alive"


def run(guest):
    return dump_when_throttled(guest, moved=False)
