# SPDX-License-Identifier: LGPL-2.1-or-later
"""A PMU that the guest's kernel believes in, on a machine that has none.

The kernel's AMD driver gives up when check_hw_exists() finds no counters. That function is answered, and rdpmc, which TCG
has not, becomes rdmsr (both read 0). From then on everything is the kernel's own: it schedules events on counters, and
each injected NMI finds every active counter at 0, "overflowed", so that it samples, throttles, reschedules and
unthrottles. All code patches are taken back before the dump."""

import struct
import time

from . import LabError

ENDBR64 = b"\xf3\x0f\x1e\xfa"
NOP5 = b"\x0f\x1f\x44\x00\x00"
NOP6 = b"\x66\x0f\x1f\x44\x00\x00"
RETURN_TRUE = b"\xb8\x01\x00\x00\x00\xc3"
RETURN_0 = b"\x31\xc0\xc3"
RDPMC, RDMSR = b"\x0f\x33", b"\x0f\x32"
MOV_EDI_IBSCTL = b"\xbf\x3a\x10\x01\xc0"  # mov $MSR_AMD64_IBSCTL, %edi
IBSCTL_VALID = b"\xb8\x01\x01\x00\x00"  # mov $0x101, %eax: LVT offset 1, valid
CAPABILITY_IBS = 6 * 32 + 10
WATCHED = (("x86_perf_event_update", 300), ("native_read_pmc", 24))


def after_entry(guest, function):
    """Address behind a function's endbr64 and its call of (or nop for) fentry."""
    address = guest.address(function)
    code = guest.stub.read(address, 16)
    skip = 4 if code.startswith(ENDBR64) else 0
    if code[skip] == 0xE8 or code[skip:skip + 5] == NOP5:
        skip += 5
    return address + skip


def core_pmu(guest):
    """Boot hook: the AMD core PMU."""
    guest.patch(after_entry(guest, "check_hw_exists"), RETURN_TRUE, "check_hw_exists() returns true")
    for function, size in WATCHED:
        if not guest.has(function):
            continue
        address = guest.address(function)
        code = guest.stub.read(address, size)
        at = code.find(RDPMC)
        while at >= 0:
            guest.patch(address + at, RDMSR, f"rdpmc is rdmsr in {function}()+{at:#x}; it reads 0")
            at = code.find(RDPMC, at + 2)


def ibs(guest):
    """Boot hook: IBS, on a CPU without it. amd_ibs_init() sees the CPU capability, a valid IBSCTL and an LVT entry."""
    btf = guest.kernel.btf
    init = guest.address("amd_ibs_init")
    guest.run_to(init)
    word = guest.address("boot_cpu_data") + btf.offset("cpuinfo_x86", "x86_capability") + CAPABILITY_IBS // 32 * 4
    guest.set_data(word, struct.pack("<I", guest.stub.u32(word) | 1 << CAPABILITY_IBS % 32),
                   "boot_cpu_data: X86_FEATURE_IBS set")
    guest.patch(after_entry(guest, "setup_APIC_eilvt"), RETURN_0, "setup_APIC_eilvt() returns 0")
    found = 0
    for function, size in (("amd_ibs_init", 0x500), ("setup_APIC_ibs", 0x60)):
        address = guest.address(function)
        code = guest.stub.read(address, size)
        at = code.find(MOV_EDI_IBSCTL)
        while at >= 0:
            # The read that follows is 6 bytes: call *pv_ops.cpu.read_msr(%rip), or what boot made of it.
            guest.patch(address + at, IBSCTL_VALID + NOP6, f"IBSCTL reads 0x101 in {function}()+{at:#x}")
            found += 1
            at = code.find(MOV_EDI_IBSCTL, at + 5)
    if not found:
        raise LabError(f"{guest.kernel.release}: no read of IBSCTL found in amd_ibs_init()")


def storm(guest, seconds):
    """Injects NMIs as fast as QEMU takes them; how many."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        guest.nmi()
        guest.pump()
        count += 1
    return count
