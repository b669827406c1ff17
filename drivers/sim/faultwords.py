"""What a fault does to the values in a device's answer: registers in, registers out. Pure.

Face     where a device's values lie, and of which type. MeterFace: Eastron SDM630, float32. InverterFace: the
         simulator's SunSpec models, integers with "not implemented" patterns.
Errors   none: has() says which faults a device cannot show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, nan
from struct import pack, unpack
from typing import Protocol

from drivers.sim.inverter_process import BASE
from drivers.sim.plant import Unit
from drivers.sim.sunspec_layout import TYPES
from drivers.sim.sunspec_unit import SunSpecUnit

FIXED = {"soc_glitch": ("713.SoC", None), "fault": ("701.InvSt", 6), "local": ("715.LocRemCtl", 1)}  # None: the value
PARTS = {"701.W": "p", "701.Var": "p", "713.SoC": "soc"}  # of the inverter
HUGE = 1e9


@dataclass(frozen=True, slots=True)
class Spot:
    """One value: its address, how many words it has, which part of the fault language it is."""

    at: int
    words: int
    part: str
    type: str


class Face(Protocol):
    """What the proxy needs to know of a device's registers."""

    unit: int

    def has(self, fault: str) -> bool:
        """False when there is no register in which it would show."""
        ...

    def altered(self, fault: str, part: str, value: float, at: int, words: list[int]) -> list[int]:
        """The words that a read at `at` shows while the fault lasts."""
        ...


def put(spots: Iterator[tuple[Spot, list[int]]], at: int, words: list[int]) -> list[int]:
    """The words with these spots replaced; a spot that is only half in the answer is left alone."""
    words = list(words)
    for spot, new in spots:
        begin = spot.at - at
        if begin >= 0 and begin + spot.words <= len(words):
            words[begin : begin + spot.words] = new
    return words


class WireFace:
    """A device whose registers are not known here: what happens to frames and connections alone, and no write."""

    VALUES = frozenset({"nan", "inf", "out_of_range", "scale10", "overwrite", *FIXED})

    def __init__(self, unit: int) -> None:
        self.unit = unit

    def has(self, fault: str) -> bool:
        return fault not in self.VALUES

    def altered(self, _fault: str, _part: str, _value: float, _at: int, words: list[int]) -> list[int]:
        return words


class MeterFace:
    """Frequency, voltages and powers in the input registers of drivers.sim.sdm630."""

    SPOTS = (
        *(Spot(at, 2, "v", "f32") for at in (0, 2, 4)),
        *(Spot(at, 2, "p", "f32") for at in (6, 8, 10, 12, 14, 16, 52, 60)),
        Spot(70, 2, "f", "f32"),
    )

    def __init__(self, unit: int = 1) -> None:
        self.unit = unit

    def has(self, _fault: str) -> bool:
        return True

    def altered(self, fault: str, part: str, _value: float, at: int, words: list[int]) -> list[int]:
        return put(self._new(fault, part, at, words), at, words)

    def _new(self, fault: str, part: str, at: int, words: list[int]) -> Iterator[tuple[Spot, list[int]]]:
        for spot in self.SPOTS:
            begin = spot.at - at
            if part not in ("", spot.part) or not 0 <= begin <= len(words) - 2:
                continue
            shown = unpack(">f", pack(">2H", *words[begin : begin + 2]))[0]
            wrong = {"nan": nan, "inf": inf, "out_of_range": HUGE, "scale10": 10.0 * shown}.get(fault, shown)
            yield spot, list(unpack(">2H", pack(">f", wrong)))


class InverterFace:
    """Power and state of charge, status and set-point in the holding registers of drivers.sim.sunspec_unit."""

    def __init__(self, unit: int = 1) -> None:
        self.unit = unit
        self.image = SunSpecUnit(Unit()).image  # its scale factors are the simulator's
        self.spots = {
            name: Spot(BASE + p.at, p.words, PARTS.get(name, ""), p.type) for name, p in self.image.points.items()
        }

    def has(self, fault: str) -> bool:
        return fault not in FIXED or FIXED[fault][0] in self.spots

    def words_of(self, name: str, value: float) -> tuple[Spot, list[int]]:
        """A point as this device shows that value."""
        self.image.put(name, value)
        p = self.image.points[name]
        return self.spots[name], self.image.words[p.at : p.at + p.words]

    def set_point(self, p_w: float) -> tuple[int, list[int]]:
        """Address and words with which a master sets this power."""
        spot, words = self.words_of("704.WSet", p_w)
        return spot.at, words

    def altered(self, fault: str, part: str, value: float, at: int, words: list[int]) -> list[int]:
        if fault not in FIXED:
            return put(self._new(fault, part, at, words), at, words)
        name, shows = FIXED[fault]
        return put(iter([self.words_of(name, value if shows is None else shows)]), at, words)

    def _new(self, fault: str, part: str, at: int, words: list[int]) -> Iterator[tuple[Spot, list[int]]]:
        for name, belongs in PARTS.items():
            spot, begin = self.spots[name], self.spots[name].at - at
            if part not in ("", belongs) or not 0 <= begin <= len(words) - spot.words:
                continue
            yield spot, self._wrong(fault, spot.type, words[begin])

    def _wrong(self, fault: str, kind: str, word: int) -> list[int]:
        """Of a point of one word."""
        letter, absent = TYPES[kind]
        low, high = (-0x7FFF, 0x7FFF) if absent < 0 else (0, 0xFFFE)
        shown = unpack(f">{letter}", pack(">H", word))[0]
        wrong = {"nan": absent, "out_of_range": high, "scale10": min(max(10 * shown, low), high)}.get(fault, shown)
        return list(unpack(">H", pack(f">{letter}", wrong)))
