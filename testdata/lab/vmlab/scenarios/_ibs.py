# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the IBS scenarios share."""

from .. import pmu

HOOKS = (pmu.core_pmu, pmu.ibs)
RACE_CPU = 1


def workload(guest):
    guest.start("pmu cpu:0 ev:cycles,cpu=0 ev:instr,cpu=0,period=100003,mmap fork cpu:0 pause")
    guest.start("pmu cpu:1 ev:pmu=ibs_fetch,cpu=1,period=65536,mmap ev:cycles,cpu=1 loop")
    guest.start("pmu cpu:2 ev:pmu=ibs_op,cpu=2,period=262144,mmap ev:pmu=ibs_fetch,cpu=2,period=65536 loop")
    guest.settle(0.7)
