"""Journals -> the steps of one day, computed again and handed over block by block. Nothing is kept.

Block    steps of one run without a hole, at most BLOCK of them: BLOCK x 1 kB of memory, whatever the day holds.
Margins  steps from before the day and after it come too (MARGIN_NS): an event needs its calm before and its recovery.
Skipping a run's steps outside the day are not computed: once a minute a state stands in the journal to begin from.
Errors   JournalError: a file is no journal of this build. Damage, and steps that come out otherwise, are notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.journal import Entry, Packed, Problem, StateBefore, entries, unpack_chunk
from controller.replay import RunReplayer
from cython_core.bulk import STEP

Records = NDArray[Any]

BLOCK = 6000  # a minute at 10 ms
MARGIN_NS = 120_000_000_000
DAY_NS = 86_400_000_000_000


def joined(parts: Sequence[Records]) -> Records:
    """One array of several; as bytes, because NumPy compares a hundred field names for each part otherwise."""
    return np.concatenate([part.view(np.uint8) for part in parts]).view(STEP)


@dataclass(frozen=True, slots=True)
class Block:
    """Steps of one run in order; run counts the runs of the files."""

    run: int
    info: dict[str, Any]
    records: Records

    @property
    def wall_ns(self) -> NDArray[np.int64]:
        """Unix time of each step."""
        return np.asarray(self.records["t_ns"] + int(self.info["wall_offset_ns"]), dtype=np.int64)


@dataclass
class DayStream:
    """blocks() once; what was found stands in the fields afterwards."""

    files: Sequence[Path]
    begin_ns: int
    progress: Callable[[int, int], None] = lambda _done, _total: None
    notes: list[str] = field(default_factory=list)
    identical: int = 0
    adrift: int = 0
    lost: int = 0
    seen_ns: list[int] = field(default_factory=list)  # wall time of a step of every minute that was looked at

    @property
    def end_ns(self) -> int:
        return self.begin_ns + DAY_NS

    def blocks(self) -> Iterator[Block]:
        """In the order of the files, which is that of time unless the clock was set back."""
        total, before, number = sum(file.stat().st_size for file in self.files), 0, -1
        for file in self.files:
            problems: list[Problem] = []
            run: _Run | None = None
            for at, entry in entries(file, problems):
                self.progress(before + at, total)
                if isinstance(entry, dict):
                    if run is not None:
                        yield from self._over(run)
                    number += 1
                    run = _Run(self, number, entry)
                else:
                    assert run is not None
                    yield from run.take(entry)
            if run is not None:
                yield from self._over(run)
            self.notes += [f"{file.name}: byte {p.at}: {p.text}" for p in problems]
            before += file.stat().st_size

    def _over(self, run: _Run) -> Iterator[Block]:
        yield from run.flush()
        out = run.replayer.out
        self.identical += out.identical
        self.adrift += out.adrift
        self.lost += out.lost
        if out.difference:
            self.notes.append(f"epoch {run.info.get('epoch')}: computed again, the core differs {out.difference}")


class _Run:
    """One run on its way past us."""

    def __init__(self, stream: DayStream, number: int, info: dict[str, Any]) -> None:
        self.stream, self.number, self.info = stream, number, info
        self.parts: list[Records] = []
        self.replayer = RunReplayer(info, self.parts.append)
        self.kept = 0
        self.look = True  # at the time of the next steps, before they are computed
        self.inside = False
        self.state: StateBefore | None = None

    def take(self, entry: Entry) -> Iterator[Block]:
        """The next entry of this run."""
        if isinstance(entry, StateBefore):
            self.state, self.look = entry, True
        elif isinstance(entry, Packed) and self.look:
            self._look(entry)
        if not self.inside:
            return
        self.replayer.take(entry)
        self.kept += entry.count if isinstance(entry, Packed) else 0
        if self.kept >= BLOCK or not isinstance(entry, Packed | StateBefore):
            yield from self.flush()

    def _look(self, entry: Packed) -> None:
        """Whether these steps, and those of the minute behind them, are wanted."""
        self.look = False
        t_ns = int(unpack_chunk(entry.payload, entry.schema).records["t_ns"][0]) + int(self.info["wall_offset_ns"])
        self.stream.seen_ns.append(t_ns)
        inside = self.stream.begin_ns - MARGIN_NS <= t_ns < self.stream.end_ns + MARGIN_NS
        if inside and not self.inside and self.state is not None:
            self.replayer.take(self.state)
        self.inside = inside

    def flush(self) -> Iterator[Block]:
        """What has been computed, in pieces without a hole."""
        if not self.parts:
            return
        records = joined(self.parts)
        self.parts.clear()
        self.kept = 0
        for piece in np.split(records, np.flatnonzero(np.diff(records["n"]) != 1) + 1):
            yield Block(self.number, self.info, piece)
