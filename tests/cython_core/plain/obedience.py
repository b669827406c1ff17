"""Whether the inverter does as it is told: its set-point read back, and the measured power. Product rules."""

from __future__ import annotations

from typing import Any

from tests.cython_core.plain.numbers import finite, nanoseconds
from tests.cython_core.plain.words import D_P, D_P_SET, OVERWRITTEN, POWER_MISMATCH


class Band:
    """Least and greatest of some powers."""

    def __init__(self, lo: float, hi: float) -> None:
        self.lo, self.hi = lo, hi

    def with_(self, other: Band) -> Band:
        return Band(min(self.lo, other.lo), max(self.hi, other.hi))


class Obedience:
    """told() after each step, look() before the next one's power."""

    def __init__(self) -> None:
        self.begun_ns = self.half_ns = self.read_ns = self.odd_since_ns = 0
        self.newer = self.older = Band(0.0, 0.0)
        self.strangers = 0
        self.stopped = False

    def configure(self, settings: Any) -> None:
        safe, rating = settings.fail_safe, settings.rating
        self.window_ns = nanoseconds(safe.mismatch_after_s)
        self.held_ns = nanoseconds(max(5.0 * safe.t_device_s, 1.0))
        self.out_w, self.in_w = rating.p_rated_w, rating.p_charge_rated_w
        owners = [group.owner for group in (settings.freq_droop, settings.volt_watt) if group.enable]
        self.power_is_ours = "inverter" not in owners  # else the inverter's own function moves it

    def told(self, p_w: float, silent: bool, t_ns: int) -> None:
        if self.window_ns == 0:
            return
        if silent:
            self.begun_ns = 0
            return
        if self.begun_ns == 0:
            self.begun_ns = self.half_ns = t_ns
            self.newer = self.older = Band(p_w, p_w)
            self.strangers = self.odd_since_ns = 0
        if t_ns - self.half_ns >= self.window_ns:
            self.older, self.newer, self.half_ns = self.newer, Band(p_w, p_w), t_ns
        self.newer = self.newer.with_(Band(p_w, p_w))

    def look(self, said: Any, t_echo_ns: int, meter_w: float, t_ns: int, rec: Any) -> None:
        if self.window_ns == 0 or self.begun_ns == 0:
            return
        band = self.newer.with_(self.older)
        self.read_back(said, t_echo_ns, band)
        if self.strangers >= 2:
            rec.reasons |= OVERWRITTEN
        if self.power_is_ours:
            self.look_at_power([meter_w] + ([said.p_w] if said.valid & D_P else [0.0]), band, t_ns, rec)
        if self.stopped:
            rec.reasons |= POWER_MISMATCH

    def look_at_power(self, powers: list[float], band: Band, t_ns: int, rec: Any) -> None:
        too_much = any(self.too_much(p_w, band) for p_w in powers)
        if not (too_much or any(self.too_little(p_w, band) for p_w in powers)):
            self.odd_since_ns = 0
        elif self.odd_since_ns == 0:
            self.odd_since_ns = t_ns
        elif t_ns - self.odd_since_ns >= self.window_ns:
            rec.reasons |= POWER_MISMATCH
            self.stopped = self.stopped or too_much

    def read_back(self, said: Any, t_echo_ns: int, band: Band) -> None:
        if said.t_ns <= self.read_ns or not said.valid & D_P_SET or not finite(said.p_set_readback_w):
            return
        self.read_ns = said.t_ns
        if t_echo_ns > self.begun_ns and said.t_ns >= self.begun_ns + self.held_ns:
            off_w = 0.02 * self.out_w
            ours = band.lo - off_w <= said.p_set_readback_w <= band.hi + off_w
            self.strangers = 0 if ours else self.strangers + 1

    def too_much(self, p_w: float, band: Band) -> bool:
        """More than five times, and a tenth of rated power beside; or that tenth the wrong way."""
        most_w = 5.0 * max(band.hi, 0.0) + 0.1 * self.out_w
        least_w = 5.0 * min(band.lo, 0.0) - 0.1 * self.in_w
        return finite(p_w) and bool(p_w > most_w or p_w < least_w)

    def too_little(self, p_w: float, band: Band) -> bool:
        """A fifth to a twentieth of what was commanded all the time, if that was a quarter of rated power."""
        asked_w = band.lo if band.lo > 0.0 else -min(band.hi, 0.0)
        some, least_w, most_w = asked_w >= 0.25 * self.out_w, asked_w / 20.0, asked_w / 5.0
        return bool(some and least_w <= abs(p_w) <= most_w)
