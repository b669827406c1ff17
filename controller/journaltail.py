"""The newest minutes of a journal as a journal of its own, which replays: it begins at a whole state or a new epoch.

Shapes   newest(path, minutes) -> bytes. Minutes are of recorded steps, so a controller that has stood still for a day
         still shows what it did last; up to one minute more, back to the state that the replay starts from.
Errors   JournalError and OSError as read_journal. Damage is left out, as a replay would.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from controller.journal import Gap, Packed, Problem, check_header, facts_in, frames


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: where it lies, how much time its steps took, and whether a replay can begin here."""

    path: Path
    start: int
    end: int
    ns: int
    begins: bool
    is_info: bool

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.end - self.start)


def newest(path: Path, minutes: float) -> bytes:
    """From this file and, if it was begun anew in these minutes, from the one before it."""
    head, found = index(path)
    before = path.with_suffix(f".1{path.suffix}")
    if sum(f.ns for f in found) < minutes * 60e9 and before.exists():
        old_head, old = index(before)
        found = old + found if old_head == head else found
    return head + b"".join(frame.read() for frame in cut(found, minutes))


def cut(found: list[Frame], minutes: float) -> list[Frame]:
    """The frames to keep: the facts of the run first."""
    at, left_ns = len(found), minutes * 60e9
    while at and left_ns > 0:
        at -= 1
        left_ns -= found[at].ns
    while at and not found[at].begins:
        at -= 1
    facts = [f for f in found[:at] if f.is_info][-1:]
    return (facts if at < len(found) and not found[at].is_info else []) + found[at:]


def index(path: Path) -> tuple[bytes, list[Frame]]:
    """First line and every whole frame of a file."""
    problems: list[Problem] = []
    found: list[Frame] = []
    epoch, period_ns = None, 0
    with path.open("rb") as file:
        head = file.readline(200)
        schema = check_header(path, head)
        for start, kind, payload in frames(file, problems):
            ns, begins = 0, kind == b"STAT"
            if kind == b"INFO":
                info = facts_in(path, start, payload)
                begins, epoch, period_ns = info.get("epoch") != epoch, info.get("epoch"), int(info["period_ns"])
            elif kind == b"STEP":
                ns = Packed(payload, schema).count * period_ns
            elif kind == b"GAP ":
                gap = Gap(*struct.unpack("<qq", payload))
                ns = (gap.last - gap.first + 1) * period_ns
            found.append(Frame(path, start, file.tell(), ns, begins, kind == b"INFO"))
    return head, found
