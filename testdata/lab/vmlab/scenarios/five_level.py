# SPDX-License-Identifier: LGPL-2.1-or-later
"""The healthy scenario with 5-level page tables."""

from . import SYSRQ, WORKLOAD, Outcome, nothing_wrong, workload

SUMMARY = "5-level paging (la57), events on every CPU, panic by sysrq-c"
GUEST = {"cpu": "EPYC,+la57"}


def run(guest):
    workload(guest)
    guest.settle(1.5)
    guest.sysrq_crash()
    guest.halt()
    enabled = guest.stub.u32(guest.address("__pgtable_l5_enabled"))
    return Outcome(f"__pgtable_l5_enabled={enabled}. {WORKLOAD}Panic by sysrq-c.", SYSRQ, nothing_wrong(guest.kernel),
                   {"pgtable_l5_enabled": enabled})
