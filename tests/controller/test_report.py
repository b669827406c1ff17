"""The report: one file that asks nobody for anything, says what failed, and is the same for the same run."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from controller.report.chart import MOST_POINTS, thin
from controller.report.curves import FaultSpan
from controller.report.page import OVER_TIME, render, setting_rows, write_report
from controller.report.template import number
from controller.response.judge import judge
from cython_core.settings import Settings
from tests.controller.response.synthetic import GB_LIKE, Fault, Plant, frames, info, run, step_to

EVENT = Plant(GB_LIKE, seconds=120.0)
HALF = Plant(GB_LIKE, seconds=120.0, fault=Fault(gain=0.5))


def page(plant: Plant, with_frames: bool = True, mode: str = "demo") -> str:
    rows, facts = run(plant), info(plant, start_mode=mode)
    stored = frames(rows) if with_frames else np.empty((0, 2))
    return render(rows, facts, stored, judge(rows, facts, stored), replay="identical over 6000 steps")


@pytest.fixture(scope="module")
def good() -> str:
    return page(EVENT)


class Structure(HTMLParser):
    """Open tags, ids and everything that could fetch."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.fetches: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [named["id"] or ""] if "id" in named else []
        self.fetches += [v or "" for k, v in attrs if k in ("src", "srcset", "href", "action", "data", "poster")]
        if tag in ("script", "link", "iframe", "object", "embed", "img", "image"):
            self.fetches.append(tag)
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.stack.pop() == tag


def test_it_is_one_well_formed_page_that_fetches_nothing(good: str) -> None:
    structure = Structure(good)
    assert structure.stack == []
    assert [f for f in structure.fetches if not f.startswith("#")] == []
    assert not re.search(r"@import|url\((?!#)|javascript:", good)


def test_ids_are_unique_and_every_reference_has_its_target(good: str) -> None:
    ids = Structure(good).ids
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', good))
    assert {a or b for a, b in wanted} <= set(ids)


def test_colours_come_from_the_page_in_both_schemes(good: str) -> None:
    svg = "".join(re.findall(r"<svg.*?</svg>", good, flags=re.DOTALL))
    assert svg.count("<svg") == 6
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()
    used, defined = set(re.findall(r"var\(--([a-z]+)\)", svg)), set(re.findall(r"--([a-z-]+):", good))
    assert used <= defined
    assert "prefers-color-scheme: dark" in good


def test_a_pass_says_what_it_rests_on(good: str) -> None:
    for text in (
        "PASS", "Time to initiate", "not judged", "identical over 6000 steps", "test-build", "6.5.2.7 Table 24",
        "000000001234abcd", "eastron-sdm630", "does not replace the certified protection",
        "not an accredited certification", "Nothing: no limit",
    ):  # fmt: skip
        assert text in good


def test_a_failure_names_its_reasons() -> None:
    text = page(HALF, with_frames=False)
    assert "FAIL" in text
    assert "PASS" not in text
    assert "0.50 x the formula" in text
    assert "no telemetry: not one live frame" in text
    assert "never" in text


def test_what_limited_the_answer_is_said_in_words() -> None:
    text = page(Plant(step_to(59.0), hi_w=-1000.0))
    assert "limits left +400 W of +2249 W" in text
    assert "the droop answer is cut by a hard limit" in text


@pytest.mark.parametrize(("mode", "marked"), [("demo", True), ("live", False)])
def test_only_a_demo_is_marked_as_one(mode: str, marked: bool) -> None:
    text = page(Plant(lambda _: 60.0, seconds=5.0), mode=mode)
    assert ('<body class="demo">' in text) is marked
    assert ("no real power was moved" in text) is marked


def test_an_unverified_profile_is_written_across_the_page_and_every_plot(good: str) -> None:
    rows, facts = run(EVENT), info(EVENT, profile="iso-ne-2021", unverified="iso-ne-2021")
    text = render(rows, facts, None, judge(rows, facts))
    plots = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert [p.count("unverified profile iso-ne-2021") for p in plots] == [1] * 6
    assert "<strong>UNVERIFIED PROFILE ISO-NE-2021</strong>" in text
    assert "<title>UNVERIFIED PROFILE ISO-NE-2021: DEMO: " in text
    assert "iso-ne-2021 (unverified)" in text
    assert "nverified" not in good.replace(".unverified", "")  # the style sheet knows the word


FAULTS = (
    FaultSpan(10.0, 16.0, "inverter.exception writes 6 6s"),
    FaultSpan(30.0, 32.0, "meter.nan f 2s"),
    FaultSpan(31.0, 31.0, "clock.step -1h"),  # a moment, and close by
    FaultSpan(80.0, 90.0, "a name <b> far too long for the height of a plot"),
)


def test_injected_faults_are_shaded_with_their_words_in_every_plot_over_time(good: str) -> None:
    rows, facts = run(EVENT), info(EVENT)
    text = render(rows, facts, None, judge(rows, facts), faults=FAULTS)
    figures = dict(re.findall(r'<figure id="(\w+)">(.*?)</figure>', text, flags=re.DOTALL))
    words = ("inverter.exception writes 6 6s", "meter.nan f 2s; clock.step -1h", "a name &lt;b&gt; far too long for t…")
    for name, figure in figures.items():
        shown = [w in figure for w in (*words, "injected fault", "injected faults, as they were put in force")]
        assert shown == [name in OVER_TIME] * 5, name
    assert "injected fault" not in good


def test_what_was_never_measured_has_no_age() -> None:
    rows, facts = run(EVENT), info(EVENT)
    rows["age_d_ns"][:100] = 2 * 10**18
    whole = render(rows, facts, None, judge(rows, facts))
    assert "1e12" not in whole, "the scale of the others is not spoiled"
    rows["age_f_ns"] = rows["age_d_ns"] = 2 * 10**18
    assert 'id="ages"' in render(rows, facts, None, judge(rows, facts)), "nothing is known: an empty plot"


def test_ranges_and_changes_are_those_of_the_units_categories() -> None:
    s = Settings.from_mapping({"rating": {"normal_category": "A", "abnormal_category": "II", "f_nom_hz": 50.0}})
    rows = {(group, row.name): row for group, group_rows in setting_rows(s) for row in group_rows}
    assert rows["freq_droop", "k_of"].allowed == "0.03 … 0.05"
    assert rows["frequency_trip", "of1_hz"].allowed == "51 … 56"
    assert rows["reactive", "mode"].allowed == "off | constant_pf | volt_var | watt_var | constant_q"
    assert [key for key, row in rows.items() if row.changed] == [
        ("rating", "f_nom_hz"),
        ("rating", "normal_category"),
        ("rating", "abnormal_category"),
    ]


def test_the_same_run_gives_the_same_bytes(good: str) -> None:
    assert page(EVENT) == good


def test_names_from_outside_cannot_become_markup() -> None:
    rows, facts = run(EVENT), info(EVENT, site="<script>alert(1)</script>")
    text = render(rows, facts, None, judge(rows, facts), notes=("<b>trace</b>",))
    assert "<script>" not in text
    assert "&lt;b&gt;trace" in text


def test_a_run_without_power_or_frequency_still_gives_a_page() -> None:
    rows, facts = run(EVENT), info(EVENT)
    rows["m_valid"], rows["f_hz"] = 0, np.nan
    text = render(rows, facts, None, judge(rows, facts))
    assert "neither the meter" in text


def test_it_is_written_whole(tmp_path: Path) -> None:
    rows, facts = run(EVENT), info(EVENT)
    path = tmp_path / "new" / "report.html"
    write_report(path, rows, facts, None, judge(rows, facts), made_at="2026-01-01 00:00:00 UTC")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    assert "2026-01-01 00:00:00 UTC" in path.read_text(encoding="utf-8")


# fmt: off
NUMBERS = [
    (0.0,        "s",  "0 s"),
    (0.4,        "s",  "0.400 s"),
    (1.9,        "s",  "1.90 s"),
    (10.0,       "s",  "10.0 s"),
    (120.04,     "s",  "120 s"),
    (7e-6,       "W",  "7.0e-06 W"),
    (2.3e-13,    "W",  "< 1e-9 W"),
    (-118.0,     "s",  "-118 s"),
    (math.nan,   "s",  "\N{EN DASH}"),
    (3.0,        "",   "3.00"),
]
# fmt: on


@pytest.mark.parametrize(("value", "unit", "text"), NUMBERS)
def test_numbers(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text


def test_thinning_keeps_every_extreme() -> None:
    y = np.zeros(100_000)
    y[54_321], y[77_777] = 9.0, -9.0
    t_s, thinned = thin(np.arange(len(y)), y)
    assert len(thinned) <= MOST_POINTS
    assert 54_321 in t_s
    assert 77_777 in t_s
    assert (thinned.min(), thinned.max()) == (-9.0, 9.0)
