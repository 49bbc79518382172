# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the bundled dumps of testdata/ again: a new guest of the same kernel, or of the newest of its series, `perfcore
extract`, and what became different."""

import json
import pathlib
import shutil
import subprocess
import tempfile

from . import LabError, Skip, scenarios
from .make import choose_kernel, make

TESTDATA = pathlib.Path(__file__).resolve().parents[2]
# Bundled name, kernel version, scenario.
BUNDLED = (
    ("null-events", "6.18.12", "null-events"),
    ("throttled-arch", "6.18.12", "throttled-moved-panic"),
    ("lookalike-corruption", "6.12.117", "corruption-lookalike"),
    ("healthy", "6.1.192", "healthy"),
    ("healthy", "6.12.117", "healthy"),
    ("healthy", "7.2.12", "healthy"),
    ("ibs-race", "6.12.117", "ibs-race"),
    ("aux-hang", "6.12.117", "aux-hang"),
)


def _kernel_spec(packages, name, version):
    """The bundled dump's own kernel if the archive still has it, else the newest of its series."""
    truth = json.loads((TESTDATA / f"{name}-{version}.truth.json").read_text(encoding="utf-8"))
    release = truth["kernel_release"]
    return release if release in packages.kernels() else ".".join(version.split(".")[:2])


def _ask(tool, *arguments):
    result = subprocess.run([tool, *map(str, arguments), "--format", "json", "--no-debuginfo"], capture_output=True, text=True,
                            timeout=120, check=False)
    if not result.stdout:
        raise LabError(f"{tool} {' '.join(map(str, arguments))}: {result.stderr.strip()}")
    return json.loads(result.stdout)


def _verdicts(tool, path):
    return {f["rule"]: f"{f['verdict']}/{f['stage']}" + (", cause" if f["cause_of_crash"] else "")
            for f in _ask(tool, "triage", path)["findings"]}


def _shape(truth):
    """What of a truth is the same in every run: per CPU how many events, of which kinds, in which state."""
    return {f"CPU {cpu['cpu']}": f"{cpu['n_events']} events, active {cpu['active_mask']}, hw.state "
                                 f"{[event.get('hw_state') for event in cpu['event_list']]}" for cpu in truth["cpus"]}


def _changes(old, new):
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key, 'nothing')} -> {new.get(key, 'nothing')}"


def refresh_one(packages, tool, name, version, scenario, directory, say):
    """Makes NAME-VERSION.vmcore and .truth.json in `directory` and says what differs from the bundled ones."""
    kernel = choose_kernel(packages, scenarios.load(scenario), _kernel_spec(packages, name, version))
    upstream = packages.available[packages.image_package(kernel.release)].split("-")[0]
    stem = f"{name}-{upstream}"
    with tempfile.TemporaryDirectory(prefix="perfcore-lab-") as scratch:
        truth = make(packages, scenario, kernel.release, directory=scratch, formats=("kexec",), say=say)
        target = directory / f"{stem}.vmcore"
        target.unlink(missing_ok=True)
        result = subprocess.run([tool, "extract", "--no-debuginfo", pathlib.Path(scratch) / "vmcore.kexec.elf", "-o", target],
                                capture_output=True, text=True, check=False)
        if not target.exists():
            raise LabError(f"perfcore extract: {result.stderr.strip()}")
    truth["name"] = stem
    truth.pop("files")
    target.with_suffix(".truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    old = TESTDATA / f"{name}-{version}.vmcore"
    if stem != f"{name}-{version}":
        say(f"  {old.name} is {target.name} now: {version} is not offered any more")
    say(f"  size {old.stat().st_size} -> {target.stat().st_size}")
    for line in _changes(_verdicts(tool, old), _verdicts(tool, target)):
        say(f"  verdict of {line}")
    for line in _changes(_shape(json.loads(old.with_suffix(".truth.json").read_text(encoding="utf-8"))), _shape(truth)):
        say(f"  {line}")
    return target, old


def default_tool():
    return shutil.which("perfcore") or str(TESTDATA.parent / "build/release/bin/perfcore")


def refresh(packages, tool, names, directory, install, say=print):
    directory.mkdir(parents=True, exist_ok=True)
    skipped = []
    for name, version, scenario in BUNDLED:
        if names and f"{name}-{version}" not in names and name not in names:
            continue
        say(f"{name}-{version}")
        try:
            new, old = refresh_one(packages, tool, name, version, scenario, directory, say)
        except Skip as reason:
            say(f"  skipped: {reason}")
            skipped.append(name)
            continue
        if install and new.name == old.name:
            for suffix in (".vmcore", ".truth.json"):
                shutil.copyfile(new.with_suffix(suffix), old.with_suffix(suffix))
            say(f"  {old} replaced")
    return skipped
