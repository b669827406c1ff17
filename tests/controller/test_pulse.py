"""What step records tell of a pulse: records typed by hand, a step each 10 ms, times in ms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from controller.plantcard import CardPulse
from controller.pulse import (
    Pulse,
    Steps,
    change_w,
    edges,
    inverter_view,
    meter_view,
    readback_faults,
    readback_s,
    refresh_s,
    rounds,
    stairs,
    times_ms,
    untested,
)
from controller.stepresponse import NO_RESPONSE
from cython_core.bulk import STEP

NAN = math.nan
MS = 1_000_000


def steps(count: int, **columns: Any) -> Steps:
    """One step each 10 ms from 1000 ms on; times in ms, whatever their column. Not given: 0, or NaN."""
    found = np.zeros(count, STEP)
    for name in STEP.names or ():
        if found[name].dtype == np.float64:
            found[name] = NAN
    found["t_ns"] = (1000 + 10 * np.arange(count)) * MS
    found["p_cmd_w"] = 0.0
    for name, values in columns.items():
        found[name] = np.array(values) * (MS if name.endswith("_ns") else 1)
    return found


def test_a_reading_counts_once() -> None:
    """Asked each 20 ms: the steps between show it again."""
    found = steps(5, d_t_ns=[0, 1001, 1001, 1021, 1021], d_p_w=[NAN, 10.0, 10.0, 20.0, 20.0])
    t_s, p_w = inverter_view(found, 1000 * MS)
    assert t_s.tolist() == pytest.approx([0.001, 0.021])
    assert p_w.tolist() == [10.0, 20.0]
    assert meter_view(steps(3, m_t_p_ns=[1000, 1010, 1020], m_p_w=[NAN, 5.0, 5.0]), 1000 * MS)[1].tolist() == [5.0, 5.0]


def test_refresh_is_that_of_the_liveliest_quantity() -> None:
    """Frequency stays the same three times of four; voltage is new each 20 ms, behind a request of its own."""
    t_ms = [1000 + 10 * i for i in range(9)]
    found = steps(
        9, m_t_f_ns=t_ms, m_t_v_ns=t_ms, m_t_p_ns=t_ms, m_p_w=[0.0] * 9,
        m_f_hz=[60.0] * 4 + [60.01] * 4 + [60.0], m_v1_v=[230.0, 231, 231, 232, 232, 233, 233, 234, 234],
    )  # fmt: skip
    assert refresh_s(found) == pytest.approx(0.02)
    assert math.isnan(refresh_s(steps(9, m_t_f_ns=t_ms, m_f_hz=[60.0] * 9)))


def test_a_round_of_two_requests_is_one_round() -> None:
    """8 ms from the first request's answer to the second's, then a rest until 100 ms are over."""
    t_ms = np.array([0, 8, 100, 108, 200, 208, 300])
    assert rounds(t_ms).tolist() == [0, 100, 200, 300]
    assert rounds(np.array([0, 100, 200])).tolist() == [0, 100, 200]
    assert rounds(np.array([5])).tolist() == [5]


def test_the_stairs_are_what_was_acknowledged() -> None:
    """0 W stood; 40 W and 80 W were commanded on the way and never written; 120 W was, and a refresh of it."""
    found = steps(6, p_cmd_w=[0, 40, 80, 120, 120, 120], d_t_echo_ns=[900, 900, 900, 900, 1032, 1049])
    t_s, set_w = stairs(found, 1000 * MS)
    assert t_s.tolist() == pytest.approx([-0.1, 0.032])
    assert set_w.tolist() == [0.0, 120.0]


def test_the_edges_are_where_it_first_leaves_a_rest_by_what_is_worth_a_write() -> None:
    """A quantum of 10 W; 4 W more are no edge, and a ramp has one."""
    p_cmd_w = [0.0] * 25 + [4.0, 8.0, 12.0] + [200.0] * 40 + [100.0, 0.0, 0.0]
    assert edges(steps(len(p_cmd_w), p_cmd_w=p_cmd_w), 10.0) == [27, 68]


def test_level_changes_from_the_rest_before_to_the_settled_part() -> None:
    """From 1 s to 2 s; from 60 % of it on it is settled: 1.6 s."""
    t_s, p_w = np.array([0.5, 0.9, 1.2, 1.7, 1.9]), np.array([10.0, 30.0, 900.0, 210.0, 230.0])
    assert change_w(t_s, p_w, 1.0, 2.0) == 200.0


def test_write_and_read_back_are_timed() -> None:
    """Commanded at 1010, acknowledged at 1024, shown by the state of 1041."""
    found = steps(
        6, p_cmd_w=[0.0, 200, 200, 200, 200, 200], d_t_echo_ns=[900, 900, 900, 1024, 1024, 1024],
        d_t_ns=[995, 995, 995, 1019, 1019, 1041], d_p_set_readback_w=[0.0, 0, 0, 0, 0, 195],
    )  # fmt: skip
    assert readback_s(found, 200.0, 10.0) == pytest.approx(0.017)
    assert times_ms(found, 10.0, 200.0, NO_RESPONSE) == pytest.approx({"write_ms": 14.0, "readback_ms": 17.0})
    assert math.isnan(readback_s(found, 200.0, 1.0)), "5 W off is not it, where a step is 1 W"


# fmt: off
READ_BACK = [
    # shown    commanded   fault                                             why
    (200.0,    200.0,      [],                                               "what was written"),
    (195.0,    200.0,      [],                                               "to one quantum of 10 W"),
    (NAN,      200.0,      [],                                               "it shows none"),
    (20.0,     200.0,      ["reads back a set-point of +20 W for +200 W"],   "another scale"),
    (20.0,     150.0,      [],                                               "the core had not come to the pulse"),
]
# fmt: on


@pytest.mark.parametrize(("shown_w", "commanded_w", "faults", "why"), READ_BACK, ids=[c[-1] for c in READ_BACK])
def test_a_set_point_that_is_not_ours_is_a_fault(
    shown_w: float, commanded_w: float, faults: list[str], why: str
) -> None:
    found = steps(2, p_cmd_w=[commanded_w] * 2, d_p_set_readback_w=[shown_w] * 2)
    assert readback_faults(found, 2000 * MS, 200.0, 10.0) == faults


def test_what_a_pulse_says_on_the_card() -> None:
    assert untested("charge", "the battery is full").card() == CardPulse(result="not tested", why="the battery is full")
    failed = Pulse("charge", ("a", "b"), commanded_w=-200.0, meter_w=200.0)
    assert failed.card() == CardPulse(result="failed", why="a; b", commanded_w=-200.0, meter_w=200.0)
    assert Pulse("charge", commanded_w=-200.0).result == "passed"
