"""Chain: a record whose every line carries the hash of the one before: no change goes unseen.

File     JSON lines {"v", "n", "t_ms", "kind", "body", "prev", "hash"}; hash is SHA-256 of the line's text before it,
         prev the hash of line n - 1. At MAX_BYTES a file becomes record.1.jsonl and the chain goes on in a new one.
Tail     a torn last write is cut off when the writer begins, and a line `cut` says so. What is damaged otherwise is
         set aside, never written over: the chain goes on from its last good line, and a line `damaged` says so.
Proves   against the hash of its newest line, kept elsewhere, that nothing before has been changed or removed. Whoever
         can write the file can write a whole new one: only the hash that has left this machine shows it.
Errors   ChainError: which line, and what is wrong. OSError: of the disk; the file is then as before.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from controller.telemetry.database import move_aside
from controller.wholefile import cut_off

VERSION = 1
NAME = "record.jsonl"
FIRST = "0" * 64  # prev of the first line
MAX_BYTES = 8 * 1024 * 1024
LATEST_MS = 253_402_300_799_999  # the end of the year 9999
SHAPE = {"v": int, "n": int, "t_ms": int, "kind": str, "body": dict, "prev": str}
BODIES: dict[str, dict[str, type]] = {  # what a reader looks at
    "settings": {"epoch": int, "settings_digest": int},
    "journal": {"file": int, "from": int, "to": int, "sha256": str},
    "damaged": {"text": str},
}
TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n\Z')


class ChainError(Exception):
    """The chain breaks here. cut: in the middle of the last line, as a torn write leaves it."""

    def __init__(self, text: str, cut: bool = False) -> None:
        super().__init__(text)
        self.cut = cut


@dataclass(frozen=True, slots=True)
class Line:
    """One that holds. t_ms: Unix time."""

    n: int
    t_ms: int
    kind: str
    body: dict[str, Any]
    prev: str
    hash: str


def line_bytes(n: int, t_ms: int, kind: str, body: dict[str, Any], prev: str) -> bytes:
    """One line, as it stands in the file."""
    tree = {"v": VERSION, "n": n, "t_ms": t_ms, "kind": kind, "body": body, "prev": prev}
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode()[:-1]
    return text + f',"hash":"{sha256(text).hexdigest()}"}}\n'.encode()


def read_line(raw: bytes, before: Line | None) -> Line:
    """before: the line above; None: any may be above. Raises ChainError."""
    tail = TAIL.search(raw, max(0, len(raw) - 90))
    if tail is None:
        raise ChainError("ends in the middle", cut=True) if not raw.endswith(b"\n") else ChainError("has no hash")
    text = raw[: tail.start()]
    if sha256(text).hexdigest().encode() != tail[1]:
        raise ChainError("its text does not have its hash: one of both has been changed")
    tree = tree_of(text + b"}")
    line = Line(tree["n"], tree["t_ms"], tree["kind"], tree["body"], tree["prev"], tail[1].decode())
    if before is not None and (line.prev, line.n) != (before.hash, before.n + 1):
        raise ChainError(f"n = {line.n} does not follow n = {before.n}: lines have been removed, put in or moved")
    if before is None and line.n == 0 and line.prev != FIRST:
        raise ChainError("n = 0 follows something")
    return line


def tree_of(text: bytes) -> dict[str, Any]:
    """What a line holds. ChainError: its hash is right, and yet no writer of ours has written it."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        tree = None
    version = tree.get("v") if isinstance(tree, dict) else None
    if type(version) is int and version > VERSION:
        raise ChainError(f"is of version {version}; this program reads {VERSION}: update it")
    if not (has(tree, SHAPE) and has(tree["body"], BODIES.get(tree["kind"], {}))):
        raise ChainError("has its hash, and is not what this program writes")
    return dict(tree)


def has(tree: Any, shape: dict[str, type]) -> bool:
    """All of these, each of its type; numbers are counts and times."""
    found = isinstance(tree, dict) and all(type(tree.get(name)) is kind for name, kind in shape.items())
    return found and all(0 <= tree[name] <= LATEST_MS for name in ("n", "t_ms", "file", "from", "to") if name in shape)


def read_chain(path: Path, before: Line | None = None) -> Iterator[Line]:
    """Every line that holds, in order; then ChainError, if one does not. Raises OSError."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                before = read_line(raw, before)
            except ChainError as error:
                raise ChainError(f"{path}:{number}: {error}", error.cut) from None
            yield before


def lines_of(*paths: Path) -> Iterator[Line]:
    """Of files that follow each other, up to the first break; a file that is not there is passed over."""
    before: Line | None = None
    for path in paths:
        try:
            for line in read_chain(path, before) if path.exists() else ():
                before = line
                yield line
        except ChainError:
            return


def older(path: Path) -> Path:
    """The file before this one."""
    return path.with_suffix(f".1{path.suffix}")


class ChainWriter:
    """Appends; one process at a time."""

    def __init__(self, path: Path, now_ms: int, max_bytes: int = MAX_BYTES) -> None:
        self.path, self.max_bytes = path, max_bytes
        self.newest: Line | None = None
        for line in lines_of(older(path)):  # what the first line of this file follows
            self.newest = line
        damage = self._read(path) if path.exists() else {}
        self._file = path.open("ab", buffering=0)
        for kind, body in damage.items():
            self.add(kind, body, now_ms)

    def add(self, kind: str, body: dict[str, Any], t_ms: int) -> Line:
        """One more line, whole or not at all. Raises OSError."""
        if self._file.tell() > self.max_bytes:
            self._begin_file()
        n, prev = (0, FIRST) if self.newest is None else (self.newest.n + 1, self.newest.hash)
        raw = line_bytes(n, t_ms, kind, body, prev)
        at, written = self._file.tell(), 0
        try:
            written = self._file.write(raw)
        finally:
            if written != len(raw):
                self._file.truncate(at)
        if written != len(raw):
            raise OSError(errno.ENOSPC, "the disk is full", str(self.path))
        self.newest = read_line(raw, self.newest)
        return self.newest

    def sync(self) -> None:
        """On the disk when it returns. Raises OSError."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Synced."""
        self.sync()
        self._file.close()

    def _read(self, path: Path) -> dict[str, dict[str, Any]]:
        """Find the newest line. -> what has to be told, by kind."""
        good = 0
        try:
            with path.open("rb") as file:
                for raw in file:
                    self.newest = read_line(raw, self.newest)
                    good += len(raw)
        except ChainError as error:
            lost = path.stat().st_size - good
            if error.cut:
                with path.open("r+b", buffering=0) as torn:
                    cut_off(torn, good)
                return {"cut": {"bytes": lost}}
            return {"damaged": {"text": str(error), "bytes": lost, "kept": move_aside(path).name}}
        return {}

    def _begin_file(self) -> None:
        """What fails here is tried again by the next line; until then this file stays open."""
        self.sync()
        if self.path.exists():  # else it has its other name since the last time
            self.path.replace(older(self.path))
        full, self._file = self._file, self.path.open("ab", buffering=0)
        full.close()
