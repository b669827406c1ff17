"""Step responses typed by hand -> dead time, lag, scale, refresh. 200 W at 1.0 s, a reading each 0.1 s from 0.9 s on.

A first-order lag of 0.5 s behind 0.2 s: 200 (1 - exp(-(x - 0.2) / 0.5)) at x seconds after the step.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from controller.stepresponse import (
    NO_RESPONSE,
    fit_response,
    interval_s,
    level_w,
    renewed,
    rest_s,
    scale_fault,
)

# fmt: off
LAG = [0, 0, 0, 0, 36.3, 65.9, 90.2, 110.1, 126.4, 139.8, 150.7, 159.6, 166.9, 172.9, 177.8, 181.9, 185.1, 187.8, 190.0,
       191.8, 193.3, 194.5]
SLOW = [0, 0, 19.0, 36.3, 51.8, 65.9, 78.7, 90.2, 100.7, 110.1, 118.7, 126.4, 133.4, 139.8, 145.5, 150.7, 155.4, 159.6,
        163.5, 166.9, 170.1, 172.9]                                               # 1.0 s, no dead time
DEAD = [0] * 5 + [200] * 17                                                         # after 0.4 s at once
RAMPED = [0, 0, 0, 0, 9.1, 25.6, 48.1, 75.6, 98.2, 116.6, 131.8, 144.1, 154.3, 162.5, 169.3, 174.9, 179.4, 183.2, 186.2,
          188.7, 190.7, 192.4]                                # the mean of LAG and of LAG 0.1, 0.2 and 0.3 s later
NOISE = [3, -2, 1, -3, 2, 3, -1, -3, 0, 2, -2, 3, -3, 1, 2, -1, -2, 3, 0, -3, 1, 2]
HELD = [0, 0, 0, 0, 36.3, 36.3, 36.3, 36.3, 126.4, 126.4, 126.4, 126.4, 166.9, 166.9, 166.9, 166.9, 185.1, 185.1, 185.1,
        185.1, 193.3, 193.3]                                  # LAG, renewed each 0.4 s only
NOISY = [a + b for a, b in zip(LAG, NOISE, strict=True)]
STEP = [(0.0, 0.0), (1.0, 200.0)]
RAMP = [(0.0, 0.0), (1.0, 50.0), (1.1, 100.0), (1.2, 150.0), (1.3, 200.0)]
CASES = [
    # set-points, readings, gain, dead_s, tau_s, within_s, why
    (STEP, LAG,                                                       1.0, 0.2, 0.5, 0.01, "dead time and lag"),
    (STEP, SLOW,                                                      1.0, 0.0, 1.0, 0.01, "lag alone"),
    (STEP, DEAD, 1.0, 0.4, 0.0, 0.1, "dead time alone: to one reading"),
    (RAMP, RAMPED, 1.0, 0.2, 0.5, 0.01, "our own ramp is not taken for the device's"),
    (STEP, NOISY,          1.0, 0.2, 0.5, 0.06, "3 W of noise"),
    (STEP, [500 + a for a in LAG], 1.0, 0.2, 0.5, 0.01, "what flowed before does not count"),
    (STEP, [-a for a in LAG],                                        -1.0, 0.2, 0.5, 0.01, "the wrong way round"),
    (STEP, [10 * a for a in LAG], 10.0, 0.2, 0.5, 0.01, "kW taken for hundreds of W"),
    (STEP, [a / 10 for a in LAG],                                     0.1, 0.2, 0.5, 0.01, "and the reverse"),
    (STEP, HELD, 1.0, 0.4, 0.5, 0.2, "seen half a refresh later, 0.2 s"),
]
# fmt: on


@pytest.mark.parametrize(("stairs", "readings", "gain", "dead_s", "tau_s", "within_s", "why"), CASES,
                         ids=[c[-1] for c in CASES])  # fmt: skip
def test_a_response_is_measured(
    stairs: list[tuple[float, float]], readings: list[float], gain: float, dead_s: float, tau_s: float,
    within_s: float, why: str,
) -> None:  # fmt: skip
    set_t_s, set_w = np.array(stairs).T
    t_s = 0.9 + 0.1 * np.arange(len(readings), dtype=np.float64)
    found = fit_response(set_t_s, set_w, t_s, np.array(readings, dtype=float))
    assert found.gain == pytest.approx(gain, rel=0.1)  # LAG ends at 97 %
    assert found.dead_s == pytest.approx(dead_s, abs=within_s)
    assert found.tau_s == pytest.approx(tau_s, abs=within_s)
    assert found.t90_s == found.dead_s + math.log(10) * found.tau_s


# fmt: off
NOTHING = [
    # set-points                   readings     why
    ([(0.0, 0.0), (1.0, 200.0)],   [0.0] * 5,   "too few readings"),
    ([(0.0, 0.0)],                 [0.0] * 20,  "no step"),
    ([(0.0, 50.0), (1.0, 50.0)],   [0.0] * 20,  "a step of nothing"),
]
# fmt: on


@pytest.mark.parametrize(("stairs", "readings", "why"), NOTHING, ids=[c[-1] for c in NOTHING])
def test_where_there_is_nothing_to_measure_nothing_is_said(
    stairs: list[tuple[float, float]], readings: list[float], why: str
) -> None:
    set_t_s, set_w = np.array(stairs).T
    assert fit_response(set_t_s, set_w, 0.1 * np.arange(len(readings)), np.array(readings)) is NO_RESPONSE


# fmt: off
SCALES = [
    # ratio    words                        why
    (1.0,      "",                          "as commanded"),
    (0.76,     "",                          "a quarter less is let pass: 200 W is little for an inverter"),
    (1.24,     "",                          "and a quarter more"),
    (0.70,     "is 0.70 times",             "not more than that"),
    (1.30,     "is 1.30 times",             "either way"),
    (10.0,     "a factor of 10",            "ten times"),
    (8.4,      "a factor of 10",            "ended early, on its way to ten times"),
    (0.1,      "a factor of 0.1",           "a tenth"),
    (1000.0,   "a factor of 1000",          "W and kW"),
    (0.04,     "does not move",             "less than 5 %"),
    (-0.04,    "does not move",             "either way: that is noise"),
    (-1.0,     "goes the wrong way round",  "wrong sign"),
    (-10.0,    "goes the wrong way round and is 10 times what was commanded, a factor of 10", "both are named"),
    (math.nan, "is not known",              "nothing was read"),
]
# fmt: on


@pytest.mark.parametrize(("ratio", "words", "why"), SCALES, ids=[c[-1] for c in SCALES])
def test_a_wrong_scale_is_named(ratio: float, words: str, why: str) -> None:
    found = scale_fault(ratio)
    assert words in found
    assert bool(found) == bool(words)


# fmt: off
INTERVALS = [
    # ms at which something was new           s        why
    ([0, 100, 200, 300],                      0.1,     "regular"),
    ([0, 100, 200, 250, 350, 450, 500],       0.08333, "a poll of 50 ms sees a refresh of 83 ms as 100, 100, 50"),
    ([0, 100, 200, 500, 600, 700],            0.1,     "one value happened to stay the same for 300 ms"),
    ([0],                                     None,    "one is no interval"),
    ([],                                      None,    "none"),
]
# fmt: on


@pytest.mark.parametrize(("t_ms", "seconds", "why"), INTERVALS, ids=[c[-1] for c in INTERVALS])
def test_interval(t_ms: list[int], seconds: float | None, why: str) -> None:
    found = interval_s(np.array(t_ms, dtype=np.int64) * 1_000_000)
    assert math.isnan(found) if seconds is None else found == pytest.approx(seconds, abs=1e-4)


def test_what_is_renewed() -> None:
    values = np.array([1.0, 1.0, 2.0, math.nan, math.nan, 2.0])
    assert renewed(values).tolist() == [False, False, True, True, False, True]
    assert renewed(np.zeros(0)).tolist() == []


def test_level_is_the_mean_of_what_was_read() -> None:
    t_s, p_w = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 100.0, 200.0, math.nan])
    assert level_w(t_s, p_w, 1.0, 3.0) == 150.0
    assert math.isnan(level_w(t_s, p_w, 3.0, 9.0))


# fmt: off
RESTS = [
    # W at 0, 1, 2 ... s            s      why
    ([200, 200, 40, 0, 0],          2.0,   "below 50 W and stays there"),
    ([200, 0, 200, 0, 0],           3.0,   "one zero among the readings is no rest"),
    ([200, 0, math.nan, 0, 0],      3.0,   "what is not known is no rest"),
    ([-200, -200, -40, 0],          2.0,   "either direction"),
    ([200, 200],                    None,  "never"),
]
# fmt: on


@pytest.mark.parametrize(("p_w", "seconds", "why"), RESTS, ids=[c[-1] for c in RESTS])
def test_rest(p_w: list[float], seconds: float | None, why: str) -> None:
    found = rest_s(np.arange(len(p_w), dtype=float), np.array(p_w, dtype=float), 50.0)
    assert math.isnan(found) if seconds is None else found == seconds
