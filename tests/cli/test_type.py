# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore type: layouts on real kernels, from BTF alone."""

import os
import re
import unittest

import tool


def walk(entries):
    """All members, those of nested types without a tag included."""
    for entry in entries:
        if entry["kind"] == "member":
            yield entry
            yield from walk(entry["members"] or [])


class Type(unittest.TestCase):
    def setUp(self):
        self.dump = tool.some_dump("healthy-6.12")

    def ask(self, *names, dump=None):
        _, answer = tool.run_json("type", "type", dump or self.dump, "--no-debuginfo", *names)
        return answer["types"]

    def fails(self, *names):
        result = tool.run("type", self.dump, "--no-debuginfo", *names)
        self.assertEqual(result.returncode, tool.EXIT_INPUT)
        self.assertEqual(result.stdout, "")
        return result.stderr

    def test_members_lie_where_the_expression_evaluator_finds_them(self):
        for dump in tool.all_dumps():
            with self.subTest(dump=str(dump)):
                (layout,) = self.ask("hw_perf_event", dump=dump)
                members = {entry["name"]: entry for entry in walk(layout["entries"]) if entry["name"]}
                expressions = [f"(unsigned long)&((struct hw_perf_event *)0x1000)->{name}" for name in ("idx", "last_cpu", "state")]
                _, printed = tool.run_json("print", "print", dump, "--no-debuginfo", *expressions)
                for name, result in zip(("idx", "last_cpu", "state"), printed["results"]):
                    self.assertEqual(0x1000 + members[name]["offset"], int(result["value"], 16))
                    self.assertEqual(members[name]["size"], 4)

    def test_entries_cover_the_struct_without_gaps(self):
        for name in ("perf_event", "task_struct", "cpu_hw_events", "perf_event_attr", "x86_pmu", "rq", "sk_buff"):
            with self.subTest(type=name):
                (layout,) = self.ask(name)
                end = 0
                for entry in layout["entries"]:
                    if entry["kind"] != "member":
                        begin, size = entry["bit_offset"], entry["bit_size"]
                    elif entry["bit_field"]:
                        begin = entry["offset"] * 8 + entry["bit_field"]["bit"]
                        size = entry["bit_field"]["bits"]
                    else:
                        begin, size = entry["offset"] * 8, entry["size"] * 8
                    self.assertEqual(begin, end, entry)
                    end += size
                self.assertEqual(end, layout["size"] * 8)

    def test_a_member_is_told_with_offset_and_type(self):
        idx, hw = self.ask("perf_event.hw.idx", "perf_event.hw")
        self.assertEqual(idx["member"]["type"], "int")
        self.assertEqual((idx["kind"], idx["size"]), ("integer", 4))
        self.assertEqual((hw["kind"], hw["type"], hw["member"]["type"]),
                         ("struct", "struct perf_event", "struct hw_perf_event"))
        inner = next(entry for entry in walk(hw["entries"]) if entry["name"] == "idx")
        self.assertEqual(idx["member"]["offset"], hw["member"]["offset"] + inner["offset"])

    def test_bit_fields(self):
        (pinned,) = self.ask("perf_event_attr.pinned")  # user ABI: the third bit behind read_format
        self.assertEqual(pinned["member"]["offset"], 40)
        self.assertEqual(pinned["member"]["bit_field"], {"bit": 2, "bits": 1})

    def test_every_way_to_name_a_type(self):
        result = self.ask("list_head", "struct list_head", "struct", "list_head", "atomic_t", "enum perf_event_state",
                          "int")
        self.assertEqual([answer["kind"] for answer in result],
                         ["struct", "struct", "struct", "struct", "enum", "integer"])
        self.assertEqual(result[0]["entries"], result[2]["entries"])
        names = [enumerator["name"] for enumerator in result[4]["enumerators"]]
        self.assertIn("PERF_EVENT_STATE_ACTIVE", names)

    def test_unknown_names_are_answered_with_the_nearest(self):
        self.assertIn("struct perf_event", self.fails("perf_evnt"))
        self.assertIn("last_cpu", self.fails("perf_event.hw.lastcpu"))
        self.assertIn("perf_event_context.time", self.fails("perf_event.ctx.time"))

    def test_text_answers_first_and_shows_offsets_as_comments(self):
        text = tool.run("type", self.dump, "--no-debuginfo", "perf_event").stdout
        self.assertRegex(text.splitlines()[0], r"^struct perf_event: \d+ bytes, \d+ cache lines")
        self.assertRegex(text, r"struct hw_perf_event hw; +/\* +\d+ +0x[0-9a-f]+ +\d+ \*/")
        self.assertIn("cache line 1", text)
        self.assertTrue(re.search(r"\(\*overflow_handler\)|overflow_handler;", text))

    def test_dwarf_says_the_same(self):
        vmlinux = os.environ.get("PERFCORE_TEST_VMLINUX")
        if not vmlinux:
            self.skipTest("PERFCORE_TEST_VMLINUX names no vmlinux")
        compared = 0
        for dump in tool.full_dumps():
            for name in ("perf_event", "task_struct", "cpu_hw_events", "x86_pmu", "net_device", "kmem_cache"):
                with_dwarf = tool.run("type", dump, "--debuginfo", vmlinux, name)
                if with_dwarf.returncode != tool.EXIT_DONE:
                    continue  # a kernel of another build
                with self.subTest(dump=str(dump), type=name):
                    self.assertEqual(with_dwarf.stdout, tool.run("type", dump, "--no-debuginfo", name).stdout)
                    compared += 1
        if not compared:
            self.skipTest("no full dump of this kernel")


if __name__ == "__main__":
    unittest.main()
