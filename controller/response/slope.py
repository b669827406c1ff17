"""Droop and dead band as the power shows them, against what was set.

Model    dP(t) = gain x ideal(t - delay): formula, lag, no limits. The delay of meter, wire and inverter is searched for
         first (least squares), so that it does not bend the slope; droop measured = droop set / gain.
Dead band  on one side dP = -a L[|f - f_nom|] + b L[1], both lagged and counted only outside the set dead band: linear
         in a = 1 / (f_nom k) and b = db a, so db = b / a. A frequency that stays at one value outside cannot tell the
         two apart; the standard error says so.
Samples  readings of power in events and three response times after, while no limit, ramp or held frequency interferes.
Errors   none: a SideFit without a number says why. Standard errors count neighbouring residuals as related
         (effective number of readings from the correlation of neighbours).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from controller.response.formula import Floats, Ints, OpenLoop, open_loop
from controller.response.measure import EventResponse
from controller.response.run import Run, in_service
from cython_core.records import Reason

NAN = float("nan")
SIDES = (-1, 1)
NOT_SEEN = "frequency never stayed outside the dead band on this side"
MIN_READINGS = 10
LONGEST_DELAY_MS, COARSE_MS, FINE_MS = 5000, 100, 5  # 0.1 Hz/s x 5 ms is half a millihertz of dead band
INTERFERING = (
    Reason.DROOP_LIMITED
    | Reason.F_HELD
    | Reason.F_STALE
    | Reason.F_LOST
    | Reason.F_INVALID
    | Reason.DEVICE_LIMIT
    | Reason.SOC_LIMIT
    | Reason.SESSION
    | Reason.APPARENT_POWER
    | Reason.RAMP
    | Reason.SMALLEST_POWER
    | Reason.REVERSAL_DWELL
    | Reason.STOP
    | Reason.EMERGENCY_STOP
    | Reason.NOT_RUNNING
)


@dataclass(frozen=True, slots=True)
class SideFit:
    """One side of the dead band. *_se: one standard error; NaN: not measurable, and why (k and db each their own)."""

    side: int
    events: int
    readings: int
    delay_s: float
    gain: float  # measured answer / formula's answer; 1 is right, negative is the wrong way
    gain_se: float
    k_set: float
    k_measured: float
    db_set_hz: float
    db_measured_hz: float
    db_se_hz: float
    span_hz: float  # frequencies seen outside the dead band, largest - smallest
    largest_w: float  # largest answer the formula asked for in these readings
    why: str


def fit_sides(run: Run, events: Sequence[EventResponse]) -> tuple[SideFit, SideFit]:
    """Under- and over-frequency, fitted together: in an oscillation each side's answer rings on into the other's."""
    counts = {side: sum(e.event.side == side for e in events) for side in SIDES}
    seen = [side for side in SIDES if counts[side]]
    t_ns, dp_w = _samples(run, events)
    why = {side: "" if counts[side] else NOT_SEEN for side in SIDES}
    if len(t_ns) < MIN_READINGS:
        few = f"{len(t_ns)} readings free of limits, ramps and late inputs are too few"
        why, seen = {side: why[side] or few for side in SIDES}, []
    fits = {side: _nothing(run, side, counts[side], why[side]) for side in SIDES}
    if not seen:
        return fits[-1], fits[1]
    answers = [_one_side(run, side, run.target_w) for side in seen]
    delay_ns = _best_delay_ns(answers, t_ns, dp_w)
    x = _columns(answers, t_ns - delay_ns)
    gains, covariance = least_squares(x, dp_w)
    for i, side in enumerate(seen):
        if not np.isfinite(gains[i]) or not np.any(x[:, i]):
            fits[side] = replace(fits[side], why="the ideal answer is 0 in every usable reading")
            continue
        db_hz, db_se_hz, span_hz = _dead_band(run, side, t_ns - delay_ns, dp_w, np.delete(x, i, axis=1))
        size_w = np.abs(x[:, i])
        fits[side] = replace(
            fits[side],
            readings=int(np.count_nonzero(size_w > 1e-3 * size_w.max())),
            delay_s=delay_ns / 1e9,
            gain=float(gains[i]),
            gain_se=float(np.sqrt(covariance[i, i])),
            k_measured=fits[side].k_set / float(gains[i]) if gains[i] else NAN,
            db_measured_hz=db_hz,
            db_se_hz=db_se_hz,
            span_hz=span_hz,
            largest_w=float(size_w.max()),
        )
    return fits[-1], fits[1]


def least_squares(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coefficients and their covariance; NaN and inf where the columns cannot be told apart."""
    scale = np.sqrt(np.mean(x**2, axis=0))
    scale[scale == 0.0] = 1.0
    z = x / scale
    if np.linalg.cond(z.T @ z) > 1e10:
        return np.full(x.shape[1], np.nan), np.full((x.shape[1], x.shape[1]), np.inf)
    inverse = np.linalg.inv(z.T @ z)
    coefficients = inverse @ (z.T @ y)
    residual = y - z @ coefficients
    variance = float(residual @ residual) / max(len(y) - x.shape[1], 1) * len(y) / _effective(residual)
    return coefficients / scale, inverse * variance / np.outer(scale, scale)


def _effective(residual: Floats) -> float:
    """How many independent readings these residuals are worth."""
    power = float(residual @ residual)
    if len(residual) < 3 or power == 0.0:
        return float(len(residual))
    rho = min(max(float(residual[1:] @ residual[:-1]) / power, 0.0), 0.999)
    return max(len(residual) * (1.0 - rho) / (1.0 + rho), 2.0)


def _samples(run: Run, events: Sequence[EventResponse]) -> tuple[Ints, Floats]:
    """Usable readings of power: their times and the change against the power before their event."""
    p, after_ns = run.power, round(3e9 * run.settings.freq_droop.t_response_s)
    usable = (run.records["reasons"] & INTERFERING == 0) & in_service(run.records) & np.isfinite(run.base_w)
    chosen: NDArray[np.bool_] = np.zeros(len(p.t_ns), dtype=np.bool_)
    dp_w = p.value - run.base_w[p.row]
    for e in events:
        mine = (p.t_ns >= e.event.t_start_ns) & (p.t_ns <= e.event.t_end_ns + after_ns) & ~chosen
        dp_w[mine] -= e.offset_w if np.isfinite(e.offset_w) else 0.0
        chosen |= mine
    full = run.ideal.at(p.t_ns)
    chosen &= usable[p.row] & (np.abs(run.ideal_w(p.t_ns) - full) <= 1e-6 * run.rating_w)
    return p.t_ns[chosen], dp_w[chosen]


def _one_side(run: Run, side: int, target: Floats) -> OpenLoop:
    """The lag driven by what stands outside on this side alone."""
    over = side * (run.frequency.value - run.settings.rating.f_nom_hz) > 0.0
    return open_loop(run.frequency.t_ns, np.where(over, target, 0.0), run.settings.freq_droop.t_response_s)


def _columns(lags: Sequence[OpenLoop], t_ns: Ints) -> Floats:
    return np.column_stack([lag.at(t_ns) for lag in lags])


def _best_delay_ns(ideals: Sequence[OpenLoop], t_ns: Ints, dp_w: Floats) -> int:
    """The delay with which the ideal answers, each scaled, resemble the measured one most: coarse, then fine."""

    def unexplained(delay_ms: int) -> float:
        x = _columns(ideals, t_ns - delay_ms * 1_000_000)
        coefficients, *_ = np.linalg.lstsq(x, dp_w, rcond=None)
        return float(np.sum((dp_w - x @ coefficients) ** 2))

    coarse = min(range(0, LONGEST_DELAY_MS, COARSE_MS), key=unexplained)
    fine = range(max(coarse - COARSE_MS, 0), coarse + COARSE_MS + 1, FINE_MS)
    return 1_000_000 * min(fine, key=unexplained)


def _dead_band(run: Run, side: int, t_ns: Ints, dp_w: Floats, others: Floats) -> tuple[float, float, float]:
    """Dead band, its standard error and the span of frequencies outside, all Hz. others: the other side's answer."""
    outside = (run.target_w * -side > 0.0).astype(float)
    deviation_hz = side * (run.frequency.value - run.settings.rating.f_nom_hz)
    span_hz = float(np.ptp(deviation_hz[outside > 0.0])) if outside.any() else 0.0
    lags = [_one_side(run, side, outside * deviation_hz), _one_side(run, side, -outside)]
    (a, b, *_), c = least_squares(np.column_stack([_columns(lags, t_ns), others]), -side * dp_w)
    if not np.isfinite(c).all() or a == 0.0:
        return NAN, np.inf, span_hz
    db_hz = float(b / a)
    variance = c[1, 1] - 2.0 * db_hz * c[0, 1] + db_hz**2 * c[0, 0]
    return db_hz, float(np.sqrt(max(variance, 0.0)) / abs(a)), span_hz


def _settings(run: Run, side: int) -> tuple[float, float]:
    droop = run.settings.freq_droop
    return (droop.k_of, droop.db_of_hz) if side > 0 else (droop.k_uf, droop.db_uf_hz)


def _nothing(run: Run, side: int, events: int, why: str) -> SideFit:
    k_set, db_set_hz = _settings(run, side)
    return SideFit(side, events, 0, NAN, NAN, NAN, k_set, NAN, db_set_hz, NAN, NAN, 0.0, 0.0, why)
