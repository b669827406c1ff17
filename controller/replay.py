"""Replay: compute every step of a journal again with the compiled core and demand equal bits.

Output   Replay: how many steps were identical, where the first difference is, what could not be computed, and the
         records (recomputed from the inputs), which reports are made from.
Errors   JournalError: a run whose settings or states this build does not have.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.build import build_id
from controller.journal import NAMES, Chunk, Entry, Gap, Journal, JournalError, Packed, unpack_chunk
from cython_core.bulk import STEP
from cython_core.settings import Settings
from cython_core.step import Core


@dataclass
class RunReplay:
    """One epoch, computed again."""

    info: dict[str, Any]
    records: NDArray[Any]
    identical: int = 0
    lost: int = 0  # never written: the ring had overwritten them
    adrift: int = 0  # read, but after damage or a gap no state to start from
    difference: str = ""  # the first one, by step and field


@dataclass
class Replay:
    """A whole journal, computed again."""

    runs: list[RunReplay] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """Every step that was written was computed again to the same bits."""
        return bool(self.runs) and not self.notes and all(r.difference == "" and r.adrift == 0 for r in self.runs)


def first_difference(chunk: Chunk, computed: NDArray[Any]) -> str:
    """The first step and field in which the recorded and the computed steps differ."""
    if not chunk.full:
        last = chunk.n + len(chunk.records) - 1
        return f"in steps {chunk.n} ... {last} (their outputs were not kept, so the field has no name)"
    for i in range(len(computed)):
        for name in NAMES:
            was, now = chunk.records[name][i], computed[name][i]
            if was.tobytes() != now.tobytes():
                return f"at step {chunk.n + i}, field {name}: recorded {was!r}, computed {now!r}"
    return f"in steps {chunk.n} ... {chunk.n + len(computed) - 1}: the checksum differs, every field is equal"


def period_s(info: dict[str, Any]) -> float:
    """Of one step, to the last bit as controller.launch has it, in whole milliseconds: coefficients follow from it."""
    return round(int(info["period_ns"]) / 1_000_000) * 1e-3


def _new_core(info: dict[str, Any]) -> Core:
    return Core(Settings.from_mapping(info["settings"]), period_s(info))


@contextmanager
def of_another_build(info: dict[str, Any]) -> Iterator[None]:
    """The record layout is the same, but not what a core is made of."""
    try:
        yield
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        told = f"epoch {info.get('epoch')} cannot be computed by build {build_id()}: {error!s}"
        raise JournalError(f"{told}; replay it with the build that wrote it, {info.get('build')}") from None


class RunReplayer:
    """Walks the entries of one run; a core that is None has lost its place. keep: takes what was computed."""

    def __init__(self, info: dict[str, Any], keep: Callable[[NDArray[Any]], None] | None) -> None:
        self.info, self.keep = info, keep
        self.out = RunReplay(info, np.zeros(0, dtype=STEP))
        with of_another_build(info):
            self.core: Core | None = _new_core(info)

    def take(self, entry: Entry) -> None:
        """The next one."""
        with of_another_build(self.info):
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        if isinstance(entry, Packed):
            self.chunk(unpack_chunk(entry.payload, entry.schema))
        elif isinstance(entry, Gap):
            self.out.lost += entry.last - entry.first + 1
            self.core = None
        else:
            self.state(entry.n, entry.state)

    def state(self, n: int, state: bytes) -> None:
        begun = self.out.identical or self.out.difference
        if self.core is None or self.core.n != n or not begun:
            self.core = _new_core(self.info)
            self.core.load(state)
        elif self.core.state() != state and not self.out.difference:
            self.out.difference = f"before step {n}: the recorded state differs from the computed one"

    def chunk(self, chunk: Chunk) -> None:
        if self.core is not None and self.core.n != chunk.n:
            self.core = None  # steps are missing here
        if self.core is None:
            self.out.adrift += len(chunk.records)
            if chunk.full and self.keep:
                self.keep(chunk.records)
            return
        raw = self.core.replay(chunk.records.view(np.uint8).data)
        computed = np.frombuffer(raw, dtype=STEP)
        if zlib.crc32(raw) == chunk.crc:
            self.out.identical += len(computed)
        elif not self.out.difference:
            self.out.difference = first_difference(chunk, computed)
        if self.keep:
            self.keep(computed)


def replay(journal: Journal, keep: bool = False, progress: Callable[[int, int], None] | None = None) -> Replay:
    """Compute a journal again. keep: the records too. progress(done, total) is called now and then with steps."""
    result = Replay(notes=[f"byte {p.at}: {p.text}" for p in journal.problems])
    total, before = sum(r.steps for r in journal.runs), 0
    for run in journal.runs:
        parts: list[NDArray[Any]] = []
        replayer = RunReplayer(run.info, parts.append if keep else None)
        for i, entry in enumerate(run.entries):
            replayer.take(entry)
            if progress is not None and i % 1000 == 0:
                progress(before + replayer.out.identical + replayer.out.adrift, total)
        if parts:
            replayer.out.records = np.concatenate(parts)
        before += run.steps
        if replayer.out.difference and run.info.get("build") != build_id():
            replayer.out.difference += f" (recorded by build {run.info.get('build')}, this is {build_id()})"
        result.runs.append(replayer.out)
    return result
