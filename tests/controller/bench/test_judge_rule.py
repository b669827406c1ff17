"""The windows of IEEE 1547.1 4.2 against the golden numbers of a 240 V, 60 Hz, 10 kVA unit, all from a pencil.

1.5 MRA: 3.6 V, 15 mHz, 750 W, 750 var with the standard's accuracies; 0.72 V, 3 mHz, 150 W with the bench's own.
"""

from __future__ import annotations

import pytest

from controller.bench.accuracy import ENGINEERING, STANDARD
from controller.bench.judgement import Window
from controller.bench.plan import Bound, Curve
from controller.bench.rule import allowed, at_response_time, side, window
from controller.bench.wording import against
from tests.controller.bench.golden import EUT
from tests.controller.bench.scenes import VOLT_VAR, VOLT_WATT, droop

CHAR_1, CHAR_2 = (0.036, 0.05), (0.017, 0.02)

# fmt: off
WINDOWS = [
    # curve                      x       target    low      high    why
    (VOLT_VAR,                  241.2,      0.0,  -750.0,   750.0, "volt-var g, q: inside the dead band"),
    (VOLT_VAR,                  248.4,  -1100.0, -2950.0,   750.0, "h, p: X - 3.6 V lies on the corner V3"),
    (VOLT_VAR,                  252.0,  -2200.0, -4050.0,  -350.0, "i, o: the middle of the falling line"),
    (VOLT_VAR,                  255.6,  -3300.0, -5150.0, -1450.0, "j, n: X + 3.6 V lies on the corner V4"),
    (VOLT_VAR,                  260.4,  -4400.0, -5150.0, -2917.0, "k, l, m clipped to V_H - a_V"),
    (VOLT_VAR,                  240.0,      0.0,  -750.0,   750.0, "r, dd: V_ref"),
    (VOLT_VAR,                  238.8,      0.0,  -750.0,   750.0, "s, cc"),
    (VOLT_VAR,                  231.6,   1100.0,  -750.0,  2950.0, "t, bb"),
    (VOLT_VAR,                  228.0,   2200.0,   350.0,  4050.0, "u, aa"),
    (VOLT_VAR,                  224.4,   3300.0,  1450.0,  5150.0, "v, z"),
    (VOLT_VAR,                  217.2,   4400.0,  3650.0,  5150.0, "w, y"),
    (VOLT_VAR,                  214.8,   4400.0,  3650.0,  5150.0, "x"),
    (VOLT_WATT,                 250.8, 10_000.0,  9250.0, 10_750.0, "volt-watt h"),
    (VOLT_WATT,                 258.0,   6250.0,  1750.0, 10_750.0, "i"),
    (VOLT_WATT,                 259.2,   5000.0,   500.0,  9500.0, "j"),
    (VOLT_WATT,                 260.4,   3750.0,  -750.0,  8250.0, "k"),
    (droop(10_000.0, *CHAR_1),  60.021, 10_000.0, 9250.0, 10_750.0, "droop h: f + 15 mHz is the dead band's edge"),
    (droop(10_000.0, *CHAR_1),  60.051,  9950.0,  9150.0, 10_750.0, "i"),
    (droop(10_000.0, *CHAR_1),  60.186,  9500.0,  8700.0, 10_300.0, "j"),
    (droop(10_000.0, *CHAR_1),  61.2,    6120.0,  5320.0,  6920.0, "k"),
    (droop(10_000.0, *CHAR_1),  61.05,   6620.0,  5820.0,  7420.0, "l"),
    (droop(10_000.0, *CHAR_2),  60.032,  9875.0,  9000.0, 10_750.0, "char. 2 Category III, i"),
    (droop(10_000.0, *CHAR_2),  60.077,  9500.0,  8625.0, 10_375.0, "j"),
    (droop(10_000.0, *CHAR_2),  61.2,     142.0,  -733.0,  1017.0, "k"),
    (droop(10_000.0, *CHAR_2),  61.14,    642.0,  -233.0,  1517.0, "l"),
    (droop(5000.0, *CHAR_1),    59.949,  5050.0,  4250.0,  5850.0, "below, from 50 %: h"),
    (droop(5000.0, *CHAR_1),    59.814,  5500.0,  4700.0,  6300.0, "i"),
    (droop(5000.0, *CHAR_1),    58.8,    8880.0,  8080.0,  9680.0, "j"),
    (droop(5000.0, *CHAR_1),    58.95,   8380.0,  7580.0,  9180.0, "k"),
    (droop(-5000.0, *CHAR_1),   59.949, -4950.0, -5750.0, -4150.0, "below, charging: h"),
    (droop(-5000.0, *CHAR_1),   59.814, -4500.0, -5300.0, -3700.0, "i"),
    (droop(-5000.0, *CHAR_1),   58.8,   -1120.0, -1920.0,  -320.0, "j"),
    (droop(-5000.0, *CHAR_1),   58.95,  -1620.0, -2420.0,  -820.0, "k"),
    (droop(-5000.0, *CHAR_2),   58.8,    4858.0,  3983.0,  5733.0, "char. 2: the answer crosses zero"),
    (Curve("v_v", ((239.0, 0.0), (240.0, 900.0), (241.0, 0.0))), 240.5, 450.0, -750.0, 1650.0,
     "a corner inside X +- 3.6 V counts: both ends are at 0, the peak between them is 900"),
]
# fmt: on


@pytest.mark.parametrize(
    ("curve", "x", "target", "low", "high", "why"), WINDOWS, ids=[f"{c[1]} {c[-1]}" for c in WINDOWS]
)
def test_window(curve: Curve, x: float, target: float, low: float, high: float, why: str) -> None:
    found = allowed([curve], {curve.x: x}, EUT, "q_var" if curve is VOLT_VAR else "p_w", STANDARD)
    assert (found.target, found.low, found.high) == pytest.approx(
        (target, low, high), abs=0.7
    )  # printed in whole watts


def test_the_bench_own_accuracy_is_the_narrower_window() -> None:
    found = allowed([VOLT_VAR], {"v_v": 252.0}, EUT, "q_var", ENGINEERING)
    assert (found.low, found.high) == pytest.approx((-2200.0 - 220.0 - 150.0, -2200.0 + 220.0 + 150.0))


P2_02 = Curve("v_v", ((254.4, 10_000.0), (264.0, 2000.0)))
# fmt: off
SEVERAL = [
    # v_v   f_hz    target  low                    high                   axis    why
    (261.6, 60.0,   4000.0, 4000.0 - 2000.0 - 750, 4000.0 + 3000.0 + 750, "v_v",  "2: volt-watt, to 264 V"),
    (261.6, 60.336, 3000.0, 3000.0 - 2000.0 - 750, 3000.0 + 3000.0 + 750, "f_hz", "3: droop with V's window"),
    (261.6, 59.364, 4000.0, 4000.0 - 2000.0 - 750, 4000.0 + 3000.0 + 750, "v_v",  "5: volt-watt caps droop"),
    (240.0, 59.364, 6000.0, 6000.0 - 50.0 - 750,   6000.0 + 50.0 + 750,   "f_hz", "6: volt-watt is flat"),
]
# fmt: on


@pytest.mark.parametrize(("v_v", "f_hz", "target", "low", "high", "axis", "why"), SEVERAL, ids=[c[-1] for c in SEVERAL])
def test_lowest_of_several_curves_with_the_widest_window(
    v_v: float, f_hz: float, target: float, low: float, high: float, axis: str, why: str
) -> None:
    """Prioritisation with P2 = 0.2: droop goes from what volt-watt had left when its dead band was left, 4000 W."""
    found = allowed([P2_02, droop(4000.0)], {"v_v": v_v, "f_hz": f_hz}, EUT, "p_w", STANDARD)
    assert (found.target, found.low, found.high, found.axis) == (*map(pytest.approx, (target, low, high)), axis)


def test_current_is_known_as_well_as_active_power() -> None:
    assert STANDARD.mra(EUT, "i_a") == pytest.approx(0.05 * 10_000.0 / 240.0)


# fmt: off
TIMES = [
    # t_s    standard s  engineering s  why
    (0.16,   0.05,       0.0024,        "1.5 times two cycles of 60 Hz"),
    (4.999,  0.05,       0.074985,      "still cycles"),
    (5.0,    0.075,      0.075,         "from 5 s on 1 %"),
    (300.0,  4.5,        4.5,           "so 98.5 % of a delay of 300 s is early enough"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "standard_s", "engineering_s", "why"), TIMES, ids=[c[-1] for c in TIMES])
def test_accuracy_of_time(t_s: float, standard_s: float, engineering_s: float, why: str) -> None:
    assert STANDARD.time_margin_s(EUT, t_s) == pytest.approx(standard_s)
    assert ENGINEERING.time_margin_s(EUT, t_s) == pytest.approx(engineering_s)


def test_response_window() -> None:
    """T_r 5 s, 0 -> -2200 var: Y(4.925 s) = -1972.3, Y(5.075 s) = -1987.5, each 750 var further."""
    found = at_response_time(0.0, -2200.0, 5.0, EUT, "q_var", STANDARD)
    assert found == pytest.approx((-2737.5, -1222.3), abs=0.05)
    assert at_response_time(0.0, 2200.0, 5.0, EUT, "q_var", STANDARD) == pytest.approx((1222.3, 2737.5), abs=0.05)


# fmt: off
SIDES = [
    # y0   yf    bound    limit of y  why
    (0.0,  9.0,  "both",  "both",     "neither slower nor faster"),
    (0.0,  9.0,  "upper", "lower",    "rising, not too late: not too low at t_r"),
    (9.0,  0.0,  "upper", "upper",    "falling, not too late: not too high"),
    (0.0,  9.0,  "lower", "upper",    "rising, not too early"),
    (9.0,  0.0,  "lower", "lower",    "falling, not too early"),
]
BOUNDS = [
    # bound   y      passed  why
    ("both",  10.0,  True,   "the limit itself is allowed"),
    ("both",  9.9,   False,  "below"),
    ("both",  20.1,  False,  "above"),
    ("upper", 9.9,   True,   "no lower limit"),
    ("upper", 20.1,  False,  "above the upper"),
    ("lower", 20.1,  True,   "no upper limit"),
    ("lower", 9.9,   False,  "below the lower"),
]
# fmt: on


@pytest.mark.parametrize(("y0", "yf", "bound", "limit", "why"), SIDES, ids=[c[-1] for c in SIDES])
def test_side_of_a_limit_of_time(y0: float, yf: float, bound: Bound, limit: Bound, why: str) -> None:
    assert side(y0, yf, bound) == limit


@pytest.mark.parametrize(("bound", "y", "passed", "why"), BOUNDS, ids=[f"{c[0]}: {c[-1]}" for c in BOUNDS])
def test_bound(bound: Bound, y: float, passed: bool, why: str) -> None:
    found = window(10.0, 20.0, bound, y)
    assert found.passed is passed
    assert (found.low, found.high) == (None if bound == "upper" else 10.0, None if bound == "lower" else 20.0)


# fmt: off
WORDS = [
    # y       unit   low      high     sentence
    (-2950.0, "var", -2737.5, -1222.3, "Q -2950 var is below -2737.5 var"),
    (-1000.0, "var", -2737.5, -1222.3, "Q -1000 var is above -1222.3 var"),
    (-1980.0, "var", -2737.5, -1222.3, "Q -1980 var is within -2737.5 ... -1222.3 var"),
    (6600.04, "W",   None,    7350.0,  "Q 6600 W is not above 7350 W"),
    (-0.04,   "W",   -750.0,  None,    "Q 0 W is not below -750 W"),
    (60.0214, "Hz",  None,    None,    "Q 60.021 Hz"),
    (248.404, "V",   None,    None,    "Q 248.4 V"),
]
# fmt: on


@pytest.mark.parametrize(("y", "unit", "low", "high", "sentence"), WORDS, ids=[c[-1] for c in WORDS])
def test_words(y: float, unit: str, low: float | None, high: float | None, sentence: str) -> None:
    assert against("Q", y, unit, Window(low, high, passed=True)) == sentence
