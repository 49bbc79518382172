# SPDX-License-Identifier: LGPL-2.1-or-later
"""An NMI between the steps of perf_ibs_start(), before the hardware is enabled."""

import re

from .. import LabError, truth
from . import IBS_RACE, Outcome, _ibs, nothing_wrong, rule

SUMMARY = "an NMI inside perf_ibs_start(), IBS handled too early, NMI oops"
HOOKS = _ibs.HOOKS
# lock orb $IBS_STARTED,8(%reg); lock andb $~IBS_STOPPING,8(%reg)
STARTED = re.compile(rb"\xf0\x41?\x80[\x48-\x4f]\x08\x02\xf0\x41?\x80[\x60-\x67]\x08\xfb")
MSR_IBS_OP_CTL = 0xC0011033
STALE = 1 << 18 | 0xFFFF  # IBS_OP_VAL and a count: what the hardware may still show
STOPS = 4000


def suits(kernel):
    return None if kernel.code["ibs_race"] else "its perf_ibs_start() disables the hardware first (1b044ff3c17e)"


def run(guest):
    stub = guest.stub
    _ibs.workload(guest)
    since = len(guest.output)
    guest.halt()
    start = guest.address("perf_ibs_start")
    match = STARTED.search(stub.read(start, 0x200))
    if not match:
        raise LabError("perf_ibs_start() sets its state in a way that is not known")
    guest.resume()
    guest.type("pmu cpu:1 ev:pmu=ibs_op,cpu=1,period=65536,mmap loop &\n")
    window = start + match.end()
    guest.stub.halt()
    cpu = guest.run_to(window, 30)
    guest.halt()
    before = truth.ibs(guest)
    event = int(before["perf_ibs_op"][cpu]["event"], 16)
    read_msr, overflow = guest.address("native_read_msr"), guest.address("perf_event_overflow")
    for address in (read_msr, overflow):
        stub.add_breakpoint(address)
    guest.nmi()
    for _ in range(STOPS):
        stub.resume()
        at = stub.wait(20)
        if at is None:
            guest.halt()
            raise LabError("the NMI did not come to perf_event_overflow()")
        stub.select(at)
        registers = stub.registers()
        rip = registers["rip"]
        if at == cpu and rip == read_msr and registers["rdi"] & 0xFFFFFFFF == MSR_IBS_OP_CTL:
            stub.set_register("rax", STALE)
            stub.set_register("rip", stub.u64(registers["rsp"]))
            stub.set_register("rsp", registers["rsp"] + 8)
        elif at == cpu and rip == overflow and registers["rdi"] == event:
            break
        else:
            stub.remove_breakpoint(rip)
            stub.step(at)
            stub.add_breakpoint(rip)
    else:
        raise LabError(f"perf_event_overflow() was not reached in {STOPS} stops")
    for address in (read_msr, overflow):
        stub.remove_breakpoint(address)
    in_nmi = truth.ibs(guest)
    stub.select(cpu)
    stub.set_register("rdi", 0)
    guest.resume()
    guest.wait_for_panic(since)
    guest.halt()
    return Outcome(
        f"CPU {cpu} was stopped in perf_ibs_start() after it set IBS_STARTED and before it enabled the hardware; an NMI was "
        "injected there. Steered: that instant, one read of IBS_OP_CTL (IBS_OP_VAL, stale, as hardware may show it), and "
        "perf_event_overflow() entered with a NULL event, so that it oopses.",
        {"class": "null-deref"}, [rule(IBS_RACE, "proven", "crashed", None, [cpu]), *nothing_wrong(guest.kernel)],
        {"race_event": hex(event), "ibs_before_nmi": before, "ibs_in_nmi": in_nmi, "ibs": truth.ibs(guest)})
