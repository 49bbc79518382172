# SPDX-License-Identifier: LGPL-2.1-or-later
"""The dashboard, in a real browser."""

import datetime
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import unittest

import browser

LAST_DAY = datetime.date(2026, 11, 20)
RULE = "perf-x86-null-events"
HOSTILE = ["</script><script>window.hurt=1</script>", "<!--<script>", "<img src=x onerror=window.hurt=1>",
           "\"'><svg onload=window.hurt=1>", "javascript:window.hurt=1", "]]>\u2028\u2029&lt;&#60;", "\0\x1b[31m",
           "__proto__", "</textarea></title></style>"]


def bucket(number, **changes):
    """A bucket as `perfcore buckets export` gives it: every fourth has a known root cause."""
    chance = random.Random(number)
    days = {str(LAST_DAY - datetime.timedelta(days=chance.randint(0, 60))): chance.randint(1, 9) for _ in range(8)}
    function = f"function_{number:05}"
    made = {
        "id": "pc1-" + "".join(chance.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(16)),
        "title": f"null-deref in {function}", "class": "null-deref", "cause": f"stack:{function}", "partial": False,
        "facts": [], "facets": {"vendor": "amd"}, "count": sum(days.values()), "first_seen": f"{min(days)}T01:00:00Z",
        "last_seen": f"{max(days)}T02:00:00Z", "days": days,
        "kernels": {"6.1.0-56-amd64": 1, "6.12.117+deb12-amd64": sum(days.values()) - 1},
        "hosts": [f"node{number % 100}"], "related": [], "root_cause": None, "story": [], "pmu_map": None,
        "exemplar": {"path": f"/var/crash/{number}/vmcore", "host": f"node{number % 100}", "time": f"{max(days)}T02:00:00Z",
                     "kernel": "6.1.0-56-amd64", "summary": f"The kernel died in {function}."}}
    if number % 4 == 0:
        made.update({
            "title": f"active counter with a NULL pointer, variant {number}", "class": "unknown-nmi", "cause": f"{RULE}/{number}",
            "facts": ["nmi=true"], "story": ["An event was throttled.", "It moved to another counter."],
            "root_cause": {"rule": RULE, "title": "active counter with a NULL pointer", "regression": number % 8 == 0,
                           "fix": [{"id": "8d5fae601126", "title": "perf/x86: Move event pointer setup", "releases": ["7.0"]}]},
            "pmu_map": {"cpu": 1, "active_mask": "0x6", "cells": {"0": "claimed", "1": "running", "2": "missing", "32": "unused"},
                        "events": [{"counter": 1, "address": "0xffff888005b00540", "counts": "branches, counting",
                                    "state": "running", "throttled": False, "owner": "pmu (PID 153)"}]}})
    made.update(changes)
    return made


def export(buckets):
    return {"schema": "perfcore.buckets-export/1", "generated": f"{LAST_DAY}T12:00:00Z", "buckets": buckets}


@unittest.skipUnless(browser.program(), "Chromium is not installed")
class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.browser = cls.enterClassContext(browser.Browser())
        cls.few = cls.page("few", export([bucket(n) for n in range(40)]))
        cls.many = cls.page("many", export([bucket(n) for n in range(10000)]))

    @classmethod
    def page(cls, name, data):
        path = pathlib.Path(cls.folder.name).resolve() / f"{name}.html"
        page = subprocess.run([os.environ["PERFCORE_DASHBOARD_PAGE"]], input=json.dumps(data).encode(), capture_output=True,
                              check=True, timeout=60).stdout
        path.write_bytes(page)
        return path

    def setUp(self):
        self.browser.size(1400, 900)
        self.browser.prefer("light")

    def tearDown(self):
        self.assertEqual(self.browser.complaints(), [])

    def text(self, selector):
        return self.browser.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def number(self, selector):
        return self.browser.run(f"document.querySelectorAll({json.dumps(selector)}).length")

    def shown(self):
        return self.text("#shown")

    def focused(self):
        return self.browser.run("document.activeElement.id")

    def pick(self, menu, value):
        self.browser.run(f"(() => {{ const m = document.getElementById({json.dumps(menu)}); m.value = {json.dumps(value)};"
                         "m.dispatchEvent(new Event('change')); })()")
        self.browser.settle()

    def test_needs_nothing_but_itself(self):
        page = self.few.read_text(encoding="utf-8")
        self.assertNotRegex(page, r"""(src|href)=["'](?!#)""")
        self.assertNotIn("innerHTML =", page)
        self.assertIn("default-src 'none'", page)
        self.browser.open(self.few)
        self.assertIn("40 buckets", self.shown())

    def test_shows_buckets_over_time_and_by_kernel(self):
        self.browser.open(self.few)
        total = sum(bucket(n)["count"] for n in range(40))
        self.assertIn(f"{total:,} crashes", self.shown())
        self.assertGreater(self.number("#total-chart rect.known"), 0)
        self.assertGreater(self.number("#total-chart rect.unknown"), 0)
        label = self.browser.run("document.querySelector('#total-chart svg').getAttribute('aria-label')")
        self.assertIn(f"{total:,} crashes", label)
        self.assertEqual(re.findall(r"6\.\S+", self.text("#release-list")), ["6.12.117+deb12-amd64", "6.1.0-56-amd64"])
        self.assertEqual(self.number(".row"), self.number(".row svg"))

    def test_shows_a_bucket_with_its_story_and_counters(self):
        self.browser.open(self.few)
        self.pick("root", f"={RULE}")
        detail = self.text("#detail")
        for part in ("active counter with a NULL pointer", "8d5fae601126", "7.0", "An event was throttled.", "CPU 1", "branches, counting",
                     "pmu (PID 153)", "nmi=true", "6.12.117+deb12-amd64", "/var/crash/", "The kernel died in"):
            self.assertIn(part, detail)
        self.assertEqual(re.sub(r"counter\s*", "", self.text("ul.counters")).split(), "0 lost 1 run 2 NULL f0 -".split())

    def test_search_narrows(self):
        self.browser.open(self.many)
        self.browser.press("/")
        self.browser.type("function_00017")
        self.assertIn("1 of 10,000 buckets", self.shown())
        self.assertIn("function_00017", self.text("#detail h2"))
        self.browser.type(" no-such-word")
        self.assertIn("0 of 10,000 buckets", self.shown())
        self.assertIn("No bucket fits", self.text("#none"))
        self.browser.press("Escape")
        self.assertEqual(self.focused(), "search")
        self.assertTrue(self.shown().startswith("10,000 buckets"))

    def test_filters(self):
        self.browser.open(self.few)
        for menu, value, left in (("class", "unknown-nmi", 10), ("kind", "stack", 30), ("root", "+known", 10), ("root", "+unknown", 30),
                                  ("root", f"={RULE}", 10), ("kernel", "6.1.0-56-amd64", 40)):
            with self.subTest(menu=menu, value=value):
                self.pick(menu, value)
                self.assertTrue(self.shown().startswith(f"{left} of 40 buckets" if left < 40 else "40 buckets"), self.shown())
                self.browser.click("#clear")
                self.assertTrue(self.shown().startswith("40 buckets"))
        self.browser.click("#regression")
        self.assertTrue(self.shown().startswith("5 of 40 buckets"))
        self.assertEqual(self.number(".row"), self.number(".row .badge.regression"))

    def test_kernel_bar_is_a_filter(self):
        self.browser.open(self.page("kernels", export([bucket(1), bucket(2, kernels={"7.2.12": 500})])))
        self.browser.click("#release-list button")
        self.assertTrue(self.shown().startswith("1 of 2 buckets"))
        self.assertEqual(self.browser.run("document.activeElement.getAttribute('aria-pressed')"), "true")
        self.browser.press("Enter")
        self.assertTrue(self.shown().startswith("2 buckets"))

    def test_sorting(self):
        self.browser.open(self.few)
        for sort, key in (("count", lambda b: -b["count"]), ("title", lambda b: b["title"])):
            self.pick("sort", sort)
            best = min((bucket(n) for n in range(40)), key=key)
            first = self.browser.run("document.querySelector('.row[aria-posinset=\"1\"] .title').textContent")
            expected = {b["title"] for b in map(bucket, range(40)) if key(b) == key(best)}
            self.assertIn(first, expected)

    def test_keyboard(self):
        self.browser.open(self.many)
        order = []
        for _ in range(14):
            self.browser.press("Tab")
            order.append(self.browser.run("document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
            ring = self.browser.run("getComputedStyle(document.activeElement).outlineStyle")
            self.assertNotEqual(ring, "none", f"{order[-1]} does not show that it has the focus")
        self.assertEqual([name for name in order if name != "BUTTON"],
                         ["skip", "theme", "range", "search", "class", "kind", "root", "kernel", "seen", "regression", "sort", "list"])
        active = "document.getElementById(document.getElementById('list').getAttribute('aria-activedescendant'))"
        self.assertEqual(self.browser.run(f"{active}.getAttribute('aria-posinset')"), "1")
        for key, position in (("ArrowDown", 2), ("ArrowDown", 3), ("ArrowUp", 2), ("End", 10000), ("Home", 1)):
            self.browser.press(key)
            self.assertEqual(self.browser.run(f"{active}.getAttribute('aria-posinset')"), str(position))
            self.assertEqual(self.browser.run(f"{active}.getAttribute('aria-selected')"), "true")
            self.assertEqual(self.text("#detail h2"), self.browser.run(f"{active}.querySelector('.title').textContent"))
        self.browser.press("PageDown")
        self.assertGreater(int(self.browser.run(f"{active}.getAttribute('aria-posinset')")), 2)
        self.browser.press("Enter")
        self.assertEqual(self.focused(), "detail")
        self.browser.press("Escape")
        self.assertEqual(self.focused(), "list")
        self.browser.press("/")
        self.assertEqual(self.focused(), "search")
        self.assertEqual(self.browser.run("document.getElementById('search').value"), "")
        self.browser.press("ArrowDown")
        self.assertEqual(self.focused(), "list")

    def test_roles(self):
        self.browser.open(self.few)
        self.assertEqual(self.number("[role=listbox] [role=option]"), self.number(".row"))
        self.assertEqual(self.number("[role=option][aria-setsize='40']"), self.number(".row"))
        self.assertEqual(self.browser.run("[...document.querySelectorAll('input, select')].filter(c => !c.labels.length).length"), 0)
        self.assertEqual(self.browser.run("[...document.querySelectorAll('button')].filter(b => !b.textContent.trim()).length"), 0)
        self.assertEqual(self.browser.run("document.getElementById('shown').getAttribute('aria-live')"), "polite")

    def test_only_rows_in_sight_exist(self):
        self.browser.open(self.many)
        self.assertLess(self.number("*"), 2000)
        for place in (0.5, 1, 0):
            self.browser.run(f"document.getElementById('list').scrollTop = {place} * document.getElementById('list').scrollHeight")
            self.browser.settle()
            self.assertLess(self.number(".row"), 60)
            covered = self.browser.run(
                "(() => { const list = document.getElementById('list').getBoundingClientRect();"
                "return [list.top + 2, (list.top + list.bottom) / 2, list.bottom - 2].every(y =>"
                "document.elementFromPoint(list.left + 30, y).closest('.row')); })()")
            self.assertTrue(covered, "a part of the list in sight has no rows")
        self.pick("class", "unknown-nmi")
        self.assertIn("2,500 of 10,000", self.shown())
        self.assertLess(self.number("*"), 2000)

    def test_dark_and_light(self):
        self.browser.open(self.few)
        colours = "['body', '#detail', '.row .title', '#search'].flatMap(s => {" \
                  "const c = getComputedStyle(document.querySelector(s)); return [c.color, c.backgroundColor]; })"
        light, light_picture = self.browser.run(colours), self.browser.screenshot()
        self.browser.prefer("dark")
        self.browser.settle()
        dark = self.browser.run(colours)
        self.assertNotEqual(light[:2], dark[:2])
        self.assertNotEqual(light_picture, self.browser.screenshot())
        self.browser.click("#theme")
        self.browser.run("Promise.all(document.getAnimations().map(a => a.finished)).then(() => true)")
        self.assertEqual(self.browser.run(colours), light)
        self.browser.run("localStorage.clear()")

    def test_enough_contrast(self):
        luminance = "const l = c => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 :" \
                    "((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);"
        back = "const b = n => { for (; n; n = n.parentElement) { const c = getComputedStyle(n).backgroundColor;" \
               "if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255, 255, 255)'; };"
        for scheme in ("light", "dark"):
            self.browser.prefer(scheme)
            self.browser.open(self.few)
            self.browser.run("Promise.all(document.getAnimations().map(a => a.finished)).then(() => true)")
            weak = self.browser.run(
                f"(() => {{ {luminance} {back} return [...document.querySelectorAll('body *')].filter(n => n.checkVisibility() && !n.disabled &&"
                "n.tagName !== 'OPTION' && [...n.childNodes].some(c => c.nodeType === 3 && c.data.trim())).filter(n => {"
                "const x = l(getComputedStyle(n).color), y = l(b(n));"
                "return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05) < 4.5; }).map(n => n.outerHTML.slice(0, 120)); })()")
            self.assertEqual(weak, [], scheme)

    def test_narrow(self):
        self.browser.size(420, 800)
        self.browser.open(self.few)
        self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), 420)
        self.assertFalse(self.browser.run("document.getElementById('detail').checkVisibility()"))
        self.browser.click(".row:nth-child(2)")
        self.assertTrue(self.browser.run("document.getElementById('detail').checkVisibility()"))
        self.assertLessEqual(self.browser.run("document.getElementById('detail').scrollWidth"), 420)
        self.browser.click("#detail .back")
        self.assertFalse(self.browser.run("document.getElementById('detail').checkVisibility()"))
        self.browser.click("#more")
        self.assertTrue(self.browser.run("document.getElementById('class').checkVisibility()"))

    def test_address_names_the_bucket(self):
        self.browser.open(self.few)
        self.browser.press("Tab")
        self.browser.run("document.getElementById('list').focus()")
        for _ in range(3):
            self.browser.press("ArrowDown")
        title, address = self.text("#detail h2"), self.browser.run("location.hash")
        self.assertIn("pc1-", address)
        self.browser.send("Page.reload")
        self.browser.wait("document.readyState === 'complete'")
        self.assertEqual(self.text("#detail h2"), title)

    def test_related_bucket_is_reached_also_when_filtered_out(self):
        one, two = bucket(1), bucket(4)
        one["related"] = [two["id"], "pc1-aaaaaaaaaaaaaaaa"]
        self.browser.open(self.page("related", export([one, two])))
        self.pick("class", "null-deref")
        self.assertEqual(self.text("#detail h2"), one["title"])
        self.browser.click(".related button")
        self.assertEqual(self.text("#detail h2"), two["title"])

    def test_hostile_strings_stay_text(self):
        made = []
        for number, bad in enumerate(HOSTILE):
            made.append(bucket(number * 4, id=bad, title=bad, cause=bad, facts=[bad], facets={bad: bad}, first_seen=bad, last_seen=bad,
                               kernels={bad: 3}, hosts=[bad], related=[bad], story=[bad], days={bad: 5, "2026-11-20": 2},
                               root_cause={"rule": bad, "title": bad, "regression": True,
                                           "fix": [{"id": bad, "title": bad, "releases": [bad]}]},
                               pmu_map={"cpu": 1, "active_mask": bad, "cells": {bad: bad, "0": "__proto__", "1": "constructor"},
                                        "events": [{"counter": bad, "address": bad, "counts": bad, "state": bad, "owner": bad}]},
                               exemplar={key: bad for key in ("path", "host", "time", "kernel", "summary")}, **{"class": bad}))
        data = export(made)
        self.browser.open(self.page("hostile", data))
        self.assertTrue(self.shown().startswith(f"{len(HOSTILE)} buckets"))
        self.browser.run("document.getElementById('list').focus()")
        for _ in HOSTILE:
            self.browser.press("ArrowDown")
            self.assertEqual(self.number("#detail img, #detail script, #detail svg[onload], .row img"), 0)
        self.assertEqual(self.number("script"), 2)
        self.assertIsNone(self.browser.run("window.hurt"))
        self.assertIn(HOSTILE[0], self.browser.run("document.getElementById('list').textContent"))
        embedded = self.browser.run("document.getElementById('data').textContent")
        self.assertEqual(json.loads(embedded), data)

    def test_odd_data_is_survived(self):
        wrong_clock = bucket(1, days={"1970-01-01": 3, "2106-02-07": 4, "2026-11-19": 5, "2026-13-45": 1, "x": 1}, count=12)
        empty = {}
        wrong_types = {"id": 5, "title": ["a"], "class": {}, "cause": None, "facts": "x", "facets": [], "count": "many", "days": [1, 2],
                       "kernels": "none", "hosts": {"a": 1}, "related": [None, 3], "root_cause": "x", "story": {}, "pmu_map": [], "exemplar": 7}
        self.browser.open(self.page("odd", export([wrong_clock, empty, wrong_types])))
        self.assertTrue(self.shown().startswith("3 buckets"))
        self.assertIn("3 earlier", self.text("#outside"))
        self.assertIn("dated after", self.text("#outside"))
        self.pick("range", "0")
        self.assertLess(self.number("#total-chart rect"), 400)
        for name, data in (("none", export([])), ("nothing", {}), ("null", None)):
            with self.subTest(data=name):
                self.browser.open(self.page(name, data))
                self.assertIn("0 buckets", self.shown())


if __name__ == "__main__":
    unittest.main()
