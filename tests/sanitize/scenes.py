"""What is played under ThreadSanitizer: threads of the product on the same memory, no interpreter between.

python -m tests.sanitize.scenes mailbox|ring|core|line|can      in an instrumented copy of the tree

The sanitizer knows addresses: a reader of a file mapped twice would be invisible to it, so both sides use one mapping.
It does not model fences. What no report means: every word that two threads share is reached by atomic operations only;
the order of those is for tests/test_memory_order.py.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

from cython_core.realtime.ring import RingReader, RingWriter
from tests.cython_core.race import load, steps_of

COUNT = 50_000
POLLS = 1_000_000_000  # a bound, never reached
TURNS, LONGEST_NS = 1000, 10**10
RACES = Path()  # the instrumented race modules lie at the root of the copy


def mailbox() -> str:
    """A writer and a reader; then two that wake each other."""
    race = load(RACES, "mailbox_race")
    box, one, two = race.RaceBox(), race.RaceBox(), race.RaceBox()
    writer = Thread(target=box.write, args=(1, COUNT, 1023))
    writer.start()
    newest, values, torn, backwards = box.read(0, COUNT, POLLS)
    writer.join()
    assert (newest, torn, backwards) == (COUNT, 0, 0)
    other = Thread(target=two.answer, args=(one, TURNS, LONGEST_NS))
    other.start()
    played = one.serve(two, TURNS, True, LONGEST_NS)
    other.join()
    assert played == TURNS
    return f"{values} values, {played} turns"


def ring() -> str:
    """A writer and a reader of steps, snapshots and the newest step."""
    race = load(RACES, "ring_race")
    with tempfile.TemporaryDirectory() as folder:
        writer = RingWriter(Path(folder, "ring"), {"epoch": 1}, 10_000_000, 0.64)
        reader, seen = RingReader(Path(folder, "ring")), 0
        race.look_at(reader, writer)
        pushing = Thread(target=race.push, args=(writer, 0, COUNT, 50))
        pushing.start()
        while reader.next_n < COUNT:
            seen += len(steps_of(reader.read()[0]))
            reader.snapshot()
            reader.newest()
        pushing.join()
    return f"{seen} steps"


def core() -> str:
    """The loop with a bus to a meter that goes and comes back, and one to an inverter."""
    from tests.drivers.modbus import test_inverter_bus, test_meter_bus
    from tests.drivers.modbus.scripted import device

    with (
        device(test_meter_bus.WORDS) as it,
        test_meter_bus.polled(it, poll_ms=1) as (meter, measured),
        test_inverter_bus.rig() as inverter,
    ):
        return run_loop(meter, measured, inverter.bus, inverter.out, inverter.commands, (it.vanish, it.listen))


def line() -> str:
    """The loop with one bus for both, on a serial line. The inverter's commands come from Python: the loop, which finds
    no voltage there, would command nothing, and nothing would be written."""
    from cython_core.realtime.mailbox import Mailbox
    from cython_core.records import Command, DeviceState, Measurement, Mode
    from drivers.modbus.bus import Bus
    from tests.drivers.modbus import scripted_line, test_shared_wire

    measured, state, commands = Mailbox(Measurement), Mailbox(DeviceState), Mailbox(Command)
    with scripted_line.line(test_shared_wire.UNITS) as devices:
        bus = Bus(devices.link)
        meter = bus.meter(test_shared_wire.METER_PLAN, 2, measured)
        inverter = bus.inverter(test_shared_wire.INVERTER_PLAN, 2, state, commands)

        def tell(now_ns: int) -> None:
            commands.put(Command(1, now_ns, float(now_ns // 1_000_000 % 5000), 0.0, Mode.ACTIVE, 5000))

        with test_shared_wire.running(bus):
            return run_loop(meter, measured, inverter, state, Mailbox(Command), (), tell)


def can() -> str:
    """All that Python asks of a CAN bus whose thread looks for its interface. One with frames needs another kernel than
    a sanitizer runs on: tests/system/can_guest.py."""
    from cython_core.realtime.mailbox import Mailbox
    from cython_core.records import Command, DeviceState, Mode
    from drivers.can.bus import Bus
    from tests.drivers.can.test_infypower import PLAN

    state, commands = Mailbox(DeviceState), Mailbox(Command)
    bus = Bus("v2g-none")
    inverter = bus.inverter(PLAN, 10, state, commands)
    bus.start()
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        commands.put(Command(1, time.monotonic_ns(), 1000.0, 0.0, Mode.ACTIVE, 5000))
        numbers = (bus.beats, inverter.stats(), state.get())
    assert not inverter.hand_back(0.5), "there is nobody to hand back to"
    bus.stop()
    assert numbers[0] > 10, "the thread was not looked at"
    return f"{numbers[0]} beats, {numbers[1].attempts} attempts"


def run_loop(
    meter: Any,
    measured: Any,
    inverter: Any,
    state: Any,
    commands: Any,
    events: Sequence[Callable[[], object]],
    tell: Callable[[int], object] = lambda _now_ns: None,
) -> str:
    """Everything that Python asks of running threads, and one event a second. meter, inverter: devices of a bus."""
    from cython_core.realtime.loop import Loop
    from cython_core.realtime.mailbox import Mailbox
    from cython_core.records import Order, Wish
    from cython_core.settings import Settings
    from cython_core.step import Core

    order, wish = Mailbox(Order), Mailbox(Wish)
    with tempfile.TemporaryDirectory() as folder:
        writer = RingWriter(Path(folder, "ring"), {"epoch": 1}, 2_000_000)
        loop = Loop(Core(Settings(), 0.002), writer, measured, state, order, commands, {3: wish}, snapshot_s=0.1)
        reader = RingReader(Path(folder, "ring"))
        load(RACES, "ring_race").look_at(reader, writer)
        loop.start()
        for event in (*events, None):
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                now_ns = time.monotonic_ns()
                tell(now_ns)
                order.put(Order(t_ns=now_ns))
                wish.put(Wish(3, -5000.0, 5000.0, 1000.0, 0.0, now_ns, now_ns + 10**9, now_ns))
                reader.read()
                reader.newest()
                reader.snapshot()
                numbers = (loop.steps, loop.skipped, loop.lateness_max_ns, meter.stats(), inverter.stats())
            if event is not None:
                event()
        inverter.hand_back(1.0)
        assert loop.stop(10.0)
    assert numbers[4].writes > 0, "the write path was not looked at"
    return f"{numbers[0]} steps, {numbers[3].answers} and {numbers[4].answers} answers, {numbers[4].writes} writes"


SCENES: dict[str, Callable[[], str]] = {"mailbox": mailbox, "ring": ring, "core": core, "line": line, "can": can}


if __name__ == "__main__":
    print(SCENES[sys.argv[1]]())
