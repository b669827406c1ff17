"""The wires of a site: each device on one, two on one only when both describe it alike. CAN: an inverter alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.sitedata import InverterSite, MeterSite, Origin, WireSite
from drivers.base import MapError
from drivers.can.canmap import CanMap
from drivers.mapfile import load_map
from drivers.modbus.link import SerialLink

HOST_KEYS = ("port", "udp")
SERIAL_KEYS = ("baud", "parity", "stop_bits", "rs485")
SERIAL_UNITS = range(1, 248)  # Modbus over serial line v1.02, section 2.2


def wire_faults(meter: MeterSite, inverter: InverterSite, origins: Mapping[str, Origin]) -> Iterator[tuple[str, ...]]:
    """(message, key, ...) of what is wrong with either wire, or with both together."""
    found = [*faults_of("meter", meter, origins), *faults_of("inverter", inverter, origins)]
    yield from found
    if not found:
        yield from together(meter, inverter)


def ways_of(wire: WireSite) -> dict[str, str]:
    """{key: value} of what says where the wire leads: one of them, no more."""
    ways = {"host": wire.host, "serial": wire.serial, "can": wire.can if isinstance(wire, InverterSite) else None}
    return {key: value for key, value in ways.items() if value is not None}


def unused_keys(wire: WireSite) -> tuple[str, ...]:
    """The keys that say nothing about this kind of wire."""
    way = next(iter(ways_of(wire)), "host")
    return {"host": SERIAL_KEYS, "serial": HOST_KEYS, "can": (*HOST_KEYS, *SERIAL_KEYS)}[way]


def faults_of(role: str, wire: WireSite, origins: Mapping[str, Origin]) -> Iterator[tuple[str, ...]]:
    ways = ways_of(wire)
    if len(ways) != 1:
        also = ", or can (SocketCAN)" if isinstance(wire, InverterSite) else ""
        needed = f"needs host (Modbus TCP) or serial (RTU){also}"
        what = f"{' and '.join(ways)} exclude each other" if ways else needed
        yield f"{role}: {what}", f"{role}.{next(reversed(ways), 'serial')}", role
        return
    for key in unused_keys(wire):
        if f"{role}.{key}" in origins:
            owner = "host" if key in HOST_KEYS else "serial"
            yield f"{key} belongs to {owner}; this wire has none", f"{role}.{key}"
    if isinstance(wire, InverterSite):
        yield from map_faults(wire)
    if "can" in ways:
        return
    try:
        link = wire.link
    except ValueError as error:
        yield str(error), *(f"{role}.{key}" for key in ("baud", "serial"))
        return
    if isinstance(link, SerialLink) and wire.unit not in SERIAL_UNITS:
        yield f"unit = {wire.unit} is outside 1 ... 247 on a serial line (0 is everybody, unanswered)", f"{role}.unit"


def map_faults(inverter: InverterSite) -> Iterator[tuple[str, ...]]:
    """A map of a CAN device and a CAN wire belong together; what else is wrong with the map is told elsewhere."""
    try:
        device = load_map(inverter.map)
    except MapError:
        return
    if isinstance(device, CanMap) and inverter.can is None:
        yield f"map = {inverter.map} is of a CAN device: it needs can (like can0)", "inverter.map", "inverter"
    elif inverter.can is not None and not isinstance(device, CanMap):
        yield f"map = {inverter.map} is of no CAN device (it names no dbc); can = {inverter.can}", "inverter.map"
    elif isinstance(device, CanMap) and not device.sends.timer_s[0] <= inverter.reversion_s <= device.sends.timer_s[1]:
        low, high = device.sends.timer_s
        text = f"reversion_s = {inverter.reversion_s} is outside {low} ... {high} s (the own timer of {inverter.map})"
        yield text, "inverter.reversion_s", "inverter"


def together(meter: MeterSite, inverter: InverterSite) -> Iterator[tuple[str, ...]]:
    if inverter.can is not None:
        return
    if meter.serial and meter.serial == inverter.serial and meter.link != inverter.link:
        yield f"serial: {inverter.link} and the meter's {meter.link} are one line", "inverter.serial", "inverter.baud"
    elif meter.link == inverter.link and meter.unit == inverter.unit and not both_sunspec(meter, inverter):
        text = f"unit = {inverter.unit} is the meter's too, on the same wire; only a SunSpec device can be both"
        yield text, "inverter.unit", "inverter"


def both_sunspec(meter: MeterSite, inverter: InverterSite) -> bool:
    """Whether one chain of models may hold both. What is wrong with a map is told elsewhere."""
    try:
        return all(load_map(name).models for name in (meter.map, inverter.map))
    except MapError:
        return True
