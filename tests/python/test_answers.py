# SPDX-License-Identifier: LGPL-2.1-or-later
"""triage(), check() and their siblings are the command line's answers, as dataclasses."""

import dataclasses
import subprocess

import pytest

import perfcore
from conftest import TOOL, bundled, open_bundled, tool, truth_of


def test_triage_is_the_command_lines(dump):
    answer = perfcore.open(dump, search_debuginfo=False).triage()
    expected = tool("triage", dump, "--no-debuginfo")
    assert answer.to_dict() == expected
    assert [finding.to_dict() for finding in answer.findings] == expected["findings"]
    assert answer.crash.class_ == expected["crash"]["class"]
    assert [frame.function for frame in answer.crash.stack] == [f["function"] for f in expected["crash"]["stack"]]


def test_triage_knows_the_truth(dump):
    answer = perfcore.open(dump, search_debuginfo=False).triage()
    for expected in truth_of(dump).get("expect", []):
        finding = answer.finding(expected["rule"])
        assert finding.verdict == expected["verdict"]
        if expected.get("cause_of_crash") is not None:
            assert finding.cause_of_crash == expected["cause_of_crash"]


def test_root_cause(broken, healthy):
    answer = broken.triage()
    assert answer.root_cause is not None
    assert answer.root_cause.rule == "perf-x86-null-events"
    assert answer.root_cause.cpus == (1,)
    assert answer.defect is answer.root_cause
    assert answer.root_cause.evidence[0].address is None or isinstance(answer.root_cause.evidence[0].address, int)
    assert healthy.triage().root_cause is None
    with pytest.raises(LookupError):
        answer.finding("no-such-rule")


def test_printed_as_the_command_line_prints(broken):
    env = {"COLUMNS": "100", "NO_COLOR": "1", "PATH": "/usr/bin"}
    text = subprocess.run([TOOL, "triage", str(bundled("null-events-6.18.12")), "--no-debuginfo"],
                          capture_output=True, text=True, check=False, env=env).stdout
    assert str(broken.triage()) == text


def test_every_key_has_an_attribute(broken):
    """A key that the JSON writer gets and the dataclass lacks is found here."""
    def walk(answer):
        names = {field.metadata.get("key") or field.name for field in dataclasses.fields(answer) if field.init}
        assert set(answer.to_dict()) <= names, type(answer).__name__
        for field in dataclasses.fields(answer):
            value = getattr(answer, field.name)
            for item in value if isinstance(value, tuple) else [value]:
                if dataclasses.is_dataclass(item):
                    walk(item)

    for answer in (broken.triage(), broken.check(), broken.pmu(1), *broken.perf_events(), *broken.ibs(1)):
        walk(answer)


def test_without_its_source_an_answer_writes_the_same(broken):
    def rebuilt(answer):
        values = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer) if field.init}
        return type(answer)(**values)

    for answer in (*broken.triage().findings, *broken.check().results, broken.crash(), broken.pmu(1),
                   *broken.perf_events()):
        assert rebuilt(answer).to_dict() == answer.to_dict()


def test_answers_cannot_be_changed(broken):
    answer = broken.triage()
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.findings = ()
    answer.to_dict()["findings"].clear()
    assert answer.to_dict()["findings"]


def test_check_is_the_command_lines(dump):
    answer = perfcore.open(dump, search_debuginfo=False).check()
    assert answer.to_dict() == tool("check", dump, "--no-debuginfo")
    assert {result.status for result in answer.violated} <= {"violated"}


def test_pmu_is_the_command_lines(dump):
    k = perfcore.open(dump, search_debuginfo=False)
    for cpu in tool("show", dump, "pmu", "--no-debuginfo")["cpus"]:
        pmu = k.pmu(cpu["cpu"])
        assert pmu.to_dict() == cpu
        assert pmu.cpu == cpu["cpu"]
    with pytest.raises(ValueError):
        k.pmu(9999)


def test_pmu_has_the_map(broken, healthy):
    assert broken.pmu(1).counters and "missing" in broken.pmu(1).counters.values()
    assert healthy.pmu(1).counters[0] == "running"
    assert healthy.pmu(1).active_mask == 15
    assert healthy.pmu(1).event_list[0].hw_idx == 0


def test_events_are_the_command_lines(dump):
    k = perfcore.open(dump, search_debuginfo=False)
    assert [event.to_dict() for event in k.perf_events()] == tool("show", dump, "events", "--no-debuginfo")["events"]


def test_ibs_is_the_command_lines():
    k = open_bundled("ibs-race-6.12.117")
    answer = tool("show", bundled("ibs-race-6.12.117"), "ibs", "--no-debuginfo")
    for cpu in range(4):
        expected = [(pmu["name"], item) for pmu in answer["pmus"] for item in pmu["cpus"] if item["cpu"] == cpu]
        assert [(item.name, item.to_dict()) for item in k.ibs(cpu)] == expected
    assert any(item.state for cpu in range(4) for item in k.ibs(cpu))


def test_crash_runs_no_rule(broken):
    crash = broken.crash()
    assert crash.to_dict() == broken.triage().crash.to_dict()
    assert (crash.cpu, crash.member, crash.null_pointer) == (1, "hw.last_period", True)


KCSAN = """\
[   12.345678] ==================================================================
[   12.345680] BUG: KCSAN: data-race in poll_one / poll_two
[   12.345682]
[   12.345684] write to 0xffff888100000000 of 4 bytes by task 10 on cpu 0:
[   12.345686]  poll_one+0x10/0x20
[   12.345688]
[   12.345690] read to 0xffff888100000000 of 4 bytes by task 11 on cpu 1:
[   12.345692]  poll_two+0x10/0x20
[   12.345694]
[   12.345696] value changed: 0x00000001 -> 0x00000002
[   12.345698] ==================================================================
"""


def test_report_is_the_command_lines(tmp_path):
    log = tmp_path / "console.log"
    log.write_text(KCSAN, encoding="utf-8")
    answer = perfcore.report(KCSAN)
    assert answer == tool("report", log)
    assert perfcore.report("nothing of interest\n") == tool_on_text(tmp_path, "nothing of interest\n")


def tool_on_text(tmp_path, text):
    log = tmp_path / "other.log"
    log.write_text(text, encoding="utf-8")
    return tool("report", log)
