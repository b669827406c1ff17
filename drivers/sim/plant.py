"""The simulated unit: set-points with their reversion timers, the inverter, the car's battery.

Units    in the names; P and Q + = out of the inverter into the grid. Time is an argument: step(dt_s).
State    in the dataclasses; a new object is a valid start.
Errors   ValueError for a rating or an efficiency that cannot be. Imports nothing of ours: it judges our arithmetic.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from math import copysign, exp, inf, sqrt


class Session(IntEnum):
    """What the car does."""

    UNPLUGGED = 0
    PLUGGED = 1
    ENDED = 2  # still plugged, but the car has closed its contactors


@dataclass(slots=True)
class SetPoint:
    """One set-point with its reversion, as SunSpec model 704 means it.

    While enabled and reversion_s > 0 a timer runs; each write restarts it. When it runs out, the value becomes the
    reversion value and the enable the reversion enable: 0 W *enabled* keeps the unit at 0, disabled sets it free.
    """

    enabled: bool = False
    value: float = 0.0
    reversion_enabled: bool = False
    reversion_value: float = 0.0
    reversion_s: float = 0.0
    left_s: float = 0.0

    def restart(self) -> None:
        """A write has arrived."""
        self.left_s = self.reversion_s

    def step(self, dt_s: float) -> bool:
        """True in the one step in which the timer runs out."""
        if not self.enabled or self.left_s <= 0.0:
            return False
        self.left_s -= dt_s
        if self.left_s > 0.0:
            return False
        self.left_s = 0.0
        self.value = self.reversion_value
        self.enabled = self.reversion_enabled
        return True


@dataclass(slots=True)
class Battery:
    """The car's energy. One-way efficiencies, so a round trip costs both."""

    capacity_wh: float = 60000.0
    energy_wh: float = 36000.0
    eta_charge: float = 0.95
    eta_discharge: float = 0.95
    soc_min: float = 0.1  # the car refuses to give below, and to take above
    soc_max: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.eta_charge <= 1 and 0 < self.eta_discharge <= 1 and self.capacity_wh > 0):
            raise ValueError("efficiencies lie above 0 and up to 1, capacity_wh above 0")
        if not (0 <= self.soc_min < self.soc_max <= 1 and 0 <= self.energy_wh <= self.capacity_wh):
            raise ValueError("0 <= soc_min < soc_max <= 1 and 0 <= energy_wh <= capacity_wh must hold")

    @property
    def soc(self) -> float:
        return self.energy_wh / self.capacity_wh

    def limits_w(self, dt_s: float) -> tuple[float, float]:
        """AC power that can be held for dt_s: most charging (<= 0), most discharging (>= 0)."""
        to_full_wh = max(self.soc_max * self.capacity_wh - self.energy_wh, 0.0)
        to_empty_wh = max(self.energy_wh - self.soc_min * self.capacity_wh, 0.0)
        per_hour = 3600.0 / dt_s
        return -to_full_wh / self.eta_charge * per_hour, to_empty_wh * self.eta_discharge * per_hour

    def step(self, dt_s: float, p_w: float) -> None:
        hours = dt_s / 3600.0
        self.energy_wh -= p_w * hours / self.eta_discharge if p_w > 0 else p_w * hours * self.eta_charge
        self.energy_wh = min(max(self.energy_wh, 0.0), self.capacity_wh)


@dataclass(slots=True)
class Inverter:
    """From a set-point to power at the terminals: dead time, smallest power, reversal dwell, lag, ramp, limits."""

    s_max_va: float = 7400.0
    p_discharge_w: float = 7000.0
    p_charge_w: float = 7200.0  # a magnitude
    q_max_var: float = 3300.0
    p_min_abs_w: float = 0.0  # anything smaller becomes 0
    dwell_s: float = 0.0  # rest at 0 before the direction turns
    dead_s: float = 0.05
    lag_s: float = 0.15
    v_low_pu: float = 1.0  # the lowest voltage at which it has its whole apparent power
    ramp_w_s: float = inf
    gain: float = 1.0  # fault: 0.5 answers with half the slope, -1 the wrong way round
    q_first: bool = True  # reactive priority on the apparent-power circle
    p_w: float = 0.0
    q_var: float = 0.0
    direction: int = 0  # of the last power that was not 0
    rest_s: float = inf  # how long power has been 0
    waiting: deque[list[float]] = field(default_factory=deque)  # [seconds left, p, q], oldest first
    heard: tuple[float, float] = (0.0, 0.0)  # the set-point that has come through the dead time

    def __post_init__(self) -> None:
        if not (self.s_max_va > 0 and self.p_discharge_w >= 0 and self.p_charge_w >= 0 and self.q_max_var >= 0):
            raise ValueError("s_max_va must be above 0, the other ratings 0 or above")
        if not (self.dead_s >= 0 and self.lag_s >= 0 and self.ramp_w_s > 0 and self.dwell_s >= 0):
            raise ValueError("dead_s, lag_s and dwell_s must be 0 or above, ramp_w_s above 0")
        if not 0 < self.v_low_pu <= 1:
            raise ValueError("v_low_pu must be above 0 and up to 1")

    @property
    def zero_w(self) -> float:
        """Below this the unit counts as resting; a lag never gets to 0."""
        return 0.005 * self.s_max_va

    def step(
        self,
        dt_s: float,
        p_set_w: float,
        q_set_var: float,
        p_lo_w: float = -inf,
        p_hi_w: float = inf,
        v_pu: float = 1.0,
    ) -> None:
        """p_lo_w ... p_hi_w: what the battery and the session allow; they act without lag. v_pu: current limit."""
        p_w, q_var = self._delay(dt_s, p_set_w * self.gain, q_set_var)
        p_w = min(max(p_w, -self.p_charge_w), self.p_discharge_w)
        p_w = self._turn(dt_s, self._smallest(p_w))
        p_w, q_var = self._circle(p_w, q_var, v_pu)
        share = 1.0 if self.lag_s == 0 else 1.0 - exp(-dt_s / self.lag_s)
        most = self.ramp_w_s * dt_s
        self.p_w += min(max((p_w - self.p_w) * share, -most), most)
        self.q_var += (q_var - self.q_var) * share
        self.p_w = min(max(self.p_w, p_lo_w), p_hi_w)

    def trip(self) -> None:
        """Disconnect: power is 0 at once, and what was on its way is forgotten."""
        self.p_w = self.q_var = 0.0
        self.waiting.clear()
        self.heard = (0.0, 0.0)

    def _delay(self, dt_s: float, p_w: float, q_var: float) -> tuple[float, float]:
        for entry in self.waiting:
            entry[0] -= dt_s
        newest = (self.waiting[-1][1], self.waiting[-1][2]) if self.waiting else self.heard
        if (p_w, q_var) != newest:
            self.waiting.append([self.dead_s, p_w, q_var])
        while self.waiting and self.waiting[0][0] <= 1e-9:  # rounding of many small steps
            _, p, q = self.waiting.popleft()
            self.heard = (p, q)
        return self.heard

    def _smallest(self, p_w: float) -> float:
        return p_w if abs(p_w) >= self.p_min_abs_w else 0.0

    def _turn(self, dt_s: float, p_w: float) -> float:
        """0 until the unit has rested for dwell_s, when p_w asks for the other direction."""
        resting = abs(self.p_w) <= self.zero_w
        self.rest_s = self.rest_s + dt_s if resting else 0.0
        want = 0 if p_w == 0.0 else int(copysign(1.0, p_w))
        turning = want * self.direction < 0
        if turning and self.dwell_s > 0.0 and self.rest_s < self.dwell_s - 1e-9:
            return 0.0
        if want and (turning or not self.direction):
            self.direction = want
        return p_w

    def _circle(self, p_w: float, q_var: float, v_pu: float) -> tuple[float, float]:
        """Inside the apparent rating, which shrinks below v_low_pu because the current is what is limited."""
        s_va = self.s_max_va * min(max(v_pu / self.v_low_pu, 0.0), 1.0)
        q_var = min(max(q_var, -self.q_max_var), self.q_max_var)
        if self.q_first:
            q_var = min(max(q_var, -s_va), s_va)
            p_most = sqrt(max(s_va * s_va - q_var * q_var, 0.0))
            return min(max(p_w, -p_most), p_most), q_var
        p_w = min(max(p_w, -s_va), s_va)
        q_most = sqrt(max(s_va * s_va - p_w * p_w, 0.0))
        return p_w, min(max(q_var, -q_most), q_most)


@dataclass(slots=True)
class Unit:
    """Set-points, inverter, battery and session together: everything behind the inverter's registers."""

    inverter: Inverter = field(default_factory=Inverter)
    battery: Battery = field(default_factory=Battery)
    p_set: SetPoint = field(default_factory=SetPoint)
    q_set: SetPoint = field(default_factory=SetPoint)
    p_cap: SetPoint = field(default_factory=lambda: SetPoint(value=inf, reversion_value=inf))  # most export, W
    own_w: float = 0.0  # what the unit does by itself while no set-point is enabled
    # the inverter's own functions: droop on top of the set-point, volt-watt's ceiling, a reactive mode in its place
    droop_w: float = 0.0
    ceiling_w: float = inf
    pre_ceiling_w: float = inf  # the ceiling when the frequency event began: droop starts from what it left
    mode_var: float | None = None
    session: Session = Session.PLUGGED
    car_charge_w: float = inf  # most that the car takes and gives, magnitudes
    car_discharge_w: float = inf

    @property
    def asked_w(self) -> float:
        """By whoever commands it, no more than the cap."""
        p_w = self.p_set.value if self.p_set.enabled else self.own_w
        return min(p_w, self.p_cap.value) if self.p_cap.enabled else p_w

    def step(self, dt_s: float, v_pu: float = 1.0, connected: bool = True) -> bool:
        """One step; True when a reversion timer ran out. Not connected: no grid at the terminals."""
        if dt_s <= 0.0:
            return False
        ran_out = sum(s.step(dt_s) for s in (self.p_set, self.q_set, self.p_cap)) > 0  # every timer, none skipped
        if not connected or self.session is not Session.PLUGGED:
            self.inverter.trip()
            return ran_out
        p_w = min(min(self.asked_w, self.pre_ceiling_w) + self.droop_w, self.ceiling_w)
        q_var = self.q_set.value if self.q_set.enabled else 0.0
        if self.mode_var is not None:
            q_var = self.mode_var
        lo_w, hi_w = self.battery.limits_w(dt_s)
        lo_w, hi_w = max(lo_w, -self.car_charge_w), min(hi_w, self.car_discharge_w)
        self.inverter.step(dt_s, p_w, q_var, lo_w, hi_w, v_pu)
        self.battery.step(dt_s, self.inverter.p_w)
        return ran_out
