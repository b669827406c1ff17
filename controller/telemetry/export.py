"""Export: rows of a SQLite store -> a CSV file, or into a server, as the same points that a bridge would have written.

CSV      UTF-8, comma, dot; one kind of row a file; columns time_utc, t_ms, epoch, start_mode (event), then every field
         that any row has, by the name it bears in a server: units are in the names. Absent is empty.
Server   batches of MAX_LINES; doing it again doubles nothing.
Errors   InputError: the server says no, or says nothing TRIES times; what is stored stays stored.
"""

from __future__ import annotations

import csv
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TextIO

from controller.errors import InputError
from controller.telemetry.points import NOT_FIELDS, flatten
from controller.telemetry.sqlitestore import count_points, iterate_points, read_only
from controller.telemetry.store import Store, StoreError, StoreRefusedError, pause_s
from controller.telemetry.wire import Arrival

MAX_LINES = 5_000
TRIES = 5
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows: of one site, from_ms <= t_ms < to_ms, Unix time."""

    site: str
    kinds: tuple[str, ...]
    from_ms: int
    to_ms: int

    def rows(self, database: sqlite3.Connection) -> Generator[Arrival, None, None]:
        """One kind after the other, each in order of source time. To be closed before the database is."""
        for kind in self.kinds:
            yield from iterate_points(database, self.site, kind, self.from_ms, self.to_ms)

    def count(self, database: sqlite3.Connection) -> int:
        """How many rows() will give."""
        return sum(count_points(database, self.site, kind, self.from_ms, self.to_ms) for kind in self.kinds)


def to_csv(store: Path, span: Span, out: Path, progress: Progress) -> dict[str, int]:
    """Read twice: the columns, then the rows. A reader sees no half file. -> counts."""
    temporary = out.with_name(f"{out.name}.part")
    try:
        with read_only(store) as database, temporary.open("w", encoding="utf-8", newline="") as file:
            counts = write_csv(database, span, file, progress)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return counts


def write_csv(database: sqlite3.Connection, span: Span, file: TextIO, progress: Progress) -> dict[str, int]:
    """The lines. -> counts."""
    total, done = 2 * span.count(database), 0
    names: dict[str, None] = {}
    with closing(span.rows(database)) as rows:
        for done, row in enumerate(rows, 1):
            names.update(dict.fromkeys(name for name, _ in fields(row)))
            progress(done, total)
    writer = csv.writer(file, lineterminator="\n")
    head = ["time_utc", "t_ms", "epoch", "start_mode", *(["event"] if "event" in span.kinds else [])]
    writer.writerow([*head, *names])
    count = 0
    with closing(span.rows(database)) as rows:
        for count, row in enumerate(rows, 1):
            writer.writerow([*front(row), *map(dict(fields(row)).get, names)])
            progress(done + count, total)
    return {"rows": count, "columns": len(head) + len(names)}


def to_store(store: Path, span: Span, server: Store, progress: Progress) -> dict[str, int]:
    """Batch by batch. -> counts."""
    counts = {"rows": 0, "quarantined": 0}
    with read_only(store) as database, closing(span.rows(database)) as rows:
        total = span.count(database)
        while batch := list(islice(rows, MAX_LINES)):
            try:
                counts["quarantined"] += write(server, batch)
            except StoreError as error:
                raise InputError(
                    f"{server.name}: {error}; {counts['rows']} rows are stored; repeat it later, that doubles nothing"
                ) from None
            counts["rows"] += len(batch)
            progress(counts["rows"], total)
    return counts


def write(server: Store, batch: Sequence[Arrival]) -> int:
    """A server that is only busy gets TRIES chances. -> rows in quarantine. Raises StoreError."""
    for attempt in range(TRIES - 1):
        try:
            return server.write(batch)
        except StoreRefusedError:
            raise
        except StoreError as error:
            time.sleep(pause_s(2.0**attempt, error.retry_after_s))
    return server.write(batch)


def fields(row: Arrival) -> Iterator[tuple[str, object]]:
    """What a server would hold of it as fields."""
    return flatten({key: value for key, value in row.body.items() if key not in NOT_FIELDS})


def front(row: Arrival) -> list[object]:
    """The first columns: when and of which series."""
    stamp = datetime.fromtimestamp(row.t_ms / 1000.0, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    name = [row.name] if row.kind == "event" else []
    return [f"{stamp}.{row.t_ms % 1000:03d}Z", row.t_ms, row.epoch, row.body.get("start_mode") or "unknown", *name]


def moment_ms(text: str, what: str) -> int:
    """2026-11-05, 2026-11-05T14:00 or with an offset -> Unix ms; without an offset it is UTC. Raises InputError."""
    try:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000.0)
    except (ValueError, OverflowError):
        raise InputError(
            f"v2g export: {what} {text} is not a time such as 2026-11-05, 2026-11-05T14:00 or 2026-11-05T14:00+01:00"
        ) from None
