"""Random valid Settings from a string of bytes: cheap to draw, and it shrinks.

Zeros are defaults, and bytes that are missing are zeros, so a failing case shrinks towards one that can be read.
Numbers lie on the edges of their ranges in every fourth draw. Ranges come from the declarations in settings.py of the
core; what several settings must keep together is repaired below, group by group. scenes.py lives on the same tape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

from cython_core.quantities import range_of
from cython_core.settings import MODES, RatingSettings, Settings

T = TypeVar("T")
Group = dict[str, Any]
GROUPS: dict[str, Any] = {name: kind for name, kind in get_type_hints(Settings).items() if name != "rating"}
ALWAYS_DRAWN = ("owner", "enable")


class Tape:
    """Answers questions from its bytes; 0 answers with the first of several, the low end, or no."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def at_end(self) -> bool:
        return self.at >= len(self.data)

    def byte(self) -> int:
        self.at += 1
        return 0 if self.at > len(self.data) else self.data[self.at - 1]

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.byte() % len(choices)]

    def coin(self) -> bool:
        return self.byte() % 2 == 1

    def between(self, low: float, high: float) -> float:
        share = (self.byte() - 32) / 191.0
        return low if share <= 0.0 else high if share >= 1.0 else min(low + share * (high - low), high)


def settings_from(tape: Tape) -> Settings:
    rating = rating_from(tape)
    values = {name: group_from(tape, name, rating) for name in GROUPS}
    values["reactive"]["mode"] = tape.pick((*MODES[1:], MODES[0]))
    for name, repair in REPAIRS.items():
        repair(values[name], tape)
    inside_capability(values, rating)
    if values["enter_service"]["owner"] == "inverter":  # who trips decides the return
        values["voltage_trip"]["owner"] = values["frequency_trip"]["owner"] = "inverter"
    return Settings(rating=rating, **{name: GROUPS[name](**group) for name, group in values.items()})


def rating_from(tape: Tape) -> RatingSettings:
    p_w = tape.pick((7000.0, 10000.0, 100.0, 1000000.0))
    charge_w, s_va, s_charge_va = (
        min(max(p_w * tape.pick((1.0, 0.5, 0.8, 1.1, 2.0)), 100.0), 1000000.0) for _ in range(3)
    )
    q_inject_pu, q_absorb_pu = (tape.pick((0.44, 0.25, 0.0, 0.6, 1.0)) for _ in range(2))
    return RatingSettings(
        f_nom_hz=tape.pick((60.0, 50.0)),
        v_nom_v=tape.pick((240.0, 230.0, 100.0, 480.0)),
        p_rated_w=p_w,
        p_charge_rated_w=charge_w,
        s_rated_va=s_va,
        s_charge_rated_va=s_charge_va if tape.coin() else 0.0,
        q_inject_pu=q_inject_pu,
        q_absorb_pu=q_absorb_pu,
        normal_category=tape.pick(("B", "A")),
        abnormal_category=tape.pick(("III", "II", "I")),
    )


@cache
def declared(group: str, normal: str, abnormal: str, f_nom_hz: float) -> list[tuple[str, Any, Any, bool]]:
    """Of each setting: name, default, its words or its low and high in these categories, is it a number."""
    found: list[tuple[str, Any, Any, bool]] = []
    for f in fields(GROUPS[group]):
        default: Any = f.default
        if "choices" in f.metadata:
            found.append((f.name, default, f.metadata["choices"], False))
        elif "low" not in f.metadata:
            found.append((f.name, default, (False, True), False))
        else:
            _, low, high = range_of(f.metadata, normal, abnormal, f_nom_hz)
            found.append((f.name, min(max(default, low), high), (low, high), True))
    return found


def group_from(tape: Tape, group: str, rating: RatingSettings) -> Group:
    """Every second group has its defaults; owner and enable are always drawn."""
    values: Group = {}
    drawn = tape.coin()
    for name, default, allowed, is_number in declared(
        group, rating.normal_category, rating.abnormal_category, rating.f_nom_hz
    ):
        if not drawn and name not in ALWAYS_DRAWN:
            values[name] = default
        else:
            values[name] = tape.between(*allowed) if is_number else tape.pick(allowed)
    return values


# ---- what several settings keep together ----


def repair_volt_watt(v: Group, tape: Tape) -> None:
    v["v2_pu"] = max(v["v2_pu"], v["v1_pu"] + 0.01)


def repair_volt_var(v: Group, tape: Tape) -> None:
    v["v1_pu"] = min(v["v1_pu"], v["v2_pu"] - 0.02)
    v["v4_pu"] = max(v["v4_pu"], v["v3_pu"] + 0.02)


def repair_watt_var(v: Group, tape: Tape) -> None:
    v["p1_pu"], v["p3_pu"] = min(v["p1_pu"], v["p2_pu"] - 0.1), max(v["p3_pu"], v["p2_pu"] + 0.1)
    v["p1_load_pu"] = max(v["p1_load_pu"], v["p2_load_pu"] + 0.1)
    v["p3_load_pu"] = min(v["p3_load_pu"], v["p2_load_pu"] - 0.1)


def repair_enter_service(v: Group, tape: Tape) -> None:
    v["permit"] = v["permit"] or tape.byte() > 30
    v["seed"] = float(1 + tape.byte())
    for name in ("ramp_s", "random_s"):
        v[name] = max(v[name], 1.0) if v[name] else 0.0
    if v["ramp_s"] and v["random_s"]:
        v[tape.pick(("random_s", "ramp_s"))] = 0.0


def repair_voltage_trip(v: Group, tape: Tape) -> None:
    v["uv2_pu"] = min(v["uv2_pu"], v["uv1_pu"])


def repair_frequency_trip(v: Group, tape: Tape) -> None:
    v["uf1_hz"], v["of1_hz"] = max(v["uf1_hz"], v["uf2_hz"]), min(v["of1_hz"], v["of2_hz"])


def repair_site_limits(v: Group, tape: Tape) -> None:
    """Of a house, not of a wind farm."""
    l1 = v["share_l1_pu"]
    l2 = min(v["share_l2_pu"], 1.0 - l1)
    v["share_l2_pu"], v["share_l3_pu"] = l2, max(1.0 - l1 - l2, 0.0)
    for name in ("import_w", "export_w", "margin_w"):
        v[name] = v[name] / tape.pick((1.0, 20.0, 100.0, 1000.0))
    v["fuse_a"] = max(v["fuse_a"] / tape.pick((1.0, 10.0, 50.0)), 1.0)


def repair_limits(v: Group, tape: Tape) -> None:
    if v["soc_min_pu"] >= v["soc_max_pu"]:
        v["soc_min_pu"], v["soc_max_pu"] = 0.2, 0.95
    v["p_min_abs_w"] = v["p_min_abs_w"] / tape.pick((10.0, 1.0, 100.0))


REPAIRS: dict[str, Callable[[Group, Tape], None]] = {
    "volt_watt": repair_volt_watt,
    "volt_var": repair_volt_var,
    "watt_var": repair_watt_var,
    "enter_service": repair_enter_service,
    "voltage_trip": repair_voltage_trip,
    "frequency_trip": repair_frequency_trip,
    "site_limits": repair_site_limits,
    "limits": repair_limits,
}
CURVES = {
    "volt_var": ("q1_pu", "q2_pu", "q3_pu", "q4_pu"),
    "watt_var": ("q3_load_pu", "q2_load_pu", "q1_load_pu", "q1_pu", "q2_pu", "q3_pu"),
    "const_var": ("q_pu",),
}


def inside_capability(values: dict[str, Group], rating: RatingSettings) -> None:
    """Q of every curve falls and stays inside what the unit can (5.2); the power factor needs no more either."""
    low, high = -rating.q_absorb_pu, rating.q_inject_pu
    for group, names in CURVES.items():
        q = sorted((min(max(values[group][name], low), high) for name in names), reverse=True)
        values[group] |= dict(zip(names, q, strict=True))
    v, wv, pf = values["volt_var"], values["watt_var"], values["power_factor"]
    v["q1_pu"], v["q4_pu"] = max(v["q1_pu"], 0.0), min(v["q4_pu"], 0.0)
    if v["v2_pu"] == v["v3_pu"]:  # no curve has a cliff
        v["q3_pu"] = v["q2_pu"]
    if wv["p1_pu"] == wv["p1_load_pu"]:
        wv["q1_pu"] = wv["q1_load_pu"]
    most = high if pf["excitation"] == "inject" else -low
    pf["pf"] = max(pf["pf"], math.sqrt(1.0 - most * most))
