"""SQLite store: the store when no server is configured. One table, the whole body as JSON.

Idempotent   by the table's key; the first one wins.
Bound        rows older than keep_days are deleted once an hour; then, above max_mb, the oldest live rows, and events
             only when no live row is left. What the size costs is counted and said: that is history lost.
Power cut    what write() has taken is on the disk, but for live frames of the last `spare_s`: whoever sent them has
             deleted them, and each forcing out wears the card.
Damage       the file is set aside (V2G-STORE-DAMAGED) and a new one begun, at opening and at any time after it.
Errors       StoreError: disk full, locked, just damaged. DatabaseRefusedError at opening: newer, or held by another
             process; a disk that is full at that time is one of write().
"""

from __future__ import annotations

import heapq
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from controller.errors import InputError
from controller.telemetry.database import (
    DatabaseRefusedError,
    UnwritableError,
    is_damage,
    open_or_renew,
    set_aside,
)
from controller.telemetry.store import StoreError
from controller.telemetry.wire import MAX_SEQ, Arrival

log = logging.getLogger(__name__)

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS points (
    site TEXT NOT NULL, kind TEXT NOT NULL, epoch INTEGER NOT NULL, t_ms INTEGER NOT NULL, name TEXT NOT NULL,
    outbox TEXT NOT NULL, seq INTEGER NOT NULL, arrived_ms INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (site, kind, epoch, t_ms, name))
"""  # not WITHOUT ROWID: in its tree a row of 1.2 kB takes a second page, 4.7 kB in all
KINDS = ("live", "event")  # in the order in which they are given up
TIDY_S = 3600.0
SPARE_S = 5.0  # as the outbox has it
DAY_MS = 86_400_000
SLICE_MS = 3_600_000  # deleted at a time when the file holds too much


class SqliteStore:
    """One file on this machine. keep_days, max_mb: None: no bound. spare_s: live frames that a power cut may cost."""

    def __init__(
        self, path: Path, keep_days: int | None = None, max_mb: int | None = None, spare_s: float = SPARE_S
    ) -> None:
        self.path, self.keep_days, self.max_mb, self.spare_s = path, keep_days, max_mb, spare_s
        self.deleted = 0  # by age and by size, since this process began
        self._lock = threading.RLock()  # opened by one thread, used by another
        self._opened = False
        with suppress(UnwritableError):  # the disk may have room again
            self.open()
        self._tidied_s = -TIDY_S
        self._forced_s = time.monotonic()

    @property
    def name(self) -> str:
        """For logs."""
        return f"sqlite {self.path}"

    def open(self) -> None:
        """Unless it is open. Raises DatabaseRefusedError."""
        if not self._opened:
            self._database = open_or_renew(self.path, SCHEMA, VERSION)
            self._opened, self._file = True, self.path.stat().st_ino

    def write(self, rows: Sequence[Arrival]) -> int:
        """One transaction; what is there already stays as it is. It refuses no row. Tidies up once an hour."""
        values = [
            (r.site, r.kind, r.epoch, r.t_ms, r.name, r.outbox, r.seq, r.arrived_ms, as_json(r.body)) for r in rows
        ]
        try:
            self.open()
            with self._lock, self._database:
                lasting = self._must_last(rows)  # FULL: forced out, with all before it (sqlite.org/pragma.html)
                self._database.execute(f"PRAGMA synchronous={'FULL' if lasting else 'NORMAL'}")
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("INSERT OR IGNORE INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            self._forced_s = time.monotonic() if lasting else self._forced_s
            if time.monotonic() - self._tidied_s >= TIDY_S:
                self._tidied_s = time.monotonic()
                self.tidy(time.time_ns() // 1_000_000)
        except DatabaseRefusedError as error:
            raise StoreError(str(error)) from None
        except sqlite3.Error as error:
            if is_damage(error):
                self._begin_anew(error)
            raise StoreError(f"{self.path}: {error}") from None
        return 0

    def tidy(self, now_ms: int) -> int:
        """Delete what is too old, and the oldest while the file holds too much. -> rows deleted. sqlite3.Error.

        Age counts from the newest row, or from now if that is earlier: a clock that is wrong, or a house that was off
        for long, costs no history.
        """
        old = 0
        newest = max((t for kind in KINDS if (t := self._edge("max", kind)) is not None), default=None)
        if self.keep_days is not None and newest is not None:
            old = self._delete(min(now_ms, newest) - self.keep_days * DAY_MS, KINDS)
        gone = old
        while self.max_mb is not None and self.used_bytes() > self.max_mb * 1_000_000:
            oldest, kind = next(((t, k) for k in KINDS if (t := self._edge("min", k)) is not None), (None, ""))
            if oldest is None:
                break
            gone += self._delete(oldest + SLICE_MS, (kind,))
        if gone > old:
            log.warning("V2G-STORE-FULL %s is above %s MB: %d oldest rows deleted", self.path, self.max_mb, gone - old)
        self.deleted += gone
        return gone

    def used_bytes(self) -> int:
        """What rows take up; pages that deleting has freed are used again, the file does not shrink."""
        with self._lock:
            pages, free, size = (
                int(self._database.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened:
                self._database.close()
            self._opened = False

    def _begin_anew(self, error: sqlite3.Error) -> None:
        """The next write() opens a new file. Raises StoreError: the damaged one stays in its way."""
        self.close()
        try:
            if self.path.exists() and self.path.stat().st_ino == self._file:  # else another process has set it aside
                set_aside(self.path, error)
        except (OSError, UnwritableError) as refusal:
            raise StoreError(str(refusal)) from None

    def _must_last(self, rows: Sequence[Arrival]) -> bool:
        """An event, a frame that was on a disk already, or long enough since the last time."""
        spare = all(row.kind == "live" and row.arrived_ms - row.t_ms < 1000 * self.spare_s for row in rows)
        return not spare or time.monotonic() - self._forced_s >= self.spare_s

    def _edge(self, which: str, kind: str) -> int | None:
        """The first (min) or last (max) source time of all runs."""
        query = f"SELECT {which}(t_ms) FROM points WHERE site = ? AND kind = ? AND epoch = ?"
        with self._lock:
            runs = runs_of(self._database, kind)
            times = [self._database.execute(query, (s, kind, e)).fetchone()[0] for s, e in runs]
        return {"min": min, "max": max}[which]((int(t) for t in times if t is not None), default=None)

    def _delete(self, before_ms: int, kinds: Sequence[str]) -> int:
        """A transaction for each run, so that writing never waits for long."""
        gone = 0
        for kind in kinds:
            with self._lock:
                runs = runs_of(self._database, kind)
            for site, epoch in runs:
                with self._lock, self._database:
                    gone += self._database.execute(
                        "DELETE FROM points WHERE site = ? AND kind = ? AND epoch = ? AND t_ms < ?",
                        (site, kind, epoch, before_ms),
                    ).rowcount
        return gone


def as_json(body: dict[str, Any]) -> str:
    """Without spaces: a tenth less."""
    return json.dumps(body, separators=(",", ":"))


def runs_of(database: sqlite3.Connection, kind: str) -> list[tuple[str, int]]:
    """(site, epoch) of every run that has rows: one look into the key for each, never a walk over the rows."""
    found: list[tuple[str, int]] = []
    at = ("", kind, 0)
    query = """SELECT site, kind, epoch FROM points WHERE (site, kind, epoch) > (?, ?, ?)
               ORDER BY site, kind, epoch LIMIT 1"""
    while (row := database.execute(query, at).fetchone()) is not None:
        at = (row[0], row[1], row[2])
        if row[1] == kind:
            found.append((str(row[0]), int(row[2])))
    return found


def read_points(path: Path, site: str, kind: str) -> list[Arrival]:
    """What a SqliteStore holds of one site, in order of source time: for reports and tests."""
    with read_only(path) as database:
        return list(iterate_points(database, site, kind))


def iterate_points(
    database: sqlite3.Connection, site: str, kind: str, from_ms: int = 0, to_ms: int = MAX_SEQ
) -> Iterator[Arrival]:
    """Rows with from_ms <= t_ms < to_ms in order of source time, one at a time: each run is read along the key."""
    query = """SELECT site, kind, epoch, t_ms, name, outbox, seq, arrived_ms, body FROM points
               WHERE site = ? AND kind = ? AND epoch = ? AND t_ms >= ? AND t_ms < ? ORDER BY t_ms, seq"""
    runs = [
        database.execute(query, (site, kind, epoch, from_ms, to_ms))
        for of_site, epoch in runs_of(database, kind)
        if of_site == site
    ]
    for row in heapq.merge(*runs, key=lambda found: (found[3], found[6])):
        yield Arrival(*[*row[:8], json.loads(row[8])])


def count_points(database: sqlite3.Connection, site: str, kind: str, from_ms: int = 0, to_ms: int = MAX_SEQ) -> int:
    """How many iterate_points() will give."""
    query = "SELECT count(*) FROM points WHERE site = ? AND kind = ? AND epoch = ? AND t_ms >= ? AND t_ms < ?"
    runs = [epoch for of_site, epoch in runs_of(database, kind) if of_site == site]
    return sum(database.execute(query, (site, kind, epoch, from_ms, to_ms)).fetchone()[0] for epoch in runs)


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A store that somebody else may be writing. Raises InputError: damaged, newer, none of ours; also on the way."""
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        found = int(database.execute("PRAGMA user_version").fetchone()[0])
        if found > VERSION:
            raise InputError(f"{path}: schema {found} is newer than {VERSION}, the newest this program reads")
        yield database
    except sqlite3.Error as error:
        raise InputError(f"{path}: is no store of live frames: {error}") from None
    finally:
        database.close()
