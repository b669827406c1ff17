"""Where OpenDER 2.2.0 and we are known to differ at rest, as rules over settings and inputs, each with its reason.

A rule is never about one case: it names a region, by what is asked for (asked.py). `most` is the share of the random
cases that it may take away; clauses are those of IEEE 1547-2018. test_opender.py has an example of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from cython_core.settings import Settings
from tests.peers.asked import (
    asked,
    capability,
    ceiling,
    charge_pu,
    crossing,
    demand,
    limit,
    outside,
    q_of,
    s_pu,
    table_7,
)
from tests.peers.cases import Case


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    where: Callable[[Case], bool]
    most: float
    why: str


def demand_left_out(case: Case) -> bool:
    s = case.settings
    return s.volt_watt.enable and s.active_limit.enable and demand(case) < min(limit(case), ceiling(case))


def charge_above_rated(case: Case) -> bool:
    return min(asked(case)) < -1.0


def power_raised(case: Case) -> bool:
    s = case.settings
    if s.reactive.beyond_table_7 != "active" or s.reactive.mode not in ("volt_var", "constant_q"):
        return False
    for p in asked(case):
        q = q_of(case, p)
        q7 = table_7(case, q)
        if abs(q) > q7 and outside(case, p) and math.hypot(p, q7) < s_pu(s, p):
            return True
    return False


def power_factor_beyond_capability(case: Case) -> bool:
    if case.settings.reactive.mode != "constant_pf":
        return False
    return any(abs(q_of(case, p)) > capability(case, q_of(case, p)) and outside(case, p) for p in asked(case))


def q_above_charge_rating(case: Case) -> bool:
    if case.settings.reactive.mode == "constant_pf":
        return False
    for p in asked(case):
        q = q_of(case, p)
        if p < 0.0 and min(abs(q), capability(case, q)) > s_pu(case.settings, p):
            return True
    return False


def frequency_hides_voltage(case: Case) -> bool:
    s = case.settings
    low, high = {"I": (0.5, 1.2), "II": (0.3, 1.2), "III": (s.ride_through.mc_low_pu, s.ride_through.mc_high_pu)}[
        s.rating.abnormal_category
    ]
    return s.ride_through.owner == "controller" and not low <= case.v_pu <= high and not 57.0 <= case.f_hz <= 61.8


def crossings(case: Case) -> list[tuple[float, float]]:
    """(asked, crossing) wherever the circle binds watt-var."""
    if case.settings.reactive.mode != "watt_var":
        return []
    return [(p, crossing(case, p)) for p in asked(case) if outside(case, p)]


def watt_var_active_first(case: Case) -> bool:
    if case.settings.reactive.beyond_table_7 != "active":
        return False
    return any(abs(q_of(case, p)) > table_7(case, q_of(case, p)) for _, p in crossings(case))


def watt_var_turning(case: Case) -> bool:
    for p_asked, p in crossings(case):
        q_asked, q = q_of(case, p_asked), q_of(case, p)
        if not (0.0 <= q <= q_asked or q_asked <= q <= 0.0):
            return True
    return False


def watt_var_steep(case: Case) -> bool:
    for _, p in crossings(case):
        if p != 0.0:
            slope = (q_of(case, p * 1.0001) - q_of(case, p)) / (p * 0.0001)
            if 0.9 * p * (p + q_of(case, p) * slope) > 1.9 * s_pu(case.settings, p) ** 2:
                return True
    return False


def watt_var_across_zero(case: Case) -> bool:
    return any(beside_zero(case.settings, p, p) for p in asked(case))


def beside_zero(s: Settings, low_pu: float, high_pu: float) -> bool:
    """Part of low_pu ... high_pu is between P'1 and P1, where the bases differ and Q is not the same."""
    wv = s.watt_var
    if s.reactive.mode != "watt_var" or charge_pu(s.rating) == 1.0 or wv.q1_pu == wv.q1_load_pu:
        return False
    return wv.p1_load_pu * charge_pu(s.rating) < high_pu and low_pu < wv.p1_pu


STEADY = (
    Rule(
        "demand left out",
        demand_left_out,
        0.10,
        "4.7: with volt-watt and power limit both on, the minimum in OpenDER's p_funcs_bess.py lacks the demand",
    ),
    Rule(
        "charge above rated",
        charge_above_rated,
        0.045,
        "OpenDER's charge limit of 1 by state of charge is of NP_P_MAX; 10.3: charging has its own rating",
    ),
    Rule(
        "power raised",
        power_raised,
        0.01,
        "4.7: beyond Table 7 active power may come first. OpenDER then sets P to all that the circle leaves beside"
        " Table 7, above what was asked for; ours keeps P and gives Q the room",
    ),
    Rule(
        "power factor beyond capability",
        power_factor_beyond_capability,
        0.025,
        "5.2 and 5.3.2: no power factor is held any more. OpenDER gives up Q, ours has shrunk P with the Q asked for",
    ),
    Rule(
        "Q above the charge rating",
        q_above_charge_rating,
        0.004,
        "10.3: Q alone fills the apparent power for charging. OpenDER takes the root of a negative number; ours: P 0",
    ),
    Rule(
        "frequency hides voltage",
        frequency_hides_voltage,
        0.005,
        "6.4.2: OpenDER has one state; a frequency beyond 57.0 ... 61.8 Hz replaces cessation, and power flows",
    ),
    Rule(
        "watt-var, active power first",
        watt_var_active_first,
        0.02,
        "4.7: beyond Table 7 either may come first. OpenDER's watt-var goes along the curve whatever was chosen",
    ),
    Rule(
        "watt-var turning back",
        watt_var_turning,
        0.004,
        "5.3.4: OpenDER takes the sign and the smaller size of Q at the asked P, not the curve's Q at the crossing",
    ),
    Rule(
        "watt-var steep at the circle",
        watt_var_steep,
        0.004,
        "OpenDER's iteration x += 0.9 (S / |x, q(x)| - 1) x overshoots by more than its error, and ends off the circle",
    ),
    Rule(
        "watt-var across zero",
        watt_var_across_zero,
        0.06,
        "5.3.4: straight between P'1 and P1. In W for us; OpenDER's is straight in mixed pu, with a corner at 0 W where"
        " the two ratings differ",
    ),
)
