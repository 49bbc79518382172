# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's user space: busybox, the workload programs and an init script, as a cpio archive."""

import gzip
import os
import pathlib
import re
import shutil
import subprocess

from . import LabError

GUEST = pathlib.Path(__file__).resolve().parent.parent / "guest"
PROGRAMS = ("pmu", "auxtrace")


class Archive:
    """A cpio archive in "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst)."""

    def __init__(self):
        self._data = bytearray()
        self._inode = 0
        self._directories = set()

    def _entry(self, path, mode, data):
        self._inode += 1
        name = path.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        self._data += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        self._data += b"\0" * (-len(self._data) % 4)
        self._data += data
        self._data += b"\0" * (-len(self._data) % 4)

    def add(self, path, data, mode=0o100755):
        for parent in reversed(pathlib.PurePosixPath(path).parents):
            if str(parent) not in (".", "/") and str(parent) not in self._directories:
                self._directories.add(str(parent))
                self._entry(str(parent), 0o040755, b"")
        self._entry(path, mode, data)

    def link(self, path, target):
        self.add(path, target.encode(), 0o120777)

    def packed(self):
        self._entry("TRAILER!!!", 0, b"")
        return gzip.compress(bytes(self._data), 1)


def busybox(packages):
    """Debian's static busybox, out of the lab's own cache."""
    cached = packages.cache / "busybox/bin/busybox"
    if not cached.exists():
        packages.unpack("busybox-static", packages.cache / "busybox", "./bin/busybox")
    return cached


def program(packages, name):
    """A workload program of guest/, compiled into the cache when its source is newer."""
    source, built = GUEST / f"{name}.c", packages.cache / "guest" / name
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        built.parent.mkdir(parents=True, exist_ok=True)
        result = subprocess.run(["gcc", "-O2", "-Wall", "-static", "-o", built, source], capture_output=True, text=True,
                                check=False)
        if result.returncode:
            raise LabError(f"{source.name} does not compile (is build-essential installed?): {result.stderr}")
    return built


def with_libraries(archive, executable, name):
    """A dynamically linked program of the host or of a package, with the libraries it needs."""
    archive.add(f"bin/{name}", pathlib.Path(executable).read_bytes())
    listing = subprocess.run(["ldd", executable], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"(/\S+)", listing):
        archive.add(library.lstrip("/"), pathlib.Path(os.path.realpath(library)).read_bytes())


def base_archive(packages, modules=()):
    archive = Archive()
    archive.add("bin/busybox", busybox(packages).read_bytes())
    archive.link("bin/sh", "busybox")
    archive.add("init", (GUEST / "init.sh").read_bytes())
    for name in PROGRAMS:
        archive.add(f"bin/{name}", program(packages, name).read_bytes())
    for module in modules:
        archive.add(f"mod/{module.name}", module.read_bytes())
    return archive


def plain(packages, modules=()):
    return base_archive(packages, modules).packed()


def with_crash_kernel(packages, modules, crash_kernel):
    """Loads `crash_kernel` by kexec at boot; that one runs makedumpfile on /proc/vmcore and sends the result over the
    second serial line (guest/init.sh)."""
    kexec = packages.cache / "kexec/sbin/kexec"
    if not kexec.exists():
        packages.unpack("kexec-tools", packages.cache / "kexec", "./sbin/kexec")
    makedumpfile = shutil.which("makedumpfile")
    if not makedumpfile:
        raise LabError("makedumpfile is needed in the crash kernel: apt-get install makedumpfile")
    inner = base_archive(packages)
    with_libraries(inner, makedumpfile, "makedumpfile")
    outer = base_archive(packages, modules)
    with_libraries(outer, kexec, "kexec")
    outer.add("kdump/vmlinuz", crash_kernel.vmlinuz.read_bytes())
    outer.add("kdump/initrd", inner.packed())
    return outer.packed()
