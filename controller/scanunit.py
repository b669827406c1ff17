"""One Modbus unit that a scan asks, what was found, and the maps that it is compared with. Pure.

Errors   NobodyError goes through: there is nobody at the other end, so nobody else needs to be asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from drivers.base import BusError
from drivers.can.canmap import CanMap
from drivers.devicemap import DeviceMap
from drivers.mapfile import load_map, map_names
from drivers.registermap import PHASES, Plan, decode
from drivers.sunspec.chain import RefusedError

# (unit, function, address, count) -> words; raises RefusedError (somebody is there), NobodyError or another BusError
Ask = Callable[[int, int, int, int], tuple[int, ...]]
Question = tuple[int, int, int, int]

GRID_V = (80.0, 530.0)  # 100 V less a fifth ... 480 V and a tenth
TIMEOUT_MS = 300  # of the plans that are made for a scan, which are never run
MOST_SILENCES = 8  # a device that leaves so many questions unanswered is asked no more
REVERSION_S = 10  # for the site file, where the device's timer allows it
UNKNOWN = "answers, but is no device that we know"
REFUSES = "answers with exceptions only: no device that we know"


class NobodyError(BusError):
    """Not even a connection: other questions need not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a unit is. maps: the likeliest first, all that answer alike; none: it answers, and nothing of ours fits.

    sure: the device said it, by its model 1 or a map's probe. seen: quantities as they were read, + = out of the
    inverter. note: why nothing fits. but: what stands in the way of commanding it.
    """

    unit: int
    kind: str = ""  # meter | inverter
    maps: tuple[str, ...] = ()
    sure: bool = False
    maker: str = ""
    model: str = ""
    serial_number: str = ""
    seen: Mapping[str, float] = field(default_factory=dict)
    note: str = UNKNOWN
    but: str = ""


class Unit:
    """One unit's answers; each question is asked once."""

    def __init__(self, ask: Ask, number: int) -> None:
        self.ask, self.number = ask, number
        self.known: dict[Question, tuple[int, ...] | None] = {}
        self.silences = 0

    def words(self, function: int, address: int, count: int, unit: int | None = None) -> tuple[int, ...] | None:
        """None: refused, or no answer."""
        question = (self.number if unit is None else unit, function, address, count)
        if question not in self.known:
            self.known[question] = self._asked(question)
        return self.known[question]

    def _asked(self, question: Question) -> tuple[int, ...] | None:
        if self.silences >= MOST_SILENCES:
            return None
        try:
            return self.ask(*question)
        except NobodyError:
            raise
        except RefusedError:
            return None
        except BusError:
            self.silences += 1
            return None

    def holding(self, address: int, count: int) -> tuple[int, ...]:
        """As SunSpec wants it. A device that says nothing where it has nothing counts as one that refuses."""
        words = self.words(3, address, count)
        if words is None:
            raise RefusedError(f"nothing readable at {address}")
        return words

    def answered(self) -> Question | None:
        """A question to this unit that brought words."""
        return next((q for q, words in self.known.items() if words is not None and q[0] == self.number), None)


@cache
def known_maps(kind: str) -> tuple[tuple[str, DeviceMap], ...]:
    """(name, map) of all that come with the program."""
    return tuple((name, load_map(name)) for name in map_names([kind]))


def record(unit: Unit, plan: Plan, shape: type[Any]) -> dict[str, Any] | None:
    """The fields of the record that this plan fills; None when one of its requests is not answered.

    Counters of energy stand in no record and are not asked: a device without them is what its map says all the same.
    """
    answers: list[Sequence[int] | None] = []
    for read in plan.reads:
        if read.every == 0:
            answers.append(None)
            continue
        words = unit.words(read.function, read.address, read.count, read.unit)
        if words is None:
            return None
        answers.append(words)
    return decode(plan, answers, shape)


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """What is known of these."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def reversion_s(device: DeviceMap) -> int:
    """A time that the inverter's own timer takes."""
    contract = device.writes
    if isinstance(device, CanMap):
        low_s, high_s = device.sends.timer_s
    elif contract is None or contract.timer == "none":
        return REVERSION_S
    else:
        low_s, high_s = contract.timer_low_s, contract.timer_high_s
    return min(max(REVERSION_S, low_s), high_s)


def phases_of(found: Found) -> str:
    """The wires that carry voltage, as `meter.phases` says them."""

    fitting = [p for p, names in PHASES.items() if all(found.seen.get(v, 0.0) >= GRID_V[0] for v in names)]
    return fitting[-1] if fitting else "L1"
