"""The compiled core against a second implementation in plain Python: every field of every record, bit by bit.

The reference (reference.py, plain/) was written from the documents and shares no module with the core. A case is
random settings and some thirty steps of a random world (cases.py, scenes.py). NaN equals NaN; no other exception.

Cases    5 000 here, 100 000 longer ones in the nightly run; V2G_CASES=n sets either.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import attrgetter, or_
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from cython_core.records import DeviceState, Measurement, Mode, Order, Reason, Region, State, StepRecord, Trip, kinds
from cython_core.settings import MODES, Settings, to_mapping
from cython_core.step import Core
from tests.cython_core import strategies
from tests.cython_core.cases import Tape, settings_from
from tests.cython_core.reference import Record, Reference
from tests.cython_core.scenes import Scene
from tests.cython_core.unit import Unit
from tests.cython_core.unit import settings as pencil

HERE = Path(__file__).parent
NAMES = [*StepRecord.__dataclass_fields__]
WORDS = attrgetter(*NAMES)
LAYOUT = struct.Struct("<" + kinds(StepRecord))
TAPE, LONG_TAPE = 260, 700  # bytes: settings, in every second case others to change to, and some nine legs or sixty
PERIODS_S = (0.01, 0.001, 0.1, 0.02)


def cases(number: int) -> int:
    return int(os.environ.get("V2G_CASES", number))


def effort_of(number: int) -> effort:
    return effort(max_examples=cases(number), suppress_health_check=list(HealthCheck), database=None)


# ---- one case ----


def raw(records: list[Any]) -> bytes:
    return b"".join(LAYOUT.pack(*WORDS(record)) for record in records)


def differences(ours: bytes, theirs: bytes) -> list[str]:
    """Fields that are not the same bits, NaN apart."""
    pairs = zip(NAMES, LAYOUT.unpack(ours), LAYOUT.unpack(theirs), strict=True)
    return [
        f"{name}: core {a!r}, reference {b!r}"
        for name, a, b in pairs
        if struct.pack("<d", a) != struct.pack("<d", b) and not (a != a and b != b)
    ]


def compare(core: Core, records: list[Record]) -> None:
    """The core computes the same steps anew from the recorded inputs."""
    theirs = raw(records)
    ours = bytes(core.replay(theirs))
    if ours == theirs:
        return
    for i in range(0, len(ours), LAYOUT.size):
        wrong = differences(ours[i : i + LAYOUT.size], theirs[i : i + LAYOUT.size])
        assert not wrong, f"step {records[i // LAYOUT.size].n}: " + "; ".join(wrong)


def live(tape: Tape, settings: Settings, other: Settings | None) -> tuple[Reference, list[Record]]:
    """The rest of the tape through the reference and the core, which must agree."""
    period_s, in_service = tape.pick(PERIODS_S), tape.byte() > 160
    reference, core = Reference(settings, period_s, in_service), Core(settings, period_s, in_service)
    scene = Scene(tape, settings, period_s)
    records: list[Record] = []
    compared = 0
    for inputs in scene.steps():
        if scene.wants_change and other:
            compare(core, records[compared:])
            compared = len(records)
            settings, other = other, settings
            core.change(settings)
            reference.change(settings)
        scene.wants_change = False
        records.append(reference.step(*inputs))
        scene.told_w, scene.told_var = records[-1].p_cmd_w, records[-1].q_cmd_var
    compare(core, records[compared:])
    return reference, records


def case(data: bytes) -> tuple[Reference, list[Record]]:
    tape = Tape(data)
    return live(tape, settings_from(tape), settings_from(tape) if tape.coin() else None)


@effort_of(5_000)
@given(st.binary(min_size=TAPE, max_size=TAPE))
def test_core_and_reference_give_the_same_bits(data: bytes) -> None:
    case(data)


@pytest.mark.nightly
@effort_of(100_000)
@given(st.binary(min_size=LONG_TAPE, max_size=LONG_TAPE))
def test_core_and_reference_give_the_same_bits_for_longer(data: bytes) -> None:
    case(data)


@effort(max_examples=100, suppress_health_check=list(HealthCheck))
@given(strategies.settings(f_nom=None), st.binary(min_size=120, max_size=120))
def test_the_same_with_any_value_inside_the_ranges(settings: Settings, data: bytes) -> None:
    """The tape knows corners and 192 values between; here every value of a range can be."""
    live(Tape(data), settings, None)


# ---- what the cases reach: were one of these never seen, equality would say nothing about it ----


def serving(*records: Any) -> bool:
    return all(r.state in (State.IN_SERVICE, State.DEGRADED, State.ENTERING, State.CEASED) for r in records)


def has(record: Any, reason: Reason) -> bool:
    return bool(record.reasons & reason)


# a record and the one before it
LANDMARKS: dict[str, Callable[[Any, Any], bool]] = {
    "back in service after a trip": lambda a, b: a.trip != 0 and b.trip == 0 and serving(b),
    "a restored output": lambda a, b: a.restore_pu < 1.0 == b.restore_pu and serving(a, b),
    "enter service: the ramp ends": lambda a, b: 0.0 < a.es_pu < 1.0 == b.es_pu and serving(a, b),
    "volt-watt lets go": lambda a, b: (
        a.vw_hi_w == a.vw_hi_w and b.vw_hi_w != b.vw_hi_w and serving(a, b) and not b.fresh_v
    ),
    "volt-watt forces charging": lambda _, b: b.vw_hi_w < 0.0 and b.p_cmd_w < 0.0,
    "droop: p_pre holds while the wish moves": lambda a, b: (
        has(a, Reason.DROOP) and has(b, Reason.DROOP) and a.p_pre_w == b.p_pre_w and a.w_p_w != b.w_p_w
    ),
    "fast response is released": lambda a, b: has(b, Reason.FAST_RESPONSE) and 0.0 < b.dp_fast_w < a.dp_fast_w,
    "V_Ref follows": lambda a, b: a.v_ref_pu != b.v_ref_pu and a.q_mode == b.q_mode and serving(a, b),
    "a cross-over ends": lambda a, b: has(a, Reason.MODE_CHANGE) and not has(b, Reason.MODE_CHANGE) and serving(a, b),
    "the direction turns": lambda a, b: a.p_cmd_w * b.p_cmd_w < 0.0,
    "a third disturbance in a row": lambda _, b: b.disturbances == 3,
    "disturbances are forgotten": lambda a, b: a.disturbances > 0 == b.disturbances,
    "more than 65 535 grid points skipped": lambda _, b: b.k > 65_536,
    "other settings": lambda a, b: a.settings_digest != b.settings_digest,
}
ALL: dict[str, set[Any]] = {
    "reason": set(Reason),
    "trip": set(Trip),
    "state": set(State),
    "region": set(Region),
    "mode": set(Mode),
    "acting reactive mode": set(MODES),
    "winner of the wishes": {-1, 1, 2, 3, 4, 5, 6, 7},
    "side of droop": {-1, 0, 1},
    "landmark": {*LANDMARKS, "a random delay was drawn"},
}


def reached(reference: Reference, records: list[Record]) -> dict[str, set[Any]]:
    reasons = reduce(or_, (r.reasons for r in records), 0)
    trips = reduce(or_, (r.trip for r in records), 0)
    landmarks = {name for name, seen in LANDMARKS.items() if any(seen(a, b) for a, b in pairwise(records))}
    return {
        "reason": {x for x in Reason if reasons & x},
        "trip": {x for x in Trip if trips & x},
        "state": {r.state for r in records},
        "region": {r.region for r in records},
        "mode": {r.mode for r in records},
        "acting reactive mode": {MODES[r.q_mode] for r in records if r.q_target_var or not r.q_mode},
        "winner of the wishes": {r.w_source for r in records},
        "side of droop": {(r.dp_target_w > 0.0) - (r.dp_target_w < 0.0) for r in records},
        "landmark": landmarks | ({"a random delay was drawn"} if reference.enter_service.draws else set()),
    }


def test_the_cases_reach_every_reason_trip_state_region_and_mode() -> None:
    numbers, missing = Random(1547), {what: set(names) for what, names in ALL.items()}
    for _ in range(1000):
        found = reached(*case(numbers.randbytes(LONG_TAPE)))
        missing = {what: names - found[what] for what, names in missing.items() if names - found[what]}
        if not missing:
            return
    pytest.fail(f"never reached in 1000 cases: {missing}")


# ---- the comparison itself ----


def test_a_difference_is_named_by_step_and_field() -> None:
    """Had the core 0.8 pu/s where the reference has 0.2: the ramp's first step is 80 W instead of 20 W."""
    unit = Unit(wish_w=5000.0)
    unit.advance(0.05)
    reference = Reference(pencil(), 0.01)
    with pytest.raises(AssertionError, match=r"step 0: settings_digest: core .*; p_pre_w: core 80\.0, reference 20\.0"):
        compare(Core(pencil(limits={"ramp_pu_s": 0.8}), 0.01), reference.replay(unit.records))


def test_replay_is_the_cores_replay() -> None:
    """The entry of the cost comparison: records in, records out, lateness copied."""
    unit = Unit(wish_w=5000.0)
    unit.advance(0.3, f_hz=60.3, v_v=(247.0,))
    unit.records[3] = replace(unit.records[3], lateness_ns=77)
    answers = Reference(pencil(), 0.01).replay(unit.records)
    assert answers[3].lateness_ns == 77
    assert raw(answers) == bytes(Core(pencil(), 0.01).replay(raw(unit.records))) == raw(unit.records)


def test_step_is_the_cores_step() -> None:
    """Without an order and a wish; begun at a power, in service. Settings may come as plain mappings."""
    core, reference = Core(pencil(), 0.01, True), Reference(to_mapping(pencil()), 0.01, True)
    for either in (core, reference):
        either.assume_power(3000.0)
    inputs = (10**9, Measurement(), DeviceState(), Order(), None, 3)
    assert raw([reference.step(*inputs)]) == raw([core.step(*inputs)])


@pytest.mark.parametrize("path", [HERE / "reference.py", *sorted((HERE / "plain").glob("*.py"))], ids=lambda p: p.name)
def test_the_reference_shares_no_module_with_the_core(path: Path) -> None:
    assert not re.search(r"^\s*(from|import) cython_core", path.read_text(), re.MULTILINE)
