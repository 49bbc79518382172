# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore addr: what is at an address of a real kernel."""

import unittest

import tool


def kinds(answer):
    return [fact["kind"] for fact in answer["facts"]]


def fact(answer, kind):
    return next(fact for fact in answer["facts"] if fact["kind"] == kind)


class Addr(unittest.TestCase):
    def ask(self, dump, *addresses):
        _, answer = tool.run_json("addr", "addr", dump, "--no-debuginfo", *addresses)
        self.assertEqual([entry["expression"] for entry in answer["addresses"]], list(map(str, addresses)))
        return answer["addresses"]

    def test_per_cpu_variables_of_every_cpu(self):
        for dump in tool.all_dumps():
            with self.subTest(dump=str(dump)):
                addresses = [cpu["cpu_hw_events"] for cpu in dump.truth["cpus"]]
                for cpu, answer in zip(dump.truth["cpus"], self.ask(dump, *addresses)):
                    if answer["unread"] and "member" not in kinds(answer):
                        continue  # the dump lacks what names it, and the answer says so
                    fields = fact(answer, "per-cpu")["fields"]
                    self.assertEqual((fields["cpu"], fields["name"]), (cpu["cpu"], "cpu_hw_events"))
                    self.assertEqual(fact(answer, "member")["fields"]["path"], "events[0]")

    def test_live_events_are_allocated_objects_of_their_cache(self):
        checked = 0
        for dump in tool.full_dumps():
            with self.subTest(dump=str(dump)):
                events = [event["ptr"] for cpu in dump.truth["cpus"] for event in cpu["event_list"]
                          if int(event["ptr"], 16)]
                for event, answer in zip(events, self.ask(dump, *events) if events else []):
                    if "slab-object" not in kinds(answer):
                        self.assertTrue(answer["unread"], answer)  # a page that the dump left out
                        continue
                    fields = fact(answer, "slab-object")["fields"]
                    if fields["cache"] != "perf_event":
                        continue  # an event that the scenario replaced by something else
                    self.assertEqual((fields["object"], fields["offset"]), (event, 0))
                    self.assertIn(fields["state"], ("allocated", "undetermined"))
                    self.assertEqual(fact(answer, "member")["fields"]["struct"], "struct perf_event")
                    checked += 1
        if not checked:
            self.skipTest("$PERFCORE_TEST_DUMPS names no dump with events")

    def test_values_that_are_no_addresses(self):
        dump = tool.some_dump("healthy-6.12")
        answers = self.ask(dump, "0", "0x18", "0xfffffffffffffff4", "0xdead000000000122", "0x6b6b6b6b6b6b6b6b",
                           "0x7f0000001000", "0x1234567812345678")
        self.assertEqual([kinds(answer)[0] for answer in answers],
                         ["null-page", "null-page", "error-pointer", "poison", "poison", "user", "non-canonical"])
        self.assertEqual(answers[2]["facts"][0]["fields"]["error"], "-ENOMEM")

    def test_expressions(self):
        dump = tool.some_dump("healthy-6.12")
        jiffies, again, code, name, missing = self.ask(dump, "jiffies", "&jiffies", "x86_pmu_enable+0x4",
                                                       "x86_pmu.name", "no_such_variable")
        self.assertEqual(jiffies["address"], again["address"])
        (code_start,) = self.ask(dump, "x86_pmu_enable")
        self.assertEqual(int(code["address"], 16), int(code_start["address"], 16) + 4)
        self.assertEqual(fact(name, "region")["fields"]["region"], "kernel image")
        for answer in (jiffies, code):  # a minimal dump has not all symbols
            self.assertTrue(answer["unread"] or "symbol" in kinds(answer), answer)
        self.assertIsNone(missing["address"])
        self.assertTrue(missing["unread"])

    def test_one_bit_off(self):
        dump = tool.some_dump("healthy-7.2")
        (variable,) = self.ask(dump, "&x86_pmu")
        wrong = hex(int(variable["address"], 16) ^ 1 << 50)
        (answer,) = self.ask(dump, wrong)
        self.assertEqual(kinds(answer)[0], "non-canonical")
        fields = fact(answer, "one-bit-off")["fields"]
        self.assertEqual((fields["bit"], fields["would_be"]), (50, variable["address"]))

    def test_text_says_the_most_specific_first(self):
        dump = tool.some_dump("healthy-6.12")
        address = dump.truth["cpus"][0]["cpu_hw_events"]
        lines = tool.run("addr", dump, "--no-debuginfo", address).stdout.splitlines()
        self.assertTrue(lines[0].startswith(f"{address}: per_cpu(cpu_hw_events, 0).events[0]"), lines)

    def test_what_is_no_expression_is_a_usage_error(self):
        result = tool.run("addr", tool.some_dump("healthy-6.12"), "1 +")
        self.assertEqual(result.returncode, tool.EXIT_USAGE)
        self.assertIn("column", result.stderr)


if __name__ == "__main__":
    unittest.main()
