# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore rules: what the tool knows, and what of it a triage shows."""

import unittest

import tool


class Rules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        _, answer = tool.run_json("rules", "rules")
        cls.rules = answer["rules"]

    def test_list_has_rules_and_catalogue(self):
        ids = [rule["id"] for rule in self.rules]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertIn("perf-x86-null-events", ids)
        self.assertIn("D-06", ids)
        self.assertEqual({rule["kind"] for rule in self.rules}, {"rule", "known"})
        text = tool.run("rules").stdout
        for rule in self.rules:
            self.assertRegex(text, rf"(?m)^  {rule['id']} +\S")

    def test_every_one_tells_what_it_knows(self):
        for rule in self.rules:
            with self.subTest(rule=rule["id"]):
                _, answer = tool.run_json("rule", "rules", rule["id"])
                for key in ("id", "kind", "title", "summary"):
                    self.assertEqual(answer[key], rule[key])
                for key in ("symptoms", "mechanism", "kernels", "remedy", "limits"):
                    self.assertTrue(answer[key], key)
                if rule["kind"] == "rule":
                    self.assertTrue(answer["evidence"])
                    self.assertTrue(answer["look_alikes"])
                text = tool.run("rules", rule["id"]).stdout
                self.assertTrue(text.startswith(f"{rule['id']}: "), text[:80])
                for heading in ("Symptoms", "What happens", "Kernels", "Culprit, fix and references", "What to do",
                                "Limits"):
                    self.assertIn(f"\n{heading}", text)

    def test_id_in_any_case(self):
        self.assertEqual(tool.run("rules", "d-06").stdout, tool.run("rules", "D-06").stdout)

    def test_unknown_id_names_the_nearest(self):
        for word, expected in (("perf-x86-nul-events", "perf-x86-null-events"), ("null-events", "perf-x86-null-events"),
                               ("D-066", "D-06"), ("ibs", "amd-ibs-add-nmi-race")):
            with self.subTest(word=word):
                result = tool.run("rules", word)
                self.assertEqual(result.returncode, tool.EXIT_USAGE)
                self.assertEqual(result.stdout, "")
                self.assertIn(f'"{word}"', result.stderr)
                self.assertIn(expected, result.stderr)

    def test_too_many_arguments(self):
        result = tool.run("rules", "D-01", "D-02")
        self.assertEqual(result.returncode, tool.EXIT_USAGE)
        self.assertIn("D-02", result.stderr)

    def test_needs_no_dump_and_offers_no_options_about_one(self):
        result = tool.run("rules", "--help")
        self.assertEqual(result.returncode, tool.EXIT_DONE)
        self.assertIn("--format", result.stdout)
        self.assertNotIn("--debuginfo", result.stdout)
        self.assertTrue(tool.run("--man", "rules").stdout.startswith(".TH PERFCORE"))

    def test_rules_that_triage_runs_are_all_listed(self):
        listed = {rule["id"] for rule in self.rules if rule["kind"] == "rule"}
        _, answer = tool.run_json("triage", "triage", tool.some_dump("null-events").path)
        self.assertEqual({finding["rule"] for finding in answer["findings"]}, listed)


class Known(unittest.TestCase):
    def test_nothing_is_listed_where_it_does_not_belong(self):
        for dump in tool.bundled_dumps():
            with self.subTest(dump=str(dump)):
                _, answer = tool.run_json("triage", "triage", dump)
                self.assertEqual(answer["known"], [])


if __name__ == "__main__":
    unittest.main()
