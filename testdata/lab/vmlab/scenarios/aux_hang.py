# SPDX-License-Identifier: LGPL-2.1-or-later
"""A tracer that sleeps in poll() for ever: it enabled its event again while that was still active (which does nothing),
and then the pending disable was honoured."""

from .. import Skip
from . import AUX_HANG, LIVE, Outcome, _aux, nothing_wrong, rule

SUMMARY = "a tracer asleep in poll() for ever over an AUX event that is off, the guest alive"
suits, archive = _aux.suits, _aux.archive
QUIET = 3  # seconds without a round: it hangs
PATIENCE = 30


def run(guest):
    # The area is full at once and the tracer slow: TRUNCATED, pending_disable; the traced task then goes to sleep.
    since = _aux.trace(guest, aux_pages=8, busy=400, asleep=5, drain=40)
    for _ in range(PATIENCE // QUIET):
        rounds = guest.output[since:].count(_aux.ROUND)
        guest.settle(QUIET)
        if guest.output[since:].count(_aux.ROUND) == rounds:
            break
    else:
        raise Skip(f"{guest.kernel.release}: the tracer still went round after {PATIENCE} s; in this kernel's code the moment is "
                   "too short for chance")
    return Outcome(f"auxtrace with an AUX area of 8 pages and a tracer that takes 40 ms; it hung after {rounds} rounds. "
                   "Pure timing. Dumped alive.", LIVE,
                   [rule(AUX_HANG, "likely", "fired"), *nothing_wrong(guest.kernel)], {"rounds": rounds})
