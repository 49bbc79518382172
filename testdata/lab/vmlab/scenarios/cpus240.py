# SPDX-License-Identifier: LGPL-2.1-or-later
"""240 possible and present CPUs, of which two were brought up."""

from . import SYSRQ, Outcome, nothing_wrong

SUMMARY = "240 possible CPUs, 2 online, panic by sysrq-c"
GUEST = {"cpus": 240, "memory": 1024, "threads": "single", "command_line": "maxcpus=2"}


def run(guest):
    guest.start("pmu cpu:0 ev:cycles,cpu=0 ev:instr,cpu=0,period=100003,mmap fork cpu:0 pause")
    guest.start("pmu cpu:1 ev:cycles,leader ev:instr,group ev:cmiss,group ev:br,freq=100 loop")
    possible = guest.run("cat /sys/devices/system/cpu/possible").strip()
    guest.settle(1)
    guest.sysrq_crash()
    return Outcome(f"Possible CPUs {possible}; events on CPUs 0 and 1, the others never came up. Panic by sysrq-c.", SYSRQ,
                   nothing_wrong(guest.kernel), {"possible_cpus": possible})
