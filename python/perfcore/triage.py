# SPDX-License-Identifier: LGPL-2.1-or-later
"""`perfcore triage DUMP --rules DIR` runs this module: the command line's triage with rules in Python besides.

Options are those of the command line, which has checked them.
"""

from __future__ import annotations

import argparse
import sys
from typing import List

from ._perfcore import InputError, _triage_command
from .rules import load_rules

_EXIT_USAGE, _EXIT_INPUT, _EXIT_INTERNAL = 1, 2, 3


def main(arguments: List[str]) -> int:
    """Returns the exit code; docs/exit-codes.md says what it means."""
    parser = argparse.ArgumentParser(prog="python3 -m perfcore.triage", description=__doc__)
    parser.add_argument("dumps", nargs="+", metavar="DUMP")
    parser.add_argument("--rules", action="append", default=[], metavar="DIR")
    parser.add_argument("--debuginfo", action="append", default=[], metavar="PATH")
    parser.add_argument("--no-debuginfo", action="store_true")
    parser.add_argument("--format", default="text", choices=("text", "json"))
    parser.add_argument("--color", default="auto", choices=("auto", "always", "never"))
    parser.add_argument("--output", default="", metavar="FILE")
    parser.add_argument("--time-limit", type=float, default=5, metavar="SECONDS")
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(arguments)
    try:
        return _triage_command(load_rules(*options.rules, installed=True), options.dumps, options.debuginfo,
                               options.no_debuginfo, options.format, options.color, options.output, options.explain,
                               options.verbose, options.time_limit)
    except InputError as error:
        print(f"perfcore: {error}", file=sys.stderr)
        return _EXIT_INPUT
    except OSError as error:
        print(f"perfcore: the rules in {error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return _EXIT_INPUT
    except ValueError as error:
        print(f"perfcore: {error}", file=sys.stderr)
        return _EXIT_USAGE
    except MemoryError:
        print("perfcore: out of memory: the limit of the tool was reached. The input is probably damaged, or a rule "
              "keeps too much", file=sys.stderr)
        return _EXIT_INTERNAL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
