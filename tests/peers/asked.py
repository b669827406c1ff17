"""What a case asks for before the apparent-power circle, computed from the document and from neither of the two.

Powers in pu of p_rated_w, + = into the grid. For the rules only: regions, not expected values.
Source   IEEE 1547-2018 5.3, 5.4.2, 6.5.2.7; order of 4.7.
"""

from __future__ import annotations

import math

import numpy as np

from cython_core.settings import TABLE_7, RatingSettings, Settings
from tests.peers.cases import Case


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
