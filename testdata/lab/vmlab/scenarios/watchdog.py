# SPDX-License-Identifier: LGPL-2.1-or-later
"""The hard-lockup detector's own events among those of users."""

from . import SYSRQ, WORKLOAD, Outcome, nothing_wrong, workload

SUMMARY = "the NMI watchdog's pinned cycles event on every CPU, panic by sysrq-c"
GUEST = {"watchdog": True}


def run(guest):
    enabled = guest.run("cat /proc/sys/kernel/nmi_watchdog").strip()
    workload(guest)
    guest.settle(1.5)
    guest.sysrq_crash()
    return Outcome(f"nmi_watchdog={enabled}. {WORKLOAD}Panic by sysrq-c.", SYSRQ, nothing_wrong(guest.kernel),
                   {"nmi_watchdog": enabled == "1"})
