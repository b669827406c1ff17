"""A rig in virtual time: ideal source, unit (a brain and the simulated inverter), meter. Deterministic by seed.

Time     passes only in wait_until. The brain steps on a grid of period_s from START_NS; a step sees what the source has
         put out until then, its command acts from there on. Between grid points the unit's power stands still.
Source   ideal: what is set is there at once. The unit's controller measures it without error, the bench's meter
         through resolution and noise. A jump of phase angle looks to a meter like a frequency error while it passes
         through its averaging window.
Inverter drivers.sim.plant; it has its rated power down to the lowest voltage of continuous operation, so its current
         is limited to S / V_L, at once whatever the voltage does.
Battery  never full or empty: the power that is demanded is available.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import hypot, inf, log10
from random import Random
from typing import Any

from controller.bench.brains import Brain, CompiledBrain, Given
from controller.bench.plan import Case, Eut, Value
from controller.bench.ports import NAN, Reading, Rig, RigError
from controller.bench.unitsettings import grouped, rating_of
from controller.bench.virtualfaults import faults_of
from cython_core.quantities import SettingError
from cython_core.settings import Settings, to_mapping
from drivers.gridsource.point import GridPoint
from drivers.sim.metering import NOISE, RESOLUTION
from drivers.sim.plant import Inverter

START_NS = 1_000_000_000  # 0 means "never"
SECOND_NS = 1_000_000_000
PERIODS_S = (0.1, 0.05, 0.02, 0.01)
ANGLE_WINDOW_S = 0.1  # of the controller's meter: 5 cycles at 50 Hz, 6 at 60 Hz
MOST_AHEAD = 1024  # steps
CAN = frozenset({"faults", "three_phase", "angle", "permit"})
DARK = GridPoint(0.0, 0.0, 0.0, 0.0)
DIGITS = {name: round(-log10(step)) for name, step in RESOLUTION.items()}


def period_of(case: Case) -> float:
    """The brain's step: as slow as the fastest samples of what is judged allow."""
    judged = [step.sample_s for step in case.steps if step.criteria and not step.skipped]
    fastest_s = min(judged or [step.sample_s for step in (case.start, *case.steps)])
    return next((period_s for period_s in PERIODS_S if period_s <= fastest_s + 1e-9), PERIODS_S[-1])


def seed_of(seed: int, case_id: str) -> int:
    """Each case its own noise, whichever cases were run before it."""
    return int.from_bytes(sha256(f"{seed} {case_id}".encode()).digest()[:8], "little")


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
        self.saved: bytes = b""  # the brain before self.first
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
        if lived < len(self.commands):
            self.brain.load(self.saved)
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
        v_pu = self.mean_v() / self.v_low_v
        step = self.inverter.step
        while self.steps < target:
            if self.steps - self.first >= len(self.commands):
                self.refill(target - self.steps)
            for p_w, q_var in self.commands[self.steps - self.first : target - self.first]:
                step(self.period_s, p_w, q_var, v_pu=v_pu)
                self.steps += 1
        self.now_ns = t_ns

    def refill(self, wanted: int) -> None:
        self.first = self.steps
        self.saved = self.brain.save()
        n = max(wanted, self.ahead) if self.saved else wanted  # without a saved state nothing can be taken back
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


# ---- the ports ----


@dataclass(frozen=True, slots=True)
class VirtualClock:
    world: World

    def now_ns(self) -> int:
        return self.world.now_ns

    def wait_until(self, t_ns: int) -> None:
        self.world.advance(t_ns)


@dataclass(slots=True)
class VirtualSource:
    world: World
    phases: int
    manual: bool = False

    def identity(self) -> str:
        return "ideal source, virtual time"

    def on(self, point: GridPoint) -> int:
        return self.set(point)

    def set(self, point: GridPoint) -> int:
        self.world.put(point)
        return self.world.now_ns

    def read(self) -> GridPoint | None:
        return self.world.grid

    def safe(self) -> None:
        self.world.put(DARK)

    def close(self) -> None:
        self.safe()


@dataclass(slots=True)
class VirtualMeter:
    """Resolution 10 mV, 1 mHz, 1 W, 1 var, 10 mA, with noise beside it."""

    world: World
    seed: int
    count: int = 0
    last: Reading | None = None
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def identity(self) -> str:
        return "meter in virtual time: 10 mV, 1 mHz, 1 W"

    def read(self) -> Reading:
        flaws, now_ns = self.world.flaws, self.world.now_ns
        self.count += 1
        if self.last is not None:
            frozen = (now_ns - START_NS) / 1e9 > flaws.frozen_after_s
            early = now_ns - self.last.t_ns < round(flaws.refresh_s * 1e9)
            dropped = flaws.drop_every and self.count % flaws.drop_every == 0
            if frozen:
                return replace(self.last, t_ns=now_ns)
            if early or dropped:
                return self.last
        self.last = self.look(self.world.truth())
        return self.last

    def look(self, true: Reading) -> Reading:
        gauss, gain = self.random.gauss, self.world.flaws.meter_gain
        return Reading(
            true.t_ns,
            *(shown("v1_v", v, gauss) for v in (true.v1_v, true.v2_v, true.v3_v)),
            shown("f_hz", true.f_hz, gauss),
            shown("p_w", true.p_w * gain, gauss),
            shown("q_var", true.q_var * gain, gauss),
            round(true.i_a, 2),
        )


def shown(name: str, value: float, gauss: Callable[[float, float], float]) -> float:
    return value if value != value else round(value + gauss(0.0, NOISE[name]), DIGITS[name]) + 0.0  # no -0.0


@dataclass(slots=True)
class VirtualUnit:
    """settings: what is in force, {"group.key": value}."""

    world: World
    settings: dict[str, Value]

    def identity(self) -> str:
        return f"{self.world.brain.identity()}, simulated inverter, step {self.world.period_s * 1e3:g} ms"

    def write(self, settings: Mapping[str, Value]) -> Mapping[str, Value]:
        wanted = {**self.settings, **settings}
        try:
            made = Settings.from_mapping(grouped(wanted))
        except SettingError as error:
            raise RigError(f"the unit refuses the settings: {error}") from None
        self.world.take_back()
        self.world.brain.use(made)
        self.settings = wanted
        held = to_mapping(made)
        return {name: held[name.partition(".")[0]][name.partition(".")[2]] for name in settings}

    def demand(self, p_w: float) -> None:
        self.world.change(demand_w=p_w)

    def permit(self, allowed: bool) -> None:
        self.world.change(permit=allowed)

    def limit(self, ap_limit_pu: float) -> None:
        self.world.change(ap_limit_pu=ap_limit_pu)

    def fault(self, line: str) -> None:
        self.world.fault(line)


@dataclass(frozen=True, slots=True)
class VirtualRig:
    """Where the rigs of a run's cases come from: each case begins with a new world.

    brain: (number of phases, period in s) -> a brain; None: the compiled core. settings: what the unit has beside its
    rating before a case writes anything. The inverter's own delay adds to every response time.
    """

    eut: Eut
    seed: int
    name: str = "virtual"
    brain: Callable[[int, float], Brain] | None = None
    settings: Mapping[str, Value] = field(default_factory=dict)
    dead_s: float = 0.0
    lag_s: float = 0.01
    flaws: Flaws = Flaws()
    can: frozenset[str] = CAN

    @contextmanager
    def open(self, case: Case) -> Iterator[Rig]:
        eut, period_s = self.eut, period_of(case)
        brain = self.brain(eut.phases, period_s) if self.brain else CompiledBrain(eut.phases, period_s, MOST_AHEAD)
        inverter = Inverter(
            s_max_va=eut.s_rated_va,
            p_discharge_w=eut.p_rated_w,
            p_charge_w=eut.p_charge_rated_w,
            q_max_var=max(eut.q_inject_var, eut.q_absorb_var),
            dead_s=self.dead_s,
            lag_s=self.lag_s,
        )
        world = World(brain, inverter, period_s, eut.v_low_pu * eut.v_nom_v, self.flaws)
        unit = VirtualUnit(world, {**rating_of(eut), **self.settings})
        unit.write({})
        meter = VirtualMeter(world, seed_of(self.seed, case.id))
        yield Rig(self.name, VirtualClock(world), VirtualSource(world, eut.phases), meter, unit, self.can)
