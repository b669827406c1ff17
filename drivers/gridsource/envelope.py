"""The safety envelope of a rig: hard limits on what a grid simulator is told, whatever a procedure wants.

fenced = Fenced(source, envelope): every point is checked before it is sent. overdue() is for whoever watches the time:
a voltage outside the normal band may stand only so long, also when nobody sends anything any more.
Rates   a jump takes from an allowance of `v_step_v` (`f_step_hz`) that fills at `v_rate_v_s` (`f_rate_hz_s`): one jump
        of that size at once, or many small ones as fast as the rate.
Errors  EnvelopeError names the value and the limit; nothing was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from itertools import pairwise
from time import monotonic_ns

from drivers.gridsource.point import EnvelopeError, GridPoint, GridSource
from drivers.yamlkeys import number

SMALL = 1e-9  # of a volt, a hertz: sums of steps are not exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Of one rig. V phase to neutral. Its author answers for them: the weakest thing on the bench decides."""

    v_min_v: float = number("V", 0.0, 1000.0, "never below while the output is on")
    v_max_v: float = number("V", 1.0, 1000.0, "never above")
    f_min_hz: float = number("Hz", 1.0, 1000.0, "never below")
    f_max_hz: float = number("Hz", 1.0, 1000.0, "never above")
    v_step_v: float = number("V", 0.01, 1000.0, "largest jump")
    v_rate_v_s: float = number("V/s", 0.0, 1e6, "and how fast many small ones may add up", 1000.0)
    f_step_hz: float = number("Hz", 0.001, 100.0, "largest jump")
    f_rate_hz_s: float = number("Hz/s", 0.0, 1000.0, "and how fast many small ones may add up", 10.0)
    angle_step_deg: float = number("degrees", 0.0, 180.0, "largest jump of a phase angle", 60.0)
    v_normal_low_v: float = number("V", 0.0, 1000.0, "below it the time runs")
    v_normal_high_v: float = number("V", 1.0, 1000.0, "above it the time runs")
    low_s: float = number("s", 0.0, 3600.0, "longest below v_normal_low_v", 30.0)
    high_s: float = number("s", 0.0, 3600.0, "longest above v_normal_high_v", 15.0)


def mistakes(envelope: Envelope) -> list[str]:
    """Limits that contradict each other, one line each."""
    rising = (("v_min_v", "v_normal_low_v", "v_normal_high_v", "v_max_v"), ("f_min_hz", "f_max_hz"))
    return [
        f"{low} = {getattr(envelope, low):g} is above {high} = {getattr(envelope, high):g}"
        for names in rising
        for low, high in pairwise(names)
        if getattr(envelope, low) > getattr(envelope, high)
    ]


@dataclass(slots=True)
class Allowance:
    """How far a value may jump now. rate: per second."""

    most: float
    rate: float
    unit: str
    left: float = 0.0
    t_ns: int = 0

    def full(self, t_ns: int) -> None:
        self.left, self.t_ns = self.most, t_ns

    def check(self, jump: float, t_ns: int) -> None:
        self.left = min(self.left + self.rate * (t_ns - self.t_ns) / 1e9, self.most)
        self.t_ns = t_ns
        if not jump <= self.left + SMALL:
            raise EnvelopeError(
                f"a jump of {jump:.6g} {self.unit} is more than the rig allows now: {self.left:.6g} {self.unit} "
                f"({self.most:g} at once, {self.rate:g} a second); nothing was sent"
            )


class Fenced:
    """A GridSource inside an envelope. now_ns: virtual time in simulation, else CLOCK_MONOTONIC."""

    def __init__(self, source: GridSource, envelope: Envelope, now_ns: Callable[[], int] = monotonic_ns) -> None:
        self._source, self.envelope, self._now_ns = source, envelope, now_ns
        self.phases, self.manual, self.rest = source.phases, source.manual, source.rest
        self._volts = Allowance(envelope.v_step_v, envelope.v_rate_v_s, "V")
        self._hertz = Allowance(envelope.f_step_hz, envelope.f_rate_hz_s, "Hz")
        self._at: GridPoint | None = None  # None: the output is off, or nobody knows
        self._since: dict[str, int] = {}  # low, high: since when, ns

    def identity(self) -> str:
        return self._source.identity()

    def read(self) -> GridPoint | None:
        return self._source.read()

    def on(self, point: GridPoint) -> int:
        """From an output that is off: no limit on that jump, for the source closes it at the point."""
        self._check(point)
        return self._moved(point, self._source.on)

    def set(self, point: GridPoint) -> int:
        self._check(point)
        return self._moved(point, self._source.set)

    def safe(self) -> None:
        self._since.clear()
        self._source.safe()
        self._at = self.rest
        self._fill()

    def close(self) -> None:
        self._source.close()

    def overdue(self) -> str:
        """Why the source must be made safe now; empty: nothing speaks against going on."""
        e, now_ns = self.envelope, self._now_ns()
        for side, limit_s, what in (("low", e.low_s, e.v_normal_low_v), ("high", e.high_s, e.v_normal_high_v)):
            if side in self._since and (now_ns - self._since[side]) / 1e9 > limit_s:
                where = "below" if side == "low" else "above"
                return f"voltage has stood {where} {what:g} V for more than {limit_s:g} s"
        return ""

    def _moved(self, point: GridPoint, send: Callable[[GridPoint], int]) -> int:
        """The time outside runs from before the point is sent until one inside is acknowledged."""
        volts, now_ns, e = self._volts_of(point), self._now_ns(), self.envelope
        outside = {"low": min(volts) < e.v_normal_low_v, "high": max(volts) > e.v_normal_high_v}
        late = self.overdue()
        if late and any(outside[side] for side in self._since):
            raise EnvelopeError(f"{late}, and the next point leaves it there; nothing was sent")
        for side in outside:
            if outside[side]:
                self._since.setdefault(side, now_ns)
        acknowledged = send(point)
        self._since = {side: since for side, since in self._since.items() if outside[side]}
        self._at = point
        return acknowledged

    def _volts_of(self, point: GridPoint) -> tuple[float, ...]:
        return astuple(point)[: self.phases]

    def _check(self, point: GridPoint) -> None:
        self._check_levels(point)
        if self._at is not None:
            self._check_jump(self._at, point)
        else:
            self._fill()

    def _fill(self) -> None:
        self._volts.full(self._now_ns())
        self._hertz.full(self._now_ns())

    def _check_levels(self, point: GridPoint) -> None:
        e = self.envelope
        for i, volts in enumerate(self._volts_of(point), start=1):
            refuse(f"L{i}", volts, e.v_min_v, e.v_max_v, "V")
        refuse("frequency", point.f_hz, e.f_min_hz, e.f_max_hz, "Hz")

    def _check_jump(self, old: GridPoint, new: GridPoint) -> None:
        now_ns = self._now_ns()
        volts = max(abs(b - a) for a, b in zip(self._volts_of(old), self._volts_of(new), strict=True))
        hertz = abs(new.f_hz - old.f_hz)
        self._volts.check(volts, now_ns)
        self._hertz.check(hertz, now_ns)
        for i in range(1, self.phases + 1):
            turn = abs((getattr(new, f"a{i}_deg") - getattr(old, f"a{i}_deg") + 180.0) % 360.0 - 180.0)
            refuse(f"jump of L{i}'s angle", turn, 0.0, self.envelope.angle_step_deg, "degrees")
        self._volts.left -= volts
        self._hertz.left -= hertz


def refuse(what: str, value: float, low: float, high: float, unit: str) -> None:
    if not low - SMALL <= value <= high + SMALL:  # NaN is outside
        raise EnvelopeError(
            f"{what}: {value:.6g} {unit} is outside the rig's envelope ({low:g} ... {high:g} {unit}); nothing was sent"
        )
