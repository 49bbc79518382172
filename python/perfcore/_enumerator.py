# SPDX-License-Identifier: LGPL-2.1-or-later
"""Apart from the rest because few scripts look at enums."""

from typing import NamedTuple


class TypeEnumerator(NamedTuple):
    """An enumerator of a Type."""

    name: str
    value: int
