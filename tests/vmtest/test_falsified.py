# SPDX-License-Identifier: LGPL-2.1-or-later
"""The comparison itself: the bundled dumps agree with their truth, and a truth with one value changed does not."""

import copy
import json
import os
import pathlib
import subprocess
import unittest

import compare

TOOL = os.environ["PERFCORE_TOOL"]
TESTDATA = pathlib.Path(os.environ["PERFCORE_SOURCE"]) / "testdata"


def ask(*arguments):
    result = subprocess.run([TOOL, *map(str, arguments), "--format", "json", "--no-debuginfo"], capture_output=True,
                            text=True, timeout=120, check=False)
    return result.returncode, json.loads(result.stdout)


def falsified(value):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, str) and value.startswith("0x"):
        return hex(int(value, 16) ^ 1)
    if isinstance(value, dict):
        return dict(list(value.items())[1:]) if value else {"0": "0x1"}
    return f"not {value}"


class Falsified(unittest.TestCase):
    def setUp(self):
        self.dumps = [(path, json.loads(path.with_suffix(".truth.json").read_text(encoding="utf-8")))
                      for path in sorted(TESTDATA.glob("*.vmcore"))]
        self.assertTrue(self.dumps)

    def test_each_value_of_the_pmu(self):
        for path, truth in self.dumps:
            _, answer = ask("show", path, "pmu")
            with self.subTest(dump=path.name):
                self.assertEqual(compare.pmu(answer, truth), [])
            places = [("cpus", n, name) for n in range(len(truth["cpus"])) for name in compare.CPU_FIELDS.values()]
            for n, cpu in enumerate(truth["cpus"]):
                for i, event in enumerate(cpu["event_list"]):
                    # Only what could be read can be found wrong.
                    shown = answer["cpus"][n]["event_list"][i]
                    places += [("cpus", n, "event_list", i, name) for field, name in compare.EVENT_FIELDS.items()
                               if name in event and shown[field] is not None]
            for place in places:
                with self.subTest(dump=path.name, place=place):
                    lie = copy.deepcopy(truth)
                    parent = lie
                    for step in place[:-1]:
                        parent = parent[step]
                    parent[place[-1]] = falsified(parent[place[-1]])
                    self.assertEqual(len(compare.pmu(answer, lie)), 1)

    def test_a_missing_event(self):
        for path, truth in self.dumps:
            _, answer = ask("show", path, "pmu")
            for n, cpu in enumerate(truth["cpus"]):
                if cpu["event_list"]:
                    lie = copy.deepcopy(truth)
                    lie["cpus"][n]["event_list"].pop()
                    self.assertTrue(compare.pmu(answer, lie))
            lie = copy.deepcopy(truth)
            lie["cpus"].pop()
            self.assertTrue(compare.pmu(answer, lie))

    def test_each_expectation(self):
        for path, truth in self.dumps:
            code, answer = ask("triage", path)
            with self.subTest(dump=path.name):
                self.assertEqual(compare.triage(answer, truth, code), [])
                self.assertTrue(compare.triage(answer, truth, code + 1))
            for n, expected in enumerate(truth["expect"]):
                for key in ("rule", "verdict", "stage", "cause_of_crash"):
                    if expected[key] is None:
                        continue
                    with self.subTest(dump=path.name, rule=expected["rule"], key=key):
                        lie = copy.deepcopy(truth)
                        lie["expect"][n][key] = falsified(expected[key])
                        self.assertTrue(compare.triage(answer, lie, code))
            lie = {**truth, "expect_crash": {"class": "no such class"}}
            self.assertEqual(len(compare.triage(answer, lie, code)), 1)

    def test_two_answers_that_differ(self):
        path, _ = self.dumps[0]
        _, answer = ask("show", path, "pmu")
        self.assertEqual(compare.two_answers(answer, answer), [])
        other = copy.deepcopy(answer)
        other["cpus"][0]["active_mask"] = falsified(other["cpus"][0]["active_mask"])
        self.assertEqual(len(compare.two_answers(answer, other)), 1)

    def test_another_verdict_or_bucket(self):
        path, _ = self.dumps[-1]
        _, answer = ask("triage", path)
        one = compare.verdicts(answer)
        self.assertEqual(compare.two_answers(one, compare.verdicts(copy.deepcopy(answer))), [])
        for change in ({"signature": "pc1-another"}, {"findings": answer["findings"][1:]}):
            self.assertTrue(compare.two_answers(one, compare.verdicts({**answer, **change})))


if __name__ == "__main__":
    unittest.main()
