# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reader of BTF (Documentation/bpf/btf.rst), enough for member offsets. Deliberately its own: the truth about a
guest must not come through the code under test."""

import struct

INT, PTR, ARRAY, STRUCT, UNION, ENUM = 1, 2, 3, 4, 5, 6
TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG = 8, 9, 10, 11, 18
MODIFIERS = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
FIXED_EXTRA = {INT: 4, ARRAY: 12, 14: 4, 17: 4}  # VAR and DECL_TAG are 14 and 17
EXTRA_PER_VLEN = {STRUCT: 12, UNION: 12, ENUM: 8, 13: 8, 15: 12, 19: 12}  # FUNC_PROTO, DATASEC, ENUM64


class Btf:
    """Types of a kernel, from the bytes of its .BTF section."""

    def __init__(self, data):
        magic, _, _, header, types, types_size, strings, strings_size = struct.unpack_from("<HBBIIIII", data)
        if magic != 0xEB9F:
            raise ValueError(f"BTF magic {magic:#x}")
        body = data[header + types:header + types + types_size]
        self._strings = data[header + strings:header + strings + strings_size]
        self._types = [None]
        self._ids = {}
        at = 0
        while at < len(body):
            name, info, size = struct.unpack_from("<III", body, at)
            kind, count = info >> 24 & 31, info & 0xFFFF
            at += 12
            extra = FIXED_EXTRA.get(kind, 0) + EXTRA_PER_VLEN.get(kind, 0) * count
            self._types.append((kind, size, info >> 31, count, body[at:at + extra]))
            if kind in (STRUCT, UNION) and name:
                self._ids.setdefault(self._name(name), len(self._types) - 1)
            at += extra

    def _name(self, offset):
        return self._strings[offset:self._strings.index(b"\0", offset)].decode()

    def _strip(self, type_id):
        while self._types[type_id][0] in MODIFIERS:
            type_id = self._types[type_id][1]
        return type_id

    def _size(self, type_id):
        kind, size, _, _, extra = self._types[self._strip(type_id)]
        if kind == PTR:
            return 8
        if kind == ARRAY:
            element, _, length = struct.unpack("<III", extra)
            return length * self._size(element)
        return size

    def _member(self, type_id, wanted):
        """(byte offset, type id) of a member; looks into anonymous members too."""
        _, _, bitfields, count, extra = self._types[self._strip(type_id)]
        for i in range(count):
            name, member, offset = struct.unpack_from("<III", extra, 12 * i)
            offset = (offset & 0xFFFFFF if bitfields else offset) // 8
            if name and self._name(name) == wanted:
                return offset, member
            if not name and self._types[self._strip(member)][0] in (STRUCT, UNION):
                inner = self._member(member, wanted)
                if inner:
                    return offset + inner[0], inner[1]
        return None

    def has(self, struct_name, member):
        return struct_name in self._ids and self._member(self._ids[struct_name], member) is not None

    def offset(self, struct_name, path):
        """Byte offset of "hw.idx" in a struct."""
        type_id, total = self._ids[struct_name], 0
        for part in path.split("."):
            found = self._member(type_id, part)
            if found is None:
                raise KeyError(f"struct {struct_name} has no member {path}")
            total, type_id = total + found[0], found[1]
        return total

    def sizeof(self, struct_name):
        return self._size(self._ids[struct_name])
