"""Step records, a ring and a journal in memory, for tests of what comes after them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.telemetry.outbox import Outbox
from controller.telemetry.wire import Draft
from cython_core.bulk import STEP, from_bytes, stack
from cython_core.records import State, StepRecord

WALL_MS = 1_700_000_000_000  # a whole second, so that windows are easy to count
PERIOD_NS = 100_000_000  # ten steps a second


def info(epoch: int = 7, site: str = "home") -> dict[str, Any]:
    """What a ring says of its run."""
    return {"site": site, "start_mode": "demo", "epoch": epoch, "period_ns": PERIOD_NS,
            "wall_offset_ns": WALL_MS * 1_000_000, "build": "0.1.0+test", "boot_id": "b",
            "settings_digest": 5}  # fmt: skip


def records(first: int, count: int, **columns: Any) -> NDArray[Any]:
    """Steps first ... first + count - 1, a tenth of a second apart, quiet unless a column says otherwise."""
    rows = stack([StepRecord()] * count)
    rows["n"] = np.arange(first, first + count)
    rows["t_ns"] = rows["n"] * PERIOD_NS
    rows["state"], rows["settings_digest"] = int(State.IN_SERVICE), info()["settings_digest"]
    rows["f_hz"], rows["v_pu"], rows["m_p_w"], rows["d_soc_pu"] = 50.0, 1.0, 1000.0, 0.5
    for name, values in columns.items():
        rows[name] = values
    return rows


def live(seconds: int, **body: Any) -> Draft:
    """A live frame of a given second."""
    t_ms = WALL_MS + 1000 * seconds
    head = {"v": 1, "kind": "live", "site": "home", "epoch": 7, "t_ms": t_ms, "start_mode": "demo"}
    return Draft("live", "live", t_ms, {**head, "f_hz": {"newest": 50.0}, **body})


def event(seconds: int, name: str = "state") -> Draft:
    """An event of a given second."""
    t_ms = WALL_MS + 1000 * seconds
    head = {"v": 1, "kind": "event", "event": name, "site": "home", "epoch": 7, "t_ms": t_ms, "start_mode": "demo"}
    return Draft("event", name, t_ms, {**head, "n": seconds})


class MemoryRing:
    """Rings by path; each new one replaces the one before, as a restarted core does."""

    def __init__(self) -> None:
        self.newest: MemoryReader | None = None

    def begin(self, epoch: int, depth: int = 10_000) -> MemoryReader:
        self.newest = MemoryReader(self, epoch, depth)
        return self.newest

    def open(self, path: Path) -> MemoryReader:
        if self.newest is None:
            raise FileNotFoundError(path)
        return self.newest.copy()


class MemoryReader:
    """The face of RingReader over a shared list of arrays."""

    def __init__(self, ring: MemoryRing, epoch: int, depth: int) -> None:
        self.ring, self.epoch, self.depth, self.info = ring, epoch, depth, info(epoch)
        self.next_n = 0
        self.rows: list[NDArray[Any]] = [np.zeros(0, dtype=STEP)]

    def copy(self) -> MemoryReader:
        reader = MemoryReader(self.ring, self.epoch, self.depth)
        reader.rows, reader.info = self.rows, self.info
        return reader

    def push(self, rows: NDArray[Any]) -> None:
        self.rows[0] = np.concatenate([self.rows[0], rows])[-self.depth :]

    def read(self, most: int = 4096) -> tuple[bytes, int]:
        kept = self.rows[0][self.rows[0]["n"] >= self.next_n][:most]
        if not len(kept):
            return b"", 0
        lost = int(kept["n"][0]) - self.next_n
        self.next_n = int(kept["n"][-1]) + 1
        return kept.tobytes(), lost

    def snapshot(self) -> None:
        return None

    def replaced(self) -> bool:
        return self.ring.newest is not None and self.ring.newest.rows is not self.rows


class MemoryJournal:
    """Steps per epoch, as the journal writer keeps them; `flushed` is what survives a killed process."""

    def __init__(self) -> None:
        self.steps: dict[int, list[int]] = {}
        self.epoch = -1
        self.full = False
        self.begun: list[tuple[int, int]] = []  # epoch, settings

    def begin(self, info: dict[str, Any]) -> None:
        self.epoch = int(info["epoch"])
        if (self.epoch, info["settings_digest"]) not in self.begun[-1:]:
            self.begun.append((self.epoch, info["settings_digest"]))
        self.steps.setdefault(self.epoch, [])

    def resume_n(self, epoch: int) -> int | None:
        return self.steps[epoch][-1] + 1 if self.steps.get(epoch) else None

    def append(self, raw: bytes, snapshot: object = None) -> None:
        del snapshot
        if self.full:
            raise OSError(28, "No space left on device")
        expected = self.resume_n(self.epoch) or 0
        self.steps[self.epoch] += [int(n) for n in from_bytes(raw)["n"] if n >= expected]

    def close(self) -> None:
        return None


@contextmanager
def closing(*things: Any) -> Iterator[None]:
    """Close whatever a test opened."""
    try:
        yield
    finally:
        for thing in things:
            thing.close()


def killed(box: Outbox) -> None:
    """As SIGKILL leaves its files: nothing is moved, nothing said; the locks are gone."""
    for tier in box.tiers.all():
        tier.close()
