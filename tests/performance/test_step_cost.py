"""The series of the step's cost exercises the step, and a contestant that disagrees is named. Nothing is timed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cython_core import bulk
from cython_core.records import Reason, State, StepRecord
from cython_core.step import Core
from tests.cython_core.unit import settings
from tests.performance.step_cost import (
    OUTPUTS,
    PERIOD_S,
    QUICK_STEPS,
    SETTINGS,
    beyond_1_percent,
    differs,
    inputs,
    one_at_a_time,
    ours,
    series,
    wave,
)

RECORDS = series(QUICK_STEPS)


def fresh_core() -> Core:
    return Core(settings(**SETTINGS), PERIOD_S)


class Wrong:
    """The compiled step itself, one record at a time, wrong from one step on."""

    def __init__(self, from_step: int, **wrong: Any) -> None:
        self.core, self.from_step, self.wrong = fresh_core(), from_step, wrong

    def step(self, *arguments: Any) -> StepRecord:
        record = self.core.step(*arguments)
        return replace(record, **self.wrong) if record.n >= self.from_step else record


def outputs_of(contestant: Any) -> list[Any]:
    answers: list[Any] = contestant.outputs(contestant.start()())
    return answers


@pytest.mark.parametrize("reason", [Reason.DROOP, Reason.VOLT_VAR, Reason.ACTIVE_LIMIT, Reason.RAMP])
def test_each_function_acts_in_a_good_part_of_the_series(reason: Reason) -> None:
    assert sum(bool(r.reasons & reason) for r in RECORDS) >= 0.1 * QUICK_STEPS


def test_the_series_is_in_service_and_has_both_signs() -> None:
    assert {r.state for r in RECORDS} == {int(State.IN_SERVICE)}
    assert min(r.p_cmd_w for r in RECORDS) < -1000.0
    assert max(r.p_cmd_w for r in RECORDS) > 1000.0
    assert min(r.q_cmd_var for r in RECORDS) < -1000.0
    assert max(r.q_cmd_var for r in RECORDS) > 1000.0


@pytest.mark.parametrize(("i", "expected"), [(0, 0.0), (25, 2.0), (50, 0.0), (75, -2.0), (100, 0.0)])
def test_wave(i: int, expected: float) -> None:
    assert wave(i, 100, 2.0) == pytest.approx(expected, abs=1e-12)


def test_inputs_come_back_from_a_record() -> None:
    core = fresh_core()
    again = [core.step(*inputs(record)) for record in RECORDS]
    assert bulk.stack(again).tobytes() == bulk.stack(RECORDS).tobytes()


def test_ours_is_the_compiled_step() -> None:
    expected = [tuple(getattr(r, field) for field in OUTPUTS) for r in RECORDS]
    assert outputs_of(ours(RECORDS)) == expected
    assert outputs_of(one_at_a_time("step by step", fresh_core, RECORDS)) == expected


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
    us = outputs_of(ours(RECORDS))
    theirs = outputs_of(one_at_a_time("wrong", lambda: Wrong(since, **wrong), RECORDS))
    for got, expected in ((differs(theirs, us), exact), (beyond_1_percent(theirs, us), near)):
        assert got.startswith(expected) if expected else got == "", why


@pytest.mark.parametrize(("by_w", "near"), [(99.9, True), (100.1, False)])
def test_near_is_1_percent_of_s(by_w: float, near: bool) -> None:
    """10 kVA: 100 W."""
    us = [(1000.0, 0.0, 2, 0)]
    assert (beyond_1_percent([(1000.0 + by_w, 0.0, 2, 0)], us) == "") == near
