"""A serial line at its real pace: how much of what the wire allows our bus thread uses.

The line is tests/peers/c/paced_pty.c: characters take their time, silences are counted, slaves think for so long.

wire        what no master can beat: silence, request, silence, turnaround, answer (realtime arithmetic, 2.3)
ours        a real bus thread that reads without pause; time from answer to answer
dead        the same meter beside a slave that never answers, over the meter alone
writes      a set-point that changes in every step of 10 ms: the reads' part of the line's time
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, DeviceState, DeviceValid, Measurement, MeasurementValid, Mode
from drivers.modbus.bus import Bus, Device
from drivers.modbus.link import SerialLink
from drivers.modbus.statistics import BusStats
from drivers.registermap import Decode, Encode, Plan, Read, Write
from tests.peers.c.build import NotHereError, built
from tests.peers.c.paced import Line, PacedPty
from tests.performance.harness import Absent, Contestant, Gate, HarnessError
from tests.performance.harness import Measurement as Compared

WORDS, FEW = 30, 2  # frequency, voltage, P, Q of an SDM630 in one request; frequency alone
METER, OTHER = 1, 2
WIRE, OURS = "wire", "ours"
STEP_S = 0.01
WARM_ANSWERS, DEAD_AFTER_S = 3, 0.5  # by then the silent slave counts as dead, and is asked once a second
# baud, parity, turnaround in ms
QUICK_LINES = ((9600, "N", 0), (115200, "E", 5))
LINES = tuple((baud, p, ms) for baud in (9600, 19200, 38400, 115200) for p, ms in (("N", 0), ("E", 5), ("N", 20)))


def meter_plan(unit: int, words: int) -> Plan:
    frequency = Decode(0, 0, "u16", 0.01, 0.0, 1000.0, 4, MeasurementValid.F)
    return Plan(unit, (Read(3, 0, words),), (frequency,), timeout_ms=40)


def inverter_plan(unit: int) -> Plan:
    state = Decode(0, 0, "s16", 1.0, -1e5, 1e5, 3, DeviceValid.P)
    setpoint = Write(16, 100, (0, 0), (Encode(0, "s32", 1.0, "p_w"),))
    return Plan(unit, (Read(3, 0, FEW),), (state,), setpoint=(setpoint,), timeout_ms=100, quantum_p_w=1.0)


@dataclass(frozen=True)
class Case:
    """One line with its slaves, and what the bus does with it for a slice of so many seconds."""

    line: Line
    turnaround_ms: int
    seconds: float
    dead: bool = False
    writes: bool = False

    def run(self) -> Sequence[float]:
        """Milliseconds from answer to answer, their mean over a slice."""
        with TemporaryDirectory() as folder, self.slaves(Path(folder)) as pty:
            bus = Bus(SerialLink(str(pty.path), self.line.baud, self.line.parity))
            commands = Mailbox(Command)
            if self.writes:
                device = bus.inverter(inverter_plan(METER), 0, Mailbox(DeviceState), commands)
            else:
                device = bus.meter(meter_plan(METER, WORDS), 0, Mailbox(Measurement))
            if self.dead:
                bus.meter(meter_plan(OTHER, WORDS), 0, Mailbox(Measurement))
            bus.start()
            try:
                with changing(commands) if self.writes else nullcontext():
                    pace = pace_ms(device, self.seconds, DEAD_AFTER_S if self.dead else 0.0)
                seen = pty.stats()
            finally:
                bus.stop()
            if seen.early or seen.collisions or seen.bad:
                raise HarnessError(f"rtu_pace: the bus broke the line's rules: {seen}")
            return [pace]

    @contextmanager
    def slaves(self, folder: Path) -> Iterator[PacedPty]:
        with PacedPty(folder, self.line, units=(METER, OTHER), turnaround_us=1000 * self.turnaround_ms) as pty:
            # a line is no load on the master's processor: its exact times are, so it gets another one
            others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
            if others:
                os.sched_setaffinity(pty.process.pid, others)
            if self.dead:
                pty.fault(OTHER, "silent")
            yield pty

    @property
    def limit_ms(self) -> float:
        return 1e3 * self.line.read_s(FEW if self.writes else WORDS, self.turnaround_ms / 1e3)


@contextmanager
def changing(commands: Mailbox) -> Iterator[None]:
    """Another set-point in each step."""
    stop = threading.Event()

    def core() -> None:
        p_w = 0
        while not stop.wait(STEP_S):
            p_w = (p_w + 10) % 5000
            commands.put(Command(1, time.monotonic_ns(), float(p_w), 0.0, Mode.ACTIVE, 5000))

    thread = threading.Thread(target=core, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def pace_ms(device: Device, seconds: float, rest_s: float) -> float:
    first, begin_ns = next_answer(device, WARM_ANSWERS)
    time.sleep(rest_s)
    first, begin_ns = next_answer(device, first + 1)
    time.sleep(seconds)
    last, end_ns = next_answer(device, first + 1)
    return (end_ns - begin_ns) / 1e6 / (last - first)


def next_answer(device: Device, least: int) -> tuple[int, int]:
    """(number, time) of the next answer to a read from `least` on."""
    before = reads_of(device.stats())
    deadline_s = time.monotonic() + 20.0
    while reads_of(s := device.stats()) < max(least, before + 1):
        assert time.monotonic() < deadline_s, "the bus got no answer"
        time.sleep(0.0005)
    return reads_of(s), s.t_success_ns


def reads_of(stats: BusStats) -> int:
    return stats.answers - stats.writes


def contestant(name: str, work: Callable[[], Sequence[float]]) -> Contestant:
    return Contestant(name, 1, partial(partial, work), None, list)


def measurements(quick: bool) -> tuple[Compared, ...]:
    gates: list[Gate] = []
    try:
        built("paced_pty")
    except NotHereError as error:
        absent = (Absent(OURS, str(error)), Absent(WIRE, str(error)))
        return (Compared("rtu_pace", "ms", absent, (Gate(WIRE, OURS, 0.95, 0.98),)),)
    seconds = 0.3 if quick else 1.0
    cases: dict[str, Case] = {}
    for baud, parity, ms in QUICK_LINES if quick else LINES:
        case = Case(Line(baud, parity), ms, seconds)
        name = f"{baud} 8{parity}1, {ms} ms"
        cases[f"{OURS}, {name}"] = case
        gates.append(Gate(f"{WIRE}, {name}", f"{OURS}, {name}", 0.95, 0.98))
    contestants = [contestant(name, case.run) for name, case in cases.items()]
    contestants += [
        contestant(name.replace(OURS, WIRE), partial(list, [case.limit_ms])) for name, case in cases.items()
    ]
    alone = Case(Line(38400), 0, 1.0 if quick else 4.0)
    contestants += [
        contestant("alone", replace(alone, seconds=seconds).run),
        contestant("beside a dead slave", replace(alone, dead=True).run),
    ]
    gates.append(Gate("alone", "beside a dead slave", 0.90, 0.95))
    busy = Case(Line(9600), 0, 2 * seconds, writes=True)
    contestants += [
        contestant("reads, a write each 10 ms", busy.run),
        contestant("reads' time on the wire", partial(list, [busy.limit_ms])),
    ]
    gates.append(Gate("reads' time on the wire", "reads, a write each 10 ms", 0.45, 0.46))
    return (Compared("rtu_pace", "ms", tuple(contestants), tuple(gates)),)
