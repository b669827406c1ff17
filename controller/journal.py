"""The journal: a log of every input of every step, so that a run can be computed again, bit by bit.

File     one text line `v2g-journal <schema> <layout>`, then frames: kind (4 bytes), length, CRC-32, payload.
         INFO  facts and settings (JSON): a run begins, a new epoch or other settings within one
         STAT  n and the core's whole state before step n: a replay can start here
         STEP  up to 100 steps: their inputs column by column, and the CRC-32 of all their bits, outputs too; around
               events and while anything is unusual the outputs as well, so that a difference can be named by field
         GAP   steps that were lost before they were written: first and last n
Written  by journalwriter.py.
Errors   JournalError: the file is no journal, newer, or of another record layout. Damage inside is a Problem, not an
         error: what can be read is read.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from controller.columns import pack, unpack
from controller.errors import InputError
from cython_core.bulk import STEP
from cython_core.records import layout_hash

SCHEMA = 2  # 1: all 64-bit words of the columns' differences, by byte planes (columns.pyx leaves out what is 0)
CHUNK = 100
LONGEST = 1 << 20  # bytes of a payload; a damaged length must not ask for memory

FRAME = struct.Struct("<4sII")
_CHUNK = struct.Struct("<qiBI")  # first n, count, full, CRC of the raw records
KINDS = {b"INFO": 2, b"STAT": 8, b"STEP": _CHUNK.size, b"GAP ": 16}  # the least that a frame holds
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


def span_of(payload: bytes) -> tuple[int, int]:
    """(first n, count) of a STEP frame."""
    n, count, _, _ = _CHUNK.unpack_from(payload)
    return n, count


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
        head = file.read(FRAME.size)
        if not head:
            return
        if len(head) < FRAME.size:
            problems.append(Problem(at, "the file ends in the middle of a frame (truncated)"))
            return
        kind, length, crc = FRAME.unpack(head)
        if not KINDS.get(kind, LONGEST) <= length < LONGEST:
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
    return FRAME.pack(kind, len(payload), crc_of(kind, payload)) + payload


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
