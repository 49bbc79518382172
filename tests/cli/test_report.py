# SPDX-License-Identifier: LGPL-2.1-or-later
"""Console text without a dump."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import jsonschema

import tool

RACE = """[   71.204311] ==================================================================
[   71.204355] BUG: KCSAN: data-race in perf_event_set_state / perf_mmap_rb
[   71.204401]
[   71.204412] read-write to 0xffff888103a4e2c8 of 8 bytes by task 811 on cpu 2:
[   71.204440]  perf_mmap_rb+0x2f1/0x6c0
[   71.204461]  perf_mmap+0x1a3/0x4d0
[   71.204480]  __mmap_region+0x8f2/0x1240
[   71.204502]
[   71.204509] read to 0xffff888103a4e2c8 of 8 bytes by task 806 on cpu 0:
[   71.204530]  perf_event_set_state+0x7d/0x310
[   71.204549]  event_sched_out+0x11c/0x4a0
[   71.204568]
[   71.204574] value changed: 0x0000000000001000 -> 0x0000000000002400
[   71.204590]
[   71.204596] Reported by Kernel Concurrency Sanitizer on:
[   71.204610] CPU: 0 PID: 806 Comm: sampler Not tainted 6.12.9 #1
[   71.204640] ==================================================================
"""

STATISTICS = """BUG: KCSAN: data-race in toy_get_stats / toy_xmit

write to 0xffff88810b7c1180 of 8 bytes by interrupt on cpu 1:
 toy_xmit+0x61/0x90
 dev_hard_start_xmit+0x5c/0x180

read to 0xffff88810b7c1180 of 8 bytes by task 300 on cpu 0:
 toy_get_stats+0x22/0x60
 dev_get_stats+0x48/0x140

value changed: 0x0000000000000010 -> 0x0000000000000011

Reported by Kernel Concurrency Sanitizer on:
CPU: 0 PID: 300 Comm: ip Not tainted 6.12.9 #1
"""


def report(text, *options):
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    return subprocess.run([tool.TOOL, "report", *options, "-"], input=text.encode(), capture_output=True,
                          timeout=tool.TIMEOUT, env=clean, check=False)


class Races(unittest.TestCase):
    def answer(self, text):
        result = report(text, "--format", "json")
        self.assertEqual(result.returncode, tool.EXIT_DONE, result.stderr)
        answer = json.loads(result.stdout)
        jsonschema.Draft202012Validator(tool.schema("report")).validate(answer)
        return answer

    def test_each_report_is_judged(self):
        answer = self.answer(RACE + "[   80.0] unrelated\n" + STATISTICS)
        self.assertEqual([item["title"] for item in answer],
                         ["KCSAN: data-race in perf_event_set_state / perf_mmap_rb",
                          "KCSAN: data-race in toy_get_stats / toy_xmit"])
        self.assertEqual([item["kcsan"]["label"] for item in answer], ["harmful", "benign"])
        self.assertTrue(answer[0]["kcsan"]["confident"])
        self.assertEqual(answer[0]["function"], "perf_event_set_state")
        self.assertEqual(answer[0]["frames"][:2], ["perf_mmap_rb", "perf_mmap"])
        for item in answer:
            for key in ("reason", "consequence", "suggestion"):
                self.assertTrue(item["kcsan"][key], key)

    def test_text_without_a_race(self):
        self.assertEqual(self.answer("[    1.0] all is well\n"), [])
        self.assertIn(b"No crash was found", report("all is well\n").stdout)

    def test_text_answer_leads_with_the_label(self):
        self.assertTrue(report(RACE).stdout.decode().lstrip().startswith("harmful: KCSAN: data-race"))

    def test_file_that_is_damaged(self):
        for size in range(0, len(RACE), 97):
            self.answer(RACE[:size])
        self.assertEqual(report(RACE.replace("8 bytes", "\x00\x1b[2J")).returncode, tool.EXIT_DONE)
        self.assertNotIn(b"\x1b", report(RACE.replace("perf_mmap_rb", "perf\x1b[2Jmmap")).stdout)

    def test_file_that_cannot_be_read(self):
        with tempfile.TemporaryDirectory() as directory:
            missing = tool.run("report", pathlib.Path(directory) / "none")
            self.assertEqual(missing.returncode, tool.EXIT_INPUT)
            self.assertIn("No such file", missing.stderr)
            self.assertEqual(tool.run("report", directory).returncode, tool.EXIT_INPUT)


class Crashes(unittest.TestCase):
    def test_a_dump_is_no_text(self):
        result = tool.run("report", tool.bundled_dumps()[0])
        self.assertEqual(result.returncode, tool.EXIT_INPUT)
        self.assertIn("perfcore triage", result.stderr)

    def test_of_several_reports_the_one_that_killed_comes_first(self):
        with tempfile.TemporaryDirectory() as directory:
            log = pathlib.Path(directory) / "log"
            log.write_text("WARNING: CPU: 0 PID: 1 at kernel/toy.c:9 at_boot+0x1/0x2\nCall Trace:\n do_toy+0x1/0x2\n"
                           "---[ end trace 0 ]---\nBUG: kernel NULL pointer dereference, address: 0000000000000010\n"
                           "RIP: 0010:toy_read+0x1/0x2\nCall Trace:\n vfs_read+0x1/0x2\n---[ end trace 0 ]---\n"
                           "Kernel panic - not syncing: Fatal exception\n", encoding="ascii")
            answer = tool.run("report", log).stdout
        self.assertTrue(answer.startswith("The kernel died of BUG: unable to handle kernel NULL pointer"), answer)
        self.assertIn("WARNING in do_toy (line 1)", answer)

    def test_log_of_a_dump_says_what_the_dump_says(self):
        for dump in tool.bundled_dumps():
            with self.subTest(dump=str(dump)):
                crash = tool.run_json("triage", "triage", dump.path)[1]["crash"]
                log = tool.run("log", dump.path).stdout
                answer = json.loads(report(log, "--format", "json").stdout)
                jsonschema.Draft202012Validator(tool.schema("report")).validate(answer)
                self.assertEqual(answer[0]["kind"] if answer else "none", crash["class"])
                if crash["class"] == "null-deref":
                    self.assertEqual(answer[0]["function"], crash["function"].split(".")[0])
                    self.assertFalse(answer[0]["corrupted"])

    def test_text_answer_leads_with_the_title(self):
        text = report("Kernel panic - not syncing: toy\n").stdout.decode()
        self.assertTrue(text.lstrip().startswith("kernel panic: toy"), text)


class Batch(unittest.TestCase):
    def answers(self, data):
        result = subprocess.run([tool.TOOL, "report", "--jsonl"], input=data, capture_output=True,
                                timeout=tool.TIMEOUT, check=False)
        self.assertEqual(result.returncode, tool.EXIT_DONE, result.stderr)
        answers = [json.loads(line) for line in result.stdout.decode().splitlines()]
        schema = tool.schema("report")
        one = {"$schema": schema["$schema"], "$ref": "#/$defs/report", "$defs": schema["$defs"]}
        for answer in answers:
            if answer.get("title"):
                fields = {key: value for key, value in answer.items() if key not in ("id", "more")}
                for item in [fields, *answer["more"]]:
                    jsonschema.Draft202012Validator(one).validate(item)
        return answers

    def test_one_line_for_each_text(self):
        lines = [{"id": "a", "text": RACE + STATISTICS}, {"id": 7, "text": "all is well"}, {"id": None, "text": STATISTICS}]
        first, second, third = self.answers("".join(json.dumps(line) + "\n" for line in lines).encode())
        self.assertEqual((first["id"], first["kind"], len(first["more"])), ("a", "kcsan", 1))
        self.assertEqual((second["id"], second["title"], second["kind"], second["more"]), (7, "", "none", []))
        self.assertEqual((third["id"], third["title"]), (None, "KCSAN: data-race in toy_get_stats / toy_xmit"))

    def test_bad_lines_do_not_end_the_run(self):
        good = json.dumps({"id": 1, "text": STATISTICS}).encode()
        answers = self.answers(b"no json\n[]\n{\"id\": 3}\n\xff\n\n" + good)
        self.assertEqual([answer["id"] for answer in answers], [None, None, 3, None, 1])
        self.assertTrue(all("error" in answer for answer in answers[:4]))
        self.assertEqual(answers[4]["kind"], "kcsan")

    def test_bytes_that_are_no_text(self):
        result = subprocess.run([tool.TOOL, "report", "--format", "json", "-"], capture_output=True, check=False,
                                input=b"Kernel panic - not syncing: \xff\xfe\x00\x1b[2J\n", timeout=tool.TIMEOUT)
        self.assertEqual(json.loads(result.stdout)[0]["kind"], "panic")


if __name__ == "__main__":
    unittest.main()
