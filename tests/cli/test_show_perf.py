# SPDX-License-Identifier: LGPL-2.1-or-later
"""perfcore show: events, contexts, buffers, IBS and tasks of real kernels."""

import unittest

import tool


class ShowPerf(unittest.TestCase):
    def setUp(self):
        self.dumps = tool.all_dumps()

    def show(self, dump, part):
        _, answer = tool.run_json(f"show-{part}", "show", dump, part, "--no-debuginfo")
        return answer

    def test_every_part_answers_on_every_dump(self):
        for dump in self.dumps:
            for part in ("ibs", "events", "contexts", "buffers", "tasks"):
                with self.subTest(dump=str(dump), part=part):
                    self.show(dump, part)
                    text = tool.run("show", dump, part, "--no-debuginfo")
                    self.assertEqual(text.returncode, tool.EXIT_DONE)
                    self.assertTrue(text.stdout.strip())

    def test_events_of_the_counters_are_found(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                answer = self.show(dump, "events")
                found = {event["address"]: event for event in answer["events"]}
                self.assertEqual(len(found), len(answer["events"]), "each event once")
                for cpu in dump.truth["cpus"]:
                    for event in cpu["event_list"]:
                        if int(event["ptr"], 16) == 0:
                            continue
                        row = found[event["ptr"]]
                        if row["hw.idx"] is None:
                            self.assertTrue(answer["unread"])
                            continue
                        self.assertEqual(row["hw.idx"], event["hw_idx"])
                        self.assertEqual(row["oncpu"], event["oncpu"])
                        self.assertEqual(row["throttled"], int(row["hw.interrupts"], 16) == 2**64 - 1)

    def test_contexts_count_the_events_they_hold(self):
        for dump in tool.full_dumps():
            with self.subTest(dump=str(dump)):
                contexts = self.show(dump, "contexts")["contexts"]
                self.assertEqual(len({context["address"] for context in contexts}), len(contexts))
                for context in contexts:
                    if context["owner"] == "task":
                        self.assertIsNotNone(context["task"])
                    counts = [pmu["nr_events"] for pmu in context["pmus"]]
                    if None in counts or context["nr_events"] is None:
                        continue
                    self.assertEqual(sum(counts), context["nr_events"], context)

    def test_a_context_of_every_cpu_that_has_events(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                events = self.show(dump, "events")["events"]
                answer = self.show(dump, "contexts")
                addresses = {context["address"] for context in answer["contexts"]}
                for event in events:
                    if event["ctx"] is not None and event["path"].startswith("context of") and not answer["unread"]:
                        self.assertIn(event["ctx"], addresses)

    def test_the_tracer_that_polls_is_among_the_waiters_of_its_buffer(self):
        dump = tool.some_dump("aux-hang")
        buffers = self.show(dump, "buffers")["buffers"]
        waiters = [waiter for buffer in buffers for waiter in buffer["waiters"]]
        self.assertTrue(any(waiter["how"] == "poll or select" and waiter["pid"] for waiter in waiters), buffers)
        for buffer in buffers:
            self.assertTrue(buffer["events"])
            self.assertIn("data_head", buffer["user_page"])
            self.assertIn("aux_refcount", buffer["buffer"])

    def test_ibs_states_have_their_names(self):
        dump = tool.some_dump("ibs-race")
        answer = self.show(dump, "ibs")
        self.assertEqual({pmu["name"] for pmu in answer["pmus"]} & {"perf_ibs_op", "perf_ibs_fetch"},
                         {pmu["name"] for pmu in answer["pmus"]})
        states = [cpu for pmu in answer["pmus"] for cpu in pmu["cpus"] if cpu["state"] is not None]
        for cpu in states:
            self.assertEqual(cpu["state_names"] == "idle", int(cpu["state"], 16) == 0)

    def test_init_and_kernel_threads_are_among_the_tasks(self):
        for dump in self.dumps:
            with self.subTest(dump=str(dump)):
                tasks = {task["pid"]: task for task in self.show(dump, "tasks")["tasks"]}
                self.assertIn(1, tasks)
                self.assertFalse(tasks[1]["kernel_thread"])
                self.assertEqual(tasks[2]["comm"], "kthreadd")
                if tasks[2]["kernel_thread"] is None:
                    continue  # on a page that a minimal dump has not
                self.assertTrue(tasks[2]["kernel_thread"])


if __name__ == "__main__":
    unittest.main()
