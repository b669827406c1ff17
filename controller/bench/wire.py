"""A rig in real time: the wall's clock, a guarded grid simulator, a meter by its map, and a controller that we start.

The controller is `v2g run` of the rig's site file, a process of ours for the time of the run: at the end it ramps to 0
and hands back. The source is owned by the guard (drivers.gridsource.guard): it makes the source safe and withdraws the
permission also when this process is killed. A source with knobs (manual) has the envelope alone.
With `devices: simulated` all devices are processes of ours too.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import hypot
from pathlib import Path
from typing import Any

from controller.bench.folder import RunFolder
from controller.bench.plan import Case, Eut
from controller.bench.ports import NAN, Reading, Rig, RigError
from controller.bench.rig import MeterSpec, RigFile
from controller.bench.runner import run_cases
from controller.bench.simulated import simulated
from controller.bench.sourcecheck import Finding, check
from controller.bench.wireunit import ControllerUnit, withdraw
from controller.errors import InputError
from cython_core.records import Measurement
from drivers.gridsource.envelope import Fenced
from drivers.gridsource.guard import Watch
from drivers.gridsource.guarded import GuardedSource
from drivers.gridsource.manual import ManualSource
from drivers.gridsource.point import GridPoint
from drivers.gridsource.profile import load_profile
from drivers.gridsource.spec import banner, open_source
from drivers.mapfile import load_map
from drivers.modbus.codes import Fault
from drivers.modbus.link import Link, SerialLink, TcpLink
from drivers.modbus.wire import Wire
from drivers.registermap import decode, meter_plan

WAIT_S = 0.2  # longest sleep: the unit's wish is looked after in between
PHASES = {1: "L1", 2: "split", 3: "L1L2L3"}


def can_of_real(rig: RigFile) -> frozenset[str]:
    """Faults only where the devices are processes of ours: else nothing stands between them."""
    assert rig.source is not None
    found = {"permit"} | ({"three_phase"} if rig.source.phases == 3 else set())
    if rig.devices == "simulated" or rig.between is not None:
        found |= {"faults", "wires", "processes", "broker"}
    turns = rig.source.kind == "scpi" and load_profile(rig.source.profile).turns(rig.source.phases)
    return frozenset(found | ({"angle"} if turns else set()))


def nominal(eut: Eut) -> GridPoint:
    return GridPoint(eut.v_nom_v, eut.v_nom_v, eut.v_nom_v, eut.f_nom_hz)


def source_facts(rig: RigFile, eut: Eut) -> list[str]:
    """Asks, and sets nothing."""
    with devices(rig) as wired:
        assert wired.source is not None
        source = open_source(wired.source, nominal(eut))
        try:
            lines = [f"source: {source.identity()}"]
            point = source.read()
        finally:
            source.close()
        measured = "it has no meter" if point is None else f"{point.v1_v:.2f} V on L1, {point.f_hz:.3f} Hz"
        return [*filter(None, [banner(wired.source)]), *lines, f"puts out: {measured}"]


def source_checked(rig: RigFile, eut: Eut, tell: Callable[[Finding], None]) -> list[Finding]:
    """Energises the source, guarded as in a run: ask before."""
    with devices(rig) as wired:
        assert wired.source is not None
        assert wired.envelope is not None
        source = guarded(wired, eut, nothing)
        try:
            return check(source, wired.envelope, nominal(eut), tell=tell)
        finally:
            source.close()


def devices(rig: RigFile, logs: Path | None = None, with_broker: bool = False) -> AbstractContextManager[RigFile]:
    """The rig with addresses: its own, or those of devices that we start."""
    return simulated(rig, logs, with_broker=with_broker) if rig.devices == "simulated" else nullcontext(rig)


def nothing() -> None:
    """Told to nobody."""


def run_real(
    rig: RigFile,
    eut: Eut,
    cases: Sequence[Case],
    folder: RunFolder,
    told: Callable[[Case], None],
    looked: Callable[[], None] = nothing,
) -> None:
    """All cases on one opening of the rig; source safe and everything closed at the end, however it ends.

    told: a case has ended; looked: called at least every WAIT_S between.
    """
    if any(not case.skipped for case in cases):
        logs = folder.path / "logs"
        with_broker = any("broker" in case.needs for case in cases if not case.skipped)
        with devices(rig, logs, with_broker) as wired, opened(wired, eut, logs, looked) as ports:

            def open_rig(_case: Case) -> AbstractContextManager[Rig]:
                if wired.between is not None:
                    wired.between.injector.mend()  # what the case before has left
                return nullcontext(ports)

            run_cases(cases, open_rig, folder, told)


@contextmanager
def opened(rig: RigFile, eut: Eut, logs: Path, looked: Callable[[], None]) -> Iterator[Rig]:
    assert rig.meter is not None
    meter = WireMeter(rig.meter, PHASES[eut.phases])
    unit = ControllerUnit(Path(rig.unit.site), eut, logs, rig.settings, rig.between)
    try:
        unit.start()
        source = guarded(rig, eut, unit.keep, partial(withdraw, rig.unit.site))
        try:
            yield Rig(
                rig.name,
                RealClock(partial(look_after, unit.keep, source, looked)),
                source,
                meter,
                unit,
                can_of_real(rig),
            )
        finally:
            source.safe()
            source.close()
    finally:
        unit.stop()
        meter.close()


def look_after(keep: Callable[[], None], source: GuardedSource | Fenced, looked: Callable[[], None]) -> None:
    """While nothing else is due. RigError: the guard has acted."""
    keep()
    late = source.overdue()
    if late:
        raise RigError(late)
    if not source.manual:  # its prompts stand where progress would
        looked()


def guarded(
    rig: RigFile, eut: Eut, keep: Callable[[], None], permit_off: Callable[[], None] | None = None
) -> GuardedSource | Fenced:
    assert rig.source is not None
    assert rig.envelope is not None
    if rig.source.kind == "manual":
        return Fenced(ManualSource(rig.source.phases, partial(asked, keep)), rig.envelope)
    stop = rig.emergency_stop.line() if rig.emergency_stop else None
    opening = partial(open_source, rig.source, nominal(eut))
    return GuardedSource(Watch(opening, rig.envelope, permit_off, stop))


def asked(keep: Callable[[], None], line: str) -> str:
    """What is typed after the line; keep is called meanwhile. EOFError: nobody can type."""
    print(line, end="", file=sys.stderr, flush=True)
    keyboard, typed = sys.stdin.fileno(), b""
    while not typed.endswith(b"\n"):
        if not select.select([keyboard], [], [], WAIT_S)[0]:
            keep()
        elif byte := os.read(keyboard, 1):  # not through sys.stdin: what it holds back, select does not see
            typed += byte
        else:
            raise EOFError
    return typed.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class RealClock:
    """keep: called at least every WAIT_S."""

    keep: Callable[[], None]

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wait_until(self, t_ns: int) -> None:
        self.keep()
        while (left_s := (t_ns - time.monotonic_ns()) / 1e9) > 0.0:
            time.sleep(min(left_s, WAIT_S))
            self.keep()


class WireMeter:
    """The bench's meter by one of the project's maps. t_ns: halfway between question and answer.

    Registers that stand where they stood are the old reading, with its old time: asked more often than it measures, a
    meter has nothing new to say.
    """

    def __init__(self, spec: MeterSpec, phases: str) -> None:
        link = link_of(spec)
        self._where = f"meter {spec.map} at {link} unit {spec.unit}"
        layout = load_map(spec.map)
        if layout.kind != "meter":
            raise InputError(f"{self._where}: the map is one of kind {layout.kind}, not of a meter")
        baud = link.baud if isinstance(link, SerialLink) else 0
        self._plan = meter_plan(layout.as_if_found(), spec.unit, phases, spec.timeout_ms, baud=baud)
        self._wire = Wire(link, spec.timeout_ms, layout.min_gap_ms)
        self._words: list[tuple[int, ...]] = []
        self._last = Reading(0, NAN, NAN, NAN, NAN, NAN, NAN)

    def identity(self) -> str:
        return self._where

    def read(self) -> Reading:
        begin_ns = time.monotonic_ns()
        answers = [self._ask(r.unit or self._plan.unit, r.function, r.address, r.count) for r in self._asked()]
        t_ns = (begin_ns + time.monotonic_ns()) // 2
        if answers != self._words:
            self._words, self._last = answers, self._reading(t_ns, answers)
        return self._last

    def close(self) -> None:
        self._wire.close()

    def _reading(self, t_ns: int, answers: list[tuple[int, ...]]) -> Reading:
        rest: list[Any] = [None] * (len(self._plan.reads) - len(answers))
        v = decode(self._plan, [*answers, *rest], Measurement)
        volts = [x for x in (v["v1_v"], v["v2_v"], v["v3_v"]) if x == x]
        i_a = hypot(v["p_w"], v["q_var"]) / sum(volts) if sum(volts) > 0.0 else NAN
        return Reading(t_ns, v["v1_v"], v["v2_v"], v["v3_v"], v["f_hz"], v["p_w"], v["q_var"], i_a)

    def _asked(self) -> list[Any]:
        """Counters of energy stand last and are not asked."""
        return [r for r in self._plan.reads if r.every]

    def _ask(self, unit: int, function: int, address: int, count: int) -> tuple[int, ...]:
        fault, words = self._wire.read(unit, function, address, count)
        if fault is not Fault.OK:
            raise RigError(f"{self._where}: {fault.name.lower().replace('_', ' ')} at register {address}")
        return words


def link_of(spec: MeterSpec) -> Link:
    scheme, _, rest = spec.address.partition(":")
    if scheme == "serial":
        return SerialLink(rest, spec.baud, spec.parity)
    host, _, port = rest.removeprefix("//").rpartition(":")
    return TcpLink(host, int(port))
