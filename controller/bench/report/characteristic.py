"""What was asked and what was measured over the quantity that steers it: V -> Q, f -> P and so on.

The tube is the judge's own rule (rule.py) along the axis: wide with the standard's accuracies, thin with the bench's.
A point that several curves of different axes decide has its own window alone: there is no tube in one picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from controller.bench.accuracy import ENGINEERING, STANDARD, Accuracy
from controller.bench.judgement import Check
from controller.bench.plan import Axis, Case, Curve, Eut, Quantity, Steady
from controller.bench.report.panels import TITLES, least_seen, limits
from controller.bench.report.steps import judged
from controller.bench.rule import allowed, value
from controller.bench.wording import unit_of
from controller.report.chart import Panel, Span, chart, span
from controller.response.formula import Floats

MOST_TUBES = 4  # more of them are no picture any more
GRID = 12  # beside the corners, between which a tube is straight
X_LABELS = {"v_v": "voltage, V", "f_hz": "frequency, Hz", "p_w": "active power, W"}
Pair = tuple[Steady, Check]


def characteristics(eut: Eut, case: Case, checks: Sequence[Check]) -> list[str]:
    """One chart for each pair of a judged quantity and what steers it; as <svg> text."""
    families: dict[tuple[Quantity, Axis], list[Pair]] = {}
    for _, criterion, check in judged(case, checks):
        if isinstance(criterion, Steady) and check.x is not None and check.y is not None:
            families.setdefault((criterion.y, axis_of(criterion, check)), []).append((criterion, check))
    return [_family(eut, case.title, *family, pairs) for family, pairs in families.items()]


def axis_of(criterion: Steady, check: Check) -> Axis:
    """What the check's x is: of several curves that one whose unit it has."""
    return next((c.x for c in criterion.lowest_of if unit_of(c.x) == check.x_unit), criterion.lowest_of[0].x)


def _family(eut: Eut, title: str, y: Quantity, x: Axis, pairs: Sequence[Pair]) -> str:
    points = [(float(c.x or 0.0), float(c.y or 0.0)) for _, c in pairs]
    over_x = span([p[0] for p in points], at_least=least_seen(eut, x))
    over_y = span([p[1] for p in points], limits(c for _, c in pairs), at_least=least_seen(eut, y))
    panel = Panel(TITLES[y], over_x, over_y, 360, 230)
    rules = {lines(s): s for s, _ in pairs if all(c.x == x for c in s.lowest_of)}
    tubes = list(rules)[:MOST_TUBES]
    for exact, css in ((STANDARD, "standard"), (ENGINEERING, "engineering")):
        for key in tubes:
            panel.tube(*tube(eut, rules[key], exact, over_x), css)
    for curves, _ in rules:
        at = _corners(curves, 0.0, over_x)
        panel.line(at, [min(value(c, x) for c in curves) for x in at], "target")
    for (rule, check), point in zip(pairs, points, strict=True):
        if check.standard is not None and lines(rule) not in tubes:
            panel.bar(point[0], check.standard.low, check.standard.high, "bar")
        panel.dot(*point, f"dot {check.verdict.value}", f"{check.step}: {check.reason}")
    return chart([panel], X_LABELS[x], f"{title}: measured points over the characteristic")


def lines(rule: Steady) -> tuple[tuple[Curve, ...], str]:
    """What makes the picture of a rule; when it looks does not."""
    return rule.lowest_of, rule.bound


def tube(eut: Eut, rule: Steady, exact: Accuracy, over: Span) -> tuple[Floats, Floats, Floats]:
    """(x, low, high) of a rule whose curves all have one axis; a side that is not limited is infinite."""
    axis = rule.lowest_of[0].x
    at = _corners(rule.lowest_of, exact.margin(eut, axis), over)
    found = [allowed(rule.lowest_of, {axis: float(x)}, eut, rule.y, exact) for x in at]
    low, high = np.array([a.low for a in found]), np.array([a.high for a in found])
    low[:] = -np.inf if rule.bound == "upper" else low
    high[:] = np.inf if rule.bound == "lower" else high
    return at, low, high


def _corners(curves: Sequence[Curve], margin: float, over: Span) -> Floats:
    """Where a tube may bend."""
    corners = [x + m for c in curves for x, _ in c.points for m in (-margin, 0.0, margin)]
    at = np.unique([*np.linspace(*over, GRID), *corners])
    return at[(at >= over[0]) & (at <= over[1])]
