"""The edges that mutants found unwatched: exact reasons, equal times, exact thresholds, what is dropped with an event.

A row of REASONS is what the record says and nothing else: a bit too many is as wrong as one too few.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from cython_core.records import NAN, DeviceStatus, Mode, Order, Reason, Session, State, StepRecord, Stop, WishSource
from tests.cython_core.unit import QUICK, Unit, reasons, running, settings

S = 10**9
VV = {"v1_pu": 0.90, "v2_pu": 0.98, "v3_pu": 1.02, "v4_pu": 1.10, "olrt_s": 1.0}
UP = DeviceStatus.RUNNING | DeviceStatus.CONNECTED
LOCAL, FAULT, ALARM = DeviceStatus.LOCAL, DeviceStatus.FAULT, DeviceStatus.ALARM
UNPLUGGED, EMERGENCY = Session.UNPLUGGED, Stop.EMERGENCY
R = Reason
CLAMPED = Reason.WISH_CLAMPED
SMALL = {"limits": {"p_min_abs_w": 1000.0}}

# fmt: off
REASONS = [
    # wish_w   settings           changed                          reasons after 6 s              why
    (5000.0,   {},                {},                              0,                             "nothing binds"),
    (0.0,      {},                {},                              0,                             "nor at rest"),
    (12000.0,  {},                {},                              CLAMPED,                       "above the rating"),
    (5000.0,   {},                {"ap_limit": 0.4},               CLAMPED | R.ACTIVE_LIMIT,      "an order of 40 %"),
    (5000.0,   {},                {"ap_limit": 0.5},               R.ACTIVE_LIMIT,                "of just its power"),
    (5000.0,   {},                {"ap_limit": 1.0},               0,                             "of 100 %: no order"),
    (5000.0,   {},                {"stop": Stop.RAMP},             CLAMPED | R.STOP,              "stop"),
    (5000.0,   {},                {"stop": EMERGENCY},             CLAMPED | R.EMERGENCY_STOP,    "emergency stop"),
    (5000.0,   {},                {"permit": 0},                   R.NO_PERMIT,                   "no wish is asked"),
    (5000.0,   {},                {"session": UNPLUGGED},          CLAMPED | R.SESSION,           "no car"),
    (5000.0,   {},                {"soc": 0.2},                    CLAMPED | R.SOC_LIMIT,         "empty"),
    (-5000.0,  {},                {"soc": 0.95},                   CLAMPED | R.SOC_LIMIT,         "full"),
    (5000.0,   {},                {"f_hz": 60.336},                R.DROOP,                       "an event"),
    (0.0,      {"volt_var": VV},  {"v_v": (241.5,)},               R.VOLT_VAR,                    "Q"),
    (500.0,    SMALL,             {},                              R.SMALLEST_POWER,              "below 1000 W"),
    (1500.0,   SMALL,             {},                              0,                             "above it"),
    (5000.0,   {},                {"said": {"s_max_va": 3000.0}},  R.APPARENT_POWER,              "a small circle"),
    (5000.0,   {},                {"status": UP | LOCAL},          R.LOCAL_CONTROL | R.STARTING,  "somebody else's"),
    (5000.0,   {},                {"status": UP | FAULT},          R.NOT_RUNNING | R.STARTING,    "a fault"),
    (5000.0,   {},                {"status": UP | ALARM},          0,                             "an alarm is none"),
    (5000.0,   {},                {"f_hz": NAN},                   R.F_STALE | R.F_INVALID,       "no f"),
    (-1000.0,  {},                {"v_v": (NAN,)},                 R.V_STALE | R.V_INVALID,       "no V"),
]
# fmt: on


@pytest.mark.parametrize(("wish_w", "groups", "changed", "bits", "why"), REASONS, ids=[c[-1] for c in REASONS])
def test_these_reasons_and_no_other(
    wish_w: float, groups: dict[str, Any], changed: dict[str, Any], bits: int, why: str
) -> None:
    unit = running(wish_w, **groups)
    assert reasons(unit.advance(6.0, **changed)) == bits, why


# --- the inverter's own limits: named while more is asked for than it can, and what it can is commanded ---

CAN_OUT, CAN_IN = "p_max_discharge_w", "p_max_charge_w"
# fmt: off
DEVICE = [
    # wish_w   f_hz   said                                p_w       named   why
    (5000.0,   60.0,  {CAN_OUT: 3000.0},                  3000.0,   True,   "asked for more"),
    (3000.0,   60.0,  {CAN_OUT: 3000.0},                  3000.0,   False,  "asked for just that"),
    (5000.0,   60.0,  {CAN_OUT: 0.0},                     0.0,      True,   "it can give nothing"),
    (5000.0,   60.0,  {CAN_OUT: -5.0},                    0.0,      True,   "less than nothing is nothing"),
    (-5000.0,  60.0,  {CAN_OUT: 0.0},                     -5000.0,  False,  "the other direction is not meant"),
    (-5000.0,  60.0,  {CAN_IN: 3000.0},                   -3000.0,  True,   "charging: asked for more"),
    (-3000.0,  60.0,  {CAN_IN: 3000.0},                   -3000.0,  False,  "charging: just that"),
    (-5000.0,  60.0,  {CAN_IN: 0.0},                      0.0,      True,   "it can take nothing"),
    (-5000.0,  60.0,  {CAN_IN: -5.0},                     0.0,      True,   "less than nothing is nothing"),
    (-5000.0,  60.0,  {CAN_IN: 3000.0, CAN_OUT: 1000.0},  -3000.0,  True,   "each its own"),
    (2500.0,   59.0,  {CAN_OUT: 3000.0},                  3000.0,   True,   "droop asks for 2500 + 3213 W"),
    (2500.0,   60.0,  {CAN_OUT: 3000.0},                  2500.0,   False,  "without it for 2500 W"),
    (-2500.0,  61.0,  {CAN_IN: 3000.0},                   -3000.0,  True,   "droop asks for -2500 - 3213 W"),
]
# fmt: on


@pytest.mark.parametrize(("wish_w", "f_hz", "said", "p_w", "limited", "why"), DEVICE, ids=[c[-1] for c in DEVICE])
def test_the_inverters_own_limit_is_named(
    wish_w: float, f_hz: float, said: dict[str, float], p_w: float, limited: bool, why: str
) -> None:
    record = running(wish_w).coast(30.0, f_hz=f_hz, said=said)
    assert record.p_cmd_w == pytest.approx(p_w, abs=0.1), why
    assert bool(reasons(record) & Reason.DEVICE_LIMIT) == limited


@pytest.mark.parametrize(
    ("wish_w", "said", "why"),
    [
        (5000.0, {CAN_OUT: 3000.0}, "discharging: a stop binds harder"),
        (-5000.0, {CAN_IN: 3000.0}, "charging: the same"),
    ],
)
def test_a_limit_that_does_not_bind_is_not_named(wish_w: float, said: dict[str, float], why: str) -> None:
    record = running(wish_w).advance(6.0, said=said, stop=Stop.RAMP)
    assert record.p_cmd_w == 0.0
    assert not reasons(record) & Reason.DEVICE_LIMIT, why


# --- wishes ---


def wished(**more: Any) -> tuple[Unit, StepRecord]:
    unit = running(1000.0)
    unit.wish(1000.0, **more)
    return unit, unit.step()


def test_a_wish_that_is_taken_sets_no_bit_and_a_refused_one_its_own_only() -> None:
    assert reasons(wished()[1]) == 0
    assert reasons(wished(seq=1)[1]) == Reason.WISH_REFUSED


def test_a_wish_that_ends_where_it_begins_is_refused_even_in_the_future() -> None:
    start_ns = running(1000.0).t_ns
    _, record = wished(valid_from_ns=start_ns + S, expires_ns=start_ns + S)
    assert reasons(record) == Reason.WISH_REFUSED


def test_the_default_wish_has_no_source_and_no_number() -> None:
    unit = Unit(limits=QUICK)
    unit.wish(1000.0, seq=7, source=WishSource.OPERATOR, expires_ns=unit.t_ns + S)
    assert (unit.step().w_source, unit.last.w_seq) == (WishSource.OPERATOR, 7)
    record = unit.advance(2.0)
    assert (record.w_source, record.w_seq, record.w_p_w) == (-1, 0, -1400.0)


def test_the_default_wish_charges_again_at_its_threshold_itself() -> None:
    unit = Unit(limits={**QUICK, "soc_band_pu": 0.125}, default_wish={"soc_target_pu": 0.75})
    assert unit.coast(12.0, soc=0.75).p_cmd_w == 0.0
    assert unit.coast(2.0, soc=0.626).p_cmd_w == 0.0
    assert unit.coast(2.0, soc=0.625).p_cmd_w == -1400.0  # 0.75 - 0.125, exact in binary


# --- readings ---


# fmt: off
TIMES = [
    # time since the reading before, s; 0: none was taken
    # of f     of V     of P     taken    why: a meter answers each quantity in its own time
    (0.01,     0.01,    0.01,    "fVP",   "all are new"),
    (0.01,     None,    None,    "f",     "f alone was measured"),
    (None,     0.01,    None,    "V",     "V alone"),
    (None,     None,    0.01,    "P",     "P alone"),
    (0.0,      0.01,    0.01,    "VP",    "f has the time of the one before: it is the one before"),
    (0.01,     0.0,     0.01,    "fP",    "V has"),
    (0.01,     0.01,    0.0,     "fV",    "P has"),
    (-0.5,     0.01,    0.01,    "VP",    "f is older than the one before: a late answer"),
    (0.01,     -0.5,    0.01,    "fP",    "V is older"),
    (0.01,     0.01,    -0.5,    "fV",    "P is older"),
    (0.0,      0.0,     0.0,     "",      "nothing is new"),
]
# fmt: on


@pytest.mark.parametrize(("f_s", "v_s", "p_s", "taken", "why"), TIMES, ids=[c[-1] for c in TIMES])
def test_each_quantity_counts_by_its_own_time(
    f_s: float | None, v_s: float | None, p_s: float | None, taken: str, why: str
) -> None:
    unit = running(0.0)
    before = unit.step(meter_p_w=0.0)
    ages = (before.age_f_ns, before.age_v_ns, before.age_p_ns)
    times = [0 if s is None else before.t_ns + round(s * S) for s in (f_s, v_s, p_s)]
    meter = replace(unit.measured(), t_f_ns=times[0], t_v_ns=times[1], t_p_ns=times[2], f_hz=61.0, v1_v=253.0)
    record = unit.core.step(unit.t_ns, meter, unit.device_said(), Order(t_ns=unit.t_ns, permit=1))
    assert record.f_hz == (61.0 if "f" in taken else 60.0), why
    assert record.v_pu == pytest.approx(1.1 if "V" in taken else 1.0)
    now = (record.age_f_ns, record.age_v_ns, record.age_p_ns)
    grown = [age - old for age, old in zip(now, ages, strict=True)]
    assert grown == [0 if quantity in taken else unit.period_ns for quantity in "fVP"]
    assert not reasons(record) & (R.F_INVALID | R.V_INVALID)


def test_a_quantity_is_compared_with_its_own_last_time_only() -> None:
    unit = running(0.0)
    order = Order(t_ns=unit.t_ns, permit=1)
    late = replace(unit.measured(), t_f_ns=0, t_p_ns=0, v1_v=253.0)
    assert unit.core.step(unit.t_ns, late, unit.device_said(), order).v_pu == pytest.approx(1.1)
    between = replace(late, t_f_ns=unit.t_ns - 5_000_000, t_v_ns=0, f_hz=61.0)  # newer than f, older than V
    record = unit.core.step(unit.t_ns + unit.period_ns, between, unit.device_said(), order)
    assert (record.f_hz, record.v_pu) == pytest.approx((61.0, 1.1))


@pytest.mark.parametrize("v_v", list(permutations((207.0, 230.0, 253.0))))
def test_worst_phases_and_mean_whatever_their_order(v_v: tuple[float, ...]) -> None:
    record = running(0.0).step(v_v=v_v)
    assert (record.v_lo_pu, record.v_pu, record.v_hi_pu) == pytest.approx((0.9, 1.0, 1.1))


def test_one_phase_is_its_own_worst() -> None:
    record = running(0.0).step(v_v=(207.0,))
    assert (record.v_lo_pu, record.v_pu, record.v_hi_pu) == pytest.approx((0.9, 0.9, 0.9))


def test_what_was_never_seen_is_older_than_anything() -> None:
    record = Unit().advance(0.01, silence="meter inverter")
    assert (record.age_f_ns, record.age_v_ns, record.age_p_ns, record.age_d_ns) == (2**62 - 1,) * 4


# --- what is dropped with an event ---


def test_stale_frequency_ends_the_event_and_the_wish_goes_on() -> None:
    unit = running(2000.0)
    unit.coast(30.0, f_hz=60.336)
    assert reasons(unit.last) & Reason.DROOP
    unit.advance(3.0, f_hz=NAN)
    unit.wish(3000.0)
    record = unit.advance(1.0)
    assert (record.p_pre_w, record.dp_w, record.dp_target_w, record.p_cmd_w) == (3000.0, 0.0, 0.0, 3000.0)
    assert reasons(record) == Reason.F_STALE | Reason.F_INVALID


def test_the_wait_ends_with_the_event_it_waited_for() -> None:
    unit = running(2000.0)
    assert reasons(unit.step(f_hz=60.336)) == R.DROOP_WAITING
    while reasons(unit.last) == R.DROOP_WAITING:
        unit.step()
    assert reasons(unit.last) == R.DROOP  # one or the other


def test_stale_frequency_ends_the_wait_too() -> None:
    unit = running(2000.0, freq_droop={"refresh_s": 5.0, "t_response_s": 10.0})
    assert reasons(unit.step(f_hz=60.336)) == R.DROOP_WAITING
    assert reasons(unit.advance(3.0, f_hz=NAN)) == R.F_STALE | R.F_INVALID


def test_the_answer_follows_frequency_during_the_event() -> None:
    unit = running(2000.0)
    assert unit.coast(40.0, f_hz=60.336).dp_target_w == pytest.approx(-1000.0)
    record = unit.coast(40.0, f_hz=60.186)
    assert (record.dp_target_w, record.dp_w) == pytest.approx((-500.0, -500.0), abs=0.1)
    assert record.p_pre_w == 2000.0


def test_stale_voltage_ends_volt_var_and_says_so() -> None:
    unit = running(-1000.0, volt_var=VV)
    unit.coast(10.0, v_v=(241.5,))
    assert unit.last.q_target_var == pytest.approx(-1650.0)
    record = unit.advance(3.0, v_v=(NAN,))
    assert (record.q_target_var, record.q_lag_var, record.q_cmd_var) == (0.0, 0.0, 0.0)
    assert reasons(record) == Reason.V_STALE | Reason.V_INVALID


# --- a lost meter ---


@pytest.mark.parametrize("safe_p_w", [-2000.0, 2000.0])
def test_a_safe_power_on_the_other_side_of_0_is_reached_by_the_ramp(safe_p_w: float) -> None:
    """Both ends of what is permitted go there; stale voltage has brought P to 0 or to little charging by then."""
    unit = running(-safe_p_w, fail_safe={"safe_p_w": safe_p_w})
    start = len(unit.records)
    record = unit.advance(20.0, silence="meter")
    assert (record.p_lo_w, record.p_hi_w, record.p_cmd_w) == pytest.approx((safe_p_w,) * 3)
    assert (record.mode, record.state) == (Mode.SAFE, State.DEGRADED)
    assert unit.largest_step_w(since=start) <= 20.0 + 1e-6


# --- found at some power ---

# fmt: off
FOUND = [
    # delivers  asked for   s until it flows   why: 10 s at 0 before the direction turns
    (3000.0,    3000.0,     0.0,               "it goes on"),
    (-3000.0,   -3000.0,    0.0,               "charging: it goes on"),
    (3000.0,    -3000.0,    10.0,              "it turns: waits at 0"),
    (-3000.0,   3000.0,     10.0,              "charging: the same"),
    (0.5,       -3000.0,    10.0,              "half a watt is a direction"),
    (0.0,       3000.0,     0.0,               "0 is none"),
    (0.0,       -3000.0,    0.0,               "0 is none, charging"),
]
# fmt: on


@pytest.mark.parametrize(("found_w", "wish_w", "wait_s", "why"), FOUND, ids=[c[-1] for c in FOUND])
def test_a_direction_the_unit_is_found_in_is_its_direction(
    found_w: float, wish_w: float, wait_s: float, why: str
) -> None:
    unit = Unit(wish_w=wish_w, limits={**QUICK, "reverse_dwell_s": 10.0})
    unit.device_p_w = found_w
    record = unit.advance(9.9)
    assert record.p_cmd_w == (0.0 if wait_s else wish_w), why
    assert bool(reasons(record) & R.REVERSAL_DWELL) == (wait_s > 0.0)
    assert unit.advance(2.0).p_cmd_w == wish_w


# --- the ramped span: a target on the other side of 0 ---


@pytest.mark.parametrize(("found_w", "safe_w", "then_w"), [(-2000.0, 3000.0, -500.0), (2000.0, -500.0, 3000.0)])
def test_a_target_across_0_drags_the_far_edge_along(found_w: float, safe_w: float, then_w: float) -> None:
    """A reversal waits at 0 while the span stands at safe_w; a safe power on the other side starts there, by ramp."""

    def with_safe(safe_p_w: float) -> dict[str, Any]:
        return {"limits": {"reverse_dwell_s": 60.0}, "fail_safe": {"safe_p_w": safe_p_w, "lost_after_s": 1.0}}

    unit = running(found_w, **with_safe(safe_w))
    waiting = unit.advance(8.0, silence="meter")
    assert (waiting.p_cmd_w, waiting.p_lo_w, waiting.p_hi_w) == (0.0, safe_w, safe_w)
    unit.core.change(settings(**with_safe(then_w)))
    for steps in (1.0, 2.0, 3.0):
        p_w = math.copysign(20.0 * steps, then_w)
        record = unit.advance(0.01, silence="meter")
        assert (record.p_lo_w, record.p_hi_w, record.p_cmd_w) == (p_w, p_w, p_w)


# --- the house connection ---

HOUSE = {"enable": True, "import_w": 5000.0, "blind_charge_w": 900.0}


def test_limits_switched_off_limit_nothing_though_the_house_was_read_before() -> None:
    unit = running(-8000.0, site_limits=HOUSE, limits={"ramp_pu_s": 10.0})
    unit.change(meter_p_w=-2000.0)
    assert unit.advance(1.0).site_lo_w == unit.last.site_lo_w
    unit.core.change(settings(limits={"ramp_pu_s": 10.0}))
    record = unit.advance(1.0)
    assert (record.p_lo_w, record.p_cmd_w) == (-8000.0, -8000.0)
    assert record.site_lo_w != record.site_lo_w


def test_a_connection_meter_without_phase_powers_still_limits_the_whole() -> None:
    """5000 W less 2000 W of load less 200 W of margin; the record says so."""
    unit = running(0.0, site_limits=HOUSE, limits={"ramp_pu_s": 10.0})
    unit.said["p_w"] = 0.0
    unit.change(meter_p_w=-2000.0)
    record = unit.advance(1.0)
    assert (record.site_lo_w, record.p_lo_w) == (-2800.0, -2800.0)
    assert record.site_hi_w == 1000000.0 + 2000.0 - 200.0


def test_the_fixed_margins_hold_from_stale_on_not_only_from_lost() -> None:
    unit = running(-6000.0, site_limits={**HOUSE, "import_w": 1e6}, limits={"ramp_pu_s": 10.0})
    unit.change(meter_p_w=0.0)
    unit.advance(1.0)
    record = unit.advance(3.0, meter_p_w=float("nan"))
    assert reasons(record) & Reason.P_STALE
    assert record.p_cmd_w == -900.0
