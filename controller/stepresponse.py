"""How a unit answers a set-point, from readings: sign, scale, dead time, lag, refresh, time to rest. Pure.

Model     p(t) = base + gain * u(t - dead), behind a first-order lag: 63 % of a step after `tau`. u is the stairs of
          the set-points as the device acknowledged them, so that a ramp or a slow wire is not taken for the device's.
Fit       least squares over dead and tau; gain and base follow in closed form. No better than the readings' interval.
Units     seconds from any one beginning, W, + = into the grid. Absent: NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

NAN = float("nan")
TOLERANCE = 0.25  # of the commanded power: small powers are an inverter's least exact ones
MOVES = 0.05  # less than this share of the commanded power is no movement
TO_90 = log(10.0)  # a first-order lag is at 90 % after so many tau
LONG_GAP = 1.5  # times the usual one: a value has happened to repeat
CELLS, ROUNDS, SHRINK = 21, 6, 0.2  # of the search for dead and tau: to span / 20 * SHRINK ** 5
SHORTEST_TAU_S = 1e-4
MOST_READINGS = 400
FEWEST_READINGS = 6


@dataclass(frozen=True, slots=True)
class Response:
    """gain: measured / commanded; rms_w: what the model leaves."""

    gain: float
    dead_s: float
    tau_s: float
    rms_w: float

    @property
    def t90_s(self) -> float:
        """From the acknowledged write to 90 % of the answer."""
        return self.dead_s + TO_90 * self.tau_s


NO_RESPONSE = Response(NAN, NAN, NAN, NAN)


def lagged(t_s: Floats, set_t_s: Floats, steps_w: Floats, dead_s: float, tau_s: float) -> Floats:
    """What the stairs come to behind dead time and lag. steps_w: by how much each stair differs from the one before."""
    since_s = np.maximum(t_s[:, None] - set_t_s[None, :] - dead_s, 0.0)
    found: Floats = (1.0 - np.exp(-since_s / tau_s)) @ steps_w
    return found


def fit_response(set_t_s: Floats, set_w: Floats, t_s: Floats, p_w: Floats) -> Response:
    """set_w[i]: in force from set_t_s[i] on; the first one since long before. NO_RESPONSE: nothing to fit."""
    if len(t_s) < FEWEST_READINGS or len(set_w) < 2 or np.ptp(set_w) == 0.0:
        return NO_RESPONSE
    some = np.linspace(0, len(t_s) - 1, min(len(t_s), MOST_READINGS)).astype(np.int64)
    t_s, p_w = t_s[some], p_w[some]
    stairs = (set_t_s[1:], np.diff(set_w))
    span_s = float(t_s[-1] - set_t_s[1])
    low, high = np.array([0.0, SHORTEST_TAU_S]), np.array([span_s / 2, span_s / 2])
    best = (np.inf, NO_RESPONSE)
    for _ in range(ROUNDS):
        for dead_s in np.linspace(low[0], high[0], CELLS):
            for tau_s in np.linspace(low[1], high[1], CELLS):
                best = min(best, error_of(t_s, p_w, stairs, float(dead_s), float(tau_s)), key=lambda found: found[0])
        middle = np.array([best[1].dead_s, best[1].tau_s])
        half = (high - low) * SHRINK / 2
        low, high = np.maximum(middle - half, [0.0, SHORTEST_TAU_S]), middle + half
    return best[1]


def error_of(
    t_s: Floats, p_w: Floats, stairs: tuple[Floats, Floats], dead_s: float, tau_s: float
) -> tuple[float, Response]:
    """The sum of squares that these two leave, and the response with its best gain."""
    shape = lagged(t_s, *stairs, dead_s, tau_s)
    middle_w = shape.mean()
    spread = float(np.sum((shape - middle_w) ** 2))
    if spread <= 0.0:
        return np.inf, NO_RESPONSE
    gain = float(np.sum((shape - middle_w) * (p_w - p_w.mean()))) / spread
    left = p_w - p_w.mean() - gain * (shape - middle_w)
    square = float(left @ left)
    return square, Response(gain, dead_s, tau_s, float(np.sqrt(square / len(t_s))))


def level_w(t_s: Floats, p_w: Floats, begin_s: float, end_s: float) -> float:
    """The mean of the readings between two times; NaN: there is none."""
    inside = (t_s >= begin_s) & (t_s <= end_s) & np.isfinite(p_w)
    return float(p_w[inside].mean()) if inside.any() else NAN


def scale_fault(ratio: float) -> str:
    """What is wrong with measured / commanded, in words; nothing when it is right."""
    if not isfinite(ratio):
        return "is not known"
    if abs(ratio) < MOVES:
        return "does not move"
    wrong = []
    if ratio < 0.0:
        wrong.append("goes the wrong way round")
    decade = round(log10(abs(ratio)))
    if decade:
        wrong.append(f"is {abs(ratio):.3g} times what was commanded, a factor of {10.0**decade:g}")
    elif abs(abs(ratio) - 1.0) > TOLERANCE:
        wrong.append(f"is {abs(ratio):.2f} times what was commanded (allowed: {1 - TOLERANCE:g} ... {1 + TOLERANCE:g})")
    return " and ".join(wrong)


def interval_s(t_ns: NDArray[np.int64]) -> float:
    """The mean time from one to the next, without the gaps in which a value happened to repeat. NaN: fewer than two."""
    gaps = np.diff(t_ns)
    if not len(gaps):
        return NAN
    return float(gaps[gaps <= LONG_GAP * np.median(gaps)].mean()) * 1e-9


def renewed(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which readings differ from the one before; the first one's age is not known, so it does not."""
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    return np.concatenate((np.zeros(min(len(values), 1), np.bool_), ~same))


def rest_s(t_s: Floats, p_w: Floats, small_w: float) -> float:
    """When the power came to rest and stayed there; NaN: it has not."""
    moving = np.flatnonzero(~(np.abs(p_w) <= small_w))  # what is not known counts as moving
    first = int(moving[-1]) + 1 if len(moving) else 0
    return float(t_s[first]) if first < len(t_s) else NAN
