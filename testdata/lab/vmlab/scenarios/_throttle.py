# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pausing a guest at random moments until CPU 1 has a throttled event."""

import time

from .. import LabError, truth
from . import CORRUPTION, LIVE, NULL_EVENTS, Outcome, nothing_wrong, rule

STOPPED, ARCH = 1, 4  # PERF_HES_*
PATIENCE = 120  # seconds
WAY_TO_THE_MOVE = ("perf_install_in_context", "smp_call_function_single", "remote_function", "__perf_install_in_context")


def _hits(guest, wanted):
    """CPU 1's events that are throttled, in this hw.state, their counters off."""
    state = truth.pmu_of_cpu(guest, 1)
    active = int(state["active_mask"], 16)
    # Between two steps of the kernel's own change a state is nobody's: CPU 1 must stand still.
    if not state["enabled"] or state["n_added"]:
        return []
    return [e for e in state["event_list"] if e.get("throttled") and e["hw_state"] & wanted and e["hw_idx"] >= 0
            and not active >> e["hw_idx"] & 1]


def _pauses(guest):
    """Stops the guest again and again: at random moments."""
    while True:
        for _ in range(4):
            guest.nmi()
        guest.halt()
        yield
        guest.resume()


def _pauses_around_a_move(guest):
    """Stops the guest when `pmu shift` on CPU 1 has moved an event that was throttled just before: injects an NMI at each
    function on the way to the move, with B alone on the CPU, and goes on to the getppid() that follows. While the guest is
    stopped its clock stands still, and in between only CPU 1 runs, so that hardly a tick comes between."""
    first, *others = (guest.address(function) for function in WAY_TO_THE_MOVE)
    moved = guest.address("__x64_sys_getppid")
    guest.stub.halt()
    while True:
        cpu = guest.run_to(first, 30)
        listed = truth.pmu_of_cpu(guest, 1)["event_list"] if cpu == 1 else []
        alone = len(listed) == 1 and listed[0].get("attr_period_or_freq", 0) > 0
        if not alone:
            guest.stub.step(cpu)
            continue
        try:
            for address in (*others, moved):
                guest.nmi()
                guest.stub.step(cpu)
                guest.run_to(address, 2, only=(1,))
        except LabError:  # it waits for another CPU
            continue
        guest.halt()
        yield


def run_until_throttled(guest, moved):
    """Stops the guest when CPU 1 shows the state; (the event, how many pauses it took)."""
    guest.run("echo 250 >/proc/sys/kernel/perf_event_max_sample_rate")
    guest.start("pmu cpu:2 ev:cycles ev:br,leader ev:brmiss,group loop")
    guest.start("pmu cpu:3 ev:cref,cpu=3 ev:cmiss,cpu=3,pinned,period=5000 loop")
    guest.start("pmu cpu:1 shift:1" if moved else "pmu cpu:1 ev:cycles,cpu=1,period=100003 ev:br,cpu=1,period=5003 loop")
    guest.settle(0.5)
    end = time.monotonic() + PATIENCE
    stops = _pauses_around_a_move(guest) if moved else _pauses(guest)
    for pauses, _ in enumerate(stops, 1):
        hits = _hits(guest, ARCH if moved else STOPPED)
        if hits:
            return hits[0]["ptr"], pauses
        if "Kernel panic" in guest.output:
            raise LabError("the guest panicked before the state was seen: try again")
        if time.monotonic() > end:
            raise LabError(f"CPU 1 had no such event in {pauses} pauses: try again")
    raise AssertionError("the pauses never end")


def expectation(kernel, moved):
    if not kernel.code["null_events"]:
        return nothing_wrong(kernel)
    return [rule(NULL_EVENTS, "proven", "armed", cpus=[1]) if moved else rule(NULL_EVENTS, "latent", "primed"),
            rule(CORRUPTION, "not-applicable", "none")]


HOW = ("kernel.perf_event_max_sample_rate=250; NMIs, and pauses until CPU 1 showed the state ({} of them). ")


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
