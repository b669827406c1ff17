"""The two times of an event, and when their clocks start.

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

from controller.response.formula import Floats, Ints, remaining

NAN = float("nan")
INITIATE_LIMIT_S = 2.0
DELIVER_LIMIT_S = 10.0
LAG_SHARE_S = 1.0  # of the 2 s: what the set lag alone may take
LEVELS = np.linspace(0.05, 1.0, 20)
DELIVERED = 0.9
CLEAR_OF_THRESHOLD = 1.5
BEGAN_BEFORE = "the event began before the data do"


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
class Case:
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
    began_before: bool  # the data start inside the event: when the formula first asked is not known


def time_to_initiate(case: Case, t_response_s: float) -> Timing:
    """See the module's head."""
    if case.began_before:
        return not_measured(BEGAN_BEFORE)
    most_w, peak_w = largest(case.formula_w), largest(case.ideal_w)
    clock_w = case.threshold_w / (1.0 - float(remaining(LAG_SHARE_S, t_response_s)))
    t0 = first(case.t_f_ns, case.formula_w >= clock_w)
    if t0 is None:
        return not_measured(f"formula and limits ask for {most_w:.0f} W at most, the clock needs {clock_w:.0f} W")
    if peak_w < CLEAR_OF_THRESHOLD * case.threshold_w:
        return not_measured(f"short: the ideal answer reaches {peak_w:.0f} W, too close to the threshold")
    return reach(case, t0, case.threshold_w, INITIATE_LIMIT_S)


def time_to_deliver(case: Case) -> Timing:
    """See the module's head."""
    if case.began_before:
        return not_measured(BEGAN_BEFORE)
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


def stands_from(case: Case, level_w: float) -> int | None:
    """The first moment from which the formula asks for at least the level during 10 s without a break."""
    above = np.concatenate(([False], case.formula_w >= level_w, [False]))
    starts, stops = np.flatnonzero(~above[:-1] & above[1:]), np.flatnonzero(above[:-1] & ~above[1:])
    t_ns = np.append(case.t_f_ns, case.t_f_ns[-1:])  # the last reading holds no longer than itself
    for start, stop in zip(starts, stops, strict=True):
        if t_ns[stop] - t_ns[start] >= DELIVER_LIMIT_S * 1e9:
            return int(t_ns[start])
    return None


def most_standing(case: Case) -> float:
    """The largest level that stands; NaN: none does."""
    levels = np.unique(case.formula_w[case.formula_w > 0.0])
    low, high = -1, len(levels) - 1
    while low < high:  # levels[low] stands (or low is -1), nothing above levels[high] does
        middle = (low + high + 1) // 2
        low, high = (middle, high) if stands_from(case, levels[middle]) is not None else (low, middle - 1)
    return float(levels[low]) if low >= 0 else NAN


def reach(case: Case, t0: int, level_w: float, limit_s: float) -> Timing:
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


def first(t_ns: Ints, mask: NDArray[np.bool_]) -> int | None:
    """Time of the first reading for which the mask holds."""
    i = np.flatnonzero(mask)
    return int(t_ns[i[0]]) if len(i) else None


def largest(w: Floats) -> float:
    """The largest finite value, at least 0."""
    return float(np.max(w, initial=0.0, where=np.isfinite(w)))


def not_measured(why: str) -> Timing:
    return Timing(NAN, NAN, NAN, NAN, 0, 0, why, failed=False)
