"""The full step: pure Python of the same functions, and EPRI's OpenDER, over ours.

The series is made once by the compiled core with a perfect unit around it: voltage swings all the time, frequency every
other 1.5 s, the wish changes its sign, an order limits the power; each grid point has new readings. Every contestant
gets the same inputs, ready-made, in a fresh unit; making them and reading the outputs is not timed.

pure Python  tests/cython_core/reference.py, one record at a time; P, Q, state and reasons equal to the last bit
OpenDER      tests/peers/opender.py, the functions that both have; P and Q within 1 % of S
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
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
STEPS, QUICK_STEPS = 2000, 500
OURS, PYTHON, OPENDER = "ours", "pure Python", "EPRI OpenDER"
SETTINGS: dict[str, dict[str, Any]] = {
    "volt_var": {"enable": True, "olrt_s": 1.0},
    "active_limit": {"enable": True, "limit_pu": 0.9},
    "limits": {"ramp_pu_s": 1.0},
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


def series(steps: int) -> list[StepRecord]:
    """The records of a unit in service; their inputs are the series."""
    unit = Unit(PERIOD_S, wish_w=4000.0, **SETTINGS)
    for i in range(steps):
        if i % 170 == 169:
            unit.wish(4000.0 if unit.seq % 2 == 0 else -3000.0)
        f_hz = 60.0 + (wave(i, 150, 0.3) if i // 150 % 2 == 0 else 0.0)
        v_v = 230.0 * (1.0 + wave(i, 230, 0.07))
        unit.step(f_hz=f_hz, v_v=(v_v,), ap_limit=0.2 if i % 250 >= 170 else NAN)
    return unit.records


def part(record: StepRecord, kind: type[Any], prefix: str) -> Any:
    return kind(**{f.name: getattr(record, prefix + f.name) for f in fields(kind)})


def inputs(record: StepRecord) -> Inputs:
    """The arguments of one Core.step, taken back from its record."""
    wish = part(record, Wish, "i_") if record.i_source >= 0 else None
    meter, device = part(record, Measurement, "m_"), part(record, DeviceState, "d_")
    return record.t_ns, meter, device, part(record, Order, "o_"), wish, record.k


# ---- the contestants ----


def ours(records: list[StepRecord]) -> Contestant:
    """Core.replay: the loop's own step, from raw records to raw records."""
    raw, chosen = bulk.stack(records).tobytes(), settings(**SETTINGS)

    def start() -> Callable[[], bytearray]:
        core = Core(chosen, PERIOD_S)
        return lambda: core.replay(raw)

    def outputs(result: bytearray) -> list[Any]:
        rows = bulk.from_bytes(bytes(result))
        return list(zip(*(rows[field].tolist() for field in OUTPUTS), strict=True))

    return Contestant(OURS, len(records), start, outputs)


def one_at_a_time(name: str, make: Callable[[], Stepper], records: list[StepRecord]) -> Contestant:
    """Anything with Core.step's face."""
    arguments = [inputs(record) for record in records]

    def start() -> Callable[[], list[Any]]:
        step = make().step
        return lambda: [step(*a) for a in arguments]

    def outputs(result: list[Any]) -> list[Any]:
        return [tuple(getattr(answer, field) for field in OUTPUTS) for answer in result]

    return Contestant(name, len(records), start, outputs)


def pure_python(records: list[StepRecord]) -> Contestant | Absent:
    if find_spec("tests.cython_core.reference") is None:
        return Absent(PYTHON, "tests/cython_core/reference.py is not in this tree")
    reference = import_module("tests.cython_core.reference")
    return one_at_a_time(PYTHON, lambda: reference.Reference(settings(**SETTINGS), PERIOD_S), records)


def opender(records: list[StepRecord]) -> Contestant | Absent:
    if find_spec("opender") is None:
        return Absent(OPENDER, "pip install opender")
    if find_spec("tests.peers") is None or find_spec("tests.peers.opender") is None:
        return Absent(OPENDER, "tests/peers/opender.py is not in this tree")
    peer = import_module("tests.peers.opender")
    return one_at_a_time(OPENDER, lambda: peer.Peer(settings(**SETTINGS), PERIOD_S), records)


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
    records = series(QUICK_STEPS if quick else STEPS)
    us = ours(records)
    return (
        Compared("step_cost", "ns/step", (us, pure_python(records)), (Gate(PYTHON, OURS, 100, 200, differ=differs),)),
        Compared(
            "step_cost", "ns/step", (us, opender(records)), (Gate(OPENDER, OURS, 1000, 5000, differ=beyond_1_percent),)
        ),
    )
