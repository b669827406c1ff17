"""The simulated inverter's curve models 705 to 712: sets, adoption, reversion, and what the adopted ones do.

Sets       set 0 is in force and read-only; a master fills another one and asks for it by its number, counted from 1.
Adoption   takes ADOPT_S: the result is 0 meanwhile, then 1 and set 0 shows the other's points, or 2 and set 0 is as it
           was: a set that nobody could follow (is_followable).
Reversion  a written RvrtTms above 0 counts down; at 0 the set RvrtCrv is asked for.
Acts       705, 706, 711 and 712 while their Ena is 1, with the points of set 0; trip curves are stored and read back.
Errors     none: who writes is answered by the unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, log

from drivers.sim.own_functions import Lag, at_power_factor, droop, on_curve
from drivers.sim.plant import Unit
from drivers.sim.sunspec_layout import CURVES, POINTS, Image

ADOPT_S = 0.4
FREE = 0.005  # of rated power: volt-watt no longer holds it back
IN_PROGRESS, COMPLETED, FAILED = 0, 1, 2
TRIPS = (707, 708, 709, 710)
MODELS = (705, 706, *TRIPS, 711, 712)
Values = Mapping[str, float]

# a curve's axes, x first
AXES = {705: ("V", "Var"), 706: ("V", "W"), 707: ("V", "Tms"), 708: ("V", "Tms"), 709: ("Hz", "Tms"),
        710: ("Hz", "Tms"), 712: ("W", "Var")}  # fmt: skip
# what DeptRef may be here: percent of WMax, VarMax, VAMax
REFERENCES = {705: (0, 1, 3), 706: (0,), 712: (0, 1, 3)}
SCALES = {
    703: {"V": -1, "Hz": -2},
    705: {"V": -1, "DeptRef": -1, "RspTms": -1},
    706: {"V": -1, "DeptRef": -1, "RspTms": -1},
    707: {"V": -1, "Tms": -2},
    708: {"V": -1, "Tms": -2},
    709: {"Hz": -2, "Tms": -2},
    710: {"Hz": -2, "Tms": -2},
    711: {"Db": -3, "K": -3, "RspTms": -1},
    712: {"W": -1, "DeptRef": -1},
}
# point of a set -> values that are understood; None = any number
ENUMS: dict[str, tuple[int, ...]] = {"DeptRef": (0, 1, 2, 3), "Pri": (0, 1, 2), "VRefAutoEna": (0, 1)}


def word_of(model: int) -> str:
    """Droop has controls, all others have curves."""
    return "Ctl" if model == 711 else "Crv"


def writable() -> dict[str, tuple[int, ...] | None]:
    """What a master may write: the heads, and all but the first set."""
    found: dict[str, tuple[int, ...] | None] = {}
    layout = Image(MODELS).points
    for model in MODELS:
        word = word_of(model)
        found |= {f"{model}.Ena": (0, 1), f"{model}.Adpt{word}Req": tuple(range(1, CURVES + 1))}
        if model not in TRIPS:
            found |= {f"{model}.RvrtTms": None, f"{model}.Rvrt{word}": tuple(range(CURVES + 1))}
        for i in range(1, CURVES):
            inside = [name for name in layout if name.startswith(f"{model}.{word}.{i}.")]
            for name in inside:
                last = name.rpartition(".")[2]
                if last not in ("ReadOnly", "VRefAuto"):
                    found[name] = ENUMS.get(last)
    return found


class Sets:
    """The sets of one model and the state of an adoption."""

    def __init__(self, image: Image, model: int) -> None:
        self.image, self.model, self.word = image, model, word_of(model)
        self.wanted = 0
        self.wait_s = 0.0  # until the adoption is decided
        self.left_s = 0.0  # until reversion
        image.put(f"{model}.Ena", 0)
        image.put(f"{model}.Adpt{self.word}Req", 0)
        image.put(f"{model}.Adpt{self.word}Rslt", COMPLETED)
        if model in POINTS:
            image.put(f"{model}.NPt", POINTS[model])
        image.put(f"{model}.{'NCrvSet' if model in TRIPS else f'N{self.word}'}", CURVES)
        for name, power in SCALES[model].items():
            image.put(f"{model}.{name}_SF", power)
        if model not in TRIPS:
            for name in ("RvrtTms", "RvrtRem", f"Rvrt{self.word}"):
                image.put(f"{model}.{name}", 0)
        for i in range(CURVES):
            image.put(self.name("ReadOnly", i), int(i == 0))

    def name(self, point: str, i: int = 0) -> str:
        return f"{self.model}.{self.word}.{i}.{point}"

    def get(self, point: str, i: int = 0) -> float | None:
        return self.image.get(self.name(point, i))

    def value(self, point: str) -> float:
        """Of the set in force; what is not implemented is 0."""
        return self.get(point) or 0.0

    def fill(self, values: Values) -> None:
        """The factory's points, in every set."""
        for i in range(CURVES):
            for point, value in values.items():
                self.image.put(self.name(point, i), value)

    def points(self, i: int = 0, curve: str = "") -> list[tuple[float | None, float | None]]:
        """(x, y) of the active points."""
        x, y = AXES[self.model]
        count = min(int(self.get(f"{curve}ActPt", i) or 0), POINTS[self.model])
        return [(self.get(f"{curve}Pt.{n}.{x}", i), self.get(f"{curve}Pt.{n}.{y}", i)) for n in range(count)]

    @property
    def enabled(self) -> bool:
        return self.image.get(f"{self.model}.Ena") == 1

    # --- adoption and reversion

    def ask(self, number: int) -> None:
        self.wanted, self.wait_s = number, ADOPT_S
        self.image.put(f"{self.model}.Adpt{self.word}Rslt", IN_PROGRESS)

    def obey(self, touched: set[str]) -> None:
        request = f"{self.model}.Adpt{self.word}Req"
        if request in touched:
            self.ask(int(self.image.get(request) or 0))
        if f"{self.model}.RvrtTms" in touched:
            self.left_s = self.image.get(f"{self.model}.RvrtTms") or 0.0

    def step(self, dt_s: float) -> bool:
        """True in the step in which an adoption is decided."""
        if self.left_s > 0.0:
            self.left_s = max(self.left_s - dt_s, 0.0)
            if self.left_s == 0.0 and (number := self.image.get(f"{self.model}.Rvrt{self.word}")):
                self.ask(int(number))
        if self.wait_s <= 0.0:
            return False
        self.wait_s -= dt_s
        if self.wait_s > 0.0:
            return False
        followed = is_followable(self, self.wanted - 1)
        if followed:
            self.adopt(self.wanted - 1)
        self.image.put(f"{self.model}.Adpt{self.word}Rslt", COMPLETED if followed else FAILED)
        return True

    def adopt(self, i: int) -> None:
        """Every word of set i but ReadOnly becomes set 0's."""
        image, prefix = self.image, self.name("", i)
        for name in [n for n in image.points if n.startswith(prefix) and not n.endswith(".ReadOnly")]:
            source, target = image.points[name], image.points[self.name(name.removeprefix(prefix))]
            image.words[target.at : target.at + target.words] = image.words[source.at : source.at + source.words]


def is_followable(sets: Sets, i: int) -> bool:
    """Could a device act by this set?"""
    if sets.model == 711:
        return all((sets.get(k, i) or 0.0) > 0.0 for k in ("KOf", "KUf"))
    points = sets.points(i, "MustTrip." if sets.model in TRIPS else "")
    if len(points) < 2 or any(None in point for point in points):
        return False
    if sets.model in TRIPS:
        return True
    x = [point[0] for point in points]
    return x == sorted(x, key=lambda v: v or 0.0) and sets.get("DeptRef", i) in REFERENCES[sets.model]


# --- the factory's points: defaults of IEEE 1547-2018, Category B and III


def curve_values(model: int, points: list[tuple[float, float]], curve: str = "") -> Iterator[tuple[str, float]]:
    yield f"{curve}ActPt", len(points)
    for n, pair in enumerate(points):
        yield from ((f"{curve}Pt.{n}.{axis}", value) for axis, value in zip(AXES[model], pair, strict=True))


def trip_values(model: int, must: list[tuple[float, float]], cease: list[tuple[float, float]]) -> dict[str, float]:
    parts = {"MustTrip.": must, "MayTrip.": [], "MomCess.": cease}
    return {name: value for curve, points in parts.items() for name, value in curve_values(model, points, curve)}


def factory(f_nom_hz: float) -> dict[int, dict[str, float]]:
    """Values of each model's sets."""
    # fmt: off
    volt_var = [(92.0, 44.0), (98.0, 0.0), (102.0, 0.0), (108.0, -44.0)]
    watt_var = [(-100.0, 44.0), (-50.0, 0.0), (-20.0, 0.0), (20.0, 0.0), (50.0, 0.0), (100.0, -44.0)]
    low_v = [(0.0, 2.0), (50.0, 2.0), (50.0, 21.0), (88.0, 21.0), (88.0, 1000.0)]
    high_v = [(140.0, 0.16), (120.0, 0.16), (120.0, 13.0), (110.0, 13.0), (110.0, 1000.0)]
    low_f = [(-20.0, 0.16), (-3.5, 0.16), (-3.5, 300.0), (-1.5, 300.0), (-1.5, 1000.0)]
    high_f = [(10.0, 0.16), (2.0, 0.16), (2.0, 300.0), (1.2, 300.0), (1.2, 1000.0)]
    return {
        705: {"DeptRef": 3, "Pri": 1, "VRef": 100.0, "VRefAuto": 100.0, "VRefAutoEna": 0, "VRefAutoTms": 300,
              "RspTms": 5.0, **dict(curve_values(705, volt_var))},
        706: {"DeptRef": 0, "RspTms": 10.0, **dict(curve_values(706, [(106.0, 100.0), (110.0, 0.0)]))},
        707: trip_values(707, low_v, [(50.0, 0.0), (50.0, 2.0)]),
        708: trip_values(708, high_v, [(110.0, 0.0), (110.0, 13.0)]),
        709: trip_values(709, [(f_nom_hz + f, t) for f, t in low_f], []),
        710: trip_values(710, [(f_nom_hz + f, t) for f, t in high_f], []),
        711: {"DbOf": 0.036, "DbUf": 0.036, "KOf": 0.05, "KUf": 0.05, "RspTms": 5.0, "PMin": -100},
        712: {"DeptRef": 3, "Pri": 1, **dict(curve_values(712, watt_var))},
    }
    # fmt: on


class OwnFunctions:
    """What the inverter does by itself. step() puts it into the unit: droop, ceiling, reactive mode."""

    def __init__(self, image: Image, unit: Unit, f_nom_hz: float) -> None:
        self.image, self.unit, self.f_nom_hz = image, unit, f_nom_hz
        self.sets = {model: Sets(image, model) for model in MODELS}
        for model, values in factory(f_nom_hz).items():
            self.sets[model].fill(values)
        for model in TRIPS:
            image.put(f"{model}.Ena", 1)
        self.event = False  # frequency is outside the dead band
        self.droop, self.ceiling, self.mode, self.v_ref = Lag(), Lag(unit.inverter.p_discharge_w), Lag(), Lag(100.0)
        self.read()

    def obey(self, touched: set[str]) -> None:
        for sets in self.sets.values():
            sets.obey(touched)
        self.read()

    def step(self, dt_s: float, v_pu: float, f_hz: float) -> None:
        decided = [sets.step(dt_s) for sets in self.sets.values()]
        if any(decided):
            self.read()
        if not self.event:
            self.unit.pre_ceiling_w = self.unit.ceiling_w
        self.unit.droop_w = self._droop_w(dt_s, f_hz)
        self.unit.ceiling_w = self._ceiling_w(dt_s, 100.0 * v_pu)
        self.unit.mode_var = self._mode_var(dt_s, 100.0 * v_pu)

    def show(self) -> None:
        """Timers and the reference that follows."""
        for model, sets in self.sets.items():
            if model not in TRIPS:
                self.image.put(f"{model}.RvrtRem", sets.left_s)
        self.image.put("705.Crv.0.VRefAuto", self.v_ref.value)

    def read(self) -> None:
        """The points in force as numbers: done when they change, not at each step."""
        self.acts = {model for model in (705, 706, 711, 712) if self.sets[model].enabled}
        self.curves = {m: [(x or 0.0, y or 0.0) for x, y in self.sets[m].points()] for m in (705, 706, 712)}
        names = {711: ("DbOf", "DbUf", "KOf", "KUf", "RspTms"), 706: ("RspTms",), 712: ("DeptRef",)}
        names[705] = ("DeptRef", "VRef", "VRefAutoEna", "VRefAutoTms", "RspTms")
        self.numbers = {m: {name: self.sets[m].value(name) for name in points} for m, points in names.items()}

    # --- each function

    def _droop_w(self, dt_s: float, f_hz: float) -> float:
        n = self.numbers[711]
        if 711 not in self.acts or f_hz == 0.0:
            self.droop.value, self.event = 0.0, False
            return 0.0
        share = droop(f_hz, self.f_nom_hz, n["DbOf"], n["DbUf"], n["KOf"], n["KUf"])
        self.event = share != 0.0
        return self.droop.step(dt_s, share * self.unit.inverter.p_discharge_w, n["RspTms"])

    def _ceiling_w(self, dt_s: float, v_pct: float) -> float:
        """Percent below zero are of the charge rating (5.4.2)."""
        inverter = self.unit.inverter
        if 706 not in self.acts:
            self.ceiling.value = inverter.p_discharge_w
            return inf
        pct = on_curve(self.curves[706], v_pct)
        target_w = pct / 100.0 * (inverter.p_charge_w if pct < 0.0 else inverter.p_discharge_w)
        asked_w = self.unit.asked_w + self.droop.value
        # 90 % of what power has to change: down from what is asked for, up to it, then the ceiling is free
        self.ceiling.value = min(self.ceiling.value, max(asked_w, target_w))
        if self.ceiling.value < asked_w - FREE * inverter.p_discharge_w:
            target_w = min(target_w, asked_w)
        return self.ceiling.step(dt_s, target_w, self.numbers[706]["RspTms"])

    def _mode_var(self, dt_s: float, v_pct: float) -> float | None:
        """The one reactive mode that is enabled; None: the set-point rules."""
        p_w = self.unit.inverter.p_w
        if 705 in self.acts:
            n = self.numbers[705]
            follows = n["VRefAutoEna"] == 1 and v_pct > 0.0
            seconds = n["VRefAutoTms"] * log(10.0) if follows else 0.0  # a time constant, 63.2 %
            v_ref = self.v_ref.step(dt_s, v_pct if follows else n["VRef"], seconds)
            q_var = self._var(on_curve(self.curves[705], v_pct - (v_ref - 100.0)), n["DeptRef"])
            return self.mode.step(dt_s, q_var, n["RspTms"])
        if 712 in self.acts:
            rated_w = self.unit.inverter.p_charge_w if p_w < 0.0 else self.unit.inverter.p_discharge_w
            q_var = self._var(on_curve(self.curves[712], 100.0 * p_w / rated_w), self.numbers[712]["DeptRef"])
            return self.mode.step(dt_s, q_var, 0.0)
        group = "PFWAbs" if p_w < 0.0 else "PFWInj"
        if self.image.get(f"704.{group}Ena") == 1:
            pf, ext = self.image.get(f"704.{group}.PF"), self.image.get(f"704.{group}.Ext")
            return self.mode.step(dt_s, at_power_factor(p_w, pf or 1.0, ext == 0), 0.0)
        self.mode.value = self.unit.inverter.q_var
        return None

    def _var(self, pct: float, reference: float) -> float:
        inverter = self.unit.inverter
        base = {0: inverter.p_discharge_w, 1: inverter.q_max_var, 3: inverter.s_max_va}[int(reference)]
        return pct / 100.0 * base
