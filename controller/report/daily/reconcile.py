"""The power of every step times time, beside the meter's own registers. Pure.

Both are of the same meter, whatever it measures, from the first to the last frame with registers on that day.
Expected   they may differ by CLASS of the energy (two readings of one meter: its registers count every cycle, its power
           is read now and then), by what flows in the time between two readings of the registers at both ends, by what
           flowed while nobody knew the power, and by two steps of the registers.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.report.daily.stored import Stored
from controller.telemetry.energy import Counters
from drivers.devicemap import ENERGY_MS

CLASS = 0.02
STEP_WH = 10.0  # of a register: 0.01 kWh is usual; a float32 of kWh is coarser only above 80 MWh


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One direction."""

    direction: str
    steps_wh: float  # power times time
    register_wh: float
    expected_wh: float  # difference that needs no explanation
    falls: int  # of the register

    @property
    def difference_wh(self) -> float:
        """+ : the steps hold more than the register."""
        return self.steps_wh - self.register_wh

    @property
    def difference_pct(self) -> float:
        """Of the register; NaN: it did not move."""
        return 100.0 * self.difference_wh / self.register_wh if self.register_wh > 0.0 else float("nan")

    @property
    def as_expected(self) -> bool:
        """No more than what needs no explanation."""
        return abs(self.difference_wh) <= self.expected_wh


def reconcile(stored: Stored, steps: Counters) -> list[Reconciled]:
    """Nothing where no register was read."""
    span_s = (stored.span_ms[1] - stored.span_ms[0]) / 1e3
    found = []
    for direction, register in stored.registers.items():
        steps_wh = steps.import_wh if direction == "import" else steps.export_wh
        mean_w = register.rose_wh * 3600.0 / span_s
        edges_wh = 2.0 * ENERGY_MS / 1e3 * mean_w * 4.0 / 3600.0  # four times the mean: it may flow just then
        expected_wh = CLASS * register.rose_wh + edges_wh + mean_w * steps.unknown_s / 3600.0 + 2.0 * STEP_WH
        found.append(Reconciled(direction, steps_wh, register.rose_wh, expected_wh, register.falls))
    return found
