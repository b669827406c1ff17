"""The simulated inverter without its process: what reads and writes its words directly, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.sim.bar import Grid
from drivers.sim.plant import Battery, Inverter, Unit
from drivers.sim.sunspec_port import FacePort
from drivers.sim.sunspec_unit import SunSpecUnit
from drivers.sunspec.points import Table, read_tables


class Face(FacePort):
    """A port on a simulated 7 kW inverter that keeps what was written."""

    def __init__(self, f_nom_hz: float = 50.0) -> None:
        self.unit = SunSpecUnit(Unit(Inverter(), Battery()), 1, 230.0, f_nom_hz)
        super().__init__(self.unit, lambda: Grid(f_nom_hz, (230.0, 0.0, 0.0)))
        self.writes: list[tuple[int, tuple[int, ...]]] = []

    def write(self, address: int, words: Sequence[int]) -> None:
        self.writes.append((address, tuple(words)))
        super().write(address, words)

    def tables(self) -> dict[int, Table]:
        return read_tables(self.read, range(701, 716))

    def get(self, name: str) -> float | None:
        """A point in its own unit, by the simulator's own layout."""
        return self.unit.image.get(name)
