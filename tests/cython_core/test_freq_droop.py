"""Frequency-droop against IEEE 1547-2018 6.5.2.7. Over and under differ on purpose: a swap must show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cython_core.functions.freq_droop import FreqDroop
from cython_core.settings import FreqDroopSettings, Settings


def droop(f_nom_hz: float = 60.0, period_s: float = 0.01, **settings: float | bool) -> FreqDroop:
    """Unequal settings unless said otherwise; two readings one period apart qualify an event."""
    values = {"db_of_hz": 0.04, "k_of": 0.05, "db_uf_hz": 0.02, "k_uf": 0.04, "refresh_s": 0.0, **settings}
    return FreqDroop(Settings.from_mapping({"freq_droop": values, "rating": {"f_nom_hz": f_nom_hz}}), period_s)


def after(unit: FreqDroop, steps: int, f_hz: float, p_now_pu: float) -> float:
    """The power asked for after so many steps at one frequency."""
    p_pu = float("nan")
    for _ in range(steps):
        p_pu = unit.step(f_hz, p_now_pu)
    return p_pu


# fmt: off
FORMULA = [
    # f_hz   change_pu   why
    (60.00,   0.0,       "nominal"),
    (60.04,   0.0,       "the upper edge belongs to the dead band"),
    (59.98,   0.0,       "the lower edge belongs to the dead band"),
    (60.34,  -0.10,      "0.30 Hz over: 0.30 / (60 x 0.05)"),
    (61.54,  -0.50,      "1.50 Hz over: the line has no end of its own"),
    (59.74,   0.10,      "0.24 Hz under: 0.24 / (60 x 0.04)"),
    (57.58,   1.00,      "2.40 Hz under"),
]
STANDARD = [
    # f_hz    change_pu   with the default dead band 0.036 Hz and droop 0.05: (f - 60.036) / 3
    (60.036,   0.0,       "60.036"),
    (60.05,   -0.004667,  "60.05"),
    (60.1,    -0.021333,  "60.1"),
    (60.5,    -0.154667,  "60.5"),
    (61.0,    -0.321333,  "61.0"),
    (59.964,   0.0,       "59.964"),
    (59.95,    0.004667,  "59.95"),
    (59.5,     0.154667,  "59.5"),
    (59.0,     0.321333,  "59.0"),
    (58.5,     0.488,     "58.5"),
]
FIFTY = [
    # f_hz   change_pu   why
    (50.04,   0.0,       "edge"),
    (50.29,  -0.10,      "0.25 / (50 x 0.05)"),
    (49.78,   0.10,      "0.20 / (50 x 0.04)"),
]
# fmt: on


@pytest.mark.parametrize(("f_hz", "change_pu", "why"), FORMULA, ids=[c[-1] for c in FORMULA])
def test_formula(f_hz: float, change_pu: float, why: str) -> None:
    assert droop().formula(f_hz) == pytest.approx(change_pu, abs=1e-9), why


@pytest.mark.parametrize(("f_hz", "change_pu", "why"), STANDARD, ids=[c[-1] for c in STANDARD])
def test_worked_examples_of_the_standard(f_hz: float, change_pu: float, why: str) -> None:
    assert FreqDroop(Settings()).formula(f_hz) == pytest.approx(change_pu, abs=1e-6), why


@pytest.mark.parametrize(("f_hz", "change_pu", "why"), FIFTY, ids=[c[-1] for c in FIFTY])
def test_formula_on_a_50_hz_grid(f_hz: float, change_pu: float, why: str) -> None:
    assert droop(f_nom_hz=50.0).formula(f_hz) == pytest.approx(change_pu, abs=1e-9), why


@given(f_hz=st.floats(45.0, 66.0), more_hz=st.floats(0.0, 5.0))
def test_power_always_opposes_frequency(f_hz: float, more_hz: float) -> None:
    unit = droop()
    assert unit.formula(f_hz) * (f_hz - 60.0) <= 0.0
    assert unit.formula(f_hz + more_hz) <= unit.formula(f_hz)


# --- the answer in time ---

# fmt: off
LAGGED = [
    # t_s after the first reading, p_pu: 0.6 - 0.154667 (1 - 10 ** (-t / 5))   why
    (1.0,   0.542921,   "10 ** -0.2 is left of the change"),
    (2.5,   0.494243,   "10 ** -0.5"),
    (5.0,   0.4608,     "90 % after the open-loop response time"),
    (10.0,  0.446880,   "99 %"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "p_pu", "why"), LAGGED, ids=[c[-1] for c in LAGGED])
def test_step_of_frequency(t_s: float, p_pu: float, why: str) -> None:
    """60 -> 60.5 Hz with the default settings, from 0.6 pu; waiting for the second reading is part of the time."""
    unit = FreqDroop(Settings(freq_droop=FreqDroopSettings(refresh_s=0.1)))
    assert after(unit, 10, 60.5, 0.6) == 0.6
    assert after(unit, round(t_s / 0.01) - 10, 60.5, 0.6) == pytest.approx(p_pu, abs=2e-6), why


def test_k_periods_at_once_are_k_steps() -> None:
    slow, quick = droop(), droop()
    for unit in (slow, quick):
        after(unit, 2, 60.34, 0.5)
    assert quick.step(60.34, 0.5, k=250) == pytest.approx(after(slow, 250, 60.34, 0.5), abs=1e-12)


def test_back_in_the_dead_band_the_answer_fades_with_the_same_lag() -> None:
    unit = droop()
    after(unit, 5000, 60.34, 0.5)  # 50 s: all of the -0.1 pu
    assert after(unit, 500, 60.0, 0.5) == pytest.approx(0.5 - 0.01, abs=1e-6)  # 5 s: a tenth is left
    assert unit.side == 0


def test_switched_off_it_says_nothing() -> None:
    unit = droop(enable=False)
    assert after(unit, 1000, 61.0, 0.5) == 0.5
    assert (unit.side, unit.dp_pu) == (0, 0.0)


# --- the power it starts from ---


def test_reference_is_latched_until_frequency_is_back() -> None:
    unit = droop()
    after(unit, 2, 60.34, 0.5)
    after(unit, 3000, 60.34, -0.3)  # another wish during the event waits
    assert unit.p_pre_pu == 0.5
    assert unit.step(60.0, -0.3) == pytest.approx(-0.3 + unit.dp_pu)  # and is in force after it


def test_crossing_the_dead_band_in_one_step_is_a_new_event() -> None:
    unit = droop()
    after(unit, 1000, 60.34, 0.5)
    assert unit.side == 1
    unit.step(59.74, 0.4)
    assert unit.side == 0  # the old event is over, the new one waits for its second reading
    unit.step(59.74, 0.4)
    assert (unit.side, unit.p_pre_pu) == (-1, 0.4)  # the droop-free wish, never the drooped output
    assert after(unit, 5000, 59.74, 0.4) == pytest.approx(0.5, abs=1e-6)


def test_glitches_do_not_ratchet() -> None:
    """Four excursions of 0.1 s. Latching the output instead of the wish once took 0.155 pu to 0.707 pu."""
    unit = droop(t_response_s=0.2)
    for _ in range(4):
        after(unit, 10, 59.0, 0.155)
        assert unit.p_pre_pu == 0.155
        after(unit, 2, 60.0, 0.155)
    assert after(unit, 1000, 60.0, 0.155) == pytest.approx(0.155, abs=1e-9)


# --- when an excursion is an event; one reading each 10 ms ---

# fmt: off
QUALIFY = [
    # refresh_s  t_response_s  steps  side  why
    (0.0,        5.0,          1,     0,    "one reading is a phase jump until the next one agrees"),
    (0.0,        5.0,          2,     1,    "two readings are an event"),
    (0.1,        5.0,          10,    0,    "0.09 s apart: the same meter refresh read again"),
    (0.1,        5.0,          11,    1,    "0.10 s apart: two refreshes"),
    (5.0,        0.2,          20,    0,    "0.19 s of waiting with a slow meter"),
    (5.0,        0.2,          21,    1,    "never waits longer than the response time"),
]
# fmt: on


@pytest.mark.parametrize(("refresh_s", "t_response_s", "steps", "side", "why"), QUALIFY, ids=[c[-1] for c in QUALIFY])
def test_qualification(refresh_s: float, t_response_s: float, steps: int, side: int, why: str) -> None:
    unit = droop(refresh_s=refresh_s, t_response_s=t_response_s)
    p_pu = after(unit, steps, 60.34, 0.5)
    assert unit.side == side, why
    assert (p_pu < 0.5) == (side != 0)


def test_a_reading_inside_starts_the_count_again() -> None:
    unit = droop()
    for f_hz in (60.34, 60.0, 60.34, 60.0, 60.34):
        assert unit.step(f_hz, 0.5) == 0.5
    assert unit.side == 0


def test_readings_on_two_sides_do_not_add_up() -> None:
    unit = droop()
    for f_hz in (60.34, 59.74, 60.34, 59.74):
        assert unit.step(f_hz, 0.5) == 0.5
    assert unit.side == 0
