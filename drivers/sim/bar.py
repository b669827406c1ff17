"""The bus bar: what the simulated grid, meter and inverter share, 8-byte words in a small mapped file.

Words    WORDS, each a double; one writer each, written and read whole (aligned 8 bytes), so there is no lock. All
         zero is a valid start: nothing runs yet. Times are seconds of CLOCK_MONOTONIC.
Knobs    those named so may be turned by anybody while the simulation runs:
             bar = Bar(path); bar.play(); bar.set("session", Session.UNPLUGGED)
Errors   BarError when the file is not a bar of this layout.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

WORDS = (
    "version",
    # grid
    "grid_s",  # heartbeat
    "play",  # knob: 1 starts the scenario
    "play_s",  # when it started; 0 = holds the first row
    "ended",  # 1 after the last row
    "t_s",  # scenario time
    "f_hz",
    "source_v",
    "v1_v",  # at the terminals
    "v2_v",
    "v3_v",
    "share1",  # part of the unit's power on each phase
    "share2",
    "share3",
    "load1_w",  # of the house on each phase, behind the same connection
    "load2_w",
    "load3_w",
    "oven1_w",  # knob: what somebody has just switched on, part of the load
    "oven2_w",
    "oven3_w",
    # inverter
    "unit_s",  # heartbeat
    "p_w",
    "q_var",
    "soc",
    "session",  # knob
    "gain",  # knob
    "local",  # knob: 1, somebody at the unit has taken control
    "heart_stops",  # knob: 1, its own count of seconds stands still
    "charge_limit_w",  # knob: most that the car takes
    "discharge_limit_w",  # knob: most that it gives
    "p_set_w",
    "q_set_var",
    "p_enabled",
    "p_left_s",  # until reversion
    "writes",  # accepted from a master
    # meter
    "meter_s",  # heartbeat
)
VERSION = 4.0
SILENT_S = 1.0  # a part whose heartbeat is older is off: its process was stopped


class BarError(Exception):
    """The file is no bar of this version: remove it, or name another."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What the grid puts at the terminals; all 0 while its process is off."""

    f_hz: float = 0.0
    v_v: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Bar:
    """The mapped file, made when absent. get and set by name."""

    def __init__(self, path: Path) -> None:
        size = 8 * len(WORDS)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(fd).st_size
            if found not in (0, size):
                raise BarError(f"{path}: {found} bytes; allowed: a bar of {size} bytes, an empty or an absent file")
            os.ftruncate(fd, size)
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("d")
        self._index = {name: i for i, name in enumerate(WORDS)}
        if self.get("version") not in (0.0, VERSION):
            raise BarError(f"{path}: version {self.get('version'):g}; allowed: {VERSION:g}")
        self.set("version", VERSION)

    def get(self, name: str) -> float:
        return float(self._words[self._index[name]])

    def set(self, name: str, value: float) -> None:
        self._words[self._index[name]] = float(value)

    def update(self, **values: float) -> None:
        for name, value in values.items():
            self.set(name, value)

    def play(self) -> None:
        """Start the scenario. Wait for runs("grid_s") first: a grid that starts later holds anew."""
        self.set("play", 1.0)

    def runs(self, heartbeat: str) -> bool:
        """True while the part with this heartbeat ("grid_s", "unit_s", "meter_s") is up."""
        beat = self.get(heartbeat)
        return beat > 0.0 and abs(monotonic() - beat) < SILENT_S  # ahead: from before a reboot

    def grid(self) -> Grid:
        """What is at the terminals now."""
        if not self.runs("grid_s"):
            return Grid()
        return Grid(self.get("f_hz"), (self.get("v1_v"), self.get("v2_v"), self.get("v3_v")))

    def unit_power(self) -> tuple[float, float]:
        """p_w, q_var of the inverter; 0 while its process is off."""
        return (self.get("p_w"), self.get("q_var")) if self.runs("unit_s") else (0.0, 0.0)

    def connection_power(self, phases: int) -> tuple[tuple[float, float], ...]:
        """p_w, q_var of each phase at the house connection: the unit's part less the house's load."""
        p_w, q_var = self.unit_power()
        wired = self.runs("grid_s")
        parts = [(self.get(f"share{i}"), self.get(f"load{i}_w")) if wired else (0.0, 0.0) for i in range(1, phases + 1)]
        return tuple((p_w * share - load_w, q_var * share) for share, load_w in parts)

    def close(self) -> None:
        self._words.release()
        self._map.close()
