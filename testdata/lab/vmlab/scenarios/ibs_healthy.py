# SPDX-License-Identifier: LGPL-2.1-or-later
"""IBS events that count and are stopped and started as they should be."""

from .. import truth
from . import IBS_RACE, SYSRQ, Outcome, _ibs, nothing_wrong, rule

SUMMARY = "IBS fetch and op events, panic by sysrq-c"
HOOKS = _ibs.HOOKS


def run(guest):
    _ibs.workload(guest)
    for _ in range(20):
        guest.nmi()
        guest.settle(0.01)
    guest.sysrq_crash()
    guest.halt()
    race = rule(IBS_RACE, "latent", "latent") if guest.kernel.code["ibs_race"] else rule(IBS_RACE, "not-applicable", "none")
    return Outcome("IBS PMUs registered on a CPU without IBS; events on CPUs 1 and 2. Panic by sysrq-c.", SYSRQ,
                   [*nothing_wrong(guest.kernel), race], {"ibs": truth.ibs(guest)})
