"""The standard's answer to a frequency, stated a second time and on its own, so that a wrong core shows.

Source   IEEE 1547-2018, 6.5.2.7 (formula Table 23, settings Table 24) and 3.1, open-loop response time:
         y(t) = y1 + (y0 - y1) 10 ** (-t / T_response), so 90 % of a step after T_response.
Shapes   NumPy arrays in, arrays out. Power is a change, pu of RATED active power (never of p_pre), + = into the grid.
Nothing here may use cython_core.functions: two statements of one formula are worth more than one used twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cython_core.settings import Settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def expected_dp_pu(f_hz: ArrayLike, settings: Settings) -> Floats:
    """Static droop answer: 0 inside the dead band (its edges belong to it), no jump at the edge. NaN stays NaN."""
    f, f_nom, droop = np.asarray(f_hz, dtype=float), settings.rating.f_nom_hz, settings.freq_droop
    if not droop.enable:
        return f * 0.0
    too_high_hz = np.maximum(f - (f_nom + droop.db_of_hz), 0.0)
    too_low_hz = np.maximum((f_nom - droop.db_uf_hz) - f, 0.0)
    return too_low_hz / (f_nom * droop.k_uf) - too_high_hz / (f_nom * droop.k_of)


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """A first-order lag driven by readings that hold until the next one; exact at any moment, on any time grid.

    y[i] is the output at the instant t_ns[i], before target[i] has acted.
    """

    t_ns: Ints
    target: Floats
    y: Floats
    t90_s: float

    def at(self, t_ns: ArrayLike) -> Floats:
        """The output at any moments; before the first reading it is the start value."""
        t = np.asarray(t_ns, dtype=np.int64)
        if not len(self.t_ns):
            return np.full(t.shape, np.nan)
        i = np.clip(np.searchsorted(self.t_ns, t, side="right") - 1, 0, None)
        left = remaining(np.maximum(t - self.t_ns[i], 0) / 1e9, self.t90_s)
        return np.asarray(self.target[i] + (self.y[i] - self.target[i]) * left)


def remaining(t_s: ArrayLike, t90_s: float) -> Floats:
    """Share of a change still to come after t_s."""
    return np.asarray(np.power(10.0, -np.asarray(t_s, dtype=float) / t90_s))


def open_loop(t_ns: Ints, target: Floats, t90_s: float, start: float = 0.0) -> OpenLoop:
    """Drive the lag with readings `target` taken at the rising times t_ns."""
    y = np.empty(len(target))
    left: Any = remaining(np.diff(t_ns) / 1e9, t90_s).tolist()
    value, targets = start, target.tolist()
    for i, x in enumerate(targets):
        y[i] = value
        if i < len(left):
            value = x + (value - x) * left[i]
    return OpenLoop(t_ns, target, y, t90_s)
