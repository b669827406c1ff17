"""Charts as SVG text: round numbers on the axes, every extreme kept, gaps left open, nothing beyond the panel."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from controller.report.chart import LEFT, RIGHT, Panel, chart, corners, labels, span, thin, ticks

NAN = float("nan")

# fmt: off
TICKS = [
    # range              most  texts                                  why
    ((0.0, 140.0),       9,    ["0", "20", "40", "60", "80", "100", "120", "140"], "steps of 20, not of 15.6"),
    ((59.98, 60.04),     4,    ["59.98", "60.00", "60.02", "60.04"],  "as many decimals as the distance needs"),
    ((-5200.0, 5200.0),  4,    ["-5000", "0", "5000"],                "zero is one of them"),
    ((0.0, 0.16),        4,    ["0.00", "0.05", "0.10", "0.15"],      "a trip within 160 ms"),
]
# fmt: on


@pytest.mark.parametrize(("over", "most", "texts", "why"), TICKS, ids=[row[-1] for row in TICKS])
def test_axes_have_round_numbers(over: tuple[float, float], most: int, texts: list[str], why: str) -> None:
    assert labels(ticks(over, most)) == texts


# fmt: off
SPANS = [
    # values               at least  expected        why
    ([0.0, 100.0],         0.0,      (-6.0, 106.0),  "6 % of room on either side"),
    ([NAN, 5.0, NAN],      10.0,     (-0.6, 10.6),   "a constant: 10 units around it, and the room"),
    ([NAN],                0.0,      (-1.0, 1.0),    "nothing known: an axis all the same"),
]
# fmt: on


@pytest.mark.parametrize(("values", "at_least", "expected", "why"), SPANS, ids=[row[-1] for row in SPANS])
def test_the_range_of_an_axis(values: list[float], at_least: float, expected: tuple[float, float], why: str) -> None:
    assert span(values, at_least=at_least) == pytest.approx(expected)


@pytest.mark.parametrize("count", [10, 1000, 1001, 99_999])
def test_thinning_keeps_every_extreme_and_its_bound(count: int) -> None:
    y = np.sin(np.arange(count, dtype=float))
    y[count // 2], y[-1] = 7.0, -9.0
    t_s, kept = thin(np.arange(count), y, 200)
    assert len(kept) <= 200
    assert {7.0, -9.0} <= set(kept)
    assert np.all(np.diff(t_s) > 0)


def test_a_slow_beginning_has_its_share_of_the_points() -> None:
    """100 s at one reading a second, then 100 s at a hundred: half of the stretches for each."""
    t_s = np.concatenate((np.arange(0.0, 100.0), np.arange(100.0, 200.0, 0.01)))
    kept_s, _ = thin(t_s, np.sin(t_s), 200)
    assert (kept_s < 100.0).sum() == 100


def test_a_line_of_steps_is_its_corners() -> None:
    t_s, y = corners(np.arange(8), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    assert list(zip(t_s, y, strict=True)) == [(0, 1), (2, 1), (3, 2), (7, 2)]


def test_what_is_not_known_is_a_gap() -> None:
    panel = Panel("P", (0.0, 5.0), (0.0, 1.0))
    panel.line([0, 1, 2, 3, 4, 5], [0.1, 0.2, NAN, NAN, 0.3, 0.4], "measured")
    assert [len(re.findall(",", shape)) for shape in panel.shapes] == [2, 2]


def test_a_point_stands_where_it_belongs() -> None:
    panel = Panel("P", (0.0, 10.0), (0.0, 100.0), width=LEFT + RIGHT + 100, height=50)
    panel.dot(5.0, 75.0, "dot pass", "half-way, three quarters up")
    (circle,) = panel.shapes
    assert (f'cx="{LEFT + 50:.1f}"' in circle, 'cy="12.5"' in circle) == (True, True)


@pytest.mark.parametrize(("low", "high", "y", "height"), [(None, 50.0, 25.0, 25.0), (50.0, None, 0.0, 25.0),
                                                          (None, None, 0.0, 50.0), (-1e9, 1e9, 0.0, 50.0)])  # fmt: skip
def test_a_band_ends_at_the_panel(low: float | None, high: float | None, y: float, height: float) -> None:
    panel = Panel("P", (0.0, 10.0), (0.0, 100.0), height=50)
    panel.band(-5.0, 50.0, low, high, "standard")
    rect = ElementTree.fromstring(panel.shapes[0])
    assert (float(rect.attrib["y"]), float(rect.attrib["height"])) == (y, height)
    assert float(rect.attrib["x"]) == LEFT


def test_words_are_words_and_a_chart_is_well_formed() -> None:
    panel = Panel("V < 10 & more", (0.0, 1.0), (0.0, 1.0))
    panel.dot(0.5, 0.5, "dot fail", '<script>"')
    panel.above(0.0, 1.0, "a<b")
    panel.above(0.0, 0.01, "no room for this")
    root = ElementTree.fromstring(chart([panel, panel], "time, s", 'of "it"'))
    texts = ["".join(t.itertext()) for t in root.iter("text")]
    assert {"V < 10 & more", "a<b", "time, s"} <= set(texts)
    assert "no room for this" not in texts
    assert root.attrib["aria-label"] == 'of "it"'
