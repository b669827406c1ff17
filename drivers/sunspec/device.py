"""One SunSpec device as it was found: its points with addresses, words and scale factors. Pure.

Raises DiscoveryError when a needed model is missing, stands twice or has a length whose layout we do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.base import DiscoveryError, MapError
from drivers.devicemap import DeviceMap, Point
from drivers.sunspec.chain import Chain, Model
from drivers.tables import TYPES

# raw pattern of "not implemented" (SunSpec Device Information Model Specification)
ABSENT = {
    "u16": 0xFFFF, "s16": 0x8000, "u32": 0xFFFFFFFF, "s32": 0x80000000, "f32": 0x7FC00000, "u64": (1 << 64) - 1,
    "s64": 1 << 63,
}  # fmt: skip
FACTOR_LIMIT = 10  # a sunssf is -10 ... 10

# What a layout must describe, besides what its quantities name: without these nobody can command safely.
STATUS_POINTS = {701: ("St", "InvSt", "ConnSt", "Alrm")}
AXIS_POINTS = ("Ena", "Mod", "", "Rvrt", "Pct", "PctRvrt", "EnaRvrt", "RvrtTms")
CONTROL_POINTS = {
    704: (*(f"{a}{p}" for a in ("WSet", "VarSet") for p in AXIS_POINTS), "VarSetPri", "PFWInjEna", "PFWAbsEna")
}
OPTIONAL_POINTS: dict[int, tuple[str, ...]] = {713: ("Sta",), 715: ("LocRemCtl",)}  # if the layout has the model
# the same for the models before IEEE 1547-2018: one of 101 ... 103 measures, 124 commands (drivers.sunspec.legacy)
LEGACY_POINTS = {
    122: ("ECPConn",),
    124: (
        *("WChaMax", "StorCtl_Mod", "OutWRte", "InWRte", "InOutWRte_WinTms", "InOutWRte_RvrtTms", "ChaGriSet"),
        *("WChaMax_SF", "InOutWRte_SF"),
    ),
}
LEGACY_OPTIONAL: dict[int, tuple[str, ...]] = {101: ("St", "Evt1"), 102: ("St", "Evt1"), 103: ("St", "Evt1")}
WITHOUT = {124: "without it the device takes limits of generation only: nobody can tell it to charge or discharge"}


@dataclass(frozen=True, slots=True)
class Device:
    """The models we use, where they were found, and their words at discovery."""

    layout: DeviceMap
    found: Mapping[int, Model]
    words: Mapping[int, int]

    def has(self, model: int) -> bool:
        return model in self.found

    def point(self, model: int, name: str) -> Point:
        return self.layout.models[model].points[name]

    def address(self, model: int, name: str) -> int:
        return self.found[model].at + self.point(model, name).at

    def raw(self, model: int, name: str) -> int:
        """The bits of a point, as an unsigned number."""
        at, raw = self.address(model, name), 0
        for word in range(at, at + TYPES[self.point(model, name).type]):
            raw = raw << 16 | self.words[word]
        return raw

    def implements(self, model: int, name: str) -> bool:
        return self.has(model) and self.raw(model, name) != ABSENT[self.point(model, name).type]

    def offers(self, model: int, name: str) -> bool:
        """A point that a map of one's own may leave out."""
        return self.has(model) and name in self.layout.models[model].points and self.implements(model, name)

    def exponent(self, model: int, name: str) -> int | None:
        """The power of ten of a point: 0 without a scale factor, None where the device leaves the factor out."""
        factor = self.point(model, name).factor
        if factor is None:
            return 0
        raw = self.raw(model, factor)
        if raw == ABSENT["s16"]:
            return None
        exponent = raw - 0x10000 if raw & 0x8000 else raw
        if abs(exponent) > FACTOR_LIMIT:
            raise DiscoveryError(f"model {model}: {factor} = {exponent} is outside -{FACTOR_LIMIT} ... {FACTOR_LIMIT}")
        return exponent


def is_legacy(layout: DeviceMap) -> bool:
    """A map of the models before 701 ... 715."""
    return 124 in layout.models and 704 not in layout.models


def check_layout(layout: DeviceMap) -> None:
    """A map of one's own may leave nothing out that the plan needs."""
    if layout.kind != "inverter":
        raise MapError(f"{layout.file}:1: {layout.device} is a map of kind {layout.kind}; allowed: inverter")
    newer = (STATUS_POINTS | CONTROL_POINTS, OPTIONAL_POINTS)
    points, optional = (LEGACY_POINTS, LEGACY_OPTIONAL) if is_legacy(layout) else newer
    wanted = points | {m: p for m, p in optional.items() if m in layout.models}
    problems = []
    for model, names in wanted.items():
        found = layout.models.get(model)
        missing = [n for n in names if found is None or n not in found.points]
        if found is None or (not found.needed and model not in optional):
            problems.append(f"{layout.file}:1: model {model} must be under models, with needed: true")
        elif missing:
            problems.append(f"{layout.file}:1: model {model} lacks the points {', '.join(missing)}")
    if problems:
        raise MapError("\n".join(problems))


def inspect(layout: DeviceMap, chain: Chain, words: Mapping[int, int]) -> Device:
    """Check the chain against the layout, of an inverter after check_layout; every mistake is named, one line each."""
    problems: list[str] = []
    found: dict[int, Model] = {}
    for model_id, model in layout.models.items():
        places = chain.find(model_id)
        if not places and model.needed:
            why = f"; {WITHOUT[model_id]}" if model_id in WITHOUT else ""
            problems.append(f"model {model_id} is missing; found: {', '.join(map(str, chain.ids)) or 'none'}{why}")
        if not places:
            continue
        found[model_id] = places[0]
        if len(places) > 1 and model_id != 1:  # a second device behind the same unit: which one is meant?
            at = ", ".join(str(p.at) for p in places)
            problems.append(f"model {model_id} stands {len(places)} times (at {at}); one is allowed per unit")
        if places[0].length not in model.lengths:
            allowed = " or ".join(map(str, model.lengths))
            problems.append(f"model {model_id} at {places[0].at} has length {places[0].length}; known: {allowed}")
    if problems:
        raise DiscoveryError("\n".join(problems))
    return Device(layout, found, words)


def power_of_ten(exponent: int) -> float:
    """10**exponent, correctly rounded: 0.1 is the double nearest to a tenth."""
    return float(f"1e{exponent}")
