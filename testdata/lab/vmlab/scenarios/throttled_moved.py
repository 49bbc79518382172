# SPDX-License-Identifier: LGPL-2.1-or-later
"""An event that was moved to another counter while it was throttled (hw.state 7)."""

from ._throttle import dump_when_throttled

SUMMARY = "an event moved while throttled (hw.state 7), the guest alive; armed on kernels with CVE-2026-23435"


def run(guest):
    return dump_when_throttled(guest, moved=True)
