# SPDX-License-Identifier: LGPL-2.1-or-later
"""More groups than fit on the counters, rotated by the tick."""

from . import SYSRQ, Outcome, nothing_wrong

SUMMARY = "groups that take turns on the counters, panic by sysrq-c"


def run(guest):
    for cpu in range(guest.cpus):
        guest.start(f"pmu cpu:{cpu} ev:cycles,leader ev:instr,group ev:cmiss,group ev:br,leader ev:brmiss,group "
                    f"ev:cref,leader,freq=50 ev:cycles,group ev:instr,cpu={cpu},pinned "
                    f"ev:cycles,leader,cpu={cpu} ev:cref,group,cpu={cpu} loop")
    guest.settle(3)
    guest.sysrq_crash()
    return Outcome("On each CPU five groups and a pinned event, ten events for four counters, rotating for 3 s. "
                   "Panic by sysrq-c.", SYSRQ, nothing_wrong(guest.kernel))
