"""The wires of a site: each device on one, two on one only when both describe it alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.sitedata import InverterSite, MeterSite, Origin, WireSite
from drivers.modbus.link import SerialLink

SERIAL_KEYS = ("baud", "parity", "stop_bits", "rs485")
SERIAL_UNITS = range(1, 248)  # Modbus over serial line v1.02, section 2.2


def wire_faults(meter: MeterSite, inverter: InverterSite, origins: Mapping[str, Origin]) -> Iterator[tuple[str, ...]]:
    """(message, key, ...) of what is wrong with either wire, or with both together."""
    found = [*faults_of("meter", meter, origins), *faults_of("inverter", inverter, origins)]
    yield from found
    if not found:
        yield from together(meter, inverter)


def unused_keys(wire: WireSite) -> tuple[str, ...]:
    """The keys that say nothing about this kind of wire."""
    return SERIAL_KEYS if wire.serial is None else ("port", "udp")


def faults_of(role: str, wire: WireSite, origins: Mapping[str, Origin]) -> Iterator[tuple[str, ...]]:
    if (wire.host is None) == (wire.serial is None):
        what = "host and serial exclude each other" if wire.host else "needs host (Modbus TCP) or serial (RTU)"
        yield f"{role}: {what}", f"{role}.serial", role
        return
    for key in unused_keys(wire):
        if f"{role}.{key}" in origins:
            yield f"{key} belongs to {'host' if wire.serial else 'serial'}; this wire has none", f"{role}.{key}"
    try:
        link = wire.link
    except ValueError as error:
        yield str(error), *(f"{role}.{key}" for key in ("baud", "serial"))
        return
    if isinstance(link, SerialLink) and wire.unit not in SERIAL_UNITS:
        yield f"unit = {wire.unit} is outside 1 ... 247 on a serial line (0 is everybody, unanswered)", f"{role}.unit"


def together(meter: MeterSite, inverter: InverterSite) -> Iterator[tuple[str, ...]]:
    if meter.serial and meter.serial == inverter.serial and meter.link != inverter.link:
        yield f"serial: {inverter.link} and the meter's {meter.link} are one line", "inverter.serial", "inverter.baud"
    elif meter.link == inverter.link and meter.unit == inverter.unit:
        yield f"unit = {inverter.unit} is the meter's too, on the same wire", "inverter.unit", "inverter"
