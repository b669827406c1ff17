"""The verdict: passes what is right, fails each fault for its own reason, and never passes in silence."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from controller.response.checks import Check
from controller.response.evidence import telemetry_gaps
from controller.response.judge import Verdict, judge, to_json
from cython_core.records import Freshness, State
from tests.controller.response.synthetic import GB_LIKE, Fault, Plant, frames, info, run, step_to

NOTHING = np.empty((0, 2))


def judged(plant: Plant, frames_ms: NDArray[np.float64] | None = None) -> Verdict:
    rows = run(plant)
    return judge(rows, info(plant), frames(rows) if frames_ms is None else frames_ms)


def named(v: Verdict, start: str) -> Check:
    return next(c for c in v.checks if c.name.startswith(start))


def event(**fault: float) -> Plant:
    return Plant(GB_LIKE, seconds=120.0, fault=Fault(**fault))


def test_a_right_run_passes() -> None:
    v = judged(event(lag_s=0.4, quantum_w=10.0))
    assert v.passed, v.summary
    assert [c.name for c in v.not_judged] == ["Direction, droop, dead band: over-frequency"]
    assert "1 of" in v.summary


# fmt: off
FAULTS = [
    # fault                       the check that must fail           and say
    ({"plant_sign": -1.0},        "Direction, under-frequency",      "wrong way: -1.00 x"),
    ({"plant_sign": -1.0},        "Time to initiate",                "in the wrong direction"),
    ({"plant_sign": -1.0},        "Power against command",           "+2801 W"),
    ({"core_gain": -1.0},         "Core's droop",                    "steps differ"),
    ({"core_gain": -1.0},         "Direction, under-frequency",      "wrong way: -1.00 x"),
    ({"core_gain": 1.001},        "Core's droop",                    "steps differ"),
    ({"gain": 0.5},               "Droop, under-frequency",          "k 0.100"),
    ({"gain": 0.5},               "Time to deliver",                 "never reached"),
    ({"gain": 0.0},               "Droop, under-frequency",          "0.00 x"),
    ({"gain": 1.3},               "Droop, under-frequency",          "1.30 x"),
    ({"late_s": 3.0},             "Time to initiate",                "worst of 1 event"),
    ({"delay_s": 2.5},            "Time to initiate",                "worst of 1 event"),
    ({"db_off_hz": 0.015},        "Dead band, under-frequency",      "36.0 mHz set"),
    ({"offset_w": 500.0},         "Power against command",           "share of rating"),
]
# fmt: on


@pytest.mark.parametrize(("fault", "name", "says"), FAULTS, ids=[f"{c[0]} {c[1]}" for c in FAULTS])
def test_each_fault_fails_for_its_reason(fault: dict[str, float], name: str, says: str) -> None:
    v = judged(event(**fault))
    check = named(v, name)
    assert not v.passed
    assert check.passed is False
    assert says in check.reason
    assert check.name.lower() in v.summary


def test_a_late_meter_breaks_two_seconds_and_nothing_else() -> None:
    v = judged(event(late_s=3.0))
    assert [c.name for c in v.failed] == ["Time to initiate"]
    assert 3.0 < v.failed[0].value < 4.0
    assert v.failed[0].limit == 2.0


def test_no_telemetry_fails_with_that_reason() -> None:
    v = judged(event(), NOTHING)
    assert not v.passed
    assert {c.name for c in v.failed} == {
        "Longest telemetry gap, by source time",
        "Longest telemetry gap, by arrival",
    }
    assert all("no telemetry" in c.reason for c in v.failed)


def test_no_store_is_named_not_passed() -> None:
    rows, plant = run(event()), event()
    v = judge(rows, info(plant), None)
    assert v.passed
    assert sum("telemetry" in c.name for c in v.not_judged) == 2


# fmt: off
GAPS = [
    # source s                 arrival s                  by source  by arrival  why
    ([1, 2, 3, 4, 5],          [1, 2, 3, 4, 5],           1.0,       1.0,        "one a second; head and tail of 1 s"),
    ([3, 4, 5],                [3, 4, 5],                 3.0,       3.0,        "the head counts"),
    ([1, 2],                   [1, 2],                    4.0,       4.0,        "the tail counts"),
    ([1, 2, 3, 4, 5],          [1, 5, 5, 5, 5],           1.0,       4.0,        "stored late: only arrival shows it"),
    ([5, 1, 3, 2, 4],          [5, 1, 3, 2, 4],           1.0,       1.0,        "order does not matter"),
    ([-9, 9],                  [-9, 9],                   6.0,       6.0,        "frames of another run bound nothing"),
]
# fmt: on


@pytest.mark.parametrize(("source", "arrival", "by_source", "by_arrival", "why"), GAPS, ids=[c[4] for c in GAPS])
def test_gaps(source: list[float], arrival: list[float], by_source: float, by_arrival: float, why: str) -> None:
    start = 1_700_000_000_000.0
    ms = start + 1e3 * np.column_stack([source, arrival])
    gaps = telemetry_gaps(ms, start, start + 6e3)
    assert (gaps.by_source_s, gaps.by_arrival_s) == (by_source, by_arrival), why


def test_a_calm_run_passes_and_names_what_it_could_not_judge() -> None:
    v = judged(Plant(lambda t: 60.0 + 0.02 * math.sin(t)))
    assert v.passed
    assert named(v, "Core's droop").passed is True
    assert named(v, "Time to initiate").reason.startswith("no event")
    assert {c.name for c in v.not_judged} >= {"Time to initiate", "Time to deliver"}


def test_small_events_judge_the_direction_alone() -> None:
    """+-45 mHz: 9 mHz outside ask for 21 W of 7 kW."""
    v = judged(Plant(lambda t: 60.0 + 0.045 * math.sin(t / 5.0), seconds=120.0))
    assert v.passed
    assert named(v, "Direction, under-frequency").passed is True
    assert "too small to tell" in named(v, "Droop, under-frequency").reason


def test_one_frequency_outside_cannot_tell_the_dead_band() -> None:
    check = named(judged(Plant(step_to(59.5))), "Dead band, under-frequency")
    assert check.passed is None
    assert "not at all" in check.reason


def test_a_wrong_sample_is_found_among_thousands() -> None:
    plant = event()
    rows = run(plant)
    rows["dp_target_w"][3000] += 1e-3
    check = named(judge(rows, info(plant), frames(rows)), "Core's droop")
    assert check.passed is False
    assert "1 of" in check.reason
    assert "step 3000" in check.reason


def test_a_wrong_lag_is_found() -> None:
    plant = event()
    rows = run(plant)
    rows["dp_w"][3000] += 1e-3
    assert named(judge(rows, info(plant), frames(rows)), "Core's lag").passed is False


def test_an_answer_that_is_missing_without_a_reason_is_wrong() -> None:
    plant = event()
    rows = run(plant)
    rows["dp_target_w"][3000] = 0.0
    assert named(judge(rows, info(plant), frames(rows)), "Core's droop").passed is False


def test_held_frequency_is_passed_over_and_counted() -> None:
    plant = event()
    rows = run(plant)
    rows["fresh_f"][3000:3010], rows["dp_target_w"][3000:3010] = Freshness.HELD, 1.0
    check = named(judge(rows, info(plant), frames(rows)), "Core's droop")
    assert check.passed is True
    assert "10 with late or no frequency" in check.reason


# fmt: off
NOTHING_TO_JUDGE = [
    ("m_valid", 0,                "Core's droop",       "not one step"),
    ("m_valid", 1,                "Readings of power",  "neither the meter"),
    ("fresh_f", Freshness.STALE,  "Core's droop",       "not one step"),
]
# fmt: on


@pytest.mark.parametrize(("field", "value", "name", "says"), NOTHING_TO_JUDGE)
def test_missing_inputs_fail(field: str, value: int, name: str, says: str) -> None:
    plant = event()
    rows = run(plant)
    rows[field] = value
    if field == "m_valid" and value == 0:
        rows["f_hz"] = np.nan
    v = judge(rows, info(plant), frames(rows))
    assert not v.passed
    assert says in named(v, name).reason


def test_out_of_service_asks_for_nothing() -> None:
    plant = event()
    rows = run(plant)
    rows["state"], rows["dp_target_w"], rows["dp_w"], rows["reasons"] = State.OFF, 0.0, 0.0, 0
    check = named(judge(rows, info(plant), frames(rows)), "Core's droop")
    assert "out of service" in check.reason


def test_holes_in_the_numbering_fail_and_lateness_never_does() -> None:
    plant = event()
    rows = run(plant)
    rows["lateness_ns"] = 10**9
    assert judge(rows, info(plant), frames(rows)).passed
    v = judge(np.delete(rows, slice(100, 103)), info(plant), frames(rows))
    assert named(v, "Step numbers absent").value == 3
    assert not v.passed


def test_json_is_plain_and_has_no_nan() -> None:
    plain = to_json(judged(Plant(lambda _: 60.0)))
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text)["passed"] is True
    assert plain["checks"][0] == {
        "name": "Time to initiate", "value": None, "unit": "s", "limit": None, "passed": None, "rule": "at most",
        "reason": "no event: frequency never stayed outside the dead band", "margin": None,
    }  # fmt: skip
