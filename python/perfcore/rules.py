# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules in Python.

A rule is a function that looks at a dead kernel and says whether one particular defect is in it::

    @perfcore.rule(id="site-watchdog-off", needs=["struct cpu_hw_events"])
    def watchdog_off(kernel, crash, perf):
        '''The hard lockup detector has no event'''
        ...
        return perfcore.Finding(verdict="likely", stage="armed", summary="...")

None says that the defect is not there. FaultError makes the finding undetermined: what could not be read proves
nothing. Anything else that is raised is reported as the rule's failure and stops no other rule.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from ._perfcore import FaultError, Kernel
from .answers import Crash, Event, Finding, Ibs, Pmu

ENTRY_POINTS = "perfcore.rules"
"""The entry point group in which installed packages name rules, or modules with rules."""


class PerfState:
    """The perf state of a kernel, read when asked for."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def cpus(self) -> List[int]:
        """Present CPUs. Raises FaultError."""
        from ._perfcore import present_cpus

        return present_cpus(self._kernel)

    def pmu(self, cpu: int) -> Pmu:
        return self._kernel.pmu(cpu)

    def ibs(self, cpu: int) -> Tuple[Ibs, ...]:
        return self._kernel.ibs(cpu)

    def events(self) -> Tuple[Event, ...]:
        return self._kernel.perf_events()


RuleFunction = Callable[[Kernel, Crash, PerfState], Optional[Finding]]


def _where(error: BaseException) -> str:
    """File, line and function of the innermost frame of an exception."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f" ({code.co_filename}:{trace.tb_lineno} in {code.co_name})"


def _words(error: BaseException) -> str:
    text = str(error)
    return type(error).__name__ + (f": {text}" if text else "")


class Rule:
    """A rule; made by the decorator. Calling it calls the function."""

    def __init__(self, function: RuleFunction, id: str, title: str, needs: Sequence[str]) -> None:
        self.function = function
        self.id = id
        self.title = title
        self.needs = tuple(needs)
        self._types = [need for need in self.needs if " " in need]
        self._symbols = [need for need in self.needs if " " not in need]
        self.__doc__ = function.__doc__

    def __call__(self, kernel: Kernel, crash: Crash, perf: PerfState) -> Optional[Finding]:
        return self.function(kernel, crash, perf)

    def __repr__(self) -> str:
        return f"<perfcore.Rule {self.id}>"

    def _run(self, kernel: Kernel) -> Union[Dict[str, Any], str]:
        """For the engine: the finding, or the words of what went wrong."""
        try:
            finding = self.function(kernel, kernel.crash(), PerfState(kernel))
        except FaultError as error:
            words = f"not read: {error}{_where(error)}"
            return Finding(summary=words, not_visible=(words,)).to_dict()
        except (Exception, SystemExit) as error:
            return _words(error) + _where(error)
        if finding is None:
            return Finding(verdict="not-applicable", summary="no such state").to_dict()
        if not isinstance(finding, Finding):
            return f"TypeError: the rule returned {type(finding).__name__}, not a perfcore.Finding or None"
        return finding.to_dict()


class _Broken(Rule):
    """Stands for rules that could not be loaded, so that the answer says so."""

    def __init__(self, id: str, error: BaseException) -> None:
        def function(kernel: Kernel, crash: Crash, perf: PerfState) -> Optional[Finding]:
            raise AssertionError

        super().__init__(function, id, "Rules that could not be loaded", ())
        self._why = f"cannot be loaded: {_words(error)}{_where(error)}"

    def _run(self, kernel: Kernel) -> Union[Dict[str, Any], str]:
        return self._why


def rule(*, id: str, needs: Iterable[str] = (), title: str = "") -> Callable[[RuleFunction], Rule]:
    """Make a rule of a function that takes (kernel, crash, perf) and returns a Finding or None.

    :param id: names it in answers and buckets; must differ from all others'.
    :param needs: what it cannot run without: types ("struct cpu_hw_events", "enum perf_event_state") and symbols
        ("cpu_hw_events"). Where one is missing the answer says "not run".
    :param title: of its finding; by default the first line of the docstring.
    """
    if isinstance(needs, str):
        raise TypeError("needs= takes a list of names")
    names = list(needs)

    def decorate(function: RuleFunction) -> Rule:
        lines = (function.__doc__ or "").strip().splitlines()
        return Rule(function, id, title or (lines[0].rstrip(".") if lines else id), names)

    return decorate


def as_rules(rules: Iterable[Any]) -> List[Rule]:
    """Checks what is given as rules; modules stand for the rules in them."""
    found: List[Rule] = []
    for item in rules:
        if isinstance(item, Rule):
            found.append(item)
        elif hasattr(item, "__dict__") and type(item).__name__ == "module":
            found += _rules_in(item)
        else:
            raise TypeError(f"{item!r} is no rule: decorate it with @perfcore.rule(id=...)")
    return found


def _rules_in(module: Any) -> List[Rule]:
    """The rules that a module defines, in its order; those that it imports are another module's."""
    return [value for value in vars(module).values()
            if isinstance(value, Rule) and value.function.__module__ == module.__name__]


def load_rules(*directories: str, installed: bool = False) -> List[Rule]:
    """The rules in the .py files of directories, by file name, and those of installed packages.

    A file that cannot be imported becomes a rule that fails and says why; the others are loaded all the same.

    :param installed: also what the entry points of the group "perfcore.rules" name: rules, or modules with rules.
    :raises FileNotFoundError: a directory is not there.
    """
    import importlib.util
    import os
    import sys

    found: List[Rule] = []
    for number, directory in enumerate(directories):
        for name in sorted(os.listdir(directory)):
            stem, extension = os.path.splitext(name)
            if extension != ".py" or stem.startswith(("_", ".")):
                continue
            # Under a name of its own: a rule file called json.py is not to hide another module.
            module_name = f"_perfcore_rules_{number}_{stem}"
            spec = importlib.util.spec_from_file_location(module_name, os.path.join(directory, name))
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[module_name] = module
            try:
                spec.loader.exec_module(module)
                found += _rules_in(module)
            except (Exception, SystemExit) as error:
                found.append(_Broken(stem, error))
    if installed:
        from importlib import metadata

        entry_points: Any = metadata.entry_points()
        group = (entry_points.select(group=ENTRY_POINTS) if hasattr(entry_points, "select")
                 else entry_points.get(ENTRY_POINTS, ()))
        for entry_point in group:
            try:
                found += as_rules([entry_point.load()])
            except (Exception, SystemExit) as error:
                found.append(_Broken(entry_point.name, error))
    return found
