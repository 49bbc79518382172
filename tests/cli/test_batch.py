# SPDX-License-Identifier: LGPL-2.1-or-later
"""A batch puts crashes into buckets once, whatever happens to it; buckets show what came of it."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import jsonschema
import tool
from dump_copies import copy_of_another_time

OOPS = """[    1.000000] BUG: kernel NULL pointer dereference, address: 0000000000000010
[    1.000001] Oops: 0000 [#1] PREEMPT SMP NOPTI
[    1.000002] CPU: 1 PID: 42 Comm: cat Not tainted 6.1.0-56-amd64 #1
[    1.000003] RIP: 0010:{function}+0x10/0x40
[    1.000004] Call Trace:
[    1.000005]  <TASK>
[    1.000006]  vfs_read+0x10/0x40
[    1.000007]  ksys_read+0x10/0x40
[    1.000008]  </TASK>
[    1.000009] Kernel panic - not syncing: Fatal exception
"""


def children_of(parent):
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # has ended meanwhile
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


class Batch(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = pathlib.Path(directory.name)
        self.store = self.top / "crashes.db"
        self.dumps = self.top / "dumps"
        self.dumps.mkdir()

    def batch(self, *options, store=None):
        return tool.run_json("batch", "batch", self.dumps, "--jobs", "2", "--store", store or self.store, *options)[1]

    def buckets(self, *what, store=None):
        return tool.run("buckets", *what, "--store", store or self.store)

    def exported(self, store=None):
        result = self.buckets("export", store=store)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def take_dumps(self):
        for dump in tool.bundled_dumps():
            shutil.copy(dump.path, self.dumps / dump.path.name)
        return len(tool.bundled_dumps())

    def logs(self, count):
        for i in range(count):
            (self.dumps / f"{i:03}.log").write_text(OOPS.format(function=f"victim_{i}"), encoding="ascii")

    def test_dumps_once(self):
        count = self.take_dumps()
        first = self.batch()
        self.assertEqual((first["done"], first["failed"], first["crashes"]), (count, 0, count))
        again = self.batch()
        self.assertEqual((again["skipped"], again["crashes"]), (count, 0))
        redone = self.batch("--again")
        self.assertEqual((redone["done"], redone["new_buckets"], redone["grown_buckets"]), (count, {}, {}))
        self.assertEqual(len(self.exported()), count)

    def test_copies_and_recordings_are_one_crash(self):
        dump = tool.some_dump("null-events")
        for name in ("one.vmcore", "two.vmcore"):
            shutil.copy(dump.path, self.dumps / name)
        tool.run("record", dump, "-o", self.dumps / "crash.rec")
        self.assertEqual(self.batch()["done"], 3)
        crashes = self.exported()
        self.assertEqual([crash["path"] for crash in crashes], [str(self.dumps / "one.vmcore")])
        self.assertNotEqual(crashes[0]["time"], None)

    def variants(self, count):
        """Copies of dumps of one kernel, most of them damaged in a few places, each in its own way."""
        chance = random.Random(1)
        sources = [dump.path.read_bytes() for dump in tool.bundled_dumps() if "6.12" in dump.path.name]
        for i in range(count):
            content = bytearray(sources[i % len(sources)])
            for _ in range(i // len(sources)):
                content[chance.randrange(8192, len(content))] ^= 1 << chance.randrange(8)
            (self.dumps / f"{i:03}.vmcore").write_bytes(content)

    def test_what_dumps_have_in_common_changes_no_answer(self):
        self.variants(32)
        self.assertEqual(self.batch()["found"], 32)
        together = {crash["id"]: crash for crash in self.exported()}
        alone = self.top / "alone.db"
        for dump in sorted(self.dumps.iterdir()):
            tool.run("batch", dump, "--store", alone)
        self.assertEqual({crash["id"] for crash in self.exported(alone)}, set(together))
        for crash in self.exported(alone):
            self.assertEqual(crash["answer"], together[crash["id"]]["answer"], crash["path"])

    def test_workers_lost_with_their_server_are_started_again(self):
        self.variants(40)
        killed = 0
        with subprocess.Popen([tool.TOOL, "batch", self.dumps, "--jobs", "2", "--store", self.store, "--format",
                               "json"], stdout=subprocess.PIPE) as process:
            while process.poll() is None and killed < 3:
                time.sleep(0.05)
                for server in children_of(process.pid):
                    os.kill(server, signal.SIGKILL)
                    killed += 1
            answer = json.loads(process.communicate()[0])
        self.assertEqual(killed, 3)
        self.assertEqual((answer["found"], answer["done"] + answer["failed"]), (40, 40))
        undisturbed = self.top / "undisturbed.db"
        self.assertEqual(self.batch(store=undisturbed)["failed"], answer["failed"])
        self.assertEqual(self.exported(), self.exported(undisturbed))

    def test_a_bad_dump_costs_its_worker_only(self):
        self.logs(3)
        (self.dumps / "bad.vmcore").write_bytes(b"KDUMP   " + os.urandom(5000))
        answer = self.batch()
        self.assertEqual((answer["done"], answer["failed"]), (3, 1))
        self.assertTrue(answer["failures"][0]["path"].endswith("bad.vmcore"))
        for log in self.dumps.glob("*.log"):
            log.unlink()
        result = tool.run("batch", self.dumps, "--store", self.store)
        self.assertEqual(result.returncode, tool.EXIT_INPUT)

    def test_nothing_to_do(self):
        self.assertEqual(tool.run("batch", self.dumps, "--store", self.store).returncode, tool.EXIT_INPUT)
        self.assertEqual(tool.run("batch", self.dumps / "missing", "--store", self.store).returncode, tool.EXIT_INPUT)

    def test_list(self):
        self.logs(3)
        (self.dumps / "notes.md").write_text("no crash", encoding="ascii")
        everything = [str(self.dumps / f"{i:03}.log") for i in range(3)]
        self.assertEqual(tool.run_json("batch-list", "batch", "--list", self.dumps, "--store", self.store)[1],
                         {"schema": "perfcore.batch-list/1", "skipped": 0, "files": everything})
        self.batch()
        (self.dumps / "001.log").write_text(OOPS.format(function="another"), encoding="ascii")
        result = tool.run("batch", "--list", self.dumps, "--store", self.store)
        self.assertEqual((result.returncode, result.stdout), (0, everything[1] + "\n"))
        result = tool.run("batch", "--list", "--again", self.dumps, "--store", self.store)
        self.assertEqual(result.stdout.splitlines(), everything)
        self.assertEqual(len(self.exported()), 3)

    def test_of_a_text_the_crash_is_what_the_kernel_panicked_with(self):
        warning = ("[    0.500000] WARNING: CPU: 0 PID: 1 at arch/x86/events/core.c:100 at_boot+0x10/0x20\n"
                   "[    0.500001] RIP: 0010:at_boot+0x10/0x20\n[    0.500002] Call Trace:\n"
                   "[    0.500003]  do_one_initcall+0x10/0x20\n[    0.500004] ---[ end trace 0 ]---\n")
        for name in ("victim_0", "victim_1"):
            (self.dumps / f"{name}.log").write_text(warning + OOPS.format(function=name), encoding="ascii")
        self.batch()
        causes = {crash["answer"]["bucket"]["cause"] for crash in self.exported()}
        self.assertEqual(causes, {"stack:at_boot"}, "the first report leads the answer")
        buckets = json.loads(self.buckets("list", "--format", "json").stdout)["buckets"]
        self.assertEqual({bucket["cause"] for bucket in buckets}, {"stack:victim_0", "stack:victim_1"})
        self.assertIn("0 crashes would move", self.buckets("rebucket", "--dry-run").stdout)

    def test_paths_do_not_depend_on_where_one_stands(self):
        self.logs(1)
        for directory, path in ((self.top, "dumps/000.log"), (self.dumps, "000.log")):
            result = tool.run("batch", path, "--store", self.store, cwd=directory)
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("1 skipped", result.stdout)
        self.assertEqual([crash["path"] for crash in self.exported()], [str(self.dumps / "000.log")])

    def test_interrupted(self):
        self.logs(400)
        with subprocess.Popen([tool.TOOL, "batch", self.dumps, "--jobs", "1", "--store", self.store],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None and not self.store.exists():
                time.sleep(0.01)
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            words = process.communicate()[1]
        self.assertEqual(process.returncode, -signal.SIGINT)
        self.assertIn("goes on from there", words)
        self.batch()
        self.assertEqual(len(self.exported()), 400)

    def test_jsonl(self):
        lines = [json.dumps({"id": f"text-{i}", "text": OOPS.format(function=f"victim_{i % 3}")}) for i in range(9)]
        (self.dumps / "texts.jsonl").write_text("\n".join(lines), encoding="ascii")
        self.assertEqual(len(self.batch()["new_buckets"]), 3)
        self.assertEqual(len(self.exported()), 3)

    def test_lines_that_cannot_be_used_are_told(self):
        good = json.dumps({"id": "a", "text": OOPS.format(function="victim_0")})
        (self.dumps / "texts.jsonl").write_text(f"broken\n{good}\n\n{{}}\n", encoding="ascii")
        summary = self.batch()
        self.assertEqual((summary["crashes"], summary["failed"]), (1, 1))
        self.assertIn("2 of 3 lines cannot be used", summary["failures"][0]["why"])
        self.assertIn("line 1 ", summary["failures"][0]["why"])

    def test_what_is_named_as_a_dump_and_is_none_is_told(self):
        self.logs(1)
        (self.dumps / "vmcore").touch()
        (self.dumps / "notes").write_text("not of a crash", encoding="ascii")
        summary = self.batch()
        self.assertEqual((summary["found"], summary["done"], summary["failed"]), (2, 1, 1))
        self.assertIn("is empty (0 bytes)", summary["failures"][0]["why"])

    def test_jobs_that_make_no_sense(self):
        self.logs(1)
        for jobs in ("0", "-1", "1.5", "1000"):
            result = tool.run("batch", "--store", self.store, "--jobs", jobs, self.dumps)
            self.assertEqual(result.returncode, tool.EXIT_USAGE, jobs)
            self.assertIn("--jobs takes a number from 1 to 256", result.stderr)

    def test_killed_and_resumed(self):
        """20 times, at random moments, over dumps, recordings and logs."""
        number = 0
        for dump in tool.bundled_dumps():
            content = dump.path.read_bytes()
            for _ in range(2):
                copy = self.dumps / f"{number:03}.vmcore"
                copy_of_another_time(content, 1_700_000_000 + 3600 * number, copy)
                if number % 2:
                    tool.run("record", copy, "-o", self.dumps / f"{number:03}.rec")
                    copy.unlink()
                number += 1
        self.logs(40)
        began = time.monotonic()
        answer = self.batch(store=self.top / "undisturbed.db")
        longest = time.monotonic() - began
        self.assertEqual((answer["done"], answer["failed"], answer["known"]), (number + 40, 0, 0))
        undisturbed = self.exported(self.top / "undisturbed.db")
        self.assertEqual(len(undisturbed), number + 40)

        moments = random.Random(20)
        kills = rounds = resumed = 0
        while kills < 20:
            rounds += 1
            store = self.top / f"killed-{rounds}.db"
            while True:
                with subprocess.Popen([tool.TOOL, "batch", self.dumps, "--jobs", "2", "--store", store],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                    try:
                        if kills < 20:
                            process.wait(timeout=moments.uniform(0, longest))
                        self.assertEqual(process.wait(), 0)
                        break
                    except subprocess.TimeoutExpired:
                        process.kill()
                        kills += 1
                left = tool.run_json("batch-list", "batch", "--list", self.dumps, "--store", store)[1]
                resumed += left["skipped"] > 0
            self.assertEqual(self.exported(store), undisturbed)
        self.assertGreater(resumed, 0)

    def test_buckets(self):
        self.take_dumps()
        self.logs(2)
        self.batch()
        result = self.buckets("list", "--format", "json")
        answer = json.loads(result.stdout)
        jsonschema.Draft202012Validator(tool.schema("buckets-export")).validate(answer)
        by_cause = {bucket["cause"]: bucket for bucket in answer["buckets"]}
        known = by_cause["perf-x86-null-events"]["root_cause"]
        self.assertEqual(known["rule"], "perf-x86-null-events")
        self.assertIn("6.18.20", known["fix"][0]["releases"])
        self.assertFalse(known["regression"])
        self.assertIsNotNone(by_cause["perf-x86-null-events"]["pmu_map"])
        shown = self.buckets("show", by_cause["stack:victim_0"]["id"][:12])
        self.assertIn("000.log", shown.stdout)
        difference = self.buckets("diff", by_cause["stack:victim_0"]["id"], by_cause["stack:victim_1"]["id"])
        self.assertIn("stack:victim_1", difference.stdout)
        for name, *what in (("show", by_cause["stack:victim_0"]["id"]), ("rebucket", "--dry-run"),
                            ("diff", by_cause["stack:victim_0"]["id"], by_cause["stack:victim_1"]["id"])):
            answer = json.loads(self.buckets(name, *what, "--format", "json").stdout)
            jsonschema.Draft202012Validator(tool.schema(f"buckets-{name}")).validate(answer)
        self.assertEqual(self.buckets("show", "pc1-none").returncode, tool.EXIT_USAGE)
        self.assertIn("0 crashes would move", self.buckets("rebucket", "--dry-run").stdout)
        page = self.top / "page"
        self.assertEqual(self.buckets("dashboard", "-o", page).returncode, 0)
        self.assertIn("victim_0", (page / "index.html").read_text(encoding="utf-8"))

    def test_eval(self):
        self.logs(2)
        (self.dumps / "copy.log").write_text(OOPS.format(function="victim_0").replace("PID: 42", "PID: 43"),
                                             encoding="ascii")
        self.batch()
        labels = self.top / "labels.csv"
        labels.write_text("".join(f"{self.dumps}/{name},{label}\n" for name, label in
                                  (("000.log", "a"), ("copy.log", "a"), ("001.log", "a"))), encoding="ascii")
        answer = json.loads(self.buckets("eval", labels, "--format", "json").stdout)
        jsonschema.Draft202012Validator(tool.schema("buckets-eval")).validate(answer)
        self.assertEqual((answer["spray"], answer["glue"], answer["buckets"]), (2, 1, 2))
        self.assertEqual(answer["pairwise"]["precision"], 1)
        self.assertAlmostEqual(answer["pairwise"]["recall"], 1 / 3)

    def test_eval_takes_the_ends_of_paths(self):
        self.logs(2)
        for name in ("one", "two"):
            (self.dumps / name).mkdir()
            (self.dumps / name / "same.log").write_text(OOPS.format(function=name), encoding="ascii")
        self.batch()
        labels = self.top / "labels.csv"
        labels.write_text("000.log,a\n001.log,b\none/same.log,c\nsame.log,d\nnone.log,e\n", encoding="ascii")
        answer = json.loads(self.buckets("eval", labels, "--format", "json").stdout)
        self.assertEqual((answer["crashes"], answer["missing"], answer["ambiguous"]), (4, 1, 0))
        labels.write_text("000.log,a\nsame.log,d\n", encoding="ascii")
        answer = json.loads(self.buckets("eval", labels, "--format", "json").stdout)
        self.assertEqual((answer["crashes"], answer["missing"], answer["ambiguous"]), (1, 0, 1))

    def test_no_such_store(self):
        result = self.buckets("list")
        self.assertEqual(result.returncode, tool.EXIT_INPUT)
        self.assertIn("there is no store", result.stderr)
        self.assertFalse(pathlib.Path(self.store).exists())

    def test_the_beginning_of_an_id(self):
        self.logs(2)
        self.batch()
        self.assertIn("2 buckets have an id that begins with pc1", self.buckets("show", "pc1").stderr)
        self.assertIn("there is no bucket pc1-none", self.buckets("show", "pc1-none").stderr)


if __name__ == "__main__":
    unittest.main()
