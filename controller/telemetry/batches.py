"""Taking what waits in a queue, in one go."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def drain(queue: SimpleQueue[T], limit: int, wait_s: float = 0.0) -> list[T]:
    """Up to `limit` things; waits only for the first."""
    taken: list[T] = []
    try:
        taken.append(queue.get(timeout=wait_s) if wait_s else queue.get_nowait())
        while len(taken) < limit:
            taken.append(queue.get_nowait())
    except Empty:
        pass
    return taken


def collect(queue: SimpleQueue[T], limit: int, wait_s: float, whole_s: float, quiet_s: float) -> list[T]:
    """Up to `limit` things: waits for the first, then until `whole_s` after it, or until none has come for quiet_s.

    quiet_s: a broker sends no more until what it has sent is acknowledged; waiting on would be time for nothing.
    """
    taken = drain(queue, limit, wait_s)
    deadline = time.monotonic() + whole_s
    while taken and len(taken) < limit and (left_s := deadline - time.monotonic()) > 0.0:
        more = drain(queue, limit - len(taken), min(quiet_s, left_s))
        if not more:
            break
        taken += more
    return taken
