# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore info --compat: what each rule asks a kernel for, and what the kernel calls it."""

import unittest

import tool


class InfoCompat(unittest.TestCase):
    def needs(self, dump, *options):
        """{rule: {name: found as}}"""
        _, answer = tool.run_json("info-compat", "info", dump, "--compat", "--no-debuginfo", *options)
        return {rule["rule"]: {need["name"]: need["found_as"] for need in rule["needs"]} for rule in answer["rules"]}

    def test_every_rule_on_every_dump(self):
        _, known = tool.run_json("rules", "rules")
        rules = {rule["id"] for rule in known["rules"] if rule["kind"] == "rule"}
        for dump in tool.bundled_dumps():
            with self.subTest(dump=str(dump)):
                needs = self.needs(dump)
                self.assertEqual(set(needs), rules)
                null_events = needs["perf-x86-null-events"]
                for name in ("struct perf_event", "struct cpu_hw_events.active_mask", "struct hw_perf_event.state",
                             "cpu_hw_events"):
                    self.assertEqual(null_events[name], name)

    def all_needs(self, name):
        """{name: found as} of all rules together."""
        return {need: found for rule in self.needs(tool.some_dump(name)).values() for need, found in rule.items()}

    def test_names_that_changed(self):
        masks, current = "struct x86_pmu.cntr_mask64", "current_task"
        old = self.all_needs("healthy-6.1.")
        self.assertEqual((old[masks], old[current]), ("struct x86_pmu.num_counters", current))
        middle = self.all_needs("healthy-6.12.")
        self.assertEqual((middle[masks], middle[current]), (masks, "pcpu_hot"))
        new = self.all_needs("healthy-7.2.")
        self.assertEqual((new[masks], new[current]), (masks, current))
        self.assertNotIn("pcpu_hot", new)

    def test_what_a_kernel_has_not(self):
        xmm = self.needs(tool.some_dump("healthy-6.12."))["x86-xmm-user-regs"]
        self.assertIsNone(xmm["x86_user_regs"])

    def test_text(self):
        text = tool.run("info", tool.some_dump("healthy-6.1."), "--compat", "--no-debuginfo").stdout
        self.assertRegex(text, r"(?m)^perf-x86-null-events \(\d+ of \d+ names found\)$")
        self.assertIn("cntr_mask64 (as struct x86_pmu.num_counters)", " ".join(text.split()))
        self.assertRegex(text, r"(?m)^  absent +\S")


if __name__ == "__main__":
    unittest.main()
