# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest: QEMU running a Debian kernel, with a shell on its first serial line and a debugger on its CPUs."""

import ctypes
import gzip
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import LabError, Skip, gdb, initramfs

QEMU = "qemu-system-x86_64"
# NMIs reach all CPUs; an oops is a panic, and the guest stays as it died.
COMMAND_LINE = "console=ttyS0 apic_extnmi=all panic=0 oops=panic"
NO_WATCHDOG = "nmi_watchdog=0 nowatchdog"
KERNEL_TEXT = range(0xFFFFFFFF80000000, 0xFFFFFFFFC0000000)
KERNEL_ALIGNMENT = 0x200000
LARGEST_TEXT_OFFSET = 24 * KERNEL_ALIGNMENT
BOOT_TIMEOUT = 300  # seconds, under TCG on a loaded machine


def _die_with_parent():
    """Between fork and exec: a guest must not outlive a lab that was killed (prctl(PR_SET_PDEATHSIG, SIGTERM))."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Guest:
    """Use as a context manager; leaving it ends QEMU. Starts stopped before the first instruction."""

    def __init__(self, kernel, *, cpus=4, memory=320, cpu="EPYC", threads="multi", accelerator="tcg", kaslr=True,
                 watchdog=False, command_line="", archive=None):
        if not shutil.which(QEMU):
            raise Skip(f"{QEMU} is not installed: apt-get install qemu-system-x86")
        self.kernel = kernel
        self.cpus = cpus
        self.slide = 0
        self.output = ""
        self.patches = []
        self._commands = 0
        self._scratch = tempfile.TemporaryDirectory(prefix="perfcore-lab-")
        self.directory = pathlib.Path(self._scratch.name)
        initrd = self.directory / "initramfs"
        initrd.write_bytes(archive or initramfs.plain(kernel.packages, kernel.modules))
        self.command_line = " ".join(filter(None, (
            COMMAND_LINE, "nmi_watchdog=1" if watchdog else NO_WATCHDOG, "" if kaslr else "nokaslr", command_line)))
        sockets = {name: self.directory / name for name in ("qmp", "gdb", "serial")}
        self.machine = ["-accel", f"tcg,thread={threads}" if accelerator == "tcg" else accelerator, "-cpu", cpu,
                        "-smp", str(cpus), "-m", str(memory)]
        with open(self.directory / "qemu.log", "wb") as log:
            self._process = subprocess.Popen(
                [QEMU, *self.machine, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                 "-kernel", kernel.vmlinuz, "-initrd", initrd, "-append", self.command_line, "-device", "vmcoreinfo",
                 "-chardev", f"socket,id=serial,path={sockets['serial']},server=on,wait=off", "-serial", "chardev:serial",
                 "-serial", f"file:{self.directory}/second", "-qmp", f"unix:{sockets['qmp']},server=on,wait=off",
                 "-gdb", f"unix:{sockets['gdb']},server=on,wait=off", "-S"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent)
        try:
            end = time.monotonic() + 30
            while not all(path.exists() for path in sockets.values()):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise LabError("QEMU does not start: " + (self.directory / "qemu.log").read_text(errors="replace"))
                time.sleep(0.05)
            self.qmp = gdb.Qmp(sockets["qmp"])
            self._serial = socket.socket(socket.AF_UNIX)
            self._serial.connect(str(sockets["serial"]))
            self._serial.setblocking(False)
            self.stub = gdb.Stub(sockets["gdb"])
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._scratch.cleanup()

    # The shell on the serial line.

    def pump(self, seconds=0.0):
        """Takes what the guest printed."""
        if select.select([self._serial], [], [], seconds)[0]:
            try:
                self.output += self._serial.recv(65536).decode("latin1")
            except BlockingIOError:
                pass

    def settle(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump(0.05)

    def expect(self, pattern, timeout=60, since=0):
        """Waits until the guest has printed `pattern`; the match."""
        end = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.output[since:])
            if match:
                return match
            if "end Kernel panic" in self.output[since:]:
                raise LabError("the guest panicked: " + "; ".join(
                    re.findall(r"(?:BUG:|Oops:|general protection|RIP:|Kernel panic).*", self.output[since:])))
            if time.monotonic() > end:
                raise LabError(f"the guest did not print {pattern!r} in {timeout} s; its last words: {self.output[-800:]}")
            if self._process.poll() is not None:
                raise LabError(f"QEMU ended with {self._process.returncode}")
            self.pump(0.1)

    def type(self, text):
        for at in range(0, len(text), 16):  # the UART's FIFO
            self._serial.sendall(text[at:at + 16].encode())
            time.sleep(0.005)

    def run(self, command, timeout=60):
        """Runs a shell command to its end; its output."""
        self._commands += 1
        since = len(self.output)
        self.type(f"{command}\necho LAB-''END-{self._commands}-\n")
        match = self.expect(f"LAB-END-{self._commands}-", timeout, since)
        return self.output[since:since + match.start()]

    def start(self, command):
        """Starts a shell command that goes on by itself."""
        self.run(f"{command} >/dev/null 2>&1 &")

    # Running, stopping, reading.

    def nmi(self):
        self.qmp("inject-nmi")

    def address(self, symbol):
        """Where a symbol is in this guest; a per-CPU symbol's offset."""
        try:
            value = self.kernel.symbols[symbol]
        except KeyError:
            raise LabError(f"{self.kernel.release} has no symbol {symbol}") from None
        return value + self.slide if value >> 63 else value

    def has(self, symbol):
        return symbol in self.kernel.symbols

    def per_cpu(self, symbol, cpu):
        return self.per_cpu_address(self.address(symbol), cpu)

    def per_cpu_address(self, address, cpu):
        return address + self.stub.u64(self.address("__per_cpu_offset") + 8 * cpu) & 2**64 - 1

    def halt(self):
        """Stops the guest and selects a CPU that runs the kernel, whose page tables map all of it."""
        self.stub.halt()
        self.pump()
        for cpu in range(self.cpus):
            self.stub.select(cpu)
            if self.stub.registers()["rip"] >> 63:
                return
        self.stub.select(0)

    def resume(self):
        self.stub.resume()

    def run_to(self, address, timeout=60, only=()):
        """Runs (of the CPUs `only` those) until one is at `address`; selects and returns it."""
        self.stub.add_breakpoint(address)
        self.stub.resume(*only)
        end = time.monotonic() + timeout
        while True:
            cpu = self.stub.wait(0.3)
            self.pump()
            if cpu is not None:
                break
            if time.monotonic() > end:
                self.halt()
                self.stub.remove_breakpoint(address)
                raise LabError(f"no CPU came to {address:#x} in {timeout} s")
        self.stub.remove_breakpoint(address)
        self.stub.select(cpu)
        return cpu

    def _find_text(self):
        """Lets the guest run in short slices until CPU 0 is in the kernel; the address of its text."""
        head = self.kernel.text_head
        end = time.monotonic() + BOOT_TIMEOUT
        while time.monotonic() < end:
            self.stub.resume()
            self.stub.wait(0.05)
            self.stub.halt()
            self.pump()
            self.stub.select(0)
            rip = self.stub.registers()["rip"]
            if rip not in KERNEL_TEXT:
                continue
            for base in range(rip & -KERNEL_ALIGNMENT, rip - LARGEST_TEXT_OFFSET, -KERNEL_ALIGNMENT):
                try:
                    found = self.stub.read(base, len(head))
                except MemoryError:
                    continue
                # A few bytes may be relocated.
                if 4 * sum(a == b for a, b in zip(head, found)) >= 3 * len(head):
                    return base
        raise LabError("the guest's kernel text was not found; its last words: " + self.output[-800:])

    def boot(self, at_kernel=()):
        """Boots to the shell. `at_kernel`: called one after another with the guest, which is stopped as soon as it runs
        kernel text (before any initcall)."""
        if at_kernel:
            symbols = self.kernel.symbols
            self.slide = self._find_text() - symbols.get("_text", symbols.get("_stext"))
            for hook in at_kernel:
                hook(self)
        self.resume()
        self.expect("LAB-READY", BOOT_TIMEOUT)
        self.settle(0.3)

    def sysrq_crash(self):
        since = len(self.output)
        self.type("echo c >/proc/sysrq-trigger\n")
        self.wait_for_panic(since)

    def wait_for_panic(self, since=0, timeout=120):
        self.expect("end Kernel panic", timeout, since)
        self.settle(0.7)

    # Code of the guest that the lab replaces for a while.

    def patch(self, address, new, note):
        old = self.stub.read(address, len(new))
        self.stub.write(address, new)
        self.patches.append({"address": hex(address), "old": old.hex(), "new": new.hex(), "note": note, "restored": False})

    def set_data(self, address, new, note):
        """A change of data that stays (a capability bit); told in the truth."""
        self.patch(address, new, note)
        self.patches[-1]["restored"] = "left set"

    def restore(self):
        """Takes all code patches back. Init text is freed and reused by then; what is no longer the patch stays."""
        for patch in reversed(self.patches):
            if patch["restored"]:
                continue
            address = int(patch["address"], 16)
            if self.stub.read(address, len(patch["new"]) // 2).hex() == patch["new"]:
                self.stub.write(address, bytes.fromhex(patch["old"]))
                patch["restored"] = True
            else:
                patch["restored"] = "no: the kernel freed or rewrote it"


def read_kallsyms(kernel):
    """/proc/kallsyms (without modules) of a guest that was booted without KASLR."""
    with Guest(kernel, kaslr=False) as guest:
        guest.boot()
        guest.run("stty raw -F /dev/ttyS1; grep -v '\\[' /proc/kallsyms | gzip -1 >/tmp/k; cat /tmp/k >/dev/ttyS1", 180)
        size = int(re.search(r"\d+", guest.run("stat -c %s /tmp/k"))[0])
        second = guest.directory / "second"
        end = time.monotonic() + 60
        while os.path.getsize(second) < size:
            if time.monotonic() > end:
                raise LabError(f"{os.path.getsize(second)} of {size} bytes of kallsyms arrived")
            guest.settle(0.2)
        return gzip.decompress(second.read_bytes())
