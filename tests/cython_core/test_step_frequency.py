"""Stage 4, frequency: what droop starts from, what it may not pass, and what waits while it answers.

10 kW. Over and under differ on purpose: 60.34 Hz is 0.30 / (60 x 0.05) = 0.1 pu = 1000 W less, 59.74 Hz is
0.24 / (60 x 0.04) = 1000 W more. Where DEFAULT stands: (|f - 60| - 0.036) / 3 pu.
"""

from __future__ import annotations

from typing import Any

import pytest

from cython_core.records import NAN, Reason, Session, Stop
from tests.cython_core.unit import QUICK, Unit, reasons, running

UNEQUAL = {"db_of_hz": 0.04, "k_of": 0.05, "db_uf_hz": 0.02, "k_uf": 0.04, "t_response_s": 5.0}
DEFAULT: dict[str, float] = {}
FAST = {**UNEQUAL, "t_response_s": 0.2}
FULL, EMPTY = 0.95, 0.20

# fmt: off
STATIC = [
    # droop    wish_w    f_hz    p_w        why
    (UNEQUAL,   5000.0,  60.04,   5000.0,   "the upper edge belongs to the dead band"),
    (UNEQUAL,   5000.0,  59.98,   5000.0,   "the lower edge belongs to the dead band"),
    (UNEQUAL,   5000.0,  60.34,   4000.0,   "over: discharges less"),
    (UNEQUAL,   5000.0,  59.74,   6000.0,   "under: discharges more"),
    (UNEQUAL,  -5000.0,  60.34,  -6000.0,   "over: charges more, in pu of the rated power, not of the charge rating"),
    (UNEQUAL,  -5000.0,  59.74,  -4000.0,   "under: charges less"),
    (UNEQUAL,    500.0,  60.34,   -500.0,   "over: turns to charging"),
    (UNEQUAL,   -500.0,  59.74,    500.0,   "under: turns to discharging"),
    (UNEQUAL,      0.0,  60.34,  -1000.0,   "from rest"),
    (UNEQUAL,   5000.0,  62.00,  -1533.3,   "1.96 / 3 = 0.6533 pu"),
    (UNEQUAL,   9500.0,  59.74,  10000.0,   "never above the rating"),
    (UNEQUAL,  -7500.0,  60.34,  -8000.0,   "never below the charge rating"),
    (UNEQUAL,   8000.0,  49.00,  10000.0,   "10.98 Hz under"),
    (DEFAULT,      0.0,  60.05,    -46.7,   "the dead band is subtracted: no jump at its edge"),
    (DEFAULT,      0.0,  59.00,   3213.3,   "worked example of the standard"),
    (DEFAULT,      0.0,  61.00,  -3213.3,   "and its mirror: storage charges"),
]
BOUND = [
    # wish_w    inputs                                  f_hz   p_w       why
    (5000.0,    {"ap_limit": 0.0},                      59.0,  3213.3,   "a limit of 0 does not bind droop"),
    (9000.0,    {"ap_limit": 0.5},                      59.36, 7013.3,   "limited to half: 0.5 + 0.2013 pu"),
    (5000.0,    {"ap_limit": 0.0},                      61.0, -3213.3,   "limit 0 and over: charges"),
    (5000.0,    {"soc": EMPTY},                         59.0,     0.0,   "an empty battery gives nothing"),
    (-5000.0,   {"soc": EMPTY},                         59.0, -1786.7,   "but charges less"),
    (0.0,       {"soc": FULL},                          61.0,     0.0,   "a full battery takes nothing"),
    (5000.0,    {"soc": FULL},                          61.0,  1786.7,   "but gives less"),
    (0.0,       {"soc": NAN},                           59.0,     0.0,   "an unknown battery is not discharged"),
    (0.0,       {"said": {"p_max_discharge_w": 900.0}}, 59.0,   900.0,   "the inverter's limit"),
    (0.0,       {"said": {"p_max_charge_w": 800.0}},    61.0,  -800.0,   "the inverter's limit, charging"),
    (0.0,       {"said": {"s_max_va": 700.0}},          59.0,   700.0,   "its apparent power"),
    (0.0,       {"session": Session.UNPLUGGED},         59.0,     0.0,   "no car"),
    (0.0,       {"stop": Stop.RAMP},                    59.0,     0.0,   "stopped"),
    (0.0,       {"stop": Stop.EMERGENCY},               59.0,     0.0,   "emergency stop"),
    (0.0,       {"permit": 0},                          59.0,     0.0,   "no permit"),
]
# fmt: on


@pytest.mark.parametrize(("droop", "wish_w", "f_hz", "p_w", "why"), STATIC, ids=[c[-1] for c in STATIC])
def test_static_answer(droop: dict[str, float], wish_w: float, f_hz: float, p_w: float, why: str) -> None:
    record = running(wish_w, freq_droop=droop).coast(60.0, f_hz=f_hz)
    assert record.p_cmd_w == pytest.approx(p_w, abs=0.1), why
    assert record.p_pre_w == pytest.approx(wish_w)
    inside = p_w == wish_w
    assert bool(reasons(record) & Reason.DROOP) == (not inside)
    limited = p_w != pytest.approx(wish_w + record.dp_target_w, abs=0.1)
    assert bool(reasons(record) & Reason.DROOP_LIMITED) == limited


@pytest.mark.parametrize(("wish_w", "inputs", "f_hz", "p_w", "why"), BOUND, ids=[c[-1] for c in BOUND])
@pytest.mark.parametrize("when", ["before", "in the event"])
def test_what_binds_droop(wish_w: float, inputs: dict[str, Any], f_hz: float, p_w: float, why: str, when: str) -> None:
    unit = running(wish_w)
    if when == "before":
        unit.coast(20.0, **inputs)
    unit.coast(60.0, f_hz=f_hz)
    record = unit.coast(20.0, **inputs)
    if when == "in the event" and "ap_limit" in inputs:  # frozen: what the unit gave before
        p_w += wish_w - (5000.0 if inputs["ap_limit"] == 0.5 else 0.0)
        p_w = min(p_w, 10000.0)
    assert record.p_cmd_w == pytest.approx(p_w, abs=0.2), why


def test_switched_off_it_says_nothing() -> None:
    record = running(5000.0, freq_droop={"enable": False}).coast(30.0, f_hz=59.0)
    assert (record.p_cmd_w, record.dp_target_w, reasons(record) & Reason.DROOP) == (5000.0, 0.0, 0)


# --- in time ---

# fmt: off
IN_TIME = [
    # t_s   p_w: 6000 - 1546.7 (1 - 10 ** (-t / 5))   why
    (1.0,   5429.2,   "10 ** -0.2 is left of the change"),
    (5.0,   4608.0,   "90 % after the open-loop response time"),
    (10.0,  4468.8,   "99 %"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "p_w", "why"), IN_TIME, ids=[c[-1] for c in IN_TIME])
@pytest.mark.parametrize("k", [1, 5])
def test_step_of_frequency(t_s: float, p_w: float, why: str, k: int) -> None:
    """60 -> 60.5 Hz; the first reading waits 0.1 s for the second, and that wait is part of the response time."""
    unit = running(6000.0)
    unit.advance(0.1, f_hz=60.5)
    assert unit.last.p_cmd_w == 6000.0
    assert reasons(unit.last) & Reason.DROOP_WAITING
    for _ in range((round(t_s * 100) - 10) // k):
        unit.step(k=k)
    assert unit.last.p_cmd_w == pytest.approx(p_w, abs=0.1), why


def test_back_inside_a_tenth_is_left_after_the_response_time() -> None:
    unit = running(5000.0, freq_droop=UNEQUAL)
    unit.coast(60.0, f_hz=60.34)
    record = unit.advance(5.0, f_hz=60.0)
    assert record.p_cmd_w == pytest.approx(4900.0, abs=0.1)
    assert not reasons(record) & Reason.DROOP


# fmt: off
QUALIFIES = [
    # readings outside at (s)        opens  why
    ((0.0,),                         False, "one reading: a phase jump makes one"),
    ((0.0, 0.05),                    False, "two readings of one refresh of 0.1 s"),
    ((0.0, 0.1),                     True,  "two refreshes"),
    ((0.0, 0.05, 0.1),               True,  "three, 0.1 s apart in all"),
    ((0.0, 0.25),                    True,  "a slow meter"),
]
# fmt: on


@pytest.mark.parametrize(("readings", "opens", "why"), QUALIFIES, ids=[c[-1] for c in QUALIFIES])
def test_two_distinct_refreshes_open_an_event(readings: tuple[float, ...], opens: bool, why: str) -> None:
    unit = running(5000.0, freq_droop=UNEQUAL)
    start = unit.t_ns
    for i in range(30):
        due = any(unit.t_ns - start == round(at * 1e9) for at in readings)
        unit.advance(0.01, silence="" if due or i == 0 else "meter", f_hz=60.34)
    assert bool(reasons(unit.last) & Reason.DROOP) == opens, why


def test_waiting_never_takes_longer_than_the_response_time() -> None:
    unit = running(5000.0, freq_droop=FAST)
    unit.step(f_hz=60.34)
    assert not reasons(unit.advance(0.19, silence="meter")) & Reason.DROOP
    assert reasons(unit.advance(0.01, silence="meter")) & Reason.DROOP  # 0.2 s: on one reading, still fresh


# --- p_pre ---


def test_glitches_do_not_ratchet() -> None:
    """Latching the measured output took 0.155 pu to 0.707 pu after four glitches of 0.1 s."""
    unit = running(1550.0, freq_droop={"t_response_s": 0.2, "refresh_s": 0.05})
    start = len(unit.records)
    for _ in range(4):
        record = unit.advance(0.1, f_hz=59.0)
        assert reasons(record) & Reason.DROOP  # long enough to qualify
        assert record.p_pre_w == pytest.approx(1550.0)
        unit.advance(0.1, f_hz=60.0)
    assert {round(r.p_pre_w, 6) for r in unit.records[start:]} == {1550.0}
    assert max(unit.powers(start)) < 1550.0 + 3213.4  # 0.4763 pu, whatever comes
    assert unit.advance(2.0).p_cmd_w == pytest.approx(1550.0, abs=1e-3)


def test_short_glitches_move_nothing() -> None:
    unit = running(1550.0, freq_droop={"t_response_s": 0.2})
    start = len(unit.records)
    for _ in range(4):
        unit.advance(0.1, f_hz=59.0)
        unit.advance(0.1, f_hz=60.0)
    assert set(unit.powers(start)) == {1550.0}


def test_p_pre_is_the_wish_on_its_ramp_not_its_end() -> None:
    unit = running(0.0)
    unit.wish(6000.0)
    unit.advance(1.0)
    record = unit.advance(60.0, f_hz=60.3)
    assert record.p_pre_w == pytest.approx(2000.0 + 11 * 20.0, abs=20.1)  # 1.1 s at 2000 W/s
    assert record.p_cmd_w == pytest.approx(record.p_pre_w - 880.0, abs=0.1)


def test_a_new_wish_waits_for_the_end_of_the_event() -> None:
    unit = running(5000.0, freq_droop=UNEQUAL)
    unit.coast(60.0, f_hz=60.34)
    unit.wish(-5000.0)
    record = unit.coast(20.0)
    assert (record.p_wish_w, record.p_pre_w) == pytest.approx((-5000.0, 5000.0))
    assert record.p_cmd_w == pytest.approx(4000.0, abs=0.1)
    start = len(unit.records)
    record = unit.advance(1.01, f_hz=60.0)  # the step that sees the end still holds p_pre
    assert record.p_pre_w == pytest.approx(5000.0 - 2000.0)  # the ramp leads from there
    assert unit.coast(20.0).p_cmd_w == pytest.approx(-5000.0, abs=1.0)
    assert unit.largest_step_w(since=start) < 1000.0


def test_p_pre_stays_through_the_whole_event() -> None:
    unit = running(5000.0, freq_droop=UNEQUAL)
    start = len(unit.records)
    for f_hz in (60.34, 61.0, 60.05, 62.0, 60.34):
        unit.coast(20.0, f_hz=f_hz)
    assert unit.last.p_cmd_w == pytest.approx(4000.0, abs=1.0)
    assert {round(r.p_pre_w, 6) for r in unit.records[start:]} == {5000.0}


@pytest.mark.parametrize("k", [1, 20])
def test_crossing_the_dead_band_in_one_step(k: int) -> None:
    unit = running(5000.0, freq_droop=UNEQUAL)
    unit.coast(60.0, f_hz=60.34)
    start = len(unit.records)
    record = unit.step(k=k, f_hz=59.74)
    assert not reasons(record) & Reason.DROOP  # the old event is over at once
    assert reasons(record) & Reason.DROOP_WAITING  # the new one is qualified like any other
    record = unit.coast(60.0)
    assert (record.p_pre_w, record.p_cmd_w) == pytest.approx((5000.0, 6000.0), abs=0.1)
    assert {round(r.p_pre_w, 6) for r in unit.records[start:]} == {5000.0}  # never the drooped output


def test_a_wish_that_waited_is_where_a_crossing_goes_on_from() -> None:
    """Between the two events the ramp has 0.1 s to follow the wish."""
    unit = running(5000.0, freq_droop=UNEQUAL)
    unit.coast(30.0, f_hz=60.34)
    unit.wish(0.0)
    unit.coast(30.0)
    record = unit.advance(1.0, f_hz=59.74)
    assert record.p_pre_w == pytest.approx(5000.0 - 10 * 20.0, abs=20.1)


def test_beside_reactive_power_p_pre_is_what_the_circle_left() -> None:
    unit = running(10000.0, volt_var={"olrt_s": 1.0}, limits=QUICK)
    unit.coast(20.0, v_v=(230.0 * 1.08,))  # Q = -0.44: sqrt(1 - 0.44 ** 2) = 0.89799 is left
    assert unit.last.p_cmd_w == pytest.approx(8979.98, abs=0.1)
    record = unit.coast(60.0, f_hz=60.336)
    assert record.p_pre_w == pytest.approx(8979.98, abs=0.1)
    assert record.p_cmd_w == pytest.approx(7979.98, abs=0.1)


def test_hard_limits_act_at_once_in_an_event() -> None:
    unit = running(5000.0, freq_droop=UNEQUAL)
    unit.coast(60.0, f_hz=59.74)
    assert unit.last.p_cmd_w == pytest.approx(6000.0, abs=0.1)
    record = unit.step(said={"p_max_discharge_w": 1000.0})
    assert record.p_cmd_w == 1000.0
    assert reasons(record) & Reason.DROOP_LIMITED
    start = len(unit.records)
    assert unit.advance(5.0, said={}).p_cmd_w == pytest.approx(6000.0, abs=0.1)  # and lets go by the ramp
    assert unit.largest_step_w(since=start) <= 20.0 + 1e-6
    assert unit.step(session=Session.UNPLUGGED).p_cmd_w == 0.0


def test_the_active_power_limit_binds_again_after_the_event() -> None:
    unit = running(9000.0)
    unit.coast(20.0, ap_limit=0.5)
    assert unit.last.p_cmd_w == 5000.0
    assert unit.coast(60.0, f_hz=59.36).p_cmd_w == pytest.approx(7013.3, abs=0.1)
    assert unit.advance(5.0, f_hz=60.0).p_cmd_w == pytest.approx(5201.3, abs=0.1)  # a tenth of the answer is left
    assert unit.coast(20.0).p_cmd_w == pytest.approx(5000.0, abs=0.2)


def test_a_limit_ordered_in_an_event_binds_after_it_by_the_ramp() -> None:
    unit = running(9000.0)
    unit.coast(30.0, f_hz=60.3)  # 0.264 / 3 = 0.088 pu
    unit.coast(20.0, ap_limit=0.2)
    assert unit.last.p_cmd_w == pytest.approx(8120.0, abs=0.1)  # the event goes on from what was before
    start = len(unit.records)
    unit.advance(20.0, f_hz=60.0)
    assert unit.last.p_cmd_w == pytest.approx(2000.0, abs=0.2)
    assert unit.largest_step_w(since=start) <= 20.0 + 1e-6


@pytest.mark.parametrize("seconds", [1.0, 10.0])
def test_a_limit_quicker_than_the_ramp_is_still_in_time(seconds: float) -> None:
    unit = running(10000.0, limits={"ramp_pu_s": 0.01}, active_limit={"ramp_time_s": seconds})
    assert unit.advance(seconds, ap_limit=0.0).p_cmd_w == pytest.approx(0.0, abs=1e-6)


def test_droop_answers_on_a_50_hz_grid() -> None:
    unit = Unit(wish_w=0.0, rating={"f_nom_hz": 50.0}, freq_droop=UNEQUAL)
    unit.coast(10.0, f_hz=50.0)
    assert unit.coast(60.0, f_hz=50.29).p_cmd_w == pytest.approx(-1000.0, abs=0.1)  # 0.25 / (50 x 0.05)
    assert unit.coast(90.0, f_hz=49.78).p_cmd_w == pytest.approx(1000.0, abs=0.1)  # 0.20 / (50 x 0.04)
