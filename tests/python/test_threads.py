# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several threads: each with a kernel of its own, and all with one."""

import sys
import threading

import pytest

import perfcore
from conftest import bundled, open_bundled


@pytest.fixture(autouse=True)
def switch_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(count, work):
    results, errors = [None] * count, []

    def run(i):
        try:
            results[i] = work(i)
        except BaseException as error:  # noqa: B902
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "they wait for each other"
    if errors:
        raise errors[0]
    return results


def look(k):
    """Reads types, symbols, memory and expressions."""
    seen = []
    for cpu in perfcore.for_each_present_cpu(k):
        hw = perfcore.per_cpu(k["cpu_hw_events"], cpu)
        seen.append((hw.n_events.value_(), hw.events.value_(), str(hw.assign)))
        seen += [(hw.event_list[i].hw.idx.value_(), repr(hw.event_list[i].attr.config)) for i in range(hw.n_events)]
    seen.append(k.symbol("x86_pmu_enable").address)
    return seen


def test_a_kernel_for_each(healthy):
    expected = look(healthy)
    assert in_threads(4, lambda i: look(open_bundled("healthy-6.12.117"))) == [expected] * 4


def test_one_kernel_for_all(healthy):
    expected = look(open_bundled("healthy-6.12.117"))
    assert in_threads(8, lambda i: [look(healthy) for _ in range(5)]) == [[expected] * 5] * 8


def test_one_kernel_for_triages_and_looks(broken):
    expected = broken.triage().to_dict()
    seen = look(broken)

    def work(i):
        return broken.triage().to_dict() if i % 2 else look(broken)

    results = in_threads(6, work)
    assert results[1::2] == [expected] * 3
    assert results[::2] == [seen] * 3


def test_rules_in_several_threads(broken):
    @perfcore.rule(id="test-look")
    def rule(kernel, crash, perf):
        return perfcore.Finding(verdict="possible", summary=str(look(kernel)))

    summary = str(look(broken))
    results = in_threads(4, lambda i: broken.triage(rules=[rule]).finding("test-look").summary)
    assert results == [summary] * 4


def test_other_threads_run_while_a_dump_is_triaged():
    """Without the GIL released the counter would stand still during each call."""
    stop = threading.Event()
    steps = []

    def count():
        while not stop.is_set():
            steps.append(1)

    counter = threading.Thread(target=count)
    during = 0
    counter.start()
    try:
        for _ in range(20):
            k = perfcore.open(bundled("null-events-6.18.12"), search_debuginfo=False)
            before = len(steps)
            perfcore._perfcore._events(k)
            during += len(steps) - before
    finally:
        stop.set()
        counter.join()
    assert during > 0
