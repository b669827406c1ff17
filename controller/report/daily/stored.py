"""What a SQLite store knows of one day: when frames came, the meter's registers, what telemetry dropped, which events.

A frame of 2 kB a second is not loaded: SQLite takes the few numbers out of each. For the gaps, frames that follow each
other without a hole are one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.telemetry.gaps import Gap, find_gaps
from controller.telemetry.sqlitestore import read_only
from controller.telemetry.wire import Arrival

AROUND_MS = 5_000  # before and behind the day: a live frame at least every 2 s
DIRECTIONS = ("import", "export")
COUNTERS = ("dropped", "failed_writes", "lost_records")
QUERY = """SELECT t_ms, arrived_ms, epoch,
           json_extract(body, '$.e_meter_import_wh'), json_extract(body, '$.e_meter_export_wh'),
           json_extract(body, '$.telemetry.dropped'), json_extract(body, '$.telemetry.failed_writes'),
           json_extract(body, '$.telemetry.lost_records')
           FROM points WHERE site = ? AND kind = 'live' AND t_ms >= ? AND t_ms < ? ORDER BY t_ms"""
FRAMES = """SELECT outbox, COALESCE(json_extract(body, '$.run'), epoch) AS run, epoch, seq, t_ms,
            json_extract(body, '$.t_first_ms'), json_extract(body, '$.n_first') AS n_first,
            json_extract(body, '$.n_last'), COALESCE(json_extract(body, '$.telemetry.dropped'), 0)
            FROM points WHERE site = ? AND kind = 'live' AND t_ms >= ? AND t_ms < ? ORDER BY outbox, run, n_first"""
RUNS = """SELECT name, epoch, t_ms, outbox, seq, body FROM points
          WHERE site = ? AND kind = 'event' AND name IN ('start', 'lost', 'end') AND t_ms < ?"""


@dataclass(frozen=True, slots=True)
class Registers:
    """A meter's counter over a span: what it rose by, without its falls."""

    rose_wh: float
    falls: int


@dataclass
class Stored:
    """Of one site and day."""

    frames: int = 0
    late_most_s: float = float("nan")  # longest way from source to store
    gaps: list[Gap] = field(default_factory=list)
    span_ms: tuple[int, int] = (0, 0)  # from the first to the last frame with registers
    registers: Mapping[str, Registers] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)  # COUNTERS: what they rose by
    events: Mapping[str, int] = field(default_factory=dict)
    captures: list[tuple[int, str]] = field(default_factory=list)  # (t_ms, file)


def read_day(path: Path, site: str, begin_ms: int, end_ms: int) -> Stored:
    """Raises InputError when the file is no store."""
    with read_only(path) as database:
        of_day = (site, begin_ms, end_ms)
        rows = numbers(database.execute(QUERY, of_day))
        where = "FROM points WHERE site = ? AND kind = 'event' AND t_ms >= ? AND t_ms < ?"
        events = dict(database.execute(f"SELECT name, COUNT(*) {where} GROUP BY name ORDER BY name", of_day))
        files = f"SELECT t_ms, json_extract(body, '$.file') {where} AND name = 'oscillography' ORDER BY t_ms"
        captures = [(t, f) for t, f in database.execute(files, of_day) if f]
        gaps = gaps_of(database, site, begin_ms, end_ms)
    stored = Stored(frames=len(rows), events=events, captures=captures, gaps=gaps)
    if len(rows):
        stored.late_most_s = float((rows[:, 1] - rows[:, 0]).max()) / 1e3
        stored.counted = {name: rise(rows[:, 5 + i]) for i, name in enumerate(COUNTERS)}
        told = rows[np.isfinite(rows[:, 3]) | np.isfinite(rows[:, 4])]
        if len(told) > 1:
            stored.span_ms = (int(told[0, 0]), int(told[-1, 0]))
            stored.registers = dict(registers(told))
    return stored


def gaps_of(database: sqlite3.Connection, site: str, begin_ms: int, end_ms: int) -> list[Gap]:
    """What is missing of the day, and why; a run's start may lie long before it."""
    around = (site, begin_ms - AROUND_MS, end_ms + AROUND_MS)
    live = list(stretches(site, database.execute(FRAMES, around)))
    runs = {row.body["run"] for row in live}
    told = (
        Arrival(site, "event", epoch, t_ms, name, outbox, seq, 0, {"run": epoch, **json.loads(body)})
        for name, epoch, t_ms, outbox, seq, body in database.execute(RUNS, (site, end_ms + AROUND_MS))
    )
    return find_gaps(live, (row for row in told if row.body["run"] in runs), begin_ms, end_ms)


def stretches(site: str, frames: Iterable[tuple[Any, ...]]) -> Iterator[Arrival]:
    """Rows of FRAMES, in its order -> one frame for those without a hole between, of one run, epoch and outbox."""
    newest: Arrival | None = None
    for outbox, run, epoch, seq, t_ms, t_first_ms, n_first, n_last, dropped in frames:
        body = {"run": run, "t_first_ms": t_first_ms, "n_first": n_first, "n_last": n_last}
        row = Arrival(site, "live", epoch, t_ms, "live", outbox, seq, 0, {**body, "telemetry": {"dropped": dropped}})
        if newest is not None and follows(newest, row):
            row.body.update((key, newest.body[key]) for key in ("t_first_ms", "n_first"))
        elif newest is not None:
            yield newest
        newest = row
    if newest is not None:
        yield newest


def follows(before: Arrival, after: Arrival) -> bool:
    """The very next steps of the same run, by the same clock."""
    one = (before.outbox, before.epoch, before.body["run"], before.body["n_last"] + 1)
    return one == (after.outbox, after.epoch, after.body["run"], after.body["n_first"])


def numbers(cursor: sqlite3.Cursor) -> NDArray[np.float64]:
    """All rows, a piece at a time: as objects a day's would take 50 MB."""
    pieces = [np.array(piece, dtype=float) for piece in iter(lambda: cursor.fetchmany(5000), [])]
    return np.concatenate(pieces) if pieces else np.empty((0, 8))


def registers(rows: NDArray[np.float64]) -> Iterator[tuple[str, Registers]]:
    """Each direction that the meter counts."""
    for i, name in enumerate(DIRECTIONS):
        values = rows[:, 3 + i]
        steps = np.diff(values[np.isfinite(values)])
        if len(steps):
            yield name, Registers(float(steps[steps > 0.0].sum()), int((steps < 0.0).sum()))


def rise(values: NDArray[np.float64]) -> int:
    """What a counter rose by; one that begins anew counts from 0."""
    known = values[np.isfinite(values)]
    steps = np.diff(known)
    return int(steps[steps > 0.0].sum() + known[1:][steps < 0.0].sum()) if len(known) > 1 else 0


def as_dict(stored: Stored) -> dict[str, Any]:
    """For JSON."""
    return {
        "frames": stored.frames,
        "longest_way_s": stored.late_most_s,
        "counted": dict(stored.counted),
        "events": dict(stored.events),
        "gaps": [gap.as_dict() for gap in stored.gaps],
    }
