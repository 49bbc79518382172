# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the tool under test and finds dumps to run it on."""

import json
import os
import pathlib
import subprocess
import unittest

import jsonschema

SOURCE = pathlib.Path(os.environ["PERFCORE_SOURCE"])
TOOL = os.environ["PERFCORE_TOOL"]
TIMEOUT = 120  # seconds; the tool stops itself long before, also under sanitizers

EXIT_DONE, EXIT_USAGE, EXIT_INPUT, EXIT_INTERNAL, EXIT_ROOT_CAUSE, EXIT_DEFECT, EXIT_NOT_READ = 0, 1, 2, 3, 10, 11, 12
COMMANDS = ("triage", "check", "show", "addr", "type", "log", "print", "info", "extract", "record", "report")


def run(*arguments, env=None, cwd=None):
    """Runs the tool without a terminal. Colours and width are what the tool chooses, not this machine."""
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    clean.update(env or {})
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, errors="surrogateescape",
                          timeout=TIMEOUT, env=clean, cwd=cwd, check=False)


def schema(name):
    with open(SOURCE / "docs" / "schema" / f"{name}.schema.json", encoding="utf-8") as file:
        return json.load(file)


def run_json(schema_name, *arguments):
    """Runs with --format json; the answer is held against its schema. Returns (exit code, answer)."""
    result = run(arguments[0], "--format", "json", *arguments[1:])
    if result.returncode not in (EXIT_DONE, EXIT_ROOT_CAUSE, EXIT_DEFECT, EXIT_NOT_READ):
        raise AssertionError(f"{arguments}: exit code {result.returncode}: {result.stderr}")
    answer = json.loads(result.stdout)
    jsonschema.Draft202012Validator(schema(schema_name)).validate(answer)
    return result.returncode, answer


class Dump:
    """A vmcore and what is known to be true of it."""

    def __init__(self, path, truth):
        self.path = path
        with open(truth, encoding="utf-8") as file:
            self.truth = json.load(file)

    def __str__(self):
        return str(self.path)

    def expect(self, rule):
        return next((e for e in self.truth.get("expect", []) if e["rule"] == rule), None)


def bundled_dumps():
    """testdata/NAME.vmcore with testdata/NAME.truth.json."""
    return [Dump(path, path.with_suffix(".truth.json")) for path in sorted((SOURCE / "testdata").glob("*.vmcore"))]


def full_dumps():
    """Dumps that are too large to bundle: DIRECTORY/NAME/{vmcore*,truth.json} below $PERFCORE_TEST_DUMPS."""
    top = os.environ.get("PERFCORE_TEST_DUMPS")
    if not top:
        return []
    found = []
    for truth in sorted(pathlib.Path(top).glob("*/truth.json")):
        found += [Dump(path, truth) for path in sorted(truth.parent.glob("vmcore*"))
                  if path.is_file() and path.suffix in (".elf", ".kdump", ".flat")]
    return found


def all_dumps():
    return bundled_dumps() + full_dumps()


def some_dump(name):
    """A dump whose name starts so, bundled ones first; the test is skipped when there is none."""
    for dump in all_dumps():
        if dump.path.name.startswith(name) or dump.path.parent.name.startswith(name):
            return dump
    raise unittest.SkipTest(f"no dump {name}* in testdata/ or $PERFCORE_TEST_DUMPS")
