# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a drgn user has: each CPU's active_mask and events[], and of each event hw.idx and hw.state."""

import sys

import drgn
from drgn import FaultError
from drgn.helpers.linux.cpumask import for_each_present_cpu
from drgn.helpers.linux.percpu import per_cpu

prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
prog.load_debug_info(sys.argv[2:])

print("driver", prog["x86_pmu"].name.string_().decode())
for cpu in for_each_present_cpu(prog):
    cpuc = per_cpu(prog["cpu_hw_events"], cpu)
    print(f"CPU {cpu}: active_mask {cpuc.active_mask[0].value_():#x}, n_events {int(cpuc.n_events)}", cpuc.assign)
    for i, slot in enumerate(cpuc.events):
        if slot:
            print(f"  events[{i}] {slot.value_():#x}")
    for i in range(cpuc.n_events):
        event = cpuc.event_list[i]
        print(f"  event_list[{i}] {event.value_():#x}: {event.hw.idx} {event.hw.state} {event.state} "
              f"{hex(event.attr.config)} {event.attr.pinned} {event.hw.idx + 1} {event.hw!r}")
        if event.group_leader != event:
            print("    of", hex(event.group_leader))
        try:
            print("   ", event.owner.comm if event.owner else "no owner")
        except FaultError:
            print("    owner not in the dump")
