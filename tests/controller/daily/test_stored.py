"""What a day's store lacks: the rows and pencilled gaps of test_gaps.py, read through a real SQLite store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.report.daily.stored import read_day
from controller.telemetry.gaps import LOST, STOPPED
from controller.telemetry.sqlitestore import SqliteStore
from controller.telemetry.wire import Arrival
from tests.controller.telemetry.test_gaps import CASES, Frames, frames, said

DAY_S = 86_400


def stored(path: Path, *rows: Arrival) -> Path:
    store = SqliteStore(path / "store.sqlite")
    store.write(rows)
    store.close()
    return path / "store.sqlite"


@pytest.mark.parametrize(("live", "events", "from_s", "to_s", "expected", "why"), CASES, ids=[c[-1] for c in CASES])
def test_frames_without_a_hole_between_may_be_one(
    tmp_path: Path, live: Frames, events: Frames, from_s: float, to_s: float, expected: list[Any], why: str
) -> None:
    window = round(1000 * from_s), round(1000 * to_s)
    found = read_day(stored(tmp_path, *live, *events), "home", *window).gaps
    assert [(g.begin_ms / 1000, g.end_ms / 1000, g.cause, g.steps) for g in found] == expected, why


def test_a_run_goes_through_both_midnights(tmp_path: Path) -> None:
    """A frame ends with the day's last step, the next one begins with the first of the day after."""
    whole = frames(*range(DAY_S - 3, DAY_S + 14))
    assert read_day(stored(tmp_path, *whole), "home", 1000 * DAY_S, 1000 * (DAY_S + 10)).gaps == []


# fmt: off
BOOTS = [
    # boot  cause    why
    ("b",   LOST,    "the same boot, and nobody knows when the run before ended"),
    ("c",   STOPPED, "the host has booted: the run before is over"),
]
# fmt: on


@pytest.mark.parametrize(("boot", "cause", "why"), BOOTS, ids=[c[-1] for c in BOOTS])
def test_a_run_that_began_yesterday(tmp_path: Path, boot: str, cause: str, why: str) -> None:
    rows = [*frames(*range(DAY_S - 3, DAY_S + 5)), *frames(*range(5), seq=10**6, run=2, base_s=DAY_S + 20)]
    rows += [said("start", 1, 0, boot_id="b"), said("start", 2, DAY_S + 20, boot_id=boot)]
    (gap,) = read_day(stored(tmp_path, *rows), "home", 1000 * DAY_S, 1000 * DAY_S + 24_900).gaps
    assert (gap.begin_ms - 1000 * DAY_S, gap.end_ms - 1000 * DAY_S, gap.cause) == (4_900, 20_000, cause), why
