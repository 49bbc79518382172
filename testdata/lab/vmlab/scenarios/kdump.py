# SPDX-License-Identifier: LGPL-2.1-or-later
"""A crash dump as machines in production take it: panic, kexec into a crash kernel, makedumpfile on /proc/vmcore."""

import hashlib

from .. import LabError, initramfs, truth
from ..kernel import Kernel
from . import SYSRQ, WORKLOAD, Outcome, nothing_wrong, workload

SUMMARY = "real kexec into a crash kernel and makedumpfile there; always kdump-compressed (lzo)"
GUEST = {"memory": 900, "command_line": "crashkernel=256M"}
CRASH_KERNEL = "6.12"
TIMEOUT = 500  # seconds, for the crash kernel to boot, filter, and send its file over a serial line


def archive(kernel):
    return initramfs.with_crash_kernel(kernel.packages, kernel.modules, Kernel(kernel.packages, CRASH_KERNEL))


def run(guest):
    if "LAB-KEXEC-LOADED 1" not in guest.output:
        raise LabError("kexec did not load the crash kernel: " + guest.output[-500:])
    workload(guest)
    guest.settle(1.5)
    guest.stub.halt()
    guest.type("echo c >/proc/sysrq-trigger\n")
    guest.run_to(guest.address("machine_kexec"), 120)
    return Outcome(f"{WORKLOAD}Panic by sysrq-c, kexec into {CRASH_KERNEL}, which ran makedumpfile -l -d 31 on /proc/vmcore. "
                   "Truth read at machine_kexec(), after the other CPUs were stopped.", SYSRQ, nothing_wrong(guest.kernel))


def collect(guest, directory):
    """Truth now, then the file that the crash kernel sends."""
    guest.halt()
    guest.restore()
    found = truth.read(guest)
    since = len(guest.output)
    guest.resume()
    sent = guest.expect(r"LAB-KDUMP-DONE (\d+) ([0-9a-f]{64})", TIMEOUT, since)
    target = directory / "vmcore.kdump"
    size = int(sent[1])
    for _ in range(600):
        data = (guest.directory / "second").read_bytes()
        if len(data) >= size:
            break
        guest.settle(0.1)
    if hashlib.sha256(data).hexdigest() != sent[2]:
        raise LabError(f"{len(data)} of {size} bytes of the dump arrived, or they are not what was sent")
    target.write_bytes(data)
    return found, {target.name: "makedumpfile -l -d 31 in a crash kernel"}
