"""Where a CAN wire leads: the name of a SocketCAN interface. Plain values; nothing is opened here."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,14}"  # IFNAMSIZ is 16, with the zero at its end


@dataclass(frozen=True, slots=True)
class CanLink:
    """One interface. ValueError: no such name can be."""

    interface: str

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.interface):
            raise ValueError(f"can = {self.interface} is not the name of an interface: 1 ... 15 characters, like can0")

    def __str__(self) -> str:
        return self.interface

    def bring_up(self, bitrate: int) -> str:
        """The command that makes it work; restart-ms: after bus-off the kernel tries again by itself."""
        name = self.interface
        if name.startswith("vcan"):
            return f"ip link add {name} type vcan && ip link set {name} up"
        return f"ip link set {name} type can bitrate {bitrate} restart-ms 100 && ip link set {name} up"
