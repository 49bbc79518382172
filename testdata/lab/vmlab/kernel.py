# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian kernel in the cache: boot image, modules, types, symbols, and what its code is like."""

import functools
import json
import lzma
import re
import shutil
import subprocess
import zlib

from . import LabError, Skip, elf
from .btf import Btf

MODULES = ("qemu_fw_cfg",)  # lets the guest hand VMCOREINFO to QEMU


def _unpack_zstd(data):
    if not shutil.which("zstd"):
        raise LabError("zstd is needed to unpack this kernel: apt-get install zstd")
    return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False).stdout


# The payload of a bzImage is found by trying every place that looks like a compressed stream.
PAYLOADS = (
    (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)),
    (b"\x28\xb5\x2f\xfd", _unpack_zstd),
    (b"\x1f\x8b\x08", lambda data: zlib.decompressobj(31).decompress(data)),
)


def unpack_image(vmlinuz):
    """The vmlinux (without debug info, but with .BTF) inside a bzImage."""
    data = vmlinuz.read_bytes()
    for magic, unpack in PAYLOADS:
        at = data.find(magic)
        while at >= 0:
            try:
                image = unpack(data[at:])
            except (lzma.LZMAError, zlib.error):
                image = b""
            if image[:4] == b"\x7fELF" and len(image) > 1 << 20:
                return image
            at = data.find(magic, at + 1)
    raise LabError(f"{vmlinuz}: no compressed vmlinux found inside")


class Kernel:
    """Everything by which a guest of this kernel is driven and read."""

    def __init__(self, packages, spec):
        self.packages = packages
        self.release = packages.resolve(spec)
        self.directory = packages.cache / "kernels" / self.release
        self.vmlinuz = self.directory / "vmlinuz"
        self.image = self.directory / "vmlinux"
        if not self.image.exists():
            self._fetch()

    @property
    def version(self):
        """Upstream version where the release names it: "6.18.12"; "6.1.0-56" for 6.1."""
        return re.match(r"[\d.]+(-\d+)?", self.release)[0]

    @property
    def package(self):
        name = self.packages.image_package(self.release)
        return f"{name} {self.packages.available[name]}"

    def _fetch(self):
        scratch = self.directory / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        self.packages.unpack(self.packages.image_package(self.release), scratch, "*/vmlinuz*",
                             *[f"*/{name}.ko*" for name in MODULES])
        images = list(scratch.rglob("vmlinuz*"))  # in /boot; since 7.1 in /usr/lib/modules/RELEASE
        if not images:
            raise LabError(f"{self.package} holds no vmlinuz")
        for module in scratch.rglob("*.ko*"):
            data = module.read_bytes()
            if module.suffix == ".xz":
                data = lzma.decompress(data)
            (self.directory / (module.name.split(".")[0] + ".ko")).write_bytes(data)
        images[0].rename(self.vmlinuz)
        image = unpack_image(self.vmlinuz)
        shutil.rmtree(scratch)
        self.image.write_bytes(image)

    @property
    def modules(self):
        return sorted(self.directory.glob("*.ko"))

    @functools.cached_property
    def btf(self):
        return Btf(elf.section(self.image, ".BTF"))

    @functools.cached_property
    def text_head(self):
        """The first bytes of the kernel's text, by which a running guest's base is found."""
        return elf.section(self.image, ".text", 64)

    @functools.cached_property
    def symbols(self):
        """{name: address without KASLR, per-CPU offset for per-CPU symbols}; from the kernel's own /proc/kallsyms,
        read out of a guest once."""
        path = self.directory / "kallsyms"
        if not path.exists():
            from .guest import read_kallsyms
            path.write_bytes(read_kallsyms(self))
        found = {}
        for line in path.read_text(encoding="latin1").splitlines():
            fields = line.split()
            if len(fields) == 3:
                found.setdefault(fields[2], int(fields[0], 16))
        return found

    def debug_vmlinux(self):
        return self.packages.debug_vmlinux(self.release)

    def disassemble(self, function):
        """objdump lines of one function of the image."""
        start = self.symbols[function]
        end = min(address for address in self.symbols.values() if address > start)
        result = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"--start-address={start:#x}",
                                 f"--stop-address={end:#x}", self.image], capture_output=True, text=True, check=True)
        return [line.split("\t", 1)[1].strip() for line in result.stdout.splitlines() if re.match(r"^ *[0-9a-f]+:\t", line)]

    @functools.cached_property
    def code(self):
        """What this kernel's machine code says of the defects that scenarios need; never told from versions.
        null_events: CVE-2026-23435. ibs_race: perf_ibs_start() does not disable the hardware first (1b044ff3c17e)."""
        path = self.directory / "code.json"
        if not path.exists():
            facts = {"null_events": _has_null_events(self), "ibs_race": _has_ibs_race(self)}
            path.write_text(json.dumps(facts), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))


def _has_null_events(kernel):
    """x86_pmu_start() does not store events[idx] itself, and x86_pmu_enable() stores it only after it found
    PERF_HES_ARCH clear."""
    store = re.compile(r"mov +%r\w+,(?:0x0)?\(%r\w+,%r\w+,8\)")
    if any(store.search(line) for line in kernel.disassemble("x86_pmu_start")):
        return False
    lines = kernel.disassemble("x86_pmu_enable")
    tests = [i for i, line in enumerate(lines) if re.search(r"test[bl]? +\$0x4,", line)]
    stores = [i for i, line in enumerate(lines) if store.search(line)]
    if not stores or not tests:
        raise LabError(f"{kernel.release}: x86_pmu_enable() is unlike any known: {len(stores)} stores to events[], "
                       f"{len(tests)} tests of PERF_HES_ARCH")
    # The fix (8d5fae601126) moved the store before the test.
    return not any(store < tests[-1] for store in stores)


def _has_ibs_race(kernel):
    """Nothing is written to an MSR before IBS_STARTED is set."""
    lines = kernel.disassemble("perf_ibs_start")
    started = next((i for i, line in enumerate(lines) if re.match(r"lock or[bl] +\$0x2,", line)), None)
    if started is None:
        raise LabError(f"{kernel.release}: perf_ibs_start() sets no IBS_STARTED that is known")
    return not any(re.search(r"wrmsr|call +\*", line) for line in lines[:started])


def vulnerable_kernels(packages):
    """Kernels on offer that may have the defect of null-events, most recent first. Which do is for their code to say
    (Kernel.code); upstream's range only saves downloading all the others."""
    def suspected(release):
        version = [int(n) for n in re.match(r"(\d+)\.(\d+)\.(\d+)", release).groups()]
        return [6, 17, 13] <= version < [6, 18] or [6, 18, 2] <= version < [6, 18, 20] or [6, 19] <= version < [6, 19, 10]
    return [release for release in reversed(packages.kernels()) if suspected(release)]


def first_vulnerable(packages):
    for release in vulnerable_kernels(packages):
        kernel = Kernel(packages, release)
        if kernel.code["null_events"]:
            return kernel
    raise Skip("no kernel with the defect of null-events is offered any more; "
               "testdata/null-events-*.vmcore is a dump of one")
