# SPDX-License-Identifier: LGPL-2.1-or-later
"""A tracer that keeps up with its AUX area."""

from . import AUX_HANG, LIVE, Outcome, _aux, nothing_wrong, rule

SUMMARY = "a tracer that wakes and drains its AUX area, the guest alive"
suits, archive = _aux.suits, _aux.archive


def run(guest):
    _aux.trace(guest, aux_pages=64, busy=20, asleep=3, drain=0)
    guest.settle(2)
    return Outcome("auxtrace with an AUX area of 64 pages and a tracer that drains at once. Dumped alive.", LIVE,
                   [rule(AUX_HANG, "latent", "latent"), *nothing_wrong(guest.kernel)])
