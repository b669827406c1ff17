"""Fast frequency response and inertial response: off by default, and what they give when they are on."""

from __future__ import annotations

import pytest

from cython_core.records import Reason
from tests.cython_core.unit import Unit, reasons, running, settings

NO_DROOP = {"enable": False}
FAST = {"enable": True, "trigger_hz": 0.3, "power_pu": 0.5, "full_s": 1.0, "hold_s": 5.0, "release_s": 10.0}
INERTIA = {"enable": True, "h_s": 4.0, "rocof_min_hz_s": 0.1, "limit_pu": 0.2, "t_response_s": 0.1}


def fast(**more: float) -> Unit:
    return running(1000.0, freq_droop=NO_DROOP, fast_response={**FAST, **more})


def test_both_are_off_by_default() -> None:
    unit = running(1000.0, freq_droop=NO_DROOP)
    for f_hz in (59.5, 59.0, 58.0):
        assert unit.advance(0.5, f_hz=f_hz).p_cmd_w == 1000.0


# fmt: off
FAST_ROWS = [
    # t_s    p_w       why: 5 kW on top of 1 kW, from 59.69 Hz on
    (0.10,   1000.0,   "one refresh of 100 ms below the trigger is a phase jump, read ten times or once"),
    (0.60,   3500.0,   "half way up after half a second"),
    (1.10,   6000.0,   "full after a second"),
    (6.09,   6000.0,   "held for 5 s"),
    (11.10,  3500.0,   "half way down"),
    (20.00,  1000.0,   "over, and not again while frequency stays low"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "p_w", "why"), FAST_ROWS, ids=[c[-1] for c in FAST_ROWS])
def test_fast_response_rises_holds_and_releases(t_s: float, p_w: float, why: str) -> None:
    record = fast().advance(t_s, f_hz=59.69)
    assert record.p_cmd_w == pytest.approx(p_w, abs=55.0), why
    assert bool(reasons(record) & Reason.FAST_RESPONSE) == (p_w > 1000.0)


@pytest.mark.parametrize("f_hz", [59.7, 60.0, 61.0])
def test_at_the_trigger_and_above_nothing_happens(f_hz: float) -> None:
    assert fast().advance(3.0, f_hz=f_hz).p_cmd_w == 1000.0


@pytest.mark.parametrize("refresh_s", [0.05, 0.1, 1.0])
def test_one_false_refresh_starts_nothing_however_often_it_is_read(refresh_s: float) -> None:
    """A phase jump: the meter shows 59.5 Hz until its next refresh, and is read every 10 ms."""
    unit = running(1000.0, freq_droop={**NO_DROOP, "refresh_s": refresh_s}, fast_response=FAST)
    since = len(unit.records)
    unit.advance(refresh_s, f_hz=59.5)
    unit.advance(2.0, f_hz=60.0)
    assert set(unit.powers(since)) == {1000.0}


def test_armed_again_once_frequency_was_back() -> None:
    unit = fast()
    unit.advance(30.0, f_hz=59.5)
    unit.advance(0.1, f_hz=60.0)
    assert unit.advance(2.0, f_hz=59.5).p_cmd_w == pytest.approx(6000.0)


def test_a_frequency_that_goes_stale_ends_it_by_its_release() -> None:
    unit = fast()
    unit.advance(2.0, f_hz=59.5)
    unit.advance(0.97, f_hz=float("nan"))  # held, then stale
    assert unit.advance(5.0).p_cmd_w == pytest.approx(3500.0, abs=30.0)
    assert unit.advance(6.0).p_cmd_w == 1000.0


@pytest.mark.parametrize(
    "then", [{}, {**FAST, "power_pu": 0.1}, {**FAST, "power_pu": 1.0}], ids=["off", "less", "more"]
)
def test_other_settings_do_not_reach_into_a_response(then: dict[str, float]) -> None:
    """5 kW of it, then the group is gone from the file (whose default is 10 kW), or names another power."""
    unit = fast()
    assert unit.advance(2.0, f_hz=59.5).p_cmd_w == pytest.approx(6000.0)
    unit.core.change(settings(freq_droop=NO_DROOP, fast_response=then))
    changed = len(unit.records)
    unit.advance(20.0)
    assert unit.last.p_cmd_w == 1000.0
    assert max(unit.powers(changed)) == pytest.approx(6000.0)
    assert unit.largest_step_w(changed) == pytest.approx(5.0)  # 5 kW in 10 s


def test_it_stays_inside_the_limits() -> None:
    unit = running(8000.0, freq_droop=NO_DROOP, fast_response=FAST)
    assert unit.advance(2.0, f_hz=59.5).p_cmd_w == 10000.0
    assert unit.advance(0.1, soc=0.2).p_cmd_w < 10000.0


# fmt: off
ROCOF = [
    # hz_s    dp_w      why: 2 x 4 s x 10 kVA / 60 Hz = 1333 W per Hz/s
    (0.05,      0.0,    "below the meter's noise"),
    (-0.3,    400.0,    "falling: give"),
    (0.3,    -400.0,    "rising: take"),
    (-1.2,   1600.0,    "quick"),
    (-3.0,   2000.0,    "never more than limit_pu"),
]
# fmt: on


@pytest.mark.parametrize(("hz_s", "dp_w", "why"), ROCOF, ids=[c[-1] for c in ROCOF])
def test_inertia_opposes_the_change_of_frequency(hz_s: float, dp_w: float, why: str) -> None:
    unit = running(1000.0, freq_droop=NO_DROOP, inertia=INERTIA)
    for i in range(1, 101):
        unit.step(f_hz=60.0 + hz_s * 0.01 * i)
    assert unit.last.rocof_hz_s == pytest.approx(hz_s, abs=1e-6)
    assert unit.last.dp_fast_w == pytest.approx(dp_w, abs=1.0), why
    assert bool(reasons(unit.last) & Reason.INERTIA) == (dp_w != 0.0)
    assert unit.advance(2.0).dp_fast_w == pytest.approx(0.0, abs=1.0)  # a steady frequency, whatever its value
