"""A step's criteria with their numbers, and how often it must be sampled for them.

Errors   ExpandError's words come from expand.py; here ExpressionError only, with the step's place in front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args, get_type_hints

from controller.bench.expression import ExpressionError
from controller.bench.plan import Criterion, Crosses, Curve, Inside, Observed, Response, Smooth, Steady
from controller.bench.procedure import CriterionText

BY_KIND: dict[str, Any] = {get_args(get_type_hints(c)["kind"])[0]: c for c in get_args(Criterion)}
FINEST_S, COARSEST_S = 0.01, 1.0
TIMES = ("to_s", "final_to_s", "not_after_s", "t_r_s")  # all of them must lie in the step


def criteria_of(
    texts: Iterable[CriterionText],
    symbols: Mapping[str, float],
    curve: Callable[[str], Curve],
    latest: Mapping[str, str],
    where: str,
    hold_s: float,
) -> tuple[Criterion, ...]:
    """Those that apply. latest: {step of the file: its name when it was last run}, for Inside.before.

    A criterion that compares with what was before a step does not apply until that step has been run.
    """
    found: list[Criterion] = []
    for text in texts:
        if text.when and not text.when.truth(symbols):
            continue
        values: dict[str, Any] = {name: round(e.value(symbols), 9) + 0.0 for name, e in text.numbers.items()}
        values |= text.words
        if text.kind == "steady":
            values["lowest_of"] = tuple(curve(name) for name in values["lowest_of"])
        if values.get("before"):
            if values["before"] not in latest:
                continue
            values["before"] = latest[values["before"]]
        late = {name: values[name] for name in TIMES if values.get(name, 0.0) > hold_s + 1e-9}
        for name, value in late.items():
            raise ExpressionError(f"{where}: {text.kind} {name} = {value:g} s is after the step's end, {hold_s:g} s")
        found.append(BY_KIND[text.kind](**values))
    return tuple(found)


def sample_s(criteria: Iterable[Criterion], hold_s: float) -> float:
    """1 % of the shortest time that is judged in the step, at least 10 ms and at most 1 s (1547.1: 1 % of T_r)."""
    judged = min((time_of(c) for c in criteria), default=hold_s)
    return min(max(round(judged / 100.0, 6), FINEST_S), COARSEST_S)


def time_of(criterion: Criterion) -> float:
    """The time that a criterion is about."""
    match criterion:
        case Response(t_r_s=time):
            return time
        case Crosses(not_before_s=early, not_after_s=late):
            return early if early > 0.0 else late
        case Steady(from_s=begin, to_s=end):
            return end - begin
        case Inside(from_s=begin, to_s=end):
            return min(begin, end - begin) if begin > 0.0 else end - begin
        case Observed(every_s=every):
            return every
        case Smooth():
            return COARSEST_S * 100.0
