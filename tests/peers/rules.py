"""Where OpenDER 2.2.0 and we are known to differ, as rules over settings and inputs, each with its reason.

A rule is never about one case: it names a region. It sees what is asked for before the apparent-power circle (asked(),
q_of()), computed here from the document and not from either of the two. `most` is the share of the random cases that it
may take away; sections are those of the facts reference (IEEE 1547-2018 restated), clauses those of the standard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cython_core.settings import TABLE_7, RatingSettings, Settings
from tests.peers.cases import Case


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    where: Callable[[Case], bool]
    most: float
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """A series: at rest with `before` (60 Hz), then `after` with the same wish, then `before` again."""

    before: Case
    after: Case


@dataclass(frozen=True, slots=True)
class SeriesRule:
    name: str
    where: Callable[[Change], bool]
    most: float
    why: str


# ---- what is asked for, in pu of p_rated_w ----


def charge_pu(rating: RatingSettings) -> float:
    return rating.p_charge_rated_w / rating.p_rated_w


def ceiling(case: Case) -> float:
    """Volt-watt, Table 10; a negative P'2 is of the charge rating."""
    vw = case.settings.volt_watt
    p2 = vw.p2_pu if vw.p2_pu > 0.0 else vw.p2_pu * charge_pu(case.settings.rating)
    return float(np.interp(case.v_pu, (vw.v1_pu, vw.v2_pu), (1.0, p2))) if vw.enable else 1.0


def limit(case: Case) -> float:
    return case.settings.active_limit.limit_pu if case.settings.active_limit.enable else 1.0


def demand(case: Case) -> float:
    rating = case.settings.rating
    return min(max(case.p_w, -rating.p_charge_rated_w), rating.p_rated_w) / rating.p_rated_w


def droop(case: Case) -> float:
    """Table 23."""
    d = case.settings.freq_droop
    over, under = case.f_hz - (60.0 + d.db_of_hz), (60.0 - d.db_uf_hz) - case.f_hz
    return (max(under, 0.0) / (60.0 * d.k_uf) - max(over, 0.0) / (60.0 * d.k_of)) if d.enable else 0.0


def asked(case: Case) -> tuple[float, float]:
    """At 60 Hz, and at the frequency of the case, before the circle."""
    least = -charge_pu(case.settings.rating)
    before = max(min(demand(case), limit(case), ceiling(case)), least)
    if droop(case) == 0.0:
        return before, before
    return before, max(min(kept(case, before) + droop(case), ceiling(case), 1.0), least)


def s_pu(settings: Settings, p_pu: float) -> float:
    """The apparent power there is in this direction, in pu of p_rated_w."""
    rating = settings.rating
    s_va = (rating.s_charge_rated_va or rating.s_rated_va) if p_pu < 0.0 else rating.s_rated_va
    return s_va / rating.p_rated_w


def q_of(case: Case, p_pu: float) -> float:
    """Reactive power of the one mode, before capability and circle, in pu of p_rated_w."""
    s, reactive = case.settings, case.settings.reactive
    base = s.rating.s_rated_va / s.rating.p_rated_w
    if reactive.mode == "constant_pf":
        pf = s.power_factor
        return p_pu * math.sqrt(1.0 / pf.pf**2 - 1.0) * (1.0 if pf.excitation == "inject" else -1.0)
    if reactive.mode == "constant_q":
        return s.const_var.q_pu * base
    if reactive.mode == "volt_var":
        vv = s.volt_var
        v_ref = min(max(case.v_pu, vv.v_ref_min_pu), vv.v_ref_max_pu) if vv.v_ref_auto else vv.v_ref_pu
        v = case.v_pu - (v_ref - 1.0)
        return base * float(
            np.interp(v, (vv.v1_pu, vv.v2_pu, vv.v3_pu, vv.v4_pu), (vv.q1_pu, vv.q2_pu, vv.q3_pu, vv.q4_pu))
        )
    return base * watt_var(s, p_pu) if reactive.mode == "watt_var" else 0.0


def watt_var(s: Settings, p_pu: float) -> float:
    wv, charge = s.watt_var, charge_pu(s.rating)
    p = (wv.p3_load_pu * charge, wv.p2_load_pu * charge, wv.p1_load_pu * charge, wv.p1_pu, wv.p2_pu, wv.p3_pu)
    q = (wv.q3_load_pu, wv.q2_load_pu, wv.q1_load_pu, wv.q1_pu, wv.q2_pu, wv.q3_pu)
    return float(np.interp(p_pu, p, q))


def table_7(case: Case, q_pu: float) -> float:
    rating = case.settings.rating
    inject, absorb = TABLE_7[rating.normal_category]
    return (inject if q_pu > 0.0 else absorb) * rating.s_rated_va / rating.p_rated_w


def capability(case: Case, q_pu: float) -> float:
    rating = case.settings.rating
    return (rating.q_inject_pu if q_pu > 0.0 else rating.q_absorb_pu) * rating.s_rated_va / rating.p_rated_w


def outside(case: Case, p_pu: float) -> bool:
    return math.hypot(p_pu, q_of(case, p_pu)) >= s_pu(case.settings, p_pu)


def crossing(case: Case, p_pu: float) -> float:
    """From p_pu towards 0: where P and the mode's Q first are inside the circle."""
    if not outside(case, p_pu):
        return p_pu
    shares = [1.0 - i / 64.0 for i in range(65)]
    inside = next((share for share in shares if not outside(case, p_pu * share)), 0.0)
    beyond = inside + 1.0 / 64.0
    for _ in range(20):
        middle = 0.5 * (inside + beyond)
        inside, beyond = (inside, middle) if outside(case, p_pu * middle) else (middle, beyond)
    return p_pu * inside


def kept(case: Case, p_pu: float) -> float:
    """The power left beside the Q that comes first: what droop starts from."""
    s = case.settings
    q = q_of(case, p_pu)
    if s.reactive.mode not in ("volt_var", "constant_q"):
        return crossing(case, p_pu)
    q = min(abs(q), capability(case, q), *([table_7(case, q)] if s.reactive.beyond_table_7 == "active" else []))
    most = math.sqrt(max(s_pu(s, p_pu) ** 2 - q * q, 0.0))
    return min(max(p_pu, -most), most)


# ---- steady state ----


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


def on_a_vertical_step(case: Case) -> bool:
    vv = case.settings.volt_var
    if case.settings.reactive.mode != "volt_var" or not vv.v_ref_auto or vv.v2_pu != vv.v3_pu or vv.q2_pu == vv.q3_pu:
        return False
    return vv.v_ref_min_pu <= case.v_pu <= vv.v_ref_max_pu


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
        "section 16: with volt-watt and power limit both on, OpenDER's minimum lacks the demand: it may export",
    ),
    Rule(
        "charge above rated",
        charge_above_rated,
        0.045,
        "OpenDER's charge limit of 1 by state of charge is of NP_P_MAX; section 1: charging is of its own rating",
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
        "on a vertical step",
        on_a_vertical_step,
        0.012,
        "Table 8 with V2 = V3, Q2 > Q3, and V_Ref following the voltage to just there: ours is Q2, in OpenDER rounding"
        " decides",
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


# ---- on the way ----


def at_rest(change: Change) -> bool:
    return any(rule.where(case) for rule in STEADY for case in (change.before, change.after))


def lag_on_the_ceiling(change: Change) -> bool:
    case = change.after
    low = min(ceiling(change.before), ceiling(case))
    asked_most = max(demand(case), demand(case) + droop(case))
    return low < min(asked_most, 1.0) and not (demand(case) == 1.0 and droop(case) == 0.0 and limit(case) == 1.0)


def droop_at_a_limit(change: Change) -> bool:
    case = change.after
    least = -charge_pu(case.settings.rating)
    target = kept(change.before, asked(change.before)[0]) + droop(case)
    beyond = case.p_w / case.settings.rating.p_rated_w < least
    return droop(case) != 0.0 and (beyond or not least <= target <= 1.0)


def droop_at_the_circle(change: Change) -> bool:
    cases = (change.before, change.after)
    return droop(change.after) != 0.0 and any(outside(case, p) for case in cases for p in asked(case))


def through_zero(change: Change) -> bool:
    powers = asked(change.before) + asked(change.after)
    return beside_zero(change.after.settings, min(powers), max(powers))


SERIES = (
    SeriesRule("at rest", at_rest, 0.25, "a rule of the steady state holds before or after the change"),
    SeriesRule(
        "lag on the ceiling",
        lag_on_the_ceiling,
        0.12,
        "trap 9: OpenDER's volt-watt lag is on the ceiling, ours on min(demand, ceiling): equal at rated power only",
    ),
    SeriesRule(
        "droop at a limit",
        droop_at_a_limit,
        0.12,
        "6.5.2.7: OpenDER's lag is on the power, clipped when it is droop's and not when it is a wish; ours on the droop"
        " term alone: it is sooner at a limit and sooner away from it",
    ),
    SeriesRule(
        "droop at the circle",
        droop_at_the_circle,
        0.15,
        "4.7: OpenDER's way back from an event starts towards the demand, ours towards the power before the event",
    ),
    SeriesRule(
        "watt-var through zero", through_zero, 0.06, "5.3.4: between P'1 and P1, as at rest, but on the way from P to P"
    ),
)
