# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second opinion: what drgn reads from a dump, against the truth."""

import json
import shutil
import subprocess
import tempfile

from . import Skip

SCRIPT = r"""
import json
from drgn.helpers.linux.cpumask import for_each_possible_cpu
from drgn.helpers.linux.percpu import per_cpu

def event(pointer):
    hw, attr = pointer.hw, pointer.attr
    return {"ptr": hex(pointer), "hw_idx": int(hw.idx), "hw_last_cpu": int(hw.last_cpu), "hw_state": int(hw.state),
            "hw_interrupts": int(hw.interrupts), "state": int(pointer.state), "attr_type": int(attr.type),
            "attr_config": hex(attr.config), "attr_pinned": int(attr.pinned), "attr_freq": int(attr.freq),
            "oncpu": int(pointer.oncpu), "cpu": int(pointer.cpu), "group_leader": hex(pointer.group_leader)}

cpus = []
for cpu in for_each_possible_cpu(prog):
    state = per_cpu(prog["cpu_hw_events"], cpu)
    count = int(state.n_events)
    cpus.append({"cpu": cpu, "cpu_hw_events": hex(state.address_of_()), "enabled": int(state.enabled), "n_events": count,
                 "n_added": int(state.n_added), "n_txn": int(state.n_txn), "active_mask": hex(state.active_mask[0]),
                 "events": {str(i): hex(state.events[i]) for i in range(64) if state.events[i]},
                 "event_list": [{**event(state.event_list[i]), "assign": int(state.assign[i])} for i in range(count)]})
print("ANSWER" + json.dumps(cpus))
"""


def _differences(found, true, path):
    if isinstance(found, dict):
        return [line for key in found if key in true for line in _differences(found[key], true[key], f"{path}.{key}")]
    if isinstance(found, list):
        if len(found) != len(true):
            return [f"{path}: drgn finds {len(found)}, the truth {len(true)}"]
        return [line for i, item in enumerate(found) for line in _differences(item, true[i], f"{path}[{i}]")]
    return [] if found == true else [f"{path}: drgn reads {found}, true is {true}"]


def with_drgn(core, vmlinux, truth):
    """Differences between drgn's reading of an ELF dump and the truth. Skip when drgn cannot read this kernel."""
    drgn = shutil.which("drgn")
    if not drgn:
        raise Skip("drgn is not installed: apt-get install python3-drgn")
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(SCRIPT)
        script.flush()
        result = subprocess.run([drgn, "-q", "-c", core, "-s", vmlinux, script.name], capture_output=True, text=True,
                                timeout=300, check=False)
    answers = [line[6:] for line in result.stdout.splitlines() if line.startswith("ANSWER")]
    if not answers:
        raise Skip(f"drgn cannot read this dump: {result.stderr.strip().splitlines()[-1:]}")
    return _differences(json.loads(answers[0]), truth["cpus"], "cpus")
