"""Limit maximum active power, IEEE 1547-2018 4.6.2: a ceiling on export, in force within 30 s, never on charging."""

from __future__ import annotations

import math

import pytest

from cython_core.functions.active_limit import ActiveLimit
from cython_core.settings import ActiveLimitSettings, Settings

NAN = math.nan
NO_LIMIT = ActiveLimitSettings()
HALF = ActiveLimitSettings(enable=True, limit_pu=0.5)


def ceiling_after(settings: ActiveLimitSettings, order_pu: float, seconds: float, dt_s: float = 0.01) -> float:
    """The ceiling after so many seconds under one order, from no ceiling."""
    unit = ActiveLimit(Settings(active_limit=settings))
    ceiling = 1.0
    for _ in range(round(seconds / dt_s)):
        ceiling = unit.step(order_pu, dt_s)
    return ceiling


# fmt: off
SETTLED = [
    # settings  order_pu    ceiling_pu   why
    (NO_LIMIT,  NAN,        1.0,         "neither order nor setting"),
    (HALF,      NAN,        0.5,         "the setting rules without an order"),
    (NO_LIMIT,  0.66,       0.66,        "1547.1 test level"),
    (NO_LIMIT,  0.33,       0.33,        "1547.1 test level"),
    (NO_LIMIT,  0.0,        0.0,         "no export at all"),
    (HALF,      0.3,        0.3,         "the lower of order and setting: order"),
    (HALF,      0.8,        0.5,         "the lower of order and setting: setting"),
    (NO_LIMIT,  1.7,        1.0,         "an order above 1 is 1"),
    (NO_LIMIT, -0.2,        0.0,         "an order below 0 is 0: it never forces charging"),
    (NO_LIMIT,  math.inf,   1.0,         "infinite is the nearer end"),
    (HALF,     -math.inf,   0.0,         "infinite is the nearer end, downwards"),
]
RAMP = [
    # ramp_time_s  seconds  ceiling_pu   why: full scale in ramp_time_s, towards an order of 0.2
    (10.0,         0.0,     1.0,         "nothing yet"),
    (10.0,         1.0,     0.9,         "a tenth a second"),
    (10.0,         7.9,     0.21,        "just before the set point"),
    (10.0,         8.0,     0.2,         "there, 22 s inside the 30 s allowed"),
    (10.0,         9.0,     0.2,         "and no further"),
    (30.0,         15.0,    0.5,         "the slowest setting"),
    (30.0,         24.0,    0.2,         "even that is inside 30 s"),
    (0.1,          0.08,    0.2,         "the quickest"),
]
# fmt: on


@pytest.mark.parametrize(("settings", "order_pu", "ceiling_pu", "why"), SETTLED, ids=[c[-1] for c in SETTLED])
def test_settled(settings: ActiveLimitSettings, order_pu: float, ceiling_pu: float, why: str) -> None:
    assert ceiling_after(settings, order_pu, 30.0) == pytest.approx(ceiling_pu, abs=1e-9), why


@pytest.mark.parametrize(("ramp_time_s", "seconds", "ceiling_pu", "why"), RAMP, ids=[c[-1] for c in RAMP])
@pytest.mark.parametrize("dt_s", [0.001, 0.01, 0.02], ids=lambda dt: f"{dt * 1000:g} ms")
def test_ramp(ramp_time_s: float, seconds: float, ceiling_pu: float, why: str, dt_s: float) -> None:
    settings = ActiveLimitSettings(ramp_time_s=ramp_time_s)
    assert ceiling_after(settings, 0.2, seconds, dt_s) == pytest.approx(ceiling_pu, abs=1e-9), why


def test_one_long_step_is_many_short_ones() -> None:
    assert ActiveLimit(Settings()).step(0.2, 3.0) == pytest.approx(ceiling_after(NO_LIMIT, 0.2, 3.0), abs=1e-9)


def test_the_ceiling_rises_by_the_same_ramp_when_the_order_ends() -> None:
    unit = ActiveLimit(Settings())
    assert unit.step(0.0, 30.0) == 0.0
    assert unit.step(NAN, 1.0) == pytest.approx(0.1)
    assert unit.step(NAN, 9.0) == pytest.approx(1.0)


def test_the_ceiling_never_leaves_zero_to_one() -> None:
    unit = ActiveLimit(Settings(active_limit=HALF))
    for order_pu in (0.1, 5.0, -5.0, NAN, 0.0, math.inf):
        for _ in range(700):
            assert 0.0 <= unit.step(order_pu, 0.01) <= 1.0
