# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine without a PMU."""

from . import CORRUPTION, LIVE, NULL_EVENTS, Outcome, rule

SUMMARY = "no PMU, the guest alive"
HOOKS = (lambda guest: None,)


def run(guest):
    guest.settle(0.5)
    return Outcome("Booted; the kernel found no PMU. Dumped alive.", LIVE,
                   [rule(NULL_EVENTS, "not-applicable", "none"), rule(CORRUPTION, "not-applicable", "none")])
