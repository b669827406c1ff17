"""From a rig file to whoever runs cases on it: what it can do, and its runner. A kind is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from controller.bench.folder import RunFolder
from controller.bench.plan import Case, Plan
from controller.bench.rig import RigFile

if TYPE_CHECKING:
    from controller.bench.virtual import VirtualRig

Runner = Callable[[Sequence[Case], RunFolder, Callable[[Case], None]], None]


def can_of(rig: RigFile) -> frozenset[str]:
    if rig.unit.kind == "inverter":
        from controller.bench.inverterrig import can_of_inverter
        from controller.bench.owninverter import CAN as CAN_OF_OWN

        return CAN_OF_OWN if rig.time == "virtual" else can_of_inverter(rig)
    if rig.time == "virtual":
        from controller.bench.virtual import CAN

        return CAN
    from controller.bench.wire import can_of_real

    return can_of_real(rig)


def runner_of(rig: RigFile, found: Plan, jobs: int, looked: Callable[[], None]) -> Runner:
    """looked: called a few times a second while a rig in real time works."""
    if rig.time == "virtual":
        from controller.bench.virtualrun import run_parallel

        virtual = virtual_rig(rig, found)
        return lambda cases, folder, told: run_parallel(virtual, cases, folder, told, jobs)
    if rig.unit.kind == "inverter":
        from controller.bench.inverterrig import run_inverter as run_real
    else:
        from controller.bench.wire import run_real

    return lambda cases, folder, told: run_real(rig, found.eut, cases, folder, told, looked)


def virtual_rig(rig: RigFile, found: Plan) -> VirtualRig:
    from controller.bench.owninverter import Own, own_rig
    from controller.bench.virtual import VirtualRig

    unit = rig.unit
    if unit.kind == "inverter":
        return own_rig(found.eut, found.seed, rig.name, Own(unit.dead_s, unit.lag_s))
    return VirtualRig(found.eut, found.seed, rig.name, settings=rig.settings, dead_s=unit.dead_s, lag_s=unit.lag_s)
