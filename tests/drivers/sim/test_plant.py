"""The simulated unit against closed forms: reversion, lag, dead time, ramp, limits, dwell, energy."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, sin
from typing import Any

import pytest

from drivers.sim.plant import Battery, Inverter, Session, SetPoint, Unit

DT = 0.01


def plain(**changes: Any) -> Inverter:
    """No dead time, no lag, unless asked for."""
    return Inverter(**({"dead_s": 0.0, "lag_s": 0.0} | changes))


def power_after(inverter: Inverter, p_set_w: float, seconds: float, dt_s: float = DT) -> float:
    for _ in range(round(seconds / dt_s)):
        inverter.step(dt_s, p_set_w, 0.0)
    return inverter.p_w


@pytest.mark.parametrize("dt_s", [0.002, 0.01, 0.05, 0.2])
def test_lag_is_exact_at_every_step_width(dt_s: float) -> None:
    assert power_after(plain(lag_s=0.4), 1000.0, 0.4, dt_s) == pytest.approx(1000.0 * (1 - exp(-1.0)))


def test_nothing_moves_inside_the_dead_time() -> None:
    inverter = plain(dead_s=0.2)
    assert power_after(inverter, 1000.0, 0.2) == 0.0
    assert power_after(inverter, 1000.0, DT) == 1000.0


def test_set_points_come_out_of_the_dead_time_in_order() -> None:
    inverter, seen = plain(dead_s=0.05), []
    for i in range(12):
        inverter.step(DT, 100.0 * min(i, 5), 0.0)
        seen.append(inverter.p_w)
    assert seen == [0, 0, 0, 0, 0, 0, 100, 200, 300, 400, 500, 500]


def test_ramp_bounds_the_slope_both_ways() -> None:
    inverter = plain(ramp_w_s=1000.0)
    assert power_after(inverter, 5000.0, 2.0) == pytest.approx(2000.0)
    assert power_after(inverter, -5000.0, 3.0) == pytest.approx(-1000.0)


# fmt: off
RATINGS = [
    # p_set    q_set   p_w      q_var    changes                    why
    (9000.0,   0.0,    7000.0,  0.0,     {},                        "discharge rating"),
    (-9000.0,  0.0,   -7200.0,  0.0,     {},                        "charge rating, another number on purpose"),
    (100.0,    9000.0, 100.0,   3300.0,  {},                        "reactive rating"),
    (7000.0,   3300.0, 6623.44, 3300.0,  {},                        "circle, Q first: sqrt(7400^2 - 3300^2)"),
    (7000.0,  -3300.0, 7000.0, -2400.0,  {"q_first": False},        "circle, P first: sqrt(7400^2 - 7000^2)"),
    (5000.0,   0.0,   -5000.0,  0.0,     {"gain": -1.0},            "fault: the wrong way round"),
    (5000.0,   0.0,    2500.0,  0.0,     {"gain": 0.5},             "fault: half the slope"),
    (499.0,    0.0,    0.0,     0.0,     {"p_min_abs_w": 500.0},    "below the smallest power: 0"),
    (-499.0,   0.0,    0.0,     0.0,     {"p_min_abs_w": 500.0},    "the same while charging"),
    (500.0,    0.0,    500.0,   0.0,     {"p_min_abs_w": 500.0},    "the smallest power itself is held"),
]
# fmt: on


@pytest.mark.parametrize(("p_set", "q_set", "p_w", "q_var", "changes", "why"), RATINGS, ids=[c[-1] for c in RATINGS])
def test_limits(p_set: float, q_set: float, p_w: float, q_var: float, changes: dict[str, float], why: str) -> None:
    inverter = plain(**changes)
    inverter.step(DT, p_set, q_set)
    assert (inverter.p_w, inverter.q_var) == pytest.approx((p_w, q_var), abs=0.01)


def test_half_the_voltage_carries_half_the_apparent_power() -> None:
    inverter = plain()
    inverter.step(DT, 7000.0, 0.0, v_pu=0.5)
    assert inverter.p_w == pytest.approx(3700.0)


def test_an_inverter_with_current_to_spare_holds_its_rating_down_to_a_lower_voltage() -> None:
    inverter = plain(v_low_pu=0.88)
    for v_pu, p_w in ((0.88, 7000.0), (0.44, 3700.0)):
        inverter.step(DT, 7000.0, 0.0, v_pu=v_pu)
        assert inverter.p_w == pytest.approx(p_w)


def test_the_direction_turns_after_resting_at_zero() -> None:
    inverter = plain(dwell_s=0.5)
    power_after(inverter, 2000.0, 1.0)
    assert power_after(inverter, -2000.0, 0.5) == 0.0
    assert power_after(inverter, -2000.0, 2 * DT) == -2000.0


def test_rest_at_zero_before_the_order_counts_as_dwell() -> None:
    inverter = plain(dwell_s=0.5)
    power_after(inverter, 2000.0, 1.0)
    power_after(inverter, 0.0, 1.0)
    assert power_after(inverter, -2000.0, DT) == -2000.0


def test_the_same_direction_never_waits() -> None:
    inverter = plain(dwell_s=0.5)
    power_after(inverter, 2000.0, 1.0)
    power_after(inverter, 0.0, DT)
    assert power_after(inverter, 1500.0, DT) == 1500.0


# fmt: off
REVERSIONS = [
    # rvrt_s ena_rvrt rvrt_w after_s   enabled value   why
    (5.0,    True,    0.0,   4.99,     True,   3000.0, "still running"),
    (5.0,    True,    0.0,   5.0,      True,   0.0,    "ran out: 0 W and still enabled"),
    (5.0,    False,   0.0,   5.0,      False,  0.0,    "reversion enable 0 sets the unit free"),
    (5.0,    True,    -500., 5.0,      True,   -500.0, "the reversion value counts, not 0"),
    (0.0,    True,    0.0,   86400.0,  True,   3000.0, "no timer: the set-point is held for ever"),
]
# fmt: on


@pytest.mark.parametrize(
    ("rvrt_s", "ena_rvrt", "rvrt_w", "after_s", "enabled", "value", "why"), REVERSIONS, ids=[c[-1] for c in REVERSIONS]
)
def test_reversion(
    rvrt_s: float, ena_rvrt: bool, rvrt_w: float, after_s: float, enabled: bool, value: float, why: str
) -> None:
    s = SetPoint(True, 3000.0, ena_rvrt, rvrt_w, rvrt_s)
    s.restart()
    s.step(after_s)
    assert (s.enabled, s.value) == (enabled, value)


def test_a_write_restarts_the_timer_and_it_runs_out_once() -> None:
    s = SetPoint(True, 3000.0, True, 0.0, 5.0)
    s.restart()
    assert not s.step(4.0)
    s.restart()
    assert not s.step(4.0)
    assert s.step(1.0)
    assert not s.step(100.0)


def test_a_disabled_set_point_has_no_timer() -> None:
    s = SetPoint(False, 3000.0, True, 0.0, 5.0)
    s.restart()
    assert not s.step(10.0)
    assert s.left_s == 5.0


def test_energy_balance_over_an_hour_of_changing_power() -> None:
    """What leaves the battery is what reached the grid / 0.9; what enters is what was drawn x 0.8."""
    battery = Battery(10000.0, 5000.0, eta_charge=0.8, eta_discharge=0.9)
    out_wh = in_wh = 0.0
    for i in range(3600):
        p_w = 4000.0 * sin(i / 100.0) + 300.0
        out_wh += max(p_w, 0.0) / 3600.0
        in_wh += max(-p_w, 0.0) / 3600.0
        battery.step(1.0, p_w)
    assert battery.energy_wh == pytest.approx(5000.0 - out_wh / 0.9 + in_wh * 0.8, abs=1e-6)


def test_a_round_trip_costs_both_efficiencies() -> None:
    battery = Battery(10000.0, 5000.0, eta_charge=0.8, eta_discharge=0.9)
    battery.step(3600.0, -1000.0)
    battery.step(3600.0, 720.0)  # 1000 x 0.8 x 0.9
    assert battery.energy_wh == pytest.approx(5000.0)


def test_halving_the_step_halves_the_energy_error() -> None:
    """First order, against E = P (t - tau (1 - exp(-t / tau))) of a first-order rise."""
    exact_wh = 3600.0 * (2.0 - 0.5 * (1 - exp(-4.0))) / 3600.0

    def error(dt_s: float) -> float:
        unit = Unit(plain(lag_s=0.5), Battery(eta_discharge=1.0), own_w=3600.0)
        before = unit.battery.energy_wh
        for _ in range(round(2.0 / dt_s)):
            unit.step(dt_s)
        return abs(before - unit.battery.energy_wh - exact_wh)

    assert error(0.02) / error(0.01) == pytest.approx(2.0, rel=0.05)


# fmt: off
BATTERY_LIMITS = [
    # soc   own_w    p_w      why
    (0.10,  3000.0,  0.0,     "at the car's floor: no discharge"),
    (0.10, -3000.0, -3000.0,  "but it charges"),
    (1.00, -3000.0,  0.0,     "full: no charge"),
    (1.00,  3000.0,  3000.0,  "but it discharges"),
]
# fmt: on


@pytest.mark.parametrize(("soc", "own_w", "p_w", "why"), BATTERY_LIMITS, ids=[c[-1] for c in BATTERY_LIMITS])
def test_battery_limits(soc: float, own_w: float, p_w: float, why: str) -> None:
    unit = Unit(plain(), Battery(10000.0, soc * 10000.0), own_w=own_w)
    unit.step(DT)
    assert unit.inverter.p_w == p_w


@pytest.mark.parametrize(("own_w", "p_w"), [(3000.0, 1000.0), (-3000.0, -500.0)])
def test_the_cars_own_limits_of_power_act_at_once(own_w: float, p_w: float) -> None:
    unit = Unit(plain(), own_w=own_w)
    unit.step(DT)
    assert unit.inverter.p_w == own_w
    unit.car_discharge_w, unit.car_charge_w = 1000.0, 500.0
    unit.step(DT)
    assert unit.inverter.p_w == p_w


@pytest.mark.parametrize("own_w", [7000.0, -7000.0])
def test_charge_never_leaves_the_cars_limits(own_w: float) -> None:
    unit = Unit(plain(), Battery(1000.0, 500.0, soc_min=0.2, soc_max=0.9), own_w=own_w)
    for _ in range(1000):
        unit.step(1.0)
    assert unit.battery.soc == pytest.approx(0.2 if own_w > 0 else 0.9)
    assert unit.inverter.p_w == pytest.approx(0.0, abs=1e-6)


def unplug(unit: Unit) -> None:
    unit.session = Session.UNPLUGGED


def end(unit: Unit) -> None:
    unit.session = Session.ENDED


@pytest.mark.parametrize("happens", [unplug, end])
def test_without_a_car_power_is_zero_at_once(happens: Callable[[Unit], None]) -> None:
    unit = Unit(Inverter(), own_w=3000.0)
    for _ in range(300):
        unit.step(DT)
    happens(unit)
    unit.step(DT)
    assert (unit.inverter.p_w, unit.inverter.q_var) == (0.0, 0.0)


def test_without_a_grid_power_is_zero_at_once_and_comes_back_through_the_lag() -> None:
    unit = Unit(plain(lag_s=1.0), own_w=3000.0)
    unit.step(10.0)
    unit.step(DT, connected=False)
    assert unit.inverter.p_w == 0.0
    unit.step(1.0)
    assert unit.inverter.p_w == pytest.approx(3000.0 * (1 - exp(-1.0)))


def test_no_time_no_change() -> None:
    unit = Unit(plain(), own_w=3000.0)
    assert not unit.step(0.0)
    assert unit.inverter.p_w == 0.0


def test_the_cap_cuts_export_only() -> None:
    unit = Unit(plain(), p_set=SetPoint(True, 5000.0), p_cap=SetPoint(True, 2000.0))
    unit.step(DT)
    assert unit.inverter.p_w == 2000.0
    unit.p_set.value = -5000.0
    unit.step(DT)
    assert unit.inverter.p_w == -5000.0


@pytest.mark.parametrize("wrong", [{"eta_charge": 0.0}, {"eta_discharge": 1.1}, {"soc_min": 1.0}, {"energy_wh": -1.0}])
def test_a_battery_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"efficiencies|soc_min"):
        Battery(**wrong)
