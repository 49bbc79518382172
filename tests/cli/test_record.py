# SPDX-License-Identifier: LGPL-2.1-or-later
"""A recording opens like the dump that it was made of and answers alike; redacted ones keep no names or texts."""

import pathlib
import random
import re
import tempfile
import unittest

import tool

LARGEST = 500_000  # bytes
PARTS = ("pmu", "bt", "cpus", "ibs", "events", "contexts", "buffers", "tasks", "modules")


class Record(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.recording = pathlib.Path(directory.name) / "recording"

    def record(self, dump, *options):
        _, written = tool.run_json("record", "record", dump, "--output", self.recording, *options)
        self.assertEqual(written["path"], str(self.recording))
        self.assertEqual(written["bytes"], self.recording.stat().st_size)
        return self.recording

    def check(self, dump, *options):
        recording = self.record(dump, *options)
        self.assertLess(recording.stat().st_size, LARGEST)
        code, original = tool.run_json("triage", "triage", dump, *options)
        copied_code, copy = tool.run_json("triage", "triage", recording)
        self.assertEqual(copied_code, code)
        for key in set(original) - {"dump"}:
            self.assertEqual(copy[key], original[key], key)
        self.assertIn("recording of ", copy["dump"]["format"])
        self.assertEqual(tool.run_json("check", "check", recording)[1]["results"],
                         tool.run_json("check", "check", dump, *options)[1]["results"])
        self.assertEqual(tool.run("log", recording).stdout, tool.run("log", dump).stdout)
        for part in PARTS:
            self.assertEqual(tool.run("show", recording, part).stdout, tool.run("show", dump, part, *options).stdout,
                             part)

    def test_every_dump(self):
        dumps = tool.all_dumps()
        if not dumps:
            self.skipTest("no dumps in testdata/ or $PERFCORE_TEST_DUMPS")
        for dump in dumps:
            with self.subTest(dump=str(dump)):
                self.check(dump, "--no-debuginfo")

    def test_redacted(self):
        for dump in tool.bundled_dumps():
            with self.subTest(dump=str(dump)):
                plain, recording = tool.run("log", dump).stdout, self.record(dump, "--redact")
                _, answer = tool.run_json("triage", "triage", recording)
                _, original = tool.run_json("triage", "triage", dump, "--no-debuginfo")
                self.assertTrue(any("redacted" in note for note in answer["dump"]["quality"]))
                self.assertEqual(answer["kernel"], original["kernel"])
                for key in ("rule", "verdict", "stage"):
                    self.assertEqual([f[key] for f in answer["findings"]], [f[key] for f in original["findings"]], key)
                everything = "".join(tool.run(command, recording, *rest).stdout for command, *rest in
                                     [("triage",), ("log",), ("info",)] + [("show", part) for part in PARTS])
                # What stands behind the time stamp; short lines are common words.
                texts = {line for line in re.findall(r"^\[ *[0-9.]+\] (.{24,})$", plain, re.M)}
                self.assertTrue(texts)
                for text in texts:
                    self.assertNotIn(text, everything)
                self.assertIsNone(answer["system"]["command_line"])
                self.assertIn("redacted", everything)

    def test_recording_of_a_recording(self):
        dump = tool.some_dump("null-events")
        first = self.record(dump, "--no-debuginfo").rename(self.recording.with_name("first"))
        second = self.record(first)
        for key in ("kernel", "crash", "findings"):
            self.assertEqual(tool.run_json("triage", "triage", second)[1][key],
                             tool.run_json("triage", "triage", first)[1][key], key)

    def test_what_was_not_recorded_says_so(self):
        recording = self.record(tool.some_dump("healthy-6.12"), "--no-debuginfo")
        self.assertIn("not recorded", tool.run("print", recording, "oops_in_progress").stdout.lower())

    def test_damaged(self):
        content = self.record(tool.some_dump("null-events"), "--no-debuginfo").read_bytes()
        damaged = self.recording.with_name("damaged")
        chance = random.Random(4)
        cases = [content[:size] for size in (7, 8, 9, 15, 16, 17, 40, len(content) // 2, len(content) - 1)]
        for _ in range(60):
            flipped = bytearray(content)
            flipped[chance.randrange(8, len(content))] ^= 1 << chance.randrange(8)
            cases.append(bytes(flipped))
        for case in cases:
            damaged.write_bytes(case)
            result = tool.run("triage", damaged)
            self.assertEqual(result.returncode, tool.EXIT_INPUT, result.stderr)
            self.assertIn("damaged", result.stderr)  # the name of the file
        damaged.write_bytes(content[:7] + b"\x63" + content[8:])
        self.assertIn("format 99", tool.run("triage", damaged).stderr)

    def test_extract_refuses(self):
        recording = self.record(tool.some_dump("null-events"))
        result = tool.run("extract", recording, "-o", self.recording.with_name("mini"))
        self.assertEqual(result.returncode, tool.EXIT_INPUT)
        self.assertIn("recording", result.stderr)

    def test_usage(self):
        dump = tool.some_dump("null-events")
        self.assertEqual(tool.run("record", dump).returncode, tool.EXIT_USAGE)
        recording = self.record(dump)
        self.assertEqual(tool.run("record", recording, "-o", recording).returncode, tool.EXIT_USAGE)


if __name__ == "__main__":
    unittest.main()
