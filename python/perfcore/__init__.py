# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says why a Linux x86-64 kernel died, from its vmcore.

    >>> import perfcore
    >>> k = perfcore.open("/var/crash/202611200419")
    >>> print(k.triage().root_cause.summary)

Kernel is to perfcore what Program is to drgn; objects, helpers and errors behave as drgn's. See docs/python.md.
"""

from __future__ import annotations

import os

from ._perfcore import (
    NULL,
    FaultError,
    InputError,
    Kernel,
    KernelLog,
    LogRecord,
    Object,
    StackFrame,
    StackTrace,
    Symbol,
    Thread,
    Type,
    TypeMember,
    __version__,
    cast,
    container_of,
    offsetof,
    reinterpret,
    sizeof,
)
from .helpers.linux import (
    find_task,
    for_each_online_cpu,
    for_each_possible_cpu,
    for_each_present_cpu,
    for_each_task,
    list_for_each,
    list_for_each_entry,
    per_cpu,
    per_cpu_ptr,
)

# Importing typing would take longer than opening a dump does. Type checkers take this for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Optional, Sequence, Union

    from ._enumerator import TypeEnumerator
    from .answers import (
        Check,
        Crash,
        Evidence,
        Event,
        Finding,
        Frame,
        Ibs,
        InvariantResult,
        LookAlike,
        Pmu,
        PmuEvent,
        Reference,
        Triage,
        report,
    )
    from .drgn_bridge import from_drgn, to_drgn
    from .rules import PerfState, Rule, load_rules, rule

    _Path = Union[str, "os.PathLike[str]"]

Program = Kernel
"""drgn's name of it, for annotations in scripts that were written for drgn."""


def open(path: Union[_Path, Sequence[_Path]], debuginfo: Optional[Iterable[_Path]] = None, *,
         search_debuginfo: bool = True) -> Kernel:
    """Open a vmcore, a minimal dump, or a directory such as /var/crash/202611200419.

    :param path: the dump; of a dump split by makedumpfile all parts.
    :param debuginfo: vmlinux files, or directories to look for one in. The dump alone is enough.
    :param search_debuginfo: look for a vmlinux in the usual places as well.
    :raises InputError: it cannot be used; the message says why and what to do.
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    return Kernel._open([os.fspath(p) for p in paths], [os.fspath(p) for p in debuginfo or ()], search_debuginfo)


# What is not needed to look at a kernel is imported when it is asked for: a script that prints a few values is to
# start at once.
_LAZY: Dict[str, str] = {
    "Check": "answers",
    "Crash": "answers",
    "Evidence": "answers",
    "Event": "answers",
    "Finding": "answers",
    "Frame": "answers",
    "Ibs": "answers",
    "InvariantResult": "answers",
    "LookAlike": "answers",
    "Pmu": "answers",
    "PmuEvent": "answers",
    "Reference": "answers",
    "Triage": "answers",
    "report": "answers",
    "PerfState": "rules",
    "Rule": "rules",
    "TypeEnumerator": "_enumerator",
    "load_rules": "rules",
    "rule": "rules",
    "from_drgn": "drgn_bridge",
    "to_drgn": "drgn_bridge",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


__all__ = (
    "NULL",
    "Check",
    "Crash",
    "Event",
    "Evidence",
    "FaultError",
    "Finding",
    "Frame",
    "Ibs",
    "InputError",
    "InvariantResult",
    "Kernel",
    "KernelLog",
    "LogRecord",
    "LookAlike",
    "Object",
    "PerfState",
    "Pmu",
    "PmuEvent",
    "Program",
    "Reference",
    "Rule",
    "StackFrame",
    "StackTrace",
    "Symbol",
    "Thread",
    "Triage",
    "Type",
    "TypeEnumerator",
    "TypeMember",
    "__version__",
    "cast",
    "container_of",
    "find_task",
    "for_each_online_cpu",
    "for_each_possible_cpu",
    "for_each_present_cpu",
    "for_each_task",
    "from_drgn",
    "list_for_each",
    "list_for_each_entry",
    "load_rules",
    "offsetof",
    "open",
    "per_cpu",
    "per_cpu_ptr",
    "reinterpret",
    "report",
    "rule",
    "sizeof",
    "to_drgn",
)
