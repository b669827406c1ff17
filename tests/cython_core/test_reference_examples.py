"""The reference against numbers that neither implementation made: the standard's tables, a pencil, published vectors.

The unit of the pencil: 10 kW out, 8 kW in, 10 kVA, 60 Hz, Category B and III. pu of 10 kW and 10 kVA.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.cython_core.plain import words as w
from tests.cython_core.plain.abnormal import split_mix_64
from tests.cython_core.plain.numbers import Lag, Span, left_after
from tests.cython_core.reference import Reference
from tests.cython_core.unit import settings


def unit(**groups: Any) -> Reference:
    return Reference(settings(**groups), 0.01)


def volt_var(v_pu: float, **more: float) -> float:
    return unit(volt_var=more).reactive.volt_var.answer(v_pu, 1)


def volt_watt(v_pu: float, p2_pu: float) -> float:
    return unit(volt_watt={"p2_pu": p2_pu}).volt_watt.limit(v_pu)


def droop(f_hz: float, **more: float) -> float:
    return unit(freq_droop=more).droop.formula(f_hz)[1]


def watt_var(p_pu: float) -> float:
    return unit(watt_var={}).reactive.watt_var.answer(p_pu)


# fmt: off
CURVES = [
    # function   arguments                      expected   why
    (volt_var,   (0.90, {}),                    0.44,      "5.3.3: flat left of V1"),
    (volt_var,   (0.95, {}),                    0.22,      "half way from V1 0.92 to V2 0.98"),
    (volt_var,   (0.97, {}),                    0.0733333, "0.01 of 0.06 x 0.44"),
    (volt_var,   (1.02, {}),                    0.0,       "V3 ends the dead band"),
    (volt_var,   (1.05, {}),                   -0.22,      "half way from V3 1.02 to V4 1.08"),
    (volt_var,   (1.20, {}),                   -0.44,      "flat right of V4"),
    (volt_var,   (1.00, {"v_ref_pu": 1.03}),    0.0733333, "V_Ref moves the curve sideways, once: as 0.97"),
    (volt_var,   (1.09, {"v_ref_pu": 1.03}),   -0.2933333, "as 1.06: 0.04 of 0.06 x 0.44"),
    (volt_watt,  (1.06, {"p2_pu": 0.0}),        1.0,       "5.4.2: V1 belongs to full power"),
    (volt_watt,  (1.07, {"p2_pu": 0.0}),        0.75,      "a quarter of 1.06 ... 1.10"),
    (volt_watt,  (1.10, {"p2_pu": 0.0}),        0.0,       "no export, charging untouched"),
    (volt_watt,  (1.08, {"p2_pu": -1.0}),       0.1,       "P'2 is of the charge rating: half way from 1 to -0.8"),
    (volt_watt,  (1.12, {"p2_pu": -1.0}),      -0.8,       "made to charge with all 8 kW"),
    (droop,      (60.036, {}),                  0.0,       "6.5.2.7: the edge belongs to the dead band"),
    (droop,      (60.05, {}),                  -0.0046667, "0.014 / (60 x 0.05)"),
    (droop,      (60.5, {}),                   -0.1546667, "0.464 / 3"),
    (droop,      (59.0, {}),                    0.3213333, "0.964 / 3"),
    (droop,      (59.0, {"k_uf": 0.02}),        0.8033333, "0.964 / (60 x 0.02)"),
    (droop,      (59.9, {"db_uf_hz": 0.1}),     0.0,       "a wider dead band below"),
    (watt_var,   (0.9, {}),                    -0.352,     "5.3.4: 0.4 of 0.5 ... 1.0 x -0.44"),
    (watt_var,   (0.5, {}),                     0.0,       "P2"),
    (watt_var,   (-0.4, {}),                    0.0,       "P'2 is -0.5 of 8 kW"),
    (watt_var,   (-0.6, {}),                    0.22,      "half way from -0.4 to -0.8"),
    (watt_var,   (-0.8, {}),                    0.44,      "P'3 is all of 8 kW"),
]
# fmt: on


@pytest.mark.parametrize(
    ("function", "arguments", "expected", "why"), CURVES, ids=[f"{c[0].__name__}: {c[-1]}" for c in CURVES]
)
def test_curves(function: Any, arguments: tuple[float, dict[str, float]], expected: float, why: str) -> None:
    at, more = arguments
    assert function(at, **more) == pytest.approx(expected, abs=1e-6)


# fmt: off
ACTIVE = {"reactive": {"mode": "off", "beyond_table_7": "active"}}
REACTIVE = {"reactive": {"mode": "off"}}
FACTOR = {"power_factor": {"pf": 0.9}}
ALL_Q = {"q_inject_pu": 1.0, "q_absorb_pu": 1.0}
CIRCLES = [
    # settings   p_pu   q_pu      expected             why
    (REACTIVE,   1.0,   0.44,     (0.8979978, 0.44),   "4.7: inside Table 7 P gives way"),
    (REACTIVE,  -0.8,   0.44,     (-0.8, 0.44),        "inside the circle nothing does"),
    (REACTIVE,   1.0,   0.6,      (0.8, 0.6),          "beyond it as well, unless the maker says otherwise"),
    (ACTIVE,     1.0,   0.6,      (0.8979978, 0.44),   "active first: Q down to Table 7, and no further"),
    (ACTIVE,     0.5,   0.95,     (0.5, 0.8660254),    "active first: Q has what P leaves"),
    (FACTOR,     1.0,   0.4843221, (0.9, 0.4358899),   "5.3.2: the factor is held, both shrink"),
]
# fmt: on


@pytest.mark.parametrize(("groups", "p_pu", "q_pu", "expected", "why"), CIRCLES, ids=[c[-1] for c in CIRCLES])
def test_circle(groups: Any, p_pu: float, q_pu: float, expected: tuple[float, float], why: str) -> None:
    rec = SimpleNamespace(reasons=0)
    settled = unit(rating=ALL_Q, **groups).apparent.settle(p_pu * 10000.0, q_pu * 10000.0, 10000.0, rec)
    assert settled == pytest.approx((expected[0] * 10000.0, expected[1] * 10000.0), abs=1e-3)
    assert bool(rec.reasons & w.APPARENT_POWER) == (p_pu != expected[0])


# fmt: off
LOW, HIGH = "low", "high"
REGIONS = [
    # category  v_pu   region                 duty_s  why
    ("III",     0.88,  None,                  None,   "Table 16: the edge belongs to continuous operation"),
    ("III",     0.87,  w.MANDATORY,           20.0,   "0.70 ... 0.88"),
    ("III",     0.69,  w.MANDATORY,           10.0,   "0.50 ... 0.70"),
    ("III",     0.49,  w.MOMENTARY_CESSATION, 1.0,    "below 0.50"),
    ("III",     1.10,  None,                  None,   "the edge belongs to continuous operation"),
    ("III",     1.15,  w.MOMENTARY_CESSATION, 12.0,   "1.10 ... 1.20"),
    ("III",     1.21,  w.CEASE,               0.0,    "above 1.20"),
    ("II",      0.80,  w.MANDATORY,           4.305,  "Table 15: 3 + 8.7 x 0.15"),
    ("II",      0.50,  w.PERMISSIVE,          0.32,   "0.45 ... 0.65"),
    ("II",      0.40,  w.PERMISSIVE,          0.16,   "0.30 ... 0.45"),
    ("II",      0.29,  w.CEASE,               0.0,    "below 0.30"),
    ("I",       0.80,  w.MANDATORY,           1.1,    "Table 14: 0.7 + 4 x 0.10"),
    ("I",       0.60,  w.PERMISSIVE,          0.16,   "0.50 ... 0.70"),
    ("I",       0.49,  w.CEASE,               0.0,    "below 0.50"),
    ("I",       1.12,  w.PERMISSIVE,          1.0,    "1.10 ... 1.15"),
    ("I",       1.16,  w.PERMISSIVE,          0.5,    "1.15 ... 1.175"),
    ("II",      1.18,  w.PERMISSIVE,          0.2,    "1.175 ... 1.20"),
]
# fmt: on


@pytest.mark.parametrize(
    ("category", "v_pu", "region", "duty_s", "why"), REGIONS, ids=[f"{c[0]} {c[1]}" for c in REGIONS]
)
def test_regions(category: str, v_pu: float, region: int | None, duty_s: float | None, why: str) -> None:
    ride_through = unit(rating={"abnormal_category": category}).ride_through
    found = ride_through.voltage_regions(v_pu, v_pu)
    assert [r for r, _ in found] == ([] if region is None else [region]), why
    assert [s for _, s in found] == pytest.approx([] if duty_s is None else [duty_s])


@pytest.mark.parametrize(("share", "left"), [(0.5, 0.3162278), (1.0, 0.1), (2.0, 0.01), (0.002, 0.9954054)])
def test_open_loop_response_time(share: float, left: float) -> None:
    """1 - 10 ** (-t / OLRT) is done: 68 % at half of it, 90 % at it, 99 % at twice."""
    assert left_after(share * 5.0, 5.0) == pytest.approx(left, rel=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 100, 40_000])
def test_a_lag_over_k_periods_is_k_periods(k: int) -> None:
    assert Lag(0.01, 300.0).left(k) == pytest.approx(10.0 ** (-k * 0.01 / 300.0), rel=1e-9)


def test_random_delays_come_from_split_mix_64() -> None:
    """The published vector of seed 1234567."""
    words = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert [split_mix_64(1234567, draw) for draw in range(1, 6)] == [(word >> 11) / 2**53 for word in words]


# fmt: off
SPANS = [
    # stronger      weaker         expected       why
    ((-7.4, 7.4),   (-7.4, 5.0),   (-7.4, 5.0),   "both permit it"),
    ((-7.4, 3.2),   (4.0, 7.4),    (3.2, 3.2),    "apart: the nearest point of the stronger"),
    ((-2.0, 3.2),   (-7.0, -3.0),  (-2.0, -2.0),  "the same on the other side"),
]
# fmt: on


@pytest.mark.parametrize(("stronger", "weaker", "expected", "why"), SPANS, ids=[c[-1] for c in SPANS])
def test_nested_clamp(
    stronger: tuple[float, float], weaker: tuple[float, float], expected: tuple[float, float], why: str
) -> None:
    span = Span(*stronger)
    span.narrow(*weaker)
    assert (span.lo, span.hi) == expected
