#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""CPU time and peak memory of `perfcore triage` and of drgn doing less; see bench/README.md."""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


class Run:
    """One way of looking at one dump."""

    def __init__(self, name, command, accepted):
        self.name, self.command, self.accepted = name, command, accepted
        self.cpu, self.memory = [], []
        self.failure = None

    def once(self):
        """Runs it once and keeps the figures, or why there are none."""
        if self.failure:
            return
        process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        if code not in self.accepted:
            lines = complaint.decode(errors="replace").strip().splitlines()
            self.failure = f"exit code {code}: {lines[-1] if lines else ''}"
            return
        self.cpu.append((usage.ru_utime + usage.ru_stime) * 1e3)
        self.memory.append(usage.ru_maxrss / 1024)

    def row(self):
        if self.failure:
            return f"{self.name:<58} {self.failure}"
        return f"{self.name:<58} {statistics.median(self.cpu):9.1f} {min(self.cpu):9.1f} {max(self.memory):10.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dumps", nargs="+", metavar="DUMP", type=pathlib.Path)
    parser.add_argument("--debuginfo", help="vmlinux with DWARF of the dumped kernel")
    parser.add_argument("--perfcore", default=str(HERE.parent / "build" / "release" / "bin" / "perfcore"))
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()

    answered = (0, 10, 11)
    runs = []
    for dump in options.dumps:
        perfcore = [options.perfcore, "triage", str(dump)]
        runs.append(Run(f"perfcore triage, dump alone, {dump.name}", perfcore + ["--no-debuginfo"], answered))
        if options.debuginfo:
            runs.append(Run(f"perfcore triage, vmlinux, {dump.name}", perfcore + ["--debuginfo", options.debuginfo],
                            answered))
            if shutil.which("drgn"):
                runs.append(Run(f"drgn, vmlinux, {dump.name}",
                                ["drgn", "-q", "-c", str(dump), "-s", options.debuginfo, str(HERE / "drgn_state.py")],
                                (0,)))
    for run in runs:  # fill the page cache; not counted
        run.once()
        run.cpu.clear()
        run.memory.clear()
    for _ in range(options.runs):
        for run in runs:
            run.once()
    print(f"{options.runs} runs each, alternating, files cached")
    print(f"{'':<58} {'CPU ms':>9} {'least':>9} {'peak MiB':>10}")
    for run in runs:
        print(run.row())
    return 1 if any(run.failure for run in runs if run.name.startswith("perfcore")) else 0


if __name__ == "__main__":
    sys.exit(main())
