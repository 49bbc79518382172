# SPDX-License-Identifier: LGPL-2.1-or-later
"""The memory state of null-events on a kernel that cannot produce it: zeroes written from outside."""

from .. import truth
from . import CORRUPTION, NULL_EVENTS, Outcome, rule, workload

SUMMARY = "a NULL written into events[] from outside, NMI oops: looks like null-events and is not"


def suits(kernel):
    return "its code has the defect of null-events, so that nobody could tell the two apart" if kernel.code["null_events"] else None


def run(guest):
    workload(guest)
    guest.settle(1)
    guest.halt()
    state = truth.pmu_of_cpu(guest, 2)
    index = min(int(n) for n in state["events"] if int(state["active_mask"], 16) >> int(n) & 1)
    slot = int(state["cpu_hw_events"], 16) + guest.kernel.btf.offset("cpu_hw_events", "events") + 8 * index
    old = guest.stub.u64(slot)
    guest.stub.write(slot, bytes(8))
    since = len(guest.output)
    guest.resume()
    guest.nmi()
    guest.wait_for_panic(since)
    return Outcome(f"The debugger wrote 8 zero bytes over events[{index}] of CPU 2 ({hex(slot)}, was {hex(old)}); then one NMI.",
                   {"class": "null-deref"},
                   [rule(NULL_EVENTS, "contradicted", "none"), rule(CORRUPTION, "likely", "crashed", True, [2])],
                   {"corrupted": {"cpu": 2, "idx": index, "address": hex(slot), "old": hex(old)}})
