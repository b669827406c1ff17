"""The eyes of a soak: samples of one process from /proc, and every step of its ring as it comes."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_core.bulk import STEP, from_bytes
from cython_core.realtime.ring import RingReader
from tests.soak.checks import Age, Sample, gaps, lateness_out_of_range, losses, off_the_grid

MOST_LINES = 20
TICKS_S = os.sysconf("SC_CLK_TCK")


def sample(pid: int, t_s: float) -> Sample:
    """Of a process that lives; OSError when it does not."""
    folder = Path("/proc", str(pid))
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    if "VmRSS" not in status:  # nobody has asked for its exit code yet
        raise ProcessLookupError(f"process {pid} has ended")
    times = (folder / "stat").read_text().rpartition(")")[2].split()
    return Sample(
        t_s=t_s,
        rss_bytes=int(status["VmRSS"].split()[0]) * 1024,
        anon_bytes=int(status["RssAnon"].split()[0]) * 1024,
        fds=sum(1 for _ in (folder / "fd").iterdir()),
        threads=int(status["Threads"]),
        cpu_s=(int(times[11]) + int(times[12])) / TICKS_S,
    )


@dataclass
class Steps:
    """Follows one ring. Looked at often enough it loses nothing; what is wrong goes into `wrong`, by kind."""

    reader: RingReader
    period_ns: int
    begin_s: float
    steps: int = 0
    lost: int = 0
    lateness_ns: list[NDArray[np.int64]] = field(default_factory=list)
    ages: list[Age] = field(default_factory=list)
    wrong: dict[str, list[str]] = field(default_factory=dict)  # of each kind the first MOST_LINES
    wrong_count: Counter[str] = field(default_factory=Counter)
    first: Any | None = None
    last: Any | None = None

    def look(self, running: bool = True) -> None:
        """Read what is new and check it. running: the newest step must then be a young one."""
        raw, lost = self.reader.read(1 << 16)
        now_ns = time.monotonic_ns()
        rows = from_bytes(raw) if raw else np.zeros(0, STEP)
        self.lost += lost
        self._note("losses", losses(lost, self.reader.next_n - len(rows)))
        if not len(rows):
            return
        if self.first is None:
            self.first = rows[0].copy()
        self._note("grid", off_the_grid(rows, self.first, self.period_ns))
        self._note("numbers", gaps(rows, None if lost else self.last))
        self._note("lateness", lateness_out_of_range(rows, self.period_ns))
        self.steps += len(rows)
        self.lateness_ns.append(rows["lateness_ns"].astype(np.int64))
        if running:
            self.ages.append(Age(time.monotonic() - self.begin_s, int(now_ns - rows["t_ns"][-1])))
        self.last = rows[-1].copy()

    def _note(self, kind: str, lines: list[str]) -> None:
        kept = self.wrong.setdefault(kind, [])
        kept += lines[: MOST_LINES - len(kept)]
        self.wrong_count[kind] += len(lines)

    @property
    def skipped(self) -> int:
        """Grid points skipped since the first look."""
        return 0 if self.last is None or self.first is None else int(self.last["skipped"] - self.first["skipped"])

    def lateness_us(self, *percents: float) -> list[float]:
        """Percentiles of every step so far."""
        if not self.lateness_ns:
            return [math.nan] * len(percents)
        return [float(p) / 1e3 for p in np.percentile(np.concatenate(self.lateness_ns), percents)]
