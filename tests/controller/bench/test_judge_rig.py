"""What a rig does wrong makes a case invalid, with its reason, whatever the unit does; a slow meter costs checks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controller.bench.judge import judge_case
from controller.bench.judgement import CaseJudgement, Verdict
from controller.bench.plan import Case, Crosses, Inside, Observed, Smooth, Step
from controller.bench.record import SAMPLE, CaseRecord, Event
from tests.controller.bench import scenes
from tests.controller.bench.golden import EUT
from tests.controller.bench.records import (
    Change,
    Unit,
    at_once,
    backwards,
    case,
    dropped,
    frozen,
    off,
    read_back,
    record,
    rig_says,
    slow_meter,
    slow_source,
    source_scaled,
    step,
    within,
    without,
)
from tests.controller.bench.scenes import VOLT_VAR, droop, p_of, q_of, settled, tripping

GHI = {n: scenes.VOLTS[n] for n in "ghi"}
OF = scenes.volt_var(GHI)
RIGHT, WRONG = q_of(VOLT_VAR), q_of(VOLT_VAR, -1.0)

SOURCE = "step {}: the source is off: {} ".format
NOT_MEASURED = "step {}: the source is off, for all that is known: {} is not measured".format
FROZEN = "the meter is frozen: {} equal readings {}".format
MISSING = "step {}: samples are missing: {} s without one {} s ".format
SETTING = "setting {}: {} was written, {} was read back".format
# fmt: off
TROUBLE = [
    # change                                 reason begins with                                why
    (source_scaled(1.02),                    SOURCE("g", "v1_v"),                              "2 % off"),
    (off("v1_v", 2.6, "h", 5.0),             SOURCE("h", "v1_v"),                              "0.2 V beyond 1 %"),
    (off("f_hz", 0.015, "i"),                SOURCE("i", "f_hz"),                              "5 mHz beyond 10 mHz"),
    (off("v1_v", 6.0, "h", 0.2, 0.9),        SOURCE("h", "v1_v"),                              "2.5 % off, only early"),
    (frozen("g", 1.0, 30.0),                 FROZEN(580, "although the source moved"),         "V did not move"),
    (frozen("h", 1.0, 30.0, own_time=False), FROZEN(580, "in 29.030 s"),                       "its time stands too"),
    (frozen("i", 5.0, 12.0),                 FROZEN(140, "in 7.000 s"),                        "7 s of the same bits"),
    (dropped("h", 8.0, 8.2),                 MISSING("h", "0.250", "7.950"),                   "four samples"),
    (dropped("h", 0.0, 0.2),                 MISSING("h", "0.200", "0.000"),                   "the first ones"),
    (dropped("h", 19.0, 20.1),               MISSING("h", "0.550", "18.950"),                  "last 1.05 s, 0.5 off"),
    (read_back(volt_var__v1_pu=0.9201),      SETTING("volt_var.v1_pu", 0.92, 0.9201),          "a number differs"),
    (read_back(reactive__mode="watt_var"),   SETTING("reactive.mode", "volt_var", "watt_var"), "a word"),
    (read_back(volt_watt__enable=True),      SETTING("volt_watt.enable", False, True),         "a switch"),
    (read_back(volt_watt__enable=0.0),       SETTING("volt_watt.enable", False, 0.0),          "a number for a switch"),
    (read_back(volt_var__v1_pu=None),        SETTING("volt_var.v1_pu", 0.92, "nothing"),       "a number not there"),
    (read_back(volt_var__q2_pu=None),        SETTING("volt_var.q2_pu", 0.0, "nothing"),        "0 is a number, too"),
    (off("v1_v", np.nan, "h"),               NOT_MEASURED("h", "v1_v"),                        "V not measured at all"),
    (off("f_hz", np.nan, "i", 2.0),          NOT_MEASURED("i", "f_hz"),                        "f lost after 2 s"),
    (without("done"),                        "the case was not run to its end",                "killed"),
    (without("end", "i"),                    "step i was not run to its end",                  "killed in a step"),
    (without("arrived", "h"),                "step h was not run to its end",                  "source never arrived"),
    (backwards("h", 5.0),                    "the meter's time ran backwards",                 "two rows swapped"),
    (rig_says("the source is silent"),       "the rig: the source is silent",                  "the bench's own word"),
]
HARMLESS = [
    # change                                  why
    (source_scaled(1.009),                    "0.9 % off is within 1 %"),
    (off("f_hz", 0.006, "i"),                 "6 mHz and noise are within 10 mHz"),
    (off("v1_v", 20.0, "h", 8.0, 8.1),        "two readings in a row are a spike"),
    (off("v1_v", 20.0, "h", 0.0, 0.08),       "the window of a meter still holds the old voltage"),
    (off("v1_v", 4.0, "h", 0.0, 0.9),         "2 % is the accuracy of the first second"),
    (frozen("i", 5.0, 9.0),                   "4 s without a change"),
    (dropped("h", 8.0, 8.04),                 "one sample: 0.10 s of 0.125 s"),
    (read_back(volt_var__v1_pu=0.92000001),   "resolution of a register"),
    (read_back(volt_watt__enable=None),       "a function that it lacks is off"),
    (slow_meter(4),                           "0.2 s between readings is fast enough for 5 s"),
    (off("f_hz", np.nan, "i", 0.0, 0.9),      "a meter finds the frequency again after a jump of voltage"),
    (off("q_var", np.nan, "h", 12.0, 12.04),  "one value lost: 0.10 s of 0.125 s"),
]
# fmt: on


def judged(of: Case, unit: Unit, change: Change) -> CaseJudgement:
    return judge_case(of, EUT, change(record(of, unit)))


@pytest.mark.parametrize(("change", "reason", "why"), TROUBLE, ids=[c[-1] for c in TROUBLE])
@pytest.mark.parametrize("unit", [RIGHT, WRONG], ids=["right unit", "wrong unit"])
def test_trouble_of_the_rig_is_never_pass_or_fail(change: Change, reason: str, why: str, unit: Unit) -> None:
    found = judged(OF, unit, change)
    assert found.verdict is Verdict.INVALID
    assert [r for r in found.reasons if r.startswith(reason)] == [found.reasons[0]]


@pytest.mark.parametrize(("change", "why"), HARMLESS, ids=[c[-1] for c in HARMLESS])
def test_what_a_rig_may_do(change: Change, why: str) -> None:
    assert judged(OF, RIGHT, change).reasons == ()
    assert judged(OF, WRONG, change).verdict is Verdict.FAIL


def test_record_without_a_reading() -> None:
    found = judged(OF, RIGHT, lambda r: replace(r, samples=np.zeros(0, SAMPLE)))
    assert (found.verdict, found.reasons[0]) == (Verdict.INVALID, "step g: no reading at all")


def test_meter_without_frequency_is_not_observable() -> None:
    of = scenes.frequency({"k": 61.2}, droop(10_000.0))

    def blind(r: CaseRecord) -> CaseRecord:
        r.samples["f_hz"] = np.nan
        return r

    found = judged(of, p_of(droop(10_000.0)), blind)
    assert (found.verdict, found.checks[0].verdict) == (Verdict.INVALID, Verdict.INVALID)
    assert found.reasons == (NOT_MEASURED("k", "f_hz"),)
    assert found.checks[0].reason == "not observable: 0 new readings of f_hz from 10 to 20 s, not 3"


@pytest.mark.parametrize("f_hz", [np.nan, 0.0], ids=["no frequency", "a frequency of 0"])
def test_no_voltage_no_frozen_meter(f_hz: float) -> None:
    """At 0 V there is neither noise nor frequency; 6 s of nothing are no fault."""
    of = case(step("b", Inside("p_w", 0.0, 0.0, 0.5, 6.0), v_v=0.0, hold_s=6.0))

    def dead(r: CaseRecord) -> CaseRecord:
        here = within(r, "b", 0.0, 9.0)
        for name, value in {"v1_v": 0.0, "f_hz": f_hz, "p_w": 0.0, "q_var": 0.0}.items():
            r.samples[name][here] = value
        return r

    assert judged(of, Unit(lambda _: (0.0, 0.0)), dead).verdict is Verdict.PASS


def test_frequency_that_jumps_instead_of_ramping() -> None:
    """60 to 61.2 Hz at 3 Hz/s take 0.4 s."""
    of = scenes.frequency({"k": 61.2}, droop(10_000.0))
    unit = p_of(droop(10_000.0))
    assert judged(of, unit, lambda r: r).verdict is Verdict.PASS
    stepped = replace(of, steps=tuple(replace(s, ramp_hz_s=0.0) for s in of.steps))
    found = judge_case(of, EUT, record(stepped, unit))
    assert found.reasons == ("step k: the source jumped (0.030 s) instead of ramping (at least 0.320 s)",)


# --- a unit that is not there yet ---

IDLE = Unit(lambda _: (0.0, 0.0))
# fmt: off
SET_UPS = [
    # start of the case                        unit   verdict          why
    ({"demand_w": 10_000.0},                   IDLE,  Verdict.INVALID, "its enter service lasts longer"),
    ({"demand_w": -10_000.0},                  IDLE,  Verdict.INVALID, "the same, charging"),
    ({"demand_w": 10_000.0},                   RIGHT, Verdict.PASS,    "at its power"),
    ({"demand_w": 1_000.0},                    IDLE,  Verdict.FAIL,    "so little cannot be told from nothing"),
    ({"demand_w": 10_000.0, "permit": False},  IDLE,  Verdict.FAIL,    "it must not: enter service is what is tested"),
    ({},                                       IDLE,  Verdict.FAIL,    "nothing was asked"),
]
# fmt: on


@pytest.mark.parametrize(("start", "unit", "verdict", "why"), SET_UPS, ids=[s[-1] for s in SET_UPS])
def test_a_unit_that_is_not_in_service_is_not_tested(
    start: dict[str, Any], unit: Unit, verdict: Verdict, why: str
) -> None:
    of = case(*scenes.volt_var({"w": 217.2}).steps)
    found = judged(replace(of, start=replace(of.start, **start)), unit, lambda r: r)
    assert found.verdict is verdict, why
    if verdict is Verdict.INVALID:
        assert found.reasons[0].endswith("W at the end of the set-up, 10000 W were asked: not yet in service?")


# --- values that a meter has not ---

LOST = "step {}: not observable: {} s without {} from {} to {} s".format
TRIP = scenes.trip()
# fmt: off
NOT_SHOWN = [
    # case  unit             lost                                    reason                                why
    (OF,    RIGHT,           off("q_var", np.nan, "h", 12.0, 15.0),  LOST("h", "3.050", "q_var", 10, 20),    "mean"),
    (OF,    RIGHT,           off("q_var", np.nan, "h", 16.0, 99.0),  LOST("h", "4.050", "q_var", 10, 20),    "end"),
    (TRIP,  tripping(0.5),   off("p_w", np.nan, "hold", 0.0, 1.0),   LOST("hold", "1.000", "p_w", 0, 3),     "begin"),
    (TRIP,  tripping(0.5),   off("p_w", np.nan, "trip", 1.0, 1.1),   LOST("trip", "0.120", "p_w", 0, 3),     "every"),
]
# fmt: on


@pytest.mark.parametrize(("of", "unit", "lost", "reason", "why"), NOT_SHOWN, ids=[c[-1] for c in NOT_SHOWN])
def test_what_the_meter_could_not_show_is_not_judged_without_it(
    of: Case, unit: Unit, lost: Change, reason: str, why: str
) -> None:
    """A power beyond the meter's range reads as nothing: the rest of the window is no verdict."""
    found = judged(of, unit, lost)
    assert (found.verdict, found.reasons[:1]) == (Verdict.INVALID, (reason,)), why


# --- a slow meter ---


def slow(*criteria: object, hold_s: float = 3.0, sample_s: float = 0.02) -> Step:
    return step("trip", *criteria, hold_s=hold_s, sample_s=sample_s)  # type: ignore[arg-type]  # a table's row


SMOOTH = "not observable: 0.100 s without a reading, in which a ramp looks like a jump: 0.05 s at most"
BLIND = "not observable: 0.100 s without a new reading of the meter, 0.05 s is the most"
FEW_IN_T_R = "not observable: 5 new readings within 5 s, 8 are needed"
FEW_IN_MEAN = "not observable: 2 new readings of p_w from 0 to 3 s, not 3"
VOLT_VAR_H = step("h", *settled("q_var", VOLT_VAR), v_v=248.4)
ANY_POWER = Inside("p_w", 0.0, 20_000.0, 0.0, 3.0)
# fmt: off
SLOW = [
    # step                            every  reason       why
    (VOLT_VAR_H,                      20,    FEW_IN_T_R,  "T_r 5 s, a reading a second"),
    (slow(ANY_POWER),                 75,    FEW_IN_MEAN, "two readings are no mean"),
    (slow(Smooth("p_w", 2000.0)),     5,     SMOOTH,      "a ramp within a refresh"),
    (slow(Observed(0.05), ANY_POWER), 5,     BLIND,       "an excursion of 0.05 s"),
]
# fmt: on


@pytest.mark.parametrize(("one", "every", "reason", "why"), SLOW, ids=[c[-1] for c in SLOW])
def test_slow_meter_costs_what_it_cannot_show(one: Step, every: int, reason: str, why: str) -> None:
    of = case(one)
    unit = q_of(VOLT_VAR)
    assert judged(of, unit, lambda r: r).verdict is Verdict.PASS  # the same with a meter that is fast enough
    found = judged(of, unit, slow_meter(every))
    assert found.verdict is Verdict.INVALID
    assert found.reasons[-1] == f"step {one.name}: {reason}"
    if any(isinstance(c, Observed) for c in one.criteria):
        assert {c.verdict for c in found.checks} == {Verdict.INVALID}


def test_slow_meter_leaves_a_limit_between_two_readings() -> None:
    """Gone after 1.9 s, seen after 2.4 s, 2 s are allowed: it may have been either."""
    of, unit = scenes.trip(), tripping(1.9)
    assert judged(of, unit, lambda r: r).verdict is Verdict.PASS
    found = judged(of, unit, slow_meter(40))
    assert found.verdict is Verdict.INVALID
    assert "the meter is too slow to tell" in found.reasons[-1]


def test_a_clear_failure_beside_a_step_that_cannot_be_seen() -> None:
    """One step is too fast for the meter, one fails in plain sight: its check says so, the case is of a bad rig."""
    of = case(step("a", Crosses("p_w", 1.0, False, 0.0, 0.2), hold_s=1.0), *scenes.volt_var({"w": 217.2}).steps)
    found = judged(of, Unit(lambda _: (1e4, 0.0)), slow_meter(20))
    assert {c.step: c.verdict for c in found.checks if c.kind != "response"} == {
        "a": Verdict.INVALID, "w": Verdict.FAIL}  # fmt: skip
    assert found.verdict is Verdict.INVALID
    assert found.reasons[0].startswith("step a: ")


def test_step_left_too_early_is_not_judged() -> None:
    """A hold of 15 s where the window ends at 20 s."""
    taken = record(OF, RIGHT)
    short = [replace(e, t_ns=e.t_ns - 5 * 10**9) if is_end(e, "h") else e for e in taken.events]
    found = judge_case(OF, EUT, replace(taken, events=tuple(short)))
    assert found.verdict is Verdict.INVALID
    assert found.reasons == tuple(
        ["step h: not observable: the step was left after 15.000 s, before its window's end at 20 s"] * 2
    )


def is_end(event: Event, name: str) -> bool:
    return event.kind == "end" and event.data["name"] == name


def test_a_slow_meter_is_not_a_frozen_one() -> None:
    """A reading every 6 s: equal rows for longer than 5 s, not for 20 refreshes."""
    found = judged(OF, RIGHT, slow_meter(120))
    assert found.verdict is Verdict.INVALID
    assert not [r for r in found.reasons if "frozen" in r]


def test_a_meter_may_lag_by_five_cycles() -> None:
    """Its window still holds the old voltage: 83 ms, four readings of 20 ms. Six of them are trouble."""
    of = case(slow(ANY_POWER))
    assert judged(of, RIGHT, off("v1_v", 20.0, "trip", 0.0, 0.09)).reasons == ()
    assert judged(of, RIGHT, off("v1_v", 20.0, "trip", 0.0, 0.15)).reasons[0].startswith(SOURCE("trip", "v1_v"))


# --- a slow source ---

HALF, FULL = (
    case(step("h", *settled("q_var", VOLT_VAR, 1.0), v_v=v, hold_s=4.0, sample_s=0.01)) for v in (228.0, 217.2)
)
CEASES = case(step("b", Inside("p_w", 0.0, 0.0, 0.5, 3.0, magnitude=True), hold_s=3.0, sample_s=0.02))


def gone_after(seconds: float) -> Unit:
    return Unit(lambda s: (0.0 if s.name == "b" else 10_000.0, 0.0), shape=at_once(seconds))


# fmt: off
SOURCES = [
    # case           unit                           took_s  verdict          why
    (scenes.trip(),  tripping(1.9),                 0.05,   Verdict.PASS,    "1.9 to 1.97 s, 2.05 s are allowed"),
    (scenes.trip(),  tripping(1.9),                 0.20,   Verdict.INVALID, "up to 2.12 s, had it moved at once"),
    (scenes.trip(),  tripping(2.2),                 0.20,   Verdict.FAIL,    "too late, whenever it moved"),
    (HALF,           q_of(VOLT_VAR, t_r_s=1.0),     0.10,   Verdict.PASS,    "T_r 1 s: 90 or 87 % of 2200 var"),
    (HALF,           q_of(VOLT_VAR, t_r_s=2.5),     0.40,   Verdict.INVALID, "60 % after 1 s, 42 % after 0.6 s"),
    (CEASES,         gone_after(0.3),               0.10,   Verdict.PASS,    "0.3 to 0.4 s, 0.5 s are allowed"),
    (CEASES,         gone_after(0.45),              0.10,   Verdict.INVALID, "0.45 to 0.55 s"),
    (CEASES,         gone_after(0.6),               0.10,   Verdict.FAIL,    "0.6 s at least"),
    (FULL,           q_of(VOLT_VAR, t_r_s=3.0),     0.10,   Verdict.FAIL,    "54 or 50 % of 4400 var: both too late"),
]
# fmt: on


@pytest.mark.parametrize(("of", "unit", "took_s", "verdict", "why"), SOURCES, ids=[s[-1] for s in SOURCES])
def test_a_source_that_takes_its_time_shifts_no_verdict(
    of: Case, unit: Unit, took_s: float, verdict: Verdict, why: str
) -> None:
    """Time 0 is its acknowledgement; it may have moved as early as its order."""
    found = judged(of, unit, slow_source(took_s))
    assert found.verdict is verdict, (why, found.reasons, [c.reason for c in found.checks])
