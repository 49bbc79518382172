# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small dump made by extract answers like the original."""

import pathlib
import tempfile
import unittest

import tool

LARGEST = 6 << 20  # bytes


class Extract(unittest.TestCase):
    def shown(self, dump, part):
        """What was read; of what was not, the reason differs between a small dump and a smaller one."""
        return tool.run("show", dump, part, "--no-debuginfo").stdout.split("\nNot read")[0]

    def check(self, dump, *options):
        with tempfile.TemporaryDirectory() as directory:
            mini = pathlib.Path(directory) / "mini"
            _, written = tool.run_json("extract", "extract", dump, "--output", mini, *options)
            self.assertEqual(written["path"], str(mini))
            self.assertEqual(written["bytes"], mini.stat().st_size)
            _, original = tool.run_json("triage", "triage", dump, "--no-debuginfo")
            _, copy = tool.run_json("triage", "triage", mini, "--no-debuginfo")
            for key in ("kernel", "crash", "findings", "system"):
                self.assertEqual(copy[key], original[key], key)
            checked = [[(result["id"], result["cpu"], result["status"]) for result in answer["results"]]
                       for _, answer in (tool.run_json("check", "check", path, "--no-debuginfo") for path in (mini, dump))]
            self.assertEqual(*checked)
            self.assertEqual(tool.run("log", mini).stdout, tool.run("log", dump).stdout)
            for part in ("pmu", "bt", "cpus", "ibs", "events", "contexts", "buffers", "tasks"):
                self.assertEqual(self.shown(mini, part), self.shown(dump, part), part)
            return mini.stat().st_size

    def test_every_dump(self):
        dumps = tool.all_dumps()
        if not dumps:
            self.skipTest("no dumps in testdata/ or $PERFCORE_TEST_DUMPS")
        for dump in dumps:
            with self.subTest(dump=str(dump)):
                self.assertLess(self.check(dump), LARGEST)

    def test_elf(self):
        self.check(tool.some_dump("null-events"), "--elf")


if __name__ == "__main__":
    unittest.main()
