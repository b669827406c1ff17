"""What was asked and what was measured over the quantity that steers it: V -> Q, f -> P and so on.

The tube is the judge's own rule, computed along the curve: standard accuracies wide, the bench's own thin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from controller.bench.judgement import Check
from controller.bench.plan import Axis, Case, Curve, Eut, Quantity, Steady
from controller.bench.report.timeline import TITLES, judged, least_seen
from controller.report.chart import Panel, chart, span

MOST_CURVES = 6  # more of them are no picture any more: then every point has its own window alone
GRID = 160
X_LABELS = {"v_v": "voltage, V", "f_hz": "frequency, Hz", "p_w": "active power, W"}
Family = tuple[Quantity, Axis]


def characteristics(eut: Eut, case: Case, checks: Sequence[Check]) -> list[str]:
    """One chart for each pair of a judged quantity and what steers it; as <svg> text."""
    families: dict[Family, list[tuple[Steady, Check]]] = {}
    for _, criterion, check in judged(case, checks):
        if isinstance(criterion, Steady) and check.x is not None and check.y is not None:
            families.setdefault((criterion.y, axis_of(criterion, check)), []).append((criterion, check))
    return [_family(eut, case, *family, rows) for family, rows in families.items()]


def axis_of(criterion: Steady, check: Check) -> Axis:
    """What the check's x is: of several curves the one whose unit it has."""
    units: dict[Axis, str] = {"v_v": "V", "f_hz": "Hz", "p_w": "W"}
    return next((c.x for c in criterion.lowest_of if units[c.x] == check.x_unit), criterion.lowest_of[0].x)


def _family(eut: Eut, case: Case, y: Quantity, x: Axis, rows: Sequence[tuple[Steady, Check]]) -> str:
    curves = list(dict.fromkeys(c for s, _ in rows for c in s.lowest_of if c.x == x))
    measured = [(float(c.x), float(c.y)) for _, c in rows if c.x is not None and c.y is not None]
    windows = [w for _, c in rows for w in (c.standard,) if w is not None]
    over_x = span([m[0] for m in measured], at_least=least_seen(eut, x))
    grid = np.unique(np.concatenate([np.linspace(*over_x, GRID), *([p[0] for p in c.points] for c in curves)]))
    grid = grid[(grid >= over_x[0]) & (grid <= over_x[1])]
    limits = [v for w in windows for v in (w.low, w.high) if v is not None]
    panel = Panel(TITLES[y], over_x, span([m[1] for m in measured], limits, at_least=least_seen(eut, y)), 360, 230)
    for curve in curves[:MOST_CURVES]:
        panel.line(grid, at(curve, grid), "target")
    for (_, check), point in zip(rows, measured, strict=True):
        for window, css in ((check.standard, "bar"), (check.engineering, "bar thin")):
            if window is not None:
                panel.bar(point[0], window.low, window.high, css)
        panel.dot(*point, f"dot {check.verdict.value}", f"{check.step}: {check.reason}")
    return chart([panel], X_LABELS[x], f"{case.title}: measured points over the characteristic")


def at(curve: Curve, x: Sequence[float]) -> Sequence[float]:
    """Straight lines between the points, flat outside."""
    return np.interp(x, *zip(*curve.points, strict=True))
