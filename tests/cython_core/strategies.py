"""Random valid Settings for hypothesis: any categories, both frequencies, every group, edges of the ranges often.

Ranges come from the declarations in cython_core/settings.py, so a new setting is drawn without a change here. What
several settings must keep together (rising curves, one of two ramps) is tied below, group by group. Cases shrink
towards the defaults: a group is either all defaults or drawn. test_strategies.py shows that the draws are valid and
reach the edges. One case costs about 5 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from functools import cache
from typing import Any, get_type_hints

from hypothesis import strategies as st

from cython_core.quantities import defaults, range_of
from cython_core.settings import RatingSettings, Settings

Draw = Callable[[st.SearchStrategy[Any]], Any]
GROUPS: dict[str, type[Any]] = get_type_hints(Settings)


# one object for every draw, built once: 150 strategies a case cost ten times as much as the draws
WHERE = st.floats(-0.5, 1.5)
COIN = st.booleans()
MOSTLY_OURS = ("controller", "controller", "controller", "inverter")  # a function that is not ours has nothing to show


def between(draw: Draw, low: float, high: float) -> float:
    """low ... high, an edge in every second draw or so; never -0.0."""
    low, high, share = low + 0.0, high + 0.0, draw(WHERE)
    if share <= 0.0 or not low < high:
        return float(low)
    return float(high) if share >= 1.0 else min(max(low + share * (high - low), low), high)


def one_of(draw: Draw, words: Sequence[Any]) -> Any:
    return draw(sampled(tuple(words)))


@cache
def sampled(words: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(words)


@st.composite
def settings(
    draw: Draw,
    normal: str | None = None,
    abnormal: str | None = None,
    f_nom: float | None = 60,
    mode: str | None = None,
) -> Settings:
    """Valid Settings. None: any category, either nominal frequency, any reactive mode."""
    rating = draw_rating(draw, normal, abnormal, f_nom)
    chosen: dict[str, Any] = {"rating": rating}
    for name, kind in GROUPS.items():
        if name in chosen:
            continue
        tie = TIES.get(name)
        tied = tie(draw, chosen, mode) if tie else {}
        chosen[name] = kind(**free(draw, kind, rating, tied))
    return Settings(**chosen)


def free(draw: Draw, kind: type[Any], rating: RatingSettings, tied: dict[str, Any]) -> dict[str, Any]:
    """The tied values, and each other field from its own range; in every second draw they have their defaults."""
    preset = defaults(kind, rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
    others = [f for f in fields(kind) if f.name not in tied]
    if not draw(COIN):
        return {f.name: f.default for f in others} | {k: v for k, v in preset.items() if k not in tied} | tied
    return {f.name: value_of(draw, f, rating) for f in others} | tied


def value_of(draw: Draw, f: Field[Any], rating: RatingSettings) -> Any:
    """Any value that this unit's own range allows."""
    if "choices" in f.metadata:
        return one_of(draw, f.metadata["choices"])
    if "low" not in f.metadata:
        return draw(COIN)
    return between(draw, *limits(f.metadata, rating))


def limits(meta: Any, rating: RatingSettings) -> tuple[float, float]:
    """low, high in the categories and at the frequency of this unit."""
    _, low, high = range_of(meta, rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
    return float(low), float(high)


def range_in(group: str, name: str, rating: RatingSettings) -> tuple[float, float]:
    (meta,) = (f.metadata for f in fields(GROUPS[group]) if f.name == name)
    return limits(meta, rating)


def draw_rating(draw: Draw, normal: str | None, abnormal: str | None, f_nom: float | None) -> RatingSettings:
    """Charge and apparent power near the rated power, so that every limit can bind."""
    p_w = between(draw, 100.0, 1000000.0) if draw(COIN) else 7000.0

    def near() -> float:
        return min(max(p_w * between(draw, 0.5, 2.0), 100.0), 1000000.0) if draw(COIN) else p_w

    charge_w, s_va = near(), near()
    return RatingSettings(
        f_nom_hz=float(f_nom) if f_nom else one_of(draw, (60.0, 50.0)),
        v_nom_v=between(draw, 100.0, 480.0) if draw(COIN) else 240.0,
        p_rated_w=p_w,
        p_charge_rated_w=charge_w,
        s_rated_va=s_va,
        s_charge_rated_va=near() if draw(COIN) else 0.0,
        q_inject_pu=between(draw, 0.0, 1.0) if draw(COIN) else 0.44,
        q_absorb_pu=between(draw, 0.0, 1.0) if draw(COIN) else 0.25,
        normal_category=normal or one_of(draw, ("B", "A")),
        abnormal_category=abnormal or one_of(draw, ("III", "II", "I")),
    )


def q_range(mode: str, chosen: dict[str, Any]) -> tuple[float, float]:
    """What a Q setting may be: the unit's capability if its mode is the one that acts, else anything (5.2)."""
    rating = chosen["rating"]
    return (-rating.q_absorb_pu, rating.q_inject_pu) if chosen["reactive"].mode == mode else (-1.0, 1.0)


def tie_freq_droop(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    return {"owner": one_of(draw, MOSTLY_OURS)}


def tie_reactive(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    modes = ("constant_pf", "volt_var", "watt_var", "constant_q", "off")
    return {"mode": mode or one_of(draw, modes), "owner": one_of(draw, MOSTLY_OURS)}


def tie_volt_watt(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    v1 = between(draw, 1.05, 1.09)
    v2 = between(draw, min(max(v1 + 0.01, 1.06), 1.10), 1.10)
    return {"v1_pu": v1, "v2_pu": v2, "owner": one_of(draw, MOSTLY_OURS)}


def tie_power_factor(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    excitation = one_of(draw, ("inject", "absorb"))
    rating = chosen["rating"]
    most = rating.q_inject_pu if excitation == "inject" else rating.q_absorb_pu
    least = math.sqrt(1.0 - most * most) if chosen["reactive"].mode == "constant_pf" else 0.0
    while math.sqrt(1.0 - least * least) > most and chosen["reactive"].mode == "constant_pf":
        least = math.nextafter(least, 2.0)  # the root has rounded down
    return {"excitation": excitation, "pf": between(draw, max(least, 0.5), 1.0)}


def tie_volt_var(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    """V1 + 0.02 <= V2 <= V3 <= V4 - 0.02 and Q falling (Table 8)."""
    rating = chosen["rating"]
    v2, v3 = (between(draw, *range_in("volt_var", name, rating)) for name in ("v2_pu", "v3_pu"))
    v1_low, v1_high = range_in("volt_var", "v1_pu", rating)
    v4_low, v4_high = range_in("volt_var", "v4_pu", rating)
    v1 = between(draw, v1_low, min(v1_high, v2 - 0.02))
    v4 = between(draw, max(v4_low, v3 + 0.02), v4_high)
    low, high = q_range("volt_var", chosen)
    q1, q4 = between(draw, 0.0, high), between(draw, low, 0.0)
    q2, q3 = sorted((between(draw, q4, q1) for _ in range(2)), reverse=True)
    q3 = q2 if v2 == v3 else q3  # no cliff
    return {"v1_pu": v1, "v2_pu": v2, "v3_pu": v3, "v4_pu": v4, "q1_pu": q1, "q2_pu": q2, "q3_pu": q3, "q4_pu": q4}


def tie_watt_var(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    """Points 0.1 pu apart on either side, Q monotone from P'3 to P3 (Table 9)."""
    tied: dict[str, Any] = {}
    for side, sign in (("", 1.0), ("_load", -1.0)):
        p2 = between(draw, 0.4, 0.8)
        tied[f"p2{side}_pu"] = sign * p2
        tied[f"p1{side}_pu"] = sign * between(draw, 0.0, min(p2 - 0.1, 0.7)) + 0.0
        tied[f"p3{side}_pu"] = sign * between(draw, p2 + 0.1, 1.0)
    low, high = q_range("watt_var", chosen)
    q = sorted((between(draw, low, high) for _ in range(6)), reverse=draw(COIN))
    names = ("q3_load_pu", "q2_load_pu", "q1_load_pu", "q1_pu", "q2_pu", "q3_pu")
    if tied["p1_pu"] == tied["p1_load_pu"]:  # no cliff at 0 W
        q[3] = q[2]
    return tied | dict(zip(names, q, strict=True))


def tie_const_var(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    return {"q_pu": between(draw, *q_range("constant_q", chosen))}


def tie_enter_service(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    """Ramp, random delay or neither (4.10.3)."""
    tied = {"ramp_s": 0.0, "random_s": 0.0, "seed": float(draw(st.integers(1, 2147483647)))}
    used = one_of(draw, ("ramp_s", "random_s", ""))
    return (tied | {used: between(draw, 1.0, 1000.0)}) if used else tied


def owner(draw: Draw, chosen: dict[str, Any]) -> str:
    """Who trips decides the return: never the controller when enter service is the inverter's."""
    return str(one_of(draw, ("inverter", chosen["enter_service"].owner)))


def tie_voltage_trip(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    """UV2 <= UV1."""
    rating = chosen["rating"]
    uv2 = between(draw, *range_in("voltage_trip", "uv2_pu", rating))
    low, high = range_in("voltage_trip", "uv1_pu", rating)
    return {"owner": owner(draw, chosen), "uv2_pu": uv2, "uv1_pu": between(draw, max(low, uv2), high)}


def tie_frequency_trip(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    """UF2 <= UF1, OF1 <= OF2."""
    rating = chosen["rating"]
    uf2, of2 = (between(draw, *range_in("frequency_trip", name, rating)) for name in ("uf2_hz", "of2_hz"))
    uf1_low, uf1_high = range_in("frequency_trip", "uf1_hz", rating)
    of1_low, of1_high = range_in("frequency_trip", "of1_hz", rating)
    return {
        "owner": owner(draw, chosen),
        "uf2_hz": uf2,
        "of2_hz": of2,
        "uf1_hz": between(draw, max(uf1_low, uf2), uf1_high),
        "of1_hz": between(draw, of1_low, min(of1_high, of2)),
    }


def tie_site_limits(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    """Shares of the phases add up to 1."""
    l1 = between(draw, 0.0, 1.0)
    l2 = between(draw, 0.0, 1.0 - l1)
    return {"share_l1_pu": l1, "share_l2_pu": l2, "share_l3_pu": max(1.0 - l1 - l2, 0.0)}


def tie_limits(draw: Draw, chosen: dict[str, Any], mode: str | None) -> dict[str, Any]:
    soc_min = between(draw, 0.0, 0.9)
    return {"soc_min_pu": soc_min, "soc_max_pu": between(draw, soc_min + 0.01, 1.0)}


TIES: dict[str, Callable[[Draw, dict[str, Any], str | None], dict[str, Any]]] = {
    "freq_droop": tie_freq_droop,
    "reactive": tie_reactive,
    "volt_watt": tie_volt_watt,
    "power_factor": tie_power_factor,
    "volt_var": tie_volt_var,
    "watt_var": tie_watt_var,
    "const_var": tie_const_var,
    "enter_service": tie_enter_service,
    "voltage_trip": tie_voltage_trip,
    "frequency_trip": tie_frequency_trip,
    "site_limits": tie_site_limits,
    "limits": tie_limits,
}
