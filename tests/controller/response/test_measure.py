"""Times, energies and limits of synthetic runs against a pencil.

The step: 60 -> 59.5 Hz at t = 20 s, droop 0.05, dead band 36 mHz: 0.464 / 3 x 7000 W = 1082.67 W, through 5 s.
The inverter is 0.2 s late, the meter reads every 0.1 s, the core waits for a second reading (0.1 s).
"""

from __future__ import annotations

import numpy as np
import pytest

from controller.response.measure import EventResponse, measure_events
from controller.response.run import RecordsError, prepare
from controller.response.slope import fit_sides
from cython_core.records import Reason
from tests.controller.response.synthetic import Fault, Plant, Trace, info, run, step_to, through

QUIET = Fault(noise_w=0.0)


def measured(plant: Plant) -> tuple[EventResponse, ...]:
    return measure_events(prepare(run(plant), info(plant)))


def test_a_step_of_frequency() -> None:
    (e,) = measured(Plant(step_to(59.5), fault=QUIET))
    assert e.answer_formula_w == pytest.approx(1082.67, abs=0.01)
    assert e.p_pre_w == -1400.0
    assert e.threshold_w == 70.0  # 1 % of 7 kW: there is no noise
    # 70 W of 1082.67 W at 5 s: -5 log10(1 - 70 / 1082.67) = 0.145 s
    assert e.initiate.ideal_s == pytest.approx(0.145, abs=0.011)
    assert e.initiate.value_s == pytest.approx(0.145 + 0.2 + 0.1, abs=0.11)
    assert e.deliver.level_w == pytest.approx(0.9 * 1082.67, abs=0.01)
    assert e.deliver.ideal_s == pytest.approx(5.0, abs=0.011)  # the classical 90 % time
    assert e.deliver.value_s == pytest.approx(5.0 + 0.2 + 0.1, abs=0.11)
    assert e.overshoot_pu == 0.0
    # 40 s of 1082.67 W less the lag's 5 / ln 10 = 2.171 s: 11.377 Wh
    assert e.energy_ideal_wh == pytest.approx(1082.67 * (39.9 - 2.171) / 3600.0, abs=0.02)
    assert e.energy_wh == pytest.approx(1082.67 * (39.9 - 2.171 - 0.3) / 3600.0, abs=0.04)


def test_over_frequency_is_the_mirror() -> None:
    (e,) = measured(Plant(step_to(60.5), fault=QUIET))
    assert e.answer_formula_w == pytest.approx(-1082.67, abs=0.01)
    assert e.answer_measured_w == pytest.approx(-1082.67, abs=0.1)
    assert e.energy_wh < 0.0


# fmt: off
DELAYS = [
    # late_s  delay_s  initiate about   why
    (0.0,     0.2,     0.5,             "as built"),
    (0.0,     1.0,     1.3,             "a slow inverter shows in full"),
    (3.0,     0.2,     3.5,             "a late meter shows in full, though its readings look new"),
]
# fmt: on


@pytest.mark.parametrize(("late_s", "delay_s", "about_s", "why"), DELAYS, ids=[c[3] for c in DELAYS])
def test_every_delay_counts(late_s: float, delay_s: float, about_s: float, why: str) -> None:
    (e,) = measured(Plant(step_to(59.5), fault=Fault(noise_w=0.0, late_s=late_s, delay_s=delay_s)))
    assert e.initiate.value_s == pytest.approx(about_s, abs=0.15)
    assert e.initiate.passed is (about_s < 2.0), why


def test_delivery_looks_at_every_level_the_grid_asked_for() -> None:
    """Two steps, the second larger: 541 W at 20 s, 1083 W at 40 s. The slowest level counts, not the last."""
    two = through({0: 60.0, 19.99: 60.0, 20.0: 59.732, 39.99: 59.732, 40.0: 59.5, 60.0: 59.5})
    (e,) = measured(Plant(two, fault=QUIET))
    assert e.deliver.ideal_s == pytest.approx(5.0, abs=0.12)


def test_noise_raises_the_threshold() -> None:
    (e,) = measured(Plant(step_to(59.0), fault=Fault(noise_w=40.0)))
    assert e.noise_w == pytest.approx(40.0, rel=0.25)  # 100 readings
    assert e.threshold_w == 5.0 * e.noise_w > 70.0


def test_an_offset_is_measured_apart_from_the_answer() -> None:
    (e,) = measured(Plant(step_to(59.5), fault=Fault(noise_w=0.0, offset_w=-120.0)))
    assert e.offset_w == pytest.approx(-120.0)
    assert e.answer_measured_w == pytest.approx(1082.67, abs=0.1)


def test_a_limit_is_the_most_that_can_be_asked() -> None:
    """59.0 Hz asks for 2249 W; a limit at -1000 W leaves 400 W of it."""
    (e,) = measured(Plant(step_to(59.0), hi_w=-1000.0, fault=QUIET))
    assert e.answer_formula_w == pytest.approx(2249.3, abs=0.1)
    assert e.answer_allowed_w == pytest.approx(400.0)
    assert e.deliver.level_w == pytest.approx(360.0)
    assert e.deliver.passed is True
    assert [h.reason for h in e.held] == ["DROOP_LIMITED"]
    assert e.held[0].seconds == pytest.approx(39.5, abs=0.5)


BLIP = through({0: 60, 20: 60, 20.1: 59, 20.5: 59, 20.6: 60, 60: 60})

# fmt: off
NOT_JUDGED = [
    # trace                     limit W   initiate        deliver             why
    (step_to(59.5),             -1400.0,  "ask for 0 W",  "nothing is asked", "no room left"),
    (step_to(59.94),             7000.0,  "ask for 56 W", "56 W is asked",    "a small event"),
    (BLIP,                       7000.0,  "",             "nothing is asked", "half a second"),
    (step_to(59.5, at_s=59.5),   7000.0,  "",             "nothing is asked", "at the data's end"),
]
# fmt: on


@pytest.mark.parametrize(("f_of_t", "hi_w", "initiate", "deliver", "why"), NOT_JUDGED, ids=[c[4] for c in NOT_JUDGED])
def test_what_cannot_be_measured_says_why(f_of_t: Trace, hi_w: float, initiate: str, deliver: str, why: str) -> None:
    (e,) = measured(Plant(f_of_t, hi_w=hi_w, fault=QUIET))
    assert initiate in e.initiate.why
    assert e.deliver.passed is None, why
    assert deliver in e.deliver.why
    assert not initiate or e.initiate.passed is None


def test_data_that_start_inside_an_event_time_nothing() -> None:
    plant = Plant(step_to(59.5), fault=QUIET)
    rows = run(plant)
    (e,) = measure_events(prepare(rows[rows["t_ns"] > rows["t_ns"][0] + 30_000_000_000], info(plant)))
    assert e.initiate.passed is None
    assert "began before" in e.initiate.why


def test_no_answer_at_all_is_a_failure_not_a_gap() -> None:
    (e,) = measured(Plant(step_to(59.5), fault=Fault(noise_w=0.0, gain=0.0)))
    assert e.initiate.passed is False
    assert "at most 0 W" in e.initiate.why


UNDER = through({0: 60, 10: 60, 25: 59.2, 40: 59.6, 55: 59.1, 70: 60, 90: 60})
OVER = through({0: 60, 10: 60, 25: 60.8, 40: 60.4, 55: 60.9, 70: 60, 90: 60})

# fmt: off
SLOPES = [
    # trace  gain  db_off  k       k within  db_hz   within   why
    (UNDER,  1.0,  0.0,    0.050,  0.001,    0.036,  0.001,   "right, under"),
    (OVER,   1.0,  0.0,    0.050,  0.001,    0.036,  0.001,   "right, over"),
    (UNDER,  0.5,  0.0,    0.100,  0.002,    0.036,  0.001,   "half the answer is twice the droop"),
    (UNDER,  1.0,  0.02,   0.052,  0.002,    0.056,  0.005,   "a dead band 20 mHz wider hardly bends the slope"),
]
# fmt: on


@pytest.mark.parametrize(
    ("f_of_t", "gain", "db_off", "k", "k_within", "db_hz", "db_within", "why"), SLOPES, ids=[c[7] for c in SLOPES]
)
def test_slope_and_dead_band(
    f_of_t: Trace, gain: float, db_off: float, k: float, k_within: float, db_hz: float, db_within: float, why: str
) -> None:
    plant = Plant(f_of_t, seconds=90.0, fault=Fault(gain=gain, db_off_hz=db_off))
    prepared = prepare(run(plant), info(plant))
    fit = next(f for f in fit_sides(prepared, measure_events(prepared)) if f.events)
    assert fit.k_measured == pytest.approx(k, abs=k_within), why
    assert fit.db_measured_hz == pytest.approx(db_hz, abs=db_within), why
    assert fit.delay_s == pytest.approx(0.2, abs=0.11)


def test_an_oscillation_does_not_turn_the_sign() -> None:
    """0.2 Hz, +-0.2 Hz: with a 5 s lag each side's answer rings on into the other side."""
    plant = Plant(lambda t: 60.0 + 0.2 * float(np.sin(2 * np.pi * 0.2 * t)), seconds=90.0)
    prepared = prepare(run(plant), info(plant))
    for fit in fit_sides(prepared, measure_events(prepared)):
        assert fit.gain == pytest.approx(1.0, abs=0.15)


def test_power_comes_from_the_inverter_when_the_meter_is_elsewhere() -> None:
    plant = Plant(step_to(59.5), fault=QUIET)
    rows = run(plant)
    rows["d_valid"], rows["d_t_ns"], rows["d_p_w"] = 1, rows["m_t_p_ns"], rows["m_p_w"]
    rows["m_p_w"] = 4242.0  # the house connection
    prepared = prepare(rows, info(plant, meter_location="connection"))
    assert prepared.power_from == "inverter"
    assert measure_events(prepared)[0].deliver.passed is True


def test_records_of_two_epochs_are_refused() -> None:
    plant = Plant(step_to(59.5), seconds=2.0)
    rows = run(plant)
    with pytest.raises(RecordsError, match=r"step 0 follows step 99: .* one epoch at a time"):
        prepare(np.concatenate([rows, rows]), info(plant))
    with pytest.raises(RecordsError, match="no step records"):
        prepare(rows[:0], info(plant))


def test_a_ramping_wish_is_no_offset() -> None:
    plant = Plant(step_to(59.5), fault=QUIET)
    rows = run(plant)
    rows["reasons"][:1000] |= int(Reason.RAMP)
    (e,) = measure_events(prepare(rows, info(plant)))
    assert np.isnan(e.offset_w)
