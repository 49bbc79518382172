# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pausing a guest at random moments until CPU 1 has a throttled event."""

import time

from .. import LabError, truth
from . import CORRUPTION, LIVE, NULL_EVENTS, Outcome, nothing_wrong, rule

STOPPED, ARCH = 1, 4  # PERF_HES_*
PATIENCE = 120  # seconds


def _hits(guest, wanted):
    """CPU 1's events that are throttled, in this hw.state, their counters off."""
    state = truth.pmu_of_cpu(guest, 1)
    active = int(state["active_mask"], 16)
    # Between two steps of the kernel's own change a state is nobody's: CPU 1 must stand still.
    if not state["enabled"] or state["n_added"]:
        return []
    return [e for e in state["event_list"] if e.get("throttled") and e["hw_state"] & wanted and e["hw_idx"] >= 0
            and not active >> e["hw_idx"] & 1]


def run_until_throttled(guest, moved):
    """Stops the guest when CPU 1 shows the state; (the event, how many pauses it took)."""
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
        hits = _hits(guest, wanted)
        if hits:
            return hits[0]["ptr"], pauses
        if "Kernel panic" in guest.output:
            raise LabError("the guest panicked before the state was seen: try again")
        guest.resume()
    raise LabError(f"CPU 1 had no such event in {pauses} pauses: try again")


def expectation(kernel, moved):
    if not kernel.code["null_events"]:
        return nothing_wrong(kernel)
    return [rule(NULL_EVENTS, "proven", "armed", cpus=[1]) if moved else rule(NULL_EVENTS, "latent", "primed"),
            rule(CORRUPTION, "not-applicable", "none")]


HOW = ("kernel.perf_event_max_sample_rate=250; NMIs, and a pause at random moments until CPU 1 showed the state "
       "({} pauses). ")


def dump_when_throttled(guest, moved):
    event, pauses = run_until_throttled(guest, moved)
    return Outcome(HOW.format(pauses) + "Dumped alive.", LIVE, expectation(guest.kernel, moved), {"event": event})


def panic_when_moved(guest):
    """An unknown NMI on CPU 0 kills the guest; the other CPUs are held until it has stopped them, so that no tick
    unthrottles the event."""
    event, pauses = run_until_throttled(guest, moved=True)
    guest.stub.write(guest.address("unknown_nmi_panic"), b"\1\0\0\0")
    since = len(guest.output)
    guest.nmi()
    guest.stub.resume(0)
    guest.expect("Kernel panic - not syncing", 30, since)
    guest.settle(0.4)
    guest.stub.halt()
    guest.resume()
    guest.wait_for_panic(since)
    guest.halt()
    if not _hits(guest, ARCH):
        raise LabError("the event was unthrottled before the panic: try again")
    return Outcome(HOW.format(pauses) + "Then kernel.unknown_nmi_panic=1, written by the debugger, and an NMI that nobody "
                   "claims on CPU 0; the other CPUs were held until its panic() had stopped them.",
                   {"class": "unknown-nmi"}, expectation(guest.kernel, True), {"event": event})
