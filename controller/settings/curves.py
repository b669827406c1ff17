"""The static answer of each function, straight from the formulas of the standard: what a plot draws. Pure, scalar.

Units    pu; P of p_rated_w on both sides, Q of s_rated_va; f in Hz. The compiled core is not used: this is for people.
Source   IEEE 1547-2018: droop 6.5.2.7, volt-watt 5.4.2, volt-var 5.3.3, watt-var 5.3.4, power factor 5.3.2, capability
         5.2 Table 7, priority 4.7; ride-through Tables 14-16 (6.4.2) and 19 (6.5.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cython_core.settings import TABLE_7, Settings

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Point:
    """The grid and the power before any function, p of p_rated_w, + = export."""

    f_hz: float
    v_pu: float
    p_pu: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the unit would settle at; cap: the volt-watt ceiling."""

    p_pu: float
    q_pu: float
    cap_pu: float


def answer(s: Settings, at: Point) -> Answer:
    """All functions together: droop replaces the active limit, volt-watt caps droop, reactive power comes first."""
    cap = volt_watt(s, at.v_pu) if s.volt_watt.enable else 1.0
    limit = s.active_limit.limit_pu if s.active_limit.enable else 1.0
    p = min(at.p_pu, limit)
    if s.freq_droop.enable and in_event(s, at.f_hz):
        p = droop(s, at.f_hz, p)
    p = max(min(p, cap, 1.0), lowest(s))
    q = reactive(s, at.v_pu, p)
    q_of_p = q * s.rating.s_rated_va / s.rating.p_rated_w
    most = math.sqrt(max(circle(s, p) ** 2 - q_of_p * q_of_p, 0.0))
    return Answer(max(min(p, most), -most), q, cap)


def lowest(s: Settings) -> float:
    """Charging at the charge rating."""
    return -s.rating.p_charge_rated_w / s.rating.p_rated_w


def circle(s: Settings, p: float) -> float:
    """Radius of the P-Q circle, of p_rated_w."""
    charge_va = s.rating.s_charge_rated_va or s.rating.s_rated_va
    return (s.rating.s_rated_va if p >= 0.0 else charge_va) / s.rating.p_rated_w


def in_event(s: Settings, f_hz: float) -> bool:
    f_nom = s.rating.f_nom_hz
    return not f_nom - s.freq_droop.db_uf_hz <= f_hz <= f_nom + s.freq_droop.db_of_hz


def droop(s: Settings, f_hz: float, p_pre: float) -> float:
    d, f_nom = s.freq_droop, s.rating.f_nom_hz
    over, under = f_hz - (f_nom + d.db_of_hz), (f_nom - d.db_uf_hz) - f_hz
    if over > 0.0:
        return max(p_pre - over / (f_nom * d.k_of), lowest(s))
    return min(p_pre + under / (f_nom * d.k_uf), 1.0) if under > 0.0 else p_pre


def volt_watt(s: Settings, v_pu: float) -> float:
    """The ceiling; below 0 its end is of the charge rating."""
    w = s.volt_watt
    p2 = w.p2_pu if w.p2_pu >= 0.0 else w.p2_pu * s.rating.p_charge_rated_w / s.rating.p_rated_w
    return along(((w.v1_pu, 1.0), (w.v2_pu, p2)), v_pu)


def volt_var(s: Settings, v_pu: float, v_ref_pu: float | None = None) -> float:
    v = s.volt_var
    shift = (v.v_ref_pu if v_ref_pu is None else v_ref_pu) - 1.0
    points = ((v.v1_pu, v.q1_pu), (v.v2_pu, v.q2_pu), (v.v3_pu, v.q3_pu), (v.v4_pu, v.q4_pu))
    return along([(x + shift, q) for x, q in points], v_pu)


def watt_var(s: Settings, p: float) -> float:
    """p of p_rated_w; the points left of zero are of the charge rating."""
    w, k = s.watt_var, s.rating.p_charge_rated_w / s.rating.p_rated_w
    left = ((w.p3_load_pu, w.q3_load_pu), (w.p2_load_pu, w.q2_load_pu), (w.p1_load_pu, w.q1_load_pu))
    right = ((w.p1_pu, w.q1_pu), (w.p2_pu, w.q2_pu), (w.p3_pu, w.q3_pu))
    return along([*((x * k, q) for x, q in left), *right], p)


def power_factor(s: Settings, p: float) -> float:
    """Q of s_rated_va on the line through both quadrants."""
    f = s.power_factor
    sign = 1.0 if f.excitation == "inject" else -1.0
    return sign * p * math.sqrt(1.0 / f.pf**2 - 1.0) * s.rating.p_rated_w / s.rating.s_rated_va


def reactive(s: Settings, v_pu: float, p: float) -> float:
    """Q of the one enabled mode, inside the unit's capability."""
    r = s.rating
    q = {
        "off": 0.0,
        "volt_var": volt_var(s, v_pu),
        "watt_var": watt_var(s, p),
        "constant_pf": power_factor(s, p),
        "constant_q": s.const_var.q_pu,
    }[s.reactive.mode]
    return max(min(q, r.q_inject_pu), -r.q_absorb_pu)


def along(points: Points, x: float) -> float:
    """Straight lines between rising points, flat outside; where two stand above each other, the first holds."""
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y1 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]


def table_7(s: Settings) -> list[tuple[float, float]]:
    """Corners of the least Q the standard asks for, (P, Q): in proportion from 5 to 20 % of rated power, then full."""
    inject, absorb = TABLE_7[s.rating.normal_category]
    low = lowest(s)
    half = [(0.05, inject / 4), (0.2, inject), (1.0, inject), (1.0, -absorb), (0.2, -absorb), (0.05, -absorb / 4)]
    other = [(x * low, q) for x, q in ((0.05, -absorb / 4), (0.2, -absorb), (1.0, -absorb))]
    return half + other + [(1.0 * low, inject), (0.2 * low, inject), (0.05 * low, inject / 4)]


@dataclass(frozen=True, slots=True)
class Band:
    """A band of voltage or frequency and how long the unit must ride through it: at its low and at its high edge."""

    low: float
    high: float
    region: str  # "continuous" | "mandatory" | "permissive" | "cessation"
    at_low_s: float
    at_high_s: float


ENDLESS_S = math.inf
HIGH_I_II = [
    Band(1.175, 1.20, "permissive", 0.2, 0.2),
    Band(1.15, 1.175, "permissive", 0.5, 0.5),
    Band(1.10, 1.15, "permissive", 1.0, 1.0),
    Band(0.88, 1.10, "continuous", ENDLESS_S, ENDLESS_S),
]
VOLTAGE_BANDS = {
    "I": [*HIGH_I_II, Band(0.70, 0.88, "mandatory", 0.7, 1.42), Band(0.50, 0.70, "permissive", 0.16, 0.16)],
    "II": [
        *HIGH_I_II,
        Band(0.65, 0.88, "mandatory", 3.0, 5.0),
        Band(0.45, 0.65, "permissive", 0.32, 0.32),
        Band(0.30, 0.45, "permissive", 0.16, 0.16),
    ],
    "III": [
        Band(1.10, 1.20, "cessation", 12.0, 12.0),
        Band(0.88, 1.10, "continuous", ENDLESS_S, ENDLESS_S),
        Band(0.70, 0.88, "mandatory", 20.0, 20.0),
        Band(0.50, 0.70, "mandatory", 10.0, 10.0),
        Band(0.0, 0.50, "cessation", 1.0, 1.0),
    ],
}
FREQUENCY_BANDS = [  # at 60 Hz
    Band(61.2, 61.8, "mandatory", 299.0, 299.0),
    Band(58.8, 61.2, "continuous", ENDLESS_S, ENDLESS_S),
    Band(57.0, 58.8, "mandatory", 299.0, 299.0),
]
