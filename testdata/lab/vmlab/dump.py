# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dumps of a stopped guest: as QEMU writes them ("elf", physical addresses only, and "flattened"), laid out like the
/proc/vmcore of a crash kernel ("kexec"), and as makedumpfile filters that ("kdump")."""

import os
import pathlib
import shutil
import subprocess

from . import LabError, elf, truth

FORMATS = {"elf": "vmcore.elf", "kexec": "vmcore.kexec.elf", "kdump": "vmcore.kdump", "flattened": "vmcore.flat"}
# What makedumpfile says of a kernel newer than it; it may then drop pages that are in use (1.7.2 and 7.2 do).
TOO_NEW = "kernel version is not supported"
LEVEL_FULL, LEVEL_ZERO_PAGES_ONLY = 31, 1


def _makedumpfile(options, source, target, flattened=False):
    if not shutil.which("makedumpfile"):
        raise LabError("makedumpfile is not installed: apt-get install makedumpfile")
    target.unlink(missing_ok=True)
    command = ["makedumpfile", *options, *(["-F", source] if flattened else [source, target])]
    with open(target if flattened else os.devnull, "wb") as out:
        result = subprocess.run(command, stdout=out if flattened else subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    text = (result.stdout or b"").decode(errors="replace") + result.stderr.decode(errors="replace")
    if result.returncode:
        raise LabError(f"makedumpfile {' '.join(options)}: {text[-500:]}")
    return text


def filtered(source, target, flattened=False):
    """A kdump-compressed file (zlib) of a /proc/vmcore-like ELF. Returns the dump level used."""
    if TOO_NEW not in _makedumpfile(["-c", "-d", str(LEVEL_FULL)], source, target, flattened):
        return LEVEL_FULL
    _makedumpfile(["-c", "-d", str(LEVEL_ZERO_PAGES_ONLY)], source, target, flattened)
    return LEVEL_ZERO_PAGES_ONLY


def write(guest, directory, formats):
    """Writes the dump of a stopped guest in each format; {file name: how it was made}."""
    directory = pathlib.Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    raw = directory / "qemu.elf"
    raw.unlink(missing_ok=True)
    guest.qmp("dump-guest-memory", paging=False, protocol=f"file:{raw}")
    has_note = elf.has_vmcoreinfo(raw)
    as_kexec = directory / "kexec.elf"
    if not has_note or set(formats) - {"elf"}:
        elf.write_kexec_core(raw, as_kexec, truth.page_offset(guest), truth.vmcoreinfo(guest))
    relaid = "QEMU dump-guest-memory, laid out like /proc/vmcore" + ("" if has_note else ", VMCOREINFO from guest memory")
    made = {}
    for name in formats:
        target = directory / FORMATS[name]
        target.unlink(missing_ok=True)
        if name in ("elf", "kexec"):
            as_written = name == "elf" and has_note
            shutil.copyfile(raw if as_written else as_kexec, target)
            made[target.name] = "QEMU dump-guest-memory" if as_written else relaid
            subprocess.run(["fallocate", "--dig-holes", target], check=False)
        elif name == "flattened" and has_note:
            guest.qmp("dump-guest-memory", paging=False, protocol=f"file:{target}", format="kdump-zlib")
            made[target.name] = "QEMU dump-guest-memory, format kdump-zlib"
        else:
            level = filtered(as_kexec, target, flattened=name == "flattened")
            made[target.name] = f"makedumpfile -c -d {level}" + (" -F" if name == "flattened" else "")
    raw.unlink()
    as_kexec.unlink(missing_ok=True)
    return made
