"""How long a round of requests lasts on a serial line, ms; on TCP the wire costs nothing that matters.

Source    Modbus Application Protocol v1.1b3, sections 6.3 and 6.12 (characters of a frame); Modbus over serial line
          v1.02, section 2.5.1.1 (silence before each).
Inverter  what the shipped SunSpec map asks each time and writes for one set-point: its exact plan is known only when
          the device has been found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from controller.sitedata import InverterSite, MeterSite
from drivers.devicemap import DeviceMap
from drivers.modbus.link import Link, SerialLink
from drivers.registermap import meter_plan

TURNAROUND_MS = 2.0  # of a device that has not been measured yet
READ_CHARS, WRITE_CHARS = 8 + 5, 9 + 8  # question and answer, without the words
INVERTER_READS, INVERTER_WRITES = (10, 55), (10, 1, 11, 1)  # words


def requests_ms(link: Link, chars: int, words: Iterable[int]) -> float:
    """So many requests of so many words each, with their answers."""
    if not isinstance(link, SerialLink):
        return 0.0
    each_ms = 2 * link.silence_ns / 1e6 + TURNAROUND_MS
    return sum((chars + 2 * w) * link.char_ns / 1e6 + each_ms for w in words)


def with_rounds(meter: MeterSite, inverter: InverterSite, device: DeviceMap) -> tuple[MeterSite, InverterSite]:
    """Both with the time of their rounds; on a shared line each waits for the other and for its writes."""
    baud = meter.baud if meter.serial else 0
    plan = meter_plan(device, meter.unit, meter.phases, meter.timeout_ms, TURNAROUND_MS, baud)
    asks_ms = requests_ms(meter.link, READ_CHARS, (r.count for r in plan.reads if r.every == 1))
    state_ms = requests_ms(inverter.link, READ_CHARS, INVERTER_READS)
    write_ms = requests_ms(inverter.link, WRITE_CHARS, INVERTER_WRITES)
    shared = meter.link == inverter.link
    return (
        replace(meter, round_ms=asks_ms + shared * (state_ms + write_ms)),
        replace(inverter, round_ms=state_ms + shared * asks_ms, write_ms=write_ms),
    )
