"""Stage 1, fresh: which reading counts, how old it is, and the exact ages at which it is held, stale and lost.

T = 0.2 s of the meter and 0.5 s of the inverter: fresh up to 2 T = 0.4 s and 1.0 s, held up to max(5 T, 1 s) = 1.0 s
and 2.5 s, stale up to 10 s, then lost. A meter's age includes half its refresh, 0.05 s.
"""

from __future__ import annotations

from typing import Any

import pytest

from cython_core.records import NAN, Freshness, MeasurementValid, Reason, StepRecord
from cython_core.settings import ages_s
from tests.cython_core.unit import Unit, reasons, running

INF = float("inf")
FRESH, HELD, STALE, LOST = Freshness
F_BITS = Reason.F_HELD | Reason.F_STALE | Reason.F_LOST
V_BITS = Reason.V_HELD | Reason.V_STALE | Reason.V_LOST
D_BITS = Reason.DEVICE_HELD | Reason.DEVICE_STALE | Reason.DEVICE_LOST

# fmt: off
METER_AGES = [
    # silent_s  freshness  f bits           v bits           whole meter         why: age = silent + 0.05 s
    (0.00,      FRESH,     0,               0,               0,                  "this step's reading is 0.05 s old"),
    (0.35,      FRESH,     0,               0,               0,                  "0.40 s is still 2 T"),
    (0.36,      HELD,      Reason.F_HELD,   Reason.V_HELD,   0,                  "0.41 s"),
    (0.95,      HELD,      Reason.F_HELD,   Reason.V_HELD,   0,                  "1.00 s is still held"),
    (0.96,      STALE,     Reason.F_STALE,  Reason.V_STALE,  0,                  "1.01 s"),
    (9.95,      STALE,     Reason.F_STALE,  Reason.V_STALE,  0,                  "10.00 s is still stale"),
    (9.96,      LOST,      Reason.F_LOST,   Reason.V_LOST,   Reason.METER_LOST,  "10.01 s: f and V both lost"),
]
INVERTER_AGES = [
    # silent_s  freshness  bits                  why
    (1.00,      FRESH,     0,                    "2 T"),
    (1.01,      HELD,      Reason.DEVICE_HELD,   "above 2 T"),
    (2.50,      HELD,      Reason.DEVICE_HELD,   "5 T"),
    (2.51,      STALE,     Reason.DEVICE_STALE,  "above 5 T"),
    (10.00,     STALE,     Reason.DEVICE_STALE,  "lost_after"),
    (10.01,     LOST,      Reason.DEVICE_LOST,   "above lost_after"),
]
THRESHOLDS = [
    # t_s   lost_after_s  fresh  held  lost   why
    (0.2,   10.0,         0.4,   1.0,  10.0,  "held lasts at least 1 s"),
    (0.5,   10.0,         1.0,   2.5,  10.0,  "5 T above 1 s"),
    (0.01,  10.0,         0.02,  1.0,  10.0,  "a fast meter is judged faster"),
    (3.0,   10.0,         6.0,   15.0, 15.0,  "lost never comes before held"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "lost_s", "fresh", "held", "lost", "why"), THRESHOLDS, ids=[c[-1] for c in THRESHOLDS])
def test_thresholds(t_s: float, lost_s: float, fresh: float, held: float, lost: float, why: str) -> None:
    assert ages_s(t_s, lost_s) == (fresh, held, lost), why


@pytest.mark.parametrize(
    ("silent_s", "fresh", "f_bits", "v_bits", "meter", "why"), METER_AGES, ids=[c[-1] for c in METER_AGES]
)
def test_ages_of_the_meter(silent_s: float, fresh: Freshness, f_bits: int, v_bits: int, meter: int, why: str) -> None:
    unit = running(2000.0)
    record = unit.advance(silent_s, silence="meter") if silent_s else unit.last
    assert (record.fresh_f, record.fresh_v, record.fresh_p) == (fresh, fresh, LOST), why  # this meter has no P
    assert reasons(record) & (F_BITS | V_BITS | Reason.METER_LOST) == f_bits | v_bits | meter
    assert record.age_f_ns == record.age_v_ns == round((silent_s + 0.05) * 1e9)
    assert (record.f_hz, record.v_pu) == (60.0, 1.0)  # the last good value stays


def test_one_nanosecond_above_two_periods_is_held() -> None:
    unit = running(2000.0)
    assert unit.step(meter_late_ns=350_000_000).fresh_f == FRESH
    unit.advance(0.5, meter_late_ns=0)
    assert unit.step(meter_late_ns=350_000_001).fresh_f == FRESH  # older than the reading before it: not taken
    unit = Unit(wish_w=0.0)
    assert unit.step(meter_late_ns=350_000_001).fresh_f == HELD


@pytest.mark.parametrize(("silent_s", "fresh", "bits", "why"), INVERTER_AGES, ids=[c[-1] for c in INVERTER_AGES])
def test_ages_of_the_inverter(silent_s: float, fresh: Freshness, bits: int, why: str) -> None:
    record = running(2000.0).advance(silent_s, silence="inverter")
    assert (record.fresh_d, reasons(record) & D_BITS) == (fresh, bits), why
    assert record.age_d_ns == round(silent_s * 1e9)


def test_a_signal_never_seen_is_lost_and_absent_not_zero() -> None:
    record = Unit().advance(0.01, silence="meter inverter")
    assert (record.fresh_f, record.fresh_v, record.fresh_p, record.fresh_d) == (LOST,) * 4
    assert record.f_hz != record.f_hz  # NaN
    assert record.v_pu != record.v_pu
    assert not reasons(record) & (Reason.F_INVALID | Reason.V_INVALID)  # nothing was said, so nothing was wrong


def test_a_reading_taken_after_the_deadline_has_age_0() -> None:
    """The loop wakes after its deadline and may find a reading that is newer than the step's own time."""
    record = running(0.0).step(meter_late_ns=-3_000_000)
    assert record.age_f_ns == 50_000_000


# fmt: off
FREQUENCY = [
    # f_nom  f_hz      taken  why
    (60.0,   48.0,     True,  "0.80 f_nom is abnormal, not wrong"),
    (60.0,   47.999,   False, "below 0.80 f_nom"),
    (60.0,   47.4,     False, "0.79 f_nom"),
    (60.0,   72.0,     True,  "1.20 f_nom"),
    (60.0,   72.001,   False, "above 1.20 f_nom"),
    (60.0,   72.6,     False, "1.21 f_nom"),
    (50.0,   40.0,     True,  "0.80 of 50 Hz"),
    (50.0,   39.5,     False, "0.79 of 50 Hz"),
    (50.0,   60.0,     True,  "1.20 of 50 Hz"),
    (50.0,   60.5,     False, "1.21 of 50 Hz"),
    (60.0,   0.0,      False, "0"),
    (60.0,   -60.0,    False, "negative"),
    (60.0,   NAN,      False, "not a number"),
    (60.0,   INF,      False, "infinite"),
    (60.0,   -INF,     False, "minus infinite"),
]
VOLTAGE = [
    # v_v       v_pu     why
    ((230.0,),  1.0,     "nominal"),
    ((0.0,),    0.0,     "0 V is a voltage"),
    ((345.0,),  1.5,     "1.50 V_nom"),
    ((345.1,),  None,    "above 1.50 V_nom"),
    ((347.3,),  None,    "1.51 V_nom"),
    ((-0.1,),   None,    "negative"),
    ((INF,),    None,    "infinite"),
    ((207.0, 230.0, 253.0), 1.0, "three phases: their mean"),
    ((218.5, 241.5),        1.0, "two legs: their mean"),
]
# fmt: on


@pytest.mark.parametrize(("f_nom_hz", "f_hz", "taken", "why"), FREQUENCY, ids=[c[-1] for c in FREQUENCY])
def test_which_frequency_counts(f_nom_hz: float, f_hz: float, taken: bool, why: str) -> None:
    unit = running(0.0, rating={"f_nom_hz": f_nom_hz}) if f_nom_hz == 60.0 else Unit(rating={"f_nom_hz": f_nom_hz})
    unit.advance(0.1, f_hz=f_nom_hz)
    record = unit.step(f_hz=f_hz)
    assert bool(reasons(record) & Reason.F_INVALID) == (not taken), why
    assert record.f_hz == (f_hz if taken else f_nom_hz)
    assert record.age_f_ns == (50_000_000 if taken else 60_000_000)  # an invalid reading is no reading: the age grows
    assert not reasons(record) & Reason.V_INVALID  # and the voltage beside it is good


@pytest.mark.parametrize(("v_v", "v_pu", "why"), VOLTAGE, ids=[c[-1] for c in VOLTAGE])
def test_which_voltage_counts(v_v: tuple[float, ...], v_pu: float | None, why: str) -> None:
    unit = Unit()
    unit.advance(0.1)
    record = unit.step(v_v=v_v)
    assert bool(reasons(record) & Reason.V_INVALID) == (v_pu is None), why
    assert record.v_pu == pytest.approx(1.0 if v_pu is None else v_pu)
    assert record.age_v_ns == (60_000_000 if v_pu is None else 50_000_000)
    assert not reasons(record) & Reason.F_INVALID


def test_an_absent_bit_counts_as_no_reading_whatever_the_number() -> None:
    record = running(0.0).step(meter_hidden=MeasurementValid.F)
    assert reasons(record) & Reason.F_INVALID
    assert not reasons(record) & Reason.V_INVALID
    record = running(0.0).step(meter_hidden=MeasurementValid.V1)
    assert reasons(record) & Reason.V_INVALID
    assert not reasons(record) & Reason.F_INVALID


# fmt: off
VANISHES = [
    # before                  after                    valid  why
    ((230.0, 230.0, 230.0),   (230.0, 230.0, NAN),     False, "L3 of three vanishes: the mean of two would hide it"),
    ((230.0, 230.0, 230.0),   (230.0, 400.0, 230.0),   False, "L2 out of range"),
    ((230.0, 230.0, 230.0),   (230.0, 0.0, 230.0),     True,  "L2 at 0 V is measured: the mean falls to 0.667"),
    ((230.0,),                (230.0, 230.0),          True,  "a phase appears: known from now on"),
]
# fmt: on


@pytest.mark.parametrize(("before", "after", "valid", "why"), VANISHES, ids=[c[-1] for c in VANISHES])
def test_a_phase_that_vanishes(before: tuple[float, ...], after: tuple[float, ...], valid: bool, why: str) -> None:
    unit = running(0.0)
    unit.core, unit.t_ns = Unit().core, unit.t_ns  # a core that has seen no phase yet
    unit.advance(0.1, v_v=before)
    record = unit.advance(0.4, v_v=after)
    assert bool(reasons(record) & Reason.V_INVALID) == (not valid), why
    assert record.fresh_v == (FRESH if valid else HELD)
    assert record.fresh_f == FRESH
    if valid:
        assert record.v_pu == pytest.approx(sum(after) / len(after) / 230.0)


def test_the_phase_comes_back() -> None:
    unit = Unit()
    unit.advance(0.1, v_v=(230.0, 230.0, 230.0))
    assert unit.advance(2.0, v_v=(230.0, 230.0, NAN)).fresh_v == STALE
    record = unit.step(v_v=(230.0, 230.0, 253.0))
    assert record.fresh_v == FRESH
    assert record.v_pu == pytest.approx(713.0 / 690.0)


# --- rate of change of frequency, from the times of the readings ---


def test_rocof_is_averaged_over_at_least_a_tenth_of_a_second() -> None:
    unit = Unit()
    for i in range(21):  # 0.02 Hz each 10 ms: 2 Hz/s
        record = unit.step(f_hz=60.0 + 0.02 * i)
    assert record.rocof_hz_s == pytest.approx(2.0)
    first = next(r for r in unit.records if r.rocof_hz_s != 0.0)
    assert first.n == 10  # 11 readings span 0.1 s


def test_rocof_of_a_meter_that_refreshes_slowly_is_no_row_of_peaks() -> None:
    """0.2 Hz/s down, a new value every 0.5 s, read every 10 ms: 0.1 Hz in 0.5 s, not in 0.1 s."""
    unit = Unit(freq_droop={"enable": False, "refresh_s": 0.5})
    for refresh in range(8):
        unit.advance(0.5, f_hz=60.0 - 0.1 * refresh)
    assert {round(r.rocof_hz_s, 6) for r in unit.records[100:]} == {-0.2}


def test_a_skipped_grid_point_does_not_change_the_rocof() -> None:
    unit = Unit()
    unit.step()
    record = unit.step(k=20, f_hz=59.8)  # 0.2 Hz lower after 0.2 s
    assert record.rocof_hz_s == pytest.approx(-1.0)


# --- a meter that repeats one answer ---


def frozen_after(seconds: float, **inputs: Any) -> tuple[StepRecord, Unit]:
    unit = running(2000.0, fail_safe={"frozen_after_s": 5.0})
    unit.step(f_hz=59.999, **inputs)  # the last change
    return unit.advance(seconds, **inputs), unit


# fmt: off
FROZEN = [
    # seconds  inputs                               frozen  why
    (5.00,     {"meter_q_var": 10.0},               False,  "5 s of identical answers"),
    (5.01,     {"meter_q_var": 10.0},               True,   "longer than 5 s"),
    (5.01,     {},                                  True,   "a meter without P and Q: absent is no change"),
    (5.01,     {"v_v": (230.0, 230.0, 230.0)},      True,   "three phases"),
]
MOVES = [
    # what moves                                  why
    ({"f_hz": 59.998},                            "frequency"),
    ({"v_v": (230.1, 230.0, 230.0)},              "L1"),
    ({"v_v": (230.0, 230.1, 230.0)},              "L2"),
    ({"v_v": (230.0, 230.0, 230.1)},              "L3"),
    ({"meter_p_w": 2001.0},                       "P"),
    ({"meter_q_var": 11.0},                       "Q"),
]
# fmt: on


@pytest.mark.parametrize(("seconds", "inputs", "frozen", "why"), FROZEN, ids=[c[-1] for c in FROZEN])
def test_a_frozen_meter(seconds: float, inputs: dict[str, Any], frozen: bool, why: str) -> None:
    record, _ = frozen_after(seconds, **inputs)
    assert bool(reasons(record) & Reason.METER_FROZEN) == frozen, why


@pytest.mark.parametrize(("moves", "why"), MOVES, ids=[c[-1] for c in MOVES])
def test_any_value_that_moves_shows_a_living_meter(moves: dict[str, Any], why: str) -> None:
    _, unit = frozen_after(3.0, v_v=(230.0, 230.0, 230.0), meter_p_w=2000.0, meter_q_var=10.0)
    unit.step(**moves)
    assert not reasons(unit.advance(4.0)) & Reason.METER_FROZEN, why


def test_a_frozen_meter_grows_old_and_comes_back_with_its_next_new_answer() -> None:
    record, unit = frozen_after(7.0)
    assert (record.fresh_f, record.fresh_v) == (STALE, STALE)  # 7 s - 5 s + 0.05 s
    record = unit.step(f_hz=60.001)
    assert (record.fresh_f, record.f_hz, reasons(record) & Reason.METER_FROZEN) == (FRESH, 60.001, 0)


def test_a_meter_of_coarse_resolution_is_never_frozen() -> None:
    record = running(2000.0).advance(30.0)  # frozen_after_s = 0: off
    assert (record.fresh_f, reasons(record) & Reason.METER_FROZEN) == (FRESH, 0)
