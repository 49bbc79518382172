# SPDX-License-Identifier: LGPL-2.1-or-later
"""Run by drgn: PMU state of every CPU, the kernel log, the stack of the crashing CPU. What a script for drgn would read
before it could begin to diagnose."""

from drgn.helpers.linux.cpumask import for_each_present_cpu
from drgn.helpers.linux.percpu import per_cpu
from drgn.helpers.linux.printk import get_dmesg

for cpu in for_each_present_cpu(prog):  # noqa: F821  prog is drgn's
    cpuc = per_cpu(prog["cpu_hw_events"], cpu)  # noqa: F821
    print(cpu, hex(cpuc.active_mask[0]), int(cpuc.enabled), int(cpuc.n_events))
    for i in range(64):
        event = cpuc.events[i]
        if event:
            print("  events", i, hex(event))
    for i in range(int(cpuc.n_events)):
        event = cpuc.event_list[i]
        print("  event", hex(event), int(event.hw.idx), int(event.hw.state), hex(event.hw.interrupts), int(event.state),
              hex(event.attr.config))
print(len(get_dmesg(prog)))  # noqa: F821
try:
    print(prog.stack_trace(prog.crashed_thread().tid.value_()))  # noqa: F821
except (AttributeError, LookupError, ValueError) as error:
    print("no stack:", error)
