"""Settings: one frozen dataclass per function; default, unit, range, clause and EPRI name on one line each.

Units    in the names. pu: voltage of v_nom_v, active power of p_rated_w (charge side: p_charge_rated_w), reactive
         power of s_rated_va.
Errors   SettingError: name, value, what is allowed, clause. The site owner must act.
Sources  IEEE 1547-2018; defaults are those of Category B and III, `by` holds the others. "product" is ours.
The values here become the C struct settings_t once, at load (compiled.pyx); past that door nothing is checked again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any, get_type_hints

from cython_core.quantities import SettingError, check_category, check_ranges, choice, defaults, quantity, switch

__all__ = ["SettingError", "Settings"]

OWNERS = ("inverter", "controller")
OWNER = "product: whose certified function it is; never both"
# of droop, volt-watt and the reactive mode: the inverter's own is set up by `v2g settings push`
ACTS = "product: whose function acts, ours or the inverter's own; never both"
MODES = ("off", "constant_pf", "volt_var", "watt_var", "constant_q")
TABLE_7 = {"A": (0.44, 0.25), "B": (0.44, 0.44)}  # IEEE 1547-2018 5.2: inject, absorb, pu of s_rated_va


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingSettings:
    """Nameplate and grid, IEEE 1547-2018 10.3. 50 Hz is outside the standard."""

    f_nom_hz: float = quantity(60.0, "Hz", 50.0, 60.0, "1547-2018 1.4; 50 is outside the standard")
    v_nom_v: float = quantity(240.0, "V", 100.0, 480.0, "10.3", "NP_AC_V_NOM")
    p_rated_w: float = quantity(7000.0, "W", 100.0, 1000000.0, "10.3", "NP_P_MAX")
    p_charge_rated_w: float = quantity(7000.0, "W", 100.0, 1000000.0, "10.3", "NP_P_MAX_CHARGE")
    s_rated_va: float = quantity(7000.0, "VA", 100.0, 1000000.0, "10.3", "NP_VA_MAX")
    s_charge_rated_va: float = quantity(
        0.0, "VA", 0.0, 1000000.0, "10.3; 0: as s_rated_va", "NP_APPARENT_POWER_CHARGE_MAX"
    )
    q_inject_pu: float = quantity(0.44, "pu", 0.0, 1.0, "10.3; 5.2 Table 7 asks for 0.44", "NP_Q_MAX_INJ")
    q_absorb_pu: float = quantity(
        0.44, "pu", 0.0, 1.0, "10.3; 5.2 Table 7", "NP_Q_MAX_ABS", {"A": (0.25, 0.0, 1.0), "B": (0.44, 0.0, 1.0)}
    )
    normal_category: str = choice("B", ("A", "B"), "1.4; 5.2 Table 7", "NP_NORMAL_OP_CAT")
    abnormal_category: str = choice("III", ("I", "II", "III"), "1.4; 6.4.2", "NP_ABNORMAL_OP_CAT")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.f_nom_hz not in (50.0, 60.0):
            raise SettingError(f"f_nom_hz = {self.f_nom_hz} is neither 50 nor 60 Hz")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreqDroopSettings:
    """Frequency-droop, IEEE 1547-2018 6.5.2.7."""

    owner: str = choice("controller", OWNERS, ACTS)
    enable: bool = switch(True, "6.5.2.7.2", "PF_MODE_ENABLE")
    db_uf_hz: float = quantity(0.036, "Hz", 0.017, 1.0, "6.5.2.7 Table 24", "PF_DBUF")
    db_of_hz: float = quantity(0.036, "Hz", 0.017, 1.0, "6.5.2.7 Table 24", "PF_DBOF")
    k_uf: float = quantity(
        0.05, "pu/pu", 0.02, 0.05, "6.5.2.7 Table 24", "PF_KUF", {"I": (0.05, 0.03, 0.05), "II": (0.05, 0.03, 0.05)}
    )
    k_of: float = quantity(
        0.05, "pu/pu", 0.02, 0.05, "6.5.2.7 Table 24", "PF_KOF", {"I": (0.05, 0.03, 0.05), "II": (0.05, 0.03, 0.05)}
    )
    t_response_s: float = quantity(
        5.0, "s", 0.2, 10.0, "6.5.2.7 Table 24", "PF_OLRT", {"I": (5.0, 1.0, 10.0), "II": (5.0, 1.0, 10.0)}
    )
    refresh_s: float = quantity(0.1, "s", 0.0, 5.0, "product: two readings this far apart qualify an event")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FastResponseSettings:
    """Fast frequency response: a fixed power for a fixed time. No function of IEEE 1547-2018; off by default."""

    enable: bool = switch(False, "product: fast frequency response")
    trigger_hz: float = quantity(0.3, "Hz", 0.05, 2.0, "product: below nominal")
    power_pu: float = quantity(1.0, "pu", 0.0, 1.0, "product: added export at full response")
    full_s: float = quantity(1.0, "s", 0.5, 10.0, "product: from the trigger to full response")
    hold_s: float = quantity(30.0, "s", 1.0, 900.0, "product: at full response")
    release_s: float = quantity(10.0, "s", 1.0, 900.0, "product: way back to 0")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class InertiaSettings:
    """Inertial response, IEEE 1547-2018 6.5.2.8: permitted, never required; off by default."""

    enable: bool = switch(False, "6.5.2.8")
    h_s: float = quantity(4.0, "s", 0.0, 20.0, "6.5.2.8: power = -2 H S / f_nom x df/dt")
    rocof_min_hz_s: float = quantity(0.1, "Hz/s", 0.0, 5.0, "product: below it is the meter's noise")
    limit_pu: float = quantity(0.2, "pu", 0.0, 1.0, "product: most of it, either way")
    t_response_s: float = quantity(0.5, "s", 0.1, 5.0, "product: 90 % of a change")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltWattSettings:
    """Volt-watt, IEEE 1547-2018 5.4.2 Table 10: a ceiling on active power. p2_pu < 0 is of p_charge_rated_w."""

    owner: str = choice("controller", OWNERS, ACTS)
    enable: bool = switch(False, "5.4.2", "PV_MODE_ENABLE")
    v1_pu: float = quantity(1.06, "pu", 1.05, 1.09, "5.4.2 Table 10", "PV_CURVE_V1")
    p1_pu: float = quantity(1.0, "pu", 1.0, 1.0, "5.4.2 Table 10: not adjustable", "PV_CURVE_P1")
    v2_pu: float = quantity(1.10, "pu", 1.06, 1.10, "5.4.2 Table 10: v1 + 0.01 ... 1.10", "PV_CURVE_V2")
    p2_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.4.2 Table 10: P2, or P'2 when negative", "PV_CURVE_P2")
    olrt_s: float = quantity(10.0, "s", 0.5, 60.0, "5.4.2 Table 10", "PV_OLRT")

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.v2_pu - self.v1_pu >= 0.01 - 1e-9:
            raise SettingError(
                f"v2_pu = {self.v2_pu} is below v1_pu + 0.01 = {self.v1_pu + 0.01:.12g} (5.4.2 Table 10)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactiveSettings:
    """Which one of the reactive modes acts, IEEE 1547-2018 5.3.1, and what gives way at the apparent-power limit."""

    owner: str = choice("controller", OWNERS, ACTS)
    mode: str = choice("constant_pf", MODES, "5.3.1: exactly one; the default is unity power factor")
    transition_s: float = quantity(15.0, "s", 5.0, 300.0, "4.6.3: from one mode to the next", "NP_MODE_TRANSITION_TIME")
    beyond_table_7: str = choice(
        "reactive", ("reactive", "active"), "4.7: what comes first beyond Table 7", "NP_PRIO_OUTSIDE_MIN_Q_REQ"
    )
    at_low_power: str = choice("full", ("full", "in_proportion"), "5.2: Q below 20 % of rated P may fall with P")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFactorSettings:
    """Constant power factor, IEEE 1547-2018 5.3.2. The sign of Q turns with P: the same quadrant line."""

    pf: float = quantity(1.0, "1", 0.5, 1.0, "5.3.2 Table 30", "CONST_PF")
    excitation: str = choice("inject", ("inject", "absorb"), "5.3.2 Table 30, while discharging", "CONST_PF_EXCITATION")
    response_s: float = quantity(5.0, "s", 0.1, 10.0, "5.3.2: 90 % within 10 s", "CONST_PF_RT")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltVarSettings:
    """Volt-var, IEEE 1547-2018 5.3.3 Table 8. Points are stored for v_ref_pu = 1 and shifted by V_Ref - 1."""

    v_ref_pu: float = quantity(1.0, "pu", 0.95, 1.05, "5.3.3 Table 8", "QV_VREF")
    v_ref_auto: bool = switch(False, "5.3.3: V_Ref follows the measured voltage", "QV_VREF_AUTO_MODE")
    v_ref_time_s: float = quantity(300.0, "s", 300.0, 5000.0, "5.3.3: a time constant, 63.2 %", "QV_VREF_TIME")
    v_ref_min_pu: float = quantity(0.95, "pu", 0.88, 0.98, "5.3.3: 0.95 in the 2018 edition", "QV_VREF_MIN")
    v_ref_max_pu: float = quantity(1.05, "pu", 1.02, 1.10, "5.3.3: 1.05 in the 2018 edition", "QV_VREF_MAX")
    v1_pu: float = quantity(
        0.92, "pu", 0.82, 0.98, "5.3.3 Table 8", "QV_CURVE_V1", {"A": (0.90, 0.82, 0.98), "B": (0.92, 0.82, 0.98)}
    )
    v2_pu: float = quantity(
        0.98, "pu", 0.97, 1.0, "5.3.3 Table 8", "QV_CURVE_V2", {"A": (1.0, 0.97, 1.0), "B": (0.98, 0.97, 1.0)}
    )
    v3_pu: float = quantity(
        1.02, "pu", 1.0, 1.03, "5.3.3 Table 8", "QV_CURVE_V3", {"A": (1.0, 1.0, 1.03), "B": (1.02, 1.0, 1.03)}
    )
    v4_pu: float = quantity(
        1.08, "pu", 1.02, 1.18, "5.3.3 Table 8", "QV_CURVE_V4", {"A": (1.10, 1.02, 1.18), "B": (1.08, 1.02, 1.18)}
    )
    q1_pu: float = quantity(
        0.44, "pu", 0.0, 1.0, "5.3.3 Table 8", "QV_CURVE_Q1", {"A": (0.25, 0.0, 1.0), "B": (0.44, 0.0, 1.0)}
    )
    q2_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.3.3 Table 8", "QV_CURVE_Q2")
    q3_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.3.3 Table 8", "QV_CURVE_Q3")
    q4_pu: float = quantity(
        -0.44, "pu", -1.0, 0.0, "5.3.3 Table 8", "QV_CURVE_Q4", {"A": (-0.25, -1.0, 0.0), "B": (-0.44, -1.0, 0.0)}
    )
    olrt_s: float = quantity(
        5.0, "s", 1.0, 90.0, "5.3.3 Table 8", "QV_OLRT", {"A": (10.0, 1.0, 90.0), "B": (5.0, 1.0, 90.0)}
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        points = (self.v1_pu, self.v2_pu, self.v3_pu, self.v4_pu)
        if not self.v1_pu + 0.02 <= self.v2_pu + 1e-9 or not self.v3_pu + 0.02 <= self.v4_pu + 1e-9:
            raise SettingError(f"v1_pu ... v4_pu = {points} do not rise by v1 + 0.02 <= v2 <= v3 <= v4 - 0.02 (5.3.3)")
        if not self.q1_pu >= self.q2_pu >= self.q3_pu >= self.q4_pu:
            raise SettingError("q1_pu >= q2_pu >= q3_pu >= q4_pu does not hold (5.3.3)")
        if self.v2_pu == self.v3_pu and self.q2_pu != self.q3_pu:  # a cliff no lag makes stable
            raise SettingError(f"v2_pu = v3_pu = {self.v2_pu} needs q2_pu = q3_pu (5.3.3)")


@dataclass(frozen=True, slots=True, kw_only=True)
class WattVarSettings:
    """Watt-var, IEEE 1547-2018 5.3.4 Table 9. The load side is in pu of p_charge_rated_w, values negative."""

    p1_pu: float = quantity(0.2, "pu", 0.0, 0.7, "5.3.4 Table 9: P_min ... p2 - 0.1", "QP_CURVE_P1_GEN")
    p2_pu: float = quantity(0.5, "pu", 0.4, 0.8, "5.3.4 Table 9", "QP_CURVE_P2_GEN")
    p3_pu: float = quantity(1.0, "pu", 0.5, 1.0, "5.3.4 Table 9: p2 + 0.1 ... 1", "QP_CURVE_P3_GEN")
    q1_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.3.4 Table 9", "QP_CURVE_Q1_GEN")
    q2_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.3.4 Table 9", "QP_CURVE_Q2_GEN")
    q3_pu: float = quantity(
        -0.44, "pu", -1.0, 1.0, "5.3.4 Table 9", "QP_CURVE_Q3_GEN", {"A": (-0.25, -1.0, 1.0), "B": (-0.44, -1.0, 1.0)}
    )
    p1_load_pu: float = quantity(-0.2, "pu", -0.7, 0.0, "5.3.4 Table 9: p2_load + 0.1 ... P'_min", "QP_CURVE_P1_LOAD")
    p2_load_pu: float = quantity(-0.5, "pu", -0.8, -0.4, "5.3.4 Table 9", "QP_CURVE_P2_LOAD")
    p3_load_pu: float = quantity(-1.0, "pu", -1.0, -0.5, "5.3.4 Table 9: -1 ... p2_load - 0.1", "QP_CURVE_P3_LOAD")
    q1_load_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.3.4 Table 9", "QP_CURVE_Q1_LOAD")
    q2_load_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.3.4 Table 9", "QP_CURVE_Q2_LOAD")
    q3_load_pu: float = quantity(0.44, "pu", -1.0, 1.0, "5.3.4 Table 9", "QP_CURVE_Q3_LOAD")
    response_s: float = quantity(5.0, "s", 0.5, 10.0, "5.3.4: 90 % within 10 s", "QP_RT")

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.p1_pu + 0.1 <= self.p2_pu + 1e-9 or not self.p2_pu + 0.1 <= self.p3_pu + 1e-9:
            p = (self.p1_pu, self.p2_pu, self.p3_pu)
            raise SettingError(f"p1_pu ... p3_pu = {p} do not rise by at least 0.1 each (5.3.4 Table 9)")
        if not self.p1_load_pu - 0.1 >= self.p2_load_pu - 1e-9 or not self.p2_load_pu - 0.1 >= self.p3_load_pu - 1e-9:
            p = (self.p1_load_pu, self.p2_load_pu, self.p3_load_pu)
            raise SettingError(f"p1_load_pu ... p3_load_pu = {p} do not fall by at least 0.1 each (5.3.4 Table 9)")
        q = (self.q3_load_pu, self.q2_load_pu, self.q1_load_pu, self.q1_pu, self.q2_pu, self.q3_pu)
        if list(q) not in (sorted(q), sorted(q, reverse=True)):
            raise SettingError(f"q3_load_pu ... q1_load_pu, q1_pu ... q3_pu = {q} are not monotone (5.3.4 Table 9)")
        if self.p1_pu == self.p1_load_pu and self.q1_pu != self.q1_load_pu:  # a cliff at 0 W
            raise SettingError(f"p1_pu = p1_load_pu = {self.p1_pu} needs q1_pu = q1_load_pu (5.3.4 Table 9)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstVarSettings:
    """Constant reactive power, IEEE 1547-2018 5.3.5."""

    q_pu: float = quantity(0.0, "pu", -1.0, 1.0, "5.3.5 Table 33: inside the unit's capability", "CONST_Q")
    response_s: float = quantity(5.0, "s", 0.1, 10.0, "5.3.5: 90 % within 10 s", "CONST_Q_RT")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveLimitSettings:
    """Limit maximum active power, IEEE 1547-2018 4.6.2: a ceiling on export, never on charging."""

    enable: bool = switch(False, "4.6.2", "AP_LIMIT_ENABLE")
    limit_pu: float = quantity(1.0, "pu", 0.0, 1.0, "4.6.2 Table 40", "AP_LIMIT")
    ramp_time_s: float = quantity(10.0, "s", 0.1, 30.0, "4.6.2: reached within 30 s", "AP_RT")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterServiceSettings:
    """Enter service, IEEE 1547-2018 4.10. Ramp and random delay are alternatives; 0 means: not used."""

    owner: str = choice("inverter", OWNERS, OWNER)
    permit: bool = switch(True, "4.6.1, 4.10.2 Table 4", "ES_PERMIT_SERVICE")
    v_low_pu: float = quantity(0.917, "pu", 0.88, 0.95, "4.10.2 Table 4", "ES_V_LOW")
    v_high_pu: float = quantity(1.05, "pu", 1.05, 1.06, "4.10.2 Table 4", "ES_V_HIGH")
    f_low_hz: float = quantity(59.5, "Hz", 59.0, 59.9, "4.10.2 Table 4", "ES_F_LOW", at_60_hz=True)
    f_high_hz: float = quantity(60.1, "Hz", 60.1, 61.0, "4.10.2 Table 4", "ES_F_HIGH", at_60_hz=True)
    delay_s: float = quantity(300.0, "s", 0.0, 600.0, "4.10.3", "ES_DELAY")
    ramp_s: float = quantity(300.0, "s", 0.0, 1000.0, "4.10.3: 0 W to rated, 1 ... 1000; 0: none", "ES_RAMP_RATE")
    random_s: float = quantity(0.0, "s", 0.0, 1000.0, "4.10.3 exception 1: 1 ... 1000; 0: none", "ES_RANDOMIZED_DELAY")
    seed: float = quantity(1.0, "1", 1.0, 2147483647.0, "product: where the random delays start; one a site")

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in ("ramp_s", "random_s"):
            if 0.0 < getattr(self, name) < 1.0:
                raise SettingError(f"{name} = {getattr(self, name)} is neither 0 nor 1 ... 1000 s (4.10.3)")
        if self.ramp_s and self.random_s:
            raise SettingError(
                f"ramp_s = {self.ramp_s} and random_s = {self.random_s}: one of them, the other 0 (4.10.3 exception 1)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltageTripSettings:
    """Shall trip on voltage, IEEE 1547-2018 6.4.1 Tables 11 to 13 (III as widened by 1547a-2020). Per phase."""

    owner: str = choice("inverter", OWNERS, OWNER)
    ov2_pu: float = quantity(1.20, "pu", 1.20, 1.20, "6.4.1: fixed", "OV2_TRIP_V")
    ov2_s: float = quantity(0.16, "s", 0.16, 0.16, "6.4.1: fixed", "OV2_TRIP_T")
    ov1_pu: float = quantity(1.10, "pu", 1.10, 1.20, "6.4.1 Table 13", "OV1_TRIP_V")
    ov1_s: float = quantity(
        13.0, "s", 1.0, 13.0, "6.4.1 Tables 11-13", "OV1_TRIP_T", {"I": (2.0, 1.0, 13.0), "II": (2.0, 1.0, 13.0)}
    )
    uv1_pu: float = quantity(
        0.88, "pu", 0.0, 0.88, "6.4.1 Tables 11-13", "UV1_TRIP_V", {"I": (0.7, 0.0, 0.88), "II": (0.7, 0.0, 0.88)}
    )
    uv1_s: float = quantity(
        21.0,
        "s",
        2.0,
        50.0,
        "6.4.1 Tables 11-13, 1547a-2020",
        "UV1_TRIP_T",
        {"I": (2.0, 2.0, 21.0), "II": (10.0, 2.0, 21.0)},
    )
    uv2_pu: float = quantity(
        0.50, "pu", 0.0, 0.50, "6.4.1 Tables 11-13", "UV2_TRIP_V", {"I": (0.45, 0.0, 0.5), "II": (0.45, 0.0, 0.5)}
    )
    uv2_s: float = quantity(
        2.0,
        "s",
        0.16,
        21.0,
        "6.4.1 Tables 11-13, 1547a-2020",
        "UV2_TRIP_T",
        {"I": (0.16, 0.16, 2.0), "II": (0.16, 0.16, 2.0)},
    )
    opening_s: float = quantity(
        0.0, "s", 0.0, 0.1, "product: the inverter's own time to cease, inside each clearing time"
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.uv2_pu > self.uv1_pu or self.ov2_pu < self.ov1_pu:
            raise SettingError("uv2_pu <= uv1_pu and ov1_pu <= ov2_pu does not hold (6.4.1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyTripSettings:
    """Shall trip on frequency, IEEE 1547-2018 6.5.1 Table 18."""

    owner: str = choice("inverter", OWNERS, OWNER)
    of2_hz: float = quantity(62.0, "Hz", 61.8, 66.0, "6.5.1 Table 18", "OF2_TRIP_F", at_60_hz=True)
    of2_s: float = quantity(0.16, "s", 0.16, 1000.0, "6.5.1 Table 18", "OF2_TRIP_T")
    of1_hz: float = quantity(61.2, "Hz", 61.0, 66.0, "6.5.1 Table 18", "OF1_TRIP_F", at_60_hz=True)
    of1_s: float = quantity(300.0, "s", 180.0, 1000.0, "6.5.1 Table 18", "OF1_TRIP_T")
    uf1_hz: float = quantity(58.5, "Hz", 50.0, 59.0, "6.5.1 Table 18", "UF1_TRIP_F", at_60_hz=True)
    uf1_s: float = quantity(300.0, "s", 180.0, 1000.0, "6.5.1 Table 18", "UF1_TRIP_T")
    uf2_hz: float = quantity(56.5, "Hz", 50.0, 57.0, "6.5.1 Table 18", "UF2_TRIP_F", at_60_hz=True)
    uf2_s: float = quantity(0.16, "s", 0.16, 1000.0, "6.5.1 Table 18", "UF2_TRIP_T")
    opening_s: float = quantity(
        0.0, "s", 0.0, 0.1, "product: the inverter's own time to cease, inside each clearing time"
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.uf2_hz > self.uf1_hz or self.of2_hz < self.of1_hz:
            raise SettingError("uf2_hz <= uf1_hz and of1_hz <= of2_hz does not hold (6.5.1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RideThroughSettings:
    """Ride-through, IEEE 1547-2018 6.4.2 Tables 14 to 17; momentary cessation is Category III's."""

    owner: str = choice("inverter", OWNERS, OWNER)
    mc_low_pu: float = quantity(0.50, "pu", 0.0, 0.88, "6.4.2.7.3 Table 36", "MC_LVRT_V1")
    mc_high_pu: float = quantity(1.10, "pu", 1.10, 1.20, "6.4.2.7.3 Table 36", "MC_HVRT_V1")
    restore_s: float = quantity(0.4, "s", 0.1, 0.4, "6.4.2.7: 80 % within 0.4 s; straight line to 100 % in this time")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLimitSettings:
    """What the house connection bears; needs a meter there. Limits only ever reduce, they never turn the direction."""

    enable: bool = switch(False, "product: limits at the house connection")
    import_w: float = quantity(1000000.0, "W", 0.0, 1000000.0, "product: most the house may draw")
    export_w: float = quantity(1000000.0, "W", 0.0, 1000000.0, "product: most it may feed in; 0: zero export")
    fuse_a: float = quantity(1000.0, "A", 1.0, 1000.0, "product: main fuse, per phase")
    margin_w: float = quantity(200.0, "W", 0.0, 100000.0, "product: kept free for delay and error")
    share_l1_pu: float = quantity(1.0, "pu", 0.0, 1.0, "product: part of the unit's power on L1")
    share_l2_pu: float = quantity(0.0, "pu", 0.0, 1.0, "product: part of the unit's power on L2")
    share_l3_pu: float = quantity(0.0, "pu", 0.0, 1.0, "product: part of the unit's power on L3")
    blind_charge_w: float = quantity(1400.0, "W", 0.0, 100000.0, "product: most charging while that meter is stale")
    blind_discharge_w: float = quantity(0.0, "W", 0.0, 100000.0, "product: most export while that meter is stale")

    def __post_init__(self) -> None:
        check_ranges(self)
        if not 0.999 <= self.share_l1_pu + self.share_l2_pu + self.share_l3_pu <= 1.001:
            raise SettingError("share_l1_pu + share_l2_pu + share_l3_pu is not 1 (product)")


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
    write_refresh_s: float = quantity(0.0, "s", 0.0, 100.0, "product: so often an unchanged set-point is written again")
    command_valid_s: float = quantity(1.0, "s", 0.05, 30.0, "product: the bus thread writes no older command")
    mismatch_after_s: float = quantity(0.0, "s", 0.0, 600.0, "product: power unlike the command for so long; 0 = off")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultWishSettings:
    """What the unit does with no fresh wish: charge up to charge_w until the battery is at soc_target_pu."""

    charge_w: float = quantity(1400.0, "W", 0.0, 100000.0, "product")
    soc_target_pu: float = quantity(0.8, "pu", 0.0, 1.0, "product")
    capacity_wh: float = quantity(0.0, "Wh", 0.0, 1000000.0, "product: of the battery; 0: no departure is kept")
    wish_lifetime_s: float = quantity(900.0, "s", 1.0, 86400.0, "product: longest life a wish may claim")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the core, one attribute a function."""

    rating: RatingSettings = field(default_factory=RatingSettings)
    freq_droop: FreqDroopSettings = field(default_factory=FreqDroopSettings)
    fast_response: FastResponseSettings = field(default_factory=FastResponseSettings)
    inertia: InertiaSettings = field(default_factory=InertiaSettings)
    volt_watt: VoltWattSettings = field(default_factory=VoltWattSettings)
    active_limit: ActiveLimitSettings = field(default_factory=ActiveLimitSettings)
    reactive: ReactiveSettings = field(default_factory=ReactiveSettings)
    power_factor: PowerFactorSettings = field(default_factory=PowerFactorSettings)
    volt_var: VoltVarSettings = field(default_factory=VoltVarSettings)
    watt_var: WattVarSettings = field(default_factory=WattVarSettings)
    const_var: ConstVarSettings = field(default_factory=ConstVarSettings)
    enter_service: EnterServiceSettings = field(default_factory=EnterServiceSettings)
    voltage_trip: VoltageTripSettings = field(default_factory=VoltageTripSettings)
    frequency_trip: FrequencyTripSettings = field(default_factory=FrequencyTripSettings)
    ride_through: RideThroughSettings = field(default_factory=RideThroughSettings)
    site_limits: SiteLimitSettings = field(default_factory=SiteLimitSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    fail_safe: FailSafeSettings = field(default_factory=FailSafeSettings)
    default_wish: DefaultWishSettings = field(default_factory=DefaultWishSettings)

    def __post_init__(self) -> None:
        rating = self.rating
        for f in fields(self):
            group = getattr(self, f.name)
            check_category(f.name, group, rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
        check_reactive(self)
        trips = ("voltage_trip", "frequency_trip")
        for name in trips:
            if getattr(self, name).owner == "controller" and self.enter_service.owner != "controller":
                raise SettingError(
                    f"{name}.owner = controller needs enter_service.owner = controller: who trips decides the return"
                )

    @classmethod
    def from_mapping(cls, groups: Mapping[str, Mapping[str, Any]]) -> Settings:
        """{"freq_droop": {"k_of": 0.04}, ...} -> Settings. Unknown groups and keys raise SettingError.

        What is not given has the default of the categories and of the nominal frequency in `rating`.
        """
        hints = get_type_hints(cls)
        for name in groups:
            if name not in hints:
                raise SettingError(f"unknown group '{name}'; known: {', '.join(hints)}")
        rating = build(RatingSettings, groups.get("rating", {}))
        chosen = {}
        for name, hint in hints.items():
            preset = defaults(hint, rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
            chosen[name] = build(hint, {**preset, **groups.get(name, {})})
        return cls(**chosen)

    @classmethod
    def from_epri(cls, lines: Mapping[str, Any]) -> Settings:
        """{"PF_KOF": 0.05, "QV_MODE_ENABLE": "ENABLED", ...} in EPRI's common file format -> Settings (epri.py)."""
        from cython_core.epri import from_epri  # epri builds on this module

        return from_epri(lines)


def check_reactive(settings: Settings) -> None:
    """Raise SettingError where a reactive setting asks for more than the unit is capable of (5.2, 5.3)."""
    rating = settings.rating
    low, high = -rating.q_absorb_pu, rating.q_inject_pu
    points = [("volt_var", f"q{i}_pu") for i in range(1, 5)] + [("const_var", "q_pu")]
    points += [("watt_var", f"q{i}{side}_pu") for i in range(1, 4) for side in ("", "_load")]
    mode_of = {"volt_var": "volt_var", "watt_var": "watt_var", "const_var": "constant_q"}
    for group, name in points:
        q_pu = getattr(getattr(settings, group), name)
        if mode_of[group] == settings.reactive.mode and not low - 1e-9 <= q_pu <= high + 1e-9:
            raise SettingError(f"{group}.{name} = {q_pu} is outside this unit's {low} ... {high} pu (5.2)")
    pf = settings.power_factor
    q_pu = math.sqrt(1.0 - pf.pf * pf.pf)
    most = high if pf.excitation == "inject" else -low
    if settings.reactive.mode == "constant_pf" and q_pu > most + 1e-9:
        raise SettingError(
            f"power_factor.pf = {pf.pf} needs {q_pu:.3f} pu of reactive power at rated power, of {most} there are (5.2)"
        )


def build(group: type[Any], values: Mapping[str, Any]) -> Any:
    """One group from a mapping; numbers become float. Unknown keys raise SettingError naming the known ones."""
    known = {f.name for f in fields(group)}
    for key in values:
        if key not in known:
            raise SettingError(f"unknown key '{key}'; known: {', '.join(sorted(known))}")
    return group(**{k: float(v) + 0.0 if type(v) in (int, float) else v for k, v in values.items()})  # -0.0 is 0.0


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
