# SPDX-License-Identifier: LGPL-2.1-or-later
"""What drgn loads by the entry point group "drgn.plugins", where it has plugins.

drgn that has commands gets one more: %perfcore prints the triage of the kernel that the session looks at. Nothing is
read before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any, List

_registered: List[Any] = []


def drgn_prog_set(prog: Any) -> None:
    """Called by drgn when a program has got its target."""
    import drgn

    if not prog.flags & drgn.ProgramFlags.IS_LINUX_KERNEL or _registered:
        return
    try:
        commands: Any = importlib.import_module("drgn.commands")
    except ImportError:
        return

    def _cmd_perfcore(prog: Any, name: str, args: Any, **_: Any) -> Any:
        from . import from_drgn

        triage = from_drgn(prog).triage()
        print(triage)
        return triage

    register = commands.command(description="say what killed the kernel and why")
    _registered.append(register(_cmd_perfcore))
