"""The simulated inverter's registers without its process: a port that reads and writes them, in virtual time.

Port     read(address, count), write(address, words); RefusedError as a device answers with a Modbus exception.
Time     sleep() lets the inverter's time go on under what the grid is then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from drivers.sim.bar import Grid
from drivers.sim.inverter_process import BASE
from drivers.sim.sunspec_unit import IllegalValueError, SunSpecUnit
from drivers.sunspec.chain import RefusedError


class FacePort:
    """face: whose registers. grid: what is at its terminals while somebody waits."""

    def __init__(self, face: SunSpecUnit, grid: Callable[[], Grid]) -> None:
        self.face, self.grid, self.now_s = face, grid, 0.0

    def read(self, address: int, count: int) -> Sequence[int]:
        self.face.render()
        words = self.face.image.words
        if not 0 <= address - BASE <= len(words) - count:
            raise RefusedError(f"nothing at {address}")
        return words[address - BASE : address - BASE + count]

    def write(self, address: int, words: Sequence[int]) -> None:
        try:
            self.face.write(address - BASE, list(words))
        except IllegalValueError as error:
            raise RefusedError(f"illegal value for {error}") from error

    def close(self) -> None:
        """Nothing is open."""

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.face.tick(seconds, self.grid())
