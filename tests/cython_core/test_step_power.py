"""Stages 3 and 5 inside the step: the ramp of a wish, the active power limit, and volt-var beside them."""

from __future__ import annotations

from typing import Any

import pytest

from cython_core.records import NAN, Reason
from tests.cython_core.unit import QUICK, Unit, reasons, running

VV = {"olrt_s": 5.0}

# --- the wish and its ramp ---

# fmt: off
RAMP = [
    # from_w     to_w      t_s    p_w        bit          why: 0.2 pu/s of 10 kW
    (0.0,        6000.0,   0.01,     20.0,   Reason.RAMP, "one step"),
    (0.0,        6000.0,   2.99,   5980.0,   Reason.RAMP, "one before the last"),
    (0.0,        6000.0,   3.00,   6000.0,   0,           "arrived"),
    (6000.0,    -6000.0,   3.00,      0.0,   Reason.RAMP, "through 0 at the same pace"),
    (6000.0,    -6000.0,   6.00,  -6000.0,   0,           "charging"),
    (0.0,       20000.0,   9.00,  10000.0,   0,           "never above the rating"),
    (0.0,      -20000.0,   9.00,  -8000.0,   0,           "never below the charge rating"),
]
# fmt: on


@pytest.mark.parametrize(("from_w", "to_w", "t_s", "p_w", "bit", "why"), RAMP, ids=[c[-1] for c in RAMP])
def test_a_new_wish_is_approached_by_the_ramp(
    from_w: float, to_w: float, t_s: float, p_w: float, bit: int, why: str
) -> None:
    unit = running(from_w)
    unit.wish(to_w)
    start = len(unit.records)
    record = unit.advance(t_s)
    assert record.p_cmd_w == pytest.approx(p_w, abs=1e-6), why
    assert reasons(record) & Reason.RAMP == bit
    assert bool(reasons(record) & Reason.WISH_CLAMPED) == (abs(to_w) > 10000.0)
    assert unit.largest_step_w(since=start) <= 20.0 + 1e-6


# --- limit maximum active power ---

# fmt: off
LIMIT = [
    # wish_w     ap_limit       settings                             p_w       why
    (8000.0,     0.5,           {},                                   5000.0,  "an order of half"),
    (8000.0,     0.0,           {},                                      0.0,  "none"),
    (8000.0,     NAN,           {},                                   8000.0,  "no order"),
    (4000.0,     0.5,           {},                                   4000.0,  "it caps, it does not set"),
    (-8000.0,    0.0,           {},                                  -8000.0,  "charging is untouched"),
    (8000.0,     -1.0,          {},                                      0.0,  "below 0: the nearer end"),
    (8000.0,     7.0,           {},                                   8000.0,  "above 1: the nearer end"),
    (8000.0,     NAN,           {"enable": True, "limit_pu": 0.3},    3000.0,  "the site's own"),
    (8000.0,     0.5,           {"enable": True, "limit_pu": 0.3},    3000.0,  "the lower of both: the site's"),
    (8000.0,     0.2,           {"enable": True, "limit_pu": 0.3},    2000.0,  "the lower of both: the order"),
    (8000.0,     NAN,           {"enable": False, "limit_pu": 0.3},   8000.0,  "switched off"),
]
# fmt: on


@pytest.mark.parametrize(("wish_w", "ap_limit", "group", "p_w", "why"), LIMIT, ids=[c[-1] for c in LIMIT])
def test_active_power_limit(wish_w: float, ap_limit: float, group: dict[str, Any], p_w: float, why: str) -> None:
    record = running(wish_w, active_limit=group).coast(20.0, ap_limit=ap_limit)
    assert record.p_cmd_w == pytest.approx(p_w), why
    assert bool(reasons(record) & Reason.WISH_CLAMPED) == (p_w != wish_w)


def test_the_limit_takes_its_own_time() -> None:
    unit = running(10000.0)  # 10 s from 1 to 0
    assert unit.advance(3.0, ap_limit=0.5).p_cmd_w == pytest.approx(7000.0)
    assert reasons(unit.last) & Reason.ACTIVE_LIMIT
    assert unit.advance(2.0).p_cmd_w == pytest.approx(5000.0)
    assert unit.advance(2.0, ap_limit=NAN).p_cmd_w == pytest.approx(7000.0)


# --- volt-var ---

# fmt: off
SIGN = [
    # wish_w    v_pu    q_var     why: Category B, 10 kVA
    (5000.0,    1.00,      0.0,   "dead band"),
    (5000.0,    1.05,  -2200.0,   "high: absorbs"),
    (5000.0,    0.95,   2200.0,   "low: injects"),
    (-5000.0,   1.05,  -2200.0,   "charging does not turn Q round"),
    (-5000.0,   0.95,   2200.0,   "nor does it here"),
    (0.0,       1.05,  -2200.0,   "at rest too"),
]
LAG = [
    # t_s   q_var: -2200 (1 - 10 ** (-t / 5))   why
    (1.0,    -811.9,                            "1 s"),
    (5.0,   -1980.0,                            "90 % after the open-loop response time"),
    (10.0,  -2178.0,                            "99 %"),
]
# fmt: on


@pytest.mark.parametrize(("wish_w", "v_pu", "q_var", "why"), SIGN, ids=[c[-1] for c in SIGN])
def test_volt_var_sign(wish_w: float, v_pu: float, q_var: float, why: str) -> None:
    record = running(wish_w, volt_var=VV).coast(60.0, v_v=(230.0 * v_pu,))
    assert record.q_cmd_var == pytest.approx(q_var, abs=0.1), why
    assert record.p_cmd_w == wish_w
    assert bool(reasons(record) & Reason.VOLT_VAR) == (q_var != 0.0)


@pytest.mark.parametrize(("t_s", "q_var", "why"), LAG, ids=[c[-1] for c in LAG])
def test_volt_var_lag(t_s: float, q_var: float, why: str) -> None:
    record = running(0.0, volt_var=VV).advance(t_s, v_v=(241.5,))
    assert record.q_lag_var == pytest.approx(q_var, abs=0.1), why
    assert record.q_target_var == pytest.approx(-2200.0)


def test_switched_off_there_is_no_reactive_power() -> None:
    record = running(5000.0).coast(30.0, v_v=(250.0,))
    assert (record.q_cmd_var, record.q_target_var, reasons(record) & Reason.VOLT_VAR) == (0.0, 0.0, 0)


def test_held_voltage_freezes_q_where_its_lag_is() -> None:
    unit = running(0.0, volt_var=VV)
    unit.advance(1.0, v_v=(241.5,))
    unit.advance(0.35, v_v=(NAN,))  # the last good value still counts as fresh
    frozen = unit.last.q_cmd_var
    assert unit.advance(0.6).q_cmd_var == frozen
    assert abs(unit.advance(0.1).q_cmd_var) < abs(frozen)  # stale: released


def test_voltage_back_goes_on_with_the_lag_from_where_q_is() -> None:
    unit = running(0.0, volt_var=VV)
    unit.coast(30.0, v_v=(241.5,))
    unit.advance(5.0, v_v=(NAN,))
    assert unit.last.q_cmd_var == 0.0
    assert unit.advance(1.0, v_v=(241.5,)).q_cmd_var == pytest.approx(-811.9, abs=0.1)


def test_q_and_p_share_the_circle_q_first() -> None:
    unit = running(10000.0, limits=QUICK, volt_var=VV)
    record = unit.coast(60.0, v_v=(230.0 * 1.09,))
    assert (record.q_cmd_var, record.p_cmd_w) == pytest.approx((-4400.0, 8979.98), abs=0.1)
    assert unit.coast(60.0, v_v=(230.0,)).p_cmd_w == pytest.approx(10000.0, abs=0.1)


def test_the_default_wish_is_in_force_from_the_start() -> None:
    unit = Unit()
    record = unit.advance(2.0)
    assert (record.p_cmd_w, record.w_source) == (-1400.0, -1)
    assert reasons(record) & Reason.DEFAULT_WISH


def test_a_ceiling_holds_what_an_event_has_kept_above_a_new_wish() -> None:
    """8 kW frozen by droop, held at 2.5 kW by 1.09 pu; wish, voltage and frequency change: ramp and lag, no jump."""
    unit = running(8000.0, volt_watt={"enable": True})
    unit.coast(60.0, f_hz=59.9, v_v=(1.09 * 230.0,))
    begun = len(unit.records)
    unit.wish(500.0)
    unit.advance(1.0, v_v=(230.0,))
    unit.advance(30.0, f_hz=60.0)
    assert unit.largest_step_w(begun) <= 40.0
    assert unit.last.p_cmd_w == pytest.approx(500.0, abs=1.0)


@pytest.mark.parametrize("wish_w", [3000.0, 0.0, -300.0])
def test_a_ceiling_that_begins_to_bind_on_the_way_down_begins_where_the_power_is(wish_w: float) -> None:
    """8 kW on the way to the wish by 20 W a step; at 1.12 pu charging is forced: its lag takes 53 W in the first."""
    unit = running(8000.0, volt_watt={"enable": True, "p2_pu": -1.0})
    begun = len(unit.records)
    unit.wish(wish_w)
    unit.advance(30.0, v_v=(1.12 * 230.0,))
    assert unit.largest_step_w(begun) <= 54.0
    assert unit.last.p_cmd_w == pytest.approx(-8000.0, abs=30.0)


@pytest.mark.parametrize(("settings", "order_pu"), [({"enable": True, "limit_pu": 0.3}, NAN), ({}, 0.3)])
def test_a_limit_in_force_before_the_start_is_never_passed(settings: dict[str, Any], order_pu: float) -> None:
    """From 0 W, not in service, there is nothing to ramp down from."""
    unit = Unit(wish_w=10000.0, active_limit=settings)
    unit.advance(15.0, ap_limit=order_pu)
    assert unit.last.p_cmd_w == pytest.approx(3000.0)
    assert max(unit.powers()) <= 3000.0 + 1e-6


def test_a_unit_found_above_the_limit_goes_down_by_the_ramp() -> None:
    unit = Unit(wish_w=10000.0, active_limit={"enable": True, "limit_pu": 0.3})
    unit.device_p_w = 9000.0
    unit.advance(15.0)
    assert unit.powers()[0] >= 8980.0
    assert unit.largest_step_w() <= 20.0 + 1e-6
    assert unit.last.p_cmd_w == pytest.approx(3000.0)
