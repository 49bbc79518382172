# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore inside a drgn session.

Memory is what drgn reads; symbols and types are perfcore's own, from kallsyms and BTF in that memory or from a
vmlinux, so that drgn needs no debug info for it. Tested with drgn 0.0.22; what newer releases offer is used where it
is there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Iterable, Optional, Union

from ._perfcore import Kernel, Object

if TYPE_CHECKING:
    import drgn

_VMCOREINFO_MAX = 1 << 16
"""More than the kernel exports: VMCOREINFO_BYTES is a page (include/linux/vmcore_info.h)."""


def from_drgn(prog: "drgn.Program", debuginfo: Optional[Iterable[Union[str, "os.PathLike[str]"]]] = None, *,
              core: Optional[Union[str, "os.PathLike[str]"]] = None, vmcoreinfo: Optional[str] = None) -> Kernel:
    """The kernel that a drgn session looks at, dumped or live, as a perfcore.Kernel.

    On a live kernel values move while they are read.

    :param prog: drgn's program.
    :param debuginfo: vmlinux files or directories, as for perfcore.open().
    :param core: the dump, where it cannot be found out which one drgn has open. It knows what drgn does not hand out:
        VMCOREINFO, the registers of every CPU, and why a page is missing. Memory is read through drgn all the same.
    :param vmcoreinfo: its text, where neither a dump nor drgn has it.
    :raises ValueError: prog is no Linux kernel, or there is no VMCOREINFO.
    """
    import drgn

    flags = prog.flags
    if not flags & drgn.ProgramFlags.IS_LINUX_KERNEL:
        raise ValueError("the drgn program is no Linux kernel: open a vmcore or /proc/kcore in it first")
    live = bool(flags & getattr(drgn.ProgramFlags, "IS_LIVE", drgn.ProgramFlags(0)))

    path = os.fspath(core) if core is not None else ("" if live else _core_path(prog))
    text = vmcoreinfo if vmcoreinfo is not None else _vmcoreinfo(prog, live)
    if not text and not path:
        raise ValueError("no VMCOREINFO: drgn does not hand it out and it is not known which dump is open; give core=, "
                         "the path of the dump, or vmcoreinfo=, its text")

    def read(address: int, size: int, physical: bool) -> bytes:
        data: bytes = prog.read(address, size, physical)
        return data

    return Kernel._open_memory(read, text, path, [os.fspath(p) for p in debuginfo or ()], True, live)


def to_drgn(obj: Object, prog: "drgn.Program") -> "drgn.Object":
    """An object for use with drgn's own helpers; prog must look at the same kernel and know its types."""
    import drgn

    name = obj.type_.type_name()
    address = obj.address_
    if address is None:
        return drgn.Object(prog, name, value=obj.value_())
    if obj.bit_field_size_ is not None:
        return drgn.Object(prog, name, address=address, bit_offset=obj.bit_offset_, bit_field_size=obj.bit_field_size_)
    return drgn.Object(prog, name, address=address)


def _vmcoreinfo(prog: Any, live: bool) -> str:
    """VMCOREINFO from drgn; "" when it cannot be had."""
    import drgn

    try:
        # Since drgn 0.0.23.
        return _text(prog["VMCOREINFO"].string_())
    except (LookupError, drgn.FaultError):
        pass
    if live:
        # Physical address and size of the note (kernel/ksysfs.c).
        try:
            with open("/sys/kernel/vmcoreinfo", encoding="ascii") as file:
                address, size = (int(word, 16) for word in file.read().split())
            note: bytes = prog.read(address, min(size, _VMCOREINFO_MAX), True)
            start = note.find(b"OSRELEASE=")
            if start >= 0:
                return _text(note[start:].split(b"\0")[0])
        except (OSError, ValueError, drgn.FaultError):
            pass
    try:
        # With debug info loaded: char *vmcoreinfo_data (kernel/vmcore_info.c).
        return _text(prog["vmcoreinfo_data"].string_())
    except (LookupError, drgn.FaultError):
        return ""


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _core_path(prog: Any) -> str:
    """The dump that drgn has open; "" when it cannot be told."""
    path = getattr(prog, "core_dump_path", None)  # newer than 0.0.22
    if path:
        return str(os.fspath(path))
    # drgn keeps the dump open. Of several programs in one process each may have one: then it is not known which.
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            if os.path.isfile(target) and _is_core(target):
                found.add(target)
        except OSError:
            continue
    return found.pop() if len(found) == 1 else ""


def _is_core(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(18)
    # ELF files of type ET_CORE, and makedumpfile's two formats.
    return (head[:4] == b"\x7fELF" and head[16:18] == b"\x04\x00") or head[:8] in (b"KDUMP   ", b"DISKDUMP") or \
        head[:12] == b"makedumpfile"
