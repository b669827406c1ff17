"""What the page draws: plain arrays against seconds since the first step, taken from the records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from controller.response.checks import GAP_LIMIT_S, SLOPE_TOLERANCE_PCT
from controller.response.evidence import run_window_ms
from controller.response.formula import Floats, expected_dp_pu
from controller.response.measure import EventResponse
from controller.response.run import Run
from controller.response.timing import Timing
from controller.telemetry.frames import ages_ms

LINE_POINTS = 400
OFFSET_AFTER_S = 30.0  # after an event its offset still counts for the points over frequency


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A fault that somebody put in force on purpose: seconds since the first step, and its words."""

    begin_s: float
    end_s: float
    words: str


@dataclass(frozen=True, slots=True)
class Curves:
    """Everything plots.py needs. *_t_s: seconds since the first step."""

    seconds: float
    low_hz: float  # edges of the dead band
    high_hz: float
    f_t_s: Floats
    f_hz: Floats
    p_t_s: Floats
    p_w: Floats
    ideal_w: Floats  # p_pre or wish + ideal answer, at the readings of power
    tolerance_w: Floats
    power_from: str
    cmd_t_s: Floats  # every step
    cmd_w: Floats
    age_f_ms: Floats
    age_d_ms: Floats
    lateness_us: Floats
    skipped_t_s: Floats
    event_spans_s: tuple[tuple[float, float], ...]
    marks: tuple[tuple[float, float, str], ...]  # time, power, label
    formula_line: tuple[Floats, Floats]  # Hz, % of rating
    seen_f_hz: Floats  # the frequency whose static answer is the lagged ideal answer
    seen_dp_pct: Floats
    source_gaps: tuple[Floats, Floats]  # time of the frame, silence before it
    arrival_gaps: tuple[Floats, Floats]
    gap_limit_s: float
    no_frames_text: str
    faults: tuple[FaultSpan, ...] = ()


def curves(run: Run, events: Sequence[EventResponse], frames_ms: ArrayLike | None, wall_offset_ns: int) -> Curves:
    """Cut everything out of one run."""
    r, droop, f_nom = run.records, run.settings.freq_droop, run.settings.rating.f_nom_hz
    t0 = int(r["t_ns"][0])
    dp_ideal_w = run.ideal_w(run.power.t_ns)
    frames = np.empty((0, 2)) if frames_ms is None else np.asarray(frames_ms, dtype=float).reshape(-1, 2)
    window = run_window_ms(r, wall_offset_ns)
    seen_f_hz, seen_dp_pct = _over_frequency(run, events)
    return Curves(
        seconds=max((int(r["t_ns"][-1]) - t0) / 1e9, 1e-3),
        low_hz=f_nom - droop.db_uf_hz,
        high_hz=f_nom + droop.db_of_hz,
        f_t_s=(run.frequency.t_ns - t0) / 1e9,
        f_hz=run.frequency.value,
        p_t_s=(run.power.t_ns - t0) / 1e9,
        p_w=run.power.value,
        ideal_w=run.base_w[run.power.row] + dp_ideal_w,
        tolerance_w=np.abs(dp_ideal_w) * SLOPE_TOLERANCE_PCT / 100.0 + 0.01 * run.rating_w,
        power_from=run.power_from,
        cmd_t_s=(r["t_ns"] - t0) / 1e9,
        cmd_w=r["p_cmd_w"],
        age_f_ms=ages_ms(r["age_f_ns"]),
        age_d_ms=ages_ms(r["age_d_ns"]),
        lateness_us=_positive(r["lateness_ns"] / 1e3),
        skipped_t_s=(r["t_ns"][r["k"] > 1] - t0) / 1e9,
        event_spans_s=tuple(((e.event.t_start_ns - t0) / 1e9, (e.event.t_end_ns - t0) / 1e9) for e in events),
        marks=tuple(
            mark
            for e in events
            for timing, name in ((e.initiate, "initiated"), (e.deliver, "delivered"))
            for mark in _mark(run, timing, name)
        ),
        formula_line=_formula_line(run),
        seen_f_hz=seen_f_hz,
        seen_dp_pct=seen_dp_pct,
        source_gaps=_gaps(frames[:, 0], window),
        arrival_gaps=_gaps(frames[:, 1], window),
        gap_limit_s=GAP_LIMIT_S,
        no_frames_text="no store was given" if frames_ms is None else "not one live frame of this run",
    )


def _positive(values: Floats) -> Floats:
    """Fit for a logarithmic axis; nothing is nearer to 0 than 1 ns."""
    return np.maximum(values, 1e-3)


def _mark(run: Run, timing: Timing, name: str) -> list[tuple[float, float, str]]:
    """Where the clock of a time stopped."""
    if not np.isfinite(timing.value_s):
        return []
    i = int(np.searchsorted(run.power.t_ns, timing.t_stop_ns))
    t_s = (timing.t_stop_ns - int(run.records["t_ns"][0])) / 1e9
    return [(t_s, float(run.power.value[i]), f"{name} {timing.value_s:.1f} s")]


def _formula_line(run: Run) -> tuple[Floats, Floats]:
    """The static formula over the frequencies that were seen, and a little beyond."""
    f_nom, f = run.settings.rating.f_nom_hz, run.frequency.value
    low, high = (min(f, default=f_nom), max(f, default=f_nom)) if len(f) else (f_nom, f_nom)
    droop = run.settings.freq_droop
    f_hz = np.linspace(
        min(low, f_nom - 2.0 * droop.db_uf_hz) - 0.02, max(high, f_nom + 2.0 * droop.db_of_hz) + 0.02, LINE_POINTS
    )
    return f_hz, 100.0 * expected_dp_pu(f_hz, run.settings)


def _over_frequency(run: Run, events: Sequence[EventResponse]) -> tuple[Floats, Floats]:
    """Each reading of power in or after an event, over the frequency whose static answer is the ideal one then.

    A right answer lies on the formula's line, however fast the frequency moves; readings under a limit lie inside it.
    """
    t_ns, p = run.power.t_ns, run.power
    dp_w, chosen = p.value - run.base_w[p.row], np.zeros(len(t_ns), dtype=bool)
    for e in events:
        after_ns = round(OFFSET_AFTER_S * 1e9)
        mine = (t_ns >= e.event.t_start_ns) & (t_ns <= e.event.t_end_ns + after_ns) & ~chosen
        dp_w[mine] -= e.offset_w if np.isfinite(e.offset_w) else 0.0
        chosen |= mine
    ideal_pu = run.ideal.at(t_ns) / run.rating_w
    droop, f_nom = run.settings.freq_droop, run.settings.rating.f_nom_hz
    f_hz = np.where(
        ideal_pu >= 0.0,
        f_nom - droop.db_uf_hz - ideal_pu * f_nom * droop.k_uf,
        f_nom + droop.db_of_hz - ideal_pu * f_nom * droop.k_of,
    )
    return f_hz[chosen], 100.0 * dp_w[chosen] / run.rating_w


def _gaps(t_ms: Floats, window_ms: tuple[float, float]) -> tuple[Floats, Floats]:
    """Silence before each frame, the run's start and end standing as frames."""
    inside = np.sort(t_ms[(t_ms > window_ms[0]) & (t_ms < window_ms[1])])
    if not len(inside):
        return np.empty(0), np.empty(0)
    edges = np.concatenate(([window_ms[0]], inside, [window_ms[1]]))
    return (edges[1:] - window_ms[0]) / 1e3, np.diff(edges) / 1e3
