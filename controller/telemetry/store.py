"""Stores: where rows end. write() returns only when every row is stored or in quarantine.

Idempotent   a row is the same when site, kind, epoch, source time and name are; the first one wins.
Errors       StoreError: nothing may be acknowledged, try again (retry_after_s when the store said when).
             StoreRefusedError (a StoreError): it will not get better by itself; the site owner must act.
"""

from __future__ import annotations

import json
import logging
import random
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from controller.telemetry.database import open_database
from controller.telemetry.wire import Arrival

log = logging.getLogger(__name__)

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS points (
    site TEXT NOT NULL, kind TEXT NOT NULL, epoch INTEGER NOT NULL, t_ms INTEGER NOT NULL, name TEXT NOT NULL,
    outbox TEXT NOT NULL, seq INTEGER NOT NULL, arrived_ms INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (site, kind, epoch, t_ms, name)) WITHOUT ROWID
"""
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0


class StoreError(Exception):
    """The store did not say yes; everything is sent again later."""

    code = "V2G-STORE-DOWN"

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class StoreRefusedError(StoreError):
    """The store says no to us, not to the data: token, bucket or address. The site owner must act."""

    code = "V2G-STORE-REFUSED"


class Store(Protocol):
    """What the bridge and the direct delivery need."""

    @property
    def name(self) -> str:
        """For logs and the status file."""
        ...

    def write(self, rows: Sequence[Arrival]) -> None:
        """All stored (or in quarantine) when it returns. Raises StoreError."""

    def close(self) -> None:
        """Release files and sockets."""


class SqliteStore:
    """The store when no server is configured: one table, the whole body as JSON."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = open_database(path, SCHEMA, VERSION)
        self._lock = threading.Lock()  # opened by one thread, used by another

    @property
    def name(self) -> str:
        """For logs."""
        return f"sqlite {self.path}"

    def write(self, rows: Sequence[Arrival]) -> None:
        """One transaction; what is there already stays as it is."""
        values = [
            (r.site, r.kind, r.epoch, r.t_ms, r.name, r.outbox, r.seq, r.arrived_ms, json.dumps(r.body)) for r in rows
        ]
        try:
            with self._lock, self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("INSERT OR IGNORE INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()


def read_points(path: Path, site: str, kind: str) -> list[Arrival]:
    """What a SqliteStore holds of one site, in order of source time: for reports and tests."""
    query = """SELECT site, kind, epoch, t_ms, name, outbox, seq, arrived_ms, body FROM points
               WHERE site = ? AND kind = ? ORDER BY t_ms, seq"""
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        rows: list[tuple[Any, ...]] = database.execute(query, (site, kind)).fetchall()
        return [Arrival(*[*row[:8], json.loads(row[8])]) for row in rows]
    finally:
        database.close()


def write_until_stored(store: Store, rows: Sequence[Arrival], stopping: threading.Event,
                       change: Callable[[bool], None] = lambda _: None) -> bool:  # fmt: skip
    """Write, again and again with growing pauses. False: told to stop first. Logs one line per change."""
    delay_s, said = FIRST_RETRY_S, ""
    while True:
        try:
            store.write(rows)
        except StoreError as error:
            change(False)
            if error.code != said:
                log.warning("%s %s: %s", error.code, store.name, error)
            said = error.code
            pause_s = delay_s if error.retry_after_s is None else error.retry_after_s
            if stopping.wait(min(pause_s, 300.0) + random.uniform(0.0, 0.2 * delay_s)):
                return False
            delay_s = min(2.0 * delay_s, LAST_RETRY_S)
            continue
        change(True)
        if said:
            log.warning("V2G-STORE-UP %s: stored again", store.name)
        return True
