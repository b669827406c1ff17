"""Settings <-> the JSON pysunspec2 keeps of a device: models 702 to 712, integers with scale factors.

Shapes   {"models": [{"ID": 705, "V_SF": 0, "Crv": [{"Pt": [{"V": 92, "Var": 44}, ...]}]}, ...]}; set 1 is the live one.
Exact    a scale factor is chosen by value; what no integer of the point holds exactly is a mistake, never rounded.
Bases    V and P: percent of VNom and WMax; P left of zero: of WChaRteMax (Tables 9 and 10); Q: written as percent of
         VAMax. Volt-var points are for VRef = 100 %. Trip curves have five points, 2 and 4 carry the settings.
Source   the model definitions of the SunSpec Alliance; IEEE 1547-2018 profile of trip curves.
Not in it: nominal frequency, response times of AP, PF, Q and watt-var, owners and the product's own settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from controller.errors import InputError
from controller.settings.sunspec_read import CATEGORIES_ABNORMAL, CATEGORIES_NORMAL, PRIORITIES, from_device
from cython_core.checks import FIELDS
from cython_core.epri import from_share
from cython_core.settings import Settings

__all__ = ["carried", "from_device", "to_device"]

LIMITS = {"uint16": (0, 65534), "int16": (-32767, 32767), "uint32": (0, 4294967294)}
FACTORS = (*range(0, -11, -1), *range(1, 11))  # the one nearest 0 that is exact; positive ones for large ratings
LIVE, COMPLETED, VA_MAX_PCT = 1, 1, 3
# where the drawing of a trip curve begins and ends
LV_FROM_PU, HV_FROM_PU, CURVE_END_S = 0.0, 1.4, 1000.0
LF_FROM_HZ, HF_FROM_HZ = -20.0, 10.0  # beside nominal


@dataclass(frozen=True, slots=True)
class Point:
    """A value on its way into an integer point: which setting it is, and which scale factor it shares."""

    setting: str
    value: Decimal
    kind: str = "uint16"
    factor: str = ""


@dataclass(slots=True)
class Writer:
    """Settings as points; `used` collects what the models carry."""

    settings: Settings
    used: set[str] = field(default_factory=set)

    def value(self, name: str) -> Any:
        self.used.add(name)
        group, key = name.split(".")
        return getattr(getattr(self.settings, group), key)

    def plain(self, name: str, factor: str = "", kind: str = "uint16") -> Point:
        """A value in its own unit."""
        return Point(name, decimal(self.value(name)), kind, factor)

    def pct(self, name: str, factor: str, kind: str = "uint16") -> Point:
        """A share as percent."""
        return Point(name, 100 * decimal(self.value(name)), kind, factor)

    def flag(self, name: str) -> int:
        return int(bool(self.value(name)))

    def mode(self, mode: str) -> int:
        return int(bool(self.value("reactive.mode") == mode))

    def var(self, name: str) -> Point:
        """A share of the apparent power rating in var."""
        var = from_share(self.value(name), self.settings.rating.s_rated_va)
        return Point(name, Decimal(str(var)), "uint16", "Var_SF")

    def priority(self) -> int:
        return PRIORITIES.index(str(self.value("reactive.beyond_table_7")))


def decimal(value: float) -> Decimal:
    """The number as it is printed: the shortest decimal that reads back as this float."""
    return Decimal(repr(float(value)))


def to_device(settings: Settings, name: str = "v2g") -> dict[str, Any]:
    """The device. InputError names every setting that no scale factor can carry exactly."""
    w = Writer(settings)
    drafts = (capacity(w), enter_service(w), controls(w), volt_var(w), volt_watt(w), *trips(w), droop(w), watt_var(w))
    wrong: list[str] = []
    models = [finished(draft, wrong) for draft in drafts]
    if wrong:
        raise InputError("\n".join(wrong))
    return {"name": name, "models": [*models, {"ID": 65535, "L": 0}]}


def carried() -> list[str]:
    """`group.key` of every setting that the models have a point for."""
    w = Writer(Settings())
    for model in (capacity, enter_service, controls, volt_var, volt_watt, trips, droop, watt_var):
        model(w)
    w.used.add("rating.s_charge_rated_va")
    return [f"{g}.{k}" for g, keys in FIELDS.items() for k in keys if f"{g}.{k}" in w.used]


def capacity(w: Writer) -> dict[str, Any]:
    """702: each rating twice, as nameplate (Rtg) and as configured."""
    points = {
        "WMax": w.plain("rating.p_rated_w", "W_SF"),
        "VAMax": w.plain("rating.s_rated_va", "VA_SF"),
        "VarMaxInj": w.var("rating.q_inject_pu"),
        "VarMaxAbs": w.var("rating.q_absorb_pu"),
        "WChaRteMax": w.plain("rating.p_charge_rated_w", "W_SF"),
        "WDisChaRteMax": w.plain("rating.p_rated_w", "W_SF"),
        "VNom": w.plain("rating.v_nom_v", "V_SF"),
    }
    if w.settings.rating.s_charge_rated_va:
        points["VAChaRteMax"] = w.plain("rating.s_charge_rated_va", "VA_SF")
    categories = {
        "NorOpCatRtg": CATEGORIES_NORMAL.index(w.value("rating.normal_category")),
        "AbnOpCatRtg": CATEGORIES_ABNORMAL.index(w.value("rating.abnormal_category")),
    }
    return {"ID": 702, "L": 50, **{f"{k}Rtg": v for k, v in points.items()}, **categories, **points}


def enter_service(w: Writer) -> dict[str, Any]:
    """703: times are whole seconds."""
    return {
        "ID": 703,
        "L": 17,
        "ES": w.flag("enter_service.permit"),
        "ESVHi": w.pct("enter_service.v_high_pu", "V_SF"),
        "ESVLo": w.pct("enter_service.v_low_pu", "V_SF"),
        "ESHzHi": w.plain("enter_service.f_high_hz", "Hz_SF", "uint32"),
        "ESHzLo": w.plain("enter_service.f_low_hz", "Hz_SF", "uint32"),
        "ESDlyTms": w.plain("enter_service.delay_s", "", "uint32"),
        "ESRndTms": w.plain("enter_service.random_s", "", "uint32"),
        "ESRmpTms": w.plain("enter_service.ramp_s", "", "uint32"),
    }


def controls(w: Writer) -> dict[str, Any]:
    """704: one line of constant power factor through both quadrants, so the excitation turns while charging."""
    inject = w.value("power_factor.excitation") == "inject"
    pf = w.plain("power_factor.pf", "PF_SF")
    return {
        "ID": 704,
        "L": 65,
        "PFWInjEna": w.mode("constant_pf"),
        "PFWAbsEna": w.mode("constant_pf"),
        "WMaxLimPctEna": w.flag("active_limit.enable"),
        "WMaxLimPct": w.pct("active_limit.limit_pu", "WMaxLimPct_SF"),
        "VarSetEna": w.mode("constant_q"),
        "VarSetMod": VA_MAX_PCT,
        "VarSetPri": w.priority(),
        "VarSetPct": w.pct("const_var.q_pu", "VarSetPct_SF", "int16"),
        "PFWInj": {"PF": pf, "Ext": int(not inject)},
        "PFWAbs": {"PF": pf, "Ext": int(inject)},
    }


def curve_head(model: int, length: int, points: int, enabled: int) -> dict[str, Any]:
    return {
        "ID": model,
        "L": length,
        "Ena": enabled,
        "AdptCrvReq": 0,
        "AdptCrvRslt": COMPLETED,
        "NPt": points,
        "NCrv": 1,
    }


def volt_var(w: Writer) -> dict[str, Any]:
    """705."""
    points = [
        {"V": w.pct(f"volt_var.v{i}_pu", "V_SF"), "Var": w.pct(f"volt_var.q{i}_pu", "DeptRef_SF", "int16")}
        for i in (1, 2, 3, 4)
    ]
    curve = {
        "ActPt": 4,
        "DeptRef": VA_MAX_PCT,
        "Pri": w.priority(),
        "VRef": w.pct("volt_var.v_ref_pu", "V_SF"),
        "VRefAutoEna": w.flag("volt_var.v_ref_auto"),
        "VRefAutoTms": w.plain("volt_var.v_ref_time_s"),
        "RspTms": w.plain("volt_var.olrt_s", "RspTms_SF", "uint32"),
        "ReadOnly": LIVE,
        "Pt": points,
    }
    return {**curve_head(705, 31, 4, w.mode("volt_var")), "Crv": [curve]}


def volt_watt(w: Writer) -> dict[str, Any]:
    """706."""
    points = [
        {"V": w.pct(f"volt_watt.v{i}_pu", "V_SF"), "W": w.pct(f"volt_watt.p{i}_pu", "DeptRef_SF", "int16")}
        for i in (1, 2)
    ]
    time = w.plain("volt_watt.olrt_s", "RspTms_SF", "uint32")
    curve = {"ActPt": 2, "DeptRef": 0, "RspTms": time, "ReadOnly": LIVE, "Pt": points}
    return {**curve_head(706, 22, 2, w.flag("volt_watt.enable")), "Crv": [curve]}


def trips(w: Writer) -> list[dict[str, Any]]:
    """707 to 710: low and high voltage, low and high frequency."""
    f_nom = w.settings.rating.f_nom_hz
    return [
        trip(w, 707, 56, "V", ("uv2_pu", "uv1_pu"), ("uv2_s", "uv1_s"), LV_FROM_PU, "mc_low_pu"),
        trip(w, 708, 56, "V", ("ov2_pu", "ov1_pu"), ("ov2_s", "ov1_s"), HV_FROM_PU, "mc_high_pu"),
        trip(w, 709, 71, "Hz", ("uf2_hz", "uf1_hz"), ("uf2_s", "uf1_s"), f_nom + LF_FROM_HZ, ""),
        trip(w, 710, 71, "Hz", ("of2_hz", "of1_hz"), ("of2_s", "of1_s"), f_nom + HF_FROM_HZ, ""),
    ]


def trip(
    w: Writer,
    model: int,
    length: int,
    axis: str,
    levels: tuple[str, str],
    times: tuple[str, str],
    begin: float,
    mc: str,
) -> dict[str, Any]:
    """The outer level first: along its time to its threshold, over to the inner level's time, down to its threshold."""
    group, kind = ("voltage_trip", "uint16") if axis == "V" else ("frequency_trip", "uint32")
    scale = 100 if axis == "V" else 1

    def at(name: str, group: str = group) -> Point:
        return Point(f"{group}.{name}", scale * decimal(w.value(f"{group}.{name}")), kind, f"{axis}_SF")

    outer, inner = (w.plain(f"{group}.{name}", "Tms_SF", "uint32") for name in times)
    start = Point("the curve's first point", scale * decimal(begin), kind, f"{axis}_SF")
    end = Point("the curve's last point", decimal(CURVE_END_S), "uint32", "Tms_SF")
    x = [start, at(levels[0]), at(levels[0]), at(levels[1]), at(levels[1])]
    must = [{axis: a, "Tms": t} for a, t in zip(x, [outer, outer, inner, inner, end], strict=True)]
    cease = []
    if mc:
        none = Point("the curve's first point", Decimal(0), "uint32", "Tms_SF")
        cease = [{axis: at(mc, "ride_through"), "Tms": t} for t in (none, outer if model == 707 else inner)]
    curve = {
        "ReadOnly": LIVE,
        "MustTrip": {"ActPt": 5, "Pt": must},
        "MayTrip": {"ActPt": 0, "Pt": padded([], axis)},
        "MomCess": {"ActPt": len(cease), "Pt": padded(cease, axis)},
    }
    head = curve_head(model, length, 5, 1)
    head["NCrvSet"] = head.pop("NCrv")
    return {**head, "Crv": [curve]}


def padded(points: list[dict[str, Any]], axis: str) -> list[dict[str, Any]]:
    """Five points; what is not used is null."""
    return points + [{axis: None, "Tms": None} for _ in range(5 - len(points))]


def droop(w: Writer) -> dict[str, Any]:
    """711."""
    control = {
        "DbOf": w.plain("freq_droop.db_of_hz", "Db_SF", "uint32"),
        "DbUf": w.plain("freq_droop.db_uf_hz", "Db_SF", "uint32"),
        "KOf": w.plain("freq_droop.k_of", "K_SF"),
        "KUf": w.plain("freq_droop.k_uf", "K_SF"),
        "RspTms": w.plain("freq_droop.t_response_s", "RspTms_SF", "uint32"),
        "ReadOnly": LIVE,
    }
    head = {"ID": 711, "L": 22, "Ena": w.flag("freq_droop.enable"), "AdptCtlReq": 0, "AdptCtlRslt": COMPLETED}
    return {**head, "NCtl": 1, "Ctl": [control]}


def watt_var(w: Writer) -> dict[str, Any]:
    """712: from left to right, P'3 P'2 P'1 P1 P2 P3."""
    order = [f"{i}_load" for i in (3, 2, 1)] + ["1", "2", "3"]
    points = [
        {
            "W": w.pct(f"watt_var.p{i}_pu", "W_SF", "int16"),
            "Var": w.pct(f"watt_var.q{i}_pu", "DeptRef_SF", "int16"),
        }
        for i in order
    ]
    curve = {"ActPt": 6, "DeptRef": VA_MAX_PCT, "Pri": w.priority(), "ReadOnly": LIVE, "Pt": points}
    return {**curve_head(712, 28, 6, w.mode("watt_var")), "Crv": [curve]}


def finished(draft: dict[str, Any], wrong: list[str]) -> dict[str, Any]:
    """The draft with integers for its points and the scale factors they need."""
    shared: dict[str, list[Point]] = {}
    gather(draft, shared)
    factors = {name: factor_of(draft["ID"], name, points, wrong) for name, points in shared.items()}
    model: dict[str, Any] = integers(draft, factors)
    return model | {name: factor for name, factor in factors.items() if name}


def gather(node: Any, shared: dict[str, list[Point]]) -> None:
    """Every point below node, by the scale factor it shares."""
    if isinstance(node, Point):
        shared.setdefault(node.factor, []).append(node)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        gather(child, shared)


def factor_of(model: int, name: str, points: list[Point], wrong: list[str]) -> int:
    """The scale factor all these points can use, or a complaint for each that stands in the way."""
    choices: tuple[int, ...] = FACTORS if name else (0,)
    for factor in choices:
        if all(fits(point, factor) for point in points):
            return factor
    alone = [p for p in dict.fromkeys(points) if not any(fits(p, factor) for factor in choices)]
    for p in alone or list(dict.fromkeys(points)):
        low, high = LIMITS[p.kind]
        why = "alone" if alone else f"together with the others of {name}"
        scale = f"n x 10^{name}" if name else "n, without a scale factor"
        wrong.append(
            f"{p.setting} = {p.value} in model {model}: the point holds {scale}, n from {low} to {high}; "
            f"this value does not fit {why}: use fewer digits"
        )
    return 0


def for_device(draft: Mapping[str, Any], factors: Mapping[str, int], model: int, wrong: list[str]) -> dict[str, int]:
    """A set as {path: integer} with the scale factors that a device has; what they cannot carry is a complaint."""
    found: dict[str, int] = {}
    for path, value in leaves(draft):
        if isinstance(value, Point):
            factor = factors.get(value.factor, 0)
            if not fits(value, factor):
                low, high = LIMITS[value.kind]
                name = f"10^{factor} ({value.factor})" if value.factor else "1"
                wrong.append(
                    f"{value.setting} = {value.value} in model {model}: the inverter holds n x {name}, n from {low} to "
                    f"{high}; choose a value that it can hold"
                )
                continue
            found[path] = int(value.value.scaleb(-factor))
        elif isinstance(value, int):
            found[path] = value
    return found


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything below node, lists counted from 0."""
    if isinstance(node, Mapping):
        children: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    else:
        yield prefix[:-1], node
        return
    for key, child in children:
        yield from leaves(child, f"{prefix}{key}.")


def fits(point: Point, factor: int) -> bool:
    n = point.value.scaleb(-factor)
    low, high = LIMITS[point.kind]
    return n == n.to_integral_value() and low <= n <= high


def integers(node: Any, factors: Mapping[str, int]) -> Any:
    """The same tree with n for each point."""
    if isinstance(node, Point):
        return int(node.value.scaleb(-factors[node.factor]))
    if isinstance(node, dict):
        return {key: integers(child, factors) for key, child in node.items()}
    return [integers(child, factors) for child in node] if isinstance(node, list) else node
