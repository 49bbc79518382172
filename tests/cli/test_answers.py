# SPDX-License-Identifier: LGPL-2.1-or-later
"""The answers on real dumps: against their truth, their schemas, and what a terminal may get."""

import json
import os
import pathlib
import pty
import re
import select
import subprocess
import tempfile
import unittest

import tool


def hexadecimal(value):
    return hex(int(value, 16) if isinstance(value, str) else value)


class OnEveryDump(unittest.TestCase):
    def setUp(self):
        self.dumps = tool.all_dumps()
        if not self.dumps:
            self.skipTest("no dumps in testdata/ or $PERFCORE_TEST_DUMPS")

    def test_show_pmu_equals_truth(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                _, answer = tool.run_json("show-pmu", "show", dump, "pmu")
                self.assertEqual([cpu["cpu"] for cpu in answer["cpus"]], [cpu["cpu"] for cpu in dump.truth["cpus"]])
                for cpu, truth in zip(answer["cpus"], dump.truth["cpus"]):
                    self.assertEqual(cpu["address"], truth["cpu_hw_events"])
                    for key in ("enabled", "n_events", "n_added", "n_txn", "active_mask", "events"):
                        self.assertEqual(cpu[key], truth[key], f"CPU {cpu['cpu']} {key}")
                    self.assertEqual(len(cpu["event_list"]), len(truth["event_list"]))
                    for event, true in zip(cpu["event_list"], truth["event_list"]):
                        self.check_event(event, true, answer["unread"])

    def check_event(self, event, truth, unread):
        self.assertEqual(event["address"], truth["ptr"])
        expected = {"hw.idx": truth["hw_idx"], "hw.state": truth["hw_state"], "hw.last_cpu": truth["hw_last_cpu"],
                    "hw.interrupts": hexadecimal(truth["hw_interrupts"]), "state": truth["state"],
                    "oncpu": truth["oncpu"], "cpu": truth["cpu"], "group_leader": truth["group_leader"],
                    "attr.type": truth["attr_type"], "attr.config": truth["attr_config"],
                    "attr.pinned": truth["attr_pinned"], "attr.freq": truth["attr_freq"]}
        for key, value in expected.items():
            # A page that makedumpfile left out is said to be unread; anything else must be right.
            if event[key] is None:
                self.assertTrue(any(event["address"] in item["path"] for item in unread), f"{key}: {unread}")
            else:
                self.assertEqual(event[key], value, key)

    def test_triage_finds_what_is_expected(self):
        for dump in self.dumps:
            for options in ([], ["--no-debuginfo"]):
                with self.subTest(dump=str(dump), options=options):
                    code, answer = tool.run_json("triage", "triage", dump, *options)
                    findings = {finding["rule"]: finding for finding in answer["findings"]}
                    self.assertEqual(len(findings), len(answer["findings"]), "each rule appears once")
                    root_cause = armed = False
                    for finding in answer["findings"]:
                        root_cause |= finding["cause_of_crash"] and finding["verdict"] in ("proven", "likely")
                        armed |= (finding["verdict"] in ("proven", "likely", "possible") and
                                  finding["stage"] in ("armed", "fired", "crashed"))
                        expected = dump.expect(finding["rule"])
                        if expected is None:
                            continue
                        for key in ("verdict", "stage", "cause_of_crash", "cpus"):
                            if expected.get(key) is not None:
                                self.assertEqual(finding[key], expected[key], f"{finding['rule']} {key}")
                    self.assertEqual(code, tool.EXIT_ROOT_CAUSE if root_cause else
                                     tool.EXIT_DEFECT if armed else tool.EXIT_DONE)

    def test_text_has_the_same_exit_code_and_answers_first(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                code, answer = tool.run_json("triage", "triage", dump)
                text = tool.run("triage", dump)
                self.assertEqual(text.returncode, code)
                self.assertEqual(re.findall(r"(?m)^(\w+) {2,}", text.stdout)[:3], ["What", "Why", "Now"])
                self.assertNotIn("\x1b", text.stdout)
                if code == tool.EXIT_ROOT_CAUSE:
                    self.assertIn(answer["findings"][0]["title"], " ".join(text.stdout.split()))

    def test_every_other_answer_fits_its_schema(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                _, info = tool.run_json("info", "info", dump)
                self.assertEqual(info["kernel"]["release"], dump.truth["kernel_release"])
                _, log = tool.run_json("log", "log", dump)
                self.assertGreater(len(log["records"]), 50)
                _, cpus = tool.run_json("show-cpus", "show", dump, "cpus")
                self.assertEqual(len(cpus["cpus"]), len(dump.truth["cpus"]))
                tool.run_json("show-modules", "show", dump, "modules")
                _, stacks = tool.run_json("show-bt", "show", dump, "bt")
                self.assertEqual(len(stacks["cpus"]), len(dump.truth["cpus"]))

    def test_evidence_can_be_printed(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                _, answer = tool.run_json("triage", "triage", dump)
                expressions = sorted({evidence["expression"] for finding in answer["findings"]
                                      for evidence in finding["evidence"] if evidence["expression"]})
                if not expressions:
                    continue
                _, printed = tool.run_json("print", "print", dump, "--", *expressions)
                self.assertEqual([result["expression"] for result in printed["results"]], expressions)


class Presentation(unittest.TestCase):
    def setUp(self):
        self.dump = tool.some_dump("null-events")

    def on_terminal(self, *arguments, env=None):
        """Standard output when it is a terminal."""
        ours, theirs = pty.openpty()
        clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
        with subprocess.Popen([tool.TOOL, *map(str, arguments)], stdout=theirs, stderr=subprocess.DEVNULL,
                              env={**clean, **(env or {})}) as process:
            os.close(theirs)
            out = b""
            while select.select([ours], [], [], tool.TIMEOUT)[0]:
                try:
                    part = os.read(ours, 65536)
                except OSError:  # the other side is closed
                    break
                if not part:
                    break
                out += part
            process.wait(tool.TIMEOUT)
        os.close(ours)
        return out.decode()

    def test_colours_only_where_they_are_wanted(self):
        self.assertIn("\x1b[", self.on_terminal("triage", self.dump))
        self.assertNotIn("\x1b", self.on_terminal("triage", self.dump, env={"NO_COLOR": "1"}))
        self.assertNotIn("\x1b", self.on_terminal("triage", self.dump, "--color", "never"))
        self.assertIn("\x1b[", tool.run("triage", self.dump, "--color", "always").stdout)
        self.assertNotIn("\x1b", tool.run("triage", self.dump).stdout)

    def test_width(self):
        for columns in (70, 90):
            text = tool.run("triage", self.dump, env={"COLUMNS": str(columns)}).stdout
            # Frames, code and paths are never torn apart; prose is.
            prose = [line for line in text.splitlines() if re.match(r"(What|Why|Now|  [+?-]) ", line)]
            self.assertTrue(prose)
            for line in prose:
                self.assertLessEqual(len(line), columns, line)

    def test_output_to_a_file(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "answer"
            for output in ("--output", "-o"):
                result = tool.run("triage", self.dump, "--format", "json", output, path)
                self.assertEqual(result.stdout, "")
                self.assertEqual(json.loads(path.read_text(encoding="utf-8"))["schema"], "perfcore.triage/1")

    def test_counters_of_the_guilty_cpu(self):
        text = tool.run("triage", self.dump).stdout
        self.assertRegex(text, r"(?m)^Performance counters of CPU 1 ")
        self.assertRegex(text, r"(?m)^ +counter +0 +1 ")
        self.assertRegex(text, r"(?m)^ +NULL +run ")

    def test_verbose_goes_to_stderr(self):
        quiet, verbose = tool.run("log", self.dump), tool.run("log", self.dump, "-v")
        self.assertEqual(quiet.stderr, "")
        self.assertNotEqual(verbose.stderr, "")
        self.assertEqual(quiet.stdout, verbose.stdout)

    def test_log_ends_with_the_panic(self):
        self.assertIn("Kernel panic - not syncing", tool.run("log", self.dump).stdout)

    def test_print(self):
        _, answer = tool.run_json("print", "print", self.dump, "per_cpu(cpu_hw_events, 1).events[0]",
                                  "per_cpu(cpu_hw_events, 1).n_events", "1 + 1", "no_such_variable")
        values = [result["value"] for result in answer["results"]]
        self.assertEqual(values, ["0x0", "0x2", "0x2", None])
        self.assertTrue(any("no_such_variable" in item["path"] for item in answer["unread"]))
        self.assertNotEqual(answer["results"][0]["address"], None)
        self.assertEqual(answer["results"][2]["address"], None)

    def test_show_event(self):
        address = self.dump.truth["cpus"][1]["event_list"][0]["ptr"]
        _, answer = tool.run_json("show-event", "show", self.dump, "event", address)
        self.assertEqual(answer["event"]["address"], address)
        self.assertEqual(answer["event"]["hw.idx"], self.dump.truth["cpus"][1]["event_list"][0]["hw_idx"])
        self.assertIn(address, tool.run("show", self.dump, "event", address).stdout)

    def test_bt_of_one_cpu(self):
        _, answer = tool.run_json("show-bt", "show", self.dump, "bt", "1")
        self.assertEqual([cpu["cpu"] for cpu in answer["cpus"]], [1])
        self.assertTrue(answer["cpus"][0]["crashed"])
        self.assertIn("nmi", [frame["context"] for frame in answer["cpus"][0]["stack"]])


if __name__ == "__main__":
    unittest.main()
