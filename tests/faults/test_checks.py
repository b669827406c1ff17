"""The checks themselves can fail: each sees the one thing that is wrong in records that are otherwise right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from controller.replay import Replay, RunReplay
from controller.telemetry.wire import Arrival
from cython_core.bulk import STEP
from cython_core.records import Mode
from tests.faults.checks import assert_no_jump, assert_nothing_lost, assert_starts_from_present_power, assert_whole
from tests.faults.rig import Records

EPOCH = 7


def ramp() -> Records:
    """Ten silent steps at -1000 W, then the ramp to 0 at 14 W a step; step 50 is one grid point late."""
    records = np.zeros(100, dtype=STEP)
    records["n"] = np.arange(100)
    records["k"] = 1
    records["k"][50] = 2
    records["skipped"] = np.cumsum(records["k"] - 1)
    records["mode"] = Mode.ACTIVE
    records["mode"][:10] = Mode.SILENT
    records["d_p_w"] = -1000.0
    records["p_cmd_w"] = np.minimum(-1000.0 + 14.0 * (np.cumsum(records["k"]) - 11), 0.0)
    return records


def replayed(records: Records, **run: Any) -> Replay:
    return Replay([RunReplay({"epoch": EPOCH}, records, **run)])


def rows(*seqs: int) -> list[Arrival]:
    """Live rows: row s carries the steps 10 (s - 1) ... 10 s - 1."""
    bodies = [(s, {"run": EPOCH, "n_first": 10 * s - 10, "n_last": 10 * s - 1}) for s in seqs]
    return [Arrival("rig", "live", EPOCH, 1000 * s, "live", "a", s, 1000 * s, body) for s, body in bodies]


def test_what_is_right_passes() -> None:
    assert_no_jump(ramp())
    assert_starts_from_present_power(ramp())
    assert_whole(replayed(ramp()), {EPOCH: 99})
    assert_nothing_lost(rows(1, 2, 3), [], {EPOCH: 25})


def jump(records: Records) -> None:
    records["p_cmd_w"][30] += 1.0


def late_step_not_counted(records: Records) -> None:
    records["k"][50] = 1


def start_elsewhere(records: Records) -> None:
    records["d_p_w"] = -900.0


# fmt: off
TAMPERED: list[tuple[Callable[[Records], None], Callable[[Records], None], str]] = [
    (jump,                  assert_no_jump,                    "15 W in one step of 14 W"),
    (late_step_not_counted, assert_no_jump,                    "28 W in a step that was not late"),
    (start_elsewhere,       assert_starts_from_present_power,  "commanded 100 W beside what is measured"),
    (late_step_not_counted, lambda r: assert_whole(replayed(r), {EPOCH: 99}), "a grid point that nobody counted"),
]
INCOMPLETE = [
    # records         what else                      newest  why
    (ramp()[:90],     {},                            99,     "the last ten steps are absent"),
    (np.delete(ramp(), 40), {},                      99,     "one step is absent"),
    (ramp(),          {"lost": 3},                   99,     "the ring had overwritten three"),
    (ramp(),          {"difference": "at step 5"},   99,     "other bits"),
]
ROWS = [
    # seqs in the store   newest  why
    ((1, 3),              25,     "a row is absent"),
    ((2, 3),              25,     "the first row is absent"),
    ((1, 2, 2),           15,     "a row is there twice"),
    ((1, 2),              25,     "the last steps are in no row"),
]
# fmt: on


@pytest.mark.parametrize(("tamper", "check", "why"), TAMPERED, ids=[c[-1] for c in TAMPERED])
def test_tampered_records(tamper: Callable[[Records], None], check: Callable[[Records], None], why: str) -> None:
    records = ramp()
    tamper(records)
    with pytest.raises(AssertionError):
        check(records)


@pytest.mark.parametrize(("records", "run", "newest", "why"), INCOMPLETE, ids=[c[-1] for c in INCOMPLETE])
def test_an_incomplete_journal(records: Records, run: dict[str, Any], newest: int, why: str) -> None:
    with pytest.raises(AssertionError):
        assert_whole(replayed(records, **run), {EPOCH: newest})


@pytest.mark.parametrize(("seqs", "newest", "why"), ROWS, ids=[c[-1] for c in ROWS])
def test_an_incomplete_store(seqs: tuple[int, ...], newest: int, why: str) -> None:
    with pytest.raises(AssertionError):
        assert_nothing_lost(rows(*seqs), [], {EPOCH: newest})
