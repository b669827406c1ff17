"""Three days of frames wait while the consumer comes back: the newest frame is never late, memory does not grow.

Real outbox, real pump; time is an argument.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from controller.telemetry.outbox import Outbox
from controller.telemetry.pump import MAX_REMEMBERED, Pump
from tests.controller.telemetry.makers import WALL_MS, event, live
from tests.controller.telemetry.test_outbox import outbox

DAYS_3 = 260_000
BEGIN_MS = WALL_MS + 1000 * DAYS_3
TURN_MS = 100


def fill(box: Outbox, rows: int = DAYS_3) -> None:
    """One frame a second, an event every ten minutes, nobody there."""
    for second in range(0, rows, 1000):
        drafts = [event(s) if s % 600 == 0 else live(s) for s in range(second, second + 1000)]
        box.add(drafts, WALL_MS + 1000 * second)
        box.tend(WALL_MS + 1000 * second + 5_000)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outbox]:
    box = outbox(tmp_path_factory.mktemp("backlog"))
    fill(box)
    assert (box.counters().waiting, box.counters().on_disk, box.counters().dropped) == (DAYS_3, DAYS_3, 0)
    yield box
    box.close()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_newest_frame_is_never_late_and_the_backlog_drains_at_its_rate(full: Outbox) -> None:
    pump = Pump(full)
    pump.connected(BEGIN_MS)
    before, waiting = resident_bytes(), full.counters().waiting
    under_way: list[int] = []
    seen_ms = [BEGIN_MS]
    events_first = 0
    for now_ms in range(BEGIN_MS, BEGIN_MS + 120_000, TURN_MS):
        if now_ms % 1000 == 0:
            full.add([live((now_ms - WALL_MS) // 1000)], now_ms)
        full.tend(now_ms)
        if under_way:
            pump.acknowledged(full.id, [(seq, seq) for seq in under_way], now_ms)
        rows = pump.due(now_ms)
        under_way = [row.seq for row in rows]
        times_ms = [json.loads(row.body)["t_ms"] for row in rows if row.kind == "live"]
        seen_ms += [now_ms] if now_ms in times_ms else []
        events_first += sum(row.kind == "event" for row in rows)
    assert max(b - a for a, b in pairwise(seen_ms)) <= 1000
    assert events_first == DAYS_3 // 600 + 1, "events come before all live rows"
    drained = waiting + 120 - full.counters().waiting
    assert drained == pytest.approx(120 * 51, rel=0.02), "50 a second and the new one: three days in an hour and a half"
    assert len(pump._sent) <= MAX_REMEMBERED
    assert resident_bytes() - before < 20_000_000


@pytest.mark.nightly
def test_the_bound_holds_with_a_backlog(tmp_path: Path) -> None:
    """300 000 rows are the default bound; a day more than three drops the oldest, counted."""
    box = outbox(tmp_path)
    fill(box, 346_000)
    events = -(-346_000 // 600)
    assert box.counters().waiting == 300_000 + events
    assert box.counters().dropped == 346_000 - events - 300_000
    assert box.next_batch(events + 1)[-1].seq == 346_000, "the newest live row is the first to go out"
    box.close()
