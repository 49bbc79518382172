# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing leaks: what is opened and dropped is given back."""

import gc

import perfcore
from conftest import bundled, open_bundled

OPENS = 300
ALLOWED = 8 << 20  # bytes; one leaked kernel with its types and pages is larger than a hundredth of it


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def descriptors():
    import os

    return len(os.listdir("/proc/self/fd"))


def use(k):
    hw = perfcore.per_cpu(k["cpu_hw_events"], 1)
    hw.value_()
    str(hw.events)
    try:
        k.read(0x10, 1)
    except perfcore.FaultError:
        pass
    return hw.event_list[0].hw.idx.value_()


def test_opening_again_and_again():
    path = bundled("healthy-6.12.117")
    for _ in range(30):
        use(perfcore.open(path, search_debuginfo=False))
    gc.collect()
    before, files = resident(), descriptors()
    for _ in range(OPENS):
        use(perfcore.open(path, search_debuginfo=False))
    gc.collect()
    assert descriptors() == files
    assert resident() - before < ALLOWED


def test_diagnosing_again_and_again():
    @perfcore.rule(id="test-leak")
    def rule(kernel, crash, perf):
        return perfcore.Finding(verdict="possible", summary=str(use(kernel)))

    @perfcore.rule(id="test-leak-raises")
    def raises(kernel, crash, perf):
        raise ValueError(str(kernel))

    for _ in range(10):
        open_bundled("null-events-6.18.12").triage(rules=[rule, raises])
    gc.collect()
    before = resident()
    for _ in range(60):
        open_bundled("null-events-6.18.12").triage(rules=[rule, raises])
    gc.collect()
    assert resident() - before < ALLOWED


def test_objects_hold_the_kernel_and_no_longer():
    files = descriptors()
    objects = [perfcore.per_cpu(open_bundled("healthy-6.12.117")["cpu_hw_events"], 1) for _ in range(5)]
    assert descriptors() > files
    assert all(hw.n_events == 4 for hw in objects)
    del objects
    gc.collect()
    assert descriptors() == files
