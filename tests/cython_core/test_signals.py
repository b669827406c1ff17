"""The small pieces every function shares: the lag by its open-loop response time.

IEEE 1547-2018: the open-loop response time t90 is the time to 90 % of the final change; y(t) = 1 - 10 ** (-t / t90).
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from cython_core.functions.signals import Lag
from cython_core.settings import decay

# fmt: off
STEP_RESPONSE = [
    # t90_s  t_s    y          why
    (5.0,    0.0,   0.0,       "nothing yet"),
    (5.0,    2.5,   0.683772,  "half the time: 1 - 10 ** -0.5"),
    (5.0,    5.0,   0.9,       "the definition: 90 % at t90"),
    (5.0,    10.0,  0.99,      "each t90 takes 90 % of what is left"),
    (0.2,    0.2,   0.9,       "fastest droop, Category III"),
    (90.0,   90.0,  0.9,       "slowest volt-var"),
]
# fmt: on


@pytest.mark.parametrize(("t90_s", "t_s", "y", "why"), STEP_RESPONSE, ids=[c[-1] for c in STEP_RESPONSE])
@pytest.mark.parametrize("period_s", [0.001, 0.01, 0.1], ids=lambda p: f"{p * 1000:g} ms")
def test_unit_step(t90_s: float, t_s: float, y: float, why: str, period_s: float) -> None:
    lag = Lag(period_s, t90_s)
    for _ in range(round(t_s / period_s)):
        lag.step(1.0)
    assert lag.y == pytest.approx(y, abs=1e-6), why


# fmt: off
SKIPS = [
    # k       why
    (1,       "no skip"),
    (2,       "one grid point lost"),
    (7,       "three binary digits"),
    (1000,    "a second at 1 ms"),
    (65535,   "the longest in the table"),
]
# fmt: on


@pytest.mark.parametrize(("k", "why"), SKIPS, ids=[c[-1] for c in SKIPS])
def test_k_periods_at_once_are_k_steps(k: int, why: str) -> None:
    """A skipped grid point costs no accuracy: the lag ends where it would have ended."""
    slow, quick = Lag(0.001, 5.0), Lag(0.001, 5.0)
    for _ in range(k):
        slow.step(1.0)
    assert quick.step(1.0, k) == pytest.approx(slow.y, abs=1e-10), why


def test_beyond_the_table_nothing_is_left() -> None:
    assert Lag(0.001, 90.0, start=-3.0).step(2.0, 65536) == 2.0


def test_a_lag_never_overshoots_and_rests_on_its_target() -> None:
    lag = Lag(0.01, 0.2, start=4.0)
    path = [lag.step(1.0) for _ in range(500)]
    assert all(a >= b >= 1.0 for a, b in pairwise(path))
    assert lag.y == pytest.approx(1.0, abs=1e-12)


# fmt: off
DECAY = [
    # t_s     t90_s   why
    (0.0,     5.0,    "no time: all is left"),
    (0.001,   90.0,   "shortest step, longest lag: 0.999974"),
    (0.01,    5.0,    "the default step of droop"),
    (0.1,     0.2,    "longest step, shortest lag: 10 ** -0.5"),
    (5.0,     5.0,    "one t90"),
    (60.0,    0.2,    "300 t90: 1e-300"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "t90_s", "why"), DECAY, ids=[c[-1] for c in DECAY])
def test_decay_equals_the_formula(t_s: float, t90_s: float, why: str) -> None:
    assert decay(t_s, t90_s) == pytest.approx(math.pow(10.0, -t_s / t90_s), rel=1e-12), why


def test_decay_has_the_same_bits_everywhere() -> None:
    """Made from + - x / alone, so every machine rounds alike.

    One unit in the last place above the nearest double; written down because another value would make every stored
    journal replay differently.
    """
    assert decay(0.01, 5.0).hex() == "0x1.fda5c7639273dp-1"
