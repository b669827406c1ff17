"""A world in virtual time: the grid, a unit (a brain and the simulated inverter), and what its controller sees of both.

Time     passes in advance() alone. The brain steps on a grid of period_s from START_NS; a step sees what the source has
         put out until then, its command acts from there on. Between grid points the unit's power stands still.
Ahead    a brain that can be taken back runs ahead in growing chunks as long as nothing changes; a change takes back
         what has not been lived through. No trace of it is left (a test compares with single steps, bit by bit).
Grid     the unit's controller measures it without error. A jump of phase angle looks to a meter like a frequency error
         while it passes through its averaging window.
Inverter drivers.sim.plant; it has its rated power down to the lowest voltage of continuous operation, so its current
         is limited to S / V_L, at once whatever the voltage does.
Battery  never full or empty: the power that is demanded is available.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot, inf
from typing import Any

from controller.bench.brains import Brain, Given, Rewindable
from controller.bench.ports import NAN, Reading
from controller.bench.virtualfaults import faults_of
from drivers.gridsource.point import GridPoint
from drivers.sim.plant import Inverter

START_NS = 1_000_000_000  # 0 means "never"
SECOND_NS = 1_000_000_000
ANGLE_WINDOW_S = 0.1  # of the controller's meter: 5 cycles at 50 Hz, 6 at 60 Hz
MOST_AHEAD = 1024  # steps
DARK = GridPoint(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Flaws:
    """What is wrong with a rig, for tests of the judge: an ideal rig has none."""

    source_gain: float = 1.0  # of voltage: 1.02 puts out 2 % more than it says
    meter_gain: float = 1.0  # of power
    frozen_after_s: float = inf  # the meter repeats one answer
    refresh_s: float = 0.0  # 0: a new value whenever it is asked
    drop_every: int = 0  # each n-th reading comes from the one before it; 0: none


class World:
    """Time, grid and unit. `given`: what the brain sees from now on; changing it takes back what was computed ahead."""

    def __init__(self, brain: Brain, inverter: Inverter, period_s: float, v_low_v: float, flaws: Flaws) -> None:
        """v_low_v: the lowest voltage at which the inverter has its rated power."""
        self.brain, self.inverter, self.flaws, self.v_low_v = brain, inverter, flaws, v_low_v
        self.period_s, self.period_ns = period_s, round(period_s * 1e9)
        self.now_ns = START_NS
        self.grid = DARK
        self.given = Given()
        self.blind = False  # the controller's meter shows nothing new
        self.later: list[tuple[int, Mapping[str, Any]]] = []  # when, and how inputs will be from then on
        self.steps = 0  # that have been lived through
        self.commands: list[tuple[float, float]] = []  # of the steps from self.first on
        self.first = 0
        self.back = brain if isinstance(brain, Rewindable) else None  # who can be taken back
        self.saved: bytes = b""  # it, before self.first
        self.asleep: tuple[tuple[float, float], float] | None = None  # what moves the inverter no more
        self.ahead = 1

    def change(self, **values: Any) -> None:
        """Another input from the next step on."""
        new = replace(self.given, **values)
        if new != self.given:
            self.take_back()
            self.given = new

    def put(self, grid: GridPoint) -> None:
        """What the source puts out from now on."""
        turn_deg = (grid.a1_deg - self.grid.a1_deg + 180.0) % 360.0 - 180.0
        gain = self.flaws.source_gain
        jumped = self.grid.f_hz > 0.0 and grid.f_hz > 0.0 and turn_deg != 0.0
        self.grid = replace(grid, v1_v=grid.v1_v * gain, v2_v=grid.v2_v * gain, v3_v=grid.v3_v * gain)
        self.look()
        if jumped:
            self.change(f_error_hz=turn_deg / 360.0 / ANGLE_WINDOW_S)
            self.turn(self.now_ns + round(ANGLE_WINDOW_S * SECOND_NS), {"f_error_hz": 0.0})

    def look(self) -> None:
        """The controller's meter, unless it is blind: then it goes on showing what it has shown."""
        if not self.blind:
            g = self.grid
            self.change(v1_v=g.v1_v, v2_v=g.v2_v, v3_v=g.v3_v, f_hz=g.f_hz, meter_ns=None)

    def turn(self, t_ns: int, values: Mapping[str, Any]) -> None:
        """At that time inputs become so; `blind`: whether the controller's meter shows anything new."""
        if t_ns > self.now_ns:
            self.later.append((t_ns, values))
            self.later.sort(key=lambda one: one[0])
            return
        self.change(**{name: value for name, value in values.items() if name != "blind"})
        if "blind" in values:
            self.blind = bool(values["blind"])
            self.look()

    def fault(self, line: str) -> None:
        """A line of the fault language, its times from now on. RigError where a virtual unit has no such thing."""
        for fault in faults_of(line, self.now_ns):
            self.turn(fault.t_ns, fault.begins)
            if fault.for_s is not None:
                self.turn(fault.t_ns + round(fault.for_s * SECOND_NS), fault.ends)

    def take_back(self) -> None:
        """Forget what was computed ahead: the brain as it was after the last step that was lived through."""
        lived = self.steps - self.first
        if self.back and lived < len(self.commands):
            self.back.load(self.saved)
            if lived:
                self.brain.run(self.given, START_NS + self.first * self.period_ns, lived)
        self.commands, self.first, self.ahead = [], self.steps, 1

    def advance(self, t_ns: int) -> None:
        while self.later and self.later[0][0] <= t_ns:
            at_ns, values = self.later.pop(0)
            self.live(at_ns)
            self.turn(at_ns, values)
        self.live(t_ns)

    def live(self, t_ns: int) -> None:
        """Every step whose time has come before t_ns."""
        if t_ns <= self.now_ns:
            return
        target = -((START_NS - t_ns) // self.period_ns)  # steps 0 ... target - 1 lie before t_ns
        while self.steps < target:
            if self.steps - self.first >= len(self.commands):
                self.refill(target - self.steps)
            lived = self.commands[self.steps - self.first : target - self.first]
            self.obey(lived, self.mean_v() / self.v_low_v)
            self.steps += len(lived)
        self.now_ns = t_ns

    def obey(self, commands: Sequence[tuple[float, float]], v_pu: float) -> None:
        """The inverter, a step for each command. One that nothing has moved is not moved by the same again."""
        unit, asleep = self.inverter, self.asleep
        for command in commands:
            if asleep != (command, v_pu):
                before = unit.p_w, unit.q_var
                unit.step(self.period_s, *command, v_pu=v_pu)
                still = before == (unit.p_w, unit.q_var) and not unit.waiting and not unit.dwell_s  # dwell counts time
                asleep = (command, v_pu) if still else None
        self.asleep = asleep

    def refill(self, wanted: int) -> None:
        self.first = self.steps
        n = wanted
        if self.back:
            self.saved, n = self.back.save(), max(wanted, self.ahead)
        self.ahead = min(2 * self.ahead, MOST_AHEAD)
        self.commands = self.brain.run(self.given, START_NS + self.first * self.period_ns, min(n, MOST_AHEAD))

    def mean_v(self) -> float:
        volts = (self.grid.v1_v, self.grid.v2_v, self.grid.v3_v)[: self.brain.phases]
        return sum(volts) / len(volts)

    def truth(self) -> Reading:
        """What is true at the terminals now."""
        g, v_v, phases = self.grid, self.mean_v(), self.brain.phases
        p_w, q_var = self.inverter.p_w, self.inverter.q_var
        s_va, most_va = hypot(p_w, q_var), self.inverter.s_max_va * min(v_v / self.v_low_v, 1.0)
        if s_va > most_va:  # the current is limited within the cycle
            p_w, q_var, s_va = p_w * most_va / s_va, q_var * most_va / s_va, most_va
        i_a = s_va / (phases * v_v) if v_v > 0.0 else 0.0
        v2_v, v3_v = (g.v2_v if phases > 1 else NAN), (g.v3_v if phases > 2 else NAN)
        return Reading(self.now_ns, g.v1_v, v2_v, v3_v, g.f_hz, p_w, q_var, i_a)
