"""The cases of a run in virtual time, in several processes: each case is a world of its own, so nothing is shared.

Stopping: the workers do not hear Ctrl-C; cases that have begun are finished (a second or two), no other one begins.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from controller.bench.folder import RunFolder
from controller.bench.plan import Case
from controller.bench.runner import run_cases
from controller.bench.virtual import VirtualRig

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_parallel(
    rig: VirtualRig, cases: Sequence[Case], folder: RunFolder, told: Callable[[Case], None], jobs: int
) -> None:
    """The same bytes whatever the number of jobs. told: a case has ended, in the order in which they end."""
    if jobs <= 1 or len(cases) <= 1:
        run_cases(cases, rig.open, folder, told)
        return
    with ProcessPoolExecutor(jobs, initializer=deaf) as pool:
        try:
            ends = {pool.submit(run_cases, [case], rig.open, folder, nothing): case for case in cases}
            for end in as_completed(ends):
                end.result()
                told(ends[end])
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def deaf() -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def nothing(_case: Case) -> None:
    """Told to nobody."""
