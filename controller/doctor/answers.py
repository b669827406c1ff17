"""What only the running kernel can say: each right really asked for, each port and address really looked up.

Errors   none: a question without an answer gives None or an empty text.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# pyserial has no types of its own; where somebody has installed some, the word is not needed
from serial.tools import list_ports  # type: ignore[import-untyped,unused-ignore]

from cython_core.realtime.host import IdleStates, lock_memory, try_fifo

CORE_PRIORITY = 80  # the loop's
STA_UNSYNC = 0x40  # adjtimex(2)


@dataclass(frozen=True, slots=True)
class Clock:
    """The kernel's own view of its wall clock."""

    synchronized: bool
    max_error_s: float


@dataclass(frozen=True, slots=True)
class Room:
    """A folder, or the nearest one above it that is there."""

    path: Path
    free_bytes: int
    writable: bool


@dataclass(frozen=True, slots=True)
class Answers:
    """fifo, memory, idle: in the words of cython_core.realtime.host. ports: device paths."""

    machine: str
    user: str
    fifo: str
    memory: str
    idle: str
    clock: Clock | None
    ports: tuple[str, ...]
    throttled: str  # as `vcgencmd get_throttled` says it
    room: Callable[[Path], Room]
    opens: Callable[[str], bool]  # whether this user may open a port
    address: Callable[[str], str]  # of a host name


def ask(idle: IdleStates) -> Answers:
    """This host's. Memory is locked from here on, as in the controller."""
    return Answers(
        machine=os.uname().machine,
        user=user_name(),
        fifo=try_fifo(CORE_PRIORITY),
        memory=lock_memory(),
        idle=idle.text,
        clock=kernel_clock(),
        ports=tuple(port.device for port in list_ports.comports()),
        throttled=throttled(),
        room=room,
        opens=lambda device: os.access(device, os.R_OK | os.W_OK),
        address=address,
    )


def user_name() -> str:
    """The name of this user; a container may know only a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


class Timex(ctypes.Structure):
    """The beginning of adjtimex(2)'s struct timex, with room for the rest."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # us
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


def kernel_clock() -> Clock | None:
    """Ask, change nothing; None when a container forbids even that."""
    timex = Timex(modes=0)
    if ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) < 0:
        return None
    return Clock(not timex.status & STA_UNSYNC, timex.maxerror / 1e6)


def room(path: Path) -> Room:
    """Of the file system that the path is on, or would be."""
    there = next(p for p in (path, *path.parents) if os.access(p, os.F_OK)).resolve()
    status = os.statvfs(there)
    return Room(there, status.f_bavail * status.f_frsize, os.access(there, os.W_OK | os.X_OK))


def throttled() -> str:
    """`throttled=0x50000`; nothing without a Raspberry Pi's vcgencmd, or when it fails."""
    program = shutil.which("vcgencmd")
    if program is None:
        return ""
    try:
        return subprocess.run([program, "get_throttled"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def address(host: str) -> str:
    """The IPv4 address of a name; nothing when nobody knows it."""
    try:
        return socket.gethostbyname(host)
    except (OSError, UnicodeError):
        return ""
