#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How many dumps a second perfcore batch reads: copies of given dumps, into a new store each time."""

import argparse
import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dump", nargs="*", type=pathlib.Path, help="default: the bundled dump of a healthy 6.12")
    parser.add_argument("--copies", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--perfcore", default=str(HERE.parent / "build" / "release" / "bin" / "perfcore"))
    options = parser.parse_args()
    dumps = options.dump or [HERE.parent / "testdata" / "healthy-6.12.117.vmcore"]
    rates, times = [], []
    with tempfile.TemporaryDirectory() as directory:
        copies = pathlib.Path(directory) / "dumps"
        copies.mkdir()
        for i in range(options.copies):
            source = dumps[i % len(dumps)]
            shutil.copy(source, copies / f"{i:06}-{source.name}")
        for run in range(options.runs):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            result = subprocess.run([options.perfcore, "batch", str(copies), "--jobs", str(options.jobs), "--store",
                                     f"{directory}/{run}.db", "--format", "json"], stdout=subprocess.PIPE, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            answer = json.loads(result.stdout)
            rates.append(answer["found"] / answer["seconds"])
            times.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / answer["found"] * 1e3)
    print(f"{options.copies} dumps, {options.jobs} jobs, {options.runs} runs: {statistics.median(rates):.0f} dumps/s, "
          f"{statistics.median(times):.1f} ms of CPU time each; at most {after.ru_maxrss // 1024} MiB in a process")


if __name__ == "__main__":
    main()
