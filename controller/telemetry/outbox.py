"""Outbox: rows wait here, numbered, until the consumer says that they are stored. SQLite.

Numbers  seq never comes twice within one outbox; `outbox.id` is new with every new file.
Bound    the oldest live rows go first, counted in `dropped`; events are never dropped.
Errors   a damaged file is moved aside and a new one begun; a full disk is counted and the rows wait in memory.
         Nothing here raises into the loop after opening. DatabaseRefusedError at opening: schema too new, or no access.
What was sent when is not kept here: after a restart everything is sent again, and each send would wear the card.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from controller.telemetry.database import move_aside, open_database
from controller.telemetry.wire import Draft, Ranges, Row

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- AUTOINCREMENT: a number is not given again after its row is deleted
    kind TEXT NOT NULL CHECK (kind IN ('live', 'event')),
    created_ms INTEGER NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS rows_kind ON rows (kind, seq);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID
"""
MAX_LIVE = 100_000  # 28 h of one frame a second, about 150 MB
MAX_IN_MEMORY = 1000  # live rows kept while the disk refuses


@dataclass(frozen=True, slots=True)
class Counters:
    """Since this process began, except waiting (now) and dropped (since the file began)."""

    added: int = 0
    acknowledged: int = 0
    waiting: int = 0
    dropped: int = 0
    failed_writes: int = 0


class Outbox:
    """Used by one thread of one process."""

    def __init__(self, path: Path, site: str, max_live: int = MAX_LIVE) -> None:
        self.path, self.site, self.max_live = path, site, max_live
        self._pending: list[tuple[Draft, int]] = []
        self._added = self._acknowledged = self._failed = self._dropped = 0
        self._live = self._events = 0
        self._refusing = False
        self._open()

    def add(self, drafts: Sequence[Draft], now_ms: int, progress: Mapping[str, Any] | None = None) -> bool:
        """Number and keep rows, together with how far the source has been read. False: they wait in memory."""
        self._pending += [(draft, now_ms) for draft in drafts]
        rows = [(d.kind, at, json.dumps(d.body, separators=(",", ":"), allow_nan=False)) for d, at in self._pending]
        kinds = [kind for kind, _, _ in rows]

        def write() -> bool:
            self._database.executemany("INSERT INTO rows (kind, created_ms, body) VALUES (?, ?, ?)", rows)
            if progress is not None:
                self._put("progress", json.dumps(progress))
            return True

        if not self._transaction(write, False):
            self._bound_memory()
            return False
        self._pending.clear()
        self._added += len(rows)
        self._live, self._events = self._live + kinds.count("live"), self._events + kinds.count("event")
        if self._live > self.max_live:
            self._drop_oldest(self._live - self.max_live)
        return True

    def progress(self) -> dict[str, Any]:
        """What the last add() said, also from before a restart; {} in a new file."""
        text = self._guarded(lambda: self._get("progress"), None)
        return json.loads(text) if text else {}

    def fresh(self, after_seq: int, since_ms: int, limit: int = 1000) -> list[Row]:
        """Rows with a higher number and not older than since_ms: events first."""
        return self._select("seq > ? AND created_ms >= ? ORDER BY kind = 'live', seq", (after_seq, since_ms), limit)

    def next_batch(self, limit: int, skip: Collection[int] = ()) -> list[Row]:
        """What waits: events in order, then live rows newest first, but not the numbers in `skip`."""
        batch: list[Row] = []
        for where in ("kind = 'event' ORDER BY seq", "kind = 'live' ORDER BY seq DESC"):
            room = limit - len(batch)
            if room > 0:
                batch += [row for row in self._select(where, (), room + len(skip)) if row.seq not in skip][:room]
        return batch

    def newest_seq(self) -> int:
        """The highest number given so far, 0 in a new file."""
        query = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'rows'"
        return self._guarded(lambda: int(self._database.execute(query).fetchone()[0]), 0)

    def acknowledge(self, outbox_id: str, ranges: Ranges) -> int:
        """Delete rows the consumer has stored; another outbox's numbers are ignored. -> rows deleted."""
        if outbox_id != self.id:
            return 0

        def delete() -> dict[str, int]:
            gone = {"live": 0, "event": 0}
            for (first, last), kind in product(ranges, gone):
                query = "DELETE FROM rows WHERE kind = ? AND seq BETWEEN ? AND ?"
                gone[kind] += self._database.execute(query, (kind, first, last)).rowcount
            return gone

        gone = self._transaction(delete, {"live": 0, "event": 0})
        self._live, self._events = self._live - gone["live"], self._events - gone["event"]
        self._acknowledged += sum(gone.values())
        return sum(gone.values())

    def counters(self) -> Counters:
        """For the status file and the frames."""
        waiting = self._live + self._events + len(self._pending)
        return Counters(self._added, self._acknowledged, waiting, self._dropped, self._failed)

    def close(self) -> None:
        """Rows that the disk refused to the end are lost here, and only these."""
        if self._pending and not self.add((), 0):
            log.error("V2G-OUTBOX-DISK %s: %d rows could not be written and are lost", self.path, len(self._pending))
        self._database.close()

    def _open(self) -> None:
        try:
            self._database = open_database(self.path, SCHEMA, VERSION)
            owner = self._get("site")
            if owner not in (None, self.site):
                self._database.close()
                raise sqlite3.DatabaseError(f"it belongs to site {owner}, not {self.site}")
        except sqlite3.DatabaseError as error:
            moved = move_aside(self.path)
            log.error("V2G-OUTBOX-DAMAGED %s: %s; moved to %s, a new outbox begins", self.path, error, moved.name)
            self._database = open_database(self.path, SCHEMA, VERSION)
        if self._get("outbox") is None:
            self._put("outbox", uuid4().hex[:16])
            self._put("site", self.site)
        self.id = str(self._get("outbox"))
        self._dropped = max(self._dropped, int(self._get("dropped") or 0))
        self._live, self._events = (self._count(kind) for kind in ("live", "event"))

    def _get(self, key: str) -> str | None:
        found = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(found[0]) if found else None

    def _put(self, key: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _count(self, kind: str) -> int:
        return int(self._database.execute("SELECT count(*) FROM rows WHERE kind = ?", (kind,)).fetchone()[0])

    def _select(self, where: str, values: tuple[int, ...], limit: int) -> list[Row]:
        query = f"SELECT seq, kind, created_ms, body FROM rows WHERE {where} LIMIT ?"
        nothing: list[Any] = []
        found = self._guarded(lambda: self._database.execute(query, (*values, limit)).fetchall(), nothing)
        return [Row(self.id, *columns) for columns in found]

    def _drop_oldest(self, count: int) -> None:
        def drop() -> int:
            query = "DELETE FROM rows WHERE seq IN (SELECT seq FROM rows WHERE kind = 'live' ORDER BY seq LIMIT ?)"
            gone = self._database.execute(query, (count,)).rowcount
            self._put("dropped", str(self._dropped + gone))
            return gone

        gone = self._transaction(drop, 0)
        self._live, self._dropped = self._live - gone, self._dropped + gone

    def _bound_memory(self) -> None:
        live = [i for i, (draft, _) in enumerate(self._pending) if draft.kind == "live"]
        gone = set(live[: max(0, len(live) - MAX_IN_MEMORY)])
        self._pending = [pair for i, pair in enumerate(self._pending) if i not in gone]
        self._dropped += len(gone)

    def _transaction(self, work: Callable[[], T], otherwise: T) -> T:
        def whole() -> T:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                return work()

        return self._guarded(whole, otherwise)

    def _guarded(self, work: Callable[[], T], otherwise: T) -> T:
        """Do it, or count the failure; begin anew when the file turns out damaged."""
        try:
            result = work()
        except sqlite3.OperationalError as error:  # disk full, I/O error, read-only, locked
            self._failed += 1
            if not self._refusing:
                log.error("V2G-OUTBOX-DISK %s: %s; rows wait in memory", self.path, error)
            self._refusing = True
            return otherwise
        except sqlite3.DatabaseError as error:
            self._failed += 1
            log.error("V2G-OUTBOX-DAMAGED %s: %s", self.path, error)
            self._database.close()
            self._open()
            return otherwise
        if self._refusing:
            log.warning("V2G-OUTBOX-DISK %s: writable again", self.path)
        self._refusing = False
        return result
