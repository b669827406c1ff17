"""When a quantity passes a level: trips, cessation, starts, ramps that end. One Check, with both accuracies.

The meter knows only that it happened between two of its readings, the source only that it moved between its order and
its acknowledgement. All times inside the limits: pass; all outside: fail; a limit between them: it cannot be told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from controller.bench.accuracy import ENGINEERING, STANDARD, Accuracy
from controller.bench.findings import finding
from controller.bench.judgement import Check, Window
from controller.bench.plan import Crosses, Eut
from controller.bench.seen import Seen, UnseenError, last_before, part
from controller.bench.wording import sign_of, told, unit_of


@dataclass(frozen=True, slots=True)
class Passed:
    """It happened after after_s and not later than by_s, after the source had moved."""

    after_s: float
    by_s: float


def crosses(rule: Crosses, seen: Seen, eut: Eut) -> Check:
    t_s, y = part(seen, eut, rule.y, 0.0, seen.held_s)
    above, what = np.abs(y) > rule.level, f"|{sign_of(rule.y)}|"
    level, limits = told(rule.level, unit_of(rule.y)), [time_limits(rule, eut, e) for e in (STANDARD, ENGINEERING)]
    missed = [Window(*limit, passed=False) for limit in limits]
    if rule.falling and abs(last_before(seen, eut, rule.y)) <= rule.level:
        return finding(seen, rule, f"{what} was below {level} already before the step", *missed)
    met = crossing(t_s, above, rule.falling)
    if met is None and seen.held_s < limits[0][1]:
        raise UnseenError(f"the step was left after {told(seen.held_s, 's')}, {told(limits[0][1], 's')} are allowed")
    if met is None:
        way = "stayed below" if rule.falling else "rose above"
        return finding(seen, rule, f"{what} never {way} {level} in the {seen.held_s:g} s of the step", *missed)
    at_s = met.after_s if rule.falling else met.by_s  # the last instant that current flowed; the first that it does
    found = Passed(met.after_s, met.by_s + seen.source_s)
    standard, engineering = (Window(*limit, passed=keeps(found, *limit)) for limit in limits)
    reason = (
        f"{what} {'fell below' if rule.falling else 'rose above'} {level} between {told(found.after_s, 's')} and "
        f"{told(found.by_s, 's')} after arrival, allowed {told(limits[0][0], 's')} to {told(limits[0][1], 's')}"
    )
    if standard.passed and not surely(found, *limits[0]):
        slower = "source" if seen.source_s > met.by_s - met.after_s else "meter"
        raise UnseenError(f"{reason}: the {slower} is too slow to tell")
    return replace(finding(seen, rule, reason, standard, engineering), y=at_s, y_unit="s", t_s=at_s)


def time_limits(rule: Crosses, eut: Eut, exact: Accuracy) -> tuple[float, float]:
    """(earliest, latest) s after arrival, with what the clock of the measurement is known to."""
    early, late = rule.not_before_s, rule.not_after_s
    return max(early - exact.time_margin_s(eut, early), 0.0), late + exact.time_margin_s(eut, late)


def crossing(t_s: np.ndarray, above: np.ndarray, falling: bool) -> Passed | None:
    """falling: for good; else the first time. None: it never did."""
    if falling:
        last = int(np.flatnonzero(above)[-1]) if above.any() else -1
        first = last + 1
    else:
        first = int(np.argmax(above)) if above.any() else len(above)
        last = first - 1
    if first == len(above):
        return None
    return Passed(float(t_s[last]) if last >= 0 else 0.0, float(t_s[first]))


def keeps(found: Passed, early_s: float, late_s: float) -> bool:
    """False: it was surely too early or too late."""
    return found.by_s >= early_s and found.after_s <= late_s


def surely(found: Passed, early_s: float, late_s: float) -> bool:
    return found.after_s >= early_s and found.by_s <= late_s
