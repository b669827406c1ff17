"""One slice of a loop at 1 kHz, in a process of its own: lateness of every wake-up, as int64 ns on stdout.

    python -m tests.performance.loop_process LOOP CPU PRIORITY SECONDS [--burn]

ours     cython_core.realtime.loop with its ring, cared for as in `v2g run`: memory locked, idle states held, FIFO
python   time.sleep to each deadline;  asyncio  asyncio.sleep to each deadline. Both skip what they are late for.
--burn   a Python thread of the same process computes without pause.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cython_core.realtime.host import IdleStates, lock_memory
from cython_core.realtime.loop import Loop
from cython_core.realtime.mailbox import Mailbox
from cython_core.realtime.ring import RingReader, RingWriter
from cython_core.records import Command, DeviceState, Measurement, Order, StepRecord
from cython_core.settings import Settings
from cython_core.step import Core

PERIOD_NS = 1_000_000
SHARED_MEMORY = Path("/dev/shm")


def lateness_us(loop: str, cpu: int, priority: int, seconds: float, burn: bool = False) -> Sequence[float]:
    """Start the process, wait for its end."""
    command = [sys.executable, "-m", "tests.performance.loop_process", loop, str(cpu), str(priority), str(seconds)]
    done = subprocess.run(command + ["--burn"] * burn, capture_output=True, timeout=60.0 + seconds, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
    late_ns = array("q")
    late_ns.frombytes(done.stdout)
    return [ns * 1e-3 for ns in late_ns]


def ours(cpu: int, priority: int, seconds: float) -> array[int]:
    lock_memory()
    idle = IdleStates()
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as folder:
        path = Path(folder) / "ring"
        ring = RingWriter(path, {"epoch": 1}, PERIOD_NS, depth_s=seconds + 1.0)
        meter, device, order, command = (Mailbox(record) for record in (Measurement, DeviceState, Order, Command))
        loop = Loop(Core(Settings(), PERIOD_NS * 1e-9), ring, meter, device, order, command)
        gc.collect()
        gc.freeze()
        gc.disable()
        loop.start(priority, cpu)
        time.sleep(seconds)
        loop.stop()
        raw, _ = RingReader(path).read(loop.steps)
    idle.close()
    return waited_for(raw)


def waited_for(records: bytes) -> array[int]:
    """Lateness against the deadline that was waited for; a record counts from the newest that had passed by then."""
    words = array("q")
    words.frombytes(records)
    fields = list(StepRecord.__dataclass_fields__)
    late_ns, k = (words[fields.index(name) :: len(fields)] for name in ("lateness_ns", "k"))
    return array("q", (late + (periods - 1) * PERIOD_NS for late, periods in zip(late_ns, k, strict=True)))


def python(seconds: float) -> array[int]:
    late_ns = array("q")
    deadline_ns = time.monotonic_ns() + PERIOD_NS
    end_ns = deadline_ns + round(seconds * 1e9)
    while deadline_ns < end_ns:
        time.sleep(max(deadline_ns - time.monotonic_ns(), 0) * 1e-9)
        deadline_ns = woken(deadline_ns, late_ns)
    return late_ns


def with_asyncio(seconds: float) -> array[int]:
    import asyncio  # here: it costs 0.1 s and some memory, which is not the other loops'

    async def loop() -> array[int]:
        late_ns = array("q")
        deadline_ns = time.monotonic_ns() + PERIOD_NS
        end_ns = deadline_ns + round(seconds * 1e9)
        while deadline_ns < end_ns:
            await asyncio.sleep(max(deadline_ns - time.monotonic_ns(), 0) * 1e-9)
            deadline_ns = woken(deadline_ns, late_ns)
        return late_ns

    return asyncio.run(loop())


def woken(deadline_ns: int, late_ns: array[int]) -> int:
    """Note the lateness; the next deadline that is still to come."""
    late = time.monotonic_ns() - deadline_ns
    late_ns.append(late)
    return deadline_ns + (1 + max(late, 0) // PERIOD_NS) * PERIOD_NS


def burn() -> None:
    while True:
        sum(range(1000))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("loop", choices=("ours", "python", "asyncio"))
    parser.add_argument("cpu", type=int)
    parser.add_argument("priority", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--burn", action="store_true")
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.cpu})
    if args.burn:
        threading.Thread(target=burn, daemon=True).start()
    own = partial(ours, args.cpu, args.priority)
    loops: dict[str, Callable[[float], array[int]]] = {"ours": own, "python": python, "asyncio": with_asyncio}
    late_ns = loops[args.loop](args.seconds)
    sys.stdout.buffer.write(late_ns.tobytes())


if __name__ == "__main__":
    main()
