"""The simulated inverter without its process: what reads and writes its words directly, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.sim.bar import Grid
from drivers.sim.inverter_process import BASE
from drivers.sim.plant import Battery, Inverter, Unit
from drivers.sim.sunspec_unit import IllegalValueError, SunSpecUnit
from drivers.sunspec.chain import RefusedError
from drivers.sunspec.points import Table, read_tables


class Face:
    """A Port on a simulated 7 kW inverter; sleep() lets its time go on."""

    def __init__(self, f_nom_hz: float = 50.0) -> None:
        self.unit = SunSpecUnit(Unit(Inverter(), Battery()), 1, 230.0, f_nom_hz)
        self.f_nom_hz, self.now_s = f_nom_hz, 0.0
        self.writes: list[tuple[int, tuple[int, ...]]] = []

    def read(self, address: int, count: int) -> Sequence[int]:
        self.unit.render()
        words = self.unit.image.words
        if not 0 <= address - BASE <= len(words) - count:
            raise RefusedError(f"nothing at {address}")
        return words[address - BASE : address - BASE + count]

    def write(self, address: int, words: Sequence[int]) -> None:
        self.writes.append((address, tuple(words)))
        try:
            self.unit.write(address - BASE, list(words))
        except IllegalValueError as error:
            raise RefusedError(f"illegal value for {error}") from error

    def close(self) -> None:
        pass

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.unit.tick(seconds, Grid(self.f_nom_hz, (230.0, 0.0, 0.0)))

    def tables(self) -> dict[int, Table]:
        return read_tables(self.read, range(701, 716))

    def get(self, name: str) -> float | None:
        """A point in its own unit, by the simulator's own layout."""
        return self.unit.image.get(name)
