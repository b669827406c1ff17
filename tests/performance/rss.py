"""Resident memory of the core process over a bare interpreter's.

core process  `v2g run` against simulated devices, some seconds after its start: memory locked, all threads running.
              Counted without the ring, the file of the newest minute that it hands on (its size follows from the
              period); with the ring in a second row, which is not gated.
not started   its program loaded, then nothing: what its site, locking and threads add is above it
interpreter   python -c "import time; time.sleep(...)"
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from controller.handed import ROOT
from controller.launch import CORE as CORE_FLAGS
from tests.performance.core_process import core_process, mapped_bytes
from tests.performance.harness import Contestant, Gate, Measurement

PERIOD_MS = 10
BARE = "import time; print(flush=True); time.sleep(600)"
LOADED = f"import sys; sys.path.append(sys.argv[1]); import controller.runtime; {BARE}"
CORE, WITH_RING, NOT_STARTED, INTERPRETER = "core process", "core process and ring", "not started", "bare interpreter"


class Processes:
    """All of them, for as long as they are measured."""

    pids: dict[str, int]

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            core = stack.enter_context(core_process(PERIOD_MS))
            self.pids = {CORE: core, WITH_RING: core}
            for name, arguments in ((NOT_STARTED, (CORE_FLAGS[0], LOADED, ROOT)), (INTERPRETER, ("-c", BARE))):
                command = [sys.executable, *arguments]
                process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
                stack.callback(process.kill)
                self.pids[name] = process.pid
                assert process.stdout is not None
                process.stdout.readline()
            yield

    def resident(self, name: str) -> Sequence[float]:
        mapped = mapped_bytes(self.pids[name])
        return [sum(size / 2**20 for path, size in mapped.items() if name == WITH_RING or not path.endswith("/ring"))]


def measurements(_: bool) -> tuple[Measurement, ...]:
    processes = Processes()
    names = (CORE, WITH_RING, NOT_STARTED, INTERPRETER)
    return (
        Measurement(
            "rss",
            "MiB",
            tuple(Contestant(name, 1, partial(partial, processes.resident, name), None, list) for name in names),
            (
                Gate(CORE, INTERPRETER, 1.6, 1.3, at_most=True),
                Gate(WITH_RING, INTERPRETER, at_most=True),
                Gate(CORE, NOT_STARTED, at_most=True),
            ),
            processes.running,
        ),
    )
