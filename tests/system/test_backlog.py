"""`v2g telemetry` as a process with three days of frames waiting on disk: the newest frame is in the store at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from controller.telemetry.outbox import Outbox
from controller.telemetry.sqlitestore import read_points
from cython_core.realtime.ring import RingWriter
from tests.controller.telemetry.makers import PERIOD_NS, info, records
from tests.controller.telemetry.test_backlog import DAYS_3, fill
from tests.controller.telemetry.test_command import Process, wait_for

pytestmark = pytest.mark.system

SECONDS = 10
RUN = 77


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    running = Process(tmp_path)
    yield running
    running.close()


def test_the_live_gap_is_two_seconds_at_most(process: Process) -> None:
    box = Outbox(process.folder / "state" / "outbox.sqlite", "home")
    fill(box)
    box.close()
    offset_ns = time.time_ns() - time.monotonic_ns()
    ring = RingWriter(process.folder / "run" / "ring", info(RUN) | {"wall_offset_ns": offset_ns}, PERIOD_NS)
    process.start()
    wait_for(lambda: bool(process.status().get("acknowledged")), "the backlog on its way")
    until = time.monotonic() + SECONDS
    n = 0
    while time.monotonic() < until:
        row = records(n, 1)
        row["t_ns"] = time.monotonic_ns()
        ring.push(row.tobytes())
        n += 1
        time.sleep(PERIOD_NS / 1e9)
    status = process.status()
    assert process.child is not None
    process.child.terminate()
    process.child.wait(15.0)
    rows = [
        row for row in read_points(process.folder / "state" / "telemetry.sqlite", "home", "live") if row.epoch == RUN
    ]
    arrived = sorted(row.arrived_ms for row in rows)
    assert len(arrived) >= SECONDS
    assert max(b - a for a, b in pairwise(arrived)) <= 2000
    assert max(row.arrived_ms - row.t_ms for row in rows) <= 2000
    waiting = status["waiting"]
    assert isinstance(waiting, int)
    assert DAYS_3 - 2000 < waiting < DAYS_3 - 100, "50 a second beside it"
