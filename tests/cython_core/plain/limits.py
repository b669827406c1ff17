"""Stage 6: reactive capability and the apparent-power circle (5.2, 4.7), then what an inverter can hold."""

from __future__ import annotations

from typing import Any

from tests.cython_core.plain.numbers import INFINITY, clip, nanoseconds
from tests.cython_core.plain.power import root
from tests.cython_core.plain.words import APPARENT_POWER, REACTIVE_LIMIT, REVERSAL_DWELL, SMALLEST_POWER

TABLE_7 = {"A": (0.44, 0.25), "B": (0.44, 0.44)}  # injecting, absorbing, of rated apparent power
FULL_FROM_PU = 0.2  # of rated active power; below it the capability may fall in proportion (5.2)
KEPT_DOWN_TO = 0.8  # of the smallest power: a running inverter is held at that power until here


def beside(p_w: float, q_var: float, s_va: float) -> float:
    """Active power beside q_var inside the circle."""
    room = s_va * s_va - q_var * q_var
    return p_w if p_w * p_w < room else clip(p_w, -root(room), root(room))


class Apparent:
    """P and Q inside capability and circle."""

    def configure(self, settings: Any) -> None:
        self.rating, self.cfg = settings.rating, settings.reactive
        inject_pu, absorb_pu = TABLE_7[self.rating.normal_category]
        self.table_7_var = inject_pu * self.rating.s_rated_va, absorb_pu * self.rating.s_rated_va

    def settle(self, p_w: float, q_var: float, s_va: float, rec: Any) -> tuple[float, float]:
        asked_w, asked_var = p_w, q_var
        ours = self.cfg.owner == "controller"
        if ours and self.cfg.mode == "constant_pf":  # 5.3.2: the factor is held, P and Q shrink together
            p_w, q_var = self.on_their_line(p_w, q_var, s_va)
            asked_var = q_var
            q_var = self.capable(q_var, p_w, s_va)
            if q_var != asked_var:  # it cannot be held: no power is given up for it
                p_w = beside(asked_w, q_var, s_va)
        else:
            q_var = self.capable(q_var, p_w, s_va)
            p_w, q_var = self.share(p_w, q_var, s_va)
        if q_var != asked_var:
            rec.reasons |= REACTIVE_LIMIT
        if p_w != asked_w:
            rec.reasons |= APPARENT_POWER
        return p_w, q_var

    @staticmethod
    def on_their_line(p_w: float, q_var: float, s_va: float) -> tuple[float, float]:
        square = p_w * p_w + q_var * q_var
        if square <= s_va * s_va:
            return p_w, q_var
        share = s_va / root(square)
        return p_w * share, q_var * share

    def capable(self, q_var: float, p_w: float, s_va: float) -> float:
        rating, share = self.rating, 1.0
        if self.cfg.at_low_power == "in_proportion":
            share = min(abs(p_w) / (FULL_FROM_PU * rating.p_rated_w), 1.0)
        absorb_var, inject_var = (
            min(q_pu * share * rating.s_rated_va, s_va) for q_pu in (rating.q_absorb_pu, rating.q_inject_pu)
        )
        return clip(q_var, -absorb_var, inject_var)

    def share(self, p_w: float, q_var: float, s_va: float) -> tuple[float, float]:
        """4.7: Q inside Table 7 before P; beyond it as the maker set it."""
        if self.cfg.beyond_table_7 == "reactive":
            return beside(p_w, q_var, s_va), q_var
        inject_var, absorb_var = self.table_7_var
        first_var = clip(q_var, -absorb_var, inject_var)
        p_w = beside(p_w, first_var, s_va)
        room_var = beside(INFINITY, p_w, s_va)
        return p_w, clip(q_var, min(first_var, -room_var), max(first_var, room_var))


class Holdable:
    """The inverter's smallest power, and a wait at 0 before the direction turns."""

    def __init__(self) -> None:
        self.direction = 0  # of the last power that was not 0
        self.t_zero_ns = 0  # 0 W since; 0: not

    def configure(self, settings: Any) -> None:
        self.smallest_w = settings.limits.p_min_abs_w
        self.dwell_ns = nanoseconds(settings.limits.reverse_dwell_s)

    def found(self, p_w: float) -> None:
        """The unit runs already: its direction is no reversal of ours."""
        if p_w != 0.0:
            self.direction, self.t_zero_ns = sign(p_w), 0

    def step(self, p_w: float, said_w: float, most_w: float, t_ns: int, rec: Any) -> float:
        smallest_w = max(self.smallest_w, said_w)
        direction = sign(p_w)
        if direction and abs(p_w) < smallest_w:
            rec.reasons |= SMALLEST_POWER
            runs_so = direction == self.direction and self.t_zero_ns == 0
            if runs_so and abs(p_w) >= KEPT_DOWN_TO * smallest_w and smallest_w <= most_w:
                return float(direction * smallest_w)
            direction = 0
        if direction and direction == -self.direction:
            self.t_zero_ns = self.t_zero_ns or t_ns
            if t_ns - self.t_zero_ns < self.dwell_ns:
                rec.reasons |= REVERSAL_DWELL
                return 0.0
        if direction == 0:
            self.t_zero_ns = self.t_zero_ns or t_ns
            return 0.0
        self.direction, self.t_zero_ns = direction, 0
        return p_w


def sign(x: float) -> int:
    return (x > 0.0) - (x < 0.0)
