"""SIGKILL of any one process: the unit stays safe, nothing is lost, and what is started again goes on without a jump."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cython_core.records import Mode, Reason, State
from tests.faults.checks import assert_no_jump, assert_nothing_lost, assert_starts_from_present_power, assert_whole
from tests.faults.rig import CHARGE_W, CHOICES, P_RATED_W, Rig

SMALL_W = 0.01 * P_RATED_W
REVERSION_S = CHOICES["reversion_s"]
LONG_S = 40.0  # reconnecting and sending anew have pauses of their own


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path / "rig") as running:
        running.start()
        yield running


def newest_steps(rig: Rig) -> dict[int, int]:
    """epoch -> newest step that was in its ring."""
    rig.records()
    return {epoch: int(found["n"][-1]) for epoch, found in rig.runs.items()}


def stop_and_look(rig: Rig) -> None:
    """Stop in order; then journal and store must be whole."""
    newest = newest_steps(rig)
    rig.stop("controller")
    rig.stop("telemetry")
    rig.stop()
    assert_whole(rig.replayed(), newest)
    assert_nothing_lost(rig.rows("live"), rig.rows("event"), newest)


# ---- the controller ----


def test_controller_killed_the_inverters_own_timer_brings_it_to_0_still_enabled(rig: Rig) -> None:
    bar = rig.bar
    assert bar.get("p_w") == pytest.approx(-CHARGE_W, abs=SMALL_W)
    rig.kill("controller")
    assert 0.0 < bar.get("p_left_s") <= REVERSION_S, "the timer runs, and never for longer than it was told"
    rig.wait_for(lambda: bar.get("p_left_s") == 0.0, REVERSION_S + 1.0, "the inverter's own timer")
    rig.wait_for(lambda: abs(bar.get("p_w")) < SMALL_W, 2.0, "0 W, by the inverter's lag of 0.15 s")
    rig.run_for(1.0)
    assert bar.get("p_enabled") == 1.0, "the set-point stays enabled, at 0 W: nothing else takes over"
    assert abs(bar.get("p_w")) < SMALL_W

    rig.restart("controller")
    rig.wait_for(lambda: rig.is_calm() and len(rig.runs) == 2, LONG_S, "the new controller in service")
    records = rig.records()
    assert_starts_from_present_power(records)
    assert_no_jump(records)
    first = records[int(np.argmax(records["mode"] != Mode.SILENT))]
    assert abs(first["p_cmd_w"]) < SMALL_W, "from 0 W on, by ramp"
    rig.wait_for(lambda: abs(bar.get("p_w") + CHARGE_W) < SMALL_W, 5.0, "the charging power")
    stop_and_look(rig)


def test_controller_killed_and_at_once_restarted_takes_over_without_a_jump(tmp_path: Path) -> None:
    with Rig(tmp_path / "rig", reversion_s=20) as rig:
        rig.start()
        rig.kill("controller")
        rig.restart("controller")
        rig.wait_for(lambda: rig.is_calm() and len(rig.runs) == 2, LONG_S, "the new controller in service")
        records = rig.records()
        assert_starts_from_present_power(records)
        assert_no_jump(records)
        measured_w = records["d_p_w"][np.isfinite(records["d_p_w"])]
        assert np.all(np.abs(measured_w + CHARGE_W) < SMALL_W), "the car has not noticed"


# ---- what stands behind the ring ----


@pytest.mark.parametrize("part", ["telemetry", "bridge", "broker"])
def test_killed_and_restarted_nothing_is_lost(rig: Rig, part: str) -> None:
    before = rig.n()
    rig.kill(part)
    rig.run_for(4.0)
    records = rig.records()
    assert records["n"][-1] > before + 100, "the controller goes on"
    assert set(records["state"][before:]) == {int(State.IN_SERVICE)}
    assert not rig.reasons_since(before) & ~(Reason.DEFAULT_WISH | Reason.SKIPPED), "no step has noticed"
    rig.restart(part)
    seen = len(rig.rows("live"))
    rig.wait_for(lambda: len(rig.rows("live")) > seen, LONG_S, "a live row after the restart")
    rig.wait_for(lambda: rig.telemetry().get("waiting") == 0, LONG_S, "an empty outbox")
    stop_and_look(rig)


# ---- the devices ----


def test_inverter_killed_the_controller_stays_up_and_silent_and_comes_back_by_ramp(rig: Rig) -> None:
    before = rig.n()
    rig.kill("inverter")
    rig.wait_for(lambda: rig.newest()["reasons"] & Reason.DEVICE_LOST, 15.0, "the inverter to be lost")
    lost = rig.newest()
    assert (lost["mode"], lost["state"]) == (Mode.SILENT, State.STARTING), "no more writes: its own timer acts"
    assert rig.reasons_since(before) & Reason.DEVICE_STALE, "held and stale come first"
    rig.restart("inverter")
    rig.wait_for(rig.is_calm, LONG_S, "service again")
    records = rig.records()
    again = records[records["n"] > lost["n"]]
    assert_starts_from_present_power(again)
    assert_no_jump(again)
    stop_and_look(rig)
