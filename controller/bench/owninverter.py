"""The simulated inverter's own grid functions as the unit of a virtual rig: no controller has a part in it.

Brain     drivers.sim.sunspec_unit, step by step; what it feeds in is what its own functions make of its registers.
Operator  reaches it through those registers (inverterunit). While a set is adopted the inverter's time goes on; the
          bench's meter does not see it.
Battery   never full or empty within a case.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from controller.bench.brains import Command, Given
from controller.bench.inverterunit import InverterUnit
from controller.bench.plan import Eut
from controller.bench.ports import Unit as UnitPort
from controller.bench.virtual import VirtualRig, inverter_of
from controller.bench.world import World
from controller.build import build_id
from controller.settings.sunspec_push import Wire
from cython_core.settings import Settings
from drivers.gridsource.point import GridPoint
from drivers.sim.bar import Grid
from drivers.sim.plant import Battery, Unit
from drivers.sim.sunspec_port import FacePort
from drivers.sim.sunspec_unit import SunSpecUnit

CAPACITY_WH = 5e6  # of 100 Wh each in a register of 16 bits
CAN = frozenset({"three_phase", "angle"})


@dataclass(frozen=True, slots=True)
class Own:
    """The simulated inverter's figures beside its nameplate. gain: fault, 0.5 moves half as far."""

    dead_s: float = 0.0
    lag_s: float = 0.01
    gain: float = 1.0


OWN = Own()


class OwnFunctions:
    """A Brain."""

    def __init__(self, eut: Eut, own: Own, phases: int, period_s: float) -> None:
        self.phases, self.period_s = phases, period_s
        inverter = inverter_of(eut, own.dead_s, own.lag_s, own.gain)
        inverter.v_low_pu = eut.v_low_pu
        unit = Unit(inverter, Battery(CAPACITY_WH, CAPACITY_WH / 2.0))
        self.face = SunSpecUnit(unit, phases, eut.v_nom_v, eut.f_nom_hz)

    def identity(self) -> str:
        return f"simulated inverter {build_id()}"

    def use(self, settings: Settings) -> None:
        """Its settings stand in its registers."""

    def run(self, given: Given, t_ns: int, n: int) -> list[Command]:  # noqa: ARG002 (a Brain is told the time)
        grid = Grid(given.f_hz + given.f_error_hz, (given.v1_v, given.v2_v, given.v3_v))
        inverter, commands = self.face.unit.inverter, []
        for _ in range(n):
            self.face.tick(self.period_s, grid)
            commands.append((inverter.p_w, inverter.q_var))
        return commands


def reached(eut: Eut, world: World) -> UnitPort:
    """As its operator reaches it."""
    brain = world.brain
    assert isinstance(brain, OwnFunctions)
    port = FacePort(brain.face, lambda: grid_of(world.grid))
    return InverterUnit(brain.identity(), Wire(port, port.now, port.sleep), eut)


def grid_of(point: GridPoint) -> Grid:
    return Grid(point.f_hz, (point.v1_v, point.v2_v, point.v3_v))


def own_rig(eut: Eut, seed: int, name: str = "own-functions", own: Own = OWN) -> VirtualRig:
    """A virtual rig with this inverter; behind it stands no second one that would add to its delays."""
    return VirtualRig(
        eut, seed, name, brain=partial(OwnFunctions, eut, own), reach=partial(reached, eut), lag_s=0.0, can=CAN
    )
