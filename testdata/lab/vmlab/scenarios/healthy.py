# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counting and sampling that works, and a panic that has nothing to do with it."""

from . import SYSRQ, WORKLOAD, Outcome, nothing_wrong, workload

SUMMARY = "counting and sampling events on every CPU, panic by sysrq-c"


def run(guest):
    workload(guest)
    guest.settle(1.5)
    guest.sysrq_crash()
    return Outcome(WORKLOAD + "Panic by sysrq-c.", SYSRQ, nothing_wrong(guest.kernel))
