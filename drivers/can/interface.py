"""Whether a CAN interface is there and up; if not, in one line with the command that brings it up.

Source   Linux: /sys/class/net/NAME/{type,flags}; a CAN interface has type 280 (ARPHRD_CAN), bit 0 of the flags is UP.
"""

from __future__ import annotations

from pathlib import Path

from drivers.base import BusError
from drivers.can.link import CanLink

ARPHRD_CAN = 280
UP = 1
NETWORK = Path("/sys/class/net")


def need_up(link: CanLink, bitrate: int, network: Path = NETWORK) -> None:
    """Raises BusError."""
    remedy = f"as root: {link.bring_up(bitrate)}"
    try:
        kind = int((network / link.interface / "type").read_text())
        flags = int((network / link.interface / "flags").read_text(), 0)
    except OSError:
        raise BusError(f"{link}: no such interface; {remedy}") from None
    if kind != ARPHRD_CAN:
        raise BusError(f"{link}: is no CAN interface (type {kind} instead of {ARPHRD_CAN}); name another one")
    if not flags & UP:
        raise BusError(f"{link}: is down; {remedy}")
