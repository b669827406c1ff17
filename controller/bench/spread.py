"""The same work on many things, in several processes; what comes of it is in their order whatever the number.

Stopping: the workers do not hear Ctrl-C; what has begun is finished (a second or two), nothing else begins.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
T = TypeVar("T")
R = TypeVar("R")


def spread(work: Callable[[T], R], things: Sequence[T], jobs: int, told: Callable[[T], None]) -> list[R]:
    """[work(thing), ...]: all three go through pickle. told: one is done, in the order in which they end."""
    if jobs <= 1 or len(things) <= 1:
        return [done(work(thing), thing, told) for thing in things]
    with ProcessPoolExecutor(jobs, initializer=deaf) as pool:
        try:
            ends = {pool.submit(work, thing): thing for thing in things}
            for end in as_completed(ends):
                done(end.result(), ends[end], told)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [end.result() for end in ends]


def done(result: R, thing: T, told: Callable[[T], None]) -> R:
    told(thing)
    return result


def deaf() -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
