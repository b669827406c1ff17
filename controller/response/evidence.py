"""What the answer rests on: the core's own arithmetic on every sample, telemetry, deadlines, completeness.

Formula   at every step with a fresh frequency, dp_target_w against formula.py at the core's f_hz, within 1e-9 of
          rating. A target of 0 outside the dead band is right only while the core says why (waiting for a second
          reading, not in service); it is counted, not hidden.
Lag       dp_w against one exact step of the open-loop lag from the previous record, within 1e-9 of rating. While an
          excursion waits for its second reading the lag runs ahead; the step that opens the event takes that over.
Gaps      of live frames, by the time of their newest data (source) and of their arrival in the store; the head and
          the tail of the run count as gaps too.
Deadlines are reported and never decide: lateness is no input of a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from controller.response.formula import expected_dp_pu, remaining
from controller.response.run import Records, Run, in_service
from cython_core.records import Freshness, Reason

NAN = float("nan")
EXACT = 1e-9  # of rating
SILENT = Reason.DROOP_WAITING | Reason.STOP | Reason.EMERGENCY_STOP | Reason.NO_PERMIT | Reason.STARTING


@dataclass(frozen=True, slots=True)
class Comparison:
    """A sample by sample check. worst_w NaN: nothing to compare. worst_n: the step of the largest difference."""

    compared: int
    answering: int  # of these, with an answer other than 0
    excused: int  # outside the dead band, no answer yet, and the core says why
    passed_over: int  # not fresh, or no frequency
    worst_w: float
    worst_n: int
    limit_w: float
    wrong: int


@dataclass(frozen=True, slots=True)
class Gaps:
    """Longest silence of the live frames, s. Where it began: s after the run's start."""

    frames: int  # with data of this run
    by_source_s: float
    by_source_at_s: float
    by_arrival_s: float
    by_arrival_at_s: float


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How late the steps woke up. Reported, never deciding."""

    steps: int
    period_ms: float
    lateness_p50_us: float
    lateness_p99_us: float
    lateness_max_us: float
    skipped: int
    missing: int  # step numbers absent from the records


def compare_formula(run: Run) -> Comparison:
    """dp_target_w against the formula at f_hz."""
    r, rating_w = run.records, run.rating_w
    fresh = (r["fresh_f"] == Freshness.FRESH) & np.isfinite(r["f_hz"]) & (r["reasons"] & Reason.F_INVALID == 0)
    expected_w = expected_dp_pu(r["f_hz"], run.settings) * rating_w
    silent = (r["dp_target_w"] == 0.0) & ((r["reasons"] & SILENT != 0) | ~in_service(r))
    excused = fresh & silent & (np.abs(expected_w) > EXACT * rating_w)
    return _worst(r, fresh & ~excused, r["dp_target_w"] - expected_w, expected_w, rating_w, int(excused.sum()))


def compare_lag(run: Run) -> Comparison:
    """dp_w against one step of the lag from the record before."""
    r, rating_w = run.records, run.rating_w
    if len(r) < 2:
        return Comparison(0, 0, 0, len(r), NAN, 0, EXACT * rating_w, 0)
    now, before = r[1:], r[:-1]
    usable = (np.diff(r["n"]) == 1) & (np.diff(r["t_ns"]) > 0) & in_service(now) & in_service(before)
    for row in (now, before):
        usable &= (row["fresh_f"] == Freshness.FRESH) & (row["reasons"] & (SILENT ^ Reason.DROOP_WAITING) == 0)
    left = remaining(np.diff(r["t_ns"]) / 1e9, run.settings.freq_droop.t_response_s)
    expected_w = now["dp_target_w"] + (before["dp_w"] - now["dp_target_w"]) * left
    waits = r["reasons"] & Reason.DROOP_WAITING != 0
    for opening in np.flatnonzero(waits[:-1] & ~waits[1:] & (now["reasons"] & Reason.DROOP != 0)):
        expected_w[opening] = _ahead_w(run, waits, int(opening) + 1)
        usable[opening] &= bool(np.isfinite(expected_w[opening]))
    return _worst(now, usable, now["dp_w"] - expected_w, expected_w, rating_w, 0)


def _ahead_w(run: Run, waits: NDArray[np.bool_], opened: int) -> float:
    """The lag that ran ahead up to the row that opened an event; NaN when its beginning is not in the records."""
    r = run.records
    first = opened - 1
    while first > 0 and waits[first - 1]:
        first -= 1
    rows = r[first - 1 : opened + 1]
    if first == 0 or np.any(np.diff(rows["n"]) != 1):
        return NAN
    asked_w = expected_dp_pu(rows["f_hz"], run.settings) * run.rating_w
    left = remaining(np.diff(rows["t_ns"]) / 1e9, run.settings.freq_droop.t_response_s)
    ahead_w: float = NAN
    side: float = 0.0
    for i in range(1, len(rows)):
        if rows["fresh_f"][i] != Freshness.FRESH:
            continue
        if np.sign(asked_w[i]) != side:  # a new excursion starts from where the answer is
            ahead_w, side = float(rows["dp_w"][i - 1]), float(np.sign(asked_w[i]))
        ahead_w = float(asked_w[i] + (ahead_w - asked_w[i]) * left[i - 1])
    return ahead_w


def _worst(
    rows: Records, usable: NDArray[np.bool_], off_w: NDArray[np.float64], expected_w: NDArray[np.float64],
    rating_w: float, excused: int,
) -> Comparison:  # fmt: skip
    limit_w = EXACT * rating_w
    size = np.where(np.isnan(off_w), np.inf, np.abs(off_w))  # a NaN answer is a wrong one
    size[~usable] = -1.0
    worst = int(np.argmax(size)) if usable.any() else 0
    return Comparison(
        compared=int(usable.sum()),
        answering=int((usable & (np.abs(expected_w) > limit_w)).sum()),
        excused=excused,
        passed_over=int((~usable).sum()) - excused,
        worst_w=float(size[worst]) if usable.any() else NAN,
        worst_n=int(rows["n"][worst]) if len(rows) else 0,
        limit_w=limit_w,
        wrong=int((size > limit_w).sum()),
    )


def telemetry_gaps(frames_ms: ArrayLike, start_ms: float, end_ms: float) -> Gaps:
    """frames_ms: rows of (source, arrival), wall clock, any order; the run lasts from start_ms to end_ms."""
    frames = np.asarray(frames_ms, dtype=float).reshape(-1, 2)
    gaps = [_longest_gap_s(frames[:, i], start_ms, end_ms) for i in (0, 1)]
    ours = int(((frames[:, 0] >= start_ms) & (frames[:, 0] <= end_ms)).sum())
    return Gaps(ours, *gaps[0], *gaps[1])


def _longest_gap_s(t_ms: NDArray[np.float64], start_ms: float, end_ms: float) -> tuple[float, float]:
    """The longest silence and where it began. A frame from outside the run bounds no gap inside it."""
    inside = np.sort(t_ms[(t_ms > start_ms) & (t_ms < end_ms)])
    edges = np.concatenate(([start_ms], inside, [end_ms]))
    gaps = np.diff(edges)
    i = int(np.argmax(gaps))
    return float(gaps[i]) / 1e3, float(edges[i] - start_ms) / 1e3


def run_window_ms(records: Records, wall_offset_ns: int) -> tuple[float, float]:
    """First and last step on the wall clock."""
    first_ns, last_ns = (int(records["t_ns"][i]) + wall_offset_ns for i in (0, -1))
    return first_ns / 1e6, last_ns / 1e6


def deadlines(records: Records, period_ns: int) -> Deadlines:
    """Lateness, skipped grid points and holes in the numbering."""
    late_us = records["lateness_ns"] / 1e3
    p50, p99 = np.percentile(late_us, (50, 99))
    return Deadlines(
        steps=len(records),
        period_ms=period_ns / 1e6,
        lateness_p50_us=float(p50),
        lateness_p99_us=float(p99),
        lateness_max_us=float(late_us.max()),
        skipped=int(records["skipped"][-1] - records["skipped"][0]),
        missing=int(records["n"][-1] - records["n"][0]) + 1 - len(records),
    )
