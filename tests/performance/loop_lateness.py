"""Wake-up lateness of the loop at 1 kHz over cyclictest's, both pinned to one CPU: idle, and with a load on it.

Slices in turns, so that ours is never measured while cyclictest holds the idle states off for it: it holds them itself.
Both lock their memory and run at the same FIFO priority, or both without one where FIFO is refused.
Load         a process of its own on that CPU that fills memory without pause: caches, page tables, kernel entries.
cyclictest   rt-tests; its histogram in ns, which ends at 1 ms: what was later stands as 1 ms.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from tests.need import SYSTEM_PATH
from tests.performance.harness import Absent, Contestant, Gate, Measurement
from tests.performance.loop_process import lateness_us

PRIORITY = 80  # the core thread's
SLICE_S, QUICK_SLICE_S = 1.0, 0.3  # short ones, in many rounds: a neighbour comes and goes within seconds
ROUNDS, QUICK_ROUNDS = 15, 7
LAST_NS = 1_000_000
LOAD = """import os
us = os.getppid()
while os.getppid() == us: bytes(8 << 20)
"""  # it does not outlive a measurement that was killed
CYCLICTEST = shutil.which("cyclictest", path=SYSTEM_PATH)


def granted_priority() -> int:
    """PRIORITY, or 0 where this user may not have it: then nobody gets it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return 0
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return PRIORITY


def cyclictest_command(cpu: int, priority: int, interval_us: int = 1000) -> list[str]:
    command = [CYCLICTEST or "cyclictest", "-q", "-t", "1", "-a", str(cpu), "-i", str(interval_us)]
    return command + ["-m", "-p", str(priority)] * (priority > 0)


def cyclictest_us(cpu: int, priority: int, seconds: float) -> Sequence[float]:
    histogram = ["-N", f"--histogram={LAST_NS}", "--histfile=/dev/null", "--json=/dev/stdout"]
    command = [*cyclictest_command(cpu, priority), *histogram, f"--loops={round(seconds * 1e3)}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60.0 + seconds, check=True)
    answer, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
    return samples_us(answer["thread"]["0"])


def samples_us(thread: Mapping[str, Any]) -> list[float]:
    """A thread of cyclictest's JSON: its histogram in ns, and of how many cycles."""
    late_ns = [int(ns) for ns, count in thread["histogram"].items() for _ in range(count)]
    late_ns += [LAST_NS] * (thread["cycles"] - len(late_ns))
    return [ns * 1e-3 for ns in late_ns]


@contextmanager
def loaded() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", LOAD]) as load:  # on our CPU: the affinity is inherited
        try:
            yield
        finally:
            load.kill()


def measurements(quick: bool) -> tuple[Measurement, ...]:
    cpu, priority, seconds = max(os.sched_getaffinity(0)), granted_priority(), QUICK_SLICE_S if quick else SLICE_S

    def state(name: str) -> Measurement:
        ours, peer = f"ours, {name}", f"cyclictest, {name}"
        their = partial(cyclictest_us, cpu, priority, seconds)
        return Measurement(
            "loop_lateness",
            "us",
            (
                Contestant(ours, 1, lambda: partial(lateness_us, "ours", cpu, priority, seconds), None, list),
                Contestant(peer, 1, lambda: their, None, list) if CYCLICTEST else Absent(peer, "apt install rt-tests"),
            ),
            (Gate(ours, peer, 1.20, 1.05, at_most=True),),
            loaded if name == "loaded" else nullcontext,
            QUICK_ROUNDS if quick else ROUNDS,
        )

    return state("idle"), state("loaded")
