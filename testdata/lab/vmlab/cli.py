# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line of the lab."""

import argparse
import pathlib
import sys

from . import LabError, Skip, compat, dump, refresh, scenarios
from .kernel import Kernel, vulnerable_kernels
from .make import make
from .packages import Packages, default_cache

EXIT_FAILED, EXIT_SKIPPED = 2, 3


def _make(packages, arguments):
    for name in arguments.scenario:
        directory = pathlib.Path(arguments.output) if arguments.output else None
        if directory is None or len(arguments.scenario) > 1:
            directory = (directory or pathlib.Path()) / (f"{name}-{arguments.kernel}" if arguments.kernel else name)
        make(packages, name, arguments.kernel, directory=directory, formats=arguments.format or ["kdump"],
             kaslr=arguments.kaslr, accelerator=arguments.accel)


def _list(packages, _):
    print("Scenarios")
    for name in scenarios.names():
        print(f"  {name:22} {scenarios.load(name).SUMMARY}")
    print("Kernels")
    suspected = set(vulnerable_kernels(packages))
    for release in packages.kernels():
        debug = "debug symbols" if f"linux-image-{release}-dbg" in packages.available else ""
        note = "has CVE-2026-23435 upstream" if release in suspected else ""
        print(f"  {release:32} {packages.available[packages.image_package(release)]:24} {debug:14} {note}".rstrip())


def _fetch(packages, arguments):
    for spec in arguments.kernel:
        kernel = Kernel(packages, spec)
        print(kernel.vmlinuz)
        if arguments.debug:
            print(kernel.debug_vmlinux())


def _refresh(packages, arguments):
    refresh.refresh(packages, arguments.perfcore, arguments.name, pathlib.Path(arguments.output), arguments.install)


def _compat_table(packages, arguments):
    compat.write(packages, arguments.perfcore, arguments.kernel or compat.SERIES, arguments.output)


def parser():
    top = argparse.ArgumentParser(prog="lab", description="Makes vmcores of real Debian kernels in QEMU, on demand.")
    top.add_argument("--cache", default=default_cache(), help="packages, kernels and tools (default: %(default)s)")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("make", help="make a dump and its truth.json")
    command.add_argument("scenario", nargs="+", choices=scenarios.names(), metavar="SCENARIO")
    command.add_argument("--kernel", help="series (6.12), version (6.18.12), release or package; by default the "
                                          "newest that suits the scenario")
    command.add_argument("--kaslr", action=argparse.BooleanOptionalAction, default=True)
    command.add_argument("--format", action="append", choices=list(dump.FORMATS), help="default: kdump; may be repeated")
    command.add_argument("--accel", default="tcg", help="QEMU accelerator (default: %(default)s)")
    command.add_argument("-o", "--output", metavar="DIR", help="default: ./SCENARIO[-KERNEL]")
    command.set_defaults(run=_make)
    commands.add_parser("list", help="list scenarios and the kernels on offer").set_defaults(run=_list)
    command = commands.add_parser("fetch", help="fetch kernels into the cache")
    command.add_argument("kernel", nargs="+")
    command.add_argument("--debug", action="store_true", help="also vmlinux with debug info (1 GB to fetch)")
    command.set_defaults(run=_fetch)
    command = commands.add_parser("refresh", help="make the bundled dumps of testdata/ again and show what changed")
    command.add_argument("name", nargs="*", help="of a bundled dump (default: all)")
    command.add_argument("--perfcore", default=refresh.default_tool(), help="the tool that extracts (default: %(default)s)")
    command.add_argument("--install", action="store_true", help="replace those in testdata/ whose kernel is still the same")
    command.add_argument("-o", "--output", metavar="DIR", default="refreshed", help="default: ./%(default)s")
    command.set_defaults(run=_refresh)
    command = commands.add_parser("compat-table", help="write docs/kernels.md: what the rules need, and what kernels call it")
    command.add_argument("kernel", nargs="*", help=f"default: {' '.join(compat.SERIES)}")
    command.add_argument("--perfcore", default=refresh.default_tool(), help="the tool that tells (default: %(default)s)")
    command.add_argument("-o", "--output", metavar="FILE", default=refresh.TESTDATA.parent / "docs/kernels.md")
    command.set_defaults(run=_compat_table)
    return top


def main():
    arguments = parser().parse_args()
    try:
        arguments.run(Packages(arguments.cache), arguments)
    except Skip as reason:
        print(f"lab: skipped: {reason}", file=sys.stderr)
        return EXIT_SKIPPED
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0
