"""The last stage: apparent power, capability, smallest power, reversal dwell, battery, and limits that move slowly."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cython_core.bulk import START_NS
from cython_core.limits import Holdable, circle
from cython_core.records import NAN, Reason, Stop
from tests.cython_core.unit import QUICK, Unit, reasons, running, settings

INF = float("inf")

# fmt: off
CIRCLE = [
    # p_w       q_var     s_va      p_left    why
    (10000.0,   0.0,      10000.0,  10000.0,  "no Q: all of it"),
    (10000.0,   6000.0,   10000.0,   8000.0,  "3-4-5"),
    (-10000.0,  6000.0,   10000.0,  -8000.0,  "charging too"),
    (10000.0,  -6000.0,   10000.0,   8000.0,  "absorbing too"),
    (5000.0,    6000.0,   10000.0,   5000.0,  "inside: untouched"),
    (8000.0,    6000.0,   10000.0,   8000.0,  "on the circle"),
    (10000.0,   4400.0,   10000.0,   8979.98, "0.44: 0.898 of P is left"),
    (1000.0,    10000.0,  10000.0,      0.0,  "Q alone fills it"),
    (1000.0,    12000.0,  10000.0,      0.0,  "Q beyond it: nothing is left, not the root of a negative"),
    (1000.0,    0.0,          0.0,      0.0,  "no apparent power at all"),
]
# fmt: on


@pytest.mark.parametrize(("p_w", "q_var", "s_va", "p_left", "why"), CIRCLE, ids=[c[-1] for c in CIRCLE])
def test_circle_with_reactive_priority(p_w: float, q_var: float, s_va: float, p_left: float, why: str) -> None:
    assert circle(p_w, q_var, s_va) == pytest.approx(p_left, abs=0.01), why


@given(p=st.floats(-2e4, 2e4), q=st.floats(-2e4, 2e4), s=st.floats(0.0, 1.2e4))
def test_nothing_leaves_the_circle_but_by_q_alone(p: float, q: float, s: float) -> None:
    left = circle(p, q, s)
    assert abs(left) <= abs(p)
    assert left * p >= 0.0
    assert math.hypot(left, q) <= max(s, abs(q)) * (1 + 1e-12)


def volt_var(q1_pu: float, q4_pu: float) -> dict[str, Any]:
    return {"olrt_s": 1.0, "q1_pu": q1_pu, "q4_pu": q4_pu}


OWN = {"q_inject_pu": 0.3, "q_absorb_pu": 0.6}
LESS = {"q_inject_pu": 0.44, "q_absorb_pu": 0.44}
# fmt: off
CAPABILITY = [
    # rating  said                   v_pu   q_var     p_w      why: 9 kW, the curve asks for all of the capability
    (LESS, {},                    0.92,  4400.0,   8979.98, "injecting: 0.44 of Table 7"),
    (LESS, {},                    1.08, -4400.0,   8979.98, "absorbing: 0.44"),
    (OWN,  {},                    0.92,  3000.0,   9000.0,  "the unit's own, injecting"),
    (OWN,  {},                    1.08, -6000.0,   8000.0,  "the unit's own, absorbing: 3-4-5"),
    (LESS, {"s_max_va": 5000.0},  1.08, -4400.0,   2374.87, "derated: Q first, sqrt(5000^2 - 4400^2)"),
    (LESS, {"s_max_va": 3000.0},  1.08, -3000.0,      0.0,  "derated below Q: all of it"),
    (LESS, {"s_max_va": 0.0},     1.08,     0.0,      0.0,  "derated to nothing"),
    (LESS, {"s_max_va": 99999.0}, 1.08, -4400.0,   8979.98, "never above the rating"),
]
# fmt: on


@pytest.mark.parametrize(("rating", "said", "v_pu", "q_var", "p_w", "why"), CAPABILITY, ids=[c[-1] for c in CAPABILITY])
def test_reactive_power_first(
    rating: dict[str, float], said: dict[str, float], v_pu: float, q_var: float, p_w: float, why: str
) -> None:
    unit = running(
        9000.0, limits=QUICK, rating=rating, volt_var=volt_var(rating["q_inject_pu"], -rating["q_absorb_pu"])
    )
    record = unit.coast(20.0, v_v=(230.0 * v_pu,), said=said)
    assert (record.q_cmd_var, record.p_cmd_w) == pytest.approx((q_var, p_w), abs=0.1), why
    assert bool(reasons(record) & Reason.REACTIVE_LIMIT) == (said.get("s_max_va", 9e9) < 4400.0)
    assert bool(reasons(record) & Reason.APPARENT_POWER) == (p_w < 9000.0)


# --- smallest power ---

# fmt: off
SMALLEST = [
    # powers asked for in turn     held       why: 1000 W smallest, held from there down to 80 %
    ((999.0,),                         0.0,   "below: not started"),
    ((1000.0,),                     1000.0,   "exactly"),
    ((1000.0, 900.0),               1000.0,   "running: held up to the smallest"),
    ((1000.0, 800.0),               1000.0,   "80 %: still held"),
    ((1000.0, 799.0),                  0.0,   "below 80 %: given up"),
    ((1000.0, 799.0, 900.0),           0.0,   "and not started again below the smallest"),
    ((1000.0, 799.0, 1000.0),       1000.0,   "but at it"),
    ((-999.0,),                        0.0,   "charging: the same"),
    ((-1000.0, -850.0),            -1000.0,   "charging: held"),
    ((1000.0, -900.0),                 0.0,   "the other way round is no reason to hold"),
    ((1000.0, 0.0),                    0.0,   "nothing wanted: nothing held"),
    ((5000.0,),                     5000.0,   "far above: untouched"),
]
# fmt: on


def holdable(smallest_w: float = 0.0, dwell_s: float = 0.0) -> Holdable:
    return Holdable(settings(limits={"p_min_abs_w": smallest_w, "reverse_dwell_s": dwell_s}))


@pytest.mark.parametrize(("asked", "held", "why"), SMALLEST, ids=[c[-1] for c in SMALLEST])
def test_smallest_power_with_hysteresis(asked: tuple[float, ...], held: float, why: str) -> None:
    unit = holdable(smallest_w=1000.0)
    for i, p_w in enumerate(asked):
        answer = unit.step(p_w, START_NS + i)
    assert answer == held, why


# fmt: off
WHOSE = [
    # site_w    inverter_w   asked_w   held_w   why
    (500.0,     1000.0,      800.0,    0.0,     "the inverter's own is larger"),
    (1000.0,    500.0,       800.0,    0.0,     "the site's is larger"),
    (500.0,     500.0,       800.0,    800.0,   "neither binds"),
    (500.0,     NAN,         800.0,    800.0,   "the inverter's is not a number"),
    (500.0,     INF,         800.0,    800.0,   "nor is an infinite one a power"),
]
# fmt: on


@pytest.mark.parametrize(("site_w", "inverter_w", "asked_w", "held_w", "why"), WHOSE, ids=[c[-1] for c in WHOSE])
def test_whose_smallest_power(site_w: float, inverter_w: float, asked_w: float, held_w: float, why: str) -> None:
    unit = Unit(wish_w=asked_w, limits={**QUICK, "p_min_abs_w": site_w})
    record = unit.coast(2.0, said={"p_min_abs_w": inverter_w})
    assert record.p_cmd_w == held_w, why
    assert bool(reasons(record) & Reason.SMALLEST_POWER) == (held_w == 0.0)


# fmt: off
BETWEEN = [
    # said                            v_pu   p_w     why: 1000 W smallest, running at 5000 W
    ({"p_max_discharge_w": 1000.0},   1.00,  1000.0, "1000 W are permitted: held"),
    ({"p_max_discharge_w": 900.0},    1.00,  0.0,    "the battery's limit is below the smallest: 0, never 1000"),
    ({"s_max_va": 900.0},             1.00,  0.0,    "so is the apparent power"),
    ({"s_max_va": 4490.0},            1.08,  0.0,    "so is what Q leaves of it: sqrt(4490^2 - 4400^2) = 894 W"),
]
# fmt: on


@pytest.mark.parametrize(("said", "v_pu", "p_w", "why"), BETWEEN, ids=[c[-1] for c in BETWEEN])
def test_holding_the_smallest_power_never_breaks_a_limit(
    said: dict[str, float], v_pu: float, p_w: float, why: str
) -> None:
    unit = running(5000.0, limits={**QUICK, "p_min_abs_w": 1000.0}, volt_var=volt_var(0.44, -0.44))
    unit.coast(20.0, v_v=(230.0 * v_pu,))
    assert unit.last.p_cmd_w == 5000.0
    record = unit.advance(1.0, said=said)
    assert record.p_cmd_w == p_w, why


# --- reversal dwell ---

# fmt: off
DWELL = [
    # (t_s, asked) in turn                                held     reversals  why: 5 s at 0 before the direction turns
    (((0, 3000.0),),                                      3000.0,  0,         "the first direction is free"),
    (((0, 3000.0), (1, -3000.0)),                            0.0,  0,         "turning: waits at 0"),
    (((0, 3000.0), (1, -3000.0), (5.9, -3000.0)),            0.0,  0,         "4.9 s"),
    (((0, 3000.0), (1, -3000.0), (6, -3000.0)),          -3000.0,  1,         "5 s"),
    (((0, 3000.0), (1, 0.0), (6, -3000.0)),              -3000.0,  1,         "the wait counts from the first 0"),
    (((0, 3000.0), (1, 0.0), (2, 3000.0), (6, -3000.0)),     0.0,  0,         "and anew after it has run again"),
    (((0, 3000.0), (1, -3000.0), (2, 3000.0)),            3000.0,  0,         "back the same way: no wait"),
    (((0, -3000.0), (1, 3000.0), (6, 3000.0)),            3000.0,  1,         "charging to discharging: the same"),
    (((0, 3000.0), (1, -3000.0), (6, -3000.0), (7, 3000.0), (12, 3000.0)), 3000.0, 2, "there and back: two"),
]
# fmt: on


@pytest.mark.parametrize(("asked", "held", "reversals", "why"), DWELL, ids=[c[-1] for c in DWELL])
def test_reversal_dwell(asked: tuple[tuple[float, float], ...], held: float, reversals: int, why: str) -> None:
    unit = holdable(dwell_s=5.0)
    for t_s, p_w in asked:
        answer = unit.step(p_w, START_NS + round(t_s * 1e9))
    assert (answer, unit.reversals) == (held, reversals), why


def test_without_dwell_the_direction_turns_at_once_and_is_counted() -> None:
    unit = holdable()
    assert [unit.step(p_w, START_NS + i) for i, p_w in enumerate((1.0, -1.0, 1.0))] == [1.0, -1.0, 1.0]
    assert unit.reversals == 2


def test_after_the_dwell_the_ramp_begins_at_0() -> None:
    """What the ramp did while the unit waited at 0 is not made up for in one step."""
    unit = running(3000.0, limits={"reverse_dwell_s": 5.0})
    unit.wish(-3000.0)
    start = len(unit.records)
    record = unit.advance(6.4)  # 1.5 s down, 5 s at 0
    assert record.p_cmd_w == 0.0
    assert reasons(record) & Reason.REVERSAL_DWELL
    assert unit.advance(1.7).p_cmd_w == -3000.0
    assert unit.largest_step_w(since=start) <= 20.0 + 1e-6


# --- battery ---

# fmt: off
TAPER = [
    # soc     p_out_w    p_in_w     why: 0.20 ... 0.95, tapered over 0.02 beside each end
    (0.00,        0.0,   -8000.0,   "empty"),
    (0.20,        0.0,   -8000.0,   "the lower limit"),
    (0.205,    2500.0,   -8000.0,   "a quarter of the band"),
    (0.21,     5000.0,   -8000.0,   "half of it"),
    (0.221,   10000.0,   -8000.0,   "beyond it"),
    (0.50,    10000.0,   -8000.0,   "in the middle nothing binds"),
    (0.929,   10000.0,   -8000.0,   "below the upper band"),
    (0.94,    10000.0,   -4000.0,   "half of it"),
    (0.95,    10000.0,       0.0,   "the upper limit"),
    (1.00,    10000.0,       0.0,   "full"),
    (NAN,         0.0,   -8000.0,   "unknown: charge until the car stops, never discharge"),
]
# fmt: on


@pytest.mark.parametrize(("soc", "p_out_w", "p_in_w", "why"), TAPER, ids=[c[-1] for c in TAPER])
def test_battery(soc: float, p_out_w: float, p_in_w: float, why: str) -> None:
    for wish_w, p_w in ((10000.0, p_out_w), (-8000.0, p_in_w)):
        record = Unit(wish_w=wish_w, limits=QUICK).coast(2.0, soc=soc)
        assert record.p_cmd_w == pytest.approx(p_w, abs=0.01), why
        assert (record.p_lo_w, record.p_hi_w) == pytest.approx((p_in_w, p_out_w), abs=0.01)
    binds = p_out_w < 10000.0 or p_in_w > -8000.0
    assert bool(reasons(record) & Reason.SOC_LIMIT) == binds


@pytest.mark.parametrize(("soc", "p_w"), [(0.2, 0.0), (0.2001, 10000.0)])
def test_without_a_band_the_limit_is_a_cliff(soc: float, p_w: float) -> None:
    assert Unit(wish_w=10000.0, limits={**QUICK, "soc_band_pu": 0.0}).coast(2.0, soc=soc).p_cmd_w == p_w


# --- limits that move slowly ---


def test_the_span_opens_from_the_present_power_at_the_ramp() -> None:
    unit = Unit(wish_w=3000.0)
    unit.device_p_w = 3000.0
    record = unit.step()
    assert (record.p_lo_w, record.p_hi_w) == (-20.0, 3020.0)
    record = unit.advance(1.0)
    assert (record.p_lo_w, record.p_hi_w) == pytest.approx((-2020.0, 5020.0))
    record = unit.advance(5.0)
    assert (record.p_lo_w, record.p_hi_w) == (-8000.0, 10000.0)


def test_a_closing_span_starts_where_the_power_is() -> None:
    """10 kW are permitted and 3 kW flow: a stop acts in the first step, not after the unused 7 kW."""
    unit = running(3000.0)
    record = unit.step(stop=Stop.RAMP)
    assert (record.p_lo_w, record.p_hi_w) == pytest.approx((0.0, 2980.0))
    assert record.p_cmd_w == pytest.approx(2980.0)


def test_a_hard_limit_taken_back_opens_at_the_ramp_even_for_droop() -> None:
    unit = running(0.0, freq_droop={"t_response_s": 0.2})
    unit.advance(1.0, said={"p_max_discharge_w": 0.0})
    unit.advance(2.0, f_hz=59.0)
    assert unit.last.p_cmd_w == 0.0
    start = len(unit.records)
    assert unit.advance(2.0, said={}).p_cmd_w == pytest.approx(3213.3, abs=0.1)
    assert unit.largest_step_w(since=start) <= 20.0 + 1e-6


@pytest.mark.parametrize("k", [1, 2, 5, 50])
def test_skipped_grid_points_widen_the_step_of_the_ramp(k: int) -> None:
    unit = running(0.0)
    unit.wish(3000.0)
    assert unit.step(k=k).p_cmd_w == pytest.approx(min(20.0 * k, 3000.0))
