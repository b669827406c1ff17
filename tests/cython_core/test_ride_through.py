"""Ride-through: what must not trip, what ceases and comes back, and what nobody may mistake for a fault.

Source   IEEE 1547-2018 6.4.2 Tables 14, 15, 16 (voltage, Categories I, II, III), 6.5.2 Table 19 (frequency), 6.4.2.7
         restore output, 6.4.2.5 Table 17 consecutive disturbances, 6.5.2.5 RoCoF, 6.5.2.6 phase jumps.
Setting  owner: controller everywhere, every trip element at its default. Above nominal a row is lo < V <= hi, below it
         lo <= V < hi.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from cython_core.records import Reason, Region, Session, State
from tests.cython_core.series import Series, p_pu, pencil, q_pu

OURS = {"owner": "controller"}
AT_ONCE = {**OURS, "delay_s": 0.0, "ramp_s": 0.0}
GROUPS: dict[str, Any] = {
    "voltage_trip": OURS, "frequency_trip": OURS, "ride_through": OURS, "enter_service": AT_ONCE,
}  # fmt: skip
NO_DROOP = {"enable": False}
CONTINUOUS, MANDATORY, PERMISSIVE = Region.CONTINUOUS, Region.MANDATORY, Region.PERMISSIVE
MOMENTARY, CEASE = Region.MOMENTARY_CESSATION, Region.CEASE


def unit(category: str = "III", wish_pu: float = 0.8, period_s: float = 0.01, **more: Any) -> Series:
    series = Series(pencil(f"B/{category}", **{**GROUPS, "freq_droop": NO_DROOP, **more}), period_s, wish_pu=wish_pu)
    assert series.run(2.0)["state"][-1] == State.IN_SERVICE
    return series


# --- the duty: regions, and no trip before their time ---

# fmt: off
VOLTAGES = [
    # category        v_pu    region      duty_s   why
    ("I II III",      1.201,  CEASE,      0.0,     "above 1.20"),
    ("I II",          1.20,   PERMISSIVE, 0.2,     "1.20 is in the row below it"),
    ("I II",          1.18,   PERMISSIVE, 0.2,     "1.175 ... 1.20"),
    ("I II",          1.175,  PERMISSIVE, 0.5,     "1.175 is in the row below it"),
    ("I II",          1.16,   PERMISSIVE, 0.5,     "1.15 ... 1.175"),
    ("I II",          1.15,   PERMISSIVE, 1.0,     "1.15 is in the row below it"),
    ("I II",          1.11,   PERMISSIVE, 1.0,     "1.10 ... 1.15"),
    ("III",           1.20,   MOMENTARY,  12.0,    "1.20 is in the row below it"),
    ("III",           1.101,  MOMENTARY,  12.0,    "1.10 ... 1.20"),
    ("I II III",      1.10,   CONTINUOUS, None,    "1.10 belongs to continuous"),
    ("I II III",      0.88,   CONTINUOUS, None,    "0.88 belongs to continuous"),
    ("I",             0.87,   MANDATORY,  1.38,    "0.7 + 4 x 0.17"),
    ("I",             0.79,   MANDATORY,  1.06,    "0.7 + 4 x 0.09"),
    ("I",             0.70,   MANDATORY,  0.7,     "0.70 is in the row above it"),
    ("I",             0.69,   PERMISSIVE, 0.16,    "0.50 ... 0.70"),
    ("I",             0.50,   PERMISSIVE, 0.16,    "0.50 is in the row above it"),
    ("I",             0.499,  CEASE,      0.0,     "below 0.50"),
    ("II",            0.87,   MANDATORY,  4.914,   "3 + 8.7 x 0.22"),
    ("II",            0.75,   MANDATORY,  3.87,    "3 + 8.7 x 0.10"),
    ("II",            0.65,   MANDATORY,  3.0,     "0.65 is in the row above it"),
    ("II",            0.64,   PERMISSIVE, 0.32,    "0.45 ... 0.65"),
    ("II",            0.45,   PERMISSIVE, 0.32,    "0.45 is in the row above it"),
    ("II",            0.44,   PERMISSIVE, 0.16,    "0.30 ... 0.45; UV2 trips here after 0.16 s"),
    ("II",            0.299,  CEASE,      0.0,     "below 0.30"),
    ("III",           0.87,   MANDATORY,  20.0,    "0.70 ... 0.88"),
    ("III",           0.70,   MANDATORY,  20.0,    "0.70 is in the row above it"),
    ("III",           0.69,   MANDATORY,  10.0,    "0.50 ... 0.70"),
    ("III",           0.50,   MANDATORY,  10.0,    "0.50 is in the row above it"),
    ("III",           0.499,  MOMENTARY,  1.0,     "below 0.50"),
    ("III",           0.0,    MOMENTARY,  1.0,     "no voltage at all"),
]
FREQUENCIES = [
    # f_hz    region      duty_s   why
    (62.0,    PERMISSIVE, 0.0,     "61.8 ... 62.0: may ride through or trip"),
    (61.81,   PERMISSIVE, 0.0,     "61.8 ... 62.0: may ride through or trip"),
    (61.8,    MANDATORY,  299.0,   "61.2 ... 61.8"),
    (61.21,   MANDATORY,  299.0,   "61.2 ... 61.8"),
    (61.2,    CONTINUOUS, None,    "61.2 belongs to continuous"),
    (58.8,    CONTINUOUS, None,    "58.8 belongs to continuous"),
    (58.79,   MANDATORY,  299.0,   "57.0 ... 58.8"),
    (57.0,    MANDATORY,  299.0,   "57.0 ... 58.8"),
    (56.9,    PERMISSIVE, 0.0,     "below 57.0: none required; UF2 stands at 56.5"),
]
# fmt: on
EACH = [(c, *row[1:]) for row in VOLTAGES for c in row[0].split()]
FOREVER_S = 60.0


@pytest.mark.parametrize(
    ("category", "v_pu", "region", "duty_s", "why"), EACH, ids=[f"{c[0]} {c[1]}: {c[-1]}" for c in EACH]
)
def test_voltage_duty(category: str, v_pu: float, region: Region, duty_s: float | None, why: str) -> None:
    series = unit(category)
    records = series.run(FOREVER_S if duty_s is None else duty_s + 0.1, v_pu=v_pu)
    check_duty(records, region, duty_s)
    if duty_s is None:
        assert p_pu(records) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("f_hz", "region", "duty_s", "why"), FREQUENCIES, ids=[f"{c[0]}: {c[-1]}" for c in FREQUENCIES]
)
@pytest.mark.parametrize("category", ["I", "II", "III"])
def test_frequency_duty(category: str, f_hz: float, region: Region, duty_s: float | None, why: str) -> None:
    """Power goes on, and so does droop: it is off here only so that a change of power can be seen."""
    records = unit(category).run(400.0 if duty_s is None else duty_s + 0.1, f_hz=f_hz)
    check_duty(records, region, duty_s)
    in_time = records["t_ns"] - records["t_ns"][0] < (duty_s or 400.0) * 1e9
    assert p_pu(records[in_time]) == pytest.approx(0.8)


def check_duty(records: Any, region: Region, duty_s: float | None) -> None:
    since_s = (records["t_ns"] - records["t_ns"][0]) * 1e-9
    assert (records["region"] == region).all()
    required = since_s < (1e9 if duty_s is None else duty_s) - 1e-9
    assert (records["trip"][required] == 0).all()
    assert (records["reasons"][required] & Reason.MAY_TRIP == 0).all()
    assert (records["reasons"][~required] & Reason.MAY_TRIP != 0).all()
    assert ((records["reasons"] & Reason.RIDE_THROUGH != 0) == (region != CONTINUOUS)).all()
    ceases = region in (MOMENTARY, CEASE)
    assert ((records["state"][required] == State.CEASED) == ceases).all()


def test_no_continuous_operation_above_1_1_volts_per_hertz() -> None:
    records = unit().run(1.0, v_pu=1.10, f_hz=59.5)
    assert (records["region"] == PERMISSIVE).all()
    assert p_pu(records) == pytest.approx(0.8)
    assert (unit().run(1.0, v_pu=1.09, f_hz=59.5)["region"] == CONTINUOUS).all()


# --- cease and come back ---

# fmt: off
CEASES = [
    # category  v_pu   region     why
    ("III",     1.11,  MOMENTARY, "momentary cessation, high"),
    ("III",     0.49,  MOMENTARY, "momentary cessation, low"),
    ("III",     0.05,  MOMENTARY, "momentary cessation, bolted fault"),
    ("I",       0.40,  CEASE,     "cease to energize"),
    ("II",      0.25,  CEASE,     "cease to energize"),
    ("II",      1.21,  CEASE,     "cease to energize, high"),
]
# fmt: on
ceases = pytest.mark.parametrize(("category", "v_pu", "region", "why"), CEASES, ids=[c[-1] for c in CEASES])


@ceases
@pytest.mark.parametrize("wish_pu", [0.8, -0.6])
@pytest.mark.parametrize("period_s", [0.001, 0.01, 0.083])
def test_ceases_in_the_step_that_sees_it(
    category: str, v_pu: float, region: Region, why: str, wish_pu: float, period_s: float
) -> None:
    """0.083 s for momentary cessation, 0.16 s to cease; active and reactive power alike, in both directions."""
    series = unit(category, wish_pu, period_s, const_var={"q_pu": 0.2, "response_s": 0.1})
    assert (p_pu(series.rows)[-1], q_pu(series.rows)[-1]) == pytest.approx((wish_pu, 0.2), abs=1e-6)
    records = series.run(0.15, v_pu=v_pu)
    assert (records["p_cmd_w"] == 0.0).all()
    assert (records["q_cmd_var"] == 0.0).all()
    assert (records["reasons"] & Reason.CESSATION != 0).all()
    assert (records["restore_pu"] == 0.0).all()


@pytest.mark.parametrize("dip_s", [0.02, 0.15, 1.0, 1.9])
@pytest.mark.parametrize("wish_pu", [0.8, -0.6])
@pytest.mark.parametrize("v_back_pu", [1.0, 0.88, 0.75, 0.50])
@pytest.mark.parametrize("restore_s", [0.1, 0.4])
def test_restores_80_percent_within_400_ms(dip_s: float, wish_pu: float, v_back_pu: float, restore_s: float) -> None:
    """Of the pre-disturbance active current, after the voltage is back in continuous or mandatory operation."""
    series = unit(wish_pu=wish_pu, ride_through={**OURS, "restore_s": restore_s})
    assert (series.run(dip_s, v_pu=0.30)["p_cmd_w"] == 0.0).all()
    p = p_pu(series.run(1.0, v_pu=v_back_pu)) / wish_pu
    assert p[40 - 1] / v_back_pu >= 0.8
    assert p[-1] == pytest.approx(1.0)
    assert (np.diff(np.r_[0.0, p]) >= 0.0).all()
    assert np.diff(np.r_[0.0, p]).max() <= 0.01 / restore_s + 1e-9  # a straight line, no step


@pytest.mark.parametrize("restore_s", [0.1, 0.4])
def test_restores_80_percent_of_the_current_from_overvoltage(restore_s: float) -> None:
    """Back at 1.10 pu is the hard case: the current that belongs to a power is a tenth smaller there."""
    series = unit(ride_through={**OURS, "restore_s": restore_s})
    series.run(5.0, v_pu=1.15)
    assert p_pu(series.run(0.4, v_pu=1.10))[-1] / 1.10 >= 0.8 * 0.8 / 1.0


def test_a_second_dip_while_output_is_being_restored() -> None:
    series = unit()
    series.run(0.5, v_pu=0.3)
    assert 0.3 < p_pu(series.run(0.2, v_pu=1.0))[-1] < 0.5
    assert (series.run(0.1, v_pu=0.3)["p_cmd_w"] == 0.0).all()
    p = p_pu(series.run(0.5, v_pu=1.0))
    assert p[0] == pytest.approx(0.8 * 0.01 / 0.4)
    assert p[-1] == pytest.approx(0.8)


def test_category_i_stays_at_rest_in_permissive_operation_and_comes_back_after_it() -> None:
    series = unit("I")
    series.run(0.1, v_pu=0.40)
    assert (series.run(0.15, v_pu=0.60)["p_cmd_w"] == 0.0).all()
    assert p_pu(series.run(0.5, v_pu=0.75))[-1] == pytest.approx(0.8)


def test_category_i_and_ii_have_no_momentary_cessation() -> None:
    for category, v_pu in itertools.product(("I", "II"), (1.11, 1.19, 0.66)):
        assert p_pu(unit(category).run(0.15, v_pu=v_pu)) == pytest.approx(0.8)


def test_in_the_enter_service_ramp_it_comes_back_to_the_ramp() -> None:
    """Not to full power: 100 s of ramp, a dip of 0.5 s at its 30th second."""
    enter = {**OURS, "delay_s": 0.0, "ramp_s": 100.0}
    series = Series(pencil(**{**GROUPS, "enter_service": enter}), wish_pu=1.0)
    series.run(1.0, v_pu=0.9)  # outside the enter-service criteria
    series.run(30.0, v_pu=1.0)
    assert p_pu(series.rows)[-1] == pytest.approx(0.3, abs=2e-4)
    series.run(0.5, v_pu=0.3)
    p = p_pu(series.run(1.0, v_pu=1.0))
    assert p[39] == pytest.approx(0.309, abs=1e-3)
    assert p[-1] == pytest.approx(0.315, abs=1e-3)
    assert p.max() <= 0.316


def test_past_the_trip_time_the_way_back_is_enter_service() -> None:
    """1.9 s at 0.30 pu is a dip, 2.1 s are a trip: 0.4 s against the delay of 10 s."""
    enter = {**OURS, "delay_s": 10.0, "ramp_s": 0.0}
    series = Series(pencil(**{**GROUPS, "enter_service": enter}), wish_pu=0.8)
    series.run(12.0)
    series.run(1.9, v_pu=0.30)
    assert p_pu(series.run(5.0, v_pu=1.0))[39] == pytest.approx(0.8)
    assert series.run(2.1, v_pu=0.30)["state"][-1] == State.TRIPPED
    back = series.run(11.0, v_pu=1.0)
    assert (back["p_cmd_w"][:1000] == 0.0).all()
    assert p_pu(back)[-1] == pytest.approx(0.8)


# fmt: off
NO_TRIP = [
    # inputs                               p_pu   why
    ({"session": int(Session.UNPLUGGED)},  0.0,   "the car left"),
    ({"session": int(Session.ENDED_BY_CAR)}, 0.0, "the car has had enough"),
    ({"soc": 0.2},                         0.0,   "the battery is at its minimum"),
    ({"soc": 0.21},                        0.5,   "half of the band above it is left"),
]
# fmt: on


@pytest.mark.parametrize(("inputs", "left_pu", "why"), NO_TRIP, ids=[c[-1] for c in NO_TRIP])
def test_a_car_that_ends_is_no_trip(inputs: dict[str, Any], left_pu: float, why: str) -> None:
    """Low-frequency ride-through for 299 s: what the car can give is a limit, the unit stays in service."""
    series = unit(freq_droop={})
    series.run(20.0, f_hz=57.5)
    records = series.run(270.0, **inputs)
    assert (records["trip"] == 0).all()
    assert (records["state"] == State.IN_SERVICE).all()
    assert p_pu(records)[-1] == pytest.approx(left_pu)


def test_an_inverter_that_starts_during_the_dip_is_not_commanded_to_deliver() -> None:
    """Its own start falls into the dip: 0 from the first command on."""
    series = Series(pencil("B", ride_through=OURS, freq_droop=NO_DROOP), wish_pu=0.8)
    series.run(2.0)
    series.run(0.5, v_pu=0.3, status=0)
    assert (series.run(0.5, status=3)["p_cmd_w"] == 0.0).all()


def test_a_voltage_nobody_knows_has_not_returned() -> None:
    """The meter dies in the dip: output comes back when the voltage is known to be back, not before."""
    series = unit(wish_pu=-0.6)
    series.run(0.5, v_pu=0.3)
    series.silent = True
    assert (series.run(5.0)["p_cmd_w"] == 0.0).all()
    series.silent = False
    assert p_pu(series.run(10.0, v_pu=1.0))[-1] == pytest.approx(-0.6)


def test_volt_watt_does_not_delay_the_restored_output() -> None:
    """5 s at 1.15 pu, back at 1.00: the ceiling there is rated power, 80 % of the current is due in 0.4 s."""
    series = unit(volt_watt={"enable": True})
    series.run(5.0, v_pu=1.15)
    assert p_pu(series.run(0.4, v_pu=1.0))[-1] >= 0.8 * 0.8


def test_thresholds_of_cessation_may_be_moved() -> None:
    moved = {**OURS, "mc_low_pu": 0.60, "mc_high_pu": 1.15}
    for v_pu, region in ((0.59, MOMENTARY), (0.60, MANDATORY), (1.151, MOMENTARY), (1.15, MANDATORY)):
        assert (unit(ride_through=moved).run(0.1, v_pu=v_pu)["region"] == region).all(), v_pu


# --- Table 17: consecutive disturbances ---

# fmt: off
SETS = [
    # category  sets  apart_s  forget_min
    ("I",       2,    20.0,    60),
    ("II",      2,    10.0,    60),
    ("III",     3,    5.0,     20),
]
# fmt: on


@pytest.mark.parametrize(("category", "sets", "apart_s", "forget_min"), SETS)
def test_past_the_count_a_trip_would_be_allowed(category: str, sets: int, apart_s: float, forget_min: int) -> None:
    def dip() -> bool:
        records = series.run(0.1, v_pu=0.80)
        may = records["reasons"] & Reason.MAY_TRIP != 0
        assert may.all() or not may.any()
        assert p_pu(records) == pytest.approx(0.8)  # allowed, not done
        series.run(apart_s + 0.02, v_pu=1.0)
        return bool(may.all())

    series = unit(category)
    assert [dip() for _ in range(sets + 2)] == [False] * sets + [True, True]
    series.run(forget_min * 60.0 - apart_s - 1.0, k=10)
    assert dip()  # one second too early to have forgotten
    series.run(forget_min * 60.0, k=10)
    assert [dip() for _ in range(sets + 1)] == [False] * sets + [True]


@pytest.mark.parametrize(("category", "sets", "apart_s", "forget_min"), SETS)
def test_dips_close_together_are_one_set(category: str, sets: int, apart_s: float, forget_min: int) -> None:
    series = unit(category)
    for _ in range(6):
        assert (series.run(0.1, v_pu=0.80)["disturbances"] == 1).all()
        series.run(apart_s - 0.5, v_pu=1.0)
    assert (series.rows["reasons"] & Reason.MAY_TRIP == 0).all()


# --- RoCoF and phase jumps: no trip, no spike ---


@pytest.mark.parametrize(("category", "hz_s"), [("I", 0.5), ("II", 2.0), ("III", 3.0)])
@pytest.mark.parametrize("f_end_hz", [57.1, 61.7])
@pytest.mark.parametrize("droop", [True, False])
def test_rate_of_change_of_frequency(category: str, hz_s: float, f_end_hz: float, droop: bool) -> None:
    series = unit(category, 0.5, freq_droop={"enable": droop})
    way_s = abs(f_end_hz - 60.0) / hz_s
    t = np.arange(1, 6001) * 0.01
    far = np.clip(t / way_s, 0.0, 1.0) * np.clip((50.0 - t) / way_s, 0.0, 1.0)  # there, and back after 50 s
    records = series.run(60.0, f_hz=60.0 + (f_end_hz - 60.0) * far)
    assert (records["trip"] == 0).all()
    assert (records["state"] == State.IN_SERVICE).all()
    answer = max(abs(f_end_hz - 60.0) - 0.036, 0.0) / 3.0 if droop else 0.0
    p = p_pu(records)
    assert abs(p - 0.5).max() <= answer + 1e-9
    slope = hz_s / 3.0 if droop else 0.0  # pu/s: as fast as the frequency, and once the wait of 0.1 s
    assert abs(np.diff(p)).max() <= slope * (0.01 + 0.1) + 1e-9


@pytest.mark.parametrize("false_hz", [-8.0, -5.0, -2.0, -0.5, 0.5, 2.0, 5.0, 8.0])
@pytest.mark.parametrize(("refresh_s", "false_s"), [(0.1, 0.1), (0.02, 0.08), (0.05, 0.1)])
@pytest.mark.parametrize("t_response_s", [0.2, 5.0])
def test_phase_jump(false_hz: float, refresh_s: float, false_s: float, t_response_s: float) -> None:
    """A zero-crossing meter shows a jump as one false reading (a fast one as a few): nothing happens at all."""
    chosen = pencil(**GROUPS, freq_droop={"t_response_s": t_response_s})
    series = Series(chosen, refresh_s=refresh_s, wish_pu=0.5)
    series.run(2.0)
    for _ in range(5):
        false = series.run(false_s, f_hz=60.0 + false_hz)
        normal = series.run(1.0, f_hz=60.0)
        for records in (false, normal):
            assert (records["trip"] == 0).all()
            assert (records["state"] == State.IN_SERVICE).all()
            assert (records["p_cmd_w"] == 5000.0).all()


def test_a_real_event_right_after_a_phase_jump_is_answered_in_time() -> None:
    series = Series(pencil(**GROUPS, freq_droop={"t_response_s": 1.0}), refresh_s=0.1, wish_pu=0.5)
    series.run(2.0)
    series.run(0.1, f_hz=64.0)
    p = p_pu(series.run(3.0, f_hz=59.5))
    assert p.min() >= 0.5  # the false reading went the other way
    assert p[99] == pytest.approx(0.5 + 0.9 * 0.464 / 3.0, abs=1e-4)
