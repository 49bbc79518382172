# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore check: its answers, exit codes and text on real dumps."""

import pathlib
import tempfile
import unittest

import tool

IDS = [f"C-{number:02}" for number in range(1, 45)]
# About the whole kernel, or about what belongs to no CPU.
NOT_PER_CPU = {"C-36", "C-37", "C-40"}


def serious(answer):
    return [result for result in answer["results"]
            if result["status"] == "violated" and result["severity"] in ("F", "E")]


class Check(unittest.TestCase):
    def setUp(self):
        self.dumps = tool.all_dumps()
        if not self.dumps:
            self.skipTest("no dumps in testdata/ or $PERFCORE_TEST_DUMPS")

    def test_every_invariant_is_answered_for_every_cpu(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                _, answer = tool.run_json("check", "check", dump)
                cpus = {cpu["cpu"] for cpu in dump.truth["cpus"]}
                self.assertEqual(sorted({result["id"] for result in answer["results"]}), IDS)
                for name in IDS:
                    answered = {result["cpu"] for result in answer["results"] if result["id"] == name}
                    self.assertLessEqual({None} if name in NOT_PER_CPU else cpus, answered, name)

    def test_only_what_is_broken_is_violated(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                code, answer = tool.run_json("check", "check", dump)
                # The state that these two rules are about, and nothing else is wrong in any of the dumps.
                broken = [e for e in dump.truth["expect"] if e["verdict"] in ("proven", "likely") and
                          e["rule"] in ("perf-x86-null-events", "perf-x86-state-corruption") and
                          e["stage"] in ("fired", "crashed")]
                expected = sorted({("C-01", cpu) for e in broken for cpu in e["cpus"]})
                self.assertEqual(sorted({(r["id"], r["cpu"]) for r in serious(answer)}), expected)
                statuses = {result["status"] for result in answer["results"]}
                wanted = (tool.EXIT_DEFECT if expected else
                          tool.EXIT_NOT_READ if "not-read" in statuses else tool.EXIT_DONE)
                self.assertEqual(code, wanted)

    def test_healthy_kernels_are_clean(self):
        for name in ("healthy-6.1", "healthy-6.12", "healthy-7.2"):
            with self.subTest(name=name):
                result = tool.run("check", tool.some_dump(name))
                self.assertEqual((result.returncode, result.stdout), (0, "44 invariants on 4 CPUs: clean\n"))

    def test_violations_can_be_printed(self):
        dump = tool.some_dump("null-events")
        _, answer = tool.run_json("check", "check", dump)
        for result in serious(answer):
            _, printed = tool.run_json("print", "print", dump, result["expression"])
            self.assertEqual(printed["results"][0]["address"], result["address"])
            self.assertEqual(int(printed["results"][0]["value"], 16), int(result["observed"], 0))
            self.assertTrue(result["why"])

    def test_reasons_are_given(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                _, answer = tool.run_json("check", "check", dump)
                for result in answer["results"]:
                    if result["status"] != "ok":
                        self.assertTrue(result["why"], result)

    def test_text_says_the_worst_first(self):
        dump = tool.some_dump("null-events")
        result = tool.run("check", dump)
        self.assertEqual(result.returncode, tool.EXIT_DEFECT)
        first, *rest = result.stdout.splitlines()
        self.assertRegex(first, r"^44 invariants on \d+ CPUs: 1 violated \(C-01\)$")
        self.assertIn("suggests", "\n".join(rest))
        self.assertIn("per_cpu(cpu_hw_events, 1).events[", result.stdout)

    def test_output_goes_to_a_file(self):
        dump = tool.some_dump("null-events")
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "answer"
            result = tool.run("check", dump, "-o", path)
            self.assertEqual((result.returncode, result.stdout), (tool.EXIT_DEFECT, ""))
            self.assertIn("C-01", path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
