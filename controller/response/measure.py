"""Grid events measured: how soon the power moved, when it was delivered, how well, and what held it back.

Threshold    max(1 % of rating, 5 sigma of the power's noise before the event): the smallest change that counts.
Initiate     limit 2 s. The clock starts when the formula (before its lag) asks for so much that the lag alone would
             show the threshold 1 s later; it stops at the first reading of power that has moved by the threshold in
             the right direction. For a step of frequency the clock starts at the step.
Deliver      limit 10 s. Whatever the formula, as far as limits allow, asks for during 10 s without a break, 90 % of it
             must be measured that soon after it was first asked for. Levels from the threshold up are looked at and
             the slowest counts. For a step of frequency this is the classical 90 % time of IEEE 1547-2018, 3.1.
Too small    an event that asks for less than the clock needs, or whose ideal answer (formula, lag, limits) stays
             below 1.5 thresholds, is named, not judged. One that lasts less than 10 s is not judged for delivery.
Nothing is subtracted: meter, wire, core, inverter and lag are all in the two times; their resolution is the
interval of the power readings. What cannot be measured is NaN and says why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.response.detect import GridEvent, detect
from controller.response.formula import Floats, Ints, remaining
from controller.response.run import Run
from cython_core.records import REASON_TEXT, Reason

NAN = float("nan")
INITIATE_LIMIT_S = 2.0
DELIVER_LIMIT_S = 10.0
LAG_SHARE_S = 1.0  # of the 2 s: what the set lag alone may take
LEVELS = np.linspace(0.05, 1.0, 20)
DELIVERED = 0.9
THRESHOLD_PU = 0.01
NOISE_SIGMAS = 5.0
CALM_S = 10.0  # looked at before an event, for the noise
OFFSET_S = 5.0  # and for the power's offset from its command
SETTLED_PU = 0.02
CLEAR_OF_THRESHOLD = 1.5
GRID_NS = 10_000_000  # on which the ideal answer is looked at
NOT_A_LIMIT = Reason.DROOP | Reason.DROOP_WAITING | Reason.DEFAULT_WISH | Reason.VOLT_VAR | Reason.SKIPPED


@dataclass(frozen=True, slots=True)
class Timing:
    """One measured time. value_s NaN: not measured, and why; failed: it should have been there and was not."""

    value_s: float
    ideal_s: float
    limit_s: float
    level_w: float
    t_start_ns: int
    t_stop_ns: int
    why: str
    failed: bool

    @property
    def passed(self) -> bool | None:
        """None: not measurable."""
        if self.failed:
            return False
        return bool(self.value_s <= self.limit_s) if np.isfinite(self.value_s) else None


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


@dataclass(frozen=True, slots=True)
class _Case:
    """One event as curves. Powers are changes, + in the direction the event asks for."""

    t_f_ns: Ints  # readings of frequency while it was outside
    formula_w: Floats  # what limits leave of the formula's answer
    t_ideal_ns: Ints  # a fine grid
    ideal_w: Floats
    t_p_ns: Ints  # readings of power, into the recovery
    answer_w: Floats
    threshold_w: float
    t_stop_ns: int
    cut_short: bool  # the data end here, not the event


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


def _case(run: Run, event: GridEvent, t_stop_ns: int, threshold_w: float, offset_w: float) -> _Case:
    """Cut the curves of one event out of the run and turn them into the event's direction."""
    t_over_ns = event.t_end_ns + round(2e9 * run.settings.freq_droop.t_response_s)
    cut_short, t_stop_ns = t_over_ns > t_stop_ns, min(t_over_ns, t_stop_ns)
    sign, f, p, outside = -event.side, run.frequency, run.power, _outside(run, event)
    seen = (p.t_ns >= event.t_start_ns) & (p.t_ns <= t_stop_ns)
    dp_w = p.value - run.base_w[p.row] - (offset_w if np.isfinite(offset_w) else 0.0)
    step_ns = max(GRID_NS, (t_stop_ns - event.t_start_ns) // 100_000)
    t_ideal_ns = np.arange(event.t_start_ns, t_stop_ns + 1, step_ns, dtype=np.int64)
    return _Case(
        t_f_ns=f.t_ns[outside],
        formula_w=sign * run.allowed_w(run.target_w, f.row)[outside],
        t_ideal_ns=t_ideal_ns,
        ideal_w=sign * run.ideal_w(t_ideal_ns),
        t_p_ns=p.t_ns[seen],
        answer_w=sign * dp_w[seen],
        threshold_w=threshold_w,
        t_stop_ns=t_stop_ns,
        cut_short=cut_short,
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


def time_to_initiate(case: _Case, t_response_s: float) -> Timing:
    """See the module's head."""
    most_w, peak_w = largest(case.formula_w), largest(case.ideal_w)
    clock_w = case.threshold_w / (1.0 - float(remaining(LAG_SHARE_S, t_response_s)))
    t0 = first(case.t_f_ns, case.formula_w >= clock_w)
    if t0 is None:
        return not_measured(f"formula and limits ask for {most_w:.0f} W at most, the clock needs {clock_w:.0f} W")
    if peak_w < CLEAR_OF_THRESHOLD * case.threshold_w:
        return not_measured(f"short: the ideal answer reaches {peak_w:.0f} W, too close to the threshold")
    return reach(case, t0, case.threshold_w, INITIATE_LIMIT_S)


def time_to_deliver(case: _Case) -> Timing:
    """See the module's head."""
    lowest_w = CLEAR_OF_THRESHOLD * case.threshold_w / DELIVERED
    most_w = most_standing(case)
    if not most_w >= lowest_w:
        most = f"{most_w:.0f} W" if np.isfinite(most_w) else "nothing"
        return not_measured(f"{most} is asked for during {DELIVER_LIMIT_S:g} s, {lowest_w:.0f} W are needed")
    timings = []
    for level_w in most_w * LEVELS[most_w * LEVELS >= lowest_w]:
        t0 = stands_from(case, level_w)
        assert t0 is not None  # every level up to most_w stands
        timings.append(reach(case, t0, DELIVERED * level_w, DELIVER_LIMIT_S))
    return max(timings, key=lambda t: (t.failed, t.passed is None, np.nan_to_num(t.value_s), t.level_w))


def stands_from(case: _Case, level_w: float) -> int | None:
    """The first moment from which the formula asks for at least the level during 10 s without a break."""
    above = np.concatenate(([False], case.formula_w >= level_w, [False]))
    starts, stops = np.flatnonzero(~above[:-1] & above[1:]), np.flatnonzero(above[:-1] & ~above[1:])
    t_ns = np.append(case.t_f_ns, case.t_f_ns[-1:])  # the last reading holds no longer than itself
    for start, stop in zip(starts, stops, strict=True):
        if t_ns[stop] - t_ns[start] >= DELIVER_LIMIT_S * 1e9:
            return int(t_ns[start])
    return None


def most_standing(case: _Case) -> float:
    """The largest level that stands; NaN: none does."""
    levels = np.unique(case.formula_w[case.formula_w > 0.0])
    low, high = -1, len(levels) - 1
    while low < high:  # levels[low] stands (or low is -1), nothing above levels[high] does
        middle = (low + high + 1) // 2
        low, high = (middle, high) if stands_from(case, levels[middle]) is not None else (low, middle - 1)
    return float(levels[low]) if low >= 0 else NAN


def reach(case: _Case, t0: int, level_w: float, limit_s: float) -> Timing:
    """From t0 to the power at the level: a time, a failure, or data that end too early to say."""
    t_ideal = first(case.t_ideal_ns, (case.t_ideal_ns >= t0) & (case.ideal_w >= level_w))
    ideal_s = NAN if t_ideal is None else (t_ideal - t0) / 1e9
    t1 = first(case.t_p_ns, (case.t_p_ns >= t0) & (case.answer_w >= level_w))
    if t1 is not None:
        return Timing((t1 - t0) / 1e9, ideal_s, limit_s, level_w, t0, t1, "", failed=False)
    after = case.answer_w[case.t_p_ns >= t0]
    waited_s, wrong_w = (case.t_stop_ns - t0) / 1e9, largest(-after)
    if not len(after):
        why, failed = "no reading of power during the event", True
    elif case.cut_short and waited_s < limit_s and wrong_w < case.threshold_w:
        why, failed = f"the data end {waited_s:.1f} s after the start of the clock", False
    else:
        why, failed = f"never reached {level_w:.0f} W in {waited_s:.1f} s: at most {largest(after):.0f} W", True
        if wrong_w >= case.threshold_w:
            why += f", but {wrong_w:.0f} W in the wrong direction"
    return Timing(NAN, ideal_s, limit_s, level_w, t0, t0, why, failed)


def settle_s(case: _Case, ideal_w: Floats, deliver: Timing, band_w: float) -> float:
    """From the clock of delivery until the power stays within 2 % of rating of the ideal answer to the end."""
    after = case.t_p_ns >= deliver.t_start_ns
    away, t_ns = np.flatnonzero(np.abs(case.answer_w - ideal_w)[after] > band_w), case.t_p_ns[after]
    if not np.isfinite(deliver.value_s) or not len(t_ns) or (len(away) and away[-1] + 1 == len(t_ns)):
        return NAN
    return float((t_ns[away[-1] + 1 if len(away) else 0] - deliver.t_start_ns) / 1e9)


def overshoot_pu(case: _Case) -> float:
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
    period_s = float(np.median(np.diff(rows["t_ns"]) / rows["k"][1:])) / 1e9 if len(rows) > 1 else 0.0
    found = []
    for reason in Reason:
        if reason & NOT_A_LIMIT:
            continue
        steps = int(rows["k"][rows["reasons"] & reason != 0].sum())
        if steps:
            found.append(Held(reason.name or "", REASON_TEXT[reason], steps * period_s))
    return tuple(sorted(found, key=lambda h: -h.seconds))


def first(t_ns: Ints, mask: NDArray[np.bool_]) -> int | None:
    """Time of the first reading for which the mask holds."""
    i = np.flatnonzero(mask)
    return int(t_ns[i[0]]) if len(i) else None


def largest(w: Floats) -> float:
    """The largest finite value, at least 0."""
    return float(np.max(w, initial=0.0, where=np.isfinite(w)))


def not_measured(why: str) -> Timing:
    return Timing(NAN, NAN, NAN, NAN, 0, 0, why, failed=False)
