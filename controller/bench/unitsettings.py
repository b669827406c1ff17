"""A unit under test as settings of the product: its nameplate, and names like `volt_var.v1_pu` as groups."""

from __future__ import annotations

from collections.abc import Mapping

from controller.bench.plan import Eut, Value

LEAST_RATED_W = 100.0  # the least the core's settings know; the inverter behind it cannot charge at all


def grouped(settings: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """{"volt_var.v1_pu": 0.92} -> {"volt_var": {"v1_pu": 0.92}}."""
    groups: dict[str, dict[str, Value]] = {}
    for name, value in settings.items():
        group, _, key = name.partition(".")
        groups.setdefault(group, {})[key] = value
    return groups


def rating_of(eut: Eut) -> dict[str, Value]:
    """The nameplate as settings of the product."""
    return {
        "rating.f_nom_hz": eut.f_nom_hz,
        "rating.v_nom_v": eut.v_nom_v,
        "rating.p_rated_w": eut.p_rated_w,
        "rating.p_charge_rated_w": max(eut.p_charge_rated_w, LEAST_RATED_W),
        "rating.s_rated_va": eut.s_rated_va,
        "rating.q_inject_pu": eut.q_inject_var / eut.s_rated_va,
        "rating.q_absorb_pu": eut.q_absorb_var / eut.s_rated_va,
        "rating.normal_category": eut.normal_category,
        "rating.abnormal_category": eut.abnormal_category,
    }
