# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many crashes from the few dumps that are bundled."""

import struct

BLOCK = 4096
VMCOREINFO_AT, NOTES_AT = BLOCK + 32, BLOCK + 48  # offset and size in kdump_sub_header (makedumpfile, diskdump_mod.h)
NAME = b"VMCOREINFO\0"


def padded(data):
    return data + b"\0" * (-len(data) % 4)


def copy_of_another_time(dump, seconds, to):
    """A kdump-compressed dump (bytes) of the same crash at another time, which is another crash.

    The kernel notes the time in VMCOREINFO as it dies (CRASHTIME, crash_save_vmcoreinfo(), kernel/vmcore_info.c); the dumps
    that are bundled were taken from outside, and lack it. Notes with it are written to the end of the file.
    """
    assert dump.startswith(b"KDUMP   ")
    begin, size = struct.unpack_from("<QQ", dump, NOTES_AT)
    notes, at, vmcoreinfo_at, vmcoreinfo = b"", begin, 0, b""
    while at < begin + size:
        name_size, content_size, kind = struct.unpack_from("<III", dump, at)
        name = dump[at + 12:at + 12 + name_size]
        at += 12 + len(padded(name))
        content = dump[at:at + content_size]
        at += len(padded(content))
        if name == NAME:
            content = vmcoreinfo = content.rstrip(b"\0") + f"CRASHTIME={seconds}\n".encode()
            vmcoreinfo_at = len(dump) + len(notes) + 12 + len(padded(name))
        notes += struct.pack("<III", len(name), len(content), kind) + padded(name) + padded(content)
    assert vmcoreinfo
    head = bytearray(dump[:BLOCK * 2])
    struct.pack_into("<QQ", head, VMCOREINFO_AT, vmcoreinfo_at, len(vmcoreinfo))
    struct.pack_into("<QQ", head, NOTES_AT, len(dump), len(notes))
    with open(to, "wb") as file:
        file.write(head)
        file.write(dump[BLOCK * 2:])
        file.write(notes)
