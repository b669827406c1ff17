"""The tolerance tube of a characteristic against the golden numbers, and what is drawn when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from controller.bench.accuracy import ENGINEERING, STANDARD
from controller.bench.judgement import Check, Verdict, Window
from controller.bench.plan import Curve, Steady
from controller.bench.report.characteristic import characteristics, tube
from tests.controller.bench.written_run import DROOP, EUT, HERTZ, VOLT_VAR, VOLTS, case, point, step

OVER_V, OVER_HZ = (211.2, 264.0), (60.0, 61.4)


@pytest.mark.parametrize(("name", "v", "target", "low", "high"), VOLTS, ids=[row[0] for row in VOLTS])
def test_volt_var_curve_1_category_b(name: str, v: float, target: float, low: float, high: float) -> None:
    x, least, most = tube(EUT, Steady("q_var", (VOLT_VAR,), "both", 10.0, 20.0), STANDARD, OVER_V)
    assert np.interp(v, x, least) == pytest.approx(low, abs=0.5)
    assert np.interp(v, x, most) == pytest.approx(high, abs=0.5)


@pytest.mark.parametrize(("name", "f", "target", "low", "high"), HERTZ, ids=[row[0] for row in HERTZ])
def test_droop_characteristic_1(name: str, f: float, target: float, low: float, high: float) -> None:
    x, least, most = tube(EUT, Steady("p_w", (DROOP,), "both", 10.0, 20.0), STANDARD, OVER_HZ)
    assert np.interp(f, x, least) == pytest.approx(low, abs=0.5)
    assert np.interp(f, x, most) == pytest.approx(high, abs=0.5)


def test_the_benchs_own_tube_lies_inside_the_standards() -> None:
    rule = Steady("q_var", (VOLT_VAR,), "both", 10.0, 20.0)
    at = np.linspace(*OVER_V, 200)
    wide, thin = (tube(EUT, rule, exact, OVER_V) for exact in (STANDARD, ENGINEERING))
    assert np.all(np.interp(at, thin[0], thin[1]) > np.interp(at, wide[0], wide[1]))
    assert np.all(np.interp(at, thin[0], thin[2]) < np.interp(at, wide[0], wide[2]))


def test_an_upper_limit_has_no_floor() -> None:
    _, low, high = tube(EUT, Steady("p_w", (DROOP,), "upper", 10.0, 20.0), STANDARD, OVER_HZ)
    assert np.all(low == -np.inf)
    assert np.all(np.isfinite(high))


# fmt: off
PICTURES = [
    # curves                                        tubes  bars  why
    ((DROOP,),                                      2,     0,    "one axis: a wide tube and a thin one"),
    ((DROOP, Curve("f_hz", ((60.0, 8000.0),))),     2,     0,    "the lowest of two over the same axis is one line"),
    ((DROOP, Curve("v_v", ((254.4, 8000.0),))),     0,     1,    "two axes: the point's own window alone"),
]
# fmt: on


@pytest.mark.parametrize(("curves", "tubes", "bars", "why"), PICTURES, ids=[row[-1] for row in PICTURES])
def test_what_is_drawn(curves: tuple[Curve, ...], tubes: int, bars: int, why: str) -> None:
    one = case("x", "droop", "5.15.2", [step("i", point(f_hz=60.3), Steady("p_w", curves, "both", 10.0, 20.0))])
    found = Check("i", "steady", "p_w", Verdict.PASS, "as it should", 60.3, "Hz", 7900.0, "W", 8000.0, None,
                  Window(7100.0, 8900.0, passed=True), Window(7900.0, 8100.0, passed=True))  # fmt: skip
    (svg,) = characteristics(EUT, one, [found])
    assert (svg.count("<polygon"), svg.count('class="bar"'), svg.count("<circle")) == (tubes, bars, 1)
    assert svg.count('class="target"') == (1 if tubes else 0)
