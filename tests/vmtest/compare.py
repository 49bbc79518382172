# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore's answers against the truth about a guest. Each function lists the differences; none is agreement."""

# show pmu's names and the truth's.
CPU_FIELDS = {"address": "cpu_hw_events", "enabled": "enabled", "n_events": "n_events", "n_added": "n_added",
              "n_txn": "n_txn", "active_mask": "active_mask", "events": "events"}
EVENT_FIELDS = {"address": "ptr", "hw.idx": "hw_idx", "hw.state": "hw_state", "hw.last_cpu": "hw_last_cpu",
                "hw.interrupts": "hw_interrupts", "state": "state", "oncpu": "oncpu", "cpu": "cpu",
                "group_leader": "group_leader", "attr.type": "attr_type", "attr.config": "attr_config",
                "attr.pinned": "attr_pinned", "attr.freq": "attr_freq"}
ROOT_CAUSE, DEFECT, DONE = 10, 11, 0  # exit codes of triage


def _same(value, true):
    if isinstance(value, str) and value.startswith("0x"):
        return int(value, 16) == (int(true, 16) if isinstance(true, str) else true)
    return value == true


def pmu(answer, truth):
    """`show pmu` of a dump against truth["cpus"]."""
    found = []
    if len(answer["cpus"]) != len(truth["cpus"]):
        return [f"{len(answer['cpus'])} CPUs shown, {len(truth['cpus'])} are there"]
    for cpu, true in zip(answer["cpus"], truth["cpus"]):
        where = f"CPU {true['cpu']}"
        found += [f"{where} {field}: {cpu[field]}, true is {true[name]}" for field, name in CPU_FIELDS.items()
                  if not _same(cpu[field], true[name])]
        if len(cpu["event_list"]) != len(true["event_list"]):
            found.append(f"{where}: {len(cpu['event_list'])} events shown, {len(true['event_list'])} are there")
            continue
        for event, real in zip(cpu["event_list"], true["event_list"]):
            for field, name in EVENT_FIELDS.items():
                if name not in real:
                    continue
                # What the dump has not is said to be unread; anything else must be right.
                if event[field] is None and any(event["address"] in item["path"] for item in answer["unread"]):
                    continue
                if not _same(event[field], real[name]):
                    found.append(f"{where} event {real['ptr']} {field}: {event[field]}, true is {real[name]}")
    return found


def triage(answer, truth, code):
    """A triage and its exit code against truth["expect"] and truth["expect_crash"]."""
    found = []
    findings = {finding["rule"]: finding for finding in answer["findings"]}
    for expected in truth["expect"]:
        finding = findings.get(expected["rule"])
        if finding is None:
            found.append(f"{expected['rule']} is not in the answer")
            continue
        found += [f"{expected['rule']} {key}: {finding[key]}, expected is {expected[key]}"
                  for key in ("verdict", "stage", "cause_of_crash", "cpus")
                  if expected.get(key) is not None and finding[key] != expected[key]]
    for key, value in truth.get("expect_crash", {}).items():
        if answer["crash"][key] != value:
            found.append(f"crash {key}: {answer['crash'][key]}, expected is {value}")
    cause = any(f["cause_of_crash"] and f["verdict"] in ("proven", "likely") for f in answer["findings"])
    defect = any(f["verdict"] in ("proven", "likely", "possible") and f["stage"] in ("armed", "fired", "crashed")
                 for f in answer["findings"])
    wanted = ROOT_CAUSE if cause else DEFECT if defect else DONE
    if code != wanted:
        found.append(f"exit code {code}, expected is {wanted}")
    return found


# What may differ between two type sources: how they were named, and inlined frames, which only DWARF knows.
def _without_sources(value):
    if isinstance(value, dict):
        return {key: _without_sources(item) for key, item in value.items()
                if key not in ("types", "symbols", "stack", "source", "debuginfo", "basis")}
    if isinstance(value, list):
        return [_without_sources(item) for item in value]
    return value


def two_answers(one, other, path=""):
    """Two answers about one dump (by DWARF and by BTF)."""
    one, other = (_without_sources(one), _without_sources(other)) if not path else (one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        found = [f"{path}.{key}: in one answer only" for key in sorted(one.keys() ^ other.keys())]
        return found + [line for key in one.keys() & other.keys()
                        for line in two_answers(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [line for i, (a, b) in enumerate(zip(one, other)) for line in two_answers(a, b, f"{path}[{i}]")]
    return [] if one == other else [f"{path}: {one} and {other}"]


def verdicts(answer):
    """What must be the same in two dumps of one scenario: every rule's verdict, and the crash's bucket."""
    found = {finding["rule"]: [finding["verdict"], finding["stage"], finding["cause_of_crash"]]
             for finding in answer["findings"]}
    return {**found, "bucket": answer["signature"]}
