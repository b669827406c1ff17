"""A grid simulator whose knobs a person turns: set() says what to turn to and waits for Enter. It has no meter.

Errors   SourceError when nobody is there to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from time import monotonic_ns

from drivers.gridsource.point import GridPoint, SourceError, shout


class ManualSource:
    """ask: shows a line and returns what was typed after it; EOFError: nobody types."""

    manual = True
    rest: GridPoint | None = None

    def __init__(self, phases: int, ask: Callable[[str], str] = input) -> None:
        self.phases = phases
        self._ask = ask
        self._identity = ""

    def identity(self) -> str:
        """Asked until something is answered, then remembered."""
        while not self._identity:
            self._identity = self._typed("Maker, model and serial number of the grid simulator: ")
        return self._identity

    def on(self, point: GridPoint) -> int:
        self._typed(f"Set the grid simulator to {self.told(point)}, then switch its output ON, then Enter: ")
        return monotonic_ns()

    def set(self, point: GridPoint) -> int:
        self._typed(f"Set the grid simulator to {self.told(point)}, then Enter: ")
        return monotonic_ns()

    def read(self) -> GridPoint | None:
        return None

    def safe(self) -> None:
        shout("V2G-SOURCE-MANUAL SWITCH THE GRID SIMULATOR'S OUTPUT OFF NOW")

    def close(self) -> None:
        """There is nothing to close."""

    def told(self, point: GridPoint) -> str:
        """L1 248.40 V, 60.000 Hz; with three phases their angles too."""
        values = list(zip(astuple(point)[:3], astuple(point)[4:], strict=True))[: self.phases]
        angle = self.phases > 1 or point.a1_deg != 0.0
        lines = [f"L{i} {v:.2f} V" + f" at {a:g} degrees" * angle for i, (v, a) in enumerate(values, start=1)]
        return f"{', '.join(lines)}, {point.f_hz:.3f} Hz"

    def _typed(self, line: str) -> str:
        try:
            return self._ask(line).strip()
        except EOFError:
            raise SourceError("a source by hand needs somebody at the terminal: nobody answered") from None
