"""CPU share of the core process over an empty loop's at the same rate: 100 Hz and 1 kHz. Printed, not gated.

core process  `v2g run` against simulated devices: the step, two Modbus buses, the watching interpreter
empty loop    cyclictest (rt-tests): sleeps to each deadline and reads the clock
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.performance.core_process import core_process, cpu_ns
from tests.performance.harness import Absent, Contestant, Gate, Measurement
from tests.performance.loop_lateness import CYCLICTEST, cyclictest_command, granted_priority

SLICE_S, QUICK_SLICE_S = 2.0, 0.3


class Processes:
    """Both at one rate, for as long as they are measured; each looked at while the other runs as well."""

    pids: dict[str, int]

    def __init__(self, period_ms: int, seconds: float) -> None:
        self.period_ms, self.seconds = period_ms, seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            self.pids = {"core": stack.enter_context(core_process(self.period_ms))}
            if CYCLICTEST:
                command = cyclictest_command(max(os.sched_getaffinity(0)), granted_priority(), 1000 * self.period_ms)
                empty = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
                stack.callback(empty.kill)
                self.pids["empty"] = empty.pid
            yield

    def percent(self, which: str) -> Callable[[], Sequence[float]]:
        def run() -> Sequence[float]:
            begin_ns, begin_cpu_ns = time.monotonic_ns(), cpu_ns(self.pids[which])
            time.sleep(self.seconds)
            used_ns = cpu_ns(self.pids[which]) - begin_cpu_ns
            return [100.0 * used_ns / (time.monotonic_ns() - begin_ns)]

        return run


def measurements(quick: bool) -> tuple[Measurement, ...]:
    def at(period_ms: int) -> Measurement:
        processes = Processes(period_ms, QUICK_SLICE_S if quick else SLICE_S)
        rate = f"{1000 // period_ms} Hz"
        core, empty = f"core process, {rate}", f"cyclictest, {rate}"
        peer = Contestant(empty, 1, lambda: processes.percent("empty"), None, list)
        return Measurement(
            "cpu_share",
            "% of a CPU",
            (
                Contestant(core, 1, lambda: processes.percent("core"), None, list),
                peer if CYCLICTEST else Absent(empty, "apt install rt-tests"),
            ),
            (Gate(core, empty, at_most=True),),
            processes.running,
        )

    return at(10), at(1)
