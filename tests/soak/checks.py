"""What must hold over a long run: pure functions of samples and steps. Each returns one line per violation.

Sample   what the host says of the core process, once a second; bytes, counts, seconds since the run began.
Steps    step records as rows of cython_core.bulk.STEP, chunk by chunk: `before` is the last row of the chunk before.
Fit      Theil and Sen: the median of the slopes between all pairs of points. A tenth of odd samples does not move it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]

MOST_GROWTH = 1.02  # of memory, end over begin
POINTS = 60  # of a fit: each the median of as many samples as it takes
TENTH = 10
FEW = 20  # looks: of fewer all may have come at a bad moment


@dataclass(frozen=True, slots=True)
class Sample:
    """The core process at one moment. rss_bytes counts mapped files too, anon_bytes only its own memory."""

    t_s: float
    rss_bytes: int
    anon_bytes: int
    fds: int
    threads: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Age:
    """How old the newest step was when the ring was read: the reader's CLOCK_MONOTONIC less the step's grid time."""

    t_s: float
    age_ns: int


# ---- memory, descriptors, threads ----


def fitted_growth(t: Sequence[float], y: Sequence[float]) -> float:
    """End over begin of the straight line through the points."""
    size = max(1, len(t) // POINTS)
    bins = [slice(i, i + size) for i in range(0, len(t), size)]
    points = [(median(t[b]), median(y[b])) for b in bins]
    if len(points) < 2:
        return 1.0
    slope = median((b - a) / (tb - ta) for (ta, a), (tb, b) in combinations(points, 2))
    level = median(value - slope * at for at, value in points)
    return (level + slope * points[-1][0]) / (level + slope * points[0][0])


def jump(y: Sequence[float]) -> float:
    """Median of the last tenth over that of the first: a fit does not see a step in the middle."""
    tenth = max(1, len(y) // TENTH)
    return median(y[-tenth:]) / median(y[:tenth])


def memory_grows(samples: Sequence[Sample], what: str, of: Callable[[Sample], int]) -> list[str]:
    y = [float(of(s)) for s in samples]
    if not y:
        return [f"{what}: no sample after the warm-up; run longer"]
    growth = max(fitted_growth([s.t_s for s in samples], y), jump(y))
    if growth <= MOST_GROWTH:
        return []
    return [f"{what}: grew {growth:.3f} times from {y[0] / 2**20:.2f} MiB in {samples[-1].t_s - samples[0].t_s:.0f} s"]


def count_grows(samples: Sequence[Sample], what: str, of: Callable[[Sample], int]) -> list[str]:
    """The last quarter against the first, each but for its highest hundredth: what comes and goes is no growth."""
    quarter = len(samples) // 4
    if quarter == 0:
        return [f"{what}: {len(samples)} samples after the warm-up; run longer"]
    early, late = (sorted(map(of, part))[-1 - quarter // 100] for part in (samples[:quarter], samples[-quarter:]))
    return [f"{what}: {early} in the first quarter of the run, {late} in the last"] if late > early else []


# ---- steps ----


def off_the_grid(rows: Rows, first: Any, period_ns: int) -> list[str]:
    """Step n lies at t0 + (n + grid points skipped so far) * period, exactly."""
    points = (rows["n"] - first["n"]) + (rows["skipped"] - first["skipped"])
    off_ns = rows["t_ns"] - first["t_ns"] - points * period_ns
    return [f"step {n}: {off} ns off the grid" for n, off in zip(rows["n"], off_ns, strict=True) if off]


def gaps(rows: Rows, before: Any | None) -> list[str]:
    """Numbers rise by one; what is skipped is in k and in the count."""
    if before is not None:
        rows = np.concatenate([np.atleast_1d(before), rows])
    found = []
    for i in np.flatnonzero(np.diff(rows["n"]) != 1):
        found.append(f"step {rows['n'][i + 1]} follows step {rows['n'][i]}")
    for i in np.flatnonzero(np.diff(rows["skipped"]) != rows["k"][1:] - 1):
        counted = rows["skipped"][i + 1] - rows["skipped"][i]
        found.append(f"step {rows['n'][i + 1]}: k = {rows['k'][i + 1]}, but {counted} skipped grid points were counted")
    return found


def lateness_out_of_range(rows: Rows, period_ns: int) -> list[str]:
    """Later than a period would have been a skip; earlier than 0 a step before its time."""
    wrong = rows[(rows["lateness_ns"] < 0) | (rows["lateness_ns"] >= period_ns)]
    return [f"step {row['n']}: lateness {row['lateness_ns']} ns is outside 0 ... {period_ns} ns" for row in wrong]


def losses(lost: int, next_n: int) -> list[str]:
    return [f"{lost} steps before step {next_n} were overwritten, though this reader keeps up"] if lost else []


# ---- grid against CLOCK_MONOTONIC ----


def drifts(ages: Sequence[Age], period_ns: int, window_s: float = 60.0) -> list[str]:
    """No step is there before its grid time, and in every window some step is younger than a period when it is read."""
    found = [f"{a.t_s:.1f} s: a step is there {-a.age_ns} ns before its grid time" for a in ages if a.age_ns < 0]
    windows: dict[int, list[int]] = {}
    for a in ages:
        windows.setdefault(int(a.t_s // window_s), []).append(a.age_ns)
    for number, inside in windows.items():
        if len(inside) >= FEW and min(inside) >= period_ns:
            begin_s = number * window_s
            found.append(f"from {begin_s:.0f} s: the grid is {min(inside)} ns behind the clock for {window_s:.0f} s")
    return found
