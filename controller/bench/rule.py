"""The two-parameter rule: what a curve allows when both of its axes are measured with a known accuracy. Pure numbers.

    low = min Y(X - m_X ... X + m_X) - m_Y      high = max of the same + m_Y      m = 1.5 MRA

X is what was measured, never what was meant. Corners inside the span count, so the curve may rise, fall or turn.
Source   IEEE 1547.1-2020, 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from controller.bench.accuracy import Accuracy
from controller.bench.judgement import Window
from controller.bench.plan import Axis, Bound, Curve, Eut, Quantity


@dataclass(frozen=True, slots=True)
class Allowed:
    """What is exact, read at x of the curve that is lowest, and how far y may be from it."""

    axis: Axis
    x: float
    target: float
    low: float
    high: float


def value(curve: Curve, x: float) -> float:
    xs, ys = zip(*curve.points, strict=True)
    return float(np.interp(x, xs, ys))


def span(curve: Curve, low_x: float, high_x: float) -> tuple[float, float]:
    """Lowest and highest value between two x."""
    found = [value(curve, low_x), value(curve, high_x), *(y for x, y in curve.points if low_x < x < high_x)]
    return min(found), max(found)


def allowed(curves: Sequence[Curve], at: Mapping[Axis, float], eut: Eut, y: Quantity, exact: Accuracy) -> Allowed:
    """Of several curves: the lowest of their answers, and the widest window below and above it."""
    lowest = min(curves, key=lambda c: value(c, at[c.x]))
    target, below, above = value(lowest, at[lowest.x]), 0.0, 0.0
    for curve in curves:
        x, give = at[curve.x], exact.margin(eut, curve.x)
        low, high = span(curve, x - give, x + give)
        below, above = max(below, value(curve, x) - low), max(above, high - value(curve, x))
    give = exact.margin(eut, y)
    return Allowed(lowest.x, at[lowest.x], target, target - below - give, target + above + give)


def window(low: float, high: float, bound: Bound, y: float) -> Window:
    """Both limits or one of them, and whether y keeps it."""
    return Window(
        None if bound == "upper" else low,
        None if bound == "lower" else high,
        (bound == "upper" or low <= y) and (bound == "lower" or y <= high),
    )


def at_response_time(y0: float, yf: float, t_r_s: float, eut: Eut, y: Quantity, exact: Accuracy) -> tuple[float, float]:
    """(low, high) at t_r on Y0 + (Yf - Y0)(1 - 10^(-t / t_r)), of which both axes are measured."""
    give_s, give = exact.time_margin_s(eut, t_r_s), exact.margin(eut, y)
    ends = [y0 + (yf - y0) * (1.0 - 10.0 ** (-t_s / t_r_s)) for t_s in (t_r_s - give_s, t_r_s + give_s)]
    return min(ends) - give, max(ends) + give


def side(y0: float, yf: float, bound: Bound) -> Bound:
    """The limit of y that a limit of time means: too late (`upper`) is too low while rising, too high while falling."""
    if bound == "both":
        return bound
    return "lower" if (bound == "upper") == (yf >= y0) else "upper"
