"""Grid events measured: how soon the power moved, when it was delivered, how well, and what held it back.

The clocks and limits of the two times: timing.py. Every power of an event is a change against the power before it
(base_w of run.py plus the offset measured before the event), so that a calibration error is one number of its own and
does not hide in the times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.response.detect import GridEvent, detect
from controller.response.formula import Floats, Ints
from controller.response.run import Run
from controller.response.timing import Case, Timing, largest, time_to_deliver, time_to_initiate
from cython_core.records import REASON_TEXT, Reason

NAN = float("nan")
THRESHOLD_PU = 0.01
NOISE_SIGMAS = 5.0
CALM_S = 10.0  # looked at before an event, for the noise
OFFSET_S = 5.0  # and for the power's offset from its command
SETTLED_PU = 0.02
GRID_NS = 10_000_000  # on which the ideal answer is looked at
NOT_A_LIMIT = Reason.DROOP | Reason.DROOP_WAITING | Reason.DEFAULT_WISH | Reason.VOLT_VAR | Reason.SKIPPED


@dataclass(frozen=True, slots=True)
class Held:
    """A reason bit that stood during the event."""

    reason: str
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class EventResponse:
    """One event and its answer. Powers are changes against the power before it; energies over event and recovery."""

    event: GridEvent
    p_pre_w: float
    offset_w: float  # measured power minus its command before the event; NaN: not measurable
    noise_w: float  # one sigma; NaN: too few readings before the event
    threshold_w: float
    answer_formula_w: float  # largest, signed
    answer_allowed_w: float  # largest that limits allow
    answer_measured_w: float
    initiate: Timing
    deliver: Timing
    settle_s: float  # from the clock of delivery; NaN: never inside the band to the end
    overshoot_pu: float  # of the largest allowed answer, beyond it
    energy_wh: float
    energy_ideal_wh: float
    held: tuple[Held, ...]


def measure_events(run: Run) -> tuple[EventResponse, ...]:
    """Every event of the run, in order."""
    events = detect(run.records, run.settings)
    t_stop_ns = [*(e.t_start_ns for e in events[1:]), int(run.records["t_ns"][-1])][: len(events)]
    return tuple(measure_event(run, e, stop) for e, stop in zip(events, t_stop_ns, strict=True))


def measure_event(run: Run, event: GridEvent, t_stop_ns: int) -> EventResponse:
    """One event; its recovery is looked at for two response times, never past t_stop_ns."""
    noise_w, offset_w = noise(run, event), offset(run, event)
    threshold_w = max(THRESHOLD_PU * run.rating_w, NOISE_SIGMAS * noise_w if np.isfinite(noise_w) else 0.0)
    case = _case(run, event, t_stop_ns, threshold_w, offset_w)
    sign, deliver = -event.side, time_to_deliver(case)
    ideal_w = sign * run.ideal_w(case.t_p_ns)
    return EventResponse(
        event=event,
        p_pre_w=p_pre_w(run, event),
        offset_w=offset_w,
        noise_w=noise_w,
        threshold_w=threshold_w,
        answer_formula_w=sign * largest(sign * run.target_w[_outside(run, event)]),
        answer_allowed_w=sign * largest(case.formula_w),
        answer_measured_w=sign * largest(case.answer_w),
        initiate=time_to_initiate(case, run.settings.freq_droop.t_response_s),
        deliver=deliver,
        settle_s=settle_s(case, ideal_w, deliver, SETTLED_PU * run.rating_w),
        overshoot_pu=overshoot_pu(case),
        energy_wh=sign * energy_wh(case.t_p_ns, case.answer_w),
        energy_ideal_wh=sign * energy_wh(case.t_p_ns, ideal_w),
        held=held(run, event),
    )


def _case(run: Run, event: GridEvent, t_stop_ns: int, threshold_w: float, offset_w: float) -> Case:
    """Cut the curves of one event out of the run and turn them into the event's direction."""
    t_over_ns = event.t_end_ns + round(2e9 * run.settings.freq_droop.t_response_s)
    cut_short, t_stop_ns = t_over_ns > t_stop_ns, min(t_over_ns, t_stop_ns)
    sign, f, p, outside = -event.side, run.frequency, run.power, _outside(run, event)
    seen = (p.t_ns >= event.t_start_ns) & (p.t_ns <= t_stop_ns)
    dp_w = p.value - run.base_w[p.row] - (offset_w if np.isfinite(offset_w) else 0.0)
    step_ns = max(GRID_NS, (t_stop_ns - event.t_start_ns) // 100_000)
    t_ideal_ns = np.arange(event.t_start_ns, t_stop_ns + 1, step_ns, dtype=np.int64)
    return Case(
        t_f_ns=f.t_ns[outside],
        formula_w=sign * run.allowed_w(run.target_w, f.row)[outside],
        t_ideal_ns=t_ideal_ns,
        ideal_w=sign * run.ideal_w(t_ideal_ns),
        t_p_ns=p.t_ns[seen],
        answer_w=sign * dp_w[seen],
        threshold_w=threshold_w,
        t_stop_ns=t_stop_ns,
        cut_short=cut_short,
        began_before=event.n_start == int(run.records["n"][0]) and bool(run.records["reasons"][0] & Reason.DROOP),
    )


def _outside(run: Run, event: GridEvent) -> NDArray[np.bool_]:
    """Readings of frequency from the event's start to its end."""
    return (run.frequency.t_ns >= event.t_start_ns) & (run.frequency.t_ns <= event.t_end_ns)


def p_pre_w(run: Run, event: GridEvent) -> float:
    """The power that the core held as its reference; without an answer, the wish at the event's start."""
    rows = slice(*np.searchsorted(run.records["n"], (event.n_start, event.n_end + 1)))
    answering = np.flatnonzero(run.records["reasons"][rows] & Reason.DROOP)
    return float(run.base_w[rows][answering[0] if len(answering) else 0])


def noise(run: Run, event: GridEvent) -> float:
    """One sigma of the power before the event, from differences of neighbours, so that a ramp does not count."""
    p = run.power
    calm = p.value[(p.t_ns < event.t_start_ns) & (p.t_ns >= event.t_start_ns - round(CALM_S * 1e9))]
    if len(calm) < 6:
        return NAN
    return float(1.4826 * np.median(np.abs(np.diff(calm))) / np.sqrt(2.0))  # median: one spike is not the noise


def offset(run: Run, event: GridEvent) -> float:
    """How far the measured power stood from its command before the event (losses, calibration)."""
    p, t0 = run.power, event.t_start_ns
    calm = (p.t_ns < t0) & (p.t_ns >= t0 - round(OFFSET_S * 1e9))
    calm &= run.records["reasons"][p.row] & Reason.RAMP == 0
    if calm.sum() < 3:
        return NAN
    return float(np.median(p.value[calm] - run.records["p_cmd_w"][p.row[calm]]))


def settle_s(case: Case, ideal_w: Floats, deliver: Timing, band_w: float) -> float:
    """From the clock of delivery until the power stays within 2 % of rating of the ideal answer to the end."""
    after = case.t_p_ns >= deliver.t_start_ns
    away, t_ns = np.flatnonzero(np.abs(case.answer_w - ideal_w)[after] > band_w), case.t_p_ns[after]
    if not np.isfinite(deliver.value_s) or not len(t_ns) or (len(away) and away[-1] + 1 == len(t_ns)):
        return NAN
    return float((t_ns[away[-1] + 1 if len(away) else 0] - deliver.t_start_ns) / 1e9)


def overshoot_pu(case: Case) -> float:
    """How far the answer went beyond the largest one allowed, as a share of it; the reading's noise is in it."""
    most_w = largest(case.formula_w)
    return max(largest(case.answer_w) / most_w - 1.0, 0.0) if most_w > 0.0 and len(case.answer_w) else NAN


def energy_wh(t_ns: Ints, p_w: Floats) -> float:
    """Trapezoids over the readings."""
    ok = np.isfinite(p_w)
    return float(np.trapezoid(p_w[ok], t_ns[ok]) / 3.6e12) if ok.sum() > 1 else NAN


def held(run: Run, event: GridEvent) -> tuple[Held, ...]:
    """What stood in the way during the event: every limiting reason with its seconds, longest first."""
    n = run.records["n"]
    rows = run.records[np.searchsorted(n, event.n_start) : np.searchsorted(n, event.n_end, side="right")]
    rows = rows[rows["o_stop"] == 0]  # an operator who stops the unit does not limit its answer
    period_s = float(np.median(np.diff(rows["t_ns"]) / rows["k"][1:])) / 1e9 if len(rows) > 1 else 0.0
    found = []
    for reason in Reason:
        if reason & NOT_A_LIMIT:
            continue
        steps = int(rows["k"][rows["reasons"] & reason != 0].sum())
        if steps:
            found.append(Held(reason.name or "", REASON_TEXT[reason], steps * period_s))
    return tuple(sorted(found, key=lambda h: -h.seconds))
