"""What a grid simulator puts out, and the role every one of them plays.

Units    V phase to neutral (rms), Hz, degrees; a source of one phase looks at phase 1 only.
Errors   SourceError: the source does not answer, or says it has an error; EnvelopeError: a point that must not be sent.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from drivers.base import DriverError


class SourceError(DriverError):
    """The grid simulator is silent or complains: look at its display, cable and address."""


class EnvelopeError(DriverError):
    """A point outside the rig's hard limits; nothing was sent. The author of rig or procedure must act."""


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One steady state of the source: phase voltages to neutral, frequency, phase angles."""

    v1_v: float
    v2_v: float
    v3_v: float
    f_hz: float
    a1_deg: float = 0.0
    a2_deg: float = -120.0
    a3_deg: float = 120.0


def shout(text: str) -> None:
    """A line on stderr for whoever still reads it; never raises: a terminal that is gone is no reason to stop."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


class GridSource(Protocol):
    """A grid simulator. One owner at a time; every call blocks until the source has answered."""

    phases: int
    manual: bool  # a person turns the knobs: set() asks and waits
    rest: GridPoint | None  # where safe() leaves it switched on; None: off

    def identity(self) -> str:
        """Maker, model, serial number, firmware: for the front page of the report."""
        ...

    def on(self, point: GridPoint) -> int:
        """Set the point, then close the output. CLOCK_MONOTONIC ns of the acknowledgement."""
        ...

    def set(self, point: GridPoint) -> int:
        """Go to the point at once (within the source's own slew). CLOCK_MONOTONIC ns of the acknowledgement."""
        ...

    def read(self) -> GridPoint | None:
        """What the source itself measures; None: it has no meter."""
        ...

    def safe(self) -> None:
        """Output off or to nominal, as the rig says, whatever went on before; never raises, tells on stderr."""
        ...

    def close(self) -> None: ...
