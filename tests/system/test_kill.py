"""SIGKILL of any one process: the unit stays safe, nothing is lost, and what is restarted goes on without a jump."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np
import pytest

from cython_core.records import Mode, Reason, State
from tests.faults.checks import assert_no_jump, assert_nothing_lost, assert_starts_from_present_power, assert_whole
from tests.faults.owed import LOOK_S, UNIT_LAG_S
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


# ---- the controller, at random moments ----

DEVICES = ("grid", "meter", "inverter")
LATEST_KILL_S = 6.0  # after its start: it looks for devices, waits, ramps for 1 s, and is in service


@pytest.mark.parametrize(
    "kills", [pytest.param(10, id="10"), pytest.param(50, marks=pytest.mark.nightly, id="50, at night")]
)
def test_controller_killed_at_random_moments(tmp_path: Path, kills: int) -> None:
    """Two rigs beside each other, a seed each; a failure names its seed and moment."""
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda seed: kill_again_and_again(tmp_path / f"seed{seed}", seed, kills // 2), (1, 2)))


def kill_again_and_again(folder: Path, seed: int, kills: int) -> None:
    random = Random(seed)
    with Rig(folder) as rig:
        rig.start(*DEVICES)
        for i in range(kills):
            rig.restart("controller")
            moment_s = random.uniform(0.0, LATEST_KILL_S)
            try:
                one_kill(rig, moment_s)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, kill {i} after {moment_s:.3f} s: {error}") from error
        rig.restart("controller")
        rig.wait_for(rig.is_calm, LONG_S, "service after the last one")


def one_kill(rig: Rig, moment_s: float) -> None:
    """What it did until then began where the unit stood and went by ramp; then its inverter rests in time."""
    bar, epochs = rig.bar, len(rig.runs)
    assert abs(bar.get("p_w")) < SMALL_W, "at rest from the kill before"
    rig.run_for(moment_s)
    rig.kill("controller")
    killed_s = time.monotonic()
    records = rig.records()
    if len(rig.runs) > epochs and np.any(records["mode"] != Mode.SILENT):
        assert_starts_from_present_power(records)
        assert_no_jump(records)
    rig.wait_for(lambda: bar.get("p_left_s") == 0.0, REVERSION_S + LOOK_S, "the inverter's own timer")
    rig.wait_for(lambda: abs(bar.get("p_w")) < SMALL_W, UNIT_LAG_S + LOOK_S, "0 W")
    assert time.monotonic() - killed_s <= REVERSION_S + UNIT_LAG_S + 2 * LOOK_S


# ---- what stands behind the ring ----


# fmt: off
BEHIND_THE_RING = [
    # killed one after the other   why
    (("telemetry",),               "journal, frames and outbox go on where the files end"),
    (("bridge",),                  "the broker, or the outbox, sends again"),
    (("broker",),                  "the outbox keeps what cannot be sent"),
    (("bridge", "broker"),         "what only the broker had is gone with it: its receipt is no delivery"),
]
# fmt: on


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One rig for all of them."""
    with Rig(tmp_path_factory.mktemp("living") / "rig") as running:
        running.start()
        yield running


@pytest.mark.parametrize(("parts", "why"), BEHIND_THE_RING, ids=["+".join(c[0]) for c in BEHIND_THE_RING])
def test_killed_and_restarted_it_goes_on(living: Rig, parts: tuple[str, ...], why: str) -> None:
    rig, before = living, living.n()
    for part in parts:
        rig.kill(part)
        rig.run_for(3.0)
    records = rig.records()
    assert records["n"][-1] > before + 100, "the controller goes on"
    assert set(records["state"][records["n"] >= before]) == {int(State.IN_SERVICE)}
    assert not rig.reasons_since(before) & ~(Reason.DEFAULT_WISH | Reason.SKIPPED), "no step has noticed"
    for part in reversed(parts):
        rig.restart(part)
    seen = len(rig.rows("live"))
    rig.wait_for(lambda: len(rig.rows("live")) > seen, LONG_S, "a live row after the restart")
    rig.wait_for(lambda: rig.telemetry().get("waiting") == 0, LONG_S, why)


def test_of_all_that_was_killed_nothing_is_lost(living: Rig) -> None:
    """The last test of that rig: every step in its journal, every row in its store, once."""
    assert living.n() > 100 * len(BEHIND_THE_RING)
    stop_and_look(living)


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
