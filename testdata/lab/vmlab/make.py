# SPDX-License-Identifier: LGPL-2.1-or-later
"""From a scenario and a kernel to a directory with a dump, its truth and the console."""

import json
import pathlib
import time

from . import LabError, Skip, dump, scenarios, truth
from .guest import Guest
from .kernel import Kernel, first_vulnerable

ATTEMPTS = 3  # a scenario that waits for a moment may miss it


def choose_kernel(packages, scenario, spec):
    spec = spec or scenario.DEFAULT_KERNEL
    kernel = first_vulnerable(packages) if spec == "vulnerable" else Kernel(packages, spec)
    reason = scenario.suits(kernel)
    if reason:
        raise Skip(f"{kernel.release}: {reason}")
    return kernel


def _run(scenario, kernel, directory, formats, options):
    archive = scenario.archive(kernel) if hasattr(scenario, "archive") else None  # of the default user space
    with Guest(kernel, archive=archive, **{**scenario.GUEST, **options}) as guest:
        try:
            guest.boot(scenario.HOOKS)
            outcome = scenario.run(guest)
            if hasattr(scenario, "collect"):
                found, files = scenario.collect(guest, directory)
            else:
                guest.halt()
                guest.restore()
                found = truth.read(guest)
                files = dump.write(guest, directory, formats)
        finally:
            guest.pump()
            (directory / "console.log").write_text(guest.output, encoding="utf-8")
        found.update(kaslr=guest.slide != 0, lab_patches=guest.patches, files=files)
    return found, outcome


def make(packages, name, spec=None, *, directory, formats=("kdump",), kaslr=True, accelerator="tcg", say=print):
    """Makes one dump. Returns its truth, which is in directory/truth.json too."""
    scenario = scenarios.load(name)
    started = time.monotonic()
    kernel = choose_kernel(packages, scenario, spec)
    say(f"{name}: {kernel.package}")
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            found, outcome = _run(scenario, kernel, directory, formats, {"kaslr": kaslr, "accelerator": accelerator})
            break
        except Skip:
            raise
        except LabError as error:
            if attempt == ATTEMPTS:
                raise
            say(f"{name}: attempt {attempt}: {error}")
    found.update(name=f"{name}-{kernel.version}", scenario=name, how=outcome.how, expect=outcome.expect,
                 expect_crash=outcome.crash, code=kernel.code, **outcome.facts)
    (directory / "truth.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    files = ", ".join(f"{file} ({(directory / file).stat().st_size >> 20} MB)" for file in found["files"])
    say(f"{name}: {directory}/{files} and truth.json in {time.monotonic() - started:.0f} s")
    return found
