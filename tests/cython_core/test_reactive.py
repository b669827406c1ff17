"""One reactive mode at a time, the way from one to another, and what gives way at the apparent-power limit.

10 kVA, 10 kW out, 8 kW in. 0.44 pu = 4400 var. IEEE 1547-2018 4.6.3, 5.2, 5.3.1 and 4.7.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from cython_core.records import Reason
from cython_core.settings import MODES
from tests.cython_core.unit import Unit, reasons, running, settings

QUICK = {"ramp_pu_s": 10.0}
PF_09 = {"pf": 0.9, "excitation": "inject"}
PF_ABS = {**PF_09, "excitation": "absorb"}
NONE, PF, VV = Reason(0), Reason.POWER_FACTOR, Reason.VOLT_VAR
WV, CQ = Reason.WATT_VAR, Reason.CONST_VAR
ALL = {"q_inject_pu": 0.6, "q_absorb_pu": 0.6}

# fmt: off
STEADY = [
    # groups, wish W, v pu, p W, q var, reason, why
    ({"reactive": {"mode": "off"}},               5000.0,  1.08, 5000.0,  0.0,     NONE, "off"),
    ({"power_factor": {}},                        5000.0,  1.08, 5000.0,  0.0,     NONE, "unity"),
    ({"power_factor": PF_09},                     5000.0,  1.00, 5000.0,  2421.6,  PF,   "0.4843 P"),
    ({"power_factor": PF_09},                     -5000.0, 1.00, -5000.0, -2421.6, PF,   "same line"),
    ({"power_factor": PF_09},                     10000.0, 1.00, 9000.0,  4358.9,  PF,   "both shrink"),
    ({"power_factor": PF_ABS},                    5000.0,  1.00, 5000.0,  -2421.6, PF,   "absorb"),
    ({"volt_var": {}},                            5000.0,  1.05, 5000.0,  -2200.0, VV,   "half way"),
    ({"volt_var": {}},                            10000.0, 1.08, 8979.98, -4400.0, VV,   "Q first"),
    ({"watt_var": {}},                            7500.0,  1.00, 7500.0,  -2200.0, WV,   "half way"),
    ({"watt_var": {}},                            -6000.0, 1.00, -6000.0, 2200.0,  WV,   "-0.75 of 8 kW"),
    ({"watt_var": {}},                            10000.0, 1.00, 9267.91, -3755.76, WV,   "crosses"),
    ({"const_var": {"q_pu": 0.44}},               10000.0, 1.00, 8979.98, 4400.0,  CQ,   "Q first"),
    ({"const_var": {"q_pu": 0.44}},               -8000.0, 1.00, -8000.0, 4400.0,  CQ,   "no turn"),
    ({"const_var": {"q_pu": 0.6}, "rating": ALL}, 10000.0, 1.00, 8000.0,  6000.0,  CQ,   "beyond: Q"),
]
BEYOND = [
    # q_pu    wish_w    p_w       q_var     why: active power first beyond Table 7 (0.44)
    (0.6,     10000.0,  8979.98,  4400.0,   "Table 7 is kept, the rest gives way"),
    (0.6,      8500.0,  8500.0,   5267.8,   "what the circle leaves beyond it: sqrt(1 - 0.85^2)"),
    (0.6,      5000.0,  5000.0,   6000.0,   "room for both"),
    (-0.6,    10000.0,  8979.98, -4400.0,   "absorbing"),
    (0.3,     10000.0,  9539.4,   3000.0,   "inside Table 7 Q is first in any case"),
]
LOW_POWER = [
    # p_w      q_var   why: in proportion below 20 % of 10 kW
    (5000.0,   4400.0, "above: all of it"),
    (2000.0,   4400.0, "the edge"),
    (1000.0,   2200.0, "half"),
    (500.0,    1100.0, "a quarter at 5 %"),
    (-1000.0,  2200.0, "charging: the same"),
    (0.0,      0.0,    "nothing is required at rest"),
]
# fmt: on


@pytest.mark.parametrize(
    ("groups", "wish_w", "v_pu", "p_w", "q_var", "bit", "why"), STEADY, ids=[c[-1] for c in STEADY]
)
def test_steady_state(
    groups: dict[str, Any], wish_w: float, v_pu: float, p_w: float, q_var: float, bit: Reason, why: str
) -> None:
    record = running(wish_w, limits=QUICK, **groups).coast(60.0, v_v=(230.0 * v_pu,))
    assert (record.p_cmd_w, record.q_cmd_var) == pytest.approx((p_w, q_var), abs=0.1), why
    assert reasons(record) & (PF | VV | WV | CQ) == bit
    assert bool(reasons(record) & Reason.APPARENT_POWER) == (p_w != wish_w)


@pytest.mark.parametrize(("q_pu", "wish_w", "p_w", "q_var", "why"), BEYOND, ids=[c[-1] for c in BEYOND])
def test_active_power_first_beyond_table_7(q_pu: float, wish_w: float, p_w: float, q_var: float, why: str) -> None:
    more = {"rating": ALL, "reactive": {"mode": "constant_q", "beyond_table_7": "active"}}
    record = running(wish_w, limits=QUICK, const_var={"q_pu": q_pu}, **more).coast(60.0)
    assert (record.p_cmd_w, record.q_cmd_var) == pytest.approx((p_w, q_var), abs=0.1), why
    assert bool(reasons(record) & Reason.REACTIVE_LIMIT) == (q_var != pytest.approx(q_pu * 10000.0, abs=0.1))


@pytest.mark.parametrize(("p_w", "q_var", "why"), LOW_POWER, ids=[c[-1] for c in LOW_POWER])
def test_capability_in_the_low_power_region(p_w: float, q_var: float, why: str) -> None:
    reactive = {"mode": "constant_q", "at_low_power": "in_proportion"}
    record = running(p_w, limits=QUICK, const_var={"q_pu": 0.44}, reactive=reactive).coast(60.0)
    assert record.q_cmd_var == pytest.approx(q_var, abs=0.1), why
    assert bool(reasons(record) & Reason.REACTIVE_LIMIT) == (q_var < 4400.0)


def test_charging_has_its_own_apparent_power() -> None:
    """5 kVA while charging: 4400 var leave sqrt(5000^2 - 4400^2) W."""
    rating = {"s_charge_rated_va": 5000.0}
    unit = running(-6000.0, limits=QUICK, const_var={"q_pu": 0.44}, rating=rating)
    assert unit.coast(60.0).p_cmd_w == pytest.approx(-2374.87, abs=0.1)
    unit.wish(6000.0)
    assert unit.coast(60.0).p_cmd_w == pytest.approx(6000.0)


# --- from one mode to another ---

CURVES: dict[str, Any] = {
    "power_factor": PF_09,
    "volt_var": {"olrt_s": 1.0},
    "watt_var": {"response_s": 1.0},
    "const_var": {"q_pu": -0.3, "response_s": 1.0},
}


def unit_in(mode: str, transition_s: float) -> Unit:
    groups = {**CURVES, "reactive": {"mode": mode, "transition_s": transition_s}}
    unit = running(7500.0, limits=QUICK, **groups)
    unit.coast(30.0, v_v=(230.0 * 1.05,))
    return unit


@pytest.mark.parametrize("transition_s", [5.0, 300.0])
@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
def test_crossing_over_is_smooth_and_ends_at_the_new_mode(before: str, after: str, transition_s: float) -> None:
    """4.6.3: no step; a straight line over the transition time; exact at its end, not before half of it."""
    unit, target = unit_in(before, transition_s), unit_in(after, transition_s).last.q_cmd_var
    q_var, start = unit.last.q_cmd_var, len(unit.records)
    unit.core.change(settings(limits=QUICK, **CURVES, reactive={"mode": after, "transition_s": transition_s}))
    half = unit.coast(transition_s / 2)
    assert half.q_cmd_var == pytest.approx((q_var + target) / 2, abs=0.03 * abs(q_var - target) + 2.0)
    assert bool(reasons(half) & Reason.MODE_CHANGE) == (before != after)
    end = unit.coast(transition_s / 2 + 0.2)
    assert end.q_cmd_var == pytest.approx(target, abs=0.5)
    assert not reasons(end) & Reason.MODE_CHANGE
    line = abs(q_var - target) / transition_s * 0.1 * 1.2 + 0.5  # of a tenth of a second
    steps = [abs(b.q_cmd_var - a.q_cmd_var) for a, b in pairwise(unit.records[start - 1 :])]
    assert max(steps) <= line


def test_a_second_change_starts_from_where_the_first_one_is() -> None:
    unit = unit_in("volt_var", 60.0)
    unit.core.change(settings(limits=QUICK, **CURVES, reactive={"mode": "constant_pf", "transition_s": 60.0}))
    start = len(unit.records)
    unit.coast(20.0)
    unit.core.change(settings(limits=QUICK, **CURVES, reactive={"mode": "constant_q", "transition_s": 60.0}))
    unit.coast(60.5)
    assert unit.last.q_cmd_var == pytest.approx(-3000.0, abs=0.5)
    assert max(abs(b.q_cmd_var - a.q_cmd_var) for a, b in pairwise(unit.records[start - 1 :])) < 20.0


def test_new_points_of_the_same_mode_follow_by_its_own_lag() -> None:
    unit = unit_in("constant_q", 60.0)
    curves = {**CURVES, "const_var": {"q_pu": 0.3, "response_s": 1.0}}
    unit.core.change(settings(limits=QUICK, **curves, reactive={"mode": "constant_q", "transition_s": 60.0}))
    assert unit.advance(1.0).q_cmd_var == pytest.approx(3000.0 - 600.0, abs=1.0)  # 90 % of 6000 var
    assert not reasons(unit.last) & Reason.MODE_CHANGE


# --- autonomous V_Ref ---

# fmt: off
V_REF = [
    # t_s   v_ref     q_pu      why: 1.00 -> 1.05 with a time constant of 300 s
    (60.0,  1.0091,  -0.1562,   "1 - e^-0.2"),
    (120.0, 1.0165,  -0.1013,   "1 - e^-0.4"),
    (300.0, 1.0316,   0.0,      "63.2 % after the time constant: inside the dead band again"),
    (600.0, 1.0432,   0.0,      "86.5 %"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "v_ref", "q_pu", "why"), V_REF, ids=[c[-1] for c in V_REF])
def test_autonomous_v_ref(t_s: float, v_ref: float, q_pu: float, why: str) -> None:
    unit = running(0.0, volt_var={"v_ref_auto": True})
    record = unit.coast(t_s, v_v=(230.0 * 1.05,))
    assert record.v_ref_pu == pytest.approx(v_ref, abs=1e-4), why
    assert record.q_cmd_var == pytest.approx(q_pu * 10000.0, abs=25.0)


@pytest.mark.parametrize(("v_pu", "v_ref"), [(1.2, 1.05), (0.7, 0.95)])
def test_autonomous_v_ref_stays_within_its_limits(v_pu: float, v_ref: float) -> None:
    assert running(0.0, volt_var={"v_ref_auto": True}).coast(1500.0, v_v=(230.0 * v_pu,)).v_ref_pu == v_ref
