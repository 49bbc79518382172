# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a notebook shows."""

import dataclasses
import html.parser

import pytest

from perfcore.answers import Crash, Finding, Triage

VOID = {"br"}


class Checker(html.parser.HTMLParser):
    """Well-formed, self-contained and without script."""

    def __init__(self):
        super().__init__()
        self.stack, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert tag not in ("script", "link", "iframe", "img")
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text += data


def parse(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert not checker.stack
    assert "url(" not in text and "@import" not in text
    return checker


def test_triage_shows_the_cause_and_the_counters(broken):
    answer = broken.triage()
    page = parse(answer._repr_html_())
    assert answer.root_cause.summary in page.text
    assert "active bit, but events[] is NULL" in page.text
    assert all(finding.rule in page.text for finding in answer.findings)
    assert "prefers-color-scheme:dark" in answer._repr_html_()


def test_triage_of_a_healthy_kernel(healthy):
    page = parse(healthy.triage()._repr_html_())
    assert "No rule knows this crash" in page.text


@pytest.mark.parametrize("cpu", range(4))
def test_pmu_shows_a_cell_for_each_counter(healthy, cpu):
    pmu = healthy.pmu(cpu)
    page = parse(pmu._repr_html_())
    assert page.tags.count("td") >= len(pmu.counters) + 5 * len(pmu._lines)
    for line in pmu._lines:
        assert f"{line[1]:#x}" in page.text


def test_what_a_dump_says_is_never_markup():
    evil = "<script>alert(1)</script>\"'&"
    finding = Finding(rule=evil, title=evil, summary=evil, verdict="proven", stage="crashed", cause_of_crash=True,
                      explanation=(evil,), remedy=(evil,), not_visible=(evil,))
    answer = dataclasses.replace(Triage(), crash=Crash(oops=evil, explanation=evil, class_=evil), findings=(finding,))
    page = parse(answer._repr_html_())
    assert evil in page.text
