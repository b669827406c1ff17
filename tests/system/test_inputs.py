"""Broken input at the controller's doors, with real processes: each step's record says what was wrong, and it recovers.

The table is section 6 of the design. Ages here: fresh to 400 ms, held to 1 s, stale to 3 s (the inverter's own timer),
then lost. The unit charges with 1400 W when nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cython_core.records import Freshness, Mode, Reason, State
from tests.faults.checks import assert_no_jump, assert_starts_from_present_power, assert_whole
from tests.faults.demos import v2g
from tests.faults.rig import CHARGE_W, P_RATED_W, Records, Rig

SMALL_W = 0.01 * P_RATED_W
LIMIT_S = 30.0  # bounds for a broken build, not figures
DIP = "t_s,f_hz\n0,60\n1,59.6\n600,59.6\n"  # until it is played the grid stays at 60 Hz
DIP_W = (0.4 - 0.036) / (60.0 * 0.05) * P_RATED_W  # 849 W
AGES = Reason.F_HELD | Reason.F_STALE | Reason.F_LOST | Reason.V_HELD | Reason.V_STALE | Reason.V_LOST


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("inputs") / "rig", DIP) as running:
        running.start()
        yield running


@pytest.fixture
def rig(running: Rig) -> Rig:
    """The one rig of this module, mended and calm."""
    running.mended()
    running.wait_for(running.is_calm, LIMIT_S, "a calm unit")
    return running


# ---- the meter ----

# fmt: off
METER = [
    # fault           names itself by     why
    ("meter.nan",     Reason.F_INVALID,   "answers, and every quantity is not a number"),
    ("meter.silent",  Reason(0),          "takes the connection and never answers"),
    ("meter.freeze",  Reason.METER_FROZEN, "repeats its last answer bit by bit, which this map can tell"),
    ("killed",        Reason(0),          "nobody listens on its port"),
]
# fmt: on


@pytest.mark.parametrize(("fault", "named", "why"), METER, ids=[c[0] for c in METER])
def test_meter_held_stale_lost_safe_and_back_by_ramp(rig: Rig, fault: str, named: Reason, why: str) -> None:
    before = rig.n()
    if fault == "killed":
        rig.kill("meter")
    else:
        rig.fault(fault)
    rig.wait_for(lambda: rig.newest()["mode"] == Mode.SAFE, LIMIT_S, "the safe mode")
    rig.wait_for(lambda: rig.newest()["p_cmd_w"] == 0.0, LIMIT_S, "the safe power of 0 W")
    broken = since(rig, before)
    assert stood(broken) & named == named, why
    assert_in_order(broken)
    assert int(broken[-1]["reasons"]) & (Reason.METER_LOST | Reason.F_LOST | Reason.V_LOST)
    assert broken[-1]["state"] == State.DEGRADED, "a lost meter is no trip"
    assert_ramps_within(broken, 10.0)
    assert_no_jump(broken)

    mended = rig.n()
    rig.mended()
    if fault == "killed":
        rig.restart("meter")
    rig.wait_for(rig.is_calm, LIMIT_S, "service again, without a wait of 300 s")
    back = since(rig, mended)
    assert_no_jump(back)
    assert back[-1]["p_cmd_w"] == -CHARGE_W
    assert back[-1]["mode"] == Mode.ACTIVE


def since(rig: Rig, n: int) -> Records:
    found = rig.records()
    return found[found["n"] >= n]


def stood(records: Records) -> Reason:
    """Every reason that stood in any of these."""
    return Reason(int(np.bitwise_or.reduce(records["reasons"])))


def assert_in_order(records: Records) -> None:
    """held, stale, lost: each age only rises, each grade has its own reason, and what each grade does is done."""
    grades = records["fresh_f"]
    first = int(np.argmax(grades == Freshness.LOST))
    last_fresh = first - int(np.argmax(grades[:first][::-1] == Freshness.FRESH))
    rising = grades[last_fresh : first + 1]
    assert sorted(set(rising)) == [Freshness.HELD, Freshness.STALE, Freshness.LOST]
    assert np.all(np.diff(rising) >= 0)
    for grade, f_reason, v_reason in (
        (Freshness.HELD, Reason.F_HELD, Reason.V_HELD),
        (Freshness.STALE, Reason.F_STALE, Reason.V_STALE),
        (Freshness.LOST, Reason.F_LOST, Reason.V_LOST),
    ):
        for name, reason in (("fresh_f", f_reason), ("fresh_v", v_reason)):
            here = records[records[name] == grade]
            assert len(here)
            assert np.all(here["reasons"] & (AGES & named_of(name)) == reason), f"{grade!r} is named {reason!r} alone"
    meter_lost = (records["fresh_f"] == Freshness.LOST) & (records["fresh_v"] == Freshness.LOST)
    assert np.array_equal(records["reasons"] & Reason.METER_LOST != 0, meter_lost)
    assert np.array_equal(records["mode"] == Mode.SAFE, meter_lost)
    not_lost = records[records["fresh_v"] < Freshness.LOST]
    assert np.all(not_lost["p_cmd_w"] == -CHARGE_W), "the wish and charging go on while it is held or stale"


def named_of(signal: str) -> Reason:
    if signal == "fresh_f":
        return Reason.F_HELD | Reason.F_STALE | Reason.F_LOST
    return Reason.V_HELD | Reason.V_STALE | Reason.V_LOST


def assert_ramps_within(records: Records, limit_s: float) -> None:
    """From the first step in the safe mode to 0 W, in the grid's own time; a ramp, not a step."""
    safe = records[records["mode"] == Mode.SAFE]
    at_zero = safe[safe["p_cmd_w"] == 0.0]
    took_s = (at_zero["t_ns"][0] - safe["t_ns"][0]) * 1e-9
    assert CHARGE_W / P_RATED_W / 0.2 - 0.1 <= took_s <= limit_s, "1400 W at 0.2 pu/s are 1 s"


def test_a_meter_that_is_late_for_a_moment_is_held_and_nothing_moves(rig: Rig) -> None:
    before = rig.n()
    rig.fault("meter.silent", for_s=0.6)
    rig.wait_for(rig.is_calm, LIMIT_S, "a fresh frequency")
    seen = since(rig, before)
    assert stood(seen) & Reason.F_HELD
    assert np.all(seen["p_cmd_w"] == -CHARGE_W)


# ---- the car ----


def test_an_unplugged_car_is_0_in_one_step_and_comes_back_by_ramp(rig: Rig) -> None:
    """This inverter has no words for the car: without one it says that it does not run."""
    before = rig.n()
    rig.fault("inverter.unplug")
    rig.wait_for(lambda: rig.newest()["reasons"] & Reason.NOT_RUNNING, LIMIT_S, "the word of the inverter")
    seen = since(rig, before)
    unplugged = seen["reasons"] & Reason.NOT_RUNNING != 0
    assert np.all(seen["p_cmd_w"][unplugged] == 0.0)
    assert np.all(seen["p_cmd_w"][~unplugged] == -CHARGE_W), "a step, not a ramp: there is nothing to feed"
    n = rig.n()
    rig.mended()
    rig.wait_for(rig.is_calm, LIMIT_S, "service again")
    assert_starts_from_present_power(since(rig, n))
    assert_no_jump(since(rig, n))


# ---- what is not there ----


def test_a_second_process_of_the_same_site_is_refused_with_one_line(rig: Rig, tmp_path: Path) -> None:
    second = v2g("run", rig.site, cwd=tmp_path)
    announcement, line = second.stderr.splitlines()
    assert announcement.startswith("DEMO: rig works against simulated devices")
    assert line == f"{rig.folder}/run: another controller of this site is running; stop it first"
    assert (second.returncode, second.stdout) == (2, "")
    others = {
        "telemetry": "another telemetry process of this site is running",
        "bridge": "another bridge with the name v2g-bridge is running; --name gives it another",
    }
    for command, said in others.items():
        again = v2g(command, rig.site, cwd=tmp_path)
        assert again.returncode == 2
        assert again.stderr == f"{rig.folder}/state: {said}\n"
    assert rig.is_calm(), "the first ones have not noticed"


def test_a_droop_answer_is_frozen_while_held_and_ramps_away_while_stale(rig: Rig) -> None:
    """From here on this rig's grid is at 59.6 Hz."""
    rig.play()
    rig.wait_for(lambda: rig.newest()["dp_w"] > 0.99 * DIP_W, LIMIT_S, "the droop answer")
    before = rig.n()
    rig.fault("meter.silent")
    rig.wait_for(lambda: rig.newest()["mode"] == Mode.SAFE, LIMIT_S, "the safe mode")
    seen = since(rig, before)
    last_fresh = int(np.flatnonzero(seen["fresh_f"] == Freshness.FRESH)[-1])
    held = seen[seen["fresh_f"] == Freshness.HELD]
    assert np.all(held["dp_w"] == seen["dp_w"][last_fresh]), "held: frozen"
    stale = seen[seen["fresh_f"] == Freshness.STALE]
    assert stale["dp_w"][-1] == 0.0, "stale: no answer to a frequency that nobody knows"
    moved_w = np.diff(stale["dp_w"])
    assert np.all(moved_w <= 0.0)
    assert np.all(-moved_w <= 0.2 * P_RATED_W * 0.01 * stale["k"][1:] + 1e-6), "at the ramp rate, 14 W a step"
    assert np.all(np.abs(stale["p_cmd_w"] - stale["dp_w"] + CHARGE_W) < 1e-6), "the wish and charging go on"

    rig.mended()
    rig.wait_for(lambda: rig.newest()["dp_w"] > 0.99 * DIP_W, LIMIT_S, "the droop answer again")
    assert rig.newest()["mode"] == Mode.ACTIVE


def test_the_whole_story_is_in_the_journal_and_computes_to_equal_bits(running: Rig) -> None:
    """The last test of this rig: every fault above is in its journal."""
    rig = running
    newest = {epoch: int(found["n"][-1]) for epoch, found in rig.runs.items()}
    rig.stop("controller")
    rig.stop("telemetry")
    assert_whole(rig.replayed(), newest)
    events = {row.body["event"] for row in rig.rows("event")}
    assert {"start", "state"} <= events


def test_no_broker_is_one_line_and_the_controller_runs_and_records(tmp_path: Path) -> None:
    with Rig(tmp_path / "rig") as rig:
        rig.start("grid", "meter", "inverter", "telemetry", "controller")
        rig.run_for(4.0)
        assert rig.is_calm()
        complaints = [line for line in rig.log("telemetry").splitlines() if "V2G-MQTT-DOWN" in line]
        assert len(complaints) == 1, rig.log("telemetry")
        assert f"127.0.0.1:{rig.ports['broker']}" in complaints[0]
        waiting = rig.telemetry()
        assert waiting["acknowledged"] == 0
        assert waiting["waiting"] >= 4, "the rows wait in the outbox"
        newest = {epoch: int(found["n"][-1]) for epoch, found in rig.runs.items()}
        rig.stop("controller")
        rig.stop("telemetry")
        assert_whole(rig.replayed(), newest)


def test_no_meter_at_the_start_nothing_is_written_until_it_speaks(tmp_path: Path) -> None:
    with Rig(tmp_path / "rig") as rig:
        rig.start("grid", "meter", "inverter")
        rig.fault("meter.silent")
        rig.restart("controller")
        rig.wait_for(lambda: len(rig.records()) > 300, LIMIT_S, "3 s of steps")
        found = rig.records()
        assert set(found["state"]) == {int(State.STARTING)}
        assert set(found["mode"]) == {int(Mode.SILENT)}
        assert np.all(np.isnan(found["f_hz"])), "absent is never 0"
        written = rig.bar.get("p_enabled")
        assert written == 0.0, "no set-point before every input is fresh"
        rig.mended()
        rig.wait_for(rig.is_calm, LIMIT_S, "the controller in service")
        assert_starts_from_present_power(rig.records())
        assert_no_jump(rig.records())
