# SPDX-License-Identifier: LGPL-2.1-or-later
"""ELF as far as the lab needs it: sections of a vmlinux, notes and segments of a vmcore."""

import re
import struct

PT_LOAD, PT_NOTE = 1, 4
KERNEL_MAP = 0xFFFFFFFF80000000  # __START_KERNEL_map
KERNEL_IMAGE_SIZE = 64 << 20  # of the text mapping that the dump is given; Debian's images are smaller
ROM_BASE, ROM_LARGEST = 0xF0000000, 1 << 20


def sections(path):
    """{name: (offset, size)} of an ELF64 file."""
    with open(path, "rb") as file:
        header = file.read(64)
        if header[:5] != b"\x7fELF\x02":
            raise ValueError(f"{path} is not ELF64")
        table, = struct.unpack_from("<Q", header, 40)
        entry, count, names = struct.unpack_from("<HHH", header, 58)
        file.seek(table)
        headers = [struct.unpack_from("<IIQQQQIIQQ", raw) for raw in
                   (file.read(entry) for _ in range(count))]
        file.seek(headers[names][4])
        strings = file.read(headers[names][5])
        return {strings[h[0]:strings.index(b"\0", h[0])].decode(): (h[4], h[5]) for h in headers}


def section(path, name, size=None):
    offset, whole = sections(path)[name]
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(whole if size is None else min(size, whole))


def parse_core(path):
    """(loads [(offset, physical address, size)], note bytes) of a vmcore as QEMU writes it."""
    with open(path, "rb") as file:
        header = file.read(64)
        table, = struct.unpack_from("<Q", header, 32)
        entry, count = struct.unpack_from("<HH", header, 54)
        file.seek(table)
        raw = file.read(entry * count)
        loads, note = [], b""
        for i in range(count):
            kind, _, offset, _, physical, size, _, _ = struct.unpack_from("<IIQQQQQQ", raw, i * entry)
            if kind == PT_LOAD:
                loads.append((offset, physical, size))
            elif kind == PT_NOTE:
                file.seek(offset)
                note += file.read(size)
        return loads, note


def notes(data):
    """Yields (name, descriptor, the whole note) of note bytes."""
    at = 0
    while at + 12 <= len(data):
        name_size, size, _ = struct.unpack_from("<III", data, at)
        start = at + 12 + (name_size + 3 & ~3)
        end = start + (size + 3 & ~3)
        yield data[at + 12:at + 12 + name_size].rstrip(b"\0"), data[start:start + size], data[at:end]
        at = end


def has_vmcoreinfo(path):
    return any(name == b"VMCOREINFO" for name, _, _ in notes(parse_core(path)[1]))


def write_kexec_core(source, target, page_offset, vmcoreinfo):
    """Lays a vmcore of QEMU out again like /proc/vmcore of a crash kernel: one text segment, the direct map, a note
    segment with NT_PRSTATUS and VMCOREINFO. makedumpfile wants it so. `vmcoreinfo` is used when QEMU got none."""
    loads, data = parse_core(source)
    kept, found = b"", None
    for name, descriptor, raw in notes(data):
        if name == b"VMCOREINFO":
            found = descriptor.decode("latin1")
        if name != b"QEMU":
            kept += raw
    if found is None:
        found = vmcoreinfo
        raw = found.encode("latin1")
        kept += struct.pack("<III", 11, len(raw), 0) + b"VMCOREINFO\0\0" + raw + b"\0" * (-len(raw) % 4)
    text = int(re.search(r"SYMBOL\(_stext\)=([0-9a-f]+)", found)[1], 16)
    text_physical = text - KERNEL_MAP + int(re.search(r"NUMBER\(phys_base\)=(-?\d+)", found)[1])
    loads = [load for load in loads if not (load[1] >= ROM_BASE and load[2] <= ROM_LARGEST)]
    note_offset = 64 + 56 * (len(loads) + 2)
    position = (note_offset + len(kept) + 4095) & ~4095
    placed = []
    for offset, physical, size in loads:
        placed.append((offset, physical, size, position))
        position += size
    headers = [(PT_NOTE, 0, note_offset, 0, 0, len(kept), len(kept), 0)]
    for _, physical, size, at in placed:
        if physical <= text_physical < physical + size:
            length = min(KERNEL_IMAGE_SIZE, physical + size - text_physical)
            headers.append((PT_LOAD, 7, at + text_physical - physical, text, text_physical, length, length, 0))
    for _, physical, size, at in placed:
        headers.append((PT_LOAD, 7, at, page_offset + physical, physical, size, size, 0))
    with open(source, "rb") as file, open(target, "wb") as out:
        out.write(b"\x7fELF\x02\x01\x01" + b"\0" * 9 +
                  struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(headers), 0, 0, 0))
        for header in headers:
            out.write(struct.pack("<IIQQQQQQ", *header))
        out.seek(note_offset)
        out.write(kept)
        for offset, _, size, at in placed:
            file.seek(offset)
            out.seek(at)
            while size:
                block = file.read(min(size, 1 << 20))
                if not block:
                    break
                size -= len(block)
                if block.count(0) == len(block):
                    out.seek(len(block), 1)  # a hole
                else:
                    out.write(block)
        out.truncate(position)
