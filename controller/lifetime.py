"""How a process of ours ends: with its parent when asked, on SIGTERM or Ctrl-C in order, and only once per folder."""

from __future__ import annotations

import ctypes
import fcntl
import signal
import threading
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent() -> None:
    """The kernel sends SIGTERM when the thread that started us ends. Linux only; elsewhere nothing happens."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    except (OSError, AttributeError):
        return


def stop_on_signals() -> threading.Event:
    """Set on SIGTERM and SIGINT. To be called from the main thread."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


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
