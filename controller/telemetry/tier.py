"""A tier of the outbox: one SQLite file of numbered rows. Which file holds which rows is the outbox's business.

Errors   Opening raises DatabaseRefusedError (newer schema, held by another process) or UnwritableError; a damaged file,
         or another site's, is moved aside and a new one begun. Afterwards nothing raises: a write that fails is
         counted in `failed` and sets `refusing`, damage sets `damaged`; the method then returns its empty answer.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from controller.telemetry.database import UnwritableError, is_damage, move_aside, open_database
from controller.telemetry.wire import Ranges

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION = 2
SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('live', 'event')),
    created_ms INTEGER NOT NULL,
    body TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    held_ns INTEGER);  -- the wall offset it was stamped with, while it waits for a better one; NULL: may be sent
CREATE INDEX IF NOT EXISTS rows_of_kind ON rows (kind, seq, bytes);
CREATE INDEX IF NOT EXISTS rows_held ON rows (seq) WHERE held_ns IS NOT NULL;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID
"""
OLDER = {
    1: """ALTER TABLE rows ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
          ALTER TABLE rows ADD COLUMN held_ns INTEGER;
          UPDATE rows SET bytes = length(body);
          DROP INDEX rows_kind;
          INSERT OR REPLACE INTO meta
              SELECT 'position', json_object('next', seq + 1, 'exact', json('true'), 'dropped',
                  coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'dropped'), 0), 'progress',
                  json(coalesce((SELECT value FROM meta WHERE key = 'progress'), '{}')))
              FROM sqlite_sequence WHERE name = 'rows';"""
}
COLUMNS = "seq, kind, created_ms, body, bytes, held_ns"


class Kept(NamedTuple):
    """A row as it lies in the file."""

    seq: int
    kind: str
    created_ms: int
    body: str
    bytes: int
    held_ns: int | None


@dataclass(frozen=True, slots=True)
class Amount:
    """Rows of one kind and their bodies' bytes."""

    rows: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.rows + other.rows, self.bytes + other.bytes)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.rows - other.rows, self.bytes - other.bytes)


Amounts = dict[str, Amount]


def amounts(rows: Iterable[tuple[str, int]]) -> Amounts:
    """(kind, bytes) of each row -> amount of each kind."""
    found = {"live": Amount(), "event": Amount()}
    for kind, size in rows:
        found[kind] += Amount(1, size)
    return found


class Tier:
    """position: the outbox's own facts, kept with the rows in one transaction.

    lasting: what insert() has kept survives a power cut (synchronous FULL). What is deleted may come back after one.
    """

    def __init__(self, path: Path, site: str, lasting: bool) -> None:
        self.path, self.site, self.lasting = path, site, lasting
        self.failed = 0
        self.refusing = self.damaged = False
        self.id = ""
        self._open()

    def insert(self, rows: Sequence[Kept], position: dict[str, Any] | None = None) -> bool:
        """Keep rows; those that are there already stay as they are."""

        def write() -> int:
            if position is not None:
                self._put("position", json.dumps(position))
            return self._database.executemany(f"INSERT OR IGNORE INTO rows ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
                                              rows).rowcount if rows else 0  # fmt: skip

        self._synchronous("FULL" if self.lasting else "OFF")
        inserted = self._transaction(write, None)
        self._synchronous("NORMAL" if self.lasting else "OFF")
        if inserted is None:
            return False
        self._count(+1, amounts((row.kind, row.bytes) for row in rows) if inserted == len(rows) else None)
        return True

    def select(self, where: str, values: Sequence[int], limit: int) -> list[Kept]:
        """where: conditions and order."""
        query = f"SELECT {COLUMNS} FROM rows WHERE {where} LIMIT ?"
        nothing: list[Any] = []
        return [Kept(*row) for row in self._guarded(lambda: self._database.execute(query, (*values, limit)).fetchall(),
                                                    nothing)]  # fmt: skip

    def delete(self, ranges: Ranges) -> int:
        """-> rows that were there."""
        if not self.rows:
            return 0
        query = "DELETE FROM rows WHERE seq BETWEEN ? AND ? RETURNING kind, bytes"

        def write() -> list[tuple[str, int]]:
            return [row for pair in ranges for row in self._database.execute(query, pair).fetchall()]

        return self._gone(write)

    def drop_oldest(self, kind: str, excess: Amount, position: Callable[[int], dict[str, Any]]) -> int:
        """Delete from the lowest number on until there is less by `excess`. position: with so many dropped."""

        def write() -> list[tuple[str, int]]:
            gone, last = Amount(), 0
            query = "SELECT seq, bytes FROM rows WHERE kind = ? ORDER BY seq"
            for seq, size in self._database.execute(query, (kind,)):
                if gone.rows >= excess.rows and gone.bytes >= excess.bytes:
                    break
                gone, last = gone + Amount(1, size), seq
            self._put("position", json.dumps(position(gone.rows)))
            query = "DELETE FROM rows WHERE kind = ? AND seq <= ? RETURNING kind, bytes"
            return self._database.execute(query, (kind, last)).fetchall()

        return self._gone(write)

    def rewrite(self, rows: Sequence[Kept]) -> bool:
        """New bodies for rows that are there; they may be sent now."""
        query = "UPDATE rows SET body = ?, bytes = ?, held_ns = NULL WHERE seq = ?"
        values = [(row.body, row.bytes, row.seq) for row in rows]
        done = self._transaction(lambda: bool(self._database.executemany(query, values)), False)
        self._count(+1, None)
        return done

    def any(self, where: str, *values: int) -> bool:
        """Is there such a row?"""
        return bool(self.rows and self.select(where, values, 1))

    def move_to(self, outbox_id: str, first: int) -> bool:
        """Take another outbox's name; rows get numbers from `first` on, in their order, unless theirs are higher."""

        def write() -> bool:
            (lowest,) = self._database.execute("SELECT coalesce(min(seq), 0) FROM rows").fetchone()
            shift = max(0, first - lowest)
            self._database.execute("UPDATE rows SET seq = -(seq + ?)", (shift,))  # so that no two meet on the way
            self._database.execute("UPDATE rows SET seq = -seq")
            self._put("outbox", outbox_id)
            return True

        done = self._transaction(write, False)
        self.id = outbox_id if done else self.id
        return done

    @property
    def rows(self) -> int:
        """Of both kinds."""
        return sum(amount.rows for amount in self.amounts.values())

    @property
    def held(self) -> int:
        """Rows that wait for the clock."""
        query = "SELECT count(*) FROM rows WHERE held_ns IS NOT NULL"
        return self._guarded(lambda: int(self._database.execute(query).fetchone()[0]), 0)

    @property
    def position(self) -> dict[str, Any]:
        """What the outbox has kept here; {} in a new file."""
        text = self._guarded(lambda: self._get("position"), None)
        return json.loads(text) if text else {}

    @property
    def newest(self) -> int:
        """The highest number here; 0 without rows."""
        query = "SELECT coalesce(max(seq), 0) FROM rows"
        return self._guarded(lambda: int(self._database.execute(query).fetchone()[0]), 0)

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    def _open(self) -> None:
        try:
            try:
                self._database = self._connect()
                self._settle()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                moved = move_aside(self.path)
                log.error("V2G-OUTBOX-DAMAGED %s: %s; moved to %s, a new one begins", self.path, error, moved.name)
                self._database = self._connect()
                self._settle()
        except (OSError, sqlite3.OperationalError) as error:
            raise UnwritableError(f"{self.path}: cannot be used: {error}") from None

    def _settle(self) -> None:
        """Whose file it is, and what lies in it. Raises sqlite3.DatabaseError; the file is closed then."""
        try:
            owner = self._get("site")
            if owner not in (None, self.site):
                raise sqlite3.DatabaseError(f"it belongs to site {owner}, not {self.site}")
            if self._get("outbox") is None:
                self._put("outbox", uuid4().hex[:16])
                self._put("site", self.site)
            self.id = str(self._get("outbox"))
            self.amounts = self._amounts()
        except sqlite3.Error:
            self._database.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        return open_database(self.path, SCHEMA, VERSION, older=OLDER, exclusive=True)

    def _synchronous(self, level: str) -> None:
        self._guarded(lambda: self._database.execute(f"PRAGMA synchronous={level}"), None)

    def _amounts(self) -> Amounts:
        found = {"live": Amount(), "event": Amount()}
        query = "SELECT kind, count(*), sum(bytes) FROM rows GROUP BY kind"
        return found | {kind: Amount(rows, size) for kind, rows, size in self._database.execute(query)}

    def _count(self, sign: int, change: Amounts | None) -> None:
        """Keep `amounts` in step; None: count anew."""
        if change is None:
            self.amounts = self._guarded(self._amounts, self.amounts)
            return
        for kind, amount in change.items():
            self.amounts[kind] = self.amounts[kind] + amount if sign > 0 else self.amounts[kind] - amount

    def _gone(self, write: Callable[[], list[tuple[str, int]]]) -> int:
        nothing: list[tuple[str, int]] = []
        gone = self._transaction(write, nothing)
        self._count(-1, amounts(gone))
        return len(gone)

    def _get(self, key: str) -> str | None:
        found = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(found[0]) if found else None

    def _put(self, key: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _transaction(self, work: Callable[[], T], otherwise: T) -> T:
        def whole() -> T:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                return work()

        return self._guarded(whole, otherwise, writes=True)

    def _guarded(self, work: Callable[[], T], otherwise: T, writes: bool = False) -> T:
        try:
            result = work()
        except (sqlite3.OperationalError, MemoryError) as error:  # disk full, I/O error, read-only
            self.failed += 1
            if not self.refusing:
                log.error("V2G-OUTBOX-DISK %s: %s; rows wait elsewhere", self.path, error)
            self.refusing = True
            return otherwise
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise  # a mistake of this program
            self.failed += 1
            if not self.damaged:
                log.error("V2G-OUTBOX-DAMAGED %s: %s", self.path, error)
            self.damaged = True
            return otherwise
        if self.refusing and writes:
            log.warning("V2G-OUTBOX-DISK %s: writable again", self.path)
            self.refusing = False
        return result
