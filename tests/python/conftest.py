# SPDX-License-Identifier: LGPL-2.1-or-later
"""Dumps for the tests, and the command line that Python's answers are held against."""

import json
import os
import pathlib
import subprocess

import pytest

import perfcore

SOURCE = pathlib.Path(os.environ["PERFCORE_SOURCE"])
TOOL = os.environ["PERFCORE_TOOL"]
BUNDLED = sorted((SOURCE / "testdata").glob("*.vmcore"))


def bundled(name):
    return SOURCE / "testdata" / f"{name}.vmcore"


def truth_of(path):
    with open(path.with_suffix(".truth.json"), encoding="utf-8") as file:
        return json.load(file)


def tool(*arguments):
    """The command line's JSON answer."""
    result = subprocess.run([TOOL, *map(str, arguments), "--format", "json"], capture_output=True, text=True,
                            timeout=120, check=False)
    assert result.returncode in (0, 10, 11, 12), result.stderr
    return json.loads(result.stdout)


def open_bundled(name):
    """By the dump alone, so that the answer is the same on every machine."""
    return perfcore.open(bundled(name), search_debuginfo=False)


@pytest.fixture(params=BUNDLED, ids=lambda path: path.stem)
def dump(request):
    return request.param


@pytest.fixture
def healthy():
    return open_bundled("healthy-6.12.117")


@pytest.fixture
def broken():
    return open_bundled("null-events-6.18.12")
