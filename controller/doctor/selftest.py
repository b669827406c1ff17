"""A latency self-test: our own loop with a real core and a real ring, on this machine, now.

Shapes   measure() -> one SelfTest a period; lateness in µs, from the records of the ring.
Source   lateness is the record's own, plus the grid points that were skipped before it.
Errors   OSError when there is no room for a ring.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.doctor.answers import CORE_PRIORITY
from controller.doctor.finding import SHORT, Finding, Mend
from cython_core.bulk import from_bytes
from cython_core.realtime.loop import Loop
from cython_core.realtime.mailbox import Mailbox
from cython_core.realtime.ring import RingReader, RingWriter
from cython_core.records import Command, DeviceState, Measurement, Order
from cython_core.settings import Settings
from cython_core.step import Core

MEMORY_FOLDER = Path("/dev/shm")  # where the product's ring is too: in memory
TURN_S = 0.05
RING_S = 5.0  # it is read twenty times a second
LEAST_STEPS = 10
PERIODS_MS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One run. late_*_us: how long after its grid point a step woke up."""

    period_ms: int
    granted: str
    steps: int
    skipped: int
    late_p50_us: float
    late_p99_us: float
    late_max_us: float


def length_s(period_ms: int, seconds: float) -> float:
    """So long, and at least ten steps."""
    return max(seconds, LEAST_STEPS * period_ms * 1e-3)


def measure(settings: Settings, period_ms: int, seconds: float, progress: Callable[[float], None]) -> SelfTest:
    """Run the loop for so long without any device: every input is absent. progress: gets seconds done."""
    folder = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="v2g-doctor-", dir=folder) as place:
        ring = RingWriter(Path(place) / "ring", {"epoch": 1}, period_ms * 1_000_000, RING_S)
        reader = RingReader(Path(place) / "ring")
        meter, device, order, command = map(Mailbox, (Measurement, DeviceState, Order, Command))
        loop = Loop(Core(settings, period_ms * 1e-3), ring, meter, device, order, command)
        granted = loop.start(CORE_PRIORITY)
        try:
            rows = list(watch(reader, seconds, progress))
        finally:
            loop.stop()
    return summary(period_ms, granted, np.concatenate(rows), loop.skipped)


def watch(reader: RingReader, seconds: float, progress: Callable[[float], None]) -> Iterator[NDArray[Any]]:
    """The records of so many seconds, as they come; of more when there is none yet."""
    start = time.monotonic()
    done = 0.0
    while done < seconds or not reader.next_n:
        time.sleep(min(TURN_S, max(seconds - done, 0.001)))
        done = time.monotonic() - start
        progress(done)
        yield from_bytes(reader.read(1 << 20)[0])


def summary(period_ms: int, granted: str, rows: NDArray[Any], skipped: int) -> SelfTest:
    """Records -> figures."""
    late_us = (rows["lateness_ns"] + (rows["k"] - 1) * (period_ms * 1_000_000)) / 1e3
    p50, p99, most = np.percentile(late_us, [50, 99, 100])
    return SelfTest(period_ms, granted, len(rows), skipped, float(p50), float(p99), float(most))


def judge(test: SelfTest, place: str) -> Finding:
    """Against the period it ran at, never against a figure of another machine. place: of period_ms in the site file."""
    of = f"{test.period_ms} ms"
    found = f"{test.steps} steps, {test.skipped} skipped, p99 {test.late_p99_us:.0f} µs late"
    if not test.skipped and test.late_p99_us * 2 <= test.period_ms * 1000:
        return Finding("self-test", found, of=of)
    why = "Steps come too late for this period, now. Mend what stands above, stop other programs, and run it again."
    enough = (ms for ms in PERIODS_MS if ms * 1000 > max(2 * test.late_p99_us, test.late_max_us))
    longer = max(next(enough, PERIODS_MS[-1]), min(2 * test.period_ms, PERIODS_MS[-1]))
    mend = (Mend(f"if that does not help, {place}", f"period_ms: {longer}"),) if longer > test.period_ms else ()
    return Finding("self-test", found, SHORT, why, mend, of)
