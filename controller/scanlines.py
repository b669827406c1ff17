"""Finds of a scan -> lines for a site file, and the same for a program. Pure.

A find is a comment line and, below, its block. A site has one meter and one inverter: the blocks of further ones are
comments, so that the whole text can be put into a site file as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from controller.scan import Place
from controller.scanunit import known_maps, phases_of, reversion_s
from drivers.can.link import CanLink
from drivers.devicemap import METER_QUANTITIES, DeviceMap
from drivers.modbus.link import SerialLink, UdpLink
from drivers.registermap import PHASES

HEAD = "# Found by v2g scan, which reads and never writes. For a site file; what it cannot know stands in a comment."
COLUMN = 26
UNITS = {name: unit for name, (_, unit) in METER_QUANTITIES.items()} | {"soc_pu": "pu"}


def is_known(place: Place) -> bool:
    """Whether there are lines to paste for it."""
    return bool(place.found.maps)


def lines(places: Sequence[Place]) -> Iterator[str]:
    """The known ones of them."""
    yield HEAD
    taken: set[str] = set()
    for place in filter(is_known, places):
        kind = place.found.kind
        yield f"# {headline(place)}"
        for line in block(place):
            yield f"# {line}" if kind in taken else line
        taken.add(kind)


def headline(place: Place) -> str:
    """Where, what, and what it showed."""
    found = place.found
    shown = ("f_hz", *PHASES[phases_of(found)], "p_w", "soc_pu")
    values = ", ".join(value_text(name, found.seen[name]) for name in shown if name in found.seen)
    if isinstance(place.link, CanLink):  # how much of it was heard
        values = ", ".join(filter(None, (found.note, values)))
    name = " ".join(filter(None, (found.maker, found.model)))
    number = f", serial number {found.serial_number}" if found.serial_number else ""
    if not found.maps:
        return f"{place.link} unit {found.unit}: {name}{number}{': ' if name else ''}{found.note}"
    but = f"; but {found.but}" if found.but else ""
    who = " ".join(filter(None, (found.kind, name)))
    what = f"{who}{number}, map {found.maps[0]}" if found.sure else f"looks like {found.maps[0]}"
    return f"{place.link} unit {found.unit}: {what}{f' ({values})' if values else ''}{alike(place)}{but}"


def alike(place: Place) -> str:
    others = place.found.maps[1:]
    return f"; no register tells it from {', '.join(others)}: its nameplate does" if others else ""


def value_text(name: str, value: float) -> str:
    unit = UNITS[name]
    digits = 2 if unit in ("Hz", "pu") else 0 if unit == "W" else 1
    return f"{round(value, digits) + 0.0:.{digits}f} {unit}"  # no -0


def block(place: Place) -> Iterator[str]:
    """`meter:` or `inverter:` and its keys, with a word on those that nobody can read from a device."""
    words = remarks(place)
    yield f"{place.found.kind}:"
    for key, value in keys(place).items():
        text = f"  {key}: {scalar(value)}"
        yield f"{text:<{COLUMN}}  # {words[key]}" if key in words else text


def scalar(value: object) -> str:
    """As YAML writes it."""
    return yaml.safe_dump(value, allow_unicode=True, width=1000).removesuffix("\n...\n").strip()


def keys(place: Place) -> dict[str, Any]:
    """The keys of its block."""
    found = place.found
    wire = {"map": found.maps[0], **wire_keys(place), "unit": found.unit}
    if found.kind == "meter":
        return {**wire, "location": "connection", "phases": phases_of(found)}
    return {**wire, "reversion_s": reversion_s(map_of(place))}


def wire_keys(place: Place) -> dict[str, Any]:
    link = place.link
    if isinstance(link, CanLink):
        return {"can": link.interface}
    if isinstance(link, SerialLink):
        return {"serial": link.path, "baud": link.baud, "parity": link.parity}
    udp = {"udp": True} if isinstance(link, UdpLink) else {}
    return {"host": link.host, "port": link.port, **udp}


def map_of(place: Place) -> DeviceMap:
    return dict(known_maps(place.found.kind))[place.found.maps[0]]


def remarks(place: Place) -> dict[str, str]:
    """key -> what its owner has to look at."""
    found = {
        "location": "or inverter: its P and Q are the inverter's own",
        "reversion_s": "without writes for so long it goes to 0 W by itself",
    }
    if place.found.maps[1:]:
        found["map"] = f"or {', '.join(place.found.maps[1:])}: see its nameplate"
    device = map_of(place)
    if device.writes is not None and not device.writes.falls_to_zero:
        found["reversion_s"] = "it does not go to 0 W by itself: see its map"
    if device.inverter is not None and "p_w" not in device.inverter.registers:
        found["map"] = "it does not say its power: the meter needs `location: inverter`"
    return found


def as_json(places: Sequence[Place]) -> dict[str, Any]:
    """devices: with maps; others: units that answer and fit no map."""
    return {
        "devices": [entry(p) | {"site": {p.found.kind: keys(p)}} for p in places if is_known(p)],
        "others": [entry(p) | {"why": p.found.note} for p in places if not is_known(p)],
    }


def entry(place: Place) -> dict[str, Any]:
    f = place.found
    return {
        "where": str(place.link),
        "unit": f.unit,
        "kind": f.kind or None,
        "maps": list(f.maps),
        "sure": f.sure,
        "maker": f.maker,
        "model": f.model,
        "serial_number": f.serial_number,
        "seen": dict(f.seen),
        "but": f.but or None,
    }
