"""The simulated grid: what makes frequency, and the wire between a stiff source and the unit's terminals.

Units    in the names; pu of the system's own power and of nominal frequency; P and Q + = out of the unit into the grid.
Source   swing equation with one machine, governor and load damping (Kundur, Power System Stability and Control, 11.1);
         two-bus load flow solved as the quadratic it is, not linearised.
Errors   ValueError for a machine or a wire that cannot be. Imports nothing of ours: it judges our arithmetic.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Rates = tuple[float, float]


@dataclass(slots=True)
class Swing:
    """One equivalent machine. State: frequency deviation and what the governor adds, both pu.

    2H d(df)/dt = imbalance + governor - D df        Tg d(governor)/dt = -df / R - governor
    """

    f_nom_hz: float = 50.0
    h_s: float = 5.0
    droop_pu: float = 0.05  # R; 0 is not a droop
    governor_s: float = 0.5
    damping_pu: float = 1.0  # D: load falls by D pu for each pu of frequency
    df_pu: float = 0.0
    governor_pu: float = 0.0

    def __post_init__(self) -> None:
        if not (self.f_nom_hz > 0 and self.h_s > 0 and self.droop_pu > 0 and self.governor_s > 0):
            raise ValueError("f_nom_hz, h_s, droop_pu and governor_s must be above 0")

    @property
    def f_hz(self) -> float:
        return self.f_nom_hz * (1.0 + self.df_pu)

    def rates(self, df_pu: float, governor_pu: float, imbalance_pu: float) -> Rates:
        """d(df)/dt and d(governor)/dt, per second."""
        return (
            (imbalance_pu + governor_pu - self.damping_pu * df_pu) / (2.0 * self.h_s),
            (-df_pu / self.droop_pu - governor_pu) / self.governor_s,
        )

    def step(self, dt_s: float, imbalance_pu: float) -> None:
        """Classic Runge-Kutta; imbalance_pu = generation lost (-) or load lost (+), constant over the step."""
        x, y, half = self.df_pu, self.governor_pu, dt_s / 2.0
        a1, b1 = self.rates(x, y, imbalance_pu)
        a2, b2 = self.rates(x + half * a1, y + half * b1, imbalance_pu)
        a3, b3 = self.rates(x + half * a2, y + half * b2, imbalance_pu)
        a4, b4 = self.rates(x + dt_s * a3, y + dt_s * b3, imbalance_pu)
        self.df_pu = x + dt_s / 6.0 * (a1 + 2.0 * a2 + 2.0 * a3 + a4)
        self.governor_pu = y + dt_s / 6.0 * (b1 + 2.0 * b2 + 2.0 * b3 + b4)


@dataclass(frozen=True, slots=True)
class Playback:
    """A trace: straight lines between its rows, the first row before it and the last row after it.

    t_s rises strictly. v1_pu and v2_pu: the source's voltage; equal unless the trace has two. load_w: of the house, a
    column a phase.
    """

    t_s: Sequence[float]
    f_hz: Sequence[float]
    v1_pu: Sequence[float]
    v2_pu: Sequence[float]
    load_w: Sequence[Sequence[float]] = ()

    def __post_init__(self) -> None:
        columns = (self.f_hz, self.v1_pu, self.v2_pu, *self.load_w)
        if not self.t_s or any(len(c) != len(self.t_s) for c in columns):
            raise ValueError("a trace needs columns of one length, at least one row")

    def at(self, t_s: float) -> tuple[float, float, float]:
        """f_hz, v1_pu, v2_pu at a scenario time."""
        f, v1, v2 = self._lines((self.f_hz, self.v1_pu, self.v2_pu), t_s)
        return f, v1, v2

    def load_at(self, t_s: float) -> list[float]:
        """The house's load on each phase at a scenario time; empty without one in the trace."""
        return self._lines(self.load_w, t_s)

    def _lines(self, columns: Sequence[Sequence[float]], t_s: float) -> list[float]:
        i = bisect_right(self.t_s, t_s) - 1
        if i < 0:
            return [c[0] for c in columns]
        if i >= len(self.t_s) - 1:
            return [c[-1] for c in columns]
        w = (t_s - self.t_s[i]) / (self.t_s[i + 1] - self.t_s[i])
        return [c[i] + w * (c[i + 1] - c[i]) for c in columns]


@dataclass(frozen=True, slots=True)
class Feeder:
    """R + jX, one phase, between a stiff source and the unit's terminals."""

    r_ohm: float = 0.0
    x_ohm: float = 0.0

    def __post_init__(self) -> None:
        if not (self.r_ohm >= 0 and self.x_ohm >= 0):
            raise ValueError("r_ohm and x_ohm must be 0 or above")

    def terminal_v(self, source_v: float, p_w: float, q_var: float) -> float:
        """The terminals' voltage while one phase feeds in p_w and q_var: the upper root of the two-bus quadratic.

        With I = (P - jQ) / V and Vs = V - (R + jX) I:  u^2 - (Vs^2 + 2a) u + a^2 + b^2 = 0, u = V^2,
        a = RP + XQ, b = XP - RQ. Past the nose there is no solution: what is left of the root stands, 0 at last.
        """
        a = self.r_ohm * p_w + self.x_ohm * q_var
        b = self.x_ohm * p_w - self.r_ohm * q_var
        half = source_v * source_v / 2.0 + a
        root = sqrt(max(half * half - a * a - b * b, 0.0))
        return sqrt(max(half + root, 0.0))
