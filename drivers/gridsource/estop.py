"""The emergency stop of a rig, as an input: something that says whether it is pressed. The guard asks every 20 ms.

It takes the source to its rest and permission from the unit. It is no replacement for one that opens a contactor.
"""

from __future__ import annotations

import os
import select
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class EmergencyStop(Protocol):
    def pressed(self) -> bool:
        """Never raises, never blocks. What cannot be read counts as pressed: a broken wire stops."""
        ...


@dataclass(frozen=True, slots=True)
class LineStop:
    """A file that shows the state of a line, like /sys/class/gpio/gpio17/value. free: its text while not pressed."""

    path: Path
    free: str = "1"  # a normally closed contact to 3.3 V: pressing or breaking it gives 0

    def pressed(self) -> bool:
        try:
            return self.path.read_text().strip() != self.free
        except (OSError, ValueError):
            return True


@dataclass(frozen=True, slots=True)
class DescriptorStop:
    """A descriptor that becomes readable, or is closed on the other side: a pipe, a terminal, a serial port.

    Whoever passes it to the guard keeps it open there: fd is inherited under its own number.
    """

    fd: int

    def pressed(self) -> bool:
        look = select.poll()
        look.register(self.fd, select.POLLIN)  # hung up, in error and not open are told unasked
        return bool(look.poll(0))


def descriptors(stop: EmergencyStop | None) -> tuple[int, ...]:
    """What a child process must inherit for it."""
    if isinstance(stop, DescriptorStop):
        os.fstat(stop.fd)  # OSError here, not in the child
        return (stop.fd,)
    return ()
