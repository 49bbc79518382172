# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/python.md says what is so: its sessions are run, and its rule runs."""

import doctest
import re

import pytest

import perfcore
from conftest import SOURCE

GUIDE = (SOURCE / "docs" / "python.md").read_text(encoding="utf-8")
SESSIONS = [block for block in re.findall(r"^```\n(.*?)^```$", GUIDE, re.S | re.M) if block.startswith(">>>")]


@pytest.mark.parametrize("number", range(len(SESSIONS)))
def test_sessions_are_real(number, monkeypatch):
    monkeypatch.chdir(SOURCE)
    if "import drgn" in SESSIONS[number]:
        pytest.importorskip("drgn")
    test = doctest.DocTestParser().get_doctest(SESSIONS[number], {}, f"session {number}", "docs/python.md", 0)
    failures = []
    doctest.DocTestRunner(verbose=False).run(test, out=failures.append)
    assert not failures, "".join(failures)
    assert len(test.examples) > 5


def test_there_are_two_sessions():
    assert len(SESSIONS) == 2


def test_the_rule_runs(dump):
    code = next(block for block in re.findall(r"^```python\n(.*?)^```$", GUIDE, re.S | re.M) if "@perfcore.rule" in block)
    names = {}
    exec(compile(code, "docs/python.md", "exec"), names)
    answer = perfcore.open(dump, search_debuginfo=False).triage(rules=[names["throttled"]])
    finding = answer.finding("site-throttled")
    assert not finding.summary.startswith(("failed", "not run"))
    assert finding.title == "All events of a CPU are throttled"


def test_every_name_in_the_guide_is_there():
    for name in perfcore.__all__:
        assert hasattr(perfcore, name)
    for name in re.findall(r"\bperfcore\.([a-z_]+)\(", GUIDE):
        assert hasattr(perfcore, name), name
    for name in re.findall(r"\b(?:k|prog)\.([a-z_0-9]+)\(", GUIDE):
        assert hasattr(perfcore.Kernel, name) or name in ("set_core_dump",), name
