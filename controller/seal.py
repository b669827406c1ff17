"""Seal: what this unit did goes into the chain: its settings, its events, and each hour the digest of its journal.

Journal  a line `journal` {"file", "from", "to", "sha256"}: bytes from .. to of the journal's file number `file`. They
         are on the disk before their digest is, so that a power cut leaves no digest without its bytes.
Events   written before they go to the outbox: after a crash one may stand here twice, none is missing.
Errors   none raised: a disk that refuses is logged (V2G-RECORD-DISK) and counted; what the journal has is sealed later.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import Any

from controller.chain import ChainWriter, lines_of, older

log = logging.getLogger(__name__)

JOURNAL = "journal.v2gj"
EACH_MS = 3_600_000
BLOCK = 1 << 20


def digest(file: FileIO, begin: int, end: int) -> str:
    """SHA-256 of the bytes begin .. end; what is not there is missing in it."""
    found, left = sha256(), end - begin
    file.seek(begin)
    while left > 0 and (block := file.read(min(left, BLOCK))):
        found.update(block)
        left -= len(block)
    return found.hexdigest()


class Seal:
    """One site's. each_ms: how often the journal is sealed."""

    def __init__(self, chain_path: Path, journal_path: Path, now_ms: int, each_ms: int = EACH_MS) -> None:
        self.chain = ChainWriter(chain_path, now_ms)
        self.journal_path, self.each_ms = journal_path, each_ms
        self.failures = 0
        self._settings: tuple[Any, ...] = ()
        self._file: FileIO | None = None
        self._number, self._to = -1, 0
        self._sealed_ms = now_ms
        self._resume()

    @property
    def head(self) -> dict[str, Any]:
        """The newest line: whoever keeps it elsewhere can prove all that is before."""
        newest = self.chain.newest
        return {} if newest is None else {"record_n": newest.n, "record_hash": newest.hash}

    def settings(self, info: dict[str, Any], t_ms: int) -> None:
        """What a run begins with, or goes on with after a change."""
        now = (info["epoch"], info["settings_digest"])
        if now != self._settings:
            self._settings = now
            self._try(lambda: self.chain.add("settings", info, t_ms))

    def event(self, body: dict[str, Any], t_ms: int) -> None:
        """As it goes to the outbox."""
        self._try(lambda: self.chain.add("event", body, t_ms))

    def turn(self, now_ms: int) -> bool:
        """Once an hour, restarts or not: seal what the journal has. -> whether it has been."""
        if 0 <= now_ms - self._sealed_ms < self.each_ms:
            return False
        self._sealed_ms = now_ms
        return self._try(lambda: self._seal(now_ms))

    def close(self, now_ms: int) -> None:
        """Seal the rest."""
        self._try(lambda: self._seal(now_ms))
        self._try(self.chain.close)

    def _try(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except OSError as error:
            if not self.failures:
                log.error("V2G-RECORD-DISK %s", error)
            self.failures += 1
            return False
        return True

    def _seal(self, now_ms: int) -> None:
        if self._file is not None and self._replaced(self._file):
            self._seal_file(now_ms)  # the rest of the old one
            self._file = None
        if self._file is None:
            if not self.journal_path.exists():
                return
            self._file, self._number, self._to = self.journal_path.open("rb", buffering=0), self._number + 1, 0
        self._seal_file(now_ms)
        self.chain.sync()

    def _replaced(self, file: FileIO) -> bool:
        return not (self.journal_path.exists() and os.path.samestat(os.fstat(file.fileno()), self.journal_path.stat()))

    def _seal_file(self, now_ms: int) -> None:
        assert self._file is not None
        size = os.fstat(self._file.fileno()).st_size
        if size <= self._to:
            return
        os.fsync(self._file.fileno())
        part = {"file": self._number, "from": self._to, "to": size, "sha256": digest(self._file, self._to, size)}
        self.chain.add("journal", part, now_ms)
        self._to = size

    def _resume(self) -> None:
        """Where the chain ends: which file of the journal is under seal, and how far."""
        for line in lines_of(older(self.chain.path), self.chain.path):
            if line.kind == "settings":
                self._settings = (line.body["epoch"], line.body["settings_digest"])
            if line.kind == "journal":
                self._number, self._to, last = line.body["file"], line.body["to"], line.body
                self._sealed_ms = line.t_ms
        if self._number < 0:
            return
        for path in (self.journal_path, older(self.journal_path)):  # it may have been renamed since
            if path.exists():
                file = path.open("rb", buffering=0)
                if digest(file, last["from"], last["to"]) == last["sha256"]:
                    self._file = file
                    return
                file.close()
