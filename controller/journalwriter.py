"""Writes the journal: by the telemetry process in chunks, never by the core.

Bounds   at max_bytes a new file is begun and the one before the last is removed.
Errors   JournalError: the file is another program's, or damaged where whole frames stand behind it. OSError: the disk
         refuses; what is given meanwhile waits, up to MOST_WAITING steps.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import re
import struct
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.journal import (
    CHUNK,
    FRAME,
    KINDS,
    LONGEST,
    SCHEMA,
    JournalError,
    check_header,
    crc_of,
    facts_in,
    frame,
    frames,
    header,
    pack_chunk,
    span_of,
)
from controller.wholefile import cut_off
from cython_core.bulk import STEP, from_bytes
from cython_core.records import Reason, State

KEEP_FULL = 10  # chunks after the last unusual step that keep their outputs
MOST_WAITING = 12_000  # steps kept while the disk refuses: two minutes at 10 ms; older ones become a GAP
MAX_BYTES = 256 * 1024 * 1024
QUIET = int(Reason.DEFAULT_WISH | Reason.RAMP | Reason.WISH_CLAMPED)  # reasons of an ordinary day


def unusual(records: NDArray[Any]) -> bool:
    """Anything in these steps that somebody may want to see in full."""
    return bool(np.any(records["reasons"] & ~QUIET) or np.any(records["state"] != int(State.IN_SERVICE)))


def frame_behind(file: FileIO, at: int) -> int:
    """Where a whole frame stands behind this position; 0: nowhere, as after a torn write."""
    if os.fstat(file.fileno()).st_size <= at:
        return 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        for found in re.compile(b"|".join(KINDS)).finditer(whole, at):
            begin = found.start() + FRAME.size
            kind, length, crc = FRAME.unpack(whole[found.start() : begin].ljust(FRAME.size, b"\xff"))
            if length < LONGEST and crc_of(kind, whole[begin : begin + length]) == crc:
                return found.start()
    return 0


def put(file: FileIO, data: bytes, path: Path) -> None:
    """Write it whole, or leave the file as it was and raise OSError."""
    before, written = file.tell(), 0
    try:
        written = file.write(data)
    finally:
        if written != len(data):
            file.truncate(before)
            file.seek(before)
    if written != len(data):
        raise OSError(errno.ENOSPC, "the disk is full", str(path))


class JournalWriter:
    """Appends to a journal; after a crash it goes on where the last whole frame ends. JournalError too when the file is
    damaged further up: what stands behind that is not written over.

    begin(info) before the first append of an epoch, or of other settings in it. append() takes raw records end to end,
    as the ring gives them.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.info: dict[str, Any] = {}
        self.next_n = 0
        self._pending = np.zeros(0, dtype=STEP)
        self._anchor: tuple[int, bytes] | None = None
        self._full_left = 0
        self._facts_owed = False  # the file does not have them yet
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._open()

    def _open(self) -> FileIO:
        if not self.path.exists() or self.path.stat().st_size == 0:
            file = self.path.open("w+b", buffering=0)
            put(file, header(), self.path)
            return file
        file = self.path.open("r+b", buffering=0)
        schema = check_header(self.path, file.readline(200))
        if schema < SCHEMA:
            raise JournalError(f"{self.path}: schema {schema} is read, but gone on with only in schema {SCHEMA}")
        end = file.tell()
        for _, kind, payload in frames(file, []):
            if kind == b"INFO":
                self._facts(facts_in(self.path, end, payload))
            elif kind == b"STEP":
                n, count = span_of(payload)
                self.next_n = n + count
            end = file.tell()
        if behind := frame_behind(file, end):
            raise JournalError(f"{self.path}: damaged at byte {end}, and whole again at byte {behind}")
        cut_off(file, end)  # a torn last frame of a killed process: its steps come again from the ring
        file.seek(end)
        return file

    def resume_n(self, epoch: int) -> int | None:
        """The step after the last one written of this epoch, or None when the epoch is new here."""
        return self.next_n if self.info.get("epoch") == epoch else None

    def begin(self, info: dict[str, Any]) -> None:
        """A run begins, unless it is the one this journal already writes. Under other settings step numbers go on."""
        if all(self.info.get(key) == info.get(key) for key in ("epoch", "settings_digest")):
            return
        self.flush()
        self._facts(info)
        self._facts_owed = True
        self._write_facts()

    def _facts(self, info: dict[str, Any]) -> None:
        if info.get("epoch") != self.info.get("epoch"):
            self.next_n = 0
        self.info, self._anchor, self._full_left = info, None, 0

    def append(self, raw: bytes, snapshot: tuple[int, bytes] | None = None) -> None:
        """Steps in order; known ones are passed over, a hole in n becomes a GAP. snapshot: RingReader.snapshot()."""
        records = from_bytes(raw)
        records = records[records["n"] >= self._expected()]
        if snapshot is not None and snapshot[0] >= self._expected():
            self._anchor = snapshot
        if len(records) == 0:
            return
        first = int(records["n"][0])
        if first > self._expected():
            self.flush()
        self._pending = np.concatenate([self._pending, records])[-MOST_WAITING:]
        self._write_whole_chunks()

    def _expected(self) -> int:
        return self.next_n + len(self._pending)

    def _chunk_length(self) -> int:
        """Steps until the next multiple of 100 or the next anchor."""
        length = CHUNK - self.next_n % CHUNK
        if self._anchor is not None and self._anchor[0] > self.next_n:
            length = min(length, self._anchor[0] - self.next_n)
        return length

    def _write_whole_chunks(self) -> None:
        first = int(self._pending["n"][0])
        if first > self.next_n:
            self._frame(b"GAP ", struct.pack("<qq", self.next_n, first - 1))
            self.next_n = first
        while len(self._pending):
            if self._anchor is not None and self._anchor[0] <= self.next_n:
                self._write_anchor(self._anchor)
            length = self._chunk_length()
            if len(self._pending) < length:
                break
            self._write(self._pending[:length])
            self._pending = self._pending[length:]

    def _write_anchor(self, anchor: tuple[int, bytes]) -> None:
        self._anchor = None
        if anchor[0] != self.next_n:
            return
        if self._file.tell() > self.max_bytes:
            self._rotate()
        self._frame(b"STAT", struct.pack("<q", anchor[0]) + anchor[1])

    def _rotate(self) -> None:
        """The next file has its facts before it takes this one's place: on a full disk this one goes on."""
        beside = self.path.with_suffix(f".new{self.path.suffix}")
        with contextlib.ExitStack() as failed:
            failed.callback(beside.unlink, missing_ok=True)
            file = failed.enter_context(beside.open("w+b", buffering=0))
            put(file, header() + frame(b"INFO", json.dumps(self.info).encode()), beside)
            self.path.replace(self.path.with_suffix(f".1{self.path.suffix}"))
            beside.replace(self.path)
            failed.pop_all()
        self._file.close()
        self._file, self._facts_owed = file, False

    def _write(self, records: NDArray[Any]) -> None:
        self._full_left = KEEP_FULL if unusual(records) else max(0, self._full_left - 1)
        self._frame(b"STEP", pack_chunk(records, full=self._full_left > 0))
        self.next_n += len(records)

    def _frame(self, kind: bytes, payload: bytes) -> None:
        """Whole or not at all. Raises OSError."""
        self._write_facts()
        put(self._file, frame(kind, payload), self.path)

    def _write_facts(self) -> None:
        """What is written next belongs to these; a full disk may have refused them before."""
        if self._facts_owed:
            put(self._file, frame(b"INFO", json.dumps(self.info).encode()), self.path)
            self._facts_owed = False

    def flush(self) -> None:
        """Write what is waiting, even a part of a chunk."""
        if len(self._pending):
            self._write_whole_chunks()
        if len(self._pending):
            self._write(self._pending)
            self._pending = self._pending[:0]

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._file.close()
