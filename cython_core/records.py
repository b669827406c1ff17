"""The shared vocabulary: what is measured, wished, commanded and recorded.

Shapes   every field is one 64-bit word: int (int64) or float (double). structs.pxd holds the same as C structs,
         bulk.py as NumPy dtypes; tests/cython_core/test_records.py keeps the three equal field by field.
Units    in the names. P > 0 and Q > 0 flow out of the inverter into the grid. t_*_ns is CLOCK_MONOTONIC.
Absent   a cleared `valid` bit and NaN, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from hashlib import sha256
from typing import Any

NAN = float("nan")


class MeasurementValid(IntFlag):
    """Bits of Measurement.valid."""

    F = 1
    V1 = 2
    V2 = 4
    V3 = 8
    P = 16
    Q = 32
    P1 = 64
    P2 = 128
    P3 = 256
    I1 = 512
    I2 = 1024
    I3 = 2048


class DeviceValid(IntFlag):
    """Bits of DeviceState.valid."""

    P = 1
    Q = 2
    P_SET = 4
    P_MAX_DISCHARGE = 8
    P_MAX_CHARGE = 16
    P_MIN_ABS = 32
    S_MAX = 64
    SOC = 128
    SESSION = 256
    STATUS = 512


class Session(IntEnum):
    """What the car is doing, whatever the charger calls it."""

    UNKNOWN = 0
    UNPLUGGED = 1
    HANDSHAKE = 2
    READY = 3
    CHARGING = 4
    DISCHARGING = 5
    ASLEEP = 6
    ENDED_BY_CAR = 7
    FAULT = 8


class DeviceStatus(IntFlag):
    """Bits of DeviceState.status. Power is commanded only with RUNNING and CONNECTED, and without FAULT and LOCAL."""

    RUNNING = 1
    CONNECTED = 2
    FAULT = 4
    ALARM = 8
    LOCAL = 16  # somebody at the device has taken control: never command


class WishSource(IntEnum):
    """Who may wish for power: one slot each. 0 is the site's own default wish, held by the core."""

    DEFAULT = 0
    SCHEDULE = 1
    AGGREGATOR = 2
    OCPP = 3
    EMS = 4
    HOME = 5
    OPERATOR = 6
    BENCH = 7


class Freshness(IntEnum):
    """How old a signal is, by the site's four thresholds."""

    FRESH = 0
    HELD = 1
    STALE = 2
    LOST = 3


class Mode(IntEnum):
    """What the bus thread does with a Command."""

    SILENT = 0  # write nothing: the inverter's own timer acts
    ACTIVE = 1
    SAFE = 2  # ramping to, or at, the safe power
    STOP = 3  # at, or on the way to, 0: stopping, out of service, ceased; 0 itself is urgent


class State(IntEnum):
    """Operating state of the unit."""

    OFF = 0  # not in service: no permit, or stopped
    STARTING = 1  # waiting until every input is fresh and the inverter can be commanded
    IN_SERVICE = 2
    DEGRADED = 3  # in service with a stale signal
    TRIPPED = 4  # by a trip element of ours: 0 W until the grid is good again
    WAITING = 5  # enter service: criteria or their delay not yet met, 0 W
    ENTERING = 6  # enter service: power is released along the ramp
    CEASED = 7  # momentary cessation: 0 W, ready to come back at once


class Region(IntEnum):
    """Ride-through region of the voltage and frequency now, IEEE 1547-2018 Tables 14 to 16 and 19; worst phase."""

    CONTINUOUS = 0
    MANDATORY = 1
    PERMISSIVE = 2
    MOMENTARY_CESSATION = 3
    CEASE = 4


class Trip(IntFlag):
    """Bits of StepRecord.trip: which elements have tripped since the unit was last in service."""

    OV2 = 1
    OV1 = 2
    UV1 = 4
    UV2 = 8
    OF2 = 16
    OF1 = 32
    UF1 = 64
    UF2 = 128


class Stop(IntEnum):
    """Order.stop."""

    RUN = 0
    RAMP = 1  # to 0 at the ramp rate
    EMERGENCY = 2  # to 0 in this step


class Reason(IntFlag):
    """Bits of StepRecord.reasons: which stage bound, and why this power now."""

    DROOP = 1 << 0
    DROOP_WAITING = 1 << 1
    DROOP_LIMITED = 1 << 2
    VOLT_VAR = 1 << 3
    F_HELD = 1 << 4
    F_STALE = 1 << 5
    F_LOST = 1 << 6
    F_INVALID = 1 << 7
    V_HELD = 1 << 8
    V_STALE = 1 << 9
    V_LOST = 1 << 10
    V_INVALID = 1 << 11
    DEVICE_HELD = 1 << 12
    DEVICE_STALE = 1 << 13
    DEVICE_LOST = 1 << 14
    METER_LOST = 1 << 15
    METER_FROZEN = 1 << 16
    DEFAULT_WISH = 1 << 17
    WISH_CLAMPED = 1 << 18
    WISH_REFUSED = 1 << 19
    ACTIVE_LIMIT = 1 << 20
    DEVICE_LIMIT = 1 << 21
    SOC_LIMIT = 1 << 22
    SESSION = 1 << 23
    APPARENT_POWER = 1 << 24
    REACTIVE_LIMIT = 1 << 25
    RAMP = 1 << 26
    SMALLEST_POWER = 1 << 27
    REVERSAL_DWELL = 1 << 28
    NO_PERMIT = 1 << 29
    STOP = 1 << 30
    EMERGENCY_STOP = 1 << 31
    NOT_RUNNING = 1 << 32
    LOCAL_CONTROL = 1 << 33
    SKIPPED = 1 << 34
    STARTING = 1 << 35
    VOLT_WATT = 1 << 36
    FAST_RESPONSE = 1 << 37
    INERTIA = 1 << 38
    POWER_FACTOR = 1 << 39
    WATT_VAR = 1 << 40
    CONST_VAR = 1 << 41
    MODE_CHANGE = 1 << 42
    ENTER_CRITERIA = 1 << 43
    ENTER_DELAY = 1 << 44
    ENTER_RAMP = 1 << 45
    TRIP_VOLTAGE = 1 << 46
    TRIP_FREQUENCY = 1 << 47
    RIDE_THROUGH = 1 << 48
    CESSATION = 1 << 49
    RESTORE = 1 << 50
    MAY_TRIP = 1 << 51
    SITE_IMPORT = 1 << 52
    SITE_EXPORT = 1 << 53
    SITE_FUSE = 1 << 54
    P_HELD = 1 << 55
    P_STALE = 1 << 56
    P_LOST = 1 << 57
    OVERWRITTEN = 1 << 58
    POWER_MISMATCH = 1 << 59
    DEPARTURE = 1 << 60


REASON_TEXT: dict[Reason, str] = {
    Reason.DROOP: "frequency is outside the dead band: droop answers",
    Reason.DROOP_WAITING: "frequency has just left the dead band: waiting for a second meter refresh",
    Reason.DROOP_LIMITED: "the droop answer is cut by a hard limit",
    Reason.VOLT_VAR: "voltage is outside the volt-var dead band",
    Reason.F_HELD: "frequency is late: the droop answer is frozen",
    Reason.F_STALE: "frequency is stale: the droop answer ramps to 0",
    Reason.F_LOST: "frequency is lost",
    Reason.F_INVALID: "the meter's frequency is absent, not finite or outside 0.8 ... 1.2 of nominal",
    Reason.V_HELD: "voltage is late: Q and caps are frozen",
    Reason.V_STALE: "voltage is stale: no export, reduced charging, Q to 0",
    Reason.V_LOST: "voltage is lost",
    Reason.V_INVALID: "the meter's voltage is absent, not finite or outside 0 ... 1.5 of nominal",
    Reason.DEVICE_HELD: "the inverter's state is late",
    Reason.DEVICE_STALE: "the inverter's state is stale",
    Reason.DEVICE_LOST: "the inverter is lost: no more writes, its own timer acts",
    Reason.METER_LOST: "the meter is lost: ramping to the safe power",
    Reason.METER_FROZEN: "the meter repeats one answer bit by bit",
    Reason.DEFAULT_WISH: "no fresh wish: the site's default wish is in force",
    Reason.WISH_CLAMPED: "a limit cuts the wish",
    Reason.WISH_REFUSED: "a wish is not finite, reversed, replayed or lives too long",
    Reason.ACTIVE_LIMIT: "the active power limit cuts export",
    Reason.DEVICE_LIMIT: "the inverter's own power limit binds",
    Reason.SOC_LIMIT: "the battery is full, empty or unknown",
    Reason.SESSION: "the car cannot take or give power",
    Reason.APPARENT_POWER: "active power gives way to reactive power (apparent-power circle)",
    Reason.REACTIVE_LIMIT: "reactive power is at its capability",
    Reason.RAMP: "the ramp limit binds",
    Reason.SMALLEST_POWER: "below the inverter's smallest power",
    Reason.REVERSAL_DWELL: "waiting at 0 before the direction turns",
    Reason.NO_PERMIT: "permit service is off",
    Reason.STOP: "stopping: ramping to 0",
    Reason.EMERGENCY_STOP: "emergency stop",
    Reason.NOT_RUNNING: "the inverter is faulty, or not running and connected",
    Reason.LOCAL_CONTROL: "the inverter is under local control",
    Reason.SKIPPED: "grid points were skipped before this step",
    Reason.STARTING: "starting: waiting for the first fresh inputs",
    Reason.VOLT_WATT: "high voltage: the volt-watt ceiling binds",
    Reason.FAST_RESPONSE: "fast frequency response adds power",
    Reason.INERTIA: "inertial response adds power",
    Reason.POWER_FACTOR: "constant power factor asks for reactive power",
    Reason.WATT_VAR: "watt-var asks for reactive power",
    Reason.CONST_VAR: "constant reactive power is asked for",
    Reason.MODE_CHANGE: "crossing over from one reactive mode to another",
    Reason.ENTER_CRITERIA: "enter service: voltage, frequency or permit is not yet good",
    Reason.ENTER_DELAY: "enter service: the delay is running",
    Reason.ENTER_RAMP: "enter service: the ramp binds",
    Reason.TRIP_VOLTAGE: "tripped on voltage",
    Reason.TRIP_FREQUENCY: "tripped on frequency",
    Reason.RIDE_THROUGH: "voltage or frequency is outside continuous operation: riding through",
    Reason.CESSATION: "momentary cessation: no power while the voltage is far off",
    Reason.RESTORE: "voltage is back: output is being restored",
    Reason.MAY_TRIP: "the ride-through duty is fulfilled: a trip would be allowed",
    Reason.SITE_IMPORT: "the import limit of the house connection binds",
    Reason.SITE_EXPORT: "the export limit of the house connection binds",
    Reason.SITE_FUSE: "the main fuse of one phase binds",
    Reason.P_HELD: "the connection meter's power is late: its last load counts",
    Reason.P_STALE: "the connection meter's power is stale: fixed margins of the site",
    Reason.P_LOST: "the connection meter's power is lost",
    Reason.OVERWRITTEN: "the inverter holds a set-point that is not ours: another master writes to it",
    Reason.DEPARTURE: "the car must be ready soon: charging comes before every wish",
    Reason.POWER_MISMATCH: "the measured power does not fit the commanded one: wrong scale, sign or device",
}


def reasons_text(bits: int) -> list[str]:
    """Each set bit as a sentence, in bit order."""
    return [REASON_TEXT[r] for r in Reason if bits & r]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the meter said. valid: MeasurementValid bits; each quantity with the time it was taken (t_p_ns: P, Q, I).

    p1_w ... i3_a: power and current of each phase, for the limits of a house connection.
    """

    t_f_ns: int = 0
    t_v_ns: int = 0
    t_p_ns: int = 0
    valid: int = 0
    f_hz: float = NAN
    v1_v: float = NAN
    v2_v: float = NAN
    v3_v: float = NAN
    p_w: float = NAN
    q_var: float = NAN
    p1_w: float = NAN
    p2_w: float = NAN
    p3_w: float = NAN
    i1_a: float = NAN
    i2_a: float = NAN
    i3_a: float = NAN


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What the inverter said. valid: DeviceValid bits; limits are magnitudes; status: DeviceStatus bits.

    t_ns: when the state was read; t_echo_ns: when the inverter last acknowledged a write.
    """

    t_ns: int = 0
    t_echo_ns: int = 0
    valid: int = 0
    p_w: float = NAN
    q_var: float = NAN
    p_set_readback_w: float = NAN
    p_max_discharge_w: float = NAN
    p_max_charge_w: float = NAN
    p_min_abs_w: float = NAN
    s_max_va: float = NAN
    soc_pu: float = NAN
    session: int = 0
    status: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """A power somebody would like, inside [lo_w, hi_w], for a time. seq rises with every new wish of a source."""

    source: int = 0
    lo_w: float = NAN
    hi_w: float = NAN
    p_w: float = NAN
    q_var: float = NAN
    valid_from_ns: int = 0
    expires_ns: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What the operator of the unit allows. ap_limit_pu: share of rated power, NaN = no order.

    t_depart_ns: when the car must be ready; 0: nobody knows.
    """

    t_ns: int = 0
    permit: int = 1
    stop: int = 0
    ap_limit_pu: float = NAN
    t_depart_ns: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """What goes to the inverter. Past valid_ms the bus thread writes it no more."""

    n: int = 0
    t_ns: int = 0
    p_w: float = 0.0
    q_var: float = 0.0
    mode: int = 0
    valid_ms: int = 0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step: every input, every stage's answer, and why.

    n counts steps without a hole (a skipped grid point is in k, not in n); t_ns is the grid deadline;
    lateness_ns is recorded, never an input. m_* is the Measurement, d_* the DeviceState, o_* the Order, i_* the wish
    that arrived in this step (i_source -1: none; at most one a step), w_* the wish that won (w_source -1: none).
    fresh_*: Freshness. region: Region; trip: Trip bits. dp_target_w is the droop formula's answer, dp_w the same
    after the lag.
    """

    n: int = 0
    t_ns: int = 0
    k: int = 1
    skipped: int = 0  # grid points skipped since the start
    lateness_ns: int = 0
    settings_digest: int = 0
    reasons: int = 0
    state: int = 0
    # inputs
    m_t_f_ns: int = 0
    m_t_v_ns: int = 0
    m_t_p_ns: int = 0
    m_valid: int = 0
    m_f_hz: float = NAN
    m_v1_v: float = NAN
    m_v2_v: float = NAN
    m_v3_v: float = NAN
    m_p_w: float = NAN
    m_q_var: float = NAN
    m_p1_w: float = NAN
    m_p2_w: float = NAN
    m_p3_w: float = NAN
    m_i1_a: float = NAN
    m_i2_a: float = NAN
    m_i3_a: float = NAN
    d_t_ns: int = 0
    d_t_echo_ns: int = 0
    d_valid: int = 0
    d_p_w: float = NAN
    d_q_var: float = NAN
    d_p_set_readback_w: float = NAN
    d_p_max_discharge_w: float = NAN
    d_p_max_charge_w: float = NAN
    d_p_min_abs_w: float = NAN
    d_s_max_va: float = NAN
    d_soc_pu: float = NAN
    d_session: int = 0
    d_status: int = 0
    o_t_ns: int = 0
    o_permit: int = 1
    o_stop: int = 0
    o_ap_limit_pu: float = NAN
    o_t_depart_ns: int = 0
    i_source: int = -1
    i_lo_w: float = NAN
    i_hi_w: float = NAN
    i_p_w: float = NAN
    i_q_var: float = NAN
    i_valid_from_ns: int = 0
    i_expires_ns: int = 0
    i_seq: int = 0
    # 1 fresh
    age_f_ns: int = 0
    age_v_ns: int = 0
    age_p_ns: int = 0
    age_d_ns: int = 0
    fresh_f: int = 0
    fresh_v: int = 0
    fresh_p: int = 0
    fresh_d: int = 0
    f_hz: float = NAN
    rocof_hz_s: float = NAN
    v_pu: float = NAN  # mean of the phases: volt-var and volt-watt
    v_lo_pu: float = NAN  # worst phases: trip, ride-through, enter service
    v_hi_pu: float = NAN
    # 2 state
    region: int = 0
    trip: int = 0
    disturbances: int = 0
    es_left_ns: int = 0  # of the enter-service delay
    es_pu: float = 1.0  # enter-service ramp: |P| at most this share of p_rated_w
    restore_pu: float = 1.0  # share of P and Q that cessation and restore let through
    # 3 power wish
    w_source: int = -1
    w_seq: int = 0
    w_p_w: float = NAN
    p_lo_w: float = NAN  # hard limits
    p_hi_w: float = NAN
    vw_hi_w: float = NAN  # volt-watt ceiling in force; NAN: none
    site_lo_w: float = NAN  # what the house connection leaves; NAN: no limits there
    site_hi_w: float = NAN
    p_wish_w: float = NAN  # after the nested clamp
    # 4 frequency
    p_pre_w: float = NAN
    dp_target_w: float = 0.0
    dp_w: float = 0.0
    dp_fast_w: float = 0.0  # fast response and inertia
    p_freq_w: float = NAN
    # 5 voltage
    q_mode: int = 0  # settings.MODES
    v_ref_pu: float = 1.0
    q_target_var: float = 0.0
    q_lag_var: float = 0.0
    # 6 limits, 7 command
    p_cmd_w: float = 0.0
    q_cmd_var: float = 0.0
    mode: int = 0
    valid_ms: int = 0


RECORDS: tuple[type[Any], ...] = (Measurement, DeviceState, Wish, Order, Command, StepRecord)


_KINDS: dict[type[Any], str] = {}  # asked for in every step of Core.step


def kinds(record: type[Any]) -> str:
    """One letter a field, `q` (int64) or `d` (double): the struct module's format, and the layout's name."""
    if record not in _KINDS:
        _KINDS[record] = "".join("d" if f.type in (float, "float") else "q" for f in fields(record))
    return _KINDS[record]


def layout_hash() -> int:
    """63 bits that change whenever a record's fields, their order or their types do."""
    text = ";".join(f"{r.__name__}:{','.join(f.name for f in fields(r))}:{kinds(r)}" for r in RECORDS)
    return int.from_bytes(sha256(text.encode()).digest()[:8], "little") >> 1
