"""How a process of ours ends: with its parent when asked, in order on SIGTERM, Ctrl-C or with its terminal, and only
once per folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PARENT = "V2G_PARENT"  # of the environment: the process id of who has started us
PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent() -> None:
    """The kernel sends SIGTERM when the thread that started us ends. Linux only; elsewhere nothing happens.

    One that has already ended sends nothing any more: whoever says who he is, in PARENT, is missed then too.
    """
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.environ.get(PARENT, str(os.getppid())) != str(os.getppid()):
        os.kill(os.getpid(), signal.SIGTERM)


class StopEvent(threading.Event):
    """An Event that a signal handler may set.

    An ordinary one takes a lock in set(), and the thread that the signal has interrupted may hold it, just about to
    wait: then both wait for ever. A pipe has no owner.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = 0  # the first signal that has set it
        self._stopped = False
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def is_set(self) -> bool:
        return self._stopped

    def set(self) -> None:
        self._stopped = True
        with contextlib.suppress(BlockingIOError):  # full: it can be read all the same
            os.write(self._write, b"s")

    def wait(self, timeout: float | None = None) -> bool:
        if not self._stopped:
            select.select([self._read], [], [], timeout)
        return self._stopped


def stops() -> tuple[signal.Signals, ...]:
    """What ends us in order. A terminal that is closed is among them, unless whoever started us said no (nohup)."""
    hung_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGTERM, signal.SIGINT, *hung_up)


def stop_on_signals() -> StopEvent:
    """Set on each of them. To be called from the main thread."""
    stopping = StopEvent()

    def stop(number: int, _: object) -> None:
        stopping.number = stopping.number or number
        stopping.set()

    for each in stops():
        signal.signal(each, stop)
    return stopping


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """SIGTERM and SIGINT are heard at the end of this: a process just started must be noted before anything raises."""
    if threading.current_thread() is not threading.main_thread():  # no handler runs here
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler or signal.SIG_DFL)
        for heard in came:
            signal.raise_signal(heard)


def lock_folder(folder: Path, name: str) -> IO[bytes] | None:
    """Hold the returned file as long as the process lives. None: another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = (folder / f"{name}.lock").open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle
