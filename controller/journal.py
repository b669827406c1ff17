"""The journal: a log of every input of every step, so that a run can be computed again, bit by bit.

File     one text line `v2g-journal <schema> <layout>`, then frames: kind (4 bytes), length, CRC-32, payload.
         INFO  facts and settings (JSON): a run begins, a new epoch or other settings within one
         STAT  n and the core's whole state before step n: a replay can start here
         STEP  up to 100 steps: their inputs column by column, and the CRC-32 of all their bits, outputs too; around
               events and while anything is unusual the outputs as well, so that a difference can be named by field
         GAP   steps that were lost before they were written: first and last n
Written  by the telemetry process in chunks, never by the core. Bounded: at max_bytes a new file is begun and the one
         before the last is removed.
Errors   JournalError: the file is no journal, newer, or of another record layout. Damage inside is a Problem, not an
         error: what can be read is read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from controller.columns import pack, unpack
from controller.errors import InputError
from controller.wholefile import cut_off
from cython_core.bulk import STEP, from_bytes
from cython_core.records import Reason, State, layout_hash

SCHEMA = 2  # 1: all 64-bit words of the columns' differences, by byte planes (columns.pyx leaves out what is 0)
CHUNK = 100
KEEP_FULL = 10  # chunks after the last unusual step that keep their outputs
MOST_WAITING = 12_000  # steps kept while the disk refuses: two minutes at 10 ms; older ones become a GAP
MAX_BYTES = 256 * 1024 * 1024
LONGEST = 1 << 20  # bytes of a payload; a damaged length must not ask for memory
QUIET = int(Reason.DEFAULT_WISH | Reason.RAMP | Reason.WISH_CLAMPED)  # reasons of an ordinary day

_FRAME = struct.Struct("<4sII")
_CHUNK = struct.Struct("<qiBI")  # first n, count, full, CRC of the raw records
_KINDS = {b"INFO": 2, b"STAT": 8, b"STEP": _CHUNK.size, b"GAP ": 16}  # the least that a frame holds
NAMES = list(STEP.names or ())
INPUTS = [n for n in NAMES if n in ("n", "t_ns", "k", "lateness_ns") or n[:2] in ("m_", "d_", "o_", "i_")]
_WORDS = STEP.itemsize // 8
_AT = {full: np.array([NAMES.index(n) for n in (NAMES if full else INPUTS)]) for full in (False, True)}


class JournalError(InputError):
    """The file cannot be read as a journal of this program. The text says why and what to do."""


def header() -> bytes:
    """The first line of a journal of this build."""
    return f"v2g-journal {SCHEMA} {layout_hash():016x}\n".encode()


def pack_chunk(records: NDArray[Any], full: bool) -> bytes:
    """At most 100 step records -> payload of a STEP frame."""
    head = _CHUNK.pack(int(records["n"][0]), len(records), full, zlib.crc32(records.tobytes()))
    return head + zlib.compress(pack(records.view(np.uint8), _AT[full], _WORDS), 6)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Steps as they stand in the file. records: all fields when full, else the inputs and zeros."""

    n: int
    full: bool
    crc: int
    records: NDArray[Any]


def unpack_chunk(payload: bytes, schema: int = SCHEMA) -> Chunk:
    """Payload of a STEP frame -> Chunk."""
    n, count, full, crc = _CHUNK.unpack_from(payload)
    packed = zlib.decompress(memoryview(payload)[_CHUNK.size :])
    if schema == 1:
        return Chunk(n, bool(full), crc, _records_of_schema_1(packed, n, count, bool(full)))
    return Chunk(n, bool(full), crc, np.frombuffer(unpack(packed, _AT[bool(full)], _WORDS, count), dtype=STEP))


def _records_of_schema_1(packed: bytes, n: int, count: int, full: bool) -> NDArray[Any]:
    names = NAMES if full else [name for name in INPUTS if name != "n"]
    planes = np.frombuffer(packed, dtype=np.uint8).reshape(8, -1)
    table = np.ascontiguousarray(planes.T).view(np.int64).reshape(len(names), count)
    records = np.zeros(count, dtype=STEP)
    records["n"] = n + np.arange(count)
    for name, column in zip(names, np.cumsum(table, axis=1, dtype=np.int64), strict=True):
        records[name].view(np.int64)[:] = column
    return records


def unusual(records: NDArray[Any]) -> bool:
    """Anything in these steps that somebody may want to see in full."""
    return bool(np.any(records["reasons"] & ~QUIET) or np.any(records["state"] != int(State.IN_SERVICE)))


# ---- reading ----


@dataclass(frozen=True, slots=True)
class Problem:
    """Damage in a journal: where (byte) and what."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Packed:
    """A STEP frame, still packed: a day of steps must fit into memory."""

    payload: bytes
    schema: int

    @property
    def count(self) -> int:
        """Number of steps."""
        return int(_CHUNK.unpack_from(self.payload)[1])


@dataclass(frozen=True, slots=True)
class StateBefore:
    """The core's whole state before step n."""

    n: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Steps that were never written."""

    first: int
    last: int


Entry = Packed | StateBefore | Gap


@dataclass
class Run:
    """One epoch of a journal: its facts, and chunks, states and gaps in order."""

    info: dict[str, Any]
    entries: list[Entry] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Steps that can be read."""
        return sum(e.count for e in self.entries if isinstance(e, Packed))


@dataclass
class Journal:
    """A journal file as read: runs in order, and what is wrong with it."""

    path: Path
    runs: list[Run]
    problems: list[Problem]


def frames(file: BinaryIO, problems: list[Problem]) -> Iterator[tuple[int, bytes, bytes]]:
    """(position, kind, payload) of every whole frame after the header; what is damaged goes to problems."""
    while True:
        at = file.tell()
        head = file.read(_FRAME.size)
        if not head:
            return
        if len(head) < _FRAME.size:
            problems.append(Problem(at, "the file ends in the middle of a frame (truncated)"))
            return
        kind, length, crc = _FRAME.unpack(head)
        if not _KINDS.get(kind, LONGEST) <= length < LONGEST:
            problems.append(Problem(at, "unreadable from here on: what follows is no frame (changed or overwritten)"))
            return
        payload = file.read(length)
        if len(payload) < length:
            problems.append(Problem(at, f"the file ends in the middle of a {kind.decode().strip()} frame (truncated)"))
            return
        if crc_of(kind, payload) != crc:
            problems.append(Problem(at, f"damaged: the checksum of this {kind.decode().strip()} frame does not fit"))
            continue
        yield at, kind, payload


def crc_of(kind: bytes, payload: bytes) -> int:
    """CRC-32 of both, one behind the other."""
    return zlib.crc32(payload, zlib.crc32(kind))


def frame(kind: bytes, payload: bytes) -> bytes:
    """As it stands in the file."""
    return _FRAME.pack(kind, len(payload), crc_of(kind, payload)) + payload


def frame_behind(file: FileIO, at: int) -> int:
    """Where a whole frame stands behind this position; 0: nowhere, as after a torn write."""
    if os.fstat(file.fileno()).st_size <= at:
        return 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        for found in re.compile(b"|".join(_KINDS)).finditer(whole, at):
            begin = found.start() + _FRAME.size
            kind, length, crc = _FRAME.unpack(whole[found.start() : begin].ljust(_FRAME.size, b"\xff"))
            if length < LONGEST and crc_of(kind, whole[begin : begin + length]) == crc:
                return found.start()
    return 0


def check_header(path: Path, line: bytes) -> int:
    """The schema of a journal with this first line. JournalError when this program cannot read it."""
    words = line.split()
    if len(words) != 3 or words[0] != b"v2g-journal" or not words[1].isdigit():
        raise JournalError(f"{path}: is no journal: it does not begin with 'v2g-journal'")
    if int(words[1]) > SCHEMA:
        raise JournalError(f"{path}: schema {int(words[1])} is newer than this program reads ({SCHEMA}); update it")
    if words[2] != f"{layout_hash():016x}".encode():
        raise JournalError(
            f"{path}: written by another build: record layout {words[2].decode(errors='replace')}, "
            f"here {layout_hash():016x}; replay it with the build that wrote it"
        )
    return int(words[1])


def read_journal(path: Path) -> Journal:
    """Read a whole journal. Raises JournalError or OSError; damage is in .problems."""
    problems: list[Problem] = []
    runs: list[Run] = []
    for _, entry in entries(path, problems):
        if isinstance(entry, dict):
            runs.append(Run(entry))
        else:
            runs[-1].entries.append(entry)
    return Journal(path, runs, problems)


def entries(path: Path, problems: list[Problem]) -> Iterator[tuple[int, dict[str, Any] | Entry]]:
    """(position, entry) one after the other, so that a file of any size can be read; a run begins with its facts."""
    begun = False
    with path.open("rb") as file:
        schema = check_header(path, file.readline(200))
        for at, kind, payload in frames(file, problems):
            if kind == b"INFO":
                begun = True
                yield at, facts_in(path, at, payload)
            elif not begun:
                problems.append(Problem(at, "steps without the facts of their run"))
            elif kind == b"STEP":
                yield at, Packed(payload, schema)
            elif kind == b"STAT":
                yield at, StateBefore(struct.unpack_from("<q", payload)[0], payload[8:])
            else:
                yield at, Gap(*struct.unpack("<qq", payload))


def facts_in(path: Path, at: int, payload: bytes) -> dict[str, Any]:
    """Of an INFO frame. JournalError: its checksum is right, and yet no writer of ours has written it."""
    try:
        info = json.loads(payload)
        if all(type(info[name]) is int for name in ("epoch", "period_ns")):
            return dict(info)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise JournalError(f"{path}: the facts at byte {at} are not what this program writes")


# ---- writing ----


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
                n, count, _, _ = _CHUNK.unpack_from(payload)
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
