"""Quarantine: rows a store refuses for what they are, kept in a SQLite file until somebody looks."""

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

    def add(self, row: Arrival, reason: str) -> None:
        """Keep one row, and say so the first time. Raises StoreError when even that fails."""
        values = (row.site, row.outbox, row.seq, time.time_ns() // 1_000_000, reason, json.dumps(row.body))
        try:
            with self._lock:
                new = self._database.execute("INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?)", values)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from None
        if new.rowcount:
            log.error("V2G-ROW-QUARANTINED %s seq %d of %s: %s", row.site, row.seq, row.outbox, reason)

    def count(self) -> int:
        """How many rows are kept."""
        with self._lock:
            return int(self._database.execute("SELECT count(*) FROM quarantine").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
