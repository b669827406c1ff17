"""The four narrow ports of a bench: clock, source, meter, unit. Behind them: virtual time, sockets, or hardware.

The runner knows nothing else; a rig file says what stands behind each. The source's role is drivers.gridsource.point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.bench.plan import Value
from drivers.base import DriverError
from drivers.gridsource.point import GridSource

NAN = float("nan")


class RigError(DriverError):
    """The rig is in trouble, not the unit: the case becomes invalid. The text is its reason."""


class Clock(Protocol):
    """CLOCK_MONOTONIC, or virtual time that passes only in wait_until."""

    def now_ns(self) -> int: ...

    def wait_until(self, t_ns: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of the bench's meter. t_ns: when it took the values; NaN: it has no such value."""

    t_ns: int
    v1_v: float
    v2_v: float
    v3_v: float
    f_hz: float
    p_w: float
    q_var: float
    i_a: float = NAN


class Meter(Protocol):
    """The bench's own meter at the unit's terminals, not the one the unit controls by, unless the rig has but one."""

    def identity(self) -> str: ...

    def read(self) -> Reading: ...


class Unit(Protocol):
    """The equipment under test, as its operator reaches it."""

    def identity(self) -> str:
        """Name, version, hash of settings and code: for the front page."""
        ...

    def begin(self) -> None:
        """A new case: permission, no limit, and of the settings only those written from now on beside the rig's own."""
        ...

    def write(self, settings: Mapping[str, Value]) -> Mapping[str, Value]:
        """{"volt_var.v1_pu": 0.92}: written and read back; the answer is what was read, without what it lacks."""
        ...

    def demand(self, p_w: float) -> None:
        """The power it shall feed in (- = charge) as long as no function says otherwise."""
        ...

    def permit(self, allowed: bool) -> None: ...

    def limit(self, ap_limit_pu: float) -> None:
        """The operator's active power limit; NaN: none."""
        ...

    def fault(self, line: str) -> None:
        """One line of the fault language. RigError where the rig cannot do it."""
        ...


@dataclass(frozen=True, slots=True)
class Rig:
    """The four ports of one bench, and what it can do ("faults", "three_phase", "angle", "permit")."""

    name: str
    clock: Clock
    source: GridSource
    meter: Meter
    unit: Unit
    can: frozenset[str]
