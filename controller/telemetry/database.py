"""SQLite files of the telemetry: opened, versioned, checked in one place.

Errors   DatabaseRefusedError: the file is of a newer schema, or another process holds it; the site owner must act.
         UnwritableError (one of these): it cannot be opened or written now; full, read-only, no such folder.
         sqlite3.DatabaseError when the file is damaged: the caller decides; nobody waits for somebody to mend it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

CHECKED_BYTES = 64 * 1024 * 1024  # a bigger file takes longer to check than the ring is deep; damage shows when read
KEPT_ASIDE = 3  # damaged files of one name; a disk that breaks again and again must not fill itself with them
NOTHING: Mapping[int, str] = {}
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DatabaseRefusedError(Exception):
    """A database file cannot be used: the text says which and why. The site owner must act."""


class UnwritableError(DatabaseRefusedError):
    """The file or its folder cannot be written now; later it may."""


def open_database(path: Path, schema: str, version: int, *, older: Mapping[int, str] = NOTHING,
                  exclusive: bool = False) -> sqlite3.Connection:  # fmt: skip
    """WAL, synchronous NORMAL: survives a killed process; a power cut may cost the last transactions.

    older: what brings a file of that schema to the next one. exclusive: no second process opens it meanwhile; whoever
    tries is refused within 5 s, and nothing is shared that a full file system could take away.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        give_to_service(path)
        database = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.OperationalError) as error:
        raise UnwritableError(f"{path}: cannot be opened: {error}") from None
    try:
        if exclusive:
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
        prepare(database, path, schema, version, older)
    except BaseException:
        database.close()
        raise
    return database


def give_to_service(path: Path) -> None:
    """What root begins belongs to whom its folder does: a service goes on writing it. SQLite's own files follow it."""
    if os.geteuid() != 0:
        return
    with suppress(FileExistsError):  # also a link that leads nowhere: root makes nothing behind one
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        folder = path.parent.stat()
        os.fchown(file, folder.st_uid, folder.st_gid)
        os.close(file)


def open_or_renew(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """As open_database(); a damaged file is set aside and a new one begun."""
    try:
        return open_database(path, schema, version)
    except sqlite3.DatabaseError as error:
        set_aside(path, error)
        return open_database(path, schema, version)


def set_aside(path: Path, error: sqlite3.Error) -> None:
    """A damaged store, loudly. Raises UnwritableError."""
    try:
        moved = move_aside(path)
    except OSError as refusal:
        raise UnwritableError(f"{path}: {error}; it cannot be moved out of the way: {refusal.strerror}") from None
    log.error("V2G-STORE-DAMAGED %s: %s; kept as %s, a new one begins", path, error, moved.name)


def is_damage(error: sqlite3.Error) -> bool:
    """Of the file; not a full disk, a lock, a mistake of ours."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def prepare(
    database: sqlite3.Connection, path: Path, schema: str, version: int, older: Mapping[int, str] = NOTHING
) -> None:
    """Check what is there, then create what is missing."""
    try:
        found = int(database.execute("PRAGMA user_version").fetchone()[0])
        if found > version:
            raise DatabaseRefusedError(f"{path}: schema {found} is newer than {version}, the newest this program reads")
        check(database)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA journal_size_limit=1048576")
        steps = "".join(older.get(v, "") for v in range(found, version)) if found else ""
        database.executescript(f"BEGIN IMMEDIATE; {steps} {schema}; PRAGMA user_version={version}; COMMIT")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise DatabaseRefusedError(f"{path}: another process holds it; stop that one first") from None
        raise UnwritableError(f"{path}: cannot be written: {error}") from None


def check(database: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
    if pages * page_bytes > CHECKED_BYTES:
        return
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(str(verdict).replace("\n", " "))


def move_aside(path: Path) -> Path:
    """Rename a database and its -wal and -shm out of the way, for whoever wants to look; the oldest of many go."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = path.with_name(f"{path.name}.bad-{stamp}")
    count = 1
    while target.exists():
        target, count = path.with_name(f"{path.name}.bad-{stamp}-{count}"), count + 1
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    prune(path)
    return target


def remove(path: Path) -> None:
    """A database that nobody holds, with its -wal and -shm."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def prune(path: Path) -> None:
    """Keep the KEPT_ASIDE newest."""
    aside = [p for p in path.parent.glob(f"{path.name}.bad-*") if not p.name.endswith(("-wal", "-shm"))]
    for old in sorted(aside, key=lambda p: (p.stat().st_ctime_ns, p.name))[:-KEPT_ASIDE]:
        log.warning("%s: removed, %d newer ones are kept", old, KEPT_ASIDE)
        remove(old)
