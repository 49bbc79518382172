# SPDX-License-Identifier: LGPL-2.1-or-later
"""The answers of Kernel.triage() and its siblings as dataclasses.

They are made from the JSON that the command line prints, and to_dict() gives that back: docs/schema/ describes both.
Addresses and 64-bit masks are int here and hexadecimal strings there. None is what could not be read.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, fields
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Type, TypeVar

from . import _perfcore
from ._perfcore import Kernel

VERDICTS = ("proven", "likely", "possible", "latent", "contradicted", "not-applicable", "undetermined")
"""Is this defect here? Kernel.triage() sorts by them."""
STAGES = ("none", "latent", "primed", "armed", "fired", "crashed")
"""How far has it got?"""
RESULTS = ("supports", "contradicts", "undetermined")
"""What a piece of evidence says."""

_T = TypeVar("_T", bound="_Answer")


def _number(value: Optional[str]) -> Optional[int]:
    return None if value is None else int(value, 16)


def _hexadecimal(value: Optional[int]) -> Optional[str]:
    return None if value is None else hex(value)


def _hex_field(key: str = "", default: Any = None) -> Any:
    return field(default=default, metadata={"key": key, "in": _number, "out": _hexadecimal})


def _key_field(key: str, default: Any = None) -> Any:
    """For a JSON key that is no name in Python."""
    return field(default=default, metadata={"key": key})


def _tuple_field(of: Any = None) -> Any:
    def take(items: Iterable[Any]) -> Tuple[Any, ...]:
        return tuple(of._from(item) if of else item for item in items)

    def give(items: Iterable[Any]) -> List[Any]:
        return [item.to_dict() if of else item for item in items]

    return field(default=(), metadata={"in": take, "out": give})


@dataclass(frozen=True)
class _Answer:
    """A JSON object as a dataclass."""

    _source: Optional[Dict[str, Any]] = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def _from(cls: Type[_T], source: Dict[str, Any]) -> _T:
        values = {}
        for item in fields(cls):
            key = item.metadata.get("key") or item.name
            if item.init and key in source:
                convert = item.metadata.get("in")
                values[item.name] = convert(source[key]) if convert else source[key]
        made = cls(**values)
        object.__setattr__(made, "_source", source)
        return made

    def to_dict(self) -> Dict[str, Any]:
        """The object that the command line prints as JSON."""
        if self._source is not None:
            return copy.deepcopy(self._source)
        answer = {}
        for item in fields(self):
            if item.init:
                convert = item.metadata.get("out")
                value = getattr(self, item.name)
                answer[item.metadata.get("key") or item.name] = convert(value) if convert else copy.deepcopy(value)
        return answer


@dataclass(frozen=True)
class Reference(_Answer):
    """A commit, CVE or page about a defect."""

    kind: str = "link"  #: "cve", "commit", "fix", "link"
    id: str = ""
    title: str = ""


@dataclass(frozen=True)
class LookAlike(_Answer):
    """A cause that looks the same, and what came of considering it."""

    title: str = ""
    ruled_out: bool = False
    why: str = ""


@dataclass(frozen=True)
class Evidence(_Answer):
    """A claim, and the value in the dump that speaks for or against it."""

    claim: str = ""
    expression: str = ""  #: as `perfcore print` accepts it: Object.expression_
    address: Optional[int] = _hex_field()
    observed: str = ""
    expected: str = ""
    result: str = "undetermined"  #: one of RESULTS
    weight: int = 0  #: added to the score when it supports

    def __post_init__(self) -> None:
        _require("result", self.result, RESULTS)


@dataclass(frozen=True)
class Finding(_Answer):
    """What a rule found. Rules in Python make one; rule, title and score are filled in by the engine."""

    rule: str = ""
    title: str = ""
    verdict: str = "undetermined"  #: one of VERDICTS
    stage: str = "none"  #: one of STAGES
    cause_of_crash: bool = False  #: it explains the panic in hand
    cpus: Tuple[int, ...] = _tuple_field()  #: those at the finding's highest stage
    score: int = 0  #: sum of supporting weights, at most 100
    summary: str = ""
    evidence: Tuple[Evidence, ...] = _tuple_field(Evidence)
    look_alikes: Tuple[LookAlike, ...] = _tuple_field(LookAlike)
    explanation: Tuple[str, ...] = _tuple_field()  #: the story in steps, with the dump's own values
    remedy: Tuple[str, ...] = _tuple_field()
    references: Tuple[Reference, ...] = _tuple_field(Reference)
    facts: Dict[str, Any] = field(default_factory=dict)
    not_visible: Tuple[str, ...] = _tuple_field()  #: what could not be read and matters

    def __post_init__(self) -> None:
        _require("verdict", self.verdict, VERDICTS)
        _require("stage", self.stage, STAGES)


def _require(what: str, value: str, choices: Tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} {value!r} is none of {', '.join(choices)}")


@dataclass(frozen=True)
class Frame(_Answer):
    """A call on the stack of a Crash, innermost first."""

    function: Optional[str] = None
    offset: Optional[int] = _hex_field()
    module: str = ""
    context: str = "unknown"  #: "task", "softirq", "irq", "exception", "nmi", "user", "unknown"
    reliable: bool = True
    address: Optional[int] = _hex_field()
    inlined: bool = False
    interrupted: bool = False


@dataclass(frozen=True)
class Crash(_Answer):
    """What killed the kernel."""

    class_: str = _key_field("class", "none")  #: "null-deref", "hard-lockup", ...; "none" when nothing died
    reason: Optional[str] = None
    oops: Optional[str] = None
    cpu: Optional[int] = None
    pid: Optional[int] = None
    comm: Optional[str] = None
    context: str = "unknown"
    function: Optional[str] = None
    offset: Optional[int] = _hex_field()
    fault_address: Optional[int] = _hex_field()
    instruction: Optional[str] = None  #: the one that faulted, in AT&T syntax
    explanation: Optional[str] = None
    type: Optional[str] = None
    member: Optional[str] = None  #: of which struct what was touched
    null_pointer: Optional[bool] = None
    basis: Optional[str] = None
    first_anomaly: Optional[str] = None
    stack: Tuple[Frame, ...] = _tuple_field(Frame)


@dataclass(frozen=True)
class Triage(_Answer):
    """What killed the kernel and why."""

    schema: str = ""
    dump: Dict[str, Any] = field(default_factory=dict)
    kernel: Dict[str, Any] = field(default_factory=dict)
    system: Dict[str, Any] = field(default_factory=dict)
    crash: Crash = field(default_factory=Crash, metadata={"in": Crash._from, "out": Crash.to_dict})
    findings: Tuple[Finding, ...] = _tuple_field(Finding)  #: the most important one first
    known: Tuple[Dict[str, Any], ...] = _tuple_field()  #: causes known from elsewhere with the same symptom
    kcsan: Tuple[Dict[str, Any], ...] = _tuple_field()  #: data races in the log, judged
    signature: str = ""  #: id of the bucket that the crash belongs to
    bucket: Dict[str, Any] = field(default_factory=dict)  #: why, and which ones are related
    unread: Tuple[Dict[str, Any], ...] = _tuple_field()  #: what could not be read, and why
    text: str = field(default="", init=False, repr=False, compare=False)  #: what the command line prints
    _map: Optional["Pmu"] = field(default=None, init=False, repr=False, compare=False)

    @property
    def root_cause(self) -> Optional[Finding]:
        """The finding that explains the crash, proven or likely; None when no rule's does."""
        for finding in self.findings:
            if finding.cause_of_crash and finding.verdict in ("proven", "likely"):
                return finding
        return None

    @property
    def defect(self) -> Optional[Finding]:
        """The first finding of a defect that is armed or has struck, whether or not it explains the crash."""
        for finding in self.findings:
            if finding.verdict in VERDICTS[:3] and STAGES.index(finding.stage) >= STAGES.index("armed"):
                return finding
        return None

    def __str__(self) -> str:
        return self.text

    def finding(self, rule: str) -> Finding:
        """The finding of one rule. Raises LookupError."""
        for finding in self.findings:
            if finding.rule == rule:
                return finding
        raise LookupError(f"no rule {rule!r} ran")

    def _repr_html_(self) -> str:
        from .html import triage_html

        return triage_html(self)


@dataclass(frozen=True)
class InvariantResult(_Answer):
    """One invariant on one CPU; on no CPU (None) when it is about the whole kernel."""

    id: str = ""
    cpu: Optional[int] = None
    status: str = "not-read"  #: "ok", "transient", "violated", "not-read", "not-applicable"
    severity: str = "I"  #: "F", "E", "W", "I"
    expression: str = ""
    address: Optional[int] = _hex_field()
    observed: str = ""
    why: str = ""


@dataclass(frozen=True)
class Check(_Answer):
    """The invariants of the PMU's state on every CPU."""

    schema: str = ""
    dump: Dict[str, Any] = field(default_factory=dict)
    kernel: Dict[str, Any] = field(default_factory=dict)
    results: Tuple[InvariantResult, ...] = _tuple_field(InvariantResult)

    @property
    def violated(self) -> Tuple[InvariantResult, ...]:
        """Results that say what is wrong."""
        return tuple(result for result in self.results if result.status == "violated")


@dataclass(frozen=True)
class PmuEvent(_Answer):
    """An entry of cpu_hw_events.event_list; names are those of struct perf_event, with _ for a dot."""

    address: Optional[int] = _hex_field()
    hw_idx: Optional[int] = _key_field("hw.idx")
    hw_state: Optional[int] = _key_field("hw.state")
    hw_last_cpu: Optional[int] = _key_field("hw.last_cpu")
    hw_interrupts: Optional[int] = _hex_field("hw.interrupts")
    state: Optional[int] = None
    oncpu: Optional[int] = None
    cpu: Optional[int] = None
    group_leader: Optional[int] = _hex_field()
    attr_type: Optional[int] = _key_field("attr.type")
    attr_config: Optional[int] = _hex_field("attr.config")
    attr_pinned: Optional[int] = _key_field("attr.pinned")
    attr_freq: Optional[int] = _key_field("attr.freq")


def _slots(source: Optional[Mapping[str, Optional[str]]]) -> Optional[Dict[int, Optional[int]]]:
    return None if source is None else {int(counter): _number(pointer) for counter, pointer in source.items()}


def _slots_out(slots: Optional[Mapping[int, Optional[int]]]) -> Optional[Dict[str, Optional[str]]]:
    return None if slots is None else {str(counter): _hexadecimal(pointer) for counter, pointer in slots.items()}


@dataclass(frozen=True)
class Pmu(_Answer):
    """struct cpu_hw_events of one CPU. to_dict() is the CPU's part of `perfcore show DUMP pmu --format json`."""

    cpu: int = 0
    address: Optional[int] = _hex_field()
    enabled: Optional[int] = None
    n_events: Optional[int] = None
    n_added: Optional[int] = None
    n_txn: Optional[int] = None
    active_mask: Optional[int] = _hex_field()
    #: by counter, those that are not NULL; the value is None where the pointer could not be read
    events: Optional[Dict[int, Optional[int]]] = field(default=None, metadata={"in": _slots, "out": _slots_out})
    event_list: Optional[Tuple[PmuEvent, ...]] = field(default=None, metadata={
        "in": lambda items: None if items is None else tuple(PmuEvent._from(item) for item in items),
        "out": lambda items: None if items is None else [item.to_dict() for item in items]})
    #: by counter, existing ones and those that something refers to: "running", "held" (an event, no active bit),
    #: "missing" (active bit, no event), "claimed", "mismatch", "no-counter", "unused", "unread"
    counters: Dict[int, str] = field(default_factory=dict, init=False, compare=False)
    unread: Tuple[Dict[str, Any], ...] = field(default=(), init=False, repr=False, compare=False)
    _lines: Tuple[Tuple[Any, ...], ...] = field(default=(), init=False, repr=False, compare=False)

    def _repr_html_(self) -> str:
        from .html import pmu_html

        return pmu_html(self)


@dataclass(frozen=True)
class Ibs(_Answer):
    """struct cpu_perf_ibs of one flavour of IBS on one CPU."""

    name: str = field(default="", init=False)  #: "perf_ibs_fetch", "perf_ibs_op"
    cpu: int = 0
    address: Optional[int] = _hex_field()
    event: Optional[int] = _hex_field()  #: struct perf_event *; 0 for NULL
    state: Optional[int] = _hex_field()
    state_names: Optional[str] = None  #: "ENABLED|STARTED"
    counts: Optional[str] = None
    event_state: Optional[int] = None
    event_oncpu: Optional[int] = None
    event_hw_state: Optional[int] = _hex_field()


@dataclass(frozen=True)
class Event(_Answer):
    """A perf event that CPUs or tasks lead to."""

    address: int = _hex_field()
    path: str = ""  #: how it was reached
    counts: str = ""  #: what it counts
    pmu: Optional[str] = None
    owner: Optional[str] = None
    state: Optional[int] = None
    state_name: Optional[str] = None
    oncpu: Optional[int] = None
    cpu: Optional[int] = None
    hw_idx: Optional[int] = _key_field("hw.idx")
    hw_state: Optional[int] = _hex_field("hw.state")
    hw_interrupts: Optional[int] = _hex_field("hw.interrupts")
    throttled: Optional[bool] = None
    count: Optional[int] = _hex_field()
    total_time_enabled: Optional[int] = None  #: nanoseconds
    total_time_running: Optional[int] = None
    tstamp: Optional[int] = None
    context_time: Optional[int] = None
    refcount: Optional[int] = None
    ctx: Optional[int] = _hex_field()
    rb: Optional[int] = _hex_field()
    parent: Optional[int] = _hex_field()
    group_leader: Optional[int] = _hex_field()


def triage(kernel: Kernel, rules: Iterable[Any] = ()) -> Triage:
    """Kernel.triage()."""
    from .rules import as_rules

    source, text = _perfcore._triage(kernel, as_rules(rules))
    answer = Triage._from(json.loads(source))
    object.__setattr__(answer, "text", text)
    leading = answer.root_cause or answer.defect
    if leading is not None and leading.cpus:
        cpu = answer.crash.cpu if answer.crash.cpu in leading.cpus else leading.cpus[0]
        if cpu is not None:
            object.__setattr__(answer, "_map", pmu(kernel, cpu))
    return answer


def check(kernel: Kernel) -> Check:
    """Kernel.check()."""
    return Check._from(json.loads(_perfcore._check(kernel)))


def crash(kernel: Kernel) -> Crash:
    """Kernel.crash()."""
    return Crash._from(json.loads(_perfcore._crash(kernel))["crash"])


def pmu(kernel: Kernel, cpu: int) -> Pmu:
    """Kernel.pmu()."""
    source = json.loads(_perfcore._pmu(kernel, cpu))
    answer = Pmu._from(source["cpus"][0])
    counters, lines = _perfcore._counter_map(kernel, cpu)
    object.__setattr__(answer, "counters", counters)
    object.__setattr__(answer, "unread", tuple(source["unread"]))
    object.__setattr__(answer, "_lines", tuple(lines))
    return answer


def ibs(kernel: Kernel, cpu: int) -> Tuple[Ibs, ...]:
    """Kernel.ibs()."""
    found = []
    for flavour in json.loads(_perfcore._ibs(kernel))["pmus"]:
        for source in flavour["cpus"]:
            if source["cpu"] == cpu:
                answer = Ibs._from(source)
                object.__setattr__(answer, "name", flavour["name"])
                found.append(answer)
    return tuple(found)


def perf_events(kernel: Kernel) -> Tuple[Event, ...]:
    """Kernel.perf_events()."""
    return tuple(Event._from(source) for source in json.loads(_perfcore._events(kernel))["events"])


def report(text: str) -> List[Dict[str, Any]]:
    """Judge console text (dmesg, a serial log, mail) when there is no dump.

    Returns what `perfcore report --format json` prints.
    """
    answer: List[Dict[str, Any]] = json.loads(_perfcore._report(text))
    return answer
