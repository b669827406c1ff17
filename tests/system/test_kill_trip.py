"""SIGKILL of the controller just after it has tripped: a restart is no way around the enter-service delay.

Pencil   63 Hz is above OF2 (62 Hz, 1 s here) for 4 s. Then the criteria are met, 6 s of delay, and a ramp of 5 s
         from 0 W to rated: 1400 W a second. A restart takes a second or two; the inverter's own timer is 20 s.
Rule     design section 6: trip and enter-service state with its remaining delay are restored. What nobody watched does
         not count: the seconds of good grid that steps have seen, before and after, make the delay.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cython_core.records import Mode, Reason, State, Trip
from tests.faults.checks import PERIOD_S, assert_no_jump
from tests.faults.rig import CHARGE_W, P_RATED_W, Records, Rig

pytestmark = pytest.mark.system

DELAY_S, RAMP_S = 6.0, 5.0
TRIPPING = "t_s,f_hz\n0,60\n1,60\n1.1,63\n5,63\n5.1,60\n600,60\n"
OURS = f"""\
  enter_service: {{owner: controller, delay_s: {DELAY_S:g}, ramp_s: {RAMP_S:g}}}
  frequency_trip: {{owner: controller, of2_s: 1, uf2_s: 1}}"""
LIMIT_S = 40.0
# from the core's first step to its first fresh inputs: the delay that goes on counts it, though nobody has looked yet
STARTING_S = 1.0
SMALL_W = 0.01 * P_RATED_W
BACK = (State.ENTERING, State.IN_SERVICE)


def good_s(records: Records) -> float:
    """Seconds that steps of a run have seen the criteria met for, without a break until its end or the way back in."""
    back = np.flatnonzero(np.isin(records["state"], BACK))
    out = records[: back[0]] if len(back) else records
    good = (out["f_hz"] >= 59.5) & (out["f_hz"] <= 60.1) & (out["fresh_f"] == 0) & (out["es_left_ns"] >= 0)
    bad = np.flatnonzero(~good)
    first = bad[-1] + 1 if len(bad) else 0
    return float(np.sum(out["k"][first:])) * PERIOD_S


# fmt: off
KILLS = [
    # kill when                    seconds later   why
    pytest.param("tripped", 0.0, "in the moment of the trip", marks=pytest.mark.nightly, id="in the moment"),
    pytest.param("tripped", 0.9, "the grid is still bad: all of the delay is ahead", marks=pytest.mark.nightly,
                 id="the grid is still bad"),
    ("the delay runs",             2.0,            "a third of the delay is over, the rest is ahead"),
]
# fmt: on


@pytest.mark.parametrize(
    ("when", "later_s", "why"), KILLS, ids=lambda value: value if isinstance(value, str) else f"{value:g} s"
)
def test_killed_after_a_trip_it_waits_as_long_as_it_owes(tmp_path: Path, when: str, later_s: float, why: str) -> None:
    with Rig(tmp_path / "rig", TRIPPING, reversion_s=20, more=OURS) as rig:
        rig.start("grid", "meter", "inverter", "controller")
        rig.play()
        rig.wait_for(lambda: rig.newest()["reasons"] & Reason.TRIP_FREQUENCY, LIMIT_S, "the trip")
        if when == "the delay runs":
            rig.wait_for(lambda: rig.newest()["es_left_ns"] > 0, LIMIT_S, "the delay")
        rig.run_for(later_s)
        rig.kill("controller")
        before = rig.records()
        rig.restart("controller")
        rig.wait_for(lambda: rig.is_calm() and len(rig.runs) == 2, LIMIT_S, "the new controller in service")
        after = rig.records()
        rig.wait_for(lambda: abs(rig.bar.get("p_w") + CHARGE_W) < SMALL_W, 5.0, "the charging power")
    assert before["state"][-1] == State.TRIPPED, "or the kill came too late"
    assert_waits(before, after, why)
    assert_comes_back_by_its_ramp(after)


def assert_waits(before: Records, after: Records, why: str) -> None:
    """Not skipped, not begun anew, at 0 W and with the trip's name."""
    tripped = before[int(np.argmax((before["reasons"] & int(Reason.TRIP_FREQUENCY)) != 0)) :]
    seen_s = (good_s(tripped), good_s(after))
    print(f"good grid seen for {seen_s[0]:.2f} s before the kill and {seen_s[1]:.2f} s after: {why}")
    assert DELAY_S - STARTING_S <= sum(seen_s) <= DELAY_S + 2 * PERIOD_S + 0.1, why
    waiting = after[: int(np.argmax(np.isin(after["state"], BACK)))]
    assert len(waiting) > 100, "it waited"
    assert set(waiting["state"]) <= {State.STARTING, State.TRIPPED}
    assert set(waiting["mode"]) <= {Mode.SILENT, Mode.STOP}
    assert not np.any(waiting["p_cmd_w"]), "0 W all the time"
    assert np.all(np.abs(waiting["d_p_w"][np.isfinite(waiting["d_p_w"])]) < SMALL_W), "and the car has noticed nothing"
    assert set(waiting["trip"][waiting["state"] == State.TRIPPED]) == {int(Trip.OF2)}


def assert_comes_back_by_its_ramp(after: Records) -> None:
    assert_no_jump(after)
    back = after[int(np.argmax(np.isin(after["state"], BACK))) :]
    since_s = (back["t_ns"] - back["t_ns"][0]) * 1e-9
    allowed_w = P_RATED_W * since_s / RAMP_S
    assert np.all(np.abs(back["p_cmd_w"]) <= allowed_w + 1.0), "faster than the enter-service ramp"
    assert back["p_cmd_w"][-1] == pytest.approx(-CHARGE_W, abs=SMALL_W)
