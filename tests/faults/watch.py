"""One fault on one rig, from the calm before it to the calm after it: what the steps and the plant did.

    watch = Watch(rig); watch.begin(actions); watch.until(claim, limit_s); watch.end(); watch.recover()

Times are seconds since the fault was in force; a step has its grid time, the plant the time of the look.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_core.records import Mode
from drivers.sim.faultscript import Action
from tests.faults.checks import assert_no_jump, assert_starts_from_present_power
from tests.faults.owed import RECOVERY_S, Wire
from tests.faults.rig import CHARGE_W, P_RATED_W, READY_S, Records, Rig
from tests.soak.watch import sample

SMALL_W = 0.01 * P_RATED_W
LOOK_EACH_S = 0.02
Mask = NDArray[np.bool_]


class Watch:
    """meter, inverter: the wires of this rig."""

    def __init__(self, rig: Rig, meter: Wire, inverter: Wire) -> None:
        self.rig, self.meter, self.inverter = rig, meter, inverter
        self.actions: Sequence[Action] = ()
        self.t0_ns = self.t1_ns = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.restarted = False  # by us: then the time to the calm is that of a start
        self.plant: list[tuple[float, float, float]] = []  # seconds, p_w, p_set_w

    # ---- life ----

    def begin(self, actions: Sequence[Action]) -> None:
        rig = self.rig
        self.actions = actions
        rig.forget()
        self.process = rig.family.members["controller"]
        self.before = sample(self.process.pid, 0.0)
        self.t0_ns = time.monotonic_ns()
        for action in actions:
            rig.injector.begin(action)

    def until(self, claim: Callable[[], object], limit_s: float, what: str) -> None:
        """Look until it is true."""
        self.look()
        while not claim():
            assert self.elapsed_s < limit_s, f"not within {limit_s:.1f} s: {what}; {self.rig.last_words()}"
            time.sleep(LOOK_EACH_S)
            self.look()

    def look(self) -> None:
        for action in self.actions:
            if action.for_s is not None and self.elapsed_s > action.for_s:
                self._end(action)
        self.rig.family.check()
        self.rig.records()
        self.plant.append((self.elapsed_s, self.rig.bar.get("p_w"), self.rig.bar.get("p_set_w")))

    def end(self) -> None:
        self.t1_ns = time.monotonic_ns()
        for action in self.actions:
            self._end(action)

    def _end(self, action: Action) -> None:
        if action in self.rig.injector.standing:
            self.rig.injector.end(action)

    def restart(self) -> None:
        """The controller, with SIGKILL: what it has latched is forgotten."""
        self.rig.kill("controller")
        self.rig.restart("controller")
        self.restarted = True

    def recover(self) -> float:
        """Seconds from the fault's end to the calm, by ramp and from where the unit stood."""
        own_s = READY_S if self.restarted else RECOVERY_S
        self.rig.wait_for(self.is_calm, own_s, "the calm after the fault")
        took_s = (time.monotonic_ns() - self.t1_ns) * 1e-9
        after = self.since(self.t1_ns)
        assert_no_jump(after)
        if np.any(silent := after["mode"] == Mode.SILENT):
            assert_starts_from_present_power(after[int(np.argmax(silent)) :])
        self.assert_no_leak()
        return took_s

    def assert_no_leak(self) -> None:
        if self.process is not self.rig.family.members["controller"]:
            return  # it was killed, and is another one now
        now = sample(self.process.pid, 0.0)
        assert (now.fds, now.threads) == (self.before.fds, self.before.threads)

    # ---- what was seen ----

    @property
    def elapsed_s(self) -> float:
        return (time.monotonic_ns() - self.t0_ns) * 1e-9

    def since(self, t_ns: int) -> Records:
        found = self.rig.records()
        return found[found["t_ns"] >= t_ns]

    @property
    def steps(self) -> Records:
        """Of the fault's time."""
        found = self.since(self.t0_ns)
        return found[found["t_ns"] < self.t1_ns] if self.t1_ns else found

    def first_s(self, claim: Callable[[Records], Any]) -> float | None:
        """When a step first had it."""
        steps = self.steps
        found: Mask = np.asarray(claim(steps))
        return float(steps["t_ns"][int(np.argmax(found))] - self.t0_ns) * 1e-9 if found.any() else None

    def at_rest_s(self) -> float | None:
        """When the plant was first at 0, to stay there."""
        moving = [i for i, (_, p_w, _) in enumerate(self.plant) if abs(p_w) > SMALL_W]
        at = moving[-1] + 1 if moving else 0
        return self.plant[at][0] if at < len(self.plant) else None

    def is_calm(self) -> bool:
        return self.rig.is_calm() and abs(self.rig.bar.get("p_w") + CHARGE_W) < SMALL_W
