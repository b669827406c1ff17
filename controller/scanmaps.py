"""What a Modbus unit is: its answers to functions 3 and 4, compared with every map that comes with the program. Pure.

SunSpec    the device says who it is: manufacturer, model and serial number of its model 1. A map for its manufacturer
           comes before the general one; whoever has a meter's and an inverter's models is both.
Registers  scanregisters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from controller.scanregisters import inverter_values, meter_values, register_inverter, register_meter
from controller.scanunit import REFUSES, TIMEOUT_MS, UNKNOWN, Found, Unit, finite, known_maps, record, reversion_s
from cython_core.records import DeviceState
from drivers.base import BusError, DiscoveryError, OwnControlError
from drivers.devicemap import DeviceMap
from drivers.sunspec.chain import BASES, MARK, Chain, fetch, walk
from drivers.sunspec.meter import registers_of
from drivers.sunspec.plan import inverter_plan

GENERAL = "sunspec"  # maps that begin so are for every manufacturer
COMMON = {"Mn": (2, 16), "Md": (18, 16), "SN": (50, 16)}  # model 1: words from its ID, and how many


def identify(unit: Unit) -> list[Found]:
    """What this unit is, at least one: it is known to answer."""
    if any(unit.words(3, base, len(MARK)) == MARK for base in BASES):
        return sunspec_device(unit)
    return (
        register_meter(unit)
        or register_inverter(unit)
        or [Found(unit=unit.number, note=UNKNOWN if unit.answered() else REFUSES)]
    )


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
            seen, but = dict[str, float](), ""
            try:
                seen.update(fits(unit, name, layout, chain, words))
            except OwnControlError as error:
                but = str(error)
            except DiscoveryError as error:
                shared = len(set(layout.models) & set(chain.ids))
                refusals.append((shared, f"map {name}: {str(error).splitlines()[0]}"))
                continue
            found.append(replace(who, kind=kind, maps=(name,), seen=seen, but=but))
            break
    return found or [replace(who, note=max(refusals)[1])]


@cache
def sunspec_models() -> frozenset[int]:
    """All that one of our maps reads, and model 1."""
    return frozenset({1}.union(*(device.models for kind in ("meter", "inverter") for _, device in known_maps(kind))))


def of_maker(kind: str, maker: str) -> list[tuple[str, DeviceMap]]:
    """Maps for this manufacturer's SunSpec device: its own ones first, then the general ones."""
    said = maker.lower().split()
    own = [(name, m) for name, m in known_maps(kind) if (m.models or m.inverter) and name.split("-")[0] in said]
    return own + [(name, m) for name, m in known_maps(kind) if m.models and name.split("-")[0] == GENERAL]


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
    """Whether it can be commanded by this map; DiscoveryError: it cannot. Some are commanded otherwise."""
    if layout.inverter is not None:
        plain = inverter_values(unit, layout)
        if plain is None:
            raise DiscoveryError("its registers are not there, or hold what cannot be")
        return plain
    plan = inverter_plan(chain, words, unit.number, reversion_s(layout), TIMEOUT_MS, name)
    state = record(unit, plan, DeviceState) or {}
    return finite({q: state.get(q, math.nan) for q in layout.quantities})
