"""How long a round of requests lasts on a serial line, ms; on TCP only the rest that an inverter wants between two.

Source    Modbus Application Protocol v1.1b3, sections 6.3 and 6.12 (characters of a frame); Modbus over serial line
          v1.02, section 2.5.1.1 (silence before each).
Inverter  with plain registers and on CAN: what its map asks each time and writes for one set-point. SunSpec: what the
          shipped map does; its exact plan is known only when the device has been found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from controller.sitedata import InverterSite, MeterSite
from drivers.can.canmap import CanMap
from drivers.devicemap import DeviceMap
from drivers.inverterplan import register_plan
from drivers.modbus.link import Link, SerialLink
from drivers.registermap import READ_CHARS, meter_plan

TURNAROUND_MS = 2.0  # of a device that has not been measured yet
WRITE_CHARS = 9 + 8  # question and answer, without the words
INVERTER_READS: tuple[int, ...] = (10, 55)  # words
INVERTER_WRITES: tuple[int, ...] = (10, 1, 11, 1)


def requests_ms(link: Link, chars: int, words: Iterable[int]) -> float:
    """So many requests of so many words each, with their answers."""
    if not isinstance(link, SerialLink):
        return 0.0
    each_ms = 2 * link.silence_ns / 1e6 + TURNAROUND_MS
    return sum((chars + 2 * w) * link.char_ns / 1e6 + each_ms for w in words)


def inverter_ms(inverter: InverterSite, device: DeviceMap) -> tuple[float, float]:
    """(one round of its state, one set-point)"""
    if isinstance(device, CanMap):
        asks = sum(frame.ask is not None and frame.every == 1 for frame in device.frames.values())
        return asks * device.min_gap_ms, len(device.sends.setpoint) * device.min_gap_ms
    reads, writes, gap_ms = INVERTER_READS, INVERTER_WRITES, device.min_gap_ms
    if device.inverter is not None and device.writes is not None:
        any_s = device.writes.timer_low_s or inverter.reversion_s  # a timer that does not fit is told elsewhere
        plan = register_plan(device, inverter.unit, any_s, inverter.timeout_ms)
        reads = tuple(r.count for r in plan.reads if r.every == 1)
        writes = tuple(len(w.words) for w in plan.setpoint)
    return (
        requests_ms(inverter.link, READ_CHARS, reads) + gap_ms * len(reads),
        requests_ms(inverter.link, WRITE_CHARS, writes) + gap_ms * len(writes),
    )


def with_rounds(
    meter: MeterSite, inverter: InverterSite, device: DeviceMap, inverter_device: DeviceMap
) -> tuple[MeterSite, InverterSite]:
    """Both with the time of their rounds; on a shared line each waits for the other and for its writes."""
    baud = meter.baud if meter.serial else 0
    plan = meter_plan(device, meter.unit, meter.phases, meter.timeout_ms, TURNAROUND_MS, baud)
    asks_ms = requests_ms(meter.link, READ_CHARS, (r.count for r in plan.reads if r.every == 1))
    counters_ms = max((requests_ms(meter.link, READ_CHARS, [r.count]) for r in plan.reads if r.every == 0), default=0.0)
    state_ms, write_ms = inverter_ms(inverter, inverter_device)
    shared = meter.link == inverter.wire
    return (
        replace(meter, round_ms=asks_ms + shared * (state_ms + write_ms), counters_ms=counters_ms),
        replace(inverter, round_ms=state_ms + shared * asks_ms, write_ms=write_ms),
    )
