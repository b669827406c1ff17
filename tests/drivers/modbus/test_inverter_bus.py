"""The inverter's bus thread against a scripted device that keeps every write: order, rules, reconnects, hand back."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, DeviceState, DeviceStatus, DeviceValid, Measurement, Mode
from drivers.modbus.bus import Bus
from drivers.modbus.bus import Device as BusDevice
from drivers.modbus.link import TcpLink
from drivers.registermap import Decode, Encode, Flag, Plan, Read, Write
from tests.drivers.modbus.scripted import HANG_UP, Device, Request, device, reply, wait

MS = 1_000_000
STATE, LIMITS, ENABLE, SETPOINT = 0, 50, 100, 200
PLAN = Plan(
    unit=1,
    reads=(Read(3, STATE, 3), Read(3, LIMITS, 1, every=4)),
    decodes=(
        Decode(0, 0, "s16", 1.0, -1e4, 1e4, 3, DeviceValid.P),
        Decode(0, 1, "s16", 1.0, -1e4, 1e4, 4, DeviceValid.Q),
        Decode(1, 0, "u16", 1.0, 0, 1e4, 6, DeviceValid.P_MAX_DISCHARGE),
    ),
    flags=(Flag(0, 2, "u16", 3, 3, 12, DeviceStatus.RUNNING | DeviceStatus.CONNECTED, DeviceValid.STATUS),),
    start=(Write(6, ENABLE, (1,)),),
    setpoint=(Write(16, SETPOINT, (0, 0), (Encode(0, "s16", 1.0, "p_w"), Encode(1, "s16", 1.0, "q_var"))),),
    stop=(Write(16, SETPOINT, (0, 0)), Write(6, ENABLE, (0,))),
    timeout_ms=60,
    quantum_p_w=10.0,
    quantum_q_var=10.0,
    write_refresh_ms=60_000,
)
WORDS = {0: 0xFC18, 1: 200, 2: 3, LIMITS: 5000}


@dataclass
class Rig:
    """One bus on one device, and the core's side of both mailboxes."""

    device: Device
    bus: BusDevice
    out: Mailbox
    commands: Mailbox
    state: DeviceState | None = None

    def command(
        self, p_w: float, q_var: float = 0.0, mode: int = Mode.ACTIVE, *, age_ms: int = 0, valid_ms: int = 5000
    ) -> None:
        self.commands.put(Command(1, time.monotonic_ns() - age_ms * MS, p_w, q_var, mode, valid_ms))

    def newest(self) -> DeviceState:
        self.state = self.out.get() or self.state or DeviceState()
        return self.state

    def setpoints(self) -> list[tuple[int, int]]:
        """Every set-point the device got, as (P, Q)."""
        return [struct.unpack(">2h", struct.pack(">2H", *w)) for w in self.device.written(SETPOINT)]

    def some_rounds(self, n: int = 8) -> None:
        """Let the bus go on until it has read so many times more: what it wanted to write it has written."""
        reads = sum(not r.writes for r in list(self.device.requests))
        wait(lambda: sum(not r.writes for r in list(self.device.requests)) >= reads + n)


@contextmanager
def rig(plan: Plan = PLAN, poll_ms: int = 2) -> Iterator[Rig]:
    with device(WORDS) as d:
        out, commands = Mailbox(DeviceState), Mailbox(Command)
        bus = Bus(TcpLink("127.0.0.1", d.port))
        inverter = bus.inverter(plan, poll_ms, out, commands)
        bus.start()
        try:
            yield Rig(d, inverter, out, commands)
        finally:
            bus.stop()


def test_a_device_state() -> None:
    with rig() as r:
        wait(
            lambda: r.newest().valid == DeviceValid.P | DeviceValid.Q | DeviceValid.P_MAX_DISCHARGE | DeviceValid.STATUS
        )
        s = r.newest()
        assert (s.p_w, s.q_var, s.p_max_discharge_w) == (-1000.0, 200.0, 5000.0)
        assert s.status == DeviceStatus.RUNNING | DeviceStatus.CONNECTED
        assert 0 < s.t_ns <= time.monotonic_ns()
        assert s.t_echo_ns == 0  # nothing was written


def test_a_state_flag_goes_when_the_device_says_so() -> None:
    with rig() as r:
        wait(lambda: r.newest().status)
        r.device.words[2] = 1
        wait(lambda: not r.newest().valid & DeviceValid.STATUS)
        assert r.newest().status == 0


def test_start_writes_then_the_set_point_and_its_echo() -> None:
    with rig() as r:
        r.some_rounds()
        assert not any(q.writes for q in r.device.requests)  # nobody has commanded anything
        r.command(-3500.0, 700.0)
        wait(lambda: r.newest().t_echo_ns > 0)
        writes = [(q.function, q.address) for q in r.device.requests if q.writes]
        assert writes == [(6, ENABLE), (16, SETPOINT)]
        assert r.setpoints() == [(-3500, 700)]
        assert r.bus.stats().writes == 1


def test_only_a_change_of_a_quantum_is_written() -> None:
    with rig() as r:
        for p_w, q_var in ((1000, 0), (1009, 0), (1009, 9), (1010, 0), (1010, 10)):
            r.command(p_w, q_var)
            r.some_rounds()
        assert r.setpoints() == [(1000, 0), (1010, 0), (1010, 10)]


def test_the_latest_wins() -> None:
    with rig(replace(PLAN, min_write_interval_ms=200)) as r:
        r.command(100)
        wait(lambda: r.bus.stats().writes == 1)
        for p_w in (200, 300, 400):
            r.command(p_w)
        wait(lambda: r.bus.stats().writes == 2)
        assert r.setpoints() == [(100, 0), (400, 0)]


def test_at_most_one_set_point_between_two_reads() -> None:
    with rig(poll_ms=5) as r:
        value = iter(range(0, 30_000, 20))
        wait(lambda: r.bus.stats().writes >= 30, meanwhile=lambda: r.command(next(value)))
        kinds = "".join("w" if q.address == SETPOINT else "r" if not q.writes else "" for q in list(r.device.requests))
        assert "ww" not in kinds
        assert kinds.count("w") >= 30


def test_power_to_zero_overtakes_the_interval() -> None:
    with rig(replace(PLAN, min_write_interval_ms=60_000)) as r:
        r.command(3000)
        wait(lambda: r.bus.stats().writes == 1)
        r.command(2000)
        r.some_rounds()
        r.command(1500, mode=Mode.STOP)
        r.some_rounds()
        assert r.setpoints() == [(3000, 0)]
        r.command(0, mode=Mode.STOP)
        wait(lambda: r.bus.stats().writes == 2)
        assert r.setpoints() == [(3000, 0), (0, 0)]


def test_the_set_point_is_refreshed() -> None:
    with rig(replace(PLAN, write_refresh_ms=20)) as r:
        wait(lambda: r.bus.stats().writes >= 4, meanwhile=lambda: r.command(3000))
        assert set(r.setpoints()) == {(3000, 0)}


# fmt: off
UNWRITTEN = [
    # command                                      counter     why
    ({"mode": Mode.SILENT},                        None,       "SILENT: the inverter's own timer acts"),
    ({"age_ms": 300, "valid_ms": 200},             "expired",  "older than its valid_ms"),
    ({"p_w": 0.0, "mode": Mode.STOP, "age_ms": 300, "valid_ms": 200}, "expired", "the same, though it says stop"),
    ({"p_w": float("nan")},                        "refused",  "no number"),
    ({"q_var": float("inf")},                      "refused",  "no number"),
    ({"p_w": 32768.0},                             "refused",  "does not fit the register"),
    ({"q_var": -32769.0},                          "refused",  "does not fit the register"),
]
# fmt: on


@pytest.mark.parametrize(
    ("command", "counter", "why"), UNWRITTEN, ids=[f"{c[-1]} {i}" for i, c in enumerate(UNWRITTEN)]
)
def test_a_command_that_is_never_written(command: dict[str, float], counter: str | None, why: str) -> None:
    with rig() as r:
        r.command(**{"p_w": 3000.0} | command)  # type: ignore[arg-type]  # the table holds values of several fields
        if counter:
            wait(lambda: getattr(r.bus.stats(), counter) == 1)
        r.some_rounds(20)
        assert not any(q.writes for q in r.device.requests), why
        assert counter is None or getattr(r.bus.stats(), counter) == 1  # once a command, not once a look


def test_a_command_that_grows_old_is_not_refreshed() -> None:
    with rig(replace(PLAN, write_refresh_ms=10)) as r:
        r.command(3000.0, valid_ms=100)
        wait(lambda: r.bus.stats().expired == 1)
        n = len(r.setpoints())
        r.some_rounds(20)
        assert n >= 1
        assert len(r.setpoints()) == n


def test_after_a_reconnect_the_start_writes_come_first_again() -> None:
    with rig() as r:
        r.command(1000)
        wait(lambda: r.bus.stats().writes == 1)
        r.device.vanish()
        wait(lambda: not r.bus.stats().connected)
        r.device.listen()
        wait(lambda: r.bus.stats().writes == 2, meanwhile=lambda: r.command(1000))
        last = [q for q in r.device.requests if q.connection > 1]
        assert not last[0].writes  # a read first
        assert [(q.function, q.address) for q in last if q.writes] == [(6, ENABLE), (16, SETPOINT)]


def test_a_connection_lost_in_the_set_point_does_not_skip_the_start_writes() -> None:
    def rule(request: Request) -> bytes | None:
        return HANG_UP if request.address == SETPOINT and request.connection == 1 else None

    with rig() as r:
        r.device.rule = rule
        wait(lambda: r.bus.stats().writes == 1, meanwhile=lambda: r.command(1000))
        writes = [(q.connection, q.address) for q in r.device.requests if q.writes]
        assert writes == [(1, ENABLE), (1, SETPOINT), (2, ENABLE), (2, SETPOINT)]
        assert r.bus.stats().write_errors == 1


def test_a_refused_start_write_holds_the_set_point_back() -> None:
    def rule(request: Request) -> bytes | None:
        return reply(request, b"\x86\x04") if request.address == ENABLE else None

    with rig() as r:
        r.device.rule = rule
        r.command(1000)
        wait(lambda: r.bus.stats().write_errors >= 3)
        assert r.setpoints() == []
        r.device.rule = lambda _request: None
        wait(lambda: r.setpoints() == [(1000, 0)])


def test_a_stop_is_told_even_where_a_start_write_is_refused() -> None:
    """After a connection was cut: the power from before it may still be in force."""

    def rule(request: Request) -> bytes | None:
        if request.connection == 1:
            return HANG_UP if request.address == STATE and request.function == 3 and cut else None
        return reply(request, b"\x86\x04") if request.address == ENABLE else None

    cut: list[bool] = []
    with rig() as r:
        r.device.rule = rule
        r.command(3000)
        wait(lambda: r.bus.stats().writes == 1)
        cut.append(True)
        wait(lambda: r.bus.stats().write_errors >= 1)
        assert r.setpoints() == [(3000, 0)]
        r.command(0, mode=Mode.STOP)
        wait(lambda: r.setpoints() == [(3000, 0), (0, 0)])


def test_a_refused_set_point_is_an_error_and_tried_again_at_the_interval() -> None:
    def rule(request: Request) -> bytes | None:
        return reply(request, b"\x90\x03") if request.address == SETPOINT else None

    with rig(replace(PLAN, min_write_interval_ms=30)) as r:
        r.device.rule = rule
        r.command(1000)
        wait(lambda: r.bus.stats().write_errors >= 3)
        assert r.bus.stats().writes == 0
        assert r.newest().t_echo_ns == 0
        assert r.bus.stats().last_exception == 3
        assert len(r.device.written(ENABLE)) == 1


def test_a_device_that_answers_no_read_is_still_told_to_stop() -> None:
    with rig() as r:
        r.command(3000)
        wait(lambda: r.bus.stats().writes == 1)
        r.device.rule = lambda request: None if request.writes else b""
        wait(lambda: r.bus.stats().timeouts >= 1)
        r.command(0, mode=Mode.STOP)
        wait(lambda: (0, 0) in r.setpoints())


def test_what_is_commanded_during_the_start_writes_wins() -> None:
    """They may take long; the power that was asked for before them is never in force."""
    with rig() as r:

        def rule(request: Request) -> bytes | None:
            if request.address == ENABLE:
                r.command(0, mode=Mode.STOP)
            return None

        r.device.rule = rule
        r.command(3000)
        wait(lambda: r.setpoints())
        r.some_rounds()
        assert r.setpoints() == [(0, 0)]


def test_hand_back_writes_the_stop_sequence_and_reads_back() -> None:
    with rig() as r:
        r.command(3000)
        wait(lambda: r.bus.stats().writes == 1)
        before = len(r.device.requests)
        assert r.bus.hand_back(2.0)
        after = [(q.function, q.address) for q in r.device.requests[before:]]
        start = after.index((16, SETPOINT))
        assert after[start : start + 4] == [(16, SETPOINT), (6, ENABLE), (3, STATE), (3, LIMITS)]
        assert (r.device.words[SETPOINT], r.device.words[ENABLE]) == (0, 0)
        r.command(2000)
        r.some_rounds()
        assert r.setpoints() == [(3000, 0), (0, 0)]  # no set-point any more


def test_hand_back_that_the_device_refuses_is_no_success() -> None:
    def rule(request: Request) -> bytes | None:
        return reply(request, b"\x86\x04") if request.address == ENABLE and request.words == (0,) else None

    with rig() as r:
        r.device.rule = rule
        assert not r.bus.hand_back(2.0)
        assert r.bus.stats().write_errors == 1
        r.device.rule = lambda _request: None
        assert r.bus.hand_back(2.0)  # asked again, done again


def test_hand_back_over_a_connection_that_is_cut_begins_again_on_a_new_one() -> None:
    def rule(request: Request) -> bytes | None:
        return HANG_UP if request.connection == 1 and request.address == ENABLE and request.words == (0,) else None

    with rig() as r:
        r.device.rule = rule
        r.command(3000)
        wait(lambda: r.bus.stats().writes == 1)
        assert r.bus.hand_back(2.0)
        stop = [q.address for q in r.device.requests if q.writes and q.connection == 2]
        assert stop == [SETPOINT, ENABLE]
        assert r.device.words[ENABLE] == 0


def test_hand_back_to_a_device_that_is_gone_or_a_bus_that_is_stopped() -> None:
    with rig() as r:
        wait(lambda: r.bus.stats().answers > 0)
        r.device.vanish()
        wait(lambda: not r.bus.stats().connected)
        assert not r.bus.hand_back(2.0)
    assert not r.bus.hand_back(0.1)


def test_what_no_inverter_bus_can_do_is_refused_at_the_door() -> None:
    bus = Bus(TcpLink("127.0.0.1"))
    state, commands = Mailbox(DeviceState), Mailbox(Command)
    with pytest.raises(ValueError, match="an inverter needs at least one set-point write"):
        bus.inverter(replace(PLAN, setpoint=()), 0, state, commands)
    with pytest.raises(ValueError, match="out: a mailbox of Measurement is not one of DeviceState"):
        bus.inverter(PLAN, 0, Mailbox(Measurement), commands)
    with pytest.raises(ValueError, match="command: a mailbox of DeviceState is not one of Command"):
        bus.inverter(PLAN, 0, state, state)


GUARDED = replace(PLAN, start=(Write(6, ENABLE, (1,), verify=3),))


def test_a_guarded_write_is_left_out_where_the_device_holds_it_already() -> None:
    with rig(GUARDED) as r:
        r.device.words[ENABLE] = 1
        r.command(1000)
        wait(lambda: r.bus.stats().writes == 1)
        assert r.device.written(ENABLE) == []
        assert any(q.address == ENABLE and q.function == 3 for q in r.device.requests)


def test_a_guarded_write_is_read_again_and_must_stand() -> None:
    def rule(request: Request) -> bytes | None:
        return (
            reply(request, request.pdu) if request.address == ENABLE and request.writes else None
        )  # acknowledged only

    with rig(GUARDED) as r:
        r.device.rule = rule
        r.command(1000)
        wait(lambda: r.bus.stats().write_errors >= 2)
        assert r.setpoints() == []
        assert set(r.device.written(ENABLE)) == {(1,)}
        r.device.rule = lambda _request: None
        wait(lambda: r.setpoints() == [(1000, 0)])


def test_requests_of_other_units() -> None:
    reads = (Read(3, STATE, 3), Read(3, LIMITS, 1, every=2, unit=100))
    start = (Write(6, ENABLE, (1,), unit=100, verify=3),)
    with rig(replace(PLAN, reads=reads, start=start)) as r:
        r.command(1000)
        wait(lambda: r.bus.stats().writes == 1)
        wait(lambda: r.newest().p_max_discharge_w == 5000.0)
        units = {(q.address, q.unit) for q in r.device.requests}
        assert units == {(STATE, 1), (LIMITS, 100), (ENABLE, 100), (SETPOINT, 1)}


def test_a_spent_budget_ends_in_zero_and_leaves_emergencies_free() -> None:
    with rig(replace(PLAN, write_budget_per_day=3)) as r:
        for n, p_w in enumerate((100, 200, 300)):
            r.command(p_w)
            wait(lambda n=n: r.bus.stats().writes == n + 1)  # type: ignore[misc]  # n is bound
        assert r.bus.stats().spent == 3
        r.command(400)
        wait(lambda: r.bus.stats().writes == 4)
        for p_w in (500, -600):
            r.command(p_w)
            r.some_rounds()
        assert r.setpoints() == [(100, 0), (200, 0), (300, 0), (0, 0)]
        assert r.bus.stats().held == 3
        r.command(0, mode=Mode.STOP)
        r.some_rounds()
        assert r.setpoints()[-1] == (0, 0)


def test_after_a_silence_the_start_writes_come_first_again() -> None:
    with rig() as r:
        r.command(1000)
        wait(lambda: r.bus.stats().writes == 1)
        r.command(1000, mode=Mode.SILENT)
        r.some_rounds()
        r.command(2000)
        wait(lambda: r.bus.stats().writes == 2)
        assert [q.address for q in r.device.requests if q.writes] == [ENABLE, SETPOINT, ENABLE, SETPOINT]
