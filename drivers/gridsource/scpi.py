"""A grid simulator by SCPI: a profile's lines over a wire, the error queue read dry after each of them.

Time     the acknowledgement of a point is the moment at which the error queue was found empty after its last line.
Errors   SourceError with the line and the source's own words; EnvelopeError: outside what this source can do.
"""

from __future__ import annotations

import re
from dataclasses import astuple
from math import nan
from time import monotonic_ns

from drivers.gridsource.point import EnvelopeError, GridPoint, SourceError, shout
from drivers.gridsource.profile import SourceProfile
from drivers.gridsource.wire import Wire

UPRIGHT = GridPoint(0.0, 0.0, 0.0, 0.0)  # its angles: 0, -120, 120 degrees
NOT_A_NUMBER = 9.0e36  # SCPI-99 7.2.1.5: 9.91E37 is NaN, 9.9E37 infinity


class ScpiSource:
    """One grid simulator of one or three phases. rest: where safe() takes it; None: output off."""

    manual = False

    def __init__(self, profile: SourceProfile, wire: Wire, phases: int, rest: GridPoint | None = None) -> None:
        if phases not in profile.phases():
            known = " or ".join(str(n) for n in profile.phases())
            raise SourceError(f"profile {profile.profile} has no lines for {phases} phases; allowed: {known}")
        if rest is not None:
            check_range(profile, rest, phases)
        self.profile, self.phases = profile, phases
        self._wire, self.rest = wire, rest
        self._prepared = False
        self._sent: dict[str, list[str]] = {}  # by frame: what the source has acknowledged

    def identity(self) -> str:
        """What it says it is; it must be of the profile's family."""
        found = self._wire.ask(self.profile.identify)
        if not re.search(self.profile.identity, found, re.IGNORECASE):
            raise SourceError(
                f"{self._wire.address} is '{found}', which profile {self.profile.profile} is not for "
                f"(it must match {self.profile.identity})"
            )
        return found

    def on(self, point: GridPoint) -> int:
        self.set(point)
        return self._send(self.profile.on)

    def set(self, point: GridPoint) -> int:
        check_range(self.profile, point, self.phases)
        self._prepare()
        acknowledged = 0
        for frame in (f"set_{self.phases}", f"angles_{self.phases}"):
            acknowledged = self._change(frame, self.profile.frame(frame, point)) or acknowledged
        return acknowledged or monotonic_ns()  # nothing to change: it is there

    def read(self) -> GridPoint | None:
        queries = self.profile.read_1 if self.phases == 1 else self.profile.read_3
        if not queries:
            return None
        volts = [self._number(query) for query in queries]
        f_hz = self._number(self.profile.read_hz) if self.profile.read_hz else nan
        v1_v, v2_v, v3_v = [*volts, nan, nan][:3]
        self.errors_none("reading")
        return GridPoint(v1_v, v2_v, v3_v, f_hz, nan, nan, nan)

    def safe(self) -> None:
        """Twice, for the first failure may have been an old answer, an old error, or a connection that had gone."""
        failure = ""
        for _ in range(2):
            try:
                return self._go_safe()
            except SourceError as error:
                failure = str(error)
        shout(f"V2G-SOURCE-UNSAFE {failure}: SWITCH THE GRID SIMULATOR OFF BY HAND")
        return None

    def close(self) -> None:
        self._prepared = False
        self._sent.clear()
        self._wire.close()

    def errors(self) -> list[str]:
        """The error queue, emptied: what stood in it, without the entry that says it is empty."""
        found: list[str] = []
        for _ in range(self.profile.most_errors + 1):
            answer = self._wire.ask(self.profile.error)
            number = re.match(r"\s*([+-]?[0-9]+)", answer)
            if number is None:
                self._wire.close()
                raise self._wrong(self.profile.error, f"'{answer}' is no entry of an error queue")
            if int(number[1]) == 0:
                return found
            found.append(answer)
        raise self._wrong(self.profile.error, f"the error queue does not become empty: {found[-1]}")

    def errors_none(self, after: str) -> int:
        """When the queue was found empty, CLOCK_MONOTONIC ns. SourceError: it was not."""
        found = self.errors()
        if found:
            raise self._wrong(after, "; ".join(found))
        return monotonic_ns()

    def _prepare(self) -> None:
        """Once: what an earlier user left in the queue is not ours, then the profile's own setting-up."""
        if not self._prepared:
            self.identity()
            self.errors()
            self._send(self.profile.setup)
            self._send(self.profile.setup_1 if self.phases == 1 else self.profile.setup_3)
            self._prepared = True

    def _change(self, frame: str, lines: list[str]) -> int:
        """Send a frame that differs from what the source has; 0: it does not. Whole, for lines may select a phase."""
        if lines == self._sent.get(frame, []):
            return 0
        acknowledged = self._send(tuple(lines))
        self._sent[frame] = lines
        return acknowledged

    def _send(self, lines: tuple[str, ...]) -> int:
        acknowledged = 0
        try:
            for line in lines:
                self._wire.write(line)
                acknowledged = self.errors_none(line)
        except SourceError:
            self._prepared = False  # what it has now is not known
            self._sent.clear()
            raise
        return acknowledged

    def _go_safe(self) -> None:
        self._sent.clear()
        if self.rest is None:
            self._send(self.profile.off)
        else:
            self.set(self.rest)

    def _wrong(self, line: str, reason: str) -> SourceError:
        return SourceError(f"{self._wire.address}: '{line}': {reason}")

    def _number(self, query: str) -> float:
        answer = self._wire.ask(query)
        try:
            value = float(answer)
        except ValueError:
            raise self._wrong(query, f"'{answer}' is not a number") from None
        if not abs(value) < NOT_A_NUMBER:
            raise self._wrong(query, f"{answer} means that it has no value")
        return value


def check_range(profile: SourceProfile, point: GridPoint, phases: int) -> None:
    """EnvelopeError: the source cannot do that. NaN is outside everything."""
    volts = [(value, f"V on L{i}", *profile.range_v) for i, value in enumerate(astuple(point)[:phases], start=1)]
    for value, name, low, high in [*volts, (point.f_hz, "Hz", *profile.range_hz)]:
        if not low <= value <= high:
            raise EnvelopeError(
                f"{value:g} {name} is outside what {profile.name} can do ({low:g} ... {high:g}); nothing was sent"
            )
    for i in range(1, phases + 1):
        name = f"a{i}_deg"
        turned = getattr(point, name) - getattr(UPRIGHT, name)
        if turned and name not in profile.turns(phases):
            raise EnvelopeError(
                f"{name} = {getattr(point, name):g}: profile {profile.profile} has no words to turn L{i} by {turned:g} "
                "degrees; nothing was sent"
            )
