"""Two terminals joined like the two ends of a cable: what goes into one comes out of the other, at once."""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from select import select


@contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """The paths of both ends. They outlive whoever opens and closes them."""
    pairs = [os.openpty(), os.openpty()]
    for _, far in pairs:
        tty.setraw(far)
    ended, end = os.pipe()
    thread = threading.Thread(target=carry, args=(pairs[0][0], pairs[1][0], ended))
    thread.start()
    try:
        yield os.ttyname(pairs[0][1]), os.ttyname(pairs[1][1])
    finally:
        os.close(end)
        thread.join()
        for fd in (ended, *pairs[0], *pairs[1]):
            os.close(fd)


def carry(one: int, other: int, ended: int) -> None:
    """Until the pipe `ended` is closed at its other end."""
    while True:
        ready = select([one, other, ended], [], [])[0]
        if ended in ready:
            return
        for fd in ready:
            os.write(other if fd == one else one, os.read(fd, 1024))
