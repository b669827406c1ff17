"""The JSON pysunspec2 keeps of a device -> groups of settings; controller/settings/sunspec.py writes it.

Shapes   from_device(tree, base, problems) -> {"freq_droop": {"k_of": 0.05}, ...}; what is absent leaves base as it is.
         Of each model the live curve set, the first, is read.
Errors   into Problems, each with model, point, value, what is allowed and the clause.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from cython_core.checks import faults, one_mode
from cython_core.settings import Settings, to_mapping
from drivers.yamlfile import Problems

CATEGORIES_NORMAL, CATEGORIES_ABNORMAL = ("A", "B"), ("I", "II", "III")
W_MAX_PCT, VAR_MAX_PCT, VA_MAX_PCT, VARS = 0, 1, 3, 4
PRIORITIES = ("active", "reactive")
MODES = {"constant_pf": (704, "PFWInjEna"), "constant_q": (704, "VarSetEna"), "volt_var": (705, "Ena")}
MODES["watt_var"] = (712, "Ena")
SIDES = {  # model -> axis, thresholds and times of levels 2 and 1, momentary cessation
    707: ("V", ("uv2_pu", "uv1_pu"), ("uv2_s", "uv1_s"), "mc_low_pu"),
    708: ("V", ("ov2_pu", "ov1_pu"), ("ov2_s", "ov1_s"), "mc_high_pu"),
    709: ("Hz", ("uf2_hz", "uf1_hz"), ("uf2_s", "uf1_s"), ""),
    710: ("Hz", ("of2_hz", "of1_hz"), ("of2_s", "of1_s"), ""),
}


def from_device(tree: Any, base: Settings | None, problems: Problems) -> dict[str, dict[str, Any]]:
    """Groups for Settings.from_mapping: what base and the device say."""
    reader = Reader(to_mapping(base) if base else {}, problems)
    models = tree.get("models") if isinstance(tree, dict) else None
    if not isinstance(models, list) or not all(isinstance(m, dict) and type(m.get("ID")) is int for m in models):
        problems.add(0, 'is not the JSON of a SunSpec device: it needs "models": [{"ID": 705, ...}, ...]')
        return {}
    reader.models = {m["ID"]: m for m in reversed(models)}
    if not set(reader.models) & set(range(702, 713)):
        problems.add(0, "holds none of the models 702 to 712, where the settings are")
    reader.all()
    if not problems:
        for fault in faults(reader.groups):
            where = reader.where.get((fault.group, fault.key), "")
            problems.add(0, f"{where}: {fault.text}" if where else fault.text)
    return reader.groups


class Reader:
    """One reading of one device; mistakes go to problems, places to where."""

    def __init__(self, groups: dict[str, dict[str, Any]], problems: Problems) -> None:
        self.groups = groups
        self.problems = problems
        self.models: dict[int, dict[str, Any]] = {}
        self.where: dict[tuple[str, str], str] = {}

    def all(self) -> None:
        self.ratings()
        self.enter_service()
        self.controls()
        self.volt_var()
        self.volt_watt()
        for model in SIDES:
            self.trip(model)
        self.droop()
        self.watt_var()
        self.mode()
        self.priority()

    # --- points ---

    def raw(self, model: int, path: str) -> int | None:
        """The integer at a path like Crv.0.Pt.1.V; None where the device has none."""
        node: Any = self.models.get(model)
        for step in path.split("."):
            if isinstance(node, list):
                node = node[int(step)] if step.isdigit() and int(step) < len(node) else None
            else:
                node = node.get(step) if isinstance(node, dict) else None
        if node is not None and type(node) is not int:
            self.add(model, path, f"{node!r} is not a whole number: points are integers with a scale factor")
            return None
        return node

    def exact(self, model: int, path: str, factor: str = "") -> Decimal | None:
        """The value with its scale factor."""
        n = self.raw(model, path)
        scale = (self.raw(model, factor) or 0) if factor else 0
        if not -10 <= scale <= 10:
            self.add(model, factor, f"{scale} is outside -10 ... 10")
            return None
        return None if n is None else Decimal(n).scaleb(scale)

    def add(self, model: int, path: str, text: str) -> None:
        self.problems.add(0, f"model {model} {readable(path)}: {text}")

    def put(self, model: int, path: str, group: str, key: str, value: Any) -> None:
        """One setting, with the point it came from."""
        if value is not None:
            self.groups.setdefault(group, {})[key] = value
            self.where[group, key] = f"model {model} {readable(path)}"

    def take(self, model: int, path: str, name: str, factor: str = "", pct: bool = False) -> None:
        """A number in its own unit, or a share from percent."""
        value = self.exact(model, path, factor)
        group, key = name.split(".")
        self.put(model, path, group, key, None if value is None else float(value / 100 if pct else value))

    def flag(self, model: int, path: str) -> bool | None:
        n = self.raw(model, path)
        if n not in (None, 0, 1):
            self.add(model, path, f"{n} is neither 0 (disabled) nor 1 (enabled)")
        return None if n is None else n == 1

    def word(self, model: int, path: str, words: tuple[str, ...]) -> str | None:
        n = self.raw(model, path)
        if n is not None and not 0 <= n < len(words):
            self.add(model, path, f"{n} is not one of " + ", ".join(f"{i} ({w})" for i, w in enumerate(words)))
            return None
        return None if n is None else words[n]

    def rating(self, key: str) -> Fraction:
        return Fraction(self.groups.get("rating", {}).get(key, getattr(Settings().rating, key)))

    def count(self, model: int, path: str, needed: int, shape: str) -> bool:
        """Has the curve the number of points it needs?"""
        points = self.raw(model, path)
        if points is not None and points != needed:
            self.add(model, path, f"{points} points; {shape} has {needed}")
        return points == needed

    # --- models ---

    def ratings(self) -> None:
        """702; the value as configured is the rating, else the nameplate's."""
        names = {
            "WMax": ("p_rated_w", "W_SF"),
            "VAMax": ("s_rated_va", "VA_SF"),
            "WChaRteMax": ("p_charge_rated_w", "W_SF"),
            "VAChaRteMax": ("s_charge_rated_va", "VA_SF"),
            "VNom": ("v_nom_v", "V_SF"),
        }
        for point, (key, factor) in names.items():
            self.take(702, self.configured(point), f"rating.{key}", factor)
        if self.raw(702, self.configured("VAMax")) is not None and ("rating", "s_charge_rated_va") not in self.where:
            self.groups["rating"]["s_charge_rated_va"] = 0.0  # as VAMax
        for point, key in (("VarMaxInj", "q_inject_pu"), ("VarMaxAbs", "q_absorb_pu")):
            path = self.configured(point)
            var = self.exact(702, path, "Var_SF")
            if var is not None and self.rating("s_rated_va"):
                self.put(702, path, "rating", key, float(Fraction(var) / self.rating("s_rated_va")))
        normal = self.word(702, "NorOpCatRtg", CATEGORIES_NORMAL)
        self.put(702, "NorOpCatRtg", "rating", "normal_category", normal)
        abnormal = self.word(702, "AbnOpCatRtg", CATEGORIES_ABNORMAL)
        self.put(702, "AbnOpCatRtg", "rating", "abnormal_category", abnormal)

    def configured(self, point: str) -> str:
        return point if self.raw(702, point) is not None else f"{point}Rtg"

    def enter_service(self) -> None:
        self.put(703, "ES", "enter_service", "permit", self.flag(703, "ES"))
        self.take(703, "ESVHi", "enter_service.v_high_pu", "V_SF", pct=True)
        self.take(703, "ESVLo", "enter_service.v_low_pu", "V_SF", pct=True)
        self.take(703, "ESHzHi", "enter_service.f_high_hz", "Hz_SF")
        self.take(703, "ESHzLo", "enter_service.f_low_hz", "Hz_SF")
        for point, key in (("ESDlyTms", "delay_s"), ("ESRndTms", "random_s"), ("ESRmpTms", "ramp_s")):
            self.take(703, point, f"enter_service.{key}")

    def controls(self) -> None:
        self.put(704, "WMaxLimPctEna", "active_limit", "enable", self.flag(704, "WMaxLimPctEna"))
        self.take(704, "WMaxLimPct", "active_limit.limit_pu", "WMaxLimPct_SF", pct=True)
        self.power_factor()
        self.const_var()

    def power_factor(self) -> None:
        self.take(704, "PFWInj.PF", "power_factor.pf", "PF_SF")
        excitation = self.word(704, "PFWInj.Ext", ("inject", "absorb"))
        self.put(704, "PFWInj.Ext", "power_factor", "excitation", excitation)
        self.other_quadrant(excitation)

    def other_quadrant(self, excitation: str | None) -> None:
        """This core holds one line through both quadrants: the set point for charging must lie on it."""
        pf, charging = self.exact(704, "PFWInj.PF", "PF_SF"), self.exact(704, "PFWAbs.PF", "PF_SF")
        turned = self.word(704, "PFWAbs.Ext", ("absorb", "inject"))
        same = charging == pf and (turned == excitation or turned is None or pf == 1)
        if charging is not None and not same:
            self.add(
                704, "PFWAbs", "is not PFWInj with the excitation turned: the unit holds one line of P and Q (5.3.2)"
            )
        if self.raw(704, "PFWAbsEna") not in (None, self.raw(704, "PFWInjEna")):
            self.add(704, "PFWAbsEna", "is not PFWInjEna: the unit holds both or neither (5.3.2)")

    def const_var(self) -> None:
        mod = self.raw(704, "VarSetMod")
        path, factor = ("VarSet", "VarSet_SF") if mod == VARS else ("VarSetPct", "VarSetPct_SF")
        value = self.exact(704, path, factor)
        if value is None or mod is None:
            return
        if mod == VARS:
            self.put(704, path, "const_var", "q_pu", float(Fraction(value) / self.rating("s_rated_va")))
        else:
            self.put(704, path, "const_var", "q_pu", self.share(704, "VarSetMod", mod, value))

    def share(self, model: int, path: str, reference: int, pct: Decimal) -> float | None:
        """Percent of a reference -> share of the apparent power rating."""
        if reference == VA_MAX_PCT:
            return float(pct / 100)
        part = Fraction(pct) / 100
        if reference == W_MAX_PCT:
            return float(part * self.rating("p_rated_w") / self.rating("s_rated_va"))
        if reference == VAR_MAX_PCT:
            return float(part * self.rating("q_inject_pu" if pct > 0 else "q_absorb_pu"))
        self.add(model, path, f"{reference}: percent of W_MAX (0), VAR_MAX (1) or VA_MAX (3) can be converted")
        return None

    def points(self, model: int, keys: list[str], group: str, x: tuple[str, str, str], y: tuple[str, str, str]) -> None:
        """Points of set 1. x, y: (point, scale factor, our letter)."""
        reference = self.raw(model, "Crv.0.DeptRef")
        for i, key in enumerate(keys):
            self.take(model, f"Crv.0.Pt.{i}.{x[0]}", f"{group}.{x[2]}{key}_pu", x[1], pct=True)
            path = f"Crv.0.Pt.{i}.{y[0]}"
            value = self.exact(model, path, y[1])
            if value is not None:
                said = VA_MAX_PCT if reference is None else reference
                self.put(model, path, group, f"{y[2]}{key}_pu", self.share(model, "Crv.0.DeptRef", said, value))

    def volt_var(self) -> None:
        if self.count(705, "Crv.0.ActPt", 4, "volt-var (5.3.3)"):
            keys = ["1", "2", "3", "4"]
            self.points(705, keys, "volt_var", ("V", "V_SF", "v"), ("Var", "DeptRef_SF", "q"))
        self.take(705, "Crv.0.VRef", "volt_var.v_ref_pu", "V_SF", pct=True)
        self.put(705, "Crv.0.VRefAutoEna", "volt_var", "v_ref_auto", self.flag(705, "Crv.0.VRefAutoEna"))
        self.take(705, "Crv.0.VRefAutoTms", "volt_var.v_ref_time_s")
        self.take(705, "Crv.0.RspTms", "volt_var.olrt_s", "RspTms_SF")

    def volt_watt(self) -> None:
        self.put(706, "Ena", "volt_watt", "enable", self.flag(706, "Ena"))
        if self.raw(706, "Crv.0.DeptRef") not in (None, W_MAX_PCT):
            self.add(706, "Crv.0.DeptRef", "percent of available power: the curve is of rated power (5.4.2)")
        if self.count(706, "Crv.0.ActPt", 2, "volt-watt (5.4.2)"):
            for i in (0, 1):
                self.take(706, f"Crv.0.Pt.{i}.V", f"volt_watt.v{i + 1}_pu", "V_SF", pct=True)
                self.take(706, f"Crv.0.Pt.{i}.W", f"volt_watt.p{i + 1}_pu", "DeptRef_SF", pct=True)
        self.take(706, "Crv.0.RspTms", "volt_watt.olrt_s", "RspTms_SF")

    def trip(self, model: int) -> None:
        """Two levels from a curve of five points (2 and 4) or of two."""
        axis, levels, times, mc = SIDES[model]
        group = "voltage_trip" if axis == "V" else "frequency_trip"
        if self.flag(model, "Ena") is False:
            self.add(model, "Ena", "0: shall-trip cannot be switched off (6.4.1, 6.5.1)")
        count = self.raw(model, "Crv.0.MustTrip.ActPt")
        if count not in (None, 2, 5):
            self.add(model, "Crv.0.MustTrip.ActPt", f"{count} points; a curve of two levels has five, or two alone")
        elif count is not None:
            at = [1, 3] if count == 5 else [0, 1]
            x = [self.exact(model, f"Crv.0.MustTrip.Pt.{i}.{axis}", f"{axis}_SF") for i in at]
            known = [value for value in x if value is not None]
            if len(known) == 2 and (known[0] < known[1] if model in (708, 710) else known[0] > known[1]):
                at.reverse()  # the outer threshold is level 2, wherever it stands
            for i, level, time in zip(at, levels, times, strict=True):
                self.take(model, f"Crv.0.MustTrip.Pt.{i}.{axis}", f"{group}.{level}", f"{axis}_SF", pct=axis == "V")
                self.take(model, f"Crv.0.MustTrip.Pt.{i}.Tms", f"{group}.{time}", "Tms_SF")
        if mc and self.raw(model, "Crv.0.MomCess.ActPt"):
            self.take(model, "Crv.0.MomCess.Pt.0.V", f"ride_through.{mc}", "V_SF", pct=True)

    def droop(self) -> None:
        self.put(711, "Ena", "freq_droop", "enable", self.flag(711, "Ena"))
        for point, key, factor in (
            ("DbOf", "db_of_hz", "Db_SF"),
            ("DbUf", "db_uf_hz", "Db_SF"),
            ("KOf", "k_of", "K_SF"),
            ("KUf", "k_uf", "K_SF"),
            ("RspTms", "t_response_s", "RspTms_SF"),
        ):
            self.take(711, f"Ctl.0.{point}", f"freq_droop.{key}", factor)

    def watt_var(self) -> None:
        if self.count(712, "Crv.0.ActPt", 6, "watt-var (5.3.4)"):
            keys = ["3_load", "2_load", "1_load", "1", "2", "3"]
            self.points(712, keys, "watt_var", ("W", "W_SF", "p"), ("Var", "DeptRef_SF", "q"))

    def mode(self) -> None:
        """reactive.mode from the four enable points."""
        flags = {mode: self.flag(*at) for mode, at in MODES.items()}
        if all(flag is None for flag in flags.values()):
            return
        base = self.groups.get("reactive", {}).get("mode", Settings().reactive.mode)
        mode, several = one_mode(flags, base)
        if several:
            both = " and ".join(f"model {MODES[m][0]} {MODES[m][1]}" for m in several)
            self.problems.add(0, f"{both} are all enabled: one reactive mode at a time (5.3.1)")
        self.put(*MODES.get(mode, (704, "")), "reactive", "mode", mode)

    def priority(self) -> None:
        """Beyond Table 7: all models that say it must agree."""
        paths = ((704, "VarSetPri"), (705, "Crv.0.Pri"), (712, "Crv.0.Pri"))
        said = {at: self.word(*at, PRIORITIES) for at in paths}
        found = {word for word in said.values() if word}
        if len(found) > 1:
            self.problems.add(0, "Pri of models 704, 705 and 712 differ: the unit has one priority (4.7)")
        for at, word in said.items():
            self.put(*at, "reactive", "beyond_table_7", word)


def readable(path: str) -> str:
    """Crv.0.Pt.1.V as Crv[1].Pt[2].V: sets and points are counted from 1."""
    text = ""
    for step in path.split("."):
        text += f"[{int(step) + 1}]" if step.isdigit() else f".{step}"
    return text.removeprefix(".")
