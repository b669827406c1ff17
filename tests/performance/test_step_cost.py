"""The series of the step's cost exercises the step, and a contestant that disagrees is named. Nothing is timed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cython_core import bulk
from cython_core.records import Reason, State, StepRecord
from tests.performance.step_cost import (
    OUTPUTS,
    QUICK_STEPS,
    Series,
    beyond_1_percent,
    differs,
    everything,
    inputs,
    one_at_a_time,
    ours,
    shared,
    wave,
)

ALL, BOTH = everything(QUICK_STEPS), shared(QUICK_STEPS)


class Wrong:
    """The compiled step itself, one record at a time, wrong from one step on."""

    def __init__(self, from_step: int, **wrong: Any) -> None:
        self.core, self.from_step, self.wrong = ALL.core(), from_step, wrong

    def step(self, *arguments: Any) -> StepRecord:
        record = self.core.step(*arguments)
        return replace(record, **self.wrong) if record.n >= self.from_step else record


def outputs_of(contestant: Any) -> list[Any]:
    answers: list[Any] = contestant.outputs(contestant.start()())
    return answers


# fmt: off
ACTS = [
    # series  reason                 share  why
    (ALL,     Reason.DROOP,          0.4,   "two excursions of 1.5 s in 5 s, and the dead band"),
    (ALL,     Reason.VOLT_VAR,       0.4,   "7 % to either side of a dead band of 2 %"),
    (ALL,     Reason.INERTIA,        0.4,   "frequency moves half of the time"),
    (ALL,     Reason.FAST_RESPONSE,  0.2,   "1 s after 59.75 Hz"),
    (ALL,     Reason.RAMP,           0.2,   "the wish changes its sign"),
    (ALL,     Reason.ENTER_RAMP,     0.1,   "1 s at the beginning"),
    (ALL,     Reason.SITE_IMPORT,    0.1,   "5 kW"),
    (ALL,     Reason.SITE_FUSE,      0.1,   "25 A and a house that draws 3 kW at times"),
    (BOTH,    Reason.DROOP,          0.4,   "the same frequency"),
    (BOTH,    Reason.VOLT_VAR,       0.4,   "the same voltage"),
]
# fmt: on


@pytest.mark.parametrize(("series", "reason", "share", "why"), ACTS, ids=[f"{c[1].name}-{c[3]}" for c in ACTS])
def test_each_function_acts_in_a_good_part_of_the_series(
    series: Series, reason: Reason, share: float, why: str
) -> None:
    assert sum(bool(r.reasons & reason) for r in series.records) >= share * QUICK_STEPS


@pytest.mark.parametrize(("series", "sides"), [(ALL, (-1.0, 1.0)), (BOTH, (1.0,))], ids=["all", "both have"])
def test_the_series_stays_in_service_on_both_sides_of_zero(series: Series, sides: tuple[float, ...]) -> None:
    assert {r.state for r in series.records} <= {int(State.IN_SERVICE), int(State.ENTERING)}
    assert all(max(r.p_cmd_w * side for r in series.records) > 2000.0 for side in sides)
    assert all(max(r.q_cmd_var * side for r in series.records) > 1000.0 for side in (-1.0, 1.0))


@pytest.mark.parametrize(("i", "expected"), [(0, 0.0), (25, 2.0), (50, 0.0), (75, -2.0), (100, 0.0)])
def test_wave(i: int, expected: float) -> None:
    assert wave(i, 100, 2.0) == pytest.approx(expected, abs=1e-12)


def test_inputs_come_back_from_a_record() -> None:
    core = ALL.core()
    again = [core.step(*inputs(record)) for record in ALL.records]
    assert bulk.stack(again).tobytes() == bulk.stack(ALL.records).tobytes()


@pytest.mark.parametrize("series", [ALL, BOTH], ids=["all", "both have"])
def test_ours_is_the_compiled_step(series: Series) -> None:
    expected = [tuple(getattr(r, field) for field in OUTPUTS) for r in series.records]
    assert outputs_of(ours(series)) == expected
    assert outputs_of(one_at_a_time("step by step", series.core, series)) == expected


# fmt: off
WRONGS = [
    # from  wrong                    exact                     within 1 %                why
    (500,   {},                      "",                       "",                       "the same"),
    (17,    {"reasons": 1},          "step 17: reasons = 1,",  "",                       "reasons: only exact"),
    (17,    {"state": 9},            "step 17: state = 9,",    "",                       "state: only exact"),
    (40,    {"q_cmd_var": 1e5},      "step 40: q_cmd_var",     "step 40: q_cmd_var",     "far too much Q"),
    (0,     {"p_cmd_w": 1e5},        "step 0: p_cmd_w",        "step 0: p_cmd_w",        "from the first step on"),
    (3,     {"p_cmd_w": float("nan")}, "step 3: p_cmd_w",      "step 3: p_cmd_w",        "no number is never near"),
]
# fmt: on


@pytest.mark.parametrize(("since", "wrong", "exact", "near", "why"), WRONGS, ids=[c[-1] for c in WRONGS])
def test_the_first_difference_is_named(since: int, wrong: dict[str, Any], exact: str, near: str, why: str) -> None:
    us = outputs_of(ours(ALL))
    theirs = outputs_of(one_at_a_time("wrong", lambda: Wrong(since, **wrong), ALL))
    for got, expected in ((differs(theirs, us), exact), (beyond_1_percent(theirs, us), near)):
        assert got.startswith(expected) if expected else got == "", why


@pytest.mark.parametrize(("by_w", "near"), [(99.9, True), (100.1, False)])
def test_near_is_1_percent_of_s(by_w: float, near: bool) -> None:
    """10 kVA: 100 W."""
    us = [(1000.0, 0.0, 2, 0)]
    assert (beyond_1_percent([(1000.0 + by_w, 0.0, 2, 0)], us) == "") == near
