"""Settings: one frozen dataclass per function; default, unit, range and clause on one line each.

Units    in the names. pu: voltage of v_nom_v, active power of p_rated_w, reactive power of s_rated_va.
Errors   SettingError: name, value, what is allowed, clause. The site owner must act.
Sources  IEEE 1547-2018, Category B and III; what is marked "product" is ours.
The values here become the C struct settings_t once, at load (compiled.pyx); past that door nothing is checked again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any, get_type_hints


class SettingError(ValueError):
    """A setting is unknown, of the wrong type or out of its range. The site owner must act."""


def quantity(default: float, unit: str, low: float, high: float, clause: str, category: str = "") -> Any:
    """A number with its unit, range and clause."""
    meta = {"unit": unit, "low": low, "high": high, "clause": clause, "category": category}
    return field(default=default, metadata=meta)


def switch(default: bool, clause: str) -> Any:
    """An on/off setting."""
    return field(default=default, metadata={"unit": "true/false", "clause": clause})


def check_ranges(settings: Any) -> None:
    """Raise SettingError at the first value of the wrong type or outside its range."""
    for f in fields(settings):
        value, m = getattr(settings, f.name), f.metadata
        if not m:
            continue
        if "low" not in m:
            if not isinstance(value, bool):
                raise SettingError(f"{f.name} = {value!r} is not true or false ({m['clause']})")
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SettingError(f"{f.name} = {value!r} is not a number (write 50000, not 50e3) ({m['clause']})")
        if not m["low"] <= value <= m["high"]:  # NaN fails too
            raise SettingError(f"{f.name} = {value} is outside {m['low']} ... {m['high']} {m['unit']} ({m['clause']})")


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingSettings:
    """Nameplate and grid, IEEE 1547-2018 10.3. 50 Hz is outside the standard."""

    f_nom_hz: float = quantity(60.0, "Hz", 50.0, 60.0, "1547-2018 1.4; 50 is outside the standard")
    v_nom_v: float = quantity(240.0, "V", 100.0, 480.0, "10.3")
    p_rated_w: float = quantity(7000.0, "W", 100.0, 1000000.0, "10.3")
    p_charge_rated_w: float = quantity(7000.0, "W", 100.0, 1000000.0, "10.3")
    s_rated_va: float = quantity(7000.0, "VA", 100.0, 1000000.0, "10.3")
    q_inject_pu: float = quantity(0.44, "pu", 0.0, 1.0, "5.2 Table 7, Category B")
    q_absorb_pu: float = quantity(0.44, "pu", 0.0, 1.0, "5.2 Table 7, Category B")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.f_nom_hz not in (50.0, 60.0):
            raise SettingError(f"f_nom_hz = {self.f_nom_hz} is neither 50 nor 60 Hz")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreqDroopSettings:
    """Frequency-droop, IEEE 1547-2018 6.5.2.7, Category III ranges."""

    enable: bool = switch(True, "6.5.2.7.2")
    db_uf_hz: float = quantity(0.036, "Hz", 0.017, 1.0, "6.5.2.7 Table 24", "I, II, III")
    db_of_hz: float = quantity(0.036, "Hz", 0.017, 1.0, "6.5.2.7 Table 24", "I, II, III")
    k_uf: float = quantity(0.05, "pu/pu", 0.02, 0.05, "6.5.2.7 Table 24", "III")
    k_of: float = quantity(0.05, "pu/pu", 0.02, 0.05, "6.5.2.7 Table 24", "III")
    t_response_s: float = quantity(5.0, "s", 0.2, 10.0, "6.5.2.7 Table 24", "III")
    refresh_s: float = quantity(0.1, "s", 0.0, 5.0, "product: two readings this far apart qualify an event")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltVarSettings:
    """Volt-var, IEEE 1547-2018 5.3.3 Table 8, Category B. Points are stored for v_ref_pu = 1 and shifted by it."""

    enable: bool = switch(False, "5.3.3")
    v_ref_pu: float = quantity(1.0, "pu", 0.95, 1.05, "5.3.3 Table 8", "B")
    v1_pu: float = quantity(0.92, "pu", 0.77, 1.03, "5.3.3 Table 8", "B")
    v2_pu: float = quantity(0.98, "pu", 0.92, 1.05, "5.3.3 Table 8", "B")
    v3_pu: float = quantity(1.02, "pu", 0.95, 1.08, "5.3.3 Table 8", "B")
    v4_pu: float = quantity(1.08, "pu", 0.97, 1.23, "5.3.3 Table 8", "B")
    q1_pu: float = quantity(0.44, "pu", 0.0, 1.0, "5.3.3 Table 8", "B")
    q2_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.3.3 Table 8", "B")
    q3_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.3.3 Table 8", "B")
    q4_pu: float = quantity(-0.44, "pu", -1.0, 0.0, "5.3.3 Table 8", "B")
    olrt_s: float = quantity(5.0, "s", 1.0, 90.0, "5.3.3 Table 8", "B")

    def __post_init__(self) -> None:
        check_ranges(self)
        points = (self.v1_pu, self.v2_pu, self.v3_pu, self.v4_pu)
        if not self.v1_pu + 0.02 <= self.v2_pu <= self.v3_pu <= self.v4_pu - 0.02:
            raise SettingError(f"v1_pu ... v4_pu = {points} do not rise by v1 + 0.02 <= v2 <= v3 <= v4 - 0.02 (5.3.3)")
        if not self.q1_pu >= self.q2_pu >= self.q3_pu >= self.q4_pu:
            raise SettingError("q1_pu >= q2_pu >= q3_pu >= q4_pu does not hold (5.3.3)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveLimitSettings:
    """Limit maximum active power, IEEE 1547-2018 4.6.2: a ceiling on export, never on charging."""

    enable: bool = switch(False, "4.6.2")
    limit_pu: float = quantity(1.0, "pu", 0.0, 1.0, "4.6.2 Table 40")
    ramp_time_s: float = quantity(10.0, "s", 0.1, 30.0, "4.6.2: reached within 30 s")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """Ramps, the device's smallest power and its reversal dwell; what the battery may do."""

    ramp_pu_s: float = quantity(0.2, "pu/s", 0.01, 10.0, "product: wish changes and recoveries")
    p_min_abs_w: float = quantity(0.0, "W", 0.0, 10000.0, "product: smallest power the inverter holds")
    reverse_dwell_s: float = quantity(0.0, "s", 0.0, 60.0, "product: wait at 0 before the direction turns")
    soc_min_pu: float = quantity(0.2, "pu", 0.0, 1.0, "product: no discharge at or below")
    soc_max_pu: float = quantity(0.95, "pu", 0.0, 1.0, "product: no charge at or above")
    soc_band_pu: float = quantity(0.02, "pu", 0.0, 0.2, "product: power tapers over this band beside a limit")

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.soc_min_pu < self.soc_max_pu:
            raise SettingError(f"soc_min_pu = {self.soc_min_pu} is not below soc_max_pu = {self.soc_max_pu}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailSafeSettings:
    """Ages at which a signal is held, stale, lost, and the power that is safe. T_* is what the wire can do."""

    t_meter_s: float = quantity(0.2, "s", 0.001, 10.0, "product: max(poll, refresh, timeout + retry) of the meter")
    t_device_s: float = quantity(0.5, "s", 0.001, 10.0, "product: the same of the inverter")
    meter_half_refresh_s: float = quantity(0.05, "s", 0.0, 5.0, "product: half the meter's refresh, part of its age")
    frozen_after_s: float = quantity(0.0, "s", 0.0, 60.0, "product: identical answers this long are frozen; 0 = off")
    lost_after_s: float = quantity(10.0, "s", 1.0, 60.0, "product: not above the inverter's own timer")
    safe_p_w: float = quantity(0.0, "W", -100000.0, 100000.0, "product: where power goes when the meter is lost")
    degraded_charge_w: float = quantity(1400.0, "W", 0.0, 100000.0, "product: most charging while voltage is stale")
    command_valid_s: float = quantity(1.0, "s", 0.05, 30.0, "product: the bus thread writes no older command")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultWishSettings:
    """What the unit does with no fresh wish: charge up to p_w until the battery is at soc_target_pu."""

    charge_w: float = quantity(1400.0, "W", 0.0, 100000.0, "product")
    soc_target_pu: float = quantity(0.8, "pu", 0.0, 1.0, "product")
    wish_lifetime_s: float = quantity(900.0, "s", 1.0, 86400.0, "product: longest life a wish may claim")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the core, one attribute a function."""

    rating: RatingSettings = field(default_factory=RatingSettings)
    freq_droop: FreqDroopSettings = field(default_factory=FreqDroopSettings)
    volt_var: VoltVarSettings = field(default_factory=VoltVarSettings)
    active_limit: ActiveLimitSettings = field(default_factory=ActiveLimitSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    fail_safe: FailSafeSettings = field(default_factory=FailSafeSettings)
    default_wish: DefaultWishSettings = field(default_factory=DefaultWishSettings)

    @classmethod
    def from_mapping(cls, groups: Mapping[str, Mapping[str, Any]]) -> Settings:
        """{"freq_droop": {"k_of": 0.04}, ...} -> Settings. Unknown groups and keys raise SettingError."""
        hints = get_type_hints(cls)
        chosen: dict[str, Any] = {}
        for name, values in groups.items():
            if name not in hints:
                raise SettingError(f"unknown group '{name}'; known: {', '.join(hints)}")
            chosen[name] = build(hints[name], values)
        return cls(**chosen)


def build(group: type[Any], values: Mapping[str, Any]) -> Any:
    """One group from a mapping; numbers become float. Unknown keys raise SettingError naming the known ones."""
    known = {f.name for f in fields(group)}
    for key in values:
        if key not in known:
            raise SettingError(f"unknown key '{key}'; known: {', '.join(sorted(known))}")
    return group(**{k: float(v) if type(v) is int else v for k, v in values.items()})


def to_mapping(settings: Settings) -> dict[str, dict[str, Any]]:
    """Settings -> {"freq_droop": {"k_of": 0.05, ...}, ...}: plain values; from_mapping turns it back without loss."""
    return {g.name: asdict(getattr(settings, g.name)) for g in fields(settings)}


def digest(settings: Settings, period_ns: int) -> int:
    """63 bits that name these settings at this step: they stand in every record."""
    text = repr((period_ns, sorted((g, sorted(v.items())) for g, v in to_mapping(settings).items())))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "little") >> 1


def ages_s(t_s: float, lost_after_s: float) -> tuple[float, float, float]:
    """Ages up to which a signal is fresh, held and stale when its wire can deliver every t_s."""
    held_s = max(5.0 * t_s, 1.0)
    return 2.0 * t_s, held_s, max(lost_after_s, held_s)


def decay(t_s: float, t90_s: float) -> float:
    """10 ** (-t_s / t90_s) from + - x / alone: the same bits on every machine (libm differs between machines).

    What is left of a first-order lag after t_s when 90 % is reached at t90_s (IEEE 1547-2018, open-loop response time).
    """
    x = t_s / t90_s * 2.302585092994046  # ln 10
    halvings = 0
    while x > 0.03125 and halvings < 40:
        x, halvings = x / 2.0, halvings + 1
    term, total = 1.0, 1.0
    for i in range(1, 14):
        term = term * -x / i
        total += term
    for _ in range(halvings):
        total *= total
    return total if math.isfinite(total) else 0.0
