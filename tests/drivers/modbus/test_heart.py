"""Signs of life, both ways: our count once in each second of the loop's time, and values that must not stand still."""

from __future__ import annotations

import struct
import time
from dataclasses import replace

import pytest

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, DeviceState, DeviceStatus, DeviceValid, Mode
from drivers.modbus import compiled
from drivers.modbus.bus import Bus
from drivers.modbus.heart import Heart
from drivers.modbus.link import TcpLink
from drivers.sunspec import discover
from drivers.tables import Decode, Encode, Plan, Read, Watch, Write
from tests.drivers.modbus.scripted import device, wait
from tests.drivers.sim.conftest import Simulation, simulation, until

__all__ = ["simulation"]  # a fixture

STATUS, BEAT, SETPOINT = 12, 30, 20
S = 1_000_000_000
PLAN = Plan(
    unit=1,
    reads=(Read(3, 0, 2),),
    decodes=(Decode(0, 0, "u16", 1.0, 0, 1e4, 3, DeviceValid.P),),
    setpoint=(Write(6, SETPOINT, (0,), (Encode(0, "s16", 1.0, "p_w"),)),),
    beat=(Write(16, BEAT, (0, 0)),),
    watches=(
        Watch(0, 0, "u16", True, 3000, STATUS, DeviceStatus.ALARM),
        Watch(0, 1, "u16", False, 3000, STATUS, DeviceStatus.FAULT),
    ),
)


def command(t_ns: int, mode: int = Mode.ACTIVE, valid_ms: int = 1000) -> Command:
    return Command(1, t_ns, 0.0, 0.0, mode, valid_ms)


# fmt: off
BEATS = [
    # t of command, now, s  mode          beats  why
    (7.00,          7.00,   Mode.ACTIVE,  True,  "a new second"),
    (7.99,          7.99,   Mode.ACTIVE,  False, "the same second"),
    (8.00,          8.01,   Mode.STOP,    True,  "on the way to 0 the loop lives too"),
    (8.00,          9.50,   Mode.ACTIVE,  False, "the clock goes on, the loop does not"),
    (9.00,          9.10,   Mode.SILENT,  False, "nothing is to be written"),
    (9.00,          10.01,  Mode.ACTIVE,  False, "older than its valid_ms"),
    (11.0,          10.5,   Mode.ACTIVE,  False, "from the future: not this machine's clock"),
    (12.0,          12.0,   Mode.SAFE,    True,  "seconds that were missed are not made up for"),
]
# fmt: on


def test_our_count_follows_the_loops_own_seconds() -> None:
    heart, count = Heart(PLAN), 0
    for t_s, now_s, mode, beats, why in BEATS:
        words = heart.beat(command(round(t_s * S), mode), round(now_s * S))
        count += beats
        assert words == ((0, count) if beats else None), why


def test_the_count_fills_two_words() -> None:
    heart = Heart(PLAN)
    for second in range(1, 65538):
        words = heart.beat(command(second * S), second * S)
    assert words == (1, 1)


def test_a_plan_without_a_beat_has_none() -> None:
    assert Heart(replace(PLAN, beat=())).beat(command(S), S) is None


def judged(heart: Heart, t_s: float, count: int, timer: int, told: bool = True) -> int:
    return heart.judge(round(t_s * S), [struct.pack(">2H", count, timer)], told).get(STATUS, 0)


# fmt: off
LIVES = [
    # t_s   count  timer  told   bits  why
    (1.0,   5,     10,    True,  0,    "the first look knows nothing yet"),
    (2.0,   6,     9,     True,  0,    "both live"),
    (5.0,   6,     9,     True,  0,    "3 s without a step of the count: at the limit"),
    (5.1,   6,     9,     True,  8,    "longer: it stands still"),
    (5.2,   7,     0,     True,  0,    "it lives again; the timer is at 0 only now"),
    (8.3,   8,     0,     True,  4,    "at 0 for 3.2 s while set-points are acknowledged"),
    (8.4,   9,     0,     False, 0,    "nobody writes: it may be at 0"),
    (11.3,  9,     0,     True,  0,    "0 for 2.9 s since then"),
    (11.5,  0,     0,     True,  4,    "a count that begins anew has moved"),
    (11.6,  1,     3,     True,  0,    "the timer runs"),
]
# fmt: on


def test_what_stands_still_raises_its_bits() -> None:
    heart = Heart(PLAN)
    for t_s, count, timer, told, bits, why in LIVES:
        assert judged(heart, t_s, count, timer, told) == bits, why


WRONG = [
    # change                                                          message
    ({"watches": PLAN.watches * 3}, "6 watches are more than the 4 a bus holds"),
    ({"watches": (replace(PLAN.watches[0], word=2),)}, "watch 0: u16 at word 2 leaves the 2 words of read 0"),
    ({"watches": (replace(PLAN.watches[0], target=3),)}, "watch 0: word 3 of DeviceState is none of"),
    ({"watches": (replace(PLAN.watches[0], within_ms=0),)}, "watch 0: within_ms = 0 is outside 1 ... 60000"),
    ({"beat": PLAN.beat * 2}, "2 writes of a beat; one is the most"),
    ({"beat": (Write(6, 1, (0,)),)}, "a beat is a count of two words"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[w[-1] for w in WRONG])
def test_a_plan_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compiled.inverter(replace(PLAN, **change), 10)  # type: ignore[arg-type]  # the table holds values of several fields


def test_a_meter_has_no_beat() -> None:
    with pytest.raises(ValueError, match="a meter is never written, but beat has writes"):
        compiled.meter(replace(PLAN, setpoint=(), watches=()), 10)


def test_on_the_bus_after_a_set_point_and_only_while_the_loop_goes_on() -> None:
    with device({0: 1, 1: 5}) as d:
        out, commands = Mailbox(DeviceState), Mailbox(Command)
        bus = Bus(TcpLink("127.0.0.1", d.port))
        bus.inverter(PLAN, 2, out, commands)
        bus.start()
        try:
            wait(lambda: len(d.requests) > 10)
            assert d.written(BEAT) == []  # nobody has commanded anything
            t_ns = time.monotonic_ns() // S * S
            for second in range(3):
                commands.put(command(t_ns + second, valid_ms=60_000))  # the loop hangs inside one second
                wait(lambda: d.written(BEAT))
            n = len(d.requests)
            wait(lambda: len(d.requests) > n + 10)
            assert d.written(BEAT) == [(0, 1)]
            commands.put(command(t_ns - S, valid_ms=60_000))  # another second
            wait(lambda: len(d.written(BEAT)) == 2)
            assert d.written(BEAT)[1] == (0, 2)
            addresses = [r.address for r in d.requests if r.writes]
            assert addresses.index(SETPOINT) < addresses.index(BEAT)
            commands.put(replace(command(t_ns - 2 * S, valid_ms=60_000), p_w=1e9))  # does not fit: nothing is commanded
            n = len(d.requests)
            wait(lambda: len(d.requests) > n + 10)
            assert len(d.written(BEAT)) == 2
        finally:
            bus.stop()


def test_the_simulated_inverter_hears_us_and_is_watched(simulation: Simulation) -> None:
    """Models 715 and 704 of a real process: our count rises in it; its own, stopped, raises the alarm after 3 s."""
    trace = simulation.folder / "trace.csv"
    trace.write_text("t_s,f_hz\n0,50\n10,50\n")
    simulation.grid("--trace", str(trace))
    modbus = simulation.serve("inverter")
    link = TcpLink("127.0.0.1", int((simulation.folder / "inverter.port").read_text()))
    plan = discover(link, 1, 10, 10.0)
    controller_hb = plan.beat[0].address
    assert {w.moves for w in plan.watches} == {True, False}
    out, commands = Mailbox(DeviceState), Mailbox(Command)
    bus = Bus(link)
    bus.inverter(plan, 50, out, commands)
    bus.start()
    try:
        newest = [DeviceState()]

        def state() -> DeviceState:
            commands.put(command(time.monotonic_ns()))
            newest[0] = out.get() or newest[0]
            return newest[0]

        def count() -> int:
            high, low = modbus.read_holding_registers(controller_hb, count=2).registers
            return int(high << 16 | low)

        until(lambda: state().valid and count() >= 2, "two beats")
        began_s, first = time.monotonic(), count()
        until(lambda: state().valid and count() >= first + 3, "three more")
        assert time.monotonic() - began_s > 2.0  # not faster than the seconds
        assert not state().status & DeviceStatus.ALARM
        simulation.bar.set("heart_stops", 1.0)
        until(lambda: state().status & DeviceStatus.ALARM, "the alarm")
        simulation.bar.set("heart_stops", 0.0)
        until(lambda: not state().status & DeviceStatus.ALARM, "its end")
        simulation.bar.set("local", 1.0)
        until(lambda: state().status & DeviceStatus.LOCAL, "local control")
    finally:
        bus.stop()
