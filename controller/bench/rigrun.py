"""From a rig file to whoever runs cases on it: what it can do, and its runner. A kind is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controller.bench.folder import RunFolder
from controller.bench.plan import Case, Plan
from controller.bench.rig import RigFile

Runner = Callable[[Sequence[Case], RunFolder, Callable[[Case], None]], None]


def can_of(rig: RigFile) -> frozenset[str]:
    if rig.time == "virtual":
        from controller.bench.virtual import CAN

        return CAN
    from controller.bench.wire import can_of_real

    return can_of_real(rig)


def runner_of(rig: RigFile, found: Plan, jobs: int, looked: Callable[[], None]) -> Runner:
    """looked: called a few times a second while a rig in real time works."""
    if rig.time == "virtual":
        from controller.bench.virtual import VirtualRig
        from controller.bench.virtualrun import run_parallel

        unit = rig.unit
        virtual = VirtualRig(
            found.eut, found.seed, rig.name, settings=rig.settings, dead_s=unit.dead_s, lag_s=unit.lag_s
        )
        return lambda cases, folder, told: run_parallel(virtual, cases, folder, told, jobs)
    from controller.bench.wire import run_real

    return lambda cases, folder, told: run_real(rig, found.eut, cases, folder, told, looked)
