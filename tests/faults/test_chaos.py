"""Random faults on meter and inverter, one over the other, for a time: whatever comes, the same things hold.

Power is commanded between charging with the wish and 0, goes away from 0 by the ramp alone, nothing leaks, and 15 s
after the last fault the unit is calm. The seed gives the same faults at the same times.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from cython_core.records import Mode
from drivers.sim.faultscript import Action, parse
from tests.faults.owed import RECOVERY_S, REVERSION_S
from tests.faults.pool import DEVICES, FAIL_SAFE
from tests.faults.rig import CHARGE_W, P_RATED_W, RAMP_PU_S, Records, Rig
from tests.soak.watch import sample

PERIOD_S = 0.01
SMALL_W = 0.01 * P_RATED_W
LONGEST_S, PAUSE_S = 6.0, 4.0
GROWTH = 1.1  # of the core's own memory: the ring's pages are not counted
DEVICE_FAULTS = (
    "delay 30ms", "delay 250ms", "delay 2s", "drip 1ms", "drip 20ms", "silent", "exception 4", "exception 6",
    "truncate", "garbage", "wrong_id", "wrong_unit", "duplicate", "reorder", "freeze", "reset", "refuse", "half_open",
)  # fmt: skip
METER_VALUES = ("nan", "nan f", "nan v", "inf", "out_of_range", "out_of_range f", "scale10 f", "scale10 v")
# not here: a power unlike the commanded one, which stops the unit until it is started anew
INVERTER_ONLY = ("silent reads", "silent writes", "exception writes 6", "nan p", "nan soc", "soc_glitch 100%", "fault",
                 "unplug", "asleep", "charge_limit 300W", "discharge_limit 300W")  # fmt: skip
FAULTS = tuple(f"{target}.{fault}" for target in ("meter", "inverter") for fault in DEVICE_FAULTS) + tuple(
    [f"meter.{fault}" for fault in METER_VALUES] + [f"inverter.{fault}" for fault in INVERTER_ONLY]
)


def chaos(seed: int, seconds: float) -> tuple[Action, ...]:
    """A script: a fault begins every PAUSE_S on average and lasts up to LONGEST_S."""
    random = Random(seed)
    lines, at_s = [], 0.0
    while at_s < seconds:
        fault = random.choice(FAULTS)
        lasts = "" if "half_open" in fault else f" {random.uniform(0.05, LONGEST_S):.2f}s"
        lines.append(f"at {at_s:.2f}s: {fault}{lasts}")
        at_s += random.uniform(0.0, 2 * PAUSE_S)
    return parse("\n".join(lines), f"seed {seed}")


@pytest.mark.system
@pytest.mark.parametrize(
    ("seed", "seconds"),
    [
        pytest.param(1, 15.0, id="a quarter of a minute"),
        pytest.param(2, 600.0, marks=pytest.mark.nightly, id="ten minutes"),
    ],
)
def test_chaos(tmp_path: Path, seed: int, seconds: float) -> None:
    print(f"seed {seed}")
    script = chaos(seed, seconds)
    with Rig(tmp_path / "rig", reversion_s=int(REVERSION_S), inverter_timeout_ms=100, fail_safe=FAIL_SAFE) as rig:
        rig.start(*DEVICES)
        pid = rig.family.members["controller"].pid
        before = sample(pid, 0.0)
        play(rig, script, seconds)
        rig.wait_for(rig.is_calm, RECOVERY_S, "the calm after the last fault")
        after = sample(pid, seconds)
    assert (after.fds, after.threads) == (before.fds, before.threads)
    assert after.anon_bytes < GROWTH * before.anon_bytes


def play(rig: Rig, script: tuple[Action, ...], seconds: float) -> None:
    """The script, and what must hold meanwhile; a failure names the fault that came last."""
    injector = rig.injector
    injector.script = script
    injector.play()
    last: Records = rig.records()[-1:]
    while injector.due or rig.injector.standing:
        injector.rest(0.2)
        rig.family.check()
        found = rig.records()
        new = found[found["n"] >= last["n"][0]]
        try:
            assert_bounded(new)
            assert -1.02 * CHARGE_W <= rig.bar.get("p_w") <= SMALL_W, "the plant"
        except AssertionError as error:
            began = [a for a in script if a not in {due.action for due in injector.due if due.begins}]
            raise AssertionError(f"{error}; stands: {injector.words}; last: {[a.text for a in began[-5:]]}") from error
        last = new[-1:]
        rig.forget()


def assert_bounded(steps: Records) -> None:
    """Between the wish and 0; away from 0 by the ramp alone, while power is commanded."""
    p_w = steps["p_cmd_w"]
    assert p_w.min() >= -CHARGE_W - 1e-6, p_w.min()
    assert p_w.max() <= 1e-6, p_w.max()
    commanded = (steps["mode"][1:] != Mode.SILENT) & (steps["mode"][:-1] != Mode.SILENT)
    away_w = np.diff(np.abs(p_w))
    allowed_w = RAMP_PU_S * P_RATED_W * PERIOD_S * steps["k"][1:] + 1e-6
    wrong = np.flatnonzero(commanded & (away_w > allowed_w))
    assert not len(wrong), f"step {steps['n'][wrong[0] + 1]} moved away from 0 by {away_w[wrong[0]]:.1f} W"


def test_the_same_seed_is_the_same_script() -> None:
    assert chaos(5, 60.0) == chaos(5, 60.0) != chaos(6, 60.0)
    used = {action.text.partition(" ")[0] for action in chaos(2, 600.0)}
    assert len(used) > 25, "of more than 30 faults"
