# SPDX-License-Identifier: LGPL-2.1-or-later
"""Helpers under drgn's names, held against the truth that was written down when the dumps were made."""

import importlib

import pytest

import perfcore
from conftest import tool, truth_of
from perfcore.helpers.linux.list import list_empty


@pytest.mark.parametrize("name, module", [
    ("per_cpu", "percpu"), ("per_cpu_ptr", "percpu"), ("for_each_present_cpu", "cpumask"),
    ("for_each_possible_cpu", "cpumask"), ("for_each_online_cpu", "cpumask"), ("list_for_each", "list"),
    ("list_for_each_entry", "list"), ("for_each_task", "pid"), ("find_task", "pid")])
def test_importable_where_drgn_has_them(name, module):
    helper = getattr(importlib.import_module(f"perfcore.helpers.linux.{module}"), name)
    assert helper is getattr(perfcore, name)
    assert helper is getattr(importlib.import_module("perfcore.helpers.linux"), name)


def test_every_cpu_as_it_was(dump):
    k = perfcore.open(dump, search_debuginfo=False)
    truth = {cpu["cpu"]: cpu for cpu in truth_of(dump)["cpus"]}
    assert list(perfcore.for_each_present_cpu(k)) == sorted(truth)
    for cpu in perfcore.for_each_present_cpu(k):
        hw = perfcore.per_cpu(k["cpu_hw_events"], cpu)
        assert hw.n_events == len(truth[cpu]["event_list"])
        assert hw.active_mask[0] == int(str(truth[cpu]["active_mask"]), 0)
        for i, event in enumerate(truth[cpu]["event_list"]):
            assert hw.event_list[i] == int(event["ptr"], 16)
            assert hw.event_list[i].hw.idx == event["hw_idx"]


def test_masks(healthy):
    possible = list(perfcore.for_each_possible_cpu(healthy))
    assert set(perfcore.for_each_present_cpu(healthy)) <= set(possible)
    assert set(perfcore.for_each_online_cpu(healthy)) <= set(possible)
    from perfcore.helpers.linux.cpumask import for_each_cpu

    assert list(for_each_cpu(healthy["__cpu_possible_mask"])) == possible


def test_per_cpu_and_per_cpu_ptr_agree(healthy):
    variable = healthy["cpu_hw_events"]
    for cpu in perfcore.for_each_present_cpu(healthy):
        direct = perfcore.per_cpu(variable, cpu)
        pointer = perfcore.per_cpu_ptr(variable.address_of_(), cpu)
        assert pointer.type_.type_name() == "struct cpu_hw_events *"
        assert pointer.value_() == direct.address_
        assert perfcore.per_cpu(variable, perfcore.Object(healthy, "int", cpu)).address_ == direct.address_
    with pytest.raises(perfcore.FaultError):
        perfcore.per_cpu(variable, 9999)


def until_unread(entries):
    """The bundled dumps do not hold every entry of every list."""
    found = []
    try:
        for entry in entries:
            found.append(entry)
    except perfcore.FaultError:
        pass
    return found


def test_lists(healthy):
    head = healthy["init_task"].tasks.address_of_()
    tasks = until_unread(perfcore.list_for_each_entry("struct task_struct", head, "tasks"))
    assert tasks[0].type_.type_name() == "struct task_struct *"
    assert tasks[0].pid == 1 and tasks[0] == head.next.value_() - perfcore.offsetof(tasks[0][0].type_, "tasks")
    nodes = until_unread(perfcore.list_for_each(head))
    assert [node.value_() for node in nodes] == [task.tasks.address_ for task in tasks]
    by_type = until_unread(perfcore.list_for_each_entry(healthy.type("struct task_struct"), head, "tasks"))
    assert [task.value_() for task in by_type] == [task.value_() for task in tasks]
    assert not list_empty(head)


def test_an_empty_list(healthy):
    event = perfcore.per_cpu(healthy["cpu_hw_events"], 1).event_list[0]
    assert list_empty(event.child_list.address_of_())
    assert list(perfcore.list_for_each(event.child_list.address_of_())) == []


def test_a_list_that_ends_in_nothing_is_an_error(healthy):
    name = healthy["x86_pmu"].name
    with pytest.raises(perfcore.FaultError):
        list(perfcore.list_for_each(perfcore.cast("struct list_head *", name)))


def test_tasks_are_those_of_the_command_line(dump):
    k = perfcore.open(dump, search_debuginfo=False)
    expected = [int(task["address"], 16) for task in tool("show", dump, "tasks", "--no-debuginfo")["tasks"]]
    assert [task.value_() for task in until_unread(perfcore.for_each_task(k))] == expected[1:], "but for the idle task"


def test_find_task(healthy):
    init = perfcore.find_task(healthy, 1)
    assert init.type_.type_name() == "struct task_struct *"
    assert init.pid == 1
    try:
        assert not perfcore.find_task(healthy, 4194303)
    except perfcore.FaultError:
        assert True, "not all tasks are in this dump: it cannot be said that there is none"
