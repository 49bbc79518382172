# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules in Python: in a session and at the command line."""

import json
import os
import pathlib
import subprocess

import pytest

import perfcore
from conftest import TOOL, bundled, open_bundled, tool


@perfcore.rule(id="test-null-slot", needs=["struct cpu_hw_events", "cpu_hw_events"])
def null_slot(kernel, crash, perf):
    """An active counter without an event."""
    for cpu in perf.cpus():
        hw = perfcore.per_cpu(kernel["cpu_hw_events"], cpu)
        for counter, cell in perf.pmu(cpu).counters.items():
            if cell == "missing":
                slot = hw.events[counter]
                return perfcore.Finding(
                    verdict="likely", stage="crashed", cause_of_crash=crash.cpu == cpu, cpus=[cpu],
                    summary=f"counter {counter} of CPU {cpu} has no event",
                    evidence=[perfcore.Evidence(claim="events[] is NULL", expression=slot.expression_,
                                                address=slot.address_, observed=hex(slot), expected="an event",
                                                result="supports", weight=40)],
                    look_alikes=[perfcore.LookAlike("corruption", True, "the rest is sane")],
                    references=[perfcore.Reference("link", "https://example.org/", "ours")],
                    explanation=["first"], remedy=["update"], facts={"counter": counter, "cpus": [cpu], "names": ["a"],
                                                                      "on": True, "by": {"armed": [cpu]}})
    return None


def finding(kernel, *rules):
    return kernel.triage(rules=rules).finding(rules[0].id)


def test_a_rule_finds(broken):
    answer = broken.triage(rules=[null_slot])
    found = answer.finding("test-null-slot")
    assert (found.title, found.verdict, found.stage, found.cpus) == ("An active counter without an event", "likely",
                                                                     "crashed", (1,))
    assert found.score == 40
    assert found.facts == {"counter": found.facts["counter"], "cpus": [1], "names": ["a"], "on": True,
                           "by": {"armed": [1]}}
    assert found.look_alikes[0].ruled_out and found.references[0].title == "ours"
    evidence = found.evidence[0]
    assert evidence.address == broken.evaluate(evidence.expression).address_
    # Proven goes before likely; the rules in C++ are all still there.
    assert answer.findings[0].rule == "perf-x86-null-events"
    assert answer.findings[1].rule == "test-null-slot"
    assert len(answer.findings) == len(broken.triage().findings) + 1
    assert "counter" in str(answer)


def test_none_is_not_applicable(healthy):
    found = finding(healthy, null_slot)
    assert (found.verdict, found.stage) == ("not-applicable", "none")


@perfcore.rule(id="test-raises")
def raises(kernel, crash, perf):
    raise ZeroDivisionError("no divisor")


@perfcore.rule(id="test-unread")
def unread(kernel, crash, perf):
    return perfcore.Finding(verdict="proven", cpus=[kernel.read_u8(0x10)])


@perfcore.rule(id="test-exits")
def exits(kernel, crash, perf):
    raise SystemExit(5)


@perfcore.rule(id="test-wrong-type")
def wrong_type(kernel, crash, perf):
    return "proven"


@perfcore.rule(id="test-wrong-verdict")
def wrong_verdict(kernel, crash, perf):
    return perfcore.Finding(verdict="certain")


@perfcore.rule(id="test-wrong-fact")
def wrong_fact(kernel, crash, perf):
    return perfcore.Finding(verdict="likely", facts={"when": 1.5})


@perfcore.rule(id="test-needs", needs=["struct no_such_struct"])
def needs_type(kernel, crash, perf):
    raise AssertionError("ran without what it needs")


@perfcore.rule(id="test-needs-symbol", needs=["no_such_symbol"])
def needs_symbol(kernel, crash, perf):
    raise AssertionError("ran without what it needs")


def test_a_rule_that_raises_stops_nothing_else(broken):
    answer = broken.triage(rules=[raises, exits, wrong_type, wrong_verdict, wrong_fact, null_slot])
    failed = answer.finding("test-raises")
    assert failed.verdict == "undetermined"
    assert failed.summary.startswith("failed: ZeroDivisionError: no divisor (")
    assert f"{pathlib.Path(__file__).name}:" in failed.summary and "in raises" in failed.summary
    assert "SystemExit" in answer.finding("test-exits").summary
    assert "str" in answer.finding("test-wrong-type").summary
    assert "certain" in answer.finding("test-wrong-verdict").summary
    assert answer.finding("test-wrong-fact").summary.startswith("failed: ")
    assert answer.finding("test-null-slot").verdict == "likely"
    assert answer.root_cause.rule == "perf-x86-null-events"


def test_what_could_not_be_read_is_undetermined(broken):
    found = finding(broken, unread)
    assert found.verdict == "undetermined"
    assert found.summary.startswith("not read: ") and "0x10" in found.summary
    assert found.not_visible


def test_a_rule_without_what_it_needs_is_not_run(broken):
    assert finding(broken, needs_type).summary == "not run: struct no_such_struct is missing"
    assert finding(broken, needs_symbol).summary == "not run: symbol no_such_symbol is missing"


@perfcore.rule(id="test-interrupted")
def interrupted(kernel, crash, perf):
    raise KeyboardInterrupt


def test_control_c_is_not_a_failure(broken):
    with pytest.raises(KeyboardInterrupt):
        broken.triage(rules=[interrupted])
    assert broken.triage().root_cause is not None, "and the session goes on"


def test_two_rules_of_one_name_are_refused(broken):
    for rules in ([null_slot, null_slot], [perfcore.rule(id="perf-x86-null-events")(lambda *_: None)]):
        with pytest.raises(ValueError, match="two rules"):
            broken.triage(rules=rules)
    with pytest.raises(TypeError):
        broken.triage(rules=[lambda *_: None])
    with pytest.raises(TypeError):
        perfcore.rule(id="x", needs="cpu_hw_events")


RULE_FILE = '''
import perfcore
from perfcore import Finding

@perfcore.rule(id="site-always", needs=["cpu_hw_events"])
def always(kernel, crash, perf):
    """Always here"""
    return Finding(verdict="possible", stage="armed", summary=f"seen on {len(perf.cpus())} CPUs", cpus=perf.cpus())

@perfcore.rule(id="site-broken")
def broken(kernel, crash, perf):
    return kernel.no_such_method()
'''


@pytest.fixture
def directory(tmp_path):
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "site.py").write_text(RULE_FILE, encoding="utf-8")
    (rules / "typo.py").write_text("def (:\n", encoding="utf-8")
    (rules / "_private.py").write_text("raise RuntimeError\n", encoding="utf-8")
    (rules / "json.py").write_text("# hides no module\n", encoding="utf-8")
    return rules


def test_rules_of_a_directory(directory):
    rules = perfcore.load_rules(str(directory))
    assert [rule.id for rule in rules] == ["site-always", "site-broken", "typo"]
    answer = open_bundled("null-events-6.18.12").triage(rules=rules)
    assert answer.finding("site-always").summary == "seen on 4 CPUs"
    assert "AttributeError" in answer.finding("site-broken").summary
    assert "SyntaxError" in answer.finding("typo").summary
    with pytest.raises(FileNotFoundError):
        perfcore.load_rules(str(directory / "nothing"))


def run(*arguments, cwd=None, env=None):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False, cwd=cwd,
                          env=env)


def test_the_command_line_runs_them(directory):
    dump = bundled("null-events-6.18.12")
    result = run("triage", dump, "--no-debuginfo", "--rules", directory, "--format", "json")
    assert result.returncode == 10, result.stderr
    answer = json.loads(result.stdout)
    plain = tool("triage", dump, "--no-debuginfo")
    own = {"site-always", "site-broken", "typo"}
    assert [f for f in answer["findings"] if f["rule"] not in own] == plain["findings"]
    assert {f["rule"] for f in answer["findings"]} >= own
    assert {key: value for key, value in answer.items() if key not in ("findings", "unread")} == \
        {key: value for key, value in plain.items() if key not in ("findings", "unread")}
    text = run("triage", dump, "--no-debuginfo", "--rules", directory)
    assert text.returncode == 10
    assert "possible (armed): seen on 4 CPUs" in text.stdout


def test_a_defect_of_a_rule_is_an_exit_code(directory):
    result = run("triage", bundled("healthy-6.12.117"), "--no-debuginfo", "--rules", directory)
    assert result.returncode == 11, result.stdout + result.stderr


def test_the_command_line_says_what_is_wrong(directory, tmp_path):
    result = run("triage", bundled("healthy-6.12.117"), "--rules", tmp_path / "nothing")
    assert result.returncode == 2 and "nothing" in result.stderr
    result = run("triage", tmp_path / "no-dump", "--rules", directory)
    assert result.returncode == 2 and "no-dump" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_current_directory_is_not_searched_for_modules(directory, tmp_path):
    """A dump's directory may hold anything."""
    trap = tmp_path / "crash"
    trap.mkdir()
    for name in ("json.py", "perfcore.py", "argparse.py", "dataclasses.py"):
        (trap / name).write_text("raise SystemExit('trapped')\n", encoding="utf-8")
    result = run("triage", bundled("null-events-6.18.12"), "--no-debuginfo", "--rules", directory, cwd=trap)
    assert result.returncode == 10, result.stderr


def test_rules_of_installed_packages(tmp_path):
    package = tmp_path / "site"
    (package / "site_rules-1.dist-info").mkdir(parents=True)
    (package / "site_rules-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: site_rules\nVersion: 1\n",
                                                                 encoding="utf-8")
    (package / "site_rules-1.dist-info" / "entry_points.txt").write_text(
        "[perfcore.rules]\nall = site_rules\none = site_more:one\ngone = site_gone\n", encoding="utf-8")
    (package / "site_rules.py").write_text(RULE_FILE, encoding="utf-8")
    (package / "site_more.py").write_text(
        "import perfcore\n@perfcore.rule(id='site-one')\ndef one(kernel, crash, perf):\n    return None\n",
        encoding="utf-8")
    empty = tmp_path / "rules"
    empty.mkdir()
    result = run("triage", bundled("null-events-6.18.12"), "--no-debuginfo", "--rules", empty, "--format", "json",
                 env={**os.environ, "PYTHONPATH": str(package)})
    rules = {finding["rule"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert {"site-always", "site-broken", "site-one", "gone"} <= set(rules)
    assert "ModuleNotFoundError" in rules["gone"]["summary"]
