"""A SunSpec meter (models 201-204 and 211-214): the map names the points, the device where they are and how scaled.

registers_of()     map + chain + words -> the same map with registers instead of models: a meter like any other. Pure.
discover_meter()   the same over a wire. Raises BusError (no answer) or DiscoveryError (the wrong device).
nth                which of several meters in one chain, counted from 1; None: there is but one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from drivers.base import DiscoveryError
from drivers.devicemap import DeviceMap, Quantity, Register
from drivers.mapfile import NEEDED
from drivers.modbus.link import Link
from drivers.sunspec.chain import Chain, Model, fetch, walk
from drivers.sunspec.device import ABSENT, Device, inspect, power_of_ten
from drivers.sunspec.wire import Reader


def registers_of(layout: DeviceMap, chain: Chain, words: Mapping[int, int], nth: int | None = None) -> DeviceMap:
    """What the device does not implement is absent, as in any map; without f, V of L1 or P it is of no use."""
    device = inspect(layout, _one(layout, chain, nth), words)
    if not device.found:
        known, seen = (", ".join(map(str, ids)) or "none" for ids in (layout.models, chain.ids))
        raise DiscoveryError(f"no meter: none of the models {known}; found: {seen}")
    found = {name: r for name, q in layout.quantities.items() if (r := _register(device, q)) is not None}
    missing = [name for name in NEEDED["meter"] if name not in found]
    if missing:
        models = ", ".join(map(str, device.found))
        raise DiscoveryError(f"model {models}: {', '.join(missing)} not implemented now; is the meter behind it there?")
    return replace(layout, registers=found, models={}, quantities={})


def _one(layout: DeviceMap, chain: Chain, nth: int | None) -> Chain:
    """The chain with the meter that is meant."""
    meters = _used(layout, chain)
    told = ", ".join(f"model {m.id} at {m.at}" for m in meters)
    if nth is not None and nth > len(meters):
        raise DiscoveryError(f"nth = {nth}, but it has {told or 'no meter'}")
    if nth is None and len({m.id for m in meters}) < len(meters):
        raise DiscoveryError(f"several meters: {told}; say which in the site file: `nth: 1` ... `nth: {len(meters)}`")
    return chain if nth is None else Chain(chain.base, (meters[nth - 1],))


def _register(device: Device, quantity: Quantity) -> Register | None:
    """The first point that is implemented and whose scale is known."""
    for model, name in quantity.points:
        if not device.has(model) or not device.implements(model, name):
            continue
        exponent, kind = device.exponent(model, name), device.point(model, name).type
        if exponent is not None:
            function, scale = device.layout.function, power_of_ten(exponent)
            return quantity.register(device.address(model, name), kind, function, scale, (ABSENT[kind],))
    return None


def discover_meter(
    link: Link, unit: int, layout: DeviceMap, timeout_s: float, timeout_ms: int, nth: int | None = None
) -> DeviceMap:
    """Walk the device's chain. timeout_s bounds the whole of it."""
    reader = Reader(link, unit, timeout_s, timeout_ms)
    try:
        chain = walk(reader.read)
        return registers_of(layout, chain, fetch(reader.read, _used(layout, chain), layout.max_words), nth)
    except DiscoveryError as error:
        lines = "\n".join(f"{link} unit {unit}: {line}" for line in str(error).splitlines())
        raise DiscoveryError(lines) from error
    finally:
        reader.close()


def _used(layout: DeviceMap, chain: Chain) -> list[Model]:
    return [m for m in chain.models if m.id in layout.models]
