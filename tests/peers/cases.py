"""Random settings and inputs of what both the compiled core and OpenDER know, and the compiled core's steady state.

Settings come from the ranges declared in cython_core/settings.py, edges often; curves are drawn point after point so
that they are valid. Inputs: the whole range, more often where curves bend. Seeded: the same cases in every run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cython_core import bulk
from cython_core.quantities import range_of
from cython_core.records import NAN, DeviceStatus, DeviceValid, MeasurementValid, WishSource
from cython_core.settings import Settings
from cython_core.step import Core

PERIOD_S = 0.01
MODES = ("constant_pf", "volt_var", "watt_var", "constant_q", "off")
GROUPS: dict[str, type[Any]] = get_type_hints(Settings)
Groups = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """The grid was at v_pu and 60 Hz for long, then at v_pu and f_hz for long; the wish was p_w all the time."""

    settings: Settings
    v_pu: float
    f_hz: float
    p_w: float


def cases(count: int, seed: int) -> Iterator[Case]:
    rng = random.Random(seed)
    for _ in range(count):
        settings = draw_settings(rng)
        rating = settings.rating
        p_w = rng.uniform(-1.1 * rating.p_charge_rated_w, 1.1 * rating.p_rated_w)
        yield Case(settings, draw_voltage(rng), draw_frequency(rng), p_w)


def draw_voltage(rng: random.Random) -> float:
    return rng.choice(
        (rng.uniform(0.88, 1.10), rng.uniform(0.90, 1.10), rng.uniform(1.04, 1.10), rng.uniform(0.3, 1.3))
    )


def draw_frequency(rng: random.Random) -> float:
    """Every third inside any dead band, most inside ride-through, a few beyond trip."""
    return rng.choice(
        (60.0, rng.uniform(59.99, 60.01), rng.uniform(58.6, 61.1), rng.uniform(59.5, 60.5), rng.uniform(56.0, 63.0))
    )


# ---- settings ----


def draw_settings(rng: random.Random) -> Settings:
    rating = draw_rating(rng)
    mode = rng.choice(MODES)
    groups: Groups = {
        "rating": rating,
        "reactive": {"mode": mode, "beyond_table_7": rng.choice(("reactive", "active"))},
        "freq_droop": some(rng, rating, "freq_droop", "db_uf_hz", "db_of_hz", "k_uf", "k_of", "t_response_s"),
        "volt_watt": volt_watt(rng),
        "active_limit": some(rng, rating, "active_limit", "limit_pu", "ramp_time_s"),
        "limits": {"ramp_pu_s": 10.0},
        "default_wish": {"wish_lifetime_s": 86400.0},
    }
    groups["reactive"]["at_low_power"] = rng.choice(("full", "full", "in_proportion"))
    groups["freq_droop"]["enable"] = rng.random() < 0.9
    groups["volt_watt"]["enable"] = rng.random() < 0.4
    groups["active_limit"]["enable"] = rng.random() < 0.3
    if mode != "off":
        name, draw = REACTIVE[mode]
        groups[name] = draw(rng, rating)
    if rng.random() < 0.25:
        groups["ride_through"] = {"owner": "controller"} | some(rng, rating, "ride_through", "mc_low_pu", "mc_high_pu")
    if rng.random() < 0.2:
        for group in ("enter_service", "voltage_trip", "frequency_trip"):
            groups[group] = {"owner": "controller"}
    return Settings.from_mapping(groups)


def between(rng: random.Random, low: float, high: float) -> float:
    """An edge in two of five draws."""
    return rng.choice((low, high, *(rng.uniform(low, high) for _ in range(3))))


def some(rng: random.Random, rating: dict[str, Any], group: str, *names: str) -> dict[str, Any]:
    """These numbers of a group, each from the range of the unit's categories."""
    meta = {f.name: f.metadata for f in fields(GROUPS[group])}
    found = {}
    for name in names:
        _, low, high = range_of(meta[name], rating["normal_category"], rating["abnormal_category"], 60.0)
        found[name] = between(rng, low, high)
    return found


def draw_rating(rng: random.Random) -> dict[str, Any]:
    """Charge rating and apparent power near the rated power, so that each of them can be what binds."""
    p_w = 10.0 ** rng.uniform(3.0, 5.5)
    normal = rng.choice("AB")
    s_va = p_w * rng.choice((1.0, 1.0, rng.uniform(0.9, 1.3)))
    return {
        "p_rated_w": p_w,
        "p_charge_rated_w": p_w * rng.choice((1.0, 0.8, rng.uniform(0.5, 1.0), rng.uniform(1.0, 1.2))),
        "s_rated_va": s_va,
        "s_charge_rated_va": rng.choice((0.0, 0.0, s_va * rng.uniform(0.7, 1.1))),
        "q_inject_pu": rng.choice((0.44, rng.uniform(0.44, 0.8))),
        "q_absorb_pu": rng.choice((0.44, 0.25 if normal == "A" else 0.44, rng.uniform(0.44, 0.8))),
        "normal_category": normal,
        "abnormal_category": rng.choice(("I", "II", "III")),
    }


def volt_watt(rng: random.Random) -> dict[str, Any]:
    v1 = between(rng, 1.05, 1.09)
    v2 = between(rng, max(v1 + 0.01, 1.06), 1.10)
    return {"v1_pu": v1, "v2_pu": max(v2, v1 + 0.01), "p2_pu": rng.choice((0.0, -1.0, rng.uniform(-1.0, 0.5)))}


def power_factor(rng: random.Random, rating: dict[str, Any]) -> dict[str, Any]:
    excitation = rng.choice(("inject", "absorb"))
    least = math.sqrt(1.0 - rating[f"q_{excitation}_pu"] ** 2)
    return {"excitation": excitation, "pf": between(rng, least, 1.0)} | some(rng, rating, "power_factor", "response_s")


def volt_var(rng: random.Random, rating: dict[str, Any]) -> dict[str, Any]:
    """V1 + 0.02 <= V2 <= V3 <= V4 - 0.02; Q falls, but not at one voltage."""
    drawn = some(rng, rating, "volt_var", "v1_pu", "v2_pu", "v3_pu", "v4_pu", "v_ref_pu", "olrt_s")
    drawn["v1_pu"] = min(drawn["v1_pu"], drawn["v2_pu"] - 0.02)
    drawn["v4_pu"] = max(drawn["v4_pu"], drawn["v3_pu"] + 0.02)
    q1, q4 = between(rng, 0.0, rating["q_inject_pu"]), between(rng, -rating["q_absorb_pu"], 0.0)
    q3, q2 = sorted((rng.choice((0.0, rng.uniform(q4, q1))), rng.uniform(q4, q1)))
    if drawn["v2_pu"] == drawn["v3_pu"]:
        q3 = q2
    return drawn | {"q1_pu": q1, "q2_pu": q2, "q3_pu": q3, "q4_pu": q4, "v_ref_auto": rng.random() < 0.2}


def watt_var(rng: random.Random, rating: dict[str, Any]) -> dict[str, Any]:
    """Points at least 0.1 pu apart; Q monotone from P'3 to P3, falling or rising, but not at 0 W."""
    drawn = some(rng, rating, "watt_var", "response_s")
    for side, sign in (("", 1.0), ("_load", -1.0)):
        p2 = between(rng, 0.4, 0.8)
        drawn |= {f"p2{side}_pu": sign * p2, f"p1{side}_pu": sign * between(rng, 0.0, min(p2 - 0.1, 0.7))}
        drawn[f"p3{side}_pu"] = sign * between(rng, p2 + 0.1, 1.0)
    most, least = rating["q_inject_pu"], -rating["q_absorb_pu"]
    q = sorted((between(rng, least, most) for _ in range(6)), reverse=rng.random() < 0.7)
    if drawn["p1_pu"] == drawn["p1_load_pu"]:
        q[3] = q[2]
    names = ("q3_load_pu", "q2_load_pu", "q1_load_pu", "q1_pu", "q2_pu", "q3_pu")
    return drawn | dict(zip(names, q, strict=True))


def const_var(rng: random.Random, rating: dict[str, Any]) -> dict[str, Any]:
    return {"q_pu": between(rng, -rating["q_absorb_pu"], rating["q_inject_pu"])} | some(
        rng, rating, "const_var", "response_s"
    )


REACTIVE = {
    "constant_pf": ("power_factor", power_factor),
    "volt_var": ("volt_var", volt_var),
    "watt_var": ("watt_var", watt_var),
    "constant_q": ("const_var", const_var),
}


# ---- the compiled core ----

FAR = 100_000  # periods: 1000 s in one step, where every lag, ramp and timer is over
FINE = 60  # then the crossing of a curve with the apparent-power circle is found step by step


def steady(case: Case) -> NDArray[Any]:
    """Records of a unit in service since long: at 60 Hz, then at the frequency of the case. The last one is settled."""
    k = settling(case.settings, PERIOD_S)
    f_hz = np.repeat([60.0, case.f_hz], len(k))
    core = Core(case.settings, PERIOD_S, in_service=True)
    return run(core, np.concatenate([k, k]), v_pu=case.v_pu, f_hz=f_hz, p_w=case.p_w)


def settling(settings: Settings, period_s: float) -> NDArray[np.int64]:
    """Periods of each step on the way to rest."""
    response_s = {
        "volt_var": settings.volt_var.olrt_s,
        "watt_var": settings.watt_var.response_s,
        "constant_q": settings.const_var.response_s,
    }.get(settings.reactive.mode, settings.power_factor.response_s)
    fine = max(1, round(0.08 * response_s / period_s))
    return np.array([1, 1, FAR, FAR, FAR] + [fine] * FINE, dtype=np.int64)


def run(
    core: Core,
    k: NDArray[np.int64],
    *,
    v_pu: ArrayLike,
    f_hz: ArrayLike,
    p_w: ArrayLike,
    permit: ArrayLike = 1,
    ap_limit_pu: ArrayLike = NAN,
) -> NDArray[Any]:
    """Steps of k periods each, with fresh inputs and this wish."""
    rows = np.zeros(len(k), dtype=bulk.STEP)
    period_ns, rating = round(core.period_s * 1e9), core.settings.rating
    t_ns = bulk.START_NS + np.cumsum(k) * period_ns
    rows["t_ns"], rows["k"] = t_ns, k
    for name in ("m_t_f_ns", "m_t_v_ns", "m_t_p_ns", "d_t_ns", "d_t_echo_ns", "o_t_ns", "i_valid_from_ns"):
        rows[name] = t_ns
    rows["m_valid"], rows["m_f_hz"] = int(MeasurementValid.F | MeasurementValid.V1), f_hz
    rows["m_v1_v"] = np.asarray(v_pu) * rating.v_nom_v
    rows["d_valid"], rows["d_soc_pu"] = int(DeviceValid.SOC | DeviceValid.STATUS), 0.5
    rows["d_status"] = int(DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
    rows["o_permit"], rows["o_ap_limit_pu"] = permit, ap_limit_pu
    rows["i_source"], rows["i_seq"] = int(WishSource.BENCH), 1 + np.arange(len(k))
    rows["i_lo_w"], rows["i_hi_w"] = -rating.p_charge_rated_w, rating.p_rated_w
    rows["i_p_w"], rows["i_q_var"] = p_w, NAN
    rows["i_expires_ns"] = t_ns + 80_000 * 10**9
    return bulk.from_bytes(bytes(core.replay(rows.tobytes())))
