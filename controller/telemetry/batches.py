"""Taking what waits in a queue, in one go."""

from __future__ import annotations

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
