"""One check after another: what was measured against its limit, with the reason in words.

A check passes, fails, or was not judged (passed None): then the reason says why.

Stated tolerances
  droop slope   10 % of the set droop, each side, from answers of at least 1 % of rating
  dead band     5 mHz + the resolution of the frequency readings (never more than 10 mHz of it)
  offset        5 % of rating, power against command before an event (accuracy of P, IEEE 1547-2018 Table 3)
Times and their limits: timing.py; slope: slope.py; the rest: evidence.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from controller.response.evidence import Comparison, Deadlines, Gaps
from controller.response.measure import EventResponse
from controller.response.slope import SideFit
from controller.response.timing import Timing

NAN = float("nan")
SLOPE_TOLERANCE_PCT = 10.0
DEAD_BAND_TOLERANCE_MHZ = 5.0
SMALLEST_DIRECTION_PU = 0.002  # below it drift can look like an answer
SMALLEST_ANSWER_PU = 0.01  # below it the inverter's own steps bend the slope
OFFSET_TOLERANCE_PCT = 5.0
GAP_LIMIT_S = 2.0
SIDE_TEXT = {1: "over-frequency", -1: "under-frequency"}
Rule = Literal["at most", "above", "reported"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the verdict. passed None: not judged. rule 'reported': never decides."""

    name: str
    value: float
    unit: str
    limit: float
    passed: bool | None
    reason: str
    rule: Rule = "at most"

    @property
    def margin(self) -> float:
        """How far the value is from its limit, in the check's unit; negative: beyond it."""
        return {"at most": self.limit - self.value, "above": self.value - self.limit, "reported": NAN}[self.rule]


def timing_check(name: str, events: Sequence[EventResponse], timings: Sequence[Timing]) -> Check:
    """The worst event decides: a failed one, else the one nearest to its limit."""
    if not events:
        return Check(name, NAN, "s", NAN, None, "no event: frequency never stayed outside the dead band")
    judged = [(e, t) for e, t in zip(events, timings, strict=True) if t.passed is not None]
    if not judged:
        return Check(name, NAN, "s", NAN, None, f"{_count(len(events), 'event')}, none measurable: {timings[0].why}")
    event, worst = max(judged, key=lambda et: (et[1].failed, et[1].value_s - et[1].limit_s))
    start_n = event.event.n_start
    if worst.failed:
        return Check(name, worst.value_s, "s", worst.limit_s, False, f"event at step {start_n}: {worst.why}")
    reason = f"worst of {_count(len(judged), 'event')}, at step {start_n}, to {worst.level_w:.0f} W"
    reason += f"; the ideal answer needs {worst.ideal_s:.2f} s"
    if len(judged) < len(events):
        reason += f"; {_count(len(events) - len(judged), 'event')} too small or cut short to judge"
    return Check(name, worst.value_s, "s", worst.limit_s, worst.passed, reason)


def side_checks(fit: SideFit, resolution_hz: float, rating_w: float) -> list[Check]:
    """Sign, slope and dead band of one side."""
    side = SIDE_TEXT[fit.side]
    if not fit.events:
        why = "not exercised: frequency never stayed outside the dead band on this side"
        return [Check(f"Direction, droop, dead band: {side}", NAN, "", NAN, None, why)]
    small = ""
    if fit.largest_w < SMALLEST_ANSWER_PU * rating_w:
        small = f"answers up to {fit.largest_w:.0f} W are below 1 % of rating, too small to tell"
    return [
        _sign(fit, side, rating_w),
        _slope(fit, side, fit.why or small),
        _dead_band(fit, side, resolution_hz, fit.why or small),
    ]


def _sign(fit: SideFit, side: str, rating_w: float) -> Check:
    name = f"Direction, {side}"
    drowned = fit.largest_w < SMALLEST_DIRECTION_PU * rating_w or not abs(fit.gain) > 3.0 * fit.gain_se
    if fit.why or drowned:
        return Check(name, fit.gain, "x", 0.0, None, fit.why or _blurred(fit), "above")
    if fit.gain > 0.0:
        return Check(name, fit.gain, "x", 0.0, True, f"power answers with {fit.gain:.2f} x the formula", "above")
    reason = f"power moves the wrong way: {fit.gain:+.2f} x the formula's answer"
    return Check(name, fit.gain, "x", 0.0, False, reason, "above")


def _slope(fit: SideFit, side: str, why: str) -> Check:
    name, limit = f"Droop, {side}", SLOPE_TOLERANCE_PCT
    if why:
        return Check(name, NAN, "%", limit, None, why)
    off_pct = 100.0 * abs(1.0 / fit.gain - 1.0) if fit.gain else math.inf
    passed = _clearly(abs(1.0 - fit.gain) * 100.0, 200.0 * fit.gain_se, limit) and off_pct <= limit
    if passed is None:
        return Check(name, NAN, "%", limit, None, _blurred(fit))
    reason = f"k {fit.k_measured:.4f} measured, {fit.k_set:.4f} set, from {fit.readings} readings"
    if not passed:
        reason += f": the answer is {fit.gain:.2f} x the formula's"
    return Check(name, off_pct, "%", limit, passed, reason)


def _dead_band(fit: SideFit, side: str, resolution_hz: float, why: str) -> Check:
    name, limit = f"Dead band, {side}", DEAD_BAND_TOLERANCE_MHZ + 1e3 * resolution_hz
    if why:
        return Check(name, NAN, "mHz", limit, None, why)
    off_mhz, known_mhz = 1e3 * abs(fit.db_measured_hz - fit.db_set_hz), 2e3 * fit.db_se_hz
    passed = _clearly(off_mhz, known_mhz, limit)
    if passed is None:
        known = f"to ±{known_mhz:.1f} mHz" if math.isfinite(known_mhz) else "not at all"
        reason = f"frequencies {1e3 * fit.span_hz:.0f} mHz apart fix it {known}; {limit:.1f} mHz are needed"
        return Check(name, NAN, "mHz", limit, None, reason)
    reason = f"{1e3 * fit.db_measured_hz:.1f} mHz measured, {1e3 * fit.db_set_hz:.1f} mHz set"
    return Check(name, off_mhz, "mHz", limit, passed, reason)


def _clearly(off: float, uncertainty: float, limit: float) -> bool | None:
    """Inside or outside the limit; None: the uncertainty (two standard errors) does not let us say."""
    if off <= limit and uncertainty <= limit:
        return True
    return False if off - uncertainty > limit else None


def _blurred(fit: SideFit) -> str:
    known = f"{fit.gain:.2f} ± {2.0 * fit.gain_se:.2f} x the formula"
    return f"answers up to {fit.largest_w:.0f} W drown in the noise: {known}"


def power_checks(power_from: str) -> list[Check]:
    """Only a complaint: without readings of power nothing else means anything."""
    if power_from != "nobody":
        return []
    why = "neither the meter at the inverter nor the inverter itself gave readings of power"
    return [Check("Readings of power", 0.0, "", 0.0, False, why, "above")]


def offset_check(events: Sequence[EventResponse], rating_w: float) -> Check:
    name = "Power against command before an event"
    known = [e for e in events if math.isfinite(e.offset_w)]
    if not known:
        return Check(name, NAN, "%", OFFSET_TOLERANCE_PCT, None, "no calm readings of power before an event")
    worst = max(known, key=lambda e: abs(e.offset_w))
    off_pct = 100.0 * abs(worst.offset_w) / rating_w
    reason = f"{worst.offset_w:+.0f} W at step {worst.event.n_start}; share of rating"
    return Check(name, off_pct, "%", OFFSET_TOLERANCE_PCT, off_pct <= OFFSET_TOLERANCE_PCT, reason)


def comparison_check(name: str, c: Comparison) -> Check:
    if not c.compared:
        return Check(name, NAN, "W", c.limit_w, False, "not one step with a fresh frequency")
    reason = f"{c.compared} steps compared, {c.answering} of them outside the dead band"
    if c.excused:
        reason += f"; {c.excused} waiting or out of service"
    if c.passed_over:
        reason += f"; {c.passed_over} with late or no frequency passed over"
    if c.wrong:
        reason = f"{c.wrong} of {c.compared} steps differ, most at step {c.worst_n}"
    return Check(name, c.worst_w, "W", c.limit_w, c.wrong == 0, reason)


def telemetry_checks(gaps: Gaps | None) -> list[Check]:
    names = ("Longest telemetry gap, by source time", "Longest telemetry gap, by arrival")
    if gaps is None:
        return [Check(n, NAN, "s", GAP_LIMIT_S, None, "no store was given") for n in names]
    rows = ((gaps.by_source_s, gaps.by_source_at_s), (gaps.by_arrival_s, gaps.by_arrival_at_s))
    if not gaps.frames:
        none = "no telemetry: not one live frame of this run is in the store"
        return [Check(n, gap, "s", GAP_LIMIT_S, False, none) for n, (gap, _) in zip(names, rows, strict=True)]
    reason = f"of {_count(gaps.frames, 'live frame')}, from {{:.1f}} s after the start"
    return [
        Check(n, gap, "s", GAP_LIMIT_S, gap <= GAP_LIMIT_S, reason.format(at))
        for n, (gap, at) in zip(names, rows, strict=True)
    ]


def deadline_checks(d: Deadlines) -> list[Check]:
    late = f"p99 {d.lateness_p99_us:.0f} µs, largest {d.lateness_max_us:.0f} µs, period {d.period_ms:g} ms"
    holes = f"{d.steps} steps recorded" + (f", {d.missing} numbers absent between them" if d.missing else "")
    return [
        Check("Step numbers absent from the record", d.missing, "", 0.0, d.missing == 0, holes),
        Check("Lateness of the steps, median", d.lateness_p50_us, "µs", NAN, None, late, "reported"),
        Check("Grid points skipped", d.skipped, "", NAN, None, "reported, never deciding", "reported"),
    ]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
