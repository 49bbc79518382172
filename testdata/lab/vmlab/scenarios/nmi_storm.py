# SPDX-License-Identifier: LGPL-2.1-or-later
"""Three seconds of NMIs, one after the other: every sampling event overflows and is throttled again and again."""

from .. import pmu
from . import SYSRQ, WORKLOAD, Outcome, nothing_wrong, workload

SUMMARY = "thousands of NMIs over events of every kind, panic by sysrq-c"


def suits(kernel):
    return "its code may crash in the storm; that is null-events" if kernel.code["null_events"] else None


def run(guest):
    workload(guest)
    guest.settle(0.5)
    count = pmu.storm(guest, 3)
    guest.settle(0.5)
    guest.sysrq_crash()
    return Outcome(f"{WORKLOAD}{count} NMIs in 3 s, then panic by sysrq-c.", SYSRQ, nothing_wrong(guest.kernel))
