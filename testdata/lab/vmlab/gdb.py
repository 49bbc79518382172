# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients of QEMU's two control channels: the gdb stub (memory, registers, breakpoints) and QMP."""

import json
import re
import select
import socket
import struct
import time

from . import LabError

REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
             "r15", "rip")
REPLY_TIMEOUT = 60  # seconds; a loaded TCG guest with 240 CPUs answers slowly


class Stub:
    """The gdb remote protocol as QEMU speaks it; thread N+1 is vCPU N. Starts with the guest stopped."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self._buffer = b""
        self.running = False
        self.command("qSupported:vContSupported+")
        self.command("qXfer:features:read:target.xml:0,ffb")  # QEMU accepts P (write a register) only after this
        for setup in ("?", "Hg1", "Hc1"):
            self.command(setup)

    def send(self, packet):
        data = packet.encode("latin1")
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))

    def receive(self, timeout=REPLY_TIMEOUT):
        """The next packet, or None when none came in time."""
        end = time.monotonic() + timeout
        while True:
            self._buffer = self._buffer.lstrip(b"+-")
            stop = self._buffer.find(b"#")
            if self._buffer[:1] == b"$" and stop >= 0 and len(self._buffer) >= stop + 3:
                packet, self._buffer = self._buffer[1:stop], self._buffer[stop + 3:]
                self.socket.sendall(b"+")
                return packet.decode("latin1")
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return None
            data = self.socket.recv(65536)
            if not data:
                raise LabError("QEMU closed the debugger connection")
            self._buffer += data

    def command(self, packet):
        self.send(packet)
        return self.receive()

    def resume(self, *cpus):
        """Lets the guest run; with `cpus` only those, the others stay where they are."""
        self.send("vCont;" + ";".join(f"c:{cpu + 1:x}" for cpu in cpus) if cpus else "c")
        self.running = True

    def wait(self, timeout):
        """vCPU that stopped (at a breakpoint), or None when none did in time."""
        reply = self.receive(timeout)
        if reply is None:
            return None
        self.running = False
        match = re.search(r"thread:0*([0-9a-f]+)", reply)
        return int(match[1], 16) - 1 if match else 0

    def halt(self):
        if self.running:
            self.socket.sendall(b"\x03")
            self.receive()
            self.running = False

    def step(self, cpu):
        self.command(f"vCont;s:{cpu + 1:x}")

    def select(self, cpu):
        """The vCPU whose registers and page tables the following commands use."""
        self.command(f"Hg{cpu + 1:x}")

    def registers(self):
        data = bytes.fromhex(self.command("g"))
        values = dict(zip(REGISTERS, struct.unpack_from("<17Q", data)))
        values["eflags"], values["cs"] = struct.unpack_from("<II", data, 136)
        return values

    def set_register(self, name, value):
        reply = self.command(f"P{REGISTERS.index(name):x}={struct.pack('<Q', value).hex()}")
        if reply != "OK":
            raise LabError(f"register {name} cannot be written: {reply}")

    def read(self, address, size):
        out = b""
        while len(out) < size:
            part = min(size - len(out), 1024)
            reply = self.command(f"m{address + len(out):x},{part:x}")
            if not reply or reply.startswith("E"):
                raise MemoryError(f"{size} bytes at {address:#x}: not mapped on the selected CPU")
            out += bytes.fromhex(reply)
        return out

    def write(self, address, data):
        reply = self.command(f"M{address:x},{len(data):x}:{data.hex()}")
        if reply != "OK":
            raise MemoryError(f"write of {len(data)} bytes at {address:#x}: {reply}")

    def u64(self, address):
        return struct.unpack("<Q", self.read(address, 8))[0]

    def u32(self, address):
        return struct.unpack("<I", self.read(address, 4))[0]

    def s32(self, address):
        return struct.unpack("<i", self.read(address, 4))[0]

    def add_breakpoint(self, address):
        if self.command(f"Z1,{address:x},1") != "OK":
            raise LabError(f"no breakpoint at {address:#x}")

    def remove_breakpoint(self, address):
        self.command(f"z1,{address:x},1")


class Qmp:
    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rwb")
        self._file.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        self._file.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._file.flush()
        while True:
            line = self._file.readline()
            if not line:
                raise LabError("QEMU closed the QMP connection")
            reply = json.loads(line)
            if "return" in reply:
                return reply["return"]
            if "error" in reply:
                raise LabError(f"QEMU: {command}: {reply['error'].get('desc', reply['error'])}")
