"""Is this grid simulator fit for a bench? Identity, limits, on, small steps read back, error queue, off.

check() begins with nothing connected to the source but its own meter, and ends with the source at rest whatever
happened. One Finding a line; with `tell` they come as they are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isnan
from time import sleep

from drivers.base import DriverError
from drivers.gridsource.envelope import Envelope, Fenced, mistakes
from drivers.gridsource.point import GridPoint, GridSource

VOLTS = ("v1_v", "v2_v", "v3_v")
V_SHARE = 0.01  # what a meter is allowed to be wrong by, IEEE 1547-2018 table 3: 1 % of nominal voltage
F_HZ = 0.010  # and 10 mHz
OFF_SHARE = 0.05  # of nominal voltage: less is off
STEPS = ((0.02, 0.0), (-0.02, 0.0), (0.0, 0.1), (0.0, -0.1), (0.0001, 0.001))  # of nominal voltage; Hz


@dataclass(frozen=True, slots=True)
class Finding:
    """good: None when it could not be measured."""

    what: str
    good: bool | None
    text: str

    @property
    def line(self) -> str:
        word = {True: "ok  ", False: "FAIL", None: "?   "}[self.good]
        return f"{word}  {self.what:<28}  {self.text}"


def check(
    source: GridSource,
    envelope: Envelope,
    nominal: GridPoint,
    settle_s: float = 1.0,
    wait: Callable[[float], None] = sleep,
    tell: Callable[[Finding], None] = lambda _: None,
) -> list[Finding]:
    """Energises the source: ask before. settle_s: until its meter shows a new point."""
    found: list[Finding] = []
    fenced = Fenced(source, envelope)
    try:
        for finding in findings(fenced, nominal, settle_s, wait):
            found.append(finding)
            tell(finding)
    except DriverError as error:
        found.append(Finding("answer", False, str(error)))
        tell(found[-1])
    finally:
        fenced.safe()
    wait(settle_s)
    found.append(at_rest(fenced, nominal))
    tell(found[-1])
    return found


def findings(source: Fenced, nominal: GridPoint, settle_s: float, wait: Callable[[float], None]) -> Iterator[Finding]:
    yield Finding("identity", True, source.identity())
    wrong = mistakes(source.envelope)
    yield Finding("envelope", not wrong, "; ".join(wrong) or "its limits are in order")
    source.on(nominal)
    wait(settle_s)
    yield compared(f"on at {told(nominal, source.phases)}", source, nominal)
    for share, f_hz in STEPS:
        volts = {name: getattr(nominal, name) * (1.0 + share) for name in VOLTS}
        point = replace(nominal, **volts, f_hz=nominal.f_hz + f_hz)
        source.set(point)
        wait(settle_s)
        yield compared(told(point, source.phases), source, point)
    source.set(nominal)
    yield Finding("error queue", True, "empty after every line that was sent")


def compared(what: str, source: Fenced, point: GridPoint) -> Finding:
    """What the source measures against what it was told."""
    found = source.read()
    if found is None:
        return Finding(what, None, "it does not measure: compare its display, or the bench's meter")
    parts, good = [], True
    limits = [(name, "V", V_SHARE * getattr(point, name)) for name in VOLTS[: source.phases]] + [("f_hz", "Hz", F_HZ)]
    for name, unit, limit in limits:
        value = getattr(found, name)
        if isnan(value):
            parts.append(f"{name} not measured")
            continue
        off = value - getattr(point, name)
        good = good and abs(off) <= limit
        parts.append(f"{value:.6g} {unit} ({off:+.3f}, allowed {limit:.3g})")
    return Finding(what, good, "measured " + ", ".join(parts))


def at_rest(source: Fenced, nominal: GridPoint) -> Finding:
    """Off, or at nominal where the rig says so; a source that puts out something else is not fit."""
    found = None
    with suppress(DriverError):
        found = source.read()
    names = VOLTS[: source.phases]
    if found is None or any(isnan(getattr(found, name)) for name in names):
        return Finding("at rest", None, "not measured: see that its output is off")
    share = OFF_SHARE if source.rest is None else V_SHARE
    off = [getattr(found, name) - getattr(source.rest, name, 0.0) for name in names]
    measured = " / ".join(f"{getattr(found, name):.6g}" for name in names)
    return Finding("at rest", max(map(abs, off)) <= share * nominal.v1_v, f"measured {measured} V")


def told(point: GridPoint, phases: int) -> str:
    volts = [f"{getattr(point, name):.2f}" for name in VOLTS[:phases]]
    return f"{volts[0] if len(set(volts)) == 1 else ' / '.join(volts)} V {point.f_hz:.3f} Hz"
