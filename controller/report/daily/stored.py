"""What a SQLite store knows of one day: when frames came, the meter's registers, what telemetry dropped, which events.

A frame of 2 kB a second is not loaded: SQLite takes the few numbers out of each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.errors import InputError
from controller.report.daily.quality import Gap

LIVE_GAP_S = 2.0  # a live frame at least so often
DIRECTIONS = ("import", "export")
COUNTERS = ("dropped", "failed_writes", "lost_records")
QUERY = """SELECT t_ms, arrived_ms, epoch,
           json_extract(body, '$.e_meter_import_wh'), json_extract(body, '$.e_meter_export_wh'),
           json_extract(body, '$.telemetry.dropped'), json_extract(body, '$.telemetry.failed_writes'),
           json_extract(body, '$.telemetry.lost_records')
           FROM points WHERE site = ? AND kind = 'live' AND t_ms >= ? AND t_ms < ? ORDER BY t_ms"""


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
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            of_day = (site, begin_ms, end_ms)
            rows = numbers(database.execute(QUERY, of_day))
            where = "FROM points WHERE site = ? AND kind = 'event' AND t_ms >= ? AND t_ms < ?"
            events = dict(database.execute(f"SELECT name, COUNT(*) {where} GROUP BY name ORDER BY name", of_day))
            files = f"SELECT t_ms, json_extract(body, '$.file') {where} AND name = 'oscillography' ORDER BY t_ms"
            captures = [(t, f) for t, f in database.execute(files, of_day) if f]
    except sqlite3.Error as error:
        raise InputError(f"{path}: is no store of live frames: {error}") from None
    stored = Stored(frames=len(rows), events=events, captures=captures)
    if len(rows):
        stored.late_most_s = float((rows[:, 1] - rows[:, 0]).max()) / 1e3
        stored.counted = {name: rise(rows[:, 5 + i]) for i, name in enumerate(COUNTERS)}
        told = rows[np.isfinite(rows[:, 3]) | np.isfinite(rows[:, 4])]
        if len(told) > 1:
            stored.span_ms = (int(told[0, 0]), int(told[-1, 0]))
            stored.registers = dict(registers(told))
    stored.gaps = list(silence(rows[:, 0], begin_ms, end_ms))
    return stored


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


def silence(t_ms: NDArray[np.float64], begin_ms: int, end_ms: int) -> Iterator[Gap]:
    """Longer than LIVE_GAP_S without a frame; the day's begin and end count as frames."""
    edges = np.concatenate(([begin_ms], t_ms, [end_ms]))
    for i in np.flatnonzero(np.diff(edges) > LIVE_GAP_S * 1e3):
        yield Gap(int(edges[i]), int(edges[i + 1]), "no live frame in the store")


def as_dict(stored: Stored) -> dict[str, Any]:
    """For JSON."""
    return {
        "frames": stored.frames,
        "longest_way_s": stored.late_most_s,
        "counted": dict(stored.counted),
        "events": dict(stored.events),
    }
