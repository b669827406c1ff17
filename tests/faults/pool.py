"""Many rigs beside each other: each scenario runs on one that is calm, in the background; of() waits for its outcome.

A rig that a scenario has left in trouble is thrown away. Kinds: "tcp" and "line" have grid, devices and controller,
"whole" has broker, bridge and telemetry as well.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Semaphore

import numpy as np

from cython_core.records import Mode, Reason
from drivers.sim.faultscript import Action, parse
from tests.faults.answers import ANSWERS, Answer
from tests.faults.checks import assert_no_jump
from tests.faults.owed import INVERTER, INVERTER_LINE, LOST_AFTER_S, METER, METER_LINE, MISMATCH_S, REVERSION_S
from tests.faults.rig import PARTS, Rig
from tests.faults.watch import Watch

AT_ONCE = 2
LATE_S = 5.0  # a miss is told with the time it took, up to this much later
DEVICES = ("grid", "meter", "inverter", "controller")
FAIL_SAFE = (
    f"frozen_after_s: 5, lost_after_s: {LOST_AFTER_S:g}, degraded_charge_w: 700, mismatch_after_s: {MISMATCH_S:g}"
)
START_WATCH_S = 3.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """actions: of the fault language, without a time. answer: a key of ANSWERS. named: reasons that must be given."""

    actions: str
    answer: str
    named: Reason
    kind: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds from the fault to the answer in force, what is owed, and from the fault's end to the calm."""

    safe_s: float
    limit_s: float
    recovery_s: float


class Pool:
    """Scenarios in order, AT_ONCE at a time."""

    def __init__(self, folder: Path, scenarios: Sequence[Scenario]) -> None:
        self.folder = folder
        self.idle: dict[str, SimpleQueue[Rig]] = {kind: SimpleQueue() for kind in ("tcp", "line", "whole")}
        self.made = count(1)
        self.starting = Semaphore(1)  # a start costs more than all that follows
        self.threads = ThreadPoolExecutor(AT_ONCE)
        self.futures: dict[Scenario, Future[Outcome]] = {s: self.threads.submit(self.play, s) for s in scenarios}

    def of(self, scenario: Scenario) -> Outcome:
        """Its outcome. What was missed among others is played once more, alone: that verdict counts."""
        try:
            return self.futures[scenario].result()
        except AssertionError as error:
            print(f"missed among others: {error}")
            wait(self.futures.values())
            return self.play(scenario)

    def close(self) -> None:
        self.threads.shutdown(cancel_futures=True)
        for queue in self.idle.values():
            with suppress(Empty):
                while True:
                    queue.get_nowait().close()

    def play(self, scenario: Scenario) -> Outcome:
        rig = self.rig(scenario.kind)
        try:
            outcome = play(rig, scenario)
        except BaseException:
            rig.close()
            raise
        self.idle[scenario.kind].put(rig)
        return outcome

    def rig(self, kind: str) -> Rig:
        """A calm one."""
        with suppress(Empty):
            return self.idle[kind].get_nowait()
        rig = Rig(self.folder / f"{kind}{next(self.made)}", serial=kind == "line", reversion_s=int(REVERSION_S),
                  inverter_timeout_ms=100, fail_safe=FAIL_SAFE)  # fmt: skip
        try:
            with self.starting:
                if kind == "whole":
                    rig.with_clock()
                rig.start(*(PARTS if kind == "whole" else DEVICES))
        except BaseException:
            rig.close()
            raise
        return rig


def play(rig: Rig, scenario: Scenario) -> Outcome:
    """One scenario on a calm rig, which is calm again afterwards."""
    wires = (METER_LINE, INVERTER_LINE) if scenario.kind == "line" else (METER, INVERTER)
    watch = Watch(rig, *wires)
    rig.wait_for(watch.is_calm, 20.0, "a calm rig")
    actions = parse(f"at 0s: {scenario.actions}", "scenario")
    if scenario.answer == "overwritten":  # just after a refresh of ours, so that it can be seen until the next one
        writes = rig.bar.get("writes")
        rig.wait_for(lambda: rig.bar.get("writes") > writes, REVERSION_S, "a refresh")
    if scenario.answer == "nothing before all is fresh":
        return play_start(watch, actions)
    return play_fault(watch, actions, ANSWERS[scenario.answer], scenario.named)


def play_fault(watch: Watch, actions: Sequence[Action], answer: Answer, named: Reason) -> Outcome:
    watch.begin(actions)
    limit_s = answer.limit_s(watch)
    watch.until(lambda: answer.safe_s(watch) is not None, limit_s + LATE_S, answer.owed)
    watch.end()
    if answer.latches:
        watch.restart()
    safe_s = answer.safe_s(watch)
    assert safe_s is not None
    assert safe_s <= limit_s, f"{answer.owed}: after {safe_s:.2f} s, owed by {limit_s:.2f} s"
    answer.holds(watch)
    stood = Reason(int(np.bitwise_or.reduce(watch.steps["reasons"], initial=0)))
    assert stood & named == named, f"not named: {named & ~stood!r}"
    if not answer.at_once:
        assert_no_jump(watch.steps)
    return Outcome(safe_s, limit_s, watch.recover())


def play_start(watch: Watch, actions: Sequence[Action]) -> Outcome:
    """The fault is there before the controller: nothing is written until all is fresh."""
    rig = watch.rig
    rig.kill("controller")
    rig.wait_for(lambda: rig.bar.get("p_left_s") == 0.0, REVERSION_S + 1.0, "the inverter's own timer")
    for action in actions:
        rig.injector.begin(action)
    epochs, writes, watch.t0_ns = len(rig.runs), rig.bar.get("writes"), time.monotonic_ns()
    watch.actions = actions
    rig.restart("controller")
    watch.process, watch.restarted = None, True  # another one, whose launcher looks for its devices first
    rig.run_for(START_WATCH_S)
    assert rig.bar.get("writes") == writes, "no set-point before every input is fresh"
    if len(rig.runs) > epochs:
        assert np.all(watch.steps["mode"] == Mode.SILENT)
    watch.end()
    return Outcome(0.0, 0.0, watch.recover())
