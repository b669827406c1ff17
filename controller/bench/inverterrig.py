"""A rig in real time whose unit is an inverter with grid functions of its own, over Modbus, without a controller.

Source, meter and clock are those of wire.py. The guard stops the inverter (715 OpCtl) also when this process is
killed; a set-point that nobody renews ends by the inverter's own timer. At the end it is stopped, with the settings of
the last case.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from math import inf

from controller.bench.folder import RunFolder
from controller.bench.inverterunit import InverterUnit
from controller.bench.plan import Case, Eut
from controller.bench.ports import Rig
from controller.bench.rig import MeterSpec, RigFile, UnitSpec
from controller.bench.runner import run_cases
from controller.bench.wire import PHASES, RealClock, WireMeter, can_of_real, guarded, link_of, look_after
from controller.settings.sunspec_push import Wire
from drivers.sunspec.wire import Port

LIFE_S = 12.0  # of a set-point, by the inverter's own timer


def can_of_inverter(rig: RigFile) -> frozenset[str]:
    """To enter service is the installer's."""
    return can_of_real(rig) - {"permit"}


def run_inverter(
    rig: RigFile,
    eut: Eut,
    cases: Sequence[Case],
    folder: RunFolder,
    told: Callable[[Case], None],
    looked: Callable[[], None],
) -> None:
    """All cases on one opening of the rig; source safe and the inverter stopped at the end. told, looked: run_real."""
    if any(not case.skipped for case in cases):
        with opened(rig, eut, looked) as ports:
            run_cases(cases, lambda _: nullcontext(ports), folder, told)


@contextmanager
def opened(rig: RigFile, eut: Eut, looked: Callable[[], None]) -> Iterator[Rig]:
    assert rig.meter is not None
    meter, port = WireMeter(rig.meter, PHASES[eut.phases]), port_of(rig.unit)
    try:
        unit = unit_of(rig.unit, port, eut)
        source = guarded(rig, eut, unit.keep, partial(stop, rig.unit, eut))
        try:
            clock = RealClock(partial(look_after, unit.keep, source, looked))
            yield Rig(rig.name, clock, source, meter, unit, can_of_inverter(rig))
        finally:
            source.safe()
            source.close()
            unit.permit(False)
    finally:
        port.close()
        meter.close()


def port_of(spec: UnitSpec) -> Port:
    link = link_of(MeterSpec(map="", address=spec.address, baud=spec.baud, parity=spec.parity))
    return Port(link, spec.unit, inf, spec.timeout_ms)


def unit_of(spec: UnitSpec, port: Port, eut: Eut) -> InverterUnit:
    name = f"inverter at {spec.address} unit {spec.unit}"
    return InverterUnit(name, Wire(port, time.monotonic, time.sleep), eut, LIFE_S)


def stop(spec: UnitSpec, eut: Eut) -> None:
    """By whoever can still do it: the guard of a bench that was killed."""
    port = port_of(spec)
    try:
        unit_of(spec, port, eut).permit(False)
    finally:
        port.close()
