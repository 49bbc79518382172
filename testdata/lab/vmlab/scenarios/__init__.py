# SPDX-License-Identifier: LGPL-2.1-or-later
"""The scenarios, one a file. Each has SUMMARY (one line), run(guest) -> Outcome, and where they differ from the default:
GUEST (arguments of guest.Guest), HOOKS (called when the guest reaches its kernel), suits(kernel) -> reason against or
None, DEFAULT_KERNEL."""

import dataclasses
import importlib
import pkgutil

from .. import pmu

NULL_EVENTS, CORRUPTION = "perf-x86-null-events", "perf-x86-state-corruption"
IBS_RACE, AUX_HANG = "amd-ibs-add-nmi-race", "perf-aux-poll-hang"


@dataclasses.dataclass
class Outcome:
    """How the guest came to its state, and what a diagnosis must say of it."""

    how: str
    crash: dict  # "class", "function" of the crash
    expect: list = dataclasses.field(default_factory=list)  # of rules: verdict, stage, cause_of_crash, cpus
    facts: dict = dataclasses.field(default_factory=dict)  # what else is known


def rule(name, verdict, stage, cause=False, cpus=None):
    found = {"rule": name, "verdict": verdict, "stage": stage, "cause_of_crash": cause}
    return {**found, "cpus": cpus} if cpus is not None else found


def nothing_wrong(kernel):
    """What a diagnosis must say of a PMU that works."""
    null_events = rule(NULL_EVENTS, "latent", "latent") if kernel.code["null_events"] else rule(NULL_EVENTS, "not-applicable", "none")
    return [null_events, rule(CORRUPTION, "not-applicable", "none")]


SYSRQ = {"class": "sysrq", "function": "sysrq_handle_crash"}
LIVE = {"class": "none"}


def names():
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)
                  if not module.name.startswith("_"))


def load(name):
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    for attribute, default in (("GUEST", {}), ("HOOKS", (pmu.core_pmu,)), ("DEFAULT_KERNEL", "6.12"),
                               ("suits", lambda kernel: None)):
        if not hasattr(module, attribute):
            setattr(module, attribute, default)
    return module


def workload(guest):
    """Many events on 4 CPUs: counting, sampling by period and frequency, groups, pinned, more than there are counters."""
    guest.start("pmu cpu:0 ev:cycles,cpu=0 ev:instr,cpu=0,period=100003,mmap fork cpu:0 loop")
    guest.start("pmu cpu:1 ev:cycles,leader ev:instr,group ev:cmiss,group ev:br,freq=100 loop")
    guest.start("pmu cpu:2 ev:cycles,cpu=2,pinned ev:br,leader,freq=99 ev:brmiss,group loop")
    guest.start("pmu cpu:3 ev:cref,cpu=3 ev:cmiss,cpu=3,pinned,period=5000 ev:cycles ev:instr ev:br ev:brmiss loop")


WORKLOAD = ("Events on 4 CPUs: counting, sampling by period and by frequency, groups, pinned, and on CPU 3 more than there "
            "are counters. ")
