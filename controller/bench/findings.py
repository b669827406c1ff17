"""Each criterion of a step -> one Check, with the standard's accuracies and with the bench's own.

Pure. Each criterion's meaning stands in plan.py; what the record cannot show raises UnseenError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from controller.bench.accuracy import ENGINEERING, STANDARD, Accuracy
from controller.bench.judgement import Check, Verdict, Window
from controller.bench.plan import Criterion, Eut, Inside, Observed, Response, Smooth, Steady
from controller.bench.rule import allowed, at_response_time, side, window
from controller.bench.seen import GAP_SAMPLES, Floats, Seen, UnseenError, last_before, mean_before, mean_over, part
from controller.bench.wording import against, sign_of, told, unit_of

READINGS_IN_T_R = 8  # fewer, and the value at t_r is more the meter's than the unit's


def finding(seen: Seen, rule: Criterion, reason: str, standard: Window | None, engineering: Window | None) -> Check:
    """The standard's window alone decides; None: there was nothing to judge."""
    verdict = Verdict.SKIPPED if standard is None else Verdict.PASS if standard.passed else Verdict.FAIL
    quantity = getattr(rule, "y", "")
    return Check(seen.step.name, rule.kind, quantity, verdict, reason, standard=standard, engineering=engineering)


def steady(rule: Steady, seen: Seen, eut: Eut) -> Check:
    y = mean_over(seen, eut, rule.y, rule.from_s, rule.to_s)
    at = {axis: mean_over(seen, eut, axis, rule.from_s, rule.to_s) for axis in {c.x for c in rule.lowest_of}}
    rules = [allowed(rule.lowest_of, at, eut, rule.y, exact) for exact in (STANDARD, ENGINEERING)]
    standard, engineering = (window(a.low, a.high, rule.bound, y) for a in rules)
    axis, x, target, unit = rules[0].axis, rules[0].x, rules[0].target, unit_of(rule.y)
    reason = (
        f"{against(sign_of(rule.y), y, unit, standard)} at {sign_of(axis)} {told(x, unit_of(axis))}: the curve says "
        f"{told(target, unit)}"
    )
    found = finding(seen, rule, reason, standard, engineering)
    return replace(found, x=x, x_unit=unit_of(axis), y=y, y_unit=unit, target=target)


def response(rule: Response, seen: Seen, eut: Eut) -> Check:
    y0 = last_before(seen, eut, rule.y)
    yf = mean_over(seen, eut, rule.y, rule.final_from_s, rule.final_to_s)
    y, unit, sign = at_time(rule, seen, eut), unit_of(rule.y), sign_of(rule.y)
    both = [response_window(rule, eut, y0, yf, y, exact) for exact in (STANDARD, ENGINEERING)]
    change = f"from {told(y0, unit)} to {told(yf, unit)}"
    if both[0] is None:
        reason = f"{sign} went {change}: too little to tell a response time with the standard's accuracy"
        both[0] = both[1] and Window(None, None, passed=True)
    else:
        reason = f"{against(sign, y, unit, both[0])} after {told(rule.t_r_s, 's')}, 90 % of the way {change}"
        early = response_window(rule, eut, y0, yf, at_time(rule, seen, eut, seen.source_s), STANDARD)
        if early and early.passed != both[0].passed:
            raise UnseenError(f"{reason}: not so {told(seen.source_s, 's')} earlier, when the source may have moved")
    target = y0 + 0.9 * (yf - y0)
    return replace(finding(seen, rule, reason, both[0], both[1]), y=y, y_unit=unit, target=target, t_s=rule.t_r_s)


def response_window(rule: Response, eut: Eut, y0: float, yf: float, y: float, exact: Accuracy) -> Window | None:
    """None: the change is smaller than what y is known to."""
    if abs(yf - y0) <= exact.margin(eut, rule.y):
        return None
    return window(*at_response_time(y0, yf, rule.t_r_s, eut, rule.y, exact), side(y0, yf, rule.bound), y)


def at_time(rule: Response, seen: Seen, eut: Eut, earlier_s: float = 0.0) -> float:
    """The value at t_r or so much earlier, between the two readings beside it."""
    t_s, y = part(seen, eut, rule.y, 0.0, rule.final_to_s)
    within = int(np.count_nonzero(t_s <= rule.t_r_s + 1e-9))
    if within < READINGS_IN_T_R:
        raise UnseenError(f"{within} new readings within {told(rule.t_r_s, 's')}, {READINGS_IN_T_R} are needed")
    return float(np.interp(rule.t_r_s - earlier_s, t_s, y))


def inside(rule: Inside, seen: Seen, eut: Eut, every: Mapping[str, Seen]) -> Check:
    t_s, y = shown(rule, seen, eut, rule.from_s)
    share = mean_before(every, rule.before, eut, rule.y) if rule.before else 1.0
    low, high = (x * share if np.isfinite(x) else x for x in (rule.low, rule.high))
    worst = int(np.argmax(np.maximum(y - high, low - y)))
    at_worst = float(y[worst])
    gives = [exact.margin(eut, rule.y) if rule.accuracy else 0.0 for exact in (STANDARD, ENGINEERING)]
    standard, engineering = (open_ended(window(low - give, high + give, "both", at_worst)) for give in gives)
    unit = unit_of(rule.y)
    reason = f"{against(named(rule), at_worst, unit, standard)} {told(t_s[worst], 's')} after arrival"
    if rule.before:
        reason += f"; before step {rule.before} it was {told(share, unit)}"
    early = shown(rule, seen, eut, max(rule.from_s - seen.source_s, 0.0))[1] if seen.source_s else y
    if standard.passed and ((early < low - gives[0]) | (early > high + gives[0])).any():
        raise UnseenError(f"{reason}: not so {told(seen.source_s, 's')} earlier, when the source may have moved")
    return replace(finding(seen, rule, reason, standard, engineering), y=at_worst, y_unit=unit, t_s=float(t_s[worst]))


def shown(rule: Inside, seen: Seen, eut: Eut, from_s: float) -> tuple[Floats, Floats]:
    """(t_s, y or its magnitude) from then to the end of the window."""
    t_s, y = part(seen, eut, rule.y, from_s, rule.to_s)
    return t_s, np.abs(y) if rule.magnitude else y


def named(rule: Inside) -> str:
    return f"|{sign_of(rule.y)}|" if rule.magnitude else sign_of(rule.y)


def open_ended(w: Window) -> Window:
    """An infinite limit is none."""
    low, high = (x if x is not None and np.isfinite(x) else None for x in (w.low, w.high))
    return Window(low, high, w.passed)


def smooth(rule: Smooth, seen: Seen, eut: Eut) -> Check:
    every_s, most_s = seen.most_apart_s(), GAP_SAMPLES * seen.step.sample_s
    if every_s > most_s:
        raise UnseenError(f"{every_s:.3f} s without a reading, in which a ramp looks like a jump: {most_s:g} s at most")
    t_s, y = part(seen, eut, rule.y, 0.0, seen.held_s)
    jumps = np.abs(np.diff(y))
    worst, unit = int(np.argmax(jumps)), unit_of(rule.y)
    limits = [rule.most + exact.margin(eut, rule.y) for exact in (STANDARD, ENGINEERING)]
    standard, engineering = (Window(None, limit, bool(jumps[worst] <= limit)) for limit in limits)
    at_s, jump = float(t_s[worst + 1]), float(jumps[worst])
    change = against(f"the largest change of {sign_of(rule.y)}", jump, unit, standard)
    reason = f"{change}, {told(at_s, 's')} after arrival"
    return replace(finding(seen, rule, reason, standard, engineering), y=jump, y_unit=unit, t_s=at_s)


def observed(rule: Observed, seen: Seen) -> Check:
    every_s = seen.most_apart_s()
    if every_s > rule.every_s + 1e-6:
        raise UnseenError(f"{every_s:.3f} s without a new reading of the meter, {rule.every_s:g} s is the most")
    limit = Window(None, rule.every_s, passed=True)
    reason = f"new readings at least every {told(every_s, 's')}"
    return replace(finding(seen, rule, reason, limit, limit), y=every_s, y_unit="s")
