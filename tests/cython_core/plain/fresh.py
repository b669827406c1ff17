"""Stage 1: how old each signal is, and its last good value.

fresh up to 2 T, held up to max(5 T, 1 s), stale up to lost_after, then lost; T is what the wire can do. A value counts
when it is finite and inside 0 ... 1.5 V_nom or 0.8 ... 1.2 f_nom: abnormal is data. A meter's age has half its refresh.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

from tests.cython_core.plain.numbers import NAN, finite, nanoseconds
from tests.cython_core.plain.words import (
    D_P,
    DEVICE_HELD,
    F_HELD,
    F_INVALID,
    FRESH,
    LOST,
    M_F,
    M_P,
    M_V1,
    METER_FROZEN,
    METER_LOST,
    P_HELD,
    V_HELD,
    V_INVALID,
)

NEVER_NS = (1 << 62) - 1
AHEAD_NS = 10**9  # a reading dated further ahead is of another time: it would be fresh for ever
ROCOF_WINDOW_NS = 100_000_000  # Table 21: rate of change of frequency is averaged over at least 0.1 s
NOTHING_SAID = SimpleNamespace(t_ns=0, valid=0, session=0, status=0, p_max_discharge_w=0.0, p_max_charge_w=0.0)


class Thresholds:
    def __init__(self, t_s: float, lost_after_s: float) -> None:
        held_s = max(5.0 * t_s, 1.0)
        self.fresh_ns = nanoseconds(2.0 * t_s)
        self.held_ns = nanoseconds(held_s)
        self.lost_ns = nanoseconds(max(lost_after_s, held_s))

    def judge(self, age_ns: int) -> int:
        return (age_ns > self.fresh_ns) + (age_ns > self.held_ns) + (age_ns > self.lost_ns)


class Signals:
    def __init__(self) -> None:
        self.t_f_ns = self.t_v_ns = self.t_p_ns = 0
        self.f_hz = self.v_pu = self.v_lo_pu = self.v_hi_pu = 0.0
        self.phases_seen = 0
        self.answer, self.t_answer_ns = bytes(96), 0  # the last one that differed, and since when
        self.rocof_hz_s = self.rocof_from_hz = 0.0
        self.rocof_from_ns = 0
        self.device: Any = NOTHING_SAID
        self.t_echo_ns = 0

    def configure(self, settings: Any) -> None:
        safe = settings.fail_safe
        self.f_nom_hz, self.v_nom_v = settings.rating.f_nom_hz, settings.rating.v_nom_v
        self.meter_ages = Thresholds(safe.t_meter_s, safe.lost_after_s)
        self.device_ages = Thresholds(safe.t_device_s, safe.lost_after_s)
        self.half_refresh_ns = nanoseconds(safe.meter_half_refresh_s)
        self.frozen_ns = nanoseconds(safe.frozen_after_s)
        self.rocof_window_ns = max(ROCOF_WINDOW_NS, nanoseconds(settings.freq_droop.refresh_s))

    def step(self, meter: Any, device: Any, t_ns: int, site: Any, commanded_w: float, rec: Any) -> None:
        newest_ns = t_ns + AHEAD_NS
        if self.device.t_ns < device.t_ns <= newest_ns:
            self.device = device
        self.t_echo_ns = device.t_echo_ns if device.t_echo_ns <= newest_ns else 0
        if self.frozen(meter):
            rec.reasons |= METER_FROZEN
        else:
            self.frequency(meter, newest_ns, rec)
            self.voltage(meter, newest_ns, rec)
            self.connection(meter, newest_ns, site, self.delivered_w(t_ns, commanded_w))
        self.judge(t_ns, site.enable, rec)
        self.report(rec)

    def frozen(self, meter: Any) -> bool:
        """The meter repeats one answer bit by bit for too long."""
        if self.frozen_ns == 0:
            return False
        m = meter
        numbers = (m.f_hz, m.v1_v, m.v2_v, m.v3_v, m.p_w, m.q_var, m.p1_w, m.p2_w, m.p3_w, m.i1_a, m.i2_a, m.i3_a)
        answer = struct.pack("<12d", *numbers)
        if answer != self.answer:
            self.answer, self.t_answer_ns = answer, m.t_f_ns
        return bool(m.t_f_ns - self.t_answer_ns > self.frozen_ns)

    def frequency(self, m: Any, newest_ns: int, rec: Any) -> None:
        if m.t_f_ns == 0:
            return
        inside = finite(m.f_hz) and 0.8 * self.f_nom_hz <= m.f_hz <= 1.2 * self.f_nom_hz
        if not (m.valid & M_F and inside and m.t_f_ns <= newest_ns):
            rec.reasons |= F_INVALID
            return
        if m.t_f_ns <= self.t_f_ns:
            return
        if self.rocof_from_ns == 0:
            self.rocof_from_hz, self.rocof_from_ns = m.f_hz, m.t_f_ns
        elif m.t_f_ns - self.rocof_from_ns >= self.rocof_window_ns:
            self.rocof_hz_s = (m.f_hz - self.rocof_from_hz) / (float(m.t_f_ns - self.rocof_from_ns) * 1e-9)
            self.rocof_from_hz, self.rocof_from_ns = m.f_hz, m.t_f_ns
        self.f_hz, self.t_f_ns = m.f_hz, m.t_f_ns

    def voltage(self, m: Any, newest_ns: int, rec: Any) -> None:
        """4.3: the mean of the phases for volt-var and volt-watt, the worst phase where safety is judged."""
        if m.t_v_ns == 0:
            return
        good, volts, total_pu = 0, [], 0.0  # sum() rounds in another way from Python 3.12 on
        for i, v_v in enumerate((m.v1_v, m.v2_v, m.v3_v)):
            bit = M_V1 << i
            if m.valid & bit and finite(v_v) and 0.0 <= v_v <= 1.5 * self.v_nom_v:
                good |= bit
                volts.append(v_v / self.v_nom_v)
                total_pu += volts[-1]
        if m.t_v_ns > newest_ns:
            rec.reasons |= V_INVALID
            return
        self.phases_seen |= good
        if good == 0 or good != self.phases_seen:
            rec.reasons |= V_INVALID
        elif m.t_v_ns > self.t_v_ns:
            self.v_pu = total_pu / len(volts)
            self.v_lo_pu, self.v_hi_pu = min(volts), max(volts)
            self.t_v_ns = m.t_v_ns

    def delivered_w(self, t_ns: int, commanded_w: float) -> float:
        """By the inverter's own word; one that is stale, or says nothing, delivers what it was told."""
        said = self.device
        lately = max(0, t_ns - said.t_ns) <= self.device_ages.held_ns
        return float(said.p_w) if lately and said.valid & D_P and finite(said.p_w) else commanded_w

    def connection(self, m: Any, newest_ns: int, site: Any, p_unit_w: float) -> None:
        """P of the meter; at a house connection it says what the house draws beside the unit."""
        if not (m.valid & M_P and finite(m.p_w) and self.t_p_ns < m.t_p_ns <= newest_ns):
            return
        if not site.enable or site.read(m, p_unit_w):
            self.t_p_ns = m.t_p_ns

    def judge(self, t_ns: int, at_connection: bool, rec: Any) -> None:
        rec.age_f_ns, rec.age_v_ns, rec.age_p_ns = (
            max(0, t_ns - taken_ns) + self.half_refresh_ns if taken_ns else NEVER_NS
            for taken_ns in (self.t_f_ns, self.t_v_ns, self.t_p_ns)
        )
        rec.age_d_ns = max(0, t_ns - self.device.t_ns) if self.device.t_ns else NEVER_NS
        rec.fresh_f = self.meter_ages.judge(rec.age_f_ns)
        rec.fresh_v = self.meter_ages.judge(rec.age_v_ns)
        rec.fresh_p = self.meter_ages.judge(rec.age_p_ns)
        rec.fresh_d = self.device_ages.judge(rec.age_d_ns)
        for freshness, held in ((rec.fresh_f, F_HELD), (rec.fresh_v, V_HELD), (rec.fresh_d, DEVICE_HELD)):
            if freshness != FRESH:
                rec.reasons |= held << (freshness - 1)  # held, stale, lost are neighbours
        if rec.fresh_p != FRESH and at_connection:
            rec.reasons |= P_HELD << (rec.fresh_p - 1)
        if rec.fresh_f == rec.fresh_v == LOST:
            rec.reasons |= METER_LOST

    def report(self, rec: Any) -> None:
        rec.f_hz = self.f_hz if self.t_f_ns else NAN
        rec.rocof_hz_s = self.rocof_hz_s
        rec.v_pu, rec.v_lo_pu, rec.v_hi_pu = (self.v_pu, self.v_lo_pu, self.v_hi_pu) if self.t_v_ns else (NAN, NAN, NAN)
