"""What an inverter with IEEE 1547 functions of its own does: volt-var, volt-watt, watt-var, power factor, droop.

Units    percent as the SunSpec models have them, Hz, s; P and Q + = out of the inverter into the grid.
State    a Lag for each function that has a response time; a new one is at rest.
Errors   none. Imports nothing of ours: it judges our arithmetic.
Source   IEEE 1547-2018 5.3.2, 5.3.3, 5.3.4, 5.4.2, 6.5.2.7, as SunSpec models 704, 705, 706, 711 and 712 carry them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

Points = Sequence[tuple[float, float]]


@dataclass(slots=True)
class Lag:
    """Open-loop response: 90 % of a step is there after t90_s."""

    value: float = 0.0

    def step(self, dt_s: float, target: float, t90_s: float) -> float:
        left: float = 10.0 ** (-dt_s / t90_s) if t90_s > 0.0 else 0.0
        self.value = target + (self.value - target) * left
        return self.value


def on_curve(points: Points, x: float) -> float:
    """Straight lines between the points, flat outside; x must not fall from one point to the next."""
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]


def droop(f_hz: float, f_nom_hz: float, db_of_hz: float, db_uf_hz: float, k_of: float, k_uf: float) -> float:
    """Change of power as a share of rated power."""
    if f_hz > f_nom_hz + db_of_hz:
        return (f_nom_hz + db_of_hz - f_hz) / (f_nom_hz * k_of)
    if f_hz < f_nom_hz - db_uf_hz:
        return (f_nom_hz - db_uf_hz - f_hz) / (f_nom_hz * k_uf)
    return 0.0


def at_power_factor(p_w: float, pf: float, over_excited: bool) -> float:
    """Q of constant power factor; over-excited injects whichever way P flows."""
    q_var = abs(p_w) * sqrt(max(1.0 / (pf * pf) - 1.0, 0.0)) if pf > 0.0 else 0.0
    return q_var if over_excited else -q_var
