# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is true of a guest: PMU state of every CPU, read live through the debugger with the lab's own BTF reader."""

import struct

HES_NAMES = ((1, "STOPPED"), (2, "UPTODATE"), (4, "ARCH"))  # PERF_HES_*
MAX_INTERRUPTS = 2**64 - 1
COUNTERS = 64  # X86_PMC_IDX_MAX
IBS_STATES = ("ENABLED", "STARTED", "STOPPING", "STOPPED")


def hes_text(state):
    return "|".join(name for bit, name in HES_NAMES if state & bit) or "0"


def event(guest, address):
    """Fields of one struct perf_event."""
    stub, offset = guest.stub, lambda path: address + guest.kernel.btf.offset("perf_event", path)
    state, attr = stub.s32(offset("hw.state")), offset("attr")
    interrupts, bits = stub.u64(offset("hw.interrupts")), stub.u64(attr + 40)
    return {
        "ptr": hex(address), "hw_idx": stub.s32(offset("hw.idx")), "hw_last_cpu": stub.s32(offset("hw.last_cpu")),
        "hw_state": state, "hw_state_str": hes_text(state), "hw_interrupts": interrupts,
        "throttled": interrupts == MAX_INTERRUPTS, "state": stub.s32(offset("state")), "attr_type": stub.u32(attr),
        "attr_config": hex(stub.u64(attr + 8)), "attr_period_or_freq": stub.u64(attr + 16),
        "attr_pinned": bits >> 2 & 1, "attr_freq": bits >> 10 & 1, "oncpu": stub.s32(offset("oncpu")),
        "cpu": stub.s32(offset("cpu")), "group_leader": hex(stub.u64(offset("group_leader"))),
    }


def pmu_of_cpu(guest, cpu):
    """struct cpu_hw_events of one CPU and the events on its list."""
    stub, btf = guest.stub, guest.kernel.btf
    address = guest.per_cpu("cpu_hw_events", cpu)
    raw = stub.read(address, btf.sizeof("cpu_hw_events"))

    def field(member, kind="i", index=0):
        at = btf.offset("cpu_hw_events", member) + index * struct.calcsize(kind)
        return struct.unpack_from("<" + kind, raw, at)[0]

    events = {n: field("events", "Q", n) for n in range(COUNTERS)}
    active = field("active_mask", "Q")
    count = field("n_events")
    listed = []
    for n in range(max(0, min(count, COUNTERS))):
        pointer = field("event_list", "Q", n)
        entry = event(guest, pointer) if pointer >> 63 else {"ptr": hex(pointer)}
        listed.append({**entry, "assign": field("assign", "i", n)})
    return {
        "cpu": cpu, "cpu_hw_events": hex(address), "enabled": field("enabled"), "n_events": count,
        "n_added": field("n_added"), "n_txn": field("n_txn"), "active_mask": hex(active),
        "events": {str(n): hex(pointer) for n, pointer in events.items() if pointer}, "event_list": listed,
        "active_but_null": [n for n in range(COUNTERS) if active >> n & 1 and not events[n]],
    }


def ibs(guest):
    """struct cpu_perf_ibs of both IBS PMUs on every CPU."""
    btf, found = guest.kernel.btf, {}
    for pmu in ("perf_ibs_fetch", "perf_ibs_op"):
        per_cpu = guest.stub.u64(guest.address(pmu) + btf.offset("perf_ibs", "pcpu"))
        found[pmu] = []
        for cpu in range(guest.cpus):
            address = guest.per_cpu_address(per_cpu, cpu)
            pointer = guest.stub.u64(address + btf.offset("cpu_perf_ibs", "event"))
            state = guest.stub.u64(address + btf.offset("cpu_perf_ibs", "state"))
            found[pmu].append({"cpu": cpu, "addr": hex(address), "event": hex(pointer), "state": hex(state),
                               "state_bits": [name for n, name in enumerate(IBS_STATES) if state >> n & 1],
                               **({"event_detail": event(guest, pointer)} if pointer >> 63 else {})})
    return found


def read(guest):
    """The truth of a stopped guest."""
    stub = guest.stub
    found = {"kernel_release": guest.kernel.release, "kernel_package": guest.kernel.package,
             "kaslr_offset": hex(guest.slide), "command_line": guest.command_line, "machine": " ".join(guest.machine),
             "cpus": [pmu_of_cpu(guest, cpu) for cpu in range(guest.cpus)]}
    for entry in found["cpus"]:
        if guest.has("perf_throttled_count"):
            entry["perf_throttled_count"] = stub.u32(guest.per_cpu("perf_throttled_count", entry["cpu"]))
    for entry in found["cpus"]:  # last: a selected CPU that never came up maps nothing of the kernel
        stub.select(entry["cpu"])
        registers = stub.registers()
        entry.update(rip=hex(registers["rip"]), rsp=hex(registers["rsp"]))
    guest.halt()
    if guest.has("panic_cpu"):
        found["panic_cpu"] = stub.s32(guest.address("panic_cpu"))
    return found


def page_offset(guest):
    return guest.stub.u64(guest.address("page_offset_base")) if guest.has("page_offset_base") else 0xFFFF888000000000


def vmcoreinfo(guest):
    size = guest.stub.u64(guest.address("vmcoreinfo_size"))
    return guest.stub.read(guest.stub.u64(guest.address("vmcoreinfo_data")), size).decode("latin1")
