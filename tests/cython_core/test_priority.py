"""Which function wins: 1547.1-2020 Tables 38 (Category A) and 39 (B) as one unit lives through them, in time.

Setting  active power limit 0.5, demand 1.0, volt-watt and droop on, one reactive mode; every response time at its
         default (droop 5 s, volt-watt 10 s, volt-var B 5 s and A 10 s). Each step is held for a minute.
Judged   P and Q at the end of every step; and, in the steps where one function moves alone, when 90 % of the change is
         made, from both sides (IEEE 1547-2018, open-loop response time; MRA of time: 1 %, or 2 cycles below 5 s).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cython_core.series import RATED_W, Series, p_pu, pencil, q_pu
from tests.cython_core.worked import EXAMPLES, FOUR_DIGITS

PERIOD_S = 0.01
HOLD_S = 70.0  # 7 times the slowest response time
STEPS = EXAMPLES["priority"]["steps"]["rows"]
CASES = EXAMPLES["priority"]["cases"]
MODES: dict[str, dict[str, Any]] = {
    "volt_var": {"volt_var": {}},
    "constant_q": {"const_var": {"q_pu": 0.44}},
    "constant_pf": {"power_factor": {"pf": 0.9, "excitation": "inject"}},
    "watt_var": {"watt_var": {}},
}


def lived(case: dict[str, Any], period_s: float = PERIOD_S, refresh_s: float = 0.0) -> list[Any]:
    """The records of each of the eight steps."""
    chosen = pencil(
        case["category"],
        active_limit={"enable": True, "limit_pu": 0.5},
        volt_watt={"enable": True, "p2_pu": case["p2_pu"]},
        **MODES[case["mode"]],
    )
    unit = Series(chosen, period_s, refresh_s, wish_pu=1.0)
    return [unit.run(HOLD_S, v_pu=v_pu, f_hz=f_hz) for v_pu, f_hz in STEPS]


def name(case: dict[str, Any]) -> str:
    return f"{case['category']} {case['mode']} P2 {case['p2_pu']}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_end_of_each_step(case: dict[str, Any]) -> None:
    records = lived(case)
    assert [float(p_pu(r)[-1]) for r in records] == pytest.approx(case["p_pu"], abs=FOUR_DIGITS)
    assert [float(q_pu(r)[-1]) for r in records] == pytest.approx(case["q_pu"], abs=FOUR_DIGITS)


@pytest.mark.parametrize(("period_s", "refresh_s"), [(0.001, 0.1), (0.1, 0.0), (0.1, 0.3)])
def test_end_of_each_step_at_other_periods_and_meters(period_s: float, refresh_s: float) -> None:
    (case,) = [c for c in CASES if (c["category"], c["mode"], c["p2_pu"]) == ("B", "watt_var", 0.2)]
    records = lived(case, period_s, refresh_s)
    assert [float(p_pu(r)[-1]) for r in records] == pytest.approx(case["p_pu"], abs=FOUR_DIGITS)
    assert [float(q_pu(r)[-1]) for r in records] == pytest.approx(case["q_pu"], abs=FOUR_DIGITS)


# fmt: off
ALONE = [
    # step  output  t90_s by category      why this function moves alone
    (2,     "p",    {"A": 10.0, "B": 10.0}, "volt-watt: from the limit down to the ceiling"),
    (2,     "q",    {"A": 10.0, "B": 5.0},  "volt-var: V 1.00 -> 1.09"),
    (3,     "p",    {"A": 5.0,  "B": 5.0},  "droop: 60.33 Hz, the ceiling is above"),
    (4,     "p",    {"A": 5.0,  "B": 5.0},  "droop lets go"),
    (6,     "p",    {"A": 10.0, "B": 10.0}, "volt-watt lets go: droop has long asked for more"),
    (6,     "q",    {"A": 10.0, "B": 5.0},  "volt-var: V 1.09 -> 1.00"),
    (8,     "p",    {"A": 5.0,  "B": 5.0},  "droop: 59.36 Hz at normal voltage"),
]
# fmt: on


def t90_s(y: NDArray[np.float64], before: float) -> float:
    """When the output first has 90 % of its change, seconds after the input changed."""
    done = (y - before) / (y[-1] - before)
    return float((np.argmax(done >= 0.9 - 1e-9) + 1) * PERIOD_S)


@pytest.mark.parametrize(("step", "output", "expected", "why"), ALONE, ids=[f"step {c[0]} {c[-1]}" for c in ALONE])
@pytest.mark.parametrize("category", ["A", "B"])
@pytest.mark.parametrize("p2_pu", [0.2, 0.0])
def test_90_percent_where_one_function_moves_alone(
    category: str, p2_pu: float, step: int, output: str, expected: dict[str, float], why: str
) -> None:
    records = lived({"category": category, "mode": "volt_var", "p2_pu": p2_pu})
    y = [p_pu(r) if output == "p" else q_pu(r) for r in records]
    before, now = float(y[step - 2][-1]), y[step - 1]
    t_s = expected[category]
    assert t90_s(now, before) == pytest.approx(t_s, abs=0.01 * t_s), why
    assert abs(now - before).max() <= abs(now[-1] - before) + FOUR_DIGITS  # no overshoot


# fmt: off
P_PRE = [
    # step  p_pre  why
    (3,     "ceiling", "the event began under the volt-watt ceiling"),
    (5,     "ceiling", "again: a new event, the same ceiling"),
    (6,     "ceiling", "the voltage is back, the event is not over: p_pre is not taken anew"),
    (8,     "limit",   "an event from the active power limit"),
]
# fmt: on


@pytest.mark.parametrize(("step", "source", "why"), P_PRE, ids=[c[-1] for c in P_PRE])
@pytest.mark.parametrize(("p2_pu", "ceiling_pu"), [(0.2, 0.40), (0.0, 0.25)])
def test_what_droop_starts_from(step: int, source: str, why: str, p2_pu: float, ceiling_pu: float) -> None:
    p_pre_w = lived({"category": "B", "mode": "volt_var", "p2_pu": p2_pu})[step - 1]["p_pre_w"][-1]
    assert p_pre_w / RATED_W == pytest.approx({"ceiling": ceiling_pu, "limit": 0.5}[source], abs=1e-3), why


# --- latching what is measured would ratchet ---

GLITCHES, GLITCH_S = 4, 0.1


def latching_the_output(f_hz: NDArray[np.float64], t_response_s: float) -> float:
    """What a droop that latches its own output ends with, pu: the fault this core must not have."""
    now_pu, p_pre_pu, outside = 0.0, 0.0, False
    left = 10.0 ** (-PERIOD_S / t_response_s)
    for f in f_hz:
        under_hz = 59.964 - f
        if under_hz > 0.0 and not outside:
            p_pre_pu = now_pu
        outside = under_hz > 0.0
        target = p_pre_pu + under_hz / 3.0 if outside else 0.0
        now_pu = target + (now_pu - target) * left
    return now_pu


def glitches(wish_f_hz: float, glitch_f_hz: float) -> NDArray[np.float64]:
    """Half a minute at one frequency, then four glitches of 0.1 s, each followed by half a minute."""
    glitch = [glitch_f_hz] * round(GLITCH_S / PERIOD_S)
    between = [wish_f_hz] * round(30.0 / PERIOD_S)
    return np.array(between + (glitch + between) * GLITCHES)


def test_glitches_back_into_the_dead_band_do_not_ratchet() -> None:
    """59.5 Hz from rest is 0.155 pu. Latching the output anew after each glitch ends at 0.707 pu."""
    f_hz = glitches(59.5, 60.0)
    assert latching_the_output(f_hz, 5.0) == pytest.approx(0.707, abs=1e-3)
    unit = Series(pencil())
    unit.run(10.0)
    p = p_pu(unit.run(len(f_hz) * PERIOD_S, f_hz=f_hz))
    assert p.max() == pytest.approx(0.1547, abs=FOUR_DIGITS)
    assert p[-1] == pytest.approx(0.1547, abs=FOUR_DIGITS)
    assert unit.rows["p_pre_w"].max() == 0.0


@pytest.mark.parametrize("t_response_s", [0.2, 5.0])
@pytest.mark.parametrize("wish_pu", [0.155, -0.4])
def test_glitches_out_of_the_dead_band_do_not_ratchet(t_response_s: float, wish_pu: float) -> None:
    f_hz = glitches(60.0, 59.0)
    unit = Series(pencil(freq_droop={"t_response_s": t_response_s, "refresh_s": 0.05}), wish_pu=wish_pu)
    unit.run(10.0)
    records = unit.run(len(f_hz) * PERIOD_S, f_hz=f_hz)
    assert records["p_pre_w"] == pytest.approx(wish_pu * RATED_W)
    assert p_pu(records).max() <= wish_pu + 0.3213 + FOUR_DIGITS  # one event's answer at most
    assert p_pu(records)[-1] == pytest.approx(wish_pu, abs=FOUR_DIGITS)
