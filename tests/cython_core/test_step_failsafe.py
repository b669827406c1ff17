"""Fail-safe: what each signal's age does to dP, Q, export, charging, mode, state and reasons.

2000 W/s is the ramp (0.2 pu/s of 10 kW): 20 W a step of 10 ms. A lost whole meter may use 1800 W/s: 18 kW, from full
discharge to full charge, in 10 s; the larger of the two rates wins.
"""

from __future__ import annotations

from typing import Any

import pytest

from cython_core.records import NAN, Mode, Reason, Session, State, Stop
from tests.cython_core.unit import Unit, reasons, running

STEP_W = 20.0 + 1e-6  # the ramp in one step
VV = {"v1_pu": 0.90, "v2_pu": 0.98, "v3_pu": 1.02, "v4_pu": 1.10, "olrt_s": 1.0}
F, V, D = Reason.F_STALE, Reason.V_STALE, Reason.DEVICE_STALE


def drooping(p_w: float = 2000.0, f_hz: float = 60.336, v_pu: float = 1.0, **more: Any) -> Unit:
    """A unit that has answered 0.3 Hz beyond the dead band for 30 s: -0.1 pu = -1000 W; V may answer too."""
    unit = running(p_w, volt_var=VV, **more)
    unit.coast(30.0, f_hz=f_hz, v_v=(230.0 * v_pu,))
    return unit


# --- f ---

# fmt: off
F_ROWS = [
    # invalid for  dp_w      p_w      state             bits            why
    (0.0,         -1000.0,   1000.0,  State.IN_SERVICE, 0,              "fresh: 2000 - 1000 W"),
    (0.35,        -1000.0,   1000.0,  State.IN_SERVICE, 0,              "still fresh"),
    (0.36,        -1000.0,   1000.0,  State.IN_SERVICE, Reason.F_HELD,  "held: dP is frozen"),
    (0.95,        -1000.0,   1000.0,  State.IN_SERVICE, Reason.F_HELD,  "held to the last"),
    (0.96,         -980.0,   1020.0,  State.DEGRADED,   F,              "stale: dP goes to 0 by 20 W a step"),
    (1.20,         -500.0,   1500.0,  State.DEGRADED,   F,              "25 steps of 20 W"),
    (1.45,            0.0,   2000.0,  State.DEGRADED,   F,              "50 steps: the wish alone"),
    (9.95,            0.0,   2000.0,  State.DEGRADED,   F,              "the wish goes on"),
    (9.96,            0.0,   2000.0,  State.DEGRADED,   Reason.F_LOST,  "lost: the same, and an alarm"),
    (30.0,            0.0,   2000.0,  State.DEGRADED,   Reason.F_LOST,  "and it stays so"),
]
# fmt: on


@pytest.mark.parametrize(("invalid_s", "dp_w", "p_w", "state", "bits", "why"), F_ROWS, ids=[c[-1] for c in F_ROWS])
def test_frequency_fails(invalid_s: float, dp_w: float, p_w: float, state: State, bits: int, why: str) -> None:
    unit = drooping()
    start = len(unit.records)
    record = unit.advance(invalid_s, f_hz=float("nan")) if invalid_s else unit.last
    assert (record.dp_w, record.p_cmd_w) == pytest.approx((dp_w, p_w), abs=0.5), why
    assert (record.state, record.mode) == (state, Mode.ACTIVE)
    assert reasons(record) & (Reason.F_HELD | F | Reason.F_LOST) == bits
    assert not reasons(record) & (Reason.METER_LOST | Reason.V_HELD)
    assert unit.largest_step_w(since=start) <= STEP_W


def test_held_frequency_freezes_the_answer_where_its_lag_is() -> None:
    unit = running(2000.0)
    unit.advance(1.0, f_hz=60.336)
    unit.advance(0.35, f_hz=float("nan"))  # the last good value still counts as fresh
    frozen = unit.last.dp_w
    assert -1000.0 < frozen < -100.0
    assert unit.advance(0.6).dp_w == frozen
    assert unit.advance(0.1).dp_w > frozen  # stale: on its way to 0


def test_charging_goes_on_without_frequency() -> None:
    unit = running(-6000.0)
    assert unit.advance(30.0, f_hz=float("nan")).p_cmd_w == -6000.0
    unit.wish(-3000.0)
    assert unit.advance(3.0).p_cmd_w == -3000.0  # and so do new wishes


def test_frequency_back_inside_moves_nothing_and_back_outside_opens_a_new_event() -> None:
    unit = drooping()
    unit.advance(3.0, f_hz=float("nan"))
    back = len(unit.records)
    assert unit.advance(1.0, f_hz=60.0).p_cmd_w == 2000.0
    record = unit.advance(30.0, f_hz=60.336)
    assert (record.p_pre_w, record.p_cmd_w) == pytest.approx((2000.0, 1000.0), abs=0.5)
    ahead_w = 1000.0 * (1.0 - 10.0 ** (-0.11 / 5.0))  # what the lag has done while the second reading was waited for
    assert unit.largest_step_w(since=back) <= ahead_w + 1e-6


# --- V ---

# fmt: off
V_ROWS = [
    # wish_w   invalid  q_var     p_w       state             bits             why: 1.05 pu of V is -1650 var
    (4000.0,   0.35,   -1650.0,   4000.0,   State.IN_SERVICE, 0,               "fresh"),
    (4000.0,   0.36,   -1650.0,   4000.0,   State.IN_SERVICE, Reason.V_HELD,   "held: Q is frozen"),
    (4000.0,   0.95,   -1650.0,   4000.0,   State.IN_SERVICE, Reason.V_HELD,   "held to the last"),
    (4000.0,   0.96,   -1630.0,   3980.0,   State.DEGRADED,   V,               "stale: Q and export ramp to 0"),
    (4000.0,   1.45,    -650.0,   3000.0,   State.DEGRADED,   V,               "50 steps of 20 W and 20 var"),
    (4000.0,   2.95,       0.0,      0.0,   State.DEGRADED,   V,               "export 0"),
    (-6000.0,  0.95,   -1650.0,  -6000.0,   State.IN_SERVICE, Reason.V_HELD,   "charging, held"),
    (-6000.0,  0.96,   -1630.0,  -5980.0,   State.DEGRADED,   V,               "charging ramps down"),
    (-6000.0,  3.25,       0.0,  -1400.0,   State.DEGRADED,   V,               "down to 1400 W in 230 steps"),
    (-6000.0,  20.0,       0.0,  -1400.0,   State.DEGRADED,   Reason.V_LOST,   "lost: the same, and an alarm"),
    (-1000.0,  20.0,       0.0,  -1000.0,   State.DEGRADED,   Reason.V_LOST,   "less charging goes on untouched"),
]
# fmt: on


@pytest.mark.parametrize(
    ("wish_w", "invalid_s", "q_var", "p_w", "state", "bits", "why"), V_ROWS, ids=[c[-1] for c in V_ROWS]
)
def test_voltage_fails(
    wish_w: float, invalid_s: float, q_var: float, p_w: float, state: State, bits: int, why: str
) -> None:
    unit = running(wish_w, volt_var=VV)
    unit.coast(10.0, v_v=(241.5,))
    start = len(unit.records)
    record = unit.advance(invalid_s, v_v=(float("nan"),))
    assert (record.q_cmd_var, record.p_cmd_w) == pytest.approx((q_var, p_w), abs=0.5), why
    assert (record.state, record.mode) == (state, Mode.ACTIVE)
    assert reasons(record) & (Reason.V_HELD | V | Reason.V_LOST) == bits
    assert unit.largest_step_w(since=start) <= STEP_W


def test_voltage_back_means_a_ramp_back() -> None:
    unit = running(4000.0)
    assert unit.advance(5.0, v_v=(float("nan"),)).p_cmd_w == 0.0
    start = len(unit.records)
    assert unit.step(v_v=(230.0,)).p_cmd_w == pytest.approx(20.0)
    assert unit.last.state == State.IN_SERVICE
    assert unit.advance(1.0).p_cmd_w == pytest.approx(2020.0)
    assert unit.advance(1.0).p_cmd_w == 4000.0
    assert unit.largest_step_w(since=start) <= STEP_W


def test_without_voltage_droop_may_not_export_but_may_charge_less() -> None:
    unit = running(-1000.0)
    unit.advance(3.0, v_v=(float("nan"),))
    record = unit.advance(40.0, f_hz=59.0)  # droop asks for +3213 W
    assert record.dp_target_w == pytest.approx(3213.3, abs=0.1)
    assert record.p_cmd_w == 0.0
    assert reasons(record) & Reason.DROOP_LIMITED


# --- inverter state ---

# fmt: off
D_ROWS = [
    # silent_s  echoes  p_w      mode          state             bits                 why
    (2.50,      False,  2000.0,  Mode.ACTIVE,  State.IN_SERVICE, Reason.DEVICE_HELD,  "held: go on, echoed or not"),
    (2.51,      True,   2000.0,  Mode.ACTIVE,  State.DEGRADED,   D,                   "stale, echoed: it goes on"),
    (9.00,      True,   2000.0,  Mode.ACTIVE,  State.DEGRADED,   D,                   "as long as they are"),
    (2.51,      False,  1980.0,  Mode.ACTIVE,  State.DEGRADED,   D,                   "stale, not echoed: to 0"),
    (3.50,      False,     0.0,  Mode.ACTIVE,  State.DEGRADED,   D,                   "2000 W in 100 steps"),
    (10.00,     True,   2000.0,  Mode.ACTIVE,  State.DEGRADED,   D,                   "still stale"),
    (10.01,     True,      0.0,  Mode.SILENT,  State.STARTING,   Reason.DEVICE_LOST,  "lost: its own timer acts"),
    (10.01,     False,     0.0,  Mode.SILENT,  State.STARTING,   Reason.DEVICE_LOST,  "lost, echoed or not"),
]
# fmt: on


@pytest.mark.parametrize(
    ("silent_s", "echoes", "p_w", "mode", "state", "bits", "why"), D_ROWS, ids=[c[-1] for c in D_ROWS]
)
def test_inverter_falls_silent(
    silent_s: float, echoes: bool, p_w: float, mode: Mode, state: State, bits: int, why: str
) -> None:
    """Its state is no longer read; its answers to our writes may still come."""
    unit = running(2000.0)
    read, start = unit.device, len(unit.records)
    for _ in range(round(silent_s * 100)):
        t_echo_ns = unit.t_ns if echoes else read.t_echo_ns
        unit.device = type(read)(**{n: getattr(read, n) for n in read.__dataclass_fields__} | {"t_echo_ns": t_echo_ns})
        unit.advance(0.01, silence="inverter")
    record = unit.last
    assert record.p_cmd_w == pytest.approx(p_w, abs=1e-6), why
    assert (record.mode, record.state) == (mode, state)
    assert reasons(record) & (Reason.DEVICE_HELD | D | Reason.DEVICE_LOST) == bits
    if mode != Mode.SILENT:
        assert unit.largest_step_w(since=start) <= STEP_W


@pytest.mark.parametrize(
    ("refresh_s", "why"), [(0.0, "each step writes"), (3.0, "an unchanged set-point is written again after 3 s only")]
)
def test_an_echo_counts_for_as_long_as_a_state_is_held_and_until_the_next_write(refresh_s: float, why: str) -> None:
    unit = running(2000.0, fail_safe={"write_refresh_s": refresh_s})
    unit.advance(2.5 + refresh_s, silence="inverter")  # the last echo is as old as the last state
    assert unit.last.p_cmd_w == 2000.0, why
    assert unit.advance(0.01, silence="inverter").p_cmd_w == pytest.approx(1980.0)


# --- whole meter ---

# fmt: off
METER_ROWS = [
    # settings                    wish_w    silent_s  p_w       mode         why
    ({},                           6000.0,   0.95,     6000.0,  Mode.ACTIVE, "held: nothing moves"),
    ({},                           6000.0,   0.96,     5980.0,  Mode.ACTIVE, "stale: as f and V, export to 0"),
    ({},                           6000.0,   9.96,        0.0,  Mode.SAFE,   "lost: the safe power, 0 W"),
    ({},                          -6000.0,   9.95,    -1400.0,  Mode.ACTIVE, "stale: as V, degraded charging"),
    ({},                          -6000.0,   9.96,    -1380.0,  Mode.SAFE,   "lost: from there to 0 by the ramp"),
    ({},                          -6000.0,  10.65,        0.0,  Mode.SAFE,   "1400 W in 70 steps"),
    ({"safe_p_w": -700.0},        -6000.0,  10.30,     -700.0,  Mode.SAFE,   "a site that charges on, 35 steps"),
    ({"safe_p_w": -700.0},            0.0,  10.30,     -700.0,  Mode.SAFE,   "safe is a power, not a limit"),
    ({"safe_p_w": 3000.0},         6000.0,  11.45,     3000.0,  Mode.SAFE,   "a site that exports on, 150 steps"),
    ({"safe_p_w": 50000.0},        6000.0,  20.00,    10000.0,  Mode.SAFE,   "never above the rating"),
]
# fmt: on


@pytest.mark.parametrize(
    ("fail_safe", "wish_w", "silent_s", "p_w", "mode", "why"), METER_ROWS, ids=[c[-1] for c in METER_ROWS]
)
def test_meter_falls_silent(
    fail_safe: dict[str, float], wish_w: float, silent_s: float, p_w: float, mode: Mode, why: str
) -> None:
    unit = running(wish_w, fail_safe=fail_safe)
    start = len(unit.records)
    record = unit.advance(silent_s, silence="meter")
    assert record.p_cmd_w == pytest.approx(p_w, abs=1e-6), why
    assert record.mode == mode
    assert record.q_cmd_var == 0.0
    assert unit.largest_step_w(since=start) <= STEP_W


# fmt: off
SAFE_AND_BATTERY = [
    # safe_w    soc            p_w      why
    (3000.0,    0.20,             0.0,  "an empty battery is not discharged, whatever is safe"),
    (3000.0,    float("nan"),     0.0,  "nor is one nobody knows"),
    (-3000.0,   0.95,             0.0,  "a full battery is not charged"),
    (-3000.0,   float("nan"), -3000.0,  "one nobody knows is charged until the car stops"),
    (3000.0,    0.21,          3000.0,  "half way up the band of 2 %: 5000 W is there"),
]
# fmt: on


@pytest.mark.parametrize(("safe_w", "soc", "p_w", "why"), SAFE_AND_BATTERY, ids=[c[-1] for c in SAFE_AND_BATTERY])
def test_the_battery_is_stronger_than_the_safe_power(safe_w: float, soc: float, p_w: float, why: str) -> None:
    unit = running(0.0, fail_safe={"safe_p_w": safe_w})
    assert unit.advance(12.0, silence="meter", soc=soc).p_cmd_w == pytest.approx(p_w), why


# fmt: off
IN_TEN_SECONDS = [
    # ramp_pu_s  rating                        why
    (0.01,       {},                           "0.01 pu/s would take 100 s"),
    (0.01,       {"p_rated_w": 2000.0},        "charging at four times the rated export"),
    (0.5,        {},                           "a site that is faster anyway"),
]
# fmt: on


@pytest.mark.parametrize(("ramp_pu_s", "rating", "why"), IN_TEN_SECONDS, ids=[c[-1] for c in IN_TEN_SECONDS])
def test_a_lost_meter_is_safe_within_ten_seconds_whatever_the_ramp(
    ramp_pu_s: float, rating: dict[str, float], why: str
) -> None:
    limits, safe = {"ramp_pu_s": ramp_pu_s}, {"degraded_charge_w": 8000.0}
    unit = Unit(wish_w=-8000.0, limits=limits, fail_safe=safe, rating=rating)
    unit.device_p_w = -8000.0
    unit.advance(1.0)
    assert unit.advance(9.95, silence="meter").p_cmd_w == -8000.0
    assert unit.advance(0.01, silence="meter").mode == Mode.SAFE
    assert unit.last.p_cmd_w > -8000.0
    assert unit.advance(9.99, silence="meter").p_cmd_w == 0.0, why


def test_a_lost_meter_is_no_trip_and_comes_back_by_the_ramp() -> None:
    unit = running(6000.0)
    assert unit.advance(15.0, silence="meter").p_cmd_w == 0.0
    assert (unit.last.state, unit.last.mode) == (State.DEGRADED, Mode.SAFE)
    start = len(unit.records)
    record = unit.step()
    assert (record.state, record.mode) == (State.IN_SERVICE, Mode.ACTIVE)
    assert record.p_cmd_w == pytest.approx(20.0)
    assert unit.advance(3.0).p_cmd_w == 6000.0
    assert unit.largest_step_w(since=start) <= STEP_W


def test_reactive_power_is_0_without_a_meter() -> None:
    unit = running(0.0, volt_var=VV)
    unit.coast(10.0, v_v=(241.5,))
    assert unit.last.q_cmd_var == pytest.approx(-1650.0, abs=0.1)
    assert unit.advance(11.0, silence="meter").q_cmd_var == 0.0


# --- no step to 0 but for what is named ---

# fmt: off
AT_ONCE = [
    # from_w    changes                                      p_w       bit                    why
    (6000.0,    {"permit": 0},                                   0.0,  Reason.NO_PERMIT,      "no permit"),
    (-6000.0,   {"permit": 0},                                   0.0,  Reason.NO_PERMIT,      "no permit, charging"),
    (6000.0,    {"stop": 2},                                     0.0,  Reason.EMERGENCY_STOP, "emergency stop"),
    (-6000.0,   {"stop": 2},                                     0.0,  Reason.EMERGENCY_STOP, "stopped, charging"),
    (6000.0,    {"session": Session.UNPLUGGED},                  0.0,  Reason.SESSION,        "unplugged"),
    (6000.0,    {"session": Session.FAULT},                      0.0,  Reason.SESSION,        "the car's fault"),
    (6000.0,    {"session": Session.UNKNOWN},                    0.0,  Reason.SESSION,        "nobody knows"),
    (6000.0,    {"session": Session.HANDSHAKE},                  0.0,  Reason.SESSION,        "handshake"),
    (6000.0,    {"session": Session.ASLEEP},                     0.0,  Reason.SESSION,        "asleep"),
    (-6000.0,   {"session": Session.ENDED_BY_CAR},               0.0,  Reason.SESSION,        "ended by the car"),
    (6000.0,    {"said": {"p_max_discharge_w": 2500.0}},      2500.0,  Reason.DEVICE_LIMIT,   "BMS: less discharging"),
    (6000.0,    {"said": {"p_max_discharge_w": 0.0}},            0.0,  Reason.DEVICE_LIMIT,   "BMS: none"),
    (6000.0,    {"said": {"p_max_discharge_w": -5.0}},           0.0,  Reason.DEVICE_LIMIT,   "BMS: below none"),
    (-6000.0,   {"said": {"p_max_charge_w": 1500.0}},        -1500.0,  Reason.DEVICE_LIMIT,   "BMS: less charging"),
    (6000.0,    {"said": {"s_max_va": 4000.0}},               4000.0,  Reason.APPARENT_POWER, "apparent power derated"),
]
GOES_ON = [
    # from_w    changes                                       why
    (6000.0,    {"session": Session.READY},                   "ready"),
    (6000.0,    {"session": Session.CHARGING},                "charging may turn round"),
    (6000.0,    {"session": Session.DISCHARGING},             "discharging"),
    (6000.0,    {"said": {"p_max_charge_w": 0.0}},            "the other direction's limit"),
    (6000.0,    {"said": {"p_max_discharge_w": float("nan")}}, "a limit that is not a number is absent"),
    (6000.0,    {"said": {"p_max_discharge_w": 50000.0}},     "a limit above the rating"),
    (6000.0,    {"said": {"s_max_va": float("nan")}},         "an apparent power that is not a number"),
    (6000.0,    {"said": {"p_min_abs_w": float("nan")}},      "a smallest power that is not a number"),
]
BY_RAMP = [
    # from_w    changes                     p_w      seconds  why
    (6000.0,    {"stop": 1},                   0.0,  3.0,     "stop: 6000 W in 300 steps"),
    (-6000.0,   {"stop": 1},                   0.0,  3.0,     "stop, charging"),
    (6000.0,    {"soc": float("nan")},         0.0,  3.0,     "battery unknown: no export"),
    (6000.0,    {"soc": 0.20},                 0.0,  3.0,     "battery empty"),
    (6000.0,    {"soc": 0.21},              5000.0,  0.5,     "half way down the band: half the rating"),
    (-6000.0,   {"soc": 0.95},                 0.0,  3.0,     "battery full"),
    (-6000.0,   {"soc": 0.94},             -4000.0,  1.0,     "half way up the band: half the charge rating"),
]
# fmt: on


@pytest.mark.parametrize(("from_w", "changes", "p_w", "bit", "why"), AT_ONCE, ids=[c[-1] for c in AT_ONCE])
def test_in_one_step(from_w: float, changes: dict[str, Any], p_w: float, bit: Reason, why: str) -> None:
    unit = running(from_w)
    record = unit.step(**changes)
    assert record.p_cmd_w == pytest.approx(p_w), why
    assert reasons(record) & bit
    cause = len(unit.records)
    unit.advance(5.0, permit=1, stop=0, session=Session.READY, said={})
    assert unit.last.p_cmd_w == from_w  # what was taken at once comes back by the ramp
    if bit != Reason.APPARENT_POWER:
        assert unit.largest_step_w(since=cause) <= STEP_W


@pytest.mark.parametrize(("from_w", "changes", "why"), GOES_ON, ids=[c[-1] for c in GOES_ON])
def test_nothing_changes(from_w: float, changes: dict[str, Any], why: str) -> None:
    unit = running(from_w)
    assert unit.advance(1.0, **changes).p_cmd_w == from_w, why
    assert not reasons(unit.last) & (Reason.SESSION | Reason.DEVICE_LIMIT)


@pytest.mark.parametrize(("from_w", "changes", "p_w", "seconds", "why"), BY_RAMP, ids=[c[-1] for c in BY_RAMP])
def test_by_the_ramp(from_w: float, changes: dict[str, Any], p_w: float, seconds: float, why: str) -> None:
    unit = running(from_w)
    start = len(unit.records)
    assert abs(unit.advance(seconds - 0.01, **changes).p_cmd_w) > abs(p_w), why
    assert unit.advance(0.02).p_cmd_w == pytest.approx(p_w, abs=1e-6)
    assert unit.largest_step_w(since=start) <= STEP_W


# --- at the end of an event, while a limit closes ---

# fmt: off
CLOSING: list[tuple[float, float, dict[str, Any], dict[str, Any], str]] = [
    # wish     f_hz   limits from here on  2 s later           why
    (-7000.0,  59.3,  {"v_v": (NAN,)},     {"f_hz": NAN},      "voltage goes stale, then frequency"),
    (-7000.0,  59.3,  {"soc": 0.95},       {"f_hz": NAN},      "the battery is full, frequency goes stale"),
    (8000.0,   60.6,  {"soc": 0.2},        {"f_hz": 60.0},     "the battery is empty, frequency comes back"),
    (8000.0,   60.6,  {"soc": 0.2},        {"f_hz": NAN},      "the battery is empty, frequency goes stale"),
    (8000.0,   60.6,  {"stop": Stop.RAMP}, {"f_hz": 60.0},     "a stop, frequency comes back"),
    (8000.0,   60.6,  {"soc": 0.2},        {"f_hz": 59.3},     "the battery is empty, from over to under"),
]
# fmt: on


@pytest.mark.parametrize(("wish_w", "f_hz", "limit", "then", "why"), CLOSING, ids=[c[-1] for c in CLOSING])
def test_what_an_event_leaves_does_not_jump_over_a_limit_that_closes(
    wish_w: float, f_hz: float, limit: dict[str, Any], then: dict[str, Any], why: str
) -> None:
    """20 W a step for the limit, less than 20 W for the lag of the answer, 100 W where a second event is latched."""
    unit = running(wish_w)
    unit.advance(30.0, f_hz=f_hz)
    begun = len(unit.records)
    unit.advance(2.0, **limit)
    unit.advance(20.0, **then)
    assert unit.largest_step_w(begun) <= (100.0 if "under" in why else 40.0), why


def test_a_silent_meter_in_an_event_is_answered_by_the_ramp() -> None:
    unit = running(-7000.0)
    unit.advance(30.0, f_hz=59.3)
    begun = len(unit.records)
    unit.advance(20.0, silence="meter")
    assert unit.largest_step_w(begun) <= 40.0
