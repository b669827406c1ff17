"""How long a batch stays open: full, its time over, or nothing more has come for a while."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue

import pytest

from controller.telemetry.batches import collect

# fmt: off
CASES = [
    # waiting  then, each 20 ms  limit  whole  quiet  taken     lasts at most  why
    (10,       0,                4,     9.0,   9.0,   (4, 4),   1.0,           "full: at once"),
    (3,        0,                100,   9.0,   0.05,  (3, 3),   1.0,           "nothing more comes: no longer"),
    (1,        200,              500,   0.4,   0.3,   (5, 60),  2.0,           "they keep coming: its time is over"),
    (0,        0,                100,   9.0,   9.0,   (0, 0),   1.0,           "nothing at all"),
]
# fmt: on


@pytest.mark.parametrize(
    ("waiting", "more", "limit", "whole_s", "quiet_s", "taken", "most_s", "why"), CASES, ids=[c[-1] for c in CASES]
)
def test_a_batch_ends(
    waiting: int, more: int, limit: int, whole_s: float, quiet_s: float, taken: tuple[int, int], most_s: float, why: str
) -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    for i in range(waiting):
        queue.put(i)
    ended = threading.Event()

    def trickle() -> None:
        for i in range(more):
            if ended.wait(0.02):
                return
            queue.put(waiting + i)

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    batch = collect(queue, limit, 0.1, whole_s, quiet_s)
    lasted_s = time.monotonic() - began
    ended.set()
    thread.join()
    assert taken[0] <= len(batch) <= taken[1], why
    assert batch == list(range(len(batch)))
    assert lasted_s <= most_s, why
