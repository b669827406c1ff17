"""The full step: pure Python of the same functions, and EPRI's OpenDER, over ours.

Each series is made once by the compiled core with a perfect unit around it: voltage swings all the time, frequency half
of it; each grid point has new readings. Every contestant gets the same inputs, ready-made, in a fresh unit; making them
and reading the outputs is not timed.

pure Python  tests/cython_core/reference: every function of the core on, all of them ours, three phases, a house with
             its loads, a wish that changes its sign. P, Q, state and reasons equal to the last bit.
OpenDER      tests/peers/opender.py: what both have, one phase, one wish (it has no ramp). P and Q within 1 % of S.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from typing import Any, Protocol

from cython_core import bulk
from cython_core.records import NAN, DeviceState, Measurement, Order, StepRecord, Wish
from cython_core.step import Core
from tests.cython_core.unit import RATING, Unit, settings
from tests.performance.harness import Absent, Contestant, Gate
from tests.performance.harness import Measurement as Compared

PERIOD_S = 0.01
STEPS, QUICK_STEPS, REPEATS = 2000, 500, 50
OURS, PYTHON, OPENDER = "ours", "pure Python", "EPRI OpenDER"
Groups = dict[str, dict[str, Any]]
BOTH_HAVE: Groups = {
    "volt_var": {"olrt_s": 1.0},
    "volt_watt": {"enable": True, "v1_pu": 1.08, "olrt_s": 1.0},
    "freq_droop": {"t_response_s": 0.5, "refresh_s": 0.0},
    "limits": {"ramp_pu_s": 10.0},
}
OWN = {"owner": "controller"}
ALL: Groups = {
    **BOTH_HAVE,
    "active_limit": {"enable": True, "limit_pu": 0.9},
    "fast_response": {"enable": True, "trigger_hz": 0.25, "power_pu": 0.2, "hold_s": 1.0, "release_s": 1.0},
    "inertia": {"enable": True},
    "voltage_trip": OWN,
    "frequency_trip": OWN,
    "ride_through": OWN,
    "enter_service": {**OWN, "delay_s": 0.0, "ramp_s": 1.0},
    "site_limits": {"enable": True, "import_w": 5000.0, "export_w": 5000.0, "fuse_a": 25.0},
    "limits": {"ramp_pu_s": 1.0, "p_min_abs_w": 300.0, "reverse_dwell_s": 0.1},
}
OUTPUTS = ("p_cmd_w", "q_cmd_var", "state", "reasons")
Inputs = tuple[int, Measurement, DeviceState, Order, Wish | None, int]


class Stepper(Protocol):
    """What the pure-Python reference looks like from here: Core.step, answering with at least OUTPUTS."""

    def step(
        self, t_ns: int, meter: Measurement, device: DeviceState, order: Order, wish: Wish | None, k: int, /
    ) -> Any: ...


# ---- the series ----


def wave(i: int, period: int, most: float) -> float:
    """A triangle through 0 at i = 0, from -most to +most; + - x / alone."""
    at = (i / period + 0.25) % 1.0
    return most * (1.0 - abs(4.0 * at - 2.0))


@dataclass(frozen=True, slots=True)
class Series:
    """Settings, and the records whose inputs are the series."""

    groups: Groups
    records: list[StepRecord]

    def core(self) -> Core:
        return Core(settings(**self.groups), PERIOD_S)


def everything(steps: int) -> Series:
    unit = Unit(PERIOD_S, wish_w=4000.0, **ALL)
    for i in range(steps):
        if i % 170 == 169:
            unit.wish(4000.0 if unit.seq % 2 == 0 else -3000.0)
        house_w = 1500.0 + wave(i, 90, 1500.0)  # three loads of which one changes
        unit.phase_w = (unit.device_p_w - house_w, -400.0, -300.0)
        unit.meter_p_w = sum(unit.phase_w)
        unit.ap_limit = 0.2 if i % 250 >= 170 else NAN
        swing(unit, i, phases=3)
    return Series(ALL, unit.records)


def shared(steps: int) -> Series:
    unit = Unit(PERIOD_S, wish_w=8000.0, **BOTH_HAVE)
    for i in range(steps):
        swing(unit, i, phases=1)
    return Series(BOTH_HAVE, unit.records)


def swing(unit: Unit, i: int, phases: int) -> None:
    # one side at a time and then a rest: OpenDER starts droop from its output, with what droop itself left in it
    f_hz = 60.0 + wave(i % 150, 300, (0.15, 0.0, -0.3, 0.0)[i // 150 % 4])
    v_v = 230.0 * (1.0 + wave(i, 230, 0.07))
    unit.step(f_hz=f_hz, v_v=(v_v, 0.99 * v_v, 1.01 * v_v)[:phases])


def part(record: StepRecord, kind: type[Any], prefix: str) -> Any:
    return kind(**{f.name: getattr(record, prefix + f.name) for f in fields(kind)})


def inputs(record: StepRecord) -> Inputs:
    """The arguments of one Core.step, taken back from its record."""
    wish = part(record, Wish, "i_") if record.i_source >= 0 else None
    meter, device = part(record, Measurement, "m_"), part(record, DeviceState, "d_")
    return record.t_ns, meter, device, part(record, Order, "o_"), wish, record.k


# ---- the contestants ----


def ours(series: Series) -> Contestant:
    """Core.replay: the loop's own step, from raw records to raw records.

    The series is played REPEATS times in a slice: once lasts 60 us, and would tell how long caches and new memory take
    to warm up beside a peer whose slice lasts a thousand times as long.
    """
    raw = bulk.stack(series.records).tobytes()

    def start() -> Callable[[], bytearray]:
        core = series.core()
        begin = core.state()

        def play() -> bytearray:
            for _ in range(REPEATS - 1):
                core.replay(raw)
                core.load(begin)
            return core.replay(raw)

        return play

    def outputs(result: bytearray) -> list[Any]:
        rows = bulk.from_bytes(bytes(result))
        return list(zip(*(rows[field].tolist() for field in OUTPUTS), strict=True))

    return Contestant(OURS, REPEATS * len(series.records), start, outputs)


def one_at_a_time(name: str, make: Callable[[], Stepper], series: Series) -> Contestant:
    """Anything with Core.step's face."""
    arguments = [inputs(record) for record in series.records]

    def start() -> Callable[[], list[Any]]:
        step = make().step
        return lambda: [step(*a) for a in arguments]

    def outputs(result: list[Any]) -> list[Any]:
        return [tuple(getattr(answer, field) for field in OUTPUTS) for answer in result]

    return Contestant(name, len(arguments), start, outputs)


def pure_python(series: Series) -> Contestant | Absent:
    if find_spec("tests.cython_core.reference") is None:
        return Absent(PYTHON, "tests/cython_core/reference is not in this tree")
    reference = import_module("tests.cython_core.reference")
    return one_at_a_time(PYTHON, lambda: reference.Reference(settings(**series.groups), PERIOD_S), series)


def opender(series: Series) -> Contestant | Absent:
    if find_spec("tests.peers") is None or find_spec("tests.peers.opender") is None:
        return Absent(OPENDER, "tests/peers/opender.py is not in this tree")
    peer = import_module("tests.peers.opender")
    if find_spec("opender") is None:
        return Absent(OPENDER, peer.INSTALL)
    return one_at_a_time(OPENDER, lambda: peer.Peer(settings(**series.groups), PERIOD_S), series)


def differs(theirs: list[Any], ours: list[Any]) -> str:
    """The first step and field that is not the same bits."""
    for i, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        for field, x, y in zip(OUTPUTS, a, b, strict=True):
            if x != y:
                return f"step {i}: {field} = {x!r}, ours {y!r}"
    return ""


def beyond_1_percent(theirs: list[Any], ours: list[Any]) -> str:
    """The first step where P or Q is more than 1 % of S away from ours."""
    most = 0.01 * RATING["s_rated_va"]
    for i, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        for field, x, y in islice(zip(OUTPUTS, a, b, strict=True), 2):
            if not abs(x - y) <= most:
                return f"step {i}: {field} = {x:.1f}, ours {y:.1f}, allowed {most:g} apart"
    return ""


def measurements(quick: bool) -> tuple[Compared, ...]:
    steps = QUICK_STEPS if quick else STEPS
    full, both = everything(steps), shared(steps)
    python, peer = (
        Gate(PYTHON, OURS, 100, 200, differ=differs),
        Gate(OPENDER, OURS, 1000, 5000, differ=beyond_1_percent),
    )
    return (
        Compared("step_cost", "ns/step", (pure_python(full), ours(full)), (python,)),
        Compared("step_cost", "ns/step", (opender(both), ours(both)), (peer,)),
    )
