# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pausing a guest at random moments until CPU 1 has a throttled event."""

import time

from .. import LabError, truth
from . import CORRUPTION, LIVE, NULL_EVENTS, Outcome, nothing_wrong, rule

STOPPED, ARCH = 1, 4  # PERF_HES_*
PATIENCE = 120  # seconds


def dump_when_throttled(guest, moved):
    guest.run("echo 250 >/proc/sys/kernel/perf_event_max_sample_rate")
    guest.start("pmu cpu:2 ev:cycles ev:br,leader ev:brmiss,group loop")
    guest.start("pmu cpu:3 ev:cref,cpu=3 ev:cmiss,cpu=3,pinned,period=5000 loop")
    guest.start("pmu cpu:1 shift:1" if moved else "pmu cpu:1 ev:cycles,cpu=1,period=100003 ev:br,cpu=1,period=5003 loop")
    guest.settle(0.5)
    wanted = ARCH if moved else STOPPED
    end, pauses = time.monotonic() + PATIENCE, 0
    while time.monotonic() < end:
        for _ in range(4):
            guest.nmi()
        guest.halt()
        pauses += 1
        state = truth.pmu_of_cpu(guest, 1)
        active = int(state["active_mask"], 16)
        hits = [e for e in state["event_list"] if e.get("throttled") and e["hw_state"] & wanted and e["hw_idx"] >= 0
                and not active >> e["hw_idx"] & 1]
        # Between two steps of the kernel's own change a state is nobody's: CPU 1 must stand still.
        if hits and state["enabled"] and not state["n_added"]:
            break
        if "Kernel panic" in guest.output:
            raise LabError("the guest panicked before the state was seen: try again")
        guest.resume()
    else:
        raise LabError(f"CPU 1 had no such event in {pauses} pauses: try again")
    expect = nothing_wrong(guest.kernel)
    if guest.kernel.null_events_code:
        expect = [rule(NULL_EVENTS, "proven", "armed", cpus=[1]) if moved else rule(NULL_EVENTS, "latent", "primed"),
                  rule(CORRUPTION, "not-applicable", "none")]
    return Outcome(f"kernel.perf_event_max_sample_rate=250; NMIs, and a pause at random moments until CPU 1 showed the "
                   f"state ({pauses} pauses). Dumped alive.", LIVE, expect, {"event": hits[0]["ptr"]})
