"""When a pulse is given up, when an inverter is at rest, and the words for what was seen. One step each 10 ms."""

from __future__ import annotations

import math

import pytest

from controller.plantwatch import Guard, is_calm, reasons_now, state_text
from cython_core.records import DeviceValid, Reason, Session
from tests.controller.test_pulse import steps

# fmt: off
GUARDED = [
    # inverter  meter   asked    wrong   why
    (20.0,      10.0,   200.0,   False,  "on its way"),
    (210.0,     190.0,  200.0,   False,  "there"),
    (590.0,     200.0,  200.0,   False,  "not quite three times: judged at the end"),
    (630.0,     200.0,  200.0,   True,   "three times, by the inverter's word"),
    (200.0,     630.0,  200.0,   True,   "three times, by the meter's"),
    (-90.0,     -90.0,  200.0,   False,  "half of it the wrong way round"),
    (-100.0,    -80.0,  200.0,   True,   "more than that, 10 W flowed before"),
    (100.0,     20.0,   -200.0,  False,  "the same of the other direction"),
    (130.0,     20.0,   -200.0,  True,   "wrong way round"),
    (math.nan,  20.0,   200.0,   False,  "the inverter says nothing"),
]
# fmt: on


@pytest.mark.parametrize(("d_p_w", "m_p_w", "asked_w", "wrong", "why"), GUARDED, ids=[c[-1] for c in GUARDED])
def test_a_pulse_that_goes_wrong_is_given_up(d_p_w: float, m_p_w: float, asked_w: float, wrong: bool, why: str) -> None:
    before = steps(3, d_p_w=[10.0] * 3, m_p_w=[10.0] * 3)
    guard = Guard(before, int(before["t_ns"][0]), asked_w, use_meter=True)
    assert guard.wrong(steps(1, d_p_w=[d_p_w], m_p_w=[m_p_w])[0]) == wrong
    assert guard.wrong(steps(1, d_p_w=[asked_w], m_p_w=[asked_w])[0]) == wrong, "once wrong it stays so"
    assert not guard.is_over or not wrong, "it stands for a second, to be measured"


def test_a_meter_of_the_house_gives_no_pulse_up() -> None:
    before = steps(3, d_p_w=[0.0] * 3, m_p_w=[0.0] * 3)
    guard = Guard(before, 0, 200.0, use_meter=False)
    assert not guard.wrong(steps(1, d_p_w=[200.0], m_p_w=[-3000.0])[0])


def test_what_forbids_a_pulse_is_told_in_words() -> None:
    told_by = steps(1, reasons=[int(Reason.SOC_LIMIT | Reason.WISH_CLAMPED | Reason.SKIPPED)])[0]
    assert reasons_now(told_by) == "the battery is full, empty or unknown"
    assert reasons_now(steps(1)[0]) == "the core does not command it"


def test_the_state_in_words() -> None:
    newest = steps(1, d_session=[int(Session.ENDED_BY_CAR)], d_valid=[int(DeviceValid.SESSION)], d_status=[3])[0]
    assert state_text(newest) == "session ended by car, running, connected"
    assert state_text(steps(1)[0]) == "session not told, no status"


# fmt: off
CALM = [
    # commanded  inverter   calm    why
    (0.0,        40.0,      True,   "less than a quarter of the pulse"),
    (0.0,        -60.0,     False,  "it still moves"),
    (10.0,       0.0,       False,  "something is commanded"),
    (0.0,        math.nan,  True,   "it never says its power"),
]
# fmt: on


@pytest.mark.parametrize(("p_cmd_w", "d_p_w", "calm", "why"), CALM, ids=[c[-1] for c in CALM])
def test_calm(p_cmd_w: float, d_p_w: float, calm: bool, why: str) -> None:
    assert is_calm(steps(1, p_cmd_w=[p_cmd_w], d_p_w=[d_p_w])[0], 50.0) == calm
