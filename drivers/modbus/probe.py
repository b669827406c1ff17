"""How long a device thinks before it answers: asked a few times, before its bus thread starts."""

from __future__ import annotations

from drivers.modbus.codes import Fault
from drivers.modbus.link import Link
from drivers.modbus.wire import Wire
from drivers.tables import Plan

TRIES = 5


def measure_turnaround_ms(link: Link, plan: Plan) -> float | None:
    """The shortest of a few transactions of the plan's first read, ms, without the time of its characters on a serial
    line. None when the device does not answer. Raises BusError when the wire cannot be opened."""
    wire = Wire(link, plan.timeout_ms, plan.min_gap_ms)
    first = plan.reads[0]
    try:
        for _ in range(TRIES):
            fault, _words = wire.read(plan.unit, first.function, first.address, first.count)
            if fault not in (Fault.OK, Fault.EXCEPTION):
                break
        return wire.stats().min_turnaround_ns / 1e6 or None
    finally:
        wire.close()
