"""A rig in virtual time: the four ports of a world (world.py), a new one for each case. Deterministic by seed.

Source   ideal: what is set is there at once.
Meter    10 mV, 1 mHz, 1 W, 1 var, with noise beside it; the seed is the run's and the case's name, so that neither the
         order of cases nor how many processes run them shows.
Step     of the brain: 10 ... 100 ms, as slow as what is judged in the case allows; it stands in the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import log10
from random import Random

from controller.bench.brains import Brain, CompiledBrain
from controller.bench.plan import Case, Eut, Value
from controller.bench.ports import NAN, Reading, Rig, RigError, Unit
from controller.bench.unitsettings import grouped, rating_of
from controller.bench.world import DARK, MOST_AHEAD, START_NS, Flaws, World
from cython_core.quantities import SettingError
from cython_core.settings import Settings, to_mapping
from drivers.gridsource.point import GridPoint
from drivers.sim.metering import NOISE, RESOLUTION
from drivers.sim.plant import Inverter

PERIODS_S = (0.1, 0.05, 0.02, 0.01)
CAN = frozenset({"faults", "three_phase", "angle", "permit"})
IDEAL = Flaws()
DIGITS = {name: round(-log10(step)) for name, step in RESOLUTION.items()}


def period_of(case: Case) -> float:
    """The brain's step: as slow as the fastest samples of what is judged allow."""
    judged = [step.sample_s for step in case.steps if step.criteria and not step.skipped]
    fastest_s = min(judged or [step.sample_s for step in (case.start, *case.steps)])
    return next((period_s for period_s in PERIODS_S if period_s <= fastest_s + 1e-9), PERIODS_S[-1])


def seed_of(seed: int, case_id: str) -> int:
    """Each case its own noise, whichever cases were run before it."""
    return int.from_bytes(sha256(f"{seed} {case_id}".encode()).digest()[:8], "little")


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
    rest: GridPoint | None = None

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
        v1_v, v2_v, v3_v = (shown("v1_v", v, gauss) for v in (true.v1_v, true.v2_v, true.v3_v))
        f_hz = shown("f_hz", true.f_hz, gauss)
        p_w, q_var = shown("p_w", true.p_w * gain, gauss), shown("q_var", true.q_var * gain, gauss)
        return Reading(true.t_ns, v1_v, v2_v, v3_v, f_hz, p_w, q_var, round(true.i_a, 2))


def shown(name: str, value: float, gauss: Callable[[float, float], float]) -> float:
    return value if value != value else round(value + gauss(0.0, NOISE[name]), DIGITS[name]) + 0.0  # no -0.0


@dataclass(slots=True)
class VirtualUnit:
    """rigs: settings of every case, {"group.key": value}; settings: what is in force."""

    world: World
    rigs: Mapping[str, Value]
    settings: dict[str, Value] = field(default_factory=dict)

    def identity(self) -> str:
        return f"{self.world.brain.identity()}, simulated inverter, step {self.world.period_s * 1e3:g} ms"

    def begin(self) -> None:
        self.settings = dict(self.rigs)
        self.world.change(permit=True, ap_limit_pu=NAN)

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


def inverter_of(eut: Eut, dead_s: float, lag_s: float, gain: float = 1.0) -> Inverter:
    """The simulated inverter of this nameplate. gain: fault."""
    return Inverter(
        s_max_va=eut.s_rated_va,
        p_discharge_w=eut.p_rated_w,
        p_charge_w=eut.p_charge_rated_w,
        q_max_var=max(eut.q_inject_var, eut.q_absorb_var),
        dead_s=dead_s,
        lag_s=lag_s,
        gain=gain,
    )


def told_directly(world: World, settings: Mapping[str, Value]) -> Unit:
    unit = VirtualUnit(world, settings)
    unit.begin()
    unit.write({})
    return unit


@dataclass(frozen=True, slots=True)
class VirtualRig:
    """Where the rigs of a run's cases come from: each case begins with a new world.

    brain: (number of phases, period in s) -> a brain; None: the compiled core. settings: what the unit has beside its
    rating before a case writes anything. The inverter's own delay adds to every response time. reach: a world -> its
    unit as its operator reaches it; None: settings and orders go straight to the brain.
    """

    eut: Eut
    seed: int
    name: str = "virtual"
    brain: Callable[[int, float], Brain] | None = None
    settings: Mapping[str, Value] = field(default_factory=dict)
    dead_s: float = 0.0
    lag_s: float = 0.01
    flaws: Flaws = IDEAL
    can: frozenset[str] = CAN
    reach: Callable[[World], Unit] | None = None

    @contextmanager
    def open(self, case: Case) -> Iterator[Rig]:
        eut, period_s = self.eut, period_of(case)
        brain = self.brain(eut.phases, period_s) if self.brain else CompiledBrain(eut.phases, period_s, MOST_AHEAD)
        inverter = inverter_of(eut, self.dead_s, self.lag_s)
        world = World(brain, inverter, period_s, eut.v_low_pu * eut.v_nom_v, self.flaws)
        unit = self.reach(world) if self.reach else told_directly(world, {**rating_of(eut), **self.settings})
        meter = VirtualMeter(world, seed_of(self.seed, case.id))
        yield Rig(self.name, VirtualClock(world), VirtualSource(world, eut.phases), meter, unit, self.can)
