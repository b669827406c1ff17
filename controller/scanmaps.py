"""What a Modbus unit is: its answers to functions 3 and 4, compared with every map that comes with the program. Pure.

SunSpec    the device says who it is: manufacturer, model and serial number of its model 1. A map for its manufacturer
           comes before the general one; whoever has a meter's and an inverter's models is both.
Registers  nothing in them says whose they are: a meter's map fits when frequency and voltage are a grid's, an
           inverter's when all its values are plausible. Several may fit: the nameplate tells them apart.
Errors     NobodyError goes through: there is nobody at the other end, so nobody else needs to be asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cython_core.records import DeviceState, Measurement, Session
from drivers.base import BusError, DiscoveryError
from drivers.devicemap import METER_QUANTITIES, DeviceMap
from drivers.inverterplan import register_plan
from drivers.mapfile import load_map, map_names
from drivers.registermap import PHASES, Plan, decode, meter_plan
from drivers.sunspec.chain import BASES, MARK, Chain, RefusedError, fetch, walk
from drivers.sunspec.meter import registers_of
from drivers.sunspec.plan import inverter_plan

# (unit, function, address, count) -> words; raises RefusedError (somebody is there), NobodyError or another BusError
Ask = Callable[[int, int, int, int], tuple[int, ...]]
Question = tuple[int, int, int, int]

GRID_HZ = (45.0, 65.0)
GRID_V = (80.0, 530.0)  # 100 V less a fifth ... 480 V and a tenth
TIMEOUT_MS = 300  # of the plans that are made here, which are never run
MOST_SILENCES = 8  # a device that leaves so many questions unanswered is asked no more
SMALL_W = 50.0  # phases and total may have been read at different times
REVERSION_S = 10  # for the site file, where the device's timer allows it
NOT_SIGNED = ("p_max_discharge_w", "p_max_charge_w", "s_max_va", "soc_pu")  # 0 in them says nothing
UNKNOWN = "answers, but is no device that we know"
REFUSES = "answers with exceptions only: no device that we know"
GENERAL = "sunspec"  # maps that begin so are for every manufacturer
COMMON = {"Mn": (2, 16), "Md": (18, 16), "SN": (50, 16)}  # model 1: words from its ID, and how many


class NobodyError(BusError):
    """Not even a connection: other questions need not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a unit is. maps: the likeliest first, all that answer alike; none: it answers, and nothing of ours fits.

    sure: the device said it. seen: quantities as they were read, + = out of the inverter. note: why nothing fits.
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


@dataclass(frozen=True, slots=True)
class Fit:
    """A map of plain registers that a unit's answers fit. size: how many values it has."""

    size: int
    name: str
    seen: Mapping[str, float]


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


def identify(unit: Unit) -> list[Found]:
    """What this unit is, at least one: it is known to answer."""
    if any(unit.words(3, base, len(MARK)) == MARK for base in BASES):
        return sunspec_device(unit)
    return (
        register_meter(unit)
        or register_inverter(unit)
        or [Found(unit=unit.number, note=UNKNOWN if unit.answered() else REFUSES)]
    )


# ---- SunSpec ----


def sunspec_device(unit: Unit) -> list[Found]:
    """Its meter, its inverter, or why it is neither."""
    try:
        chain = walk(unit.holding)
        words = fetch(unit.holding, [m for m in chain.models if m.id in sunspec_models()])
    except BusError as error:
        return [Found(unit=unit.number, note=f"speaks SunSpec, but {error}")]
    except DiscoveryError as error:
        return [Found(unit=unit.number, note=str(error))]
    who = identity(unit, chain, words)
    found: list[Found] = []
    refusals: list[tuple[int, str]] = []
    for kind, fits in (("meter", sunspec_meter), ("inverter", sunspec_inverter)):
        for name, layout in of_maker(kind, who.maker):
            try:
                seen = fits(unit, name, layout, chain, words)
            except DiscoveryError as error:
                shared = len(set(layout.models) & set(chain.ids))
                refusals.append((shared, f"map {name}: {str(error).splitlines()[0]}"))
                continue
            found.append(replace(who, kind=kind, maps=(name,), seen=seen))
            break
    return found or [replace(who, note=max(refusals)[1])]


@cache
def sunspec_models() -> frozenset[int]:
    """All that one of our maps reads, and model 1."""
    return frozenset({1}.union(*(device.models for kind in ("meter", "inverter") for _, device in known_maps(kind))))


def of_maker(kind: str, maker: str) -> list[tuple[str, DeviceMap]]:
    """SunSpec maps for this manufacturer's device: its own ones first, then the general ones."""
    said = maker.lower()
    maps = [(name, m) for name, m in known_maps(kind) if m.models]
    own = [(name, m) for name, m in maps if name.split("-")[0] in said.split()]
    return own + [(name, m) for name, m in maps if name.split("-")[0] == GENERAL]


def identity(unit: Unit, chain: Chain, words: Mapping[int, int]) -> Found:
    """Who it is, by its model 1; no names without one."""
    at = next((model.at for model in chain.find(1)), None)
    texts = {name: "" if at is None else text_of(words, at + first, count) for name, (first, count) in COMMON.items()}
    return Found(unit=unit.number, sure=True, maker=texts["Mn"], model=texts["Md"], serial_number=texts["SN"])


def text_of(words: Mapping[int, int], at: int, count: int) -> str:
    """Printable characters, up to the first NUL: it ends in a comment of a file."""
    raw = b"".join(words.get(at + i, 0).to_bytes(2, "big") for i in range(count)).split(b"\0")[0]
    return "".join(c for c in raw.decode("utf-8", "ignore") if c.isprintable()).strip()


def sunspec_meter(
    unit: Unit, _name: str, layout: DeviceMap, chain: Chain, words: Mapping[int, int]
) -> Mapping[str, float]:
    """What it shows. DiscoveryError: it is no such meter."""
    device = registers_of(layout, chain, words)
    return meter_values(unit, device) or {}


def sunspec_inverter(
    unit: Unit, name: str, layout: DeviceMap, chain: Chain, words: Mapping[int, int]
) -> Mapping[str, float]:
    """Whether it can be commanded by this map; DiscoveryError: it cannot."""
    plan = inverter_plan(chain, words, unit.number, reversion_s(layout), TIMEOUT_MS, name)
    state = record(unit, plan, DeviceState) or {}
    return {q: state[q] for q in layout.quantities if math.isfinite(state.get(q, math.nan))}


def reversion_s(device: DeviceMap) -> int:
    """A time that the inverter's own timer takes."""
    contract = device.writes
    if contract is None or contract.timer == "none":
        return REVERSION_S
    return min(max(REVERSION_S, contract.timer_low_s), contract.timer_high_s)


# ---- plain registers ----


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


def meter_values(unit: Unit, device: DeviceMap, power: str = "house") -> dict[str, float] | None:
    """Everything that a meter shows, + = out of the inverter."""
    phases = [p for p, names in PHASES.items() if all(v in device.registers for v in names)][-1]
    values = record(unit, meter_plan(device, unit.number, phases, TIMEOUT_MS, power=power), Measurement)
    return values and {q: values[q] for q in METER_QUANTITIES if math.isfinite(values[q])}


def is_of_a_grid(seen: Mapping[str, float]) -> bool:
    return GRID_HZ[0] <= seen.get("f_hz", 0.0) <= GRID_HZ[1] and GRID_V[0] <= seen.get("v1_v", 0.0) <= GRID_V[1]


def register_meter(unit: Unit) -> list[Found]:
    """At most one: the maps whose frequency and voltage are a grid's, with the most phases that carry voltage."""
    fitting: list[Fit] = []
    for name, device in known_maps("meter"):
        if device.models:
            continue
        first = replace(device, registers={q: device.registers[q] for q in ("f_hz", "v1_v")})  # two, before all
        if not is_of_a_grid(meter_values(unit, first, power="none") or {}):
            continue
        seen = meter_values(unit, device)
        if seen and is_of_a_grid(seen) and adds_up(seen):
            fitting.append(Fit(len(device.registers.keys() & METER_QUANTITIES.keys()), name, seen))
    most = max((wires(fit.seen) for fit in fitting), default=0)
    return one_of(unit, "meter", [fit for fit in fitting if wires(fit.seen) == most])


def wires(seen: Mapping[str, float]) -> int:
    """Phases that carry voltage."""
    return sum(seen.get(name, 0.0) >= GRID_V[0] for name in PHASES["L1L2L3"])


def adds_up(seen: Mapping[str, float]) -> bool:
    """Whether the phases' powers make the total. A single-phase meter read as one of three shows a total of 0."""
    phases = [seen[f"p{i}_w"] for i in (1, 2, 3) if f"p{i}_w" in seen]
    if not phases or "p_w" not in seen:
        return True
    return math.isclose(sum(phases), seen["p_w"], rel_tol=0.2, abs_tol=SMALL_W)


def register_inverter(unit: Unit) -> list[Found]:
    """At most one: the maps whose values are all plausible. One value alone proves nothing."""
    fitting: list[Fit] = []
    for name, device in known_maps("inverter"):
        if device.inverter is None or len(device.inverter.places()) < 2:
            continue
        seen = inverter_values(unit, device)
        if seen is not None:
            fitting.append(Fit(len(device.inverter.places()), name, seen))
    return one_of(unit, "inverter", fitting)


def inverter_values(unit: Unit, device: DeviceMap) -> dict[str, float] | None:
    """What it shows, if that is believable. The state of charge may be absent: there may be no car."""
    inverter = device.inverter
    assert inverter is not None
    state = record(unit, register_plan(device, unit.number, reversion_s(device)), DeviceState)
    if state is None:
        return None
    seen = {q: float(state[q]) for q in inverter.registers if math.isfinite(state[q])}
    words_known = (inverter.session is None or state["session"] != Session.UNKNOWN) and (
        inverter.status is None or state["status"] != 0
    )
    complete = set(inverter.registers) <= {*seen, "soc_pu"}
    return seen if words_known and complete and any(seen.get(q, 0.0) > 0.0 for q in NOT_SIGNED) else None


def one_of(unit: Unit, kind: str, fitting: list[Fit]) -> list[Found]:
    """A find with all these maps; the one that says most first."""
    fitting = sorted(fitting, key=lambda fit: (-fit.size, fit.name))
    return [
        Found(unit=unit.number, kind=kind, maps=tuple(fit.name for fit in fitting), seen=f.seen) for f in fitting[:1]
    ]


def phases_of(found: Found) -> str:
    """The wires that carry voltage, as `meter.phases` says them."""

    fitting = [p for p, names in PHASES.items() if all(found.seen.get(v, 0.0) >= GRID_V[0] for v in names)]
    return fitting[-1] if fitting else "L1"
