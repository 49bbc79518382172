#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""One cell of the matrix kernels x scenarios: makes the dump, and holds perfcore's answers, by DWARF and by BTF, and
drgn's, against the truth. Prints what was checked, and what was skipped and why.

  vmtest.py SCENARIO KERNEL    KERNEL: a series (6.12), "vulnerable" (for null-events) or "newest"
  vmtest.py --twice SCENARIO KERNEL    makes it twice: other addresses, the same verdict

Environment: PERFCORE_TOOL, PERFCORE_SOURCE; PERFCORE_VMTEST_DEBUGINFO = fetch (a vmlinux with DWARF is fetched, 1 GB;
default), cached (used when it is there) or none. Where the machine is not to be trusted with guests, as in CI:
PERFCORE_VMTEST_SECONDS bounds a cell, and PERFCORE_VMTEST_LAB=may-fail skips what the lab cannot make; what it did make
must agree with the truth all the same."""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("PERFCORE_SOURCE") or pathlib.Path(__file__).resolve().parents[2])
TOOL = os.environ.get("PERFCORE_TOOL") or str(SOURCE / "build/release/bin/perfcore")
sys.path.insert(0, str(SOURCE / "testdata/lab"))
sys.dont_write_bytecode = True

import compare  # noqa: E402
from vmlab import LabError, Skip, agree, scenarios  # noqa: E402
from vmlab.make import choose_kernel, make  # noqa: E402
from vmlab.packages import Packages  # noqa: E402

EXIT_SKIPPED = 77  # SKIP_RETURN_CODE of the ctest entries
TIMEOUT = 120  # seconds for one question to perfcore


class Failures(list):
    def hold(self, what, differences):
        print(f"  {'ok' if not differences else 'FAILED':7} {what}")
        for line in differences[:20]:
            print(f"          {line}")
        self.extend(f"{what}: {line}" for line in differences)


def ask(*arguments):
    result = subprocess.run([TOOL, *map(str, arguments), "--format", "json"], capture_output=True, text=True,
                            timeout=TIMEOUT, check=False)
    if not result.stdout:
        raise AssertionError(f"perfcore {' '.join(map(str, arguments))}: {result.returncode}: {result.stderr}")
    return result.returncode, json.loads(result.stdout)


def in_lab(function, *arguments, **options):
    """What is about making a dump, not about perfcore: may be skipped where guests cannot be relied on."""
    try:
        return function(*arguments, **options)
    except Skip:
        raise
    except (LabError, OSError, subprocess.SubprocessError) as error:
        if os.environ.get("PERFCORE_VMTEST_LAB") != "may-fail":
            raise
        raise Skip(f"the lab could not make it: {error}") from error


def bound_time():
    seconds = int(os.environ.get("PERFCORE_VMTEST_SECONDS") or 0)

    def too_slow(*_):
        raise Skip(f"not done within {seconds} s")

    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(seconds)


def debug_vmlinux(kernel):
    """vmlinux with DWARF, or raises Skip with the reason."""
    policy = os.environ.get("PERFCORE_VMTEST_DEBUGINFO", "fetch")
    cached = kernel.packages.cache / "vmlinux" / f"vmlinux-{kernel.release}"
    if policy == "none" or policy == "cached" and not cached.exists():
        raise Skip(f"PERFCORE_VMTEST_DEBUGINFO={policy} and no vmlinux of {kernel.release} in the cache")
    return kernel.debug_vmlinux()


def check_dump(path, truth, sources, failures):
    """One dump file by each source of types ({name: options}); the answers of the first."""
    answers = {}
    for name, options in sources.items():
        _, state = ask("show", path, "pmu", *options)
        failures.hold(f"{path.name}, {name}: show pmu equals the truth", compare.pmu(state, truth))
        code, verdict = ask("triage", path, *options)
        failures.hold(f"{path.name}, {name}: triage gives the verdict", compare.triage(verdict, truth, code))
        answers[name] = state, verdict
    (one, *rest) = answers.values()
    for other in rest:
        failures.hold(f"{path.name}: {' and '.join(answers)} give one answer",
                      compare.two_answers(one[0], other[0]) +
                      compare.two_answers(compare.verdicts(one[1]), compare.verdicts(other[1])))
    return one


def cell(packages, scenario, kernel, directory, failures):
    """Makes and checks one dump; (truth, triage)."""
    truth = in_lab(make, packages, scenario, kernel.release, directory=directory, formats=("elf", "kexec", "kdump"))
    sources = {"BTF": ["--no-debuginfo"]}
    vmlinux = None
    try:
        vmlinux = debug_vmlinux(kernel)
        sources["DWARF"] = ["--debuginfo", vmlinux]
    except Skip as reason:
        print(f"  skipped DWARF and drgn: {reason}")
    verdict = None
    for file in truth["files"]:
        _, verdict = check_dump(directory / file, truth, sources, failures)
    elf = directory / "vmcore.kexec.elf"
    if vmlinux and elf.exists():
        try:
            failures.hold("drgn agrees with the truth", agree.with_drgn(elf, vmlinux, truth))
        except Skip as reason:
            print(f"  skipped drgn: {reason}")
    return truth, verdict


def addresses(truth):
    return {truth["kaslr_offset"], *(cpu["cpu_hw_events"] for cpu in truth["cpus"]),
            *(event["ptr"] for cpu in truth["cpus"] for event in cpu["event_list"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--twice", action="store_true")
    parser.add_argument("scenario", choices=scenarios.names(), metavar="SCENARIO")
    parser.add_argument("kernel", metavar="KERNEL")
    arguments = parser.parse_args()
    failures = Failures()
    try:
        bound_time()
        packages = in_lab(Packages)
        spec = in_lab(packages.kernels)[-1] if arguments.kernel == "newest" else arguments.kernel
        kernel = in_lab(choose_kernel, packages, scenarios.load(arguments.scenario), spec)
        results = []
        for _ in range(2 if arguments.twice else 1):
            with tempfile.TemporaryDirectory(prefix="perfcore-vmtest-") as directory:
                results.append(cell(packages, arguments.scenario, kernel, pathlib.Path(directory), failures))
        if arguments.twice:
            (one, verdict), (other, again) = results
            failures.hold("two runs: no PMU structure at the same address",
                          [f"both have {address}" for address in sorted(addresses(one) & addresses(other))])
            failures.hold("two runs: the same verdict and bucket",
                          compare.two_answers(compare.verdicts(verdict), compare.verdicts(again)))
    except Skip as reason:
        print(f"skipped: {arguments.scenario} on {arguments.kernel}: {reason}")
        return EXIT_SKIPPED
    except (LabError, AssertionError) as error:
        print(f"failed: {arguments.scenario} on {arguments.kernel}: {error}")
        return 1
    print(f"{len(failures)} differences" if failures else "all agree")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
