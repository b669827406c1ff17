"""A bench and the signals that end it: the first is raised where the run is, so that all becomes safe on its way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal has ended the run; by now all is safe. number: the signal. As KeyboardInterrupt, no Exception."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, the first signal raises Stopped where the run is; the way to safety after it is not disturbed again."""

    def stop(number: int, _frame: object) -> None:
        for each in STOPS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
