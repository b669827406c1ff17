"""Several devices on one wire: each keeps its rate, whoever else is dead, and writes take turns with reads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle, pairwise

import pytest

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, DeviceState, DeviceValid, Measurement, MeasurementValid, Mode
from drivers.modbus.bus import Bus, Device
from drivers.modbus.link import SerialLink, TcpLink
from drivers.registermap import Decode, Encode, Plan, Read, Write
from tests.drivers.modbus.scripted import Question, Request, device, reply, wait
from tests.drivers.modbus.scripted_line import Line, answer, line

METER, INVERTER, SECOND = 1, 2, 3
SETPOINT = 100
STATE = (Decode(0, 0, "s16", 1.0, -1e5, 1e5, 3, DeviceValid.P),)
METER_PLAN = Plan(METER, (Read(3, 0, 2),), (Decode(0, 0, "s16", 0.01, 0, 100, 4, MeasurementValid.F),), timeout_ms=40)
INVERTER_PLAN = Plan(
    INVERTER,
    (Read(3, 10, 2),),
    STATE,
    setpoint=(Write(16, SETPOINT, (0,), (Encode(0, "s16", 1.0, "p_w"),)),),
    timeout_ms=40,
)
UNITS = {METER: {0: 5000}, INVERTER: {10: 7}, SECOND: {10: 8}}


@contextmanager
def running(bus: Bus) -> Iterator[None]:
    bus.start()
    try:
        yield
    finally:
        bus.stop()


@contextmanager
def pair(link: SerialLink, commands: Mailbox, plan: Plan, poll_ms: int) -> Iterator[tuple[Bus, Device, Device]]:
    """A meter and an inverter on one line: the bus and both."""
    bus = Bus(link)
    meter = bus.meter(METER_PLAN, poll_ms, Mailbox(Measurement))
    inverter = bus.inverter(plan, poll_ms, Mailbox(DeviceState), commands)
    with running(bus):
        yield bus, meter, inverter


def deafen(devices: Line, inverter: Device) -> None:
    """Until it is dead: no answer of it arrives any more, of two reads with their retries."""
    timeouts, devices.rule = inverter.stats().timeouts, lambda q: b"" if q.unit == INVERTER else None
    wait(lambda: inverter.stats().timeouts >= timeouts + 4)


def command(p_w: float) -> Command:
    return Command(1, time.monotonic_ns(), p_w, 0.0, Mode.ACTIVE, 5000)


def test_a_meter_and_an_inverter_on_one_serial_line() -> None:
    out, state, commands = Mailbox(Measurement), Mailbox(DeviceState), Mailbox(Command)
    with line(UNITS) as devices:
        bus = Bus(devices.link)
        bus.meter(METER_PLAN, 10, out)
        inverter = bus.inverter(INVERTER_PLAN, 20, state, commands)
        with running(bus):
            commands.put(command(1200.0))
            wait(lambda: devices.units[INVERTER].get(SETPOINT) == 1200)
            wait(lambda: (m := out.get()) is not None and m.f_hz == 50.0)
            wait(lambda: (s := state.get()) is not None and s.t_echo_ns > 0)
            assert inverter.hand_back(2.0)
        assert {q.unit for q in devices.questions} == {METER, INVERTER}
        assert devices.broken == []  # no request ran into another


def test_two_units_behind_one_tcp_gateway_share_a_connection() -> None:
    out, state, commands = Mailbox(Measurement), Mailbox(DeviceState), Mailbox(Command)
    with device({0: 5000, 10: 7}) as gateway:
        bus = Bus(TcpLink("127.0.0.1", gateway.port))
        meter = bus.meter(METER_PLAN, 0, out)
        inverter = bus.inverter(INVERTER_PLAN, 0, state, commands)
        with running(bus):
            wait(lambda: min(meter.stats().answers, inverter.stats().answers) > 20)
        counts = Counter(r.unit for r in gateway.requests)
    assert gateway.connections == 1
    assert abs(counts[METER] - counts[INVERTER]) <= 2  # by turns


# fmt: off
DEAD = [
    # what the dead unit does                         why
    (lambda _: b"",                                   "it is silent"),
    (lambda q: bytes([q.unit, 3, 4, 0, 0, 0, 0, 0, 0]), "it answers with a wrong CRC"),
]
# fmt: on


@pytest.mark.parametrize(("behaviour", "why"), DEAD, ids=[c[-1] for c in DEAD])
def test_a_dead_device_is_asked_rarely_and_once(behaviour: object, why: str) -> None:
    def rule(question: Question) -> bytes | None:
        return behaviour(question) if question.unit == INVERTER else None  # type: ignore[operator]  # a lambda above

    commands = Mailbox(Command)
    with line(UNITS, rule) as devices, pair(devices.link, commands, INVERTER_PLAN, 0) as (_, meter, inverter):
        commands.put(command(1200.0))  # it cannot be told either
        wait(lambda: inverter.stats().attempts >= 4)  # a read and a write, each with its retry: now it is dead
        asked, answers = inverter.stats().attempts, meter.stats().answers
        wait(lambda: meter.stats().answers > answers + 100)
        assert inverter.stats().attempts <= asked + 1, why  # its next try
        # it comes back
        devices.rule = lambda _question: None
        wait(lambda: inverter.stats().answers > 10)
        wait(lambda: devices.units[INVERTER].get(SETPOINT) == 1200)


@pytest.mark.parametrize("handed_back", [False, True], ids=["dead", "handed back"])
def test_commands_for_an_inverter_that_is_not_written_keep_nobody_awake(handed_back: bool) -> None:
    def rule(question: Question) -> bytes | None:
        return b"" if question.unit == INVERTER and not handed_back else None

    commands = Mailbox(Command)
    with line(UNITS, rule) as devices, pair(devices.link, commands, INVERTER_PLAN, 20) as (bus, meter, inverter):
        commands.put(command(1200.0))
        wait(lambda: inverter.stats().attempts >= 4)
        assert not handed_back or inverter.hand_back(2.0)
        commands.put(command(1300.0))
        beats, answers = bus.beats, meter.stats().answers
        wait(lambda: meter.stats().answers >= answers + 5)
        assert bus.beats < beats + 500  # a few waits a poll; awake it is a million in that time


def test_a_dead_device_may_still_hear_us_so_it_is_left_alone_when_the_core_falls_silent() -> None:
    """Its timer is fed by reads too, and none of its answers arrives: asked each second, it would never run out."""
    quiet_ms, commands = 1600, Mailbox(Command)
    plan = replace(INVERTER_PLAN, quiet_ms=quiet_ms)
    with line(UNITS) as devices, pair(devices.link, commands, plan, 20) as (_, _, inverter):
        commands.put(command(1200.0))
        wait(lambda: inverter.stats().writes == 1)
        deafen(devices, inverter)
        commands.put(replace(command(0.0), mode=Mode.SILENT))
        said_ns, n = time.monotonic_ns(), inverter.stats().attempts
        wait(lambda: inverter.stats().attempts >= n + 2)  # one may have been on its way
        asked = [q.t_ns for q in devices.questions if q.unit == INVERTER and q.t_ns > said_ns]
    assert any(b - a >= quiet_ms * 1_000_000 for a, b in pairwise([said_ns, *asked]))


def test_a_time_out_of_another_unit_does_not_end_the_wait_for_a_late_answer() -> None:
    """The meter has missed a question, then the inverter a write, and it waits far shorter: RTU numbers nothing."""
    timeout_ms = 150
    reads = (Read(3, 0, 1), Read(3, 50, 1))
    slow = replace(METER_PLAN, reads=reads, timeout_ms=timeout_ms)

    def rule(question: Question) -> bytes | None:
        silent = (question.unit, question.address) in ((METER, 0), (INVERTER, SETPOINT))
        return b"" if silent and deaf else None

    deaf, commands = False, Mailbox(Command)
    with line(UNITS, rule) as devices:
        bus = Bus(devices.link)
        meter = bus.meter(slow, 20, Mailbox(Measurement))
        bus.inverter(replace(INVERTER_PLAN, timeout_ms=10), 20, Mailbox(DeviceState), commands)
        with running(bus):
            wait(lambda: meter.stats().answers > 2)
            timeouts, deaf = meter.stats().timeouts, True
            wait(lambda: meter.stats().timeouts > timeouts)
            commands.put(command(1200.0))
            wait(lambda: [(q.unit, q.address) for q in list(devices.questions)[-40:]].count((INVERTER, SETPOINT)) >= 4)
    asked = [q for q in devices.questions if q.unit == METER]
    missed = [(a, b) for a, b in pairwise(asked) if (a.address, b.address) == (0, 50)][-1]
    assert missed[1].t_ns - missed[0].t_ns >= 2 * timeout_ms * 1_000_000  # its time-out, and one of listening


def test_a_bus_on_a_serial_line_starts_a_second_time() -> None:
    with line(UNITS) as devices:
        bus = Bus(devices.link)
        meter = bus.meter(METER_PLAN, 10, Mailbox(Measurement))
        for _ in range(2):
            with running(bus):
                wait(lambda: meter.stats().answers > 2)


def test_a_dead_device_may_still_hear_us_so_it_is_told_to_stop_but_rarely() -> None:
    def told() -> int:
        return sum(q.words == (0,) for q in list(devices.questions) if q.unit == INVERTER and q.function == 16)

    commands = Mailbox(Command)
    with line(UNITS) as devices, pair(devices.link, commands, INVERTER_PLAN, 0) as (_, meter, inverter):
        commands.put(command(1200.0))
        wait(lambda: inverter.stats().writes == 1)
        deafen(devices, inverter)
        commands.put(replace(command(0.0), mode=Mode.STOP))
        wait(lambda: told() > 0)
        times, answers = told(), meter.stats().answers
        wait(lambda: meter.stats().answers > answers + 100)
        assert told() <= times + 2  # the retry, and one more time


def test_a_device_that_was_away_on_a_line_is_started_anew() -> None:
    """A line stays open when a device on it restarts; what `start` set in it may be gone."""
    enable = 50
    plan = replace(INVERTER_PLAN, start=(Write(6, enable, (1,)),))
    commands = Mailbox(Command)
    with line(UNITS) as devices:
        bus = Bus(devices.link)
        inverter = bus.inverter(plan, 5, Mailbox(DeviceState), commands)
        with running(bus):
            commands.put(command(1200.0))
            wait(lambda: inverter.stats().writes == 1)
            deafen(devices, inverter)
            devices.rule, n = lambda _question: None, len(devices.questions)
            wait(lambda: inverter.stats().writes == 2)
        assert [q.address for q in devices.questions[n:] if q.function in (6, 16)] == [enable, SETPOINT]


def test_a_connection_that_its_neighbour_opens_begins_with_its_start_writes_once() -> None:
    enable, commands, watts = 50, Mailbox(Command), cycle(range(100, 30_000, 20))

    def first_writes(connection: int) -> list[int]:
        def found() -> list[int]:
            return [r.address for r in list(gateway.requests) if r.writes and r.connection == connection]

        wait(lambda: len(found()) >= 5, meanwhile=lambda: commands.put(command(next(watts))))
        return found()[:5]

    with device({0: 5000, 10: 7}) as gateway:
        bus = Bus(TcpLink("127.0.0.1", gateway.port))
        meter = bus.meter(METER_PLAN, 0, Mailbox(Measurement))
        plan = replace(INVERTER_PLAN, start=(Write(6, enable, (1,)),))
        bus.inverter(plan, 200, Mailbox(DeviceState), commands)  # the meter is asked first
        with running(bus):
            assert first_writes(1) == [enable, *[SETPOINT] * 4]
            gateway.vanish()
            wait(lambda: not meter.stats().connected)
            gateway.listen()
            assert first_writes(2) == [enable, *[SETPOINT] * 4]


@pytest.mark.parametrize("code", [10, 11], ids=["no path", "no answer"])
def test_a_unit_that_its_gateway_does_not_reach_is_dead_and_started_anew(code: int) -> None:
    """Each question to it costs the gateway's own time-out, in which nobody else is asked."""
    enable, commands = 50, Mailbox(Command)

    def rule(request: Request) -> bytes | None:
        return reply(request, bytes([request.function | 0x80, code])) if request.unit == INVERTER and away else None

    away = False
    with device({0: 5000, 10: 7}, rule) as gateway:
        bus = Bus(TcpLink("127.0.0.1", gateway.port))
        meter = bus.meter(METER_PLAN, 0, Mailbox(Measurement))
        plan = replace(INVERTER_PLAN, start=(Write(6, enable, (1,)),), timeout_ms=10)
        inverter = bus.inverter(plan, 0, Mailbox(DeviceState), commands)
        with running(bus):
            commands.put(command(1200.0))
            wait(lambda: inverter.stats().writes == 1)
            exceptions, away = inverter.stats().exceptions, True
            wait(lambda: inverter.stats().exceptions >= exceptions + 2)
            asked, answers = inverter.stats().attempts, meter.stats().answers
            wait(lambda: meter.stats().answers > answers + 100)
            assert inverter.stats().attempts <= asked + 2
            away = False
            wait(lambda: inverter.stats().writes == 2)
        assert gateway.written(enable) == [(1,), (1,)]


def test_writes_of_two_inverters_take_turns_and_leave_a_read_between_any_two() -> None:
    boxes = {unit: (Mailbox(DeviceState), Mailbox(Command)) for unit in (INVERTER, SECOND)}
    with line(UNITS) as devices:
        bus = Bus(devices.link)
        for unit, (state, commands) in boxes.items():
            bus.inverter(replace(INVERTER_PLAN, unit=unit, quantum_p_w=1.0), 0, state, commands)
        watts = iter(range(100, 30_000))

        def wish_another() -> None:
            for _, commands in boxes.values():
                commands.put(command(next(watts)))

        with running(bus):
            wait(
                lambda: all(sum(q.function == 16 and q.unit == u for q in list(devices.questions)) > 10 for u in boxes),
                meanwhile=wish_another,
            )
        functions = [q.function for q in devices.questions]
    assert (16, 16) not in pairwise(functions)


def test_an_urgent_zero_does_not_wait_for_a_read() -> None:
    """Emergency: mode STOP and 0 W follow an ordinary write at once."""
    state, commands = Mailbox(DeviceState), Mailbox(Command)

    def rule(request: Request) -> bytes | None:
        if request.writes and request.words == (1200,):
            commands.put(replace(command(0.0), mode=Mode.STOP))
        return None

    with device({10: 7}, rule) as d:
        bus = Bus(TcpLink("127.0.0.1", d.port))
        bus.inverter(INVERTER_PLAN, 50, state, commands)
        with running(bus):
            commands.put(command(1200.0))
            wait(lambda: d.written(SETPOINT)[-1:] == [(0,)])
        kinds = [r.words if r.writes else "read" for r in d.requests]
    assert kinds[kinds.index((1200,)) + 1] == (0,)


def test_a_write_by_function_23_counts_only_when_the_same_words_come_back() -> None:
    plan = replace(
        INVERTER_PLAN, setpoint=(Write(23, SETPOINT, (0,), (Encode(0, "s16", 1.0, "p_w"),)),), write_refresh_ms=50
    )
    state, commands = Mailbox(DeviceState), Mailbox(Command)
    with line(UNITS) as devices:
        bus = Bus(devices.link)
        inverter = bus.inverter(plan, 5, state, commands)
        with running(bus):
            commands.put(command(1200.0))
            wait(lambda: inverter.stats().writes > 0)
            devices.rule = lambda q: answer(q, 1199) if q.function == 23 else None
            wait(lambda: inverter.stats().write_errors > 0)  # it took another word


# fmt: off
REFUSED = [
    # second unit  serial  what is said
    (METER,        False,  "unit 1 stands twice on this wire"),
    (0,            True,   "unit on a serial line = 0 is outside 1 ... 247"),
    (248,          True,   "unit on a serial line = 248 is outside"),
]
# fmt: on


@pytest.mark.parametrize(("unit", "serial", "said"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_what_cannot_share_a_wire(unit: int, serial: bool, said: str) -> None:
    with line(UNITS) as devices:
        bus = Bus(devices.link if serial else TcpLink("127.0.0.1"))
        bus.meter(METER_PLAN, 0, Mailbox(Measurement))
        with pytest.raises(ValueError, match=said):
            bus.meter(replace(METER_PLAN, unit=unit), 0, Mailbox(Measurement))


def test_one_unit_may_be_a_meter_and_an_inverter() -> None:
    """A SunSpec inverter that holds its meter's model in its own chain; of two inverters nobody would know whose."""
    plan = replace(INVERTER_PLAN, unit=METER)
    with device({0: 5000, 10: 7}) as there:
        out, state, commands = Mailbox(Measurement), Mailbox(DeviceState), Mailbox(Command)
        bus = Bus(TcpLink("127.0.0.1", there.port))
        bus.meter(METER_PLAN, 0, out)
        bus.inverter(plan, 0, state, commands)
        with pytest.raises(ValueError, match="unit 1 stands twice on this wire"):
            bus.inverter(plan, 0, Mailbox(DeviceState), Mailbox(Command))
        with running(bus):
            commands.put(command(1200.0))
            wait(lambda: there.written(SETPOINT)[-1:] == [(1200,)])
            wait(lambda: (m := out.get()) is not None and m.f_hz == 50.0)
            wait(lambda: (s := state.get()) is not None and s.p_w == 7.0)
        assert {q.unit for q in there.requests} == {METER}


def test_a_bus_without_devices_does_not_start() -> None:
    with pytest.raises(ValueError, match="no device on this bus"):
        Bus(TcpLink("127.0.0.1")).start()
