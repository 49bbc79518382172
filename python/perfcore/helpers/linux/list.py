# SPDX-License-Identifier: LGPL-2.1-or-later
"""Doubly linked lists (include/linux/list.h). A cycle, or more
than 100,000 entries, raise FaultError."""

from __future__ import annotations

from ..._perfcore import Object, Type, _list_walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Union

__all__ = ("list_empty", "list_for_each", "list_for_each_entry")


def list_empty(head: Object) -> bool:
    """Whether a list has no entries. head: ``struct list_head *``."""
    first = head.read_()
    return bool(first.next == first)


def list_for_each(head: Object) -> Iterator[Object]:
    """The nodes of a list as ``struct list_head *``.

    Where an entry cannot be read, those that the other end leads to still come; FaultError is raised after them.
    """
    entries, incomplete = _list_walk(head, "struct list_head", "")
    yield from entries
    if incomplete is not None:
        incomplete()


def list_for_each_entry(type: Union[str, Type], head: Object, member: str) -> Iterator[Object]:
    """The entries of a list as ``type *``.

    Where an entry cannot be read, those that the other end leads to still come; FaultError is raised after them.

    :param type: the entries' type: "struct perf_event".
    :param head: ``struct list_head *``
    :param member: the ``struct list_head`` in the entry.
    """
    name = type if isinstance(type, str) else type.type_name()
    entries, incomplete = _list_walk(head, name, member)
    yield from entries
    if incomplete is not None:
        incomplete()
