"""SQLite files of the telemetry: opened, versioned, checked in one place.

Errors   DatabaseRefusedError: the file is of a newer schema, or not writable; the site owner must act.
         sqlite3.DatabaseError when the file is damaged: the caller decides (the outbox begins anew).
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path


class DatabaseRefusedError(Exception):
    """A database file cannot be used: the text says which and why. The site owner must act."""


def open_database(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """WAL, synchronous NORMAL: survives a killed process; a power cut may cost the last transactions."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.OperationalError) as error:
        raise DatabaseRefusedError(f"{path}: cannot be opened: {error}") from None
    try:
        prepare(database, path, schema, version)
    except BaseException:
        database.close()
        raise
    return database


def prepare(database: sqlite3.Connection, path: Path, schema: str, version: int) -> None:
    """Check what is there, then create what is missing."""
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    if found > version:
        raise DatabaseRefusedError(f"{path}: schema {found} is newer than {version}, the newest this program reads")
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(str(verdict).replace("\n", " "))
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA journal_size_limit=1048576")
        database.executescript(f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version={version}; COMMIT")
    except sqlite3.OperationalError as error:
        raise DatabaseRefusedError(f"{path}: cannot be written: {error}") from None


def move_aside(path: Path) -> Path:
    """Rename a database and its -wal and -shm out of the way, keeping them for whoever wants to look."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = path.with_name(f"{path.name}.bad-{stamp}")
    count = 1
    while target.exists():
        target, count = path.with_name(f"{path.name}.bad-{stamp}-{count}"), count + 1
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    return target
