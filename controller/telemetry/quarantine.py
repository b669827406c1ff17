"""Quarantine: rows a store refuses for what they are, kept in a SQLite file until somebody looks.

Bound    MOST_ROWS, the oldest go: a field whose type the store will not have would else fill the disk, a row a second.
Log      a line for the first row, then one a minute with how many came since.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from pathlib import Path

from controller.telemetry.database import open_or_renew
from controller.telemetry.store import StoreError
from controller.telemetry.wire import Arrival

log = logging.getLogger(__name__)

MOST_ROWS = 20_000  # 40 MB of frames
ROOM_ROWS = 1_000  # made at a time: finding the oldest reads the whole file
SAID_S = 60.0
VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS quarantine (
    site TEXT NOT NULL, outbox TEXT NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (site, outbox, seq)) WITHOUT ROWID
"""


class Quarantine:
    """Rows a store refuses for what they are: kept beside it, so that one bad row does not hold up the rest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = open_or_renew(path, SCHEMA, VERSION)
        self._database.execute("PRAGMA synchronous=FULL")  # whoever sent a row deletes it
        self._lock = threading.Lock()
        self._rows = self.count()
        self._said_s, self._unsaid = -SAID_S, 0

    def add(self, row: Arrival, reason: str) -> None:
        """Keep one row, and say so the first time. Raises StoreError when even that fails."""
        values = (row.site, row.outbox, row.seq, time.time_ns() // 1_000_000, reason, json.dumps(row.body))
        try:
            with self._lock:
                new = self._database.execute("INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?)", values)
                self._rows += new.rowcount
                if self._rows > MOST_ROWS:
                    self._make_room()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from None
        if new.rowcount:
            self._say(f"{row.site} seq {row.seq} of {row.outbox}: {reason}")

    def _make_room(self) -> None:
        oldest = "SELECT site, outbox, seq FROM quarantine ORDER BY at_ms LIMIT ?"
        query = f"DELETE FROM quarantine WHERE (site, outbox, seq) IN ({oldest})"
        gone = self._database.execute(query, (ROOM_ROWS,)).rowcount
        self._rows -= gone
        log.error("V2G-QUARANTINE-FULL %s: more than %d rows; the oldest %d are deleted", self.path, MOST_ROWS, gone)

    def _say(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s < SAID_S:
            self._unsaid += 1
            return
        more = f"; {self._unsaid} more since the last line" if self._unsaid else ""
        log.error("V2G-ROW-QUARANTINED %s%s", text, more)
        self._said_s, self._unsaid = now_s, 0

    def count(self) -> int:
        """How many rows are kept."""
        with self._lock:
            return int(self._database.execute("SELECT count(*) FROM quarantine").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
