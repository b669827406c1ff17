"""The bench's report: one page that asks nobody for anything and shows every case, whatever became of it."""

from __future__ import annotations

import re
import time
from dataclasses import fields, replace

import numpy as np
import pytest

from controller.bench.judgement import CaseJudgement, Verdict, Window
from controller.bench.plan import Eut, Plan
from controller.bench.record import SAMPLE, CaseRecord
from controller.bench.report.page import NAMEPLATE, page, quantity, window_text
from controller.report.template import DASH
from tests.controller.bench.written_run import run
from tests.controller.test_report import Structure

NAN = float("nan")
RIG = {
    "name": "virtual",
    "load": {"identity": "load of <one> phase"},
    "meter": "meter 10 mV",
    "can": ["faults", "angle"],
}
MADE = {"Plan (SHA-256)": "0123abcd", "Report made by": "core 0.1.0+feedbeef0123"}


@pytest.fixture(scope="module")
def html() -> str:
    plan, records, judgements = run()
    return page(plan, RIG, records.get, judgements, MADE)


def section(html: str, case: str) -> str:
    """One case's part of the page."""
    (found,) = re.findall(rf'<details id="case-{re.escape(case)}".*?</details>', html, re.DOTALL)
    return str(found)


def test_it_is_one_well_formed_page_that_fetches_nothing(html: str) -> None:
    structure = Structure(html)
    assert structure.stack == []
    assert len(structure.ids) == len(set(structure.ids))
    assert [f for f in structure.fetches if not f.startswith("#")] == []
    assert {f[1:] for f in structure.fetches} <= set(structure.ids), "every link has its target"
    assert not re.search(r"@import|url\(|javascript:|<script", html)


def test_colours_come_from_the_page_in_both_schemes(html: str) -> None:
    used, defined = set(re.findall(r"var\(--([a-z]+)\)", html)), set(re.findall(r"--([a-z-]+):", html))
    assert used <= defined
    assert not re.search(r"#[0-9a-f]{6}\b", "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL)))


def test_the_front_page_says_what_it_is_and_what_it_rests_on(html: str) -> None:
    front = html[: html.index('<section id="procedure-')]
    for words in (
        "not an accredited certification", "The controller is supervisory", "golden unit &lt;1&gt;", "10000 VA", "III",
        "load of &lt;one&gt; phase", "meter 10 mV", "written source, serial 7", "faults, angle",
        "0123abcd", "core 0.1.0+feedbeef0123",
        "From one value of the meter to the next", "50.0 ms", "30.0 ms",
    ):  # fmt: skip
        assert words in front


# fmt: off
QUANTITIES = [
    # value      unit    text          why
    (248.404,    "V",    "248.40 V",   "10 mV: what the meter resolves"),
    (60.0514,    "Hz",   "60.051 Hz",  "1 mHz"),
    (-0.4,       "var",  "0 var",      "nothing has a sign"),
    (9249.6,     "W",    "9250 W",     "1 W"),
    (0.16,       "s",    "0.160 s",    "a trip is judged to the millisecond"),
    (None,       "W",    DASH,         "not measured"),
    (NAN,        "W",    DASH,          "measured to be unknown"),
    (0.95,       "",     "0.950",      "no unit"),
]
# fmt: on


@pytest.mark.parametrize(("value", "unit", "text", "why"), QUANTITIES, ids=[row[-1] for row in QUANTITIES])
def test_numbers_have_the_digits_of_their_instrument(value: float | None, unit: str, text: str, why: str) -> None:
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(-750.0, 750.0, "-750 … 750 var"), (None, 750.0, "≤ 750 var"), (-750.0, None, "≥ -750 var"), (None, None, DASH)],
)
def test_windows_read_as_such(low: float | None, high: float | None, text: str) -> None:
    assert window_text(Window(low, high, passed=True), "var") == text


def test_every_field_of_the_nameplate_is_shown() -> None:
    assert set(NAMEPLATE) == {f.name for f in fields(Eut)}


def test_cases_are_counted_and_what_is_wrong_is_named_on_the_front_page(html: str) -> None:
    front = html[: html.index('<section id="procedure-')]
    (counts,) = re.findall(r'<dl class="counts">.*?</dl>', front, re.DOTALL)
    assert re.findall(r"<dt>(\w+)</dt><dd>(\d+) ", counts) == [
        ("pass", "2"), ("fail", "2"), ("invalid", "1"), ("skipped", "1"), ("warnings", "1"),
    ]  # fmt: skip
    assert '<p class="word">FAIL</p>' in front
    for words in (
        "Volt-var, char_1-wrong_sign</a>: h, 1100 var, allowed -2950 … 750 var", "(5 checks)",
        "below 750 W after 2.31 s", "the meter is frozen: 40 equal values &amp; more",
        "the rig cannot jump in phase angle",
    ):  # fmt: skip
        assert words in front


@pytest.mark.parametrize(
    ("case", "opened", "why"),
    [("volt_var-char_1-100", False, "all is well"), ("volt_var-char_1-wrong_sign", True, "it failed"),
     ("volt_watt-char_1-100", True, "invalid"), ("ride_through-lvrt", False, "skipped: there is nothing to see")],
)  # fmt: skip
def test_what_is_wrong_is_unfolded(html: str, case: str, opened: bool, why: str) -> None:
    assert section(html, case).startswith(f'<details id="case-{case}" open>') is opened


def test_a_case_has_its_plots_and_its_table(html: str) -> None:
    shown = section(html, "volt_var-char_1-wrong_sign")
    for title in ("Voltage, V", "Active power, W", "Reactive power, var", "time since the case began, s", "voltage, V"):
        assert title in shown
    assert "Frequency, Hz" not in shown, "it neither moves nor is judged"
    over_time, characteristic = re.findall(r'<svg class="chart" viewBox="0 0 \d{3}.*?</svg>', shown, re.DOTALL)
    assert over_time.count('class="standard"') == 7, "an allowed band a step"
    assert over_time.count('class="engineering"') == 7
    assert over_time.count('class="dot pass"') == 7, "T_r is marked in each"
    assert (characteristic.count('class="dot fail"'), characteristic.count('class="dot pass"')) == (5, 2)
    row = re.findall(r'<tr class="fail">(.*?)</tr>', shown, re.DOTALL)[0]
    for words in ("248.4 V", "248.40 V", "1100 var", "-1100 var", "-2950 … 750 var", "fail"):
        assert words in row


def test_a_trip_shows_its_level_its_time_and_the_moment(html: str) -> None:
    shown = section(html, "voltage_trip-ov2")
    for css in ('class="level"', 'class="when"', 'class="moment fail"'):
        assert css in shown
    moment = shown[shown.index("Step trip: Active power, W") :]
    moment = moment[: moment.index("</svg>")]
    assert "time since the source arrived, s" in moment, "0.16 s of 40 s are seen closely"
    assert moment.count('class="level"') == 2, "of a magnitude: on either side of 0"
    assert "0.000 … 0.160 s" in shown


def test_a_warning_says_what_the_bench_itself_would_allow(html: str) -> None:
    shown = section(html, "volt_var-char_1-100")
    assert "pass, warning" in shown
    assert "engineering: 1950 … 2450 var" in shown


def test_the_same_run_gives_the_same_page(html: str) -> None:
    plan, records, judgements = run()
    assert page(plan, RIG, records.get, judgements, MADE) == html


def test_a_case_that_nobody_judged_is_skipped_not_lost() -> None:
    plan, _, judgements = run()
    text = page(plan, {}, lambda _: None, judgements[:1])
    assert "no judgement of this case is in the run" in section(text, "voltage_trip-ov2")
    assert "Nothing was measured." in text


def test_a_record_of_nothing_but_gaps_is_shown_all_the_same() -> None:
    """A meter that died: rows of NaN, a step that never arrived, no row at all."""
    plan, records, judgements = run()
    record = records["voltage_trip-ov2"]
    dead = record.samples.copy()
    for name in (SAMPLE.names or ())[1:]:
        dead[name] = np.nan
    cut = CaseRecord(dead, tuple(e for e in record.events if e.kind not in ("arrived", "end")))
    for record in (cut, CaseRecord(dead[:0], ()), CaseRecord(dead[:1], ())):
        text = page(plan, {}, {"voltage_trip-ov2": record}.get, judgements, {})
        assert Structure(text).stack == []
        assert "NaN" not in text
        assert not re.search(r"[>\" ,]nan\b", text)


def test_three_hundred_cases_stay_bounded_and_quick() -> None:
    """The largest there is: all of them failed, so all have their plots in full."""
    plan, records, judgements = run()
    bad = next(j for j in judgements if j.verdict is Verdict.FAIL)
    case = next(c for c in plan.cases if c.id == bad.id)
    names = [f"{case.id}-{i}" for i in range(300)]
    many = Plan(plan.eut, tuple(replace(case, id=n) for n in names), 1)
    found = [CaseJudgement(n, bad.verdict, (), bad.checks) for n in names]
    begin_s = time.process_time()
    text = page(many, {}, lambda _: records[case.id], found)
    assert len(text.encode()) < 15_000_000
    assert time.process_time() - begin_s < 60.0, "a drawing library takes minutes"
