"""Does the inverter do what it is told? Another master's set-point, a wrong scale, a wrong sign.

Rule     product. Too much: beyond five times the commanded power and 10 % of rated; or 10 % the wrong way. Told after
         the window (10 s), and then stopped by the ramp until the unit has left service. Too little (a fifth to a
         twentieth of at least a quarter of rated power): told. A set-point 2 % of rated off everything commanded
         lately: another master's.
Pencil   10 kW out, 8 kW in; steps of 100 ms; no mismatch is seen before 10 s.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from cython_core.records import NAN, Reason
from tests.cython_core.unit import QUICK, Unit, reasons

PERIOD_S = 0.1
ON = {"mismatch_after_s": 10.0}
BITS = Reason.POWER_MISMATCH | Reason.OVERWRITTEN


def commanded(p_w: float, meter_p_w: float = NAN, **groups: Any) -> Unit:
    """In service for 30 s with this power, and obedient so far."""
    all_groups = {"limits": QUICK, "freq_droop": {"enable": False}, "fail_safe": ON, **groups}
    unit = Unit(PERIOD_S, p_w, **all_groups)
    unit.advance(30.0, meter_p_w=meter_p_w)
    assert unit.last.p_cmd_w == p_w
    assert not reasons(unit.last) & BITS
    return unit


MISMATCH, STOPPED = "told", "stopped"
# fmt: off
POWERS = [
    # told W   inverter   meter W   answer     why
    (1000.0,   1000.0,    NAN,      "",        "as told"),
    (1000.0,   5900.0,    NAN,      "",        "5 x 1000 + 10 % of 10 kW is 6000"),
    (1000.0,   6100.0,    NAN,      STOPPED,   "beyond that: a scale of ten, cut by the rating"),
    (1000.0,   -700.0,    NAN,      "",        "10 % of 8 kW the other way: a car that heats itself"),
    (1000.0,   -900.0,    NAN,      STOPPED,   "the wrong way round"),
    (-700.0,   -4200.0,   NAN,      "",        "5 x 700 + 10 % of 8 kW is 4300"),
    (-700.0,   -7000.0,   NAN,      STOPPED,   "ten times the charging that was asked for"),
    (-4000.0,  4000.0,    NAN,      STOPPED,   "it discharges when told to charge"),
    (0.0,      900.0,     NAN,      "",        "less than 10 % is at rest"),
    (0.0,      1100.0,    NAN,      STOPPED,   "power that nobody asked for"),
    (5000.0,   500.0,     NAN,      MISMATCH,  "a tenth: a scale, but a car may taper so: only told"),
    (5000.0,   1100.0,    NAN,      "",        "more than a fifth"),
    (5000.0,   0.0,       NAN,      "",        "nothing at all is a refusal, not a scale"),
    (2000.0,   200.0,     NAN,      "",        "below a quarter of rated power a tenth is lost among losses"),
    (1000.0,   1000.0,    9000.0,   STOPPED,   "both scales of the inverter are wrong: only the meter sees it"),
    (1000.0,   1000.0,    1000.0,   "",        "both agree"),
    (1000.0,   math.inf,  NAN,      "",        "what is not finite is no power"),
]
# fmt: on


@pytest.mark.parametrize(("told_w", "device_w", "meter_w", "answer", "why"), POWERS, ids=[row[-1] for row in POWERS])
def test_power_unlike_the_command(told_w: float, device_w: float, meter_w: float, answer: str, why: str) -> None:
    unit = commanded(told_w)
    unit.advance(9.9, said={"p_w": device_w}, meter_p_w=meter_w)
    assert Reason.POWER_MISMATCH not in reasons(unit.last), "a whole window first"
    unit.advance(1.0)
    assert (Reason.POWER_MISMATCH in reasons(unit.last)) == (answer != ""), why
    unit.advance(9.0)
    assert unit.last.p_cmd_w == (0.0 if answer == STOPPED else told_w)


def test_the_stop_goes_by_the_ramp_and_stays_until_the_unit_has_left_service() -> None:
    unit = commanded(1000.0, limits={"ramp_pu_s": 0.01})  # 10 W in a step
    unit.advance(30.0, said={"p_w": 9000.0})
    assert unit.last.p_cmd_w == 0.0
    assert unit.largest_step_w(since=301) == pytest.approx(10.0)
    unit.advance(60.0, said={"p_w": 0.0})
    assert unit.last.p_cmd_w == 0.0, "0 W fits 0 W, and yet it is not over"
    assert Reason.POWER_MISMATCH in reasons(unit.last)
    unit.advance(1.0, permit=0)
    unit.advance(20.0, permit=1, said={})
    assert unit.last.p_cmd_w > 0.0
    assert Reason.POWER_MISMATCH not in reasons(unit.last)


@pytest.mark.parametrize("seconds", [0.3, 2.0, 9.0])
def test_an_answer_that_lags_is_no_mismatch(seconds: float) -> None:
    unit = commanded(5000.0)
    unit.wish(-5000.0)
    unit.advance(seconds, said={"p_w": 5000.0})
    unit.advance(60.0, said={"p_w": -5000.0})
    assert not any(r.reasons & Reason.POWER_MISMATCH for r in unit.records)


def test_off() -> None:
    unit = commanded(0.0, fail_safe={"mismatch_after_s": 0.0})
    unit.advance(60.0, said={"p_w": 9000.0, "p_set_readback_w": 5000.0})
    assert not reasons(unit.last) & BITS


def test_a_meter_of_the_whole_house_says_nothing_of_the_inverter() -> None:
    unit = commanded(1000.0, 0.0, site_limits={"enable": True, "import_w": 1e5, "export_w": 1e5})
    unit.advance(60.0, meter_p_w=9000.0, said={"p_w": 1000.0})
    assert Reason.POWER_MISMATCH not in reasons(unit.last)


# fmt: off
SET_POINTS = [
    # told W   read back   foreign   why
    (1000.0,   1000.0,     False,    "ours"),
    (1000.0,   1150.0,     False,    "2 % of 10 kW: a quantum, a rounding"),
    (1000.0,   1250.0,     True,     "somebody else's"),
    (1000.0,   -1000.0,    True,     "somebody charges"),
    (-3000.0,  0.0,        True,     "somebody has set it to 0"),
]
# fmt: on


@pytest.mark.parametrize(("told_w", "read_w", "foreign", "why"), SET_POINTS, ids=[row[-1] for row in SET_POINTS])
def test_another_masters_set_point(told_w: float, read_w: float, foreign: bool, why: str) -> None:
    unit = commanded(told_w)
    unit.step(said={"p_set_readback_w": read_w, "p_w": told_w})
    assert Reason.OVERWRITTEN not in reasons(unit.last), "one reading may be a glitch"
    unit.step()
    assert (Reason.OVERWRITTEN in reasons(unit.last)) == foreign, why
    assert unit.last.p_cmd_w == told_w, "an alarm: ours is written again at its refresh"
    unit.step(said={"p_set_readback_w": told_w, "p_w": told_w})
    assert Reason.OVERWRITTEN not in reasons(unit.last)


def test_what_was_commanded_a_moment_ago_is_ours() -> None:
    unit = commanded(5000.0)
    unit.wish(-5000.0)
    unit.advance(8.0, said={"p_set_readback_w": 4000.0, "p_w": -5000.0})
    assert Reason.OVERWRITTEN not in reasons(unit.last)


def test_before_our_first_acknowledged_write_it_is_nobodys() -> None:
    unit = Unit(PERIOD_S, wish_w=1000.0, fail_safe=ON)
    unit.advance(30.0, echoes=False, said={"p_set_readback_w": 7000.0, "p_w": 0.0})
    assert Reason.OVERWRITTEN not in reasons(unit.last)
