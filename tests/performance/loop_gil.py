"""Wake-up lateness of the loop at 1 kHz while a Python thread of its process computes, over the same without it.

Beside it what a loop in Python does there: it waits for the interpreter, ours does not know of it.
"""

from __future__ import annotations

import os
from functools import partial

from tests.performance.harness import Contestant, Gate, Measurement
from tests.performance.loop_lateness import QUICK_SLICE_S, SLICE_S, granted_priority
from tests.performance.loop_process import lateness_us


def measurements(quick: bool) -> tuple[Measurement, ...]:
    cpu, priority, seconds = max(os.sched_getaffinity(0)), granted_priority(), QUICK_SLICE_S if quick else SLICE_S

    def loop(name: str, kind: str, burn: bool) -> Contestant:
        return Contestant(name, 1, lambda: partial(lateness_us, kind, cpu, priority, seconds, burn), None, list)

    idle, busy = "ours", "ours, Python busy"
    python, with_asyncio = "time.sleep loop, Python busy", "asyncio loop, Python busy"
    contestants: tuple[Contestant, ...] = (
        loop(idle, "ours", False),
        loop(busy, "ours", True),
        loop(python, "python", True),
    )
    gates: tuple[Gate, ...] = (Gate(busy, idle, 1.2, 1.05, at_most=True), Gate(python, busy, 50, 100))
    if not quick:  # printed, not gated
        contestants += (loop(with_asyncio, "asyncio", True),)
        gates += (Gate(with_asyncio, busy),)
    return (Measurement("loop_gil", "us", contestants, gates),)
