# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a notebook shows: self-contained HTML, for light and dark backgrounds. All text is escaped: it comes from a
dump."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Iterable, Optional

if TYPE_CHECKING:
    from .answers import Finding, Pmu, Triage

_MEANING = {
    "running": "active bit and its event",
    "held": "an event, no active bit: stopped or throttled",
    "missing": "active bit, but events[] is NULL",
    "claimed": "an event says it is here; the slot is empty",
    "mismatch": "events[] holds what is no event of this counter",
    "no-counter": "in use, but there is no such counter",
    "unused": "no active bit, no event",
    "unread": "not read",
}

# Colour is never the only sign: each cell has a letter. light-dark() is too new for many notebooks.
_SIGN = {"running": "R", "held": "H", "missing": "!", "claimed": "C", "mismatch": "X", "no-counter": "N", "unused": "·",
         "unread": "?"}

_STYLE = """<style>
.perfcore{--line:#d0d7de;--ink:#1f2328;--quiet:#59636e;--good:#1a7f37;--bad:#b3261e;--warn:#8a5a00;--cell:#f6f8fa;
color:var(--ink);font:14px/1.45 system-ui,sans-serif;max-width:60em}
@media (prefers-color-scheme:dark){.perfcore{--line:#3d444d;--ink:#e6edf3;--quiet:#9198a1;--good:#3fb950;--bad:#ff7b72;
--warn:#d29922;--cell:#161b22}}
.perfcore table{border-collapse:collapse;color:inherit;background:none}
.perfcore td,.perfcore th{border:1px solid var(--line);padding:.2em .5em;text-align:left;vertical-align:top;
color:inherit;background:none}
.perfcore .map td{width:1.6em;text-align:center;background:var(--cell);font-family:monospace}
.perfcore .map small,.perfcore .quiet{color:var(--quiet)}
.perfcore .good{color:var(--good)}.perfcore .bad{color:var(--bad);font-weight:600}
.perfcore .warn{color:var(--warn)}
.perfcore code{color:inherit;background:none;overflow-wrap:anywhere}
</style>"""

_CLASS = {"running": "good", "held": "warn", "missing": "bad", "claimed": "bad", "mismatch": "bad", "no-counter": "bad",
          "unused": "quiet", "unread": "warn"}


def _items(words: Iterable[str], tag: str = "ul") -> str:
    inner = "".join(f"<li>{escape(word)}</li>" for word in words)
    return f"<{tag}>{inner}</{tag}>" if inner else ""


def _map(pmu: "Pmu") -> str:
    if not pmu.counters:
        return '<p class="warn">The counters could not be read.</p>'
    cells = []
    for counter, cell in sorted(pmu.counters.items()):
        cells.append(f'<td class="{_CLASS[cell]}" title="counter {counter}: {escape(_MEANING[cell])}">'
                     f"{_SIGN[cell]}<br><small>{counter}</small></td>")
    seen = dict.fromkeys(cell for _, cell in sorted(pmu.counters.items()))
    legend = ", ".join(f"{_SIGN[cell]} {escape(_MEANING[cell])}" for cell in seen)
    return f'<table class="map"><tr>{"".join(cells)}</tr></table><p class="quiet">{legend}</p>'


def _events(pmu: "Pmu") -> str:
    rows = []
    for counter, address, counts, state, throttled, owner in pmu._lines:
        rows.append(f"<tr><td>{'?' if counter is None else counter}</td><td><code>{address:#x}</code></td>"
                    f"<td>{escape(counts)}</td><td>{escape(state)}{' (throttled)' if throttled else ''}</td>"
                    f"<td>{escape(owner)}</td></tr>")
    if not rows:
        return ""
    return ("<table><tr><th>counter</th><th>event</th><th>counts</th><th>state</th><th>opened by</th></tr>"
            f"{''.join(rows)}</table>")


def _hex(value: Optional[int]) -> str:
    return "not read" if value is None else f"{value:#x}"


def _pmu(pmu: "Pmu") -> str:
    return (f"<p><b>CPU {pmu.cpu}</b>: active_mask {_hex(pmu.active_mask)}, n_events "
            f"{'not read' if pmu.n_events is None else pmu.n_events}</p>{_map(pmu)}{_events(pmu)}")


def pmu_html(pmu: "Pmu") -> str:
    """Of Pmu: the map of its counters and the events on them."""
    return f'{_STYLE}<div class="perfcore">{_pmu(pmu)}</div>'


def _finding(finding: "Finding", is_open: bool) -> str:
    rows = "".join(
        f"<tr><td>{escape(item.claim)}</td><td><code>{escape(item.expression)}</code></td>"
        f"<td>{escape(item.observed)}</td><td>{escape(item.expected)}</td><td>{escape(item.result)}</td></tr>"
        for item in finding.evidence)
    evidence = ("<table><tr><th>evidence</th><th>expression</th><th>observed</th><th>expected</th><th></th></tr>"
                f"{rows}</table>" if rows else "")
    return (f"<details{' open' if is_open else ''}><summary><b>{escape(finding.title)}</b> "
            f"({escape(finding.rule)}): {escape(finding.verdict)}, {escape(finding.stage)}</summary>"
            f"<p>{escape(finding.summary)}</p>{_items(finding.explanation, 'ol')}{evidence}"
            f"{_items(finding.not_visible)}</details>")


def triage_html(triage: "Triage") -> str:
    """Of Triage: what died, why, what to do; the counters of the guilty CPU; every finding."""
    crash = triage.crash
    cause = triage.root_cause
    what = crash.oops or crash.reason or ("nothing died" if crash.class_ == "none" else crash.class_)
    where = f" on CPU {crash.cpu}" if crash.cpu is not None else ""
    parts = [f"<p><b>{escape(crash.class_)}</b>{where}: {escape(what)}</p>"]
    if crash.explanation:
        parts.append(f"<p>{escape(crash.explanation)}</p>")
    leading = cause or triage.defect
    if leading is None:
        parts.append('<p class="quiet">No rule knows this crash.</p>')
    else:
        words = "cause" if cause else "a defect, not the cause of this crash"
        parts.append(f'<p class="bad">{escape(leading.summary)} <span class="quiet">({words}: '
                     f"{escape(leading.verdict)})</span></p>{_items(leading.remedy)}")
    if triage._map is not None:
        parts.append(_pmu(triage._map))
    parts += [_finding(finding, finding is leading) for finding in triage.findings]
    return f'{_STYLE}<div class="perfcore">{"".join(parts)}</div>'
