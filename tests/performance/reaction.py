"""From a change in the meter's register to the set-point it causes: ours over a libmodbus loop in C, at the same step.

Server   one libmodbus server is meter and inverter; it turns the frequency and sees the first write that follows it.
         Its changes are spread evenly over the contestants' period, so that a few tens of them are enough.
C        tests/peers/c/modbus_loop: each period read, compute, write, at FIFO priority.
Ours     bus threads, loop and step with the droop in an event, all of it in a process like the product's: idle, with a
         Python thread that computes, and with one that collects 300 000 living objects, in that same process.
pymodbus its sync client in two Python threads, under the same loads.
Start    each slice starts its contestant anew. Ours may change power by 10 pu/s there instead of the default 0.2: else
         the ramp of the first seconds, and not the droop, would decide when the set-point moves.
Alike    the meter read once a period, one core, idle states held off for everybody.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from cython_core.realtime.host import IdleStates
from tests.peers.c.build import NotHereError, built
from tests.peers.c.libmodbus import SETPOINT, Server, controller
from tests.peers.c.program import Program
from tests.peers.controllers import make_home
from tests.performance.harness import Absent, Contestant, Gate, Measurement

LOW_MHZ, HIGH_MHZ = 50040, 50600  # both outside the dead band; the lower one hardly, so that little has to settle
PERIODS_APART = 2
TIMES = {1: 55, 10: 55, 100: 21}  # by the step in ms
QUICK_TIMES = 34  # all of them numbers of Fibonacci: so many steps of the golden ratio divide a period evenly
SERVER_PRIORITY = 95
SETTLED_S, PATIENCE_S = 0.03, 10.0
LOADS = {"": "none", ", Python busy": "burn", ", GC": "gc"}
C = "libmodbus loop"


@dataclass(frozen=True, slots=True)
class Rig:
    """One step's server and contestants' processes. One controls at a time, the others wait to be told."""

    period_ms: int
    times: int
    names: Sequence[str]
    servers: list[Server] = field(default_factory=list)
    programs: dict[str, Program] = field(default_factory=dict)

    @contextmanager
    def around(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.callback(IdleStates().close)
            server = stack.enter_context(Server(priority=SERVER_PRIORITY))
            self.servers[:] = [server]
            for name in self.names:
                which, comma, load = name.partition(",")
                command = ("-m", "tests.peers.controllers", which, server.port, self.period_ms, LOADS[comma + load])
                self.programs[name] = stack.enter_context(Program(name, sys.executable, *command))
            yield

    def reset(self) -> Server:
        (server,) = self.servers
        make_home(server, LOW_MHZ)
        server.word(SETPOINT, 0)
        return server

    def start_c(self) -> Callable[[], list[int]]:
        program = controller(self.reset().port, self.period_ms * 1000)
        return self.started(program.close)

    def start(self, name: str) -> Callable[[], list[int]]:
        program = self.programs[name]
        self.reset()
        program.ask("start")
        return self.started(lambda: program.ask("stop"))

    def started(self, stop: Callable[[], object]) -> Callable[[], list[int]]:
        """It controls; what is returned measures it and stops it."""
        self.settle()

        def measured() -> list[int]:
            taken_ns = self.servers[0].react(self.times, self.period_ms * 1000, PERIODS_APART, LOW_MHZ, HIGH_MHZ)
            stop()
            return taken_ns

        return measured

    def settle(self) -> None:
        """Until a set-point is written, and still the same a while later: the droop's lag is over."""
        before, end = 0, time.monotonic() + PATIENCE_S
        while (now := self.servers[0].words(SETPOINT, 1)[0]) == 0 or now != before:
            if time.monotonic() > end:
                raise RuntimeError(f"no steady set-point in {PATIENCE_S:g} s, {now} W at last")
            before = now
            time.sleep(max(SETTLED_S, 3e-3 * self.period_ms))

    def contestant(self, name: str) -> Contestant:
        start = self.start_c if name == C else lambda: self.start(name)
        return Contestant(name, self.times, start, None, samples=lambda taken: [ns * 1e-6 for ns in taken])


def measurement(period_ms: int, times: int, names: Sequence[str], gates: tuple[Gate, ...]) -> Measurement:
    rig = Rig(period_ms, times, names)
    contestants = (C, *names)
    unit = f"ms, step {period_ms} ms"
    try:
        built("modbus_server")
    except NotHereError as error:
        return Measurement("reaction", unit, tuple(Absent(name, str(error)) for name in contestants), gates)
    return Measurement("reaction", unit, tuple(rig.contestant(name) for name in contestants), gates, around=rig.around)


GATED = (
    Gate("ours", C, 1.10, 1.0, at_most=True),
    Gate("ours, GC", "ours", 1.2, 1.05, at_most=True),
)


def measurements(quick: bool) -> tuple[Measurement, ...]:
    """Quick: the gates. Whole: every step under every load."""
    if quick:
        return (measurement(10, QUICK_TIMES, ("ours", "ours, GC"), GATED),)
    names = [which + load for which in ("ours", "pymodbus") for load in LOADS]
    printed = [Gate("ours, Python busy", "ours"), *(Gate(name, C) for name in names if name.startswith("pymodbus"))]
    ungated = [Gate("ours", C), Gate("ours, GC", "ours")]
    return tuple(
        measurement(period_ms, times, names, (*(GATED if period_ms == 10 else ungated), *printed))
        for period_ms, times in TIMES.items()
    )
