"""Maps with plain registers through the real bus: a charger and a GX that behave as their makers say, on raw sockets.

What the wire carries is written out by hand. The devices' timers are shortened here, and what follows from them too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, DeviceState, DeviceStatus, Mode, Session
from drivers.inverterplan import register_plan
from drivers.mapfile import load_map
from drivers.modbus.bus import Bus
from drivers.modbus.bus import Device as BusDevice
from drivers.modbus.link import TcpLink
from drivers.registermap import Plan
from tests.drivers.modbus.scripted import Device, Request, device, reply, wait

MS = 1_000_000
REVERSION_S = 12


def plan_of(name: str, unit: int, **changes: Any) -> Plan:
    """The map's own plan, without its rests."""
    return replace(register_plan(load_map(name), unit, REVERSION_S), min_gap_ms=0, min_write_interval_ms=0, **changes)


@dataclass
class Rig:
    """One bus on one device, and the core's side of both mailboxes."""

    device: Device
    bus: BusDevice
    out: Mailbox
    commands: Mailbox
    state: DeviceState = field(default_factory=DeviceState)

    def command(self, p_w: float, mode: Mode = Mode.ACTIVE) -> None:
        self.commands.put(Command(1, time.monotonic_ns(), p_w, 0.0, mode, 5000))

    def newest(self) -> DeviceState:
        self.state = self.out.get() or self.state
        return self.state

    def frames(self, since: int = 0) -> list[tuple[int, str]]:
        """(unit, request) of every write."""
        return [(q.unit, q.pdu.hex(" ")) for q in self.device.requests[since:] if q.writes]


@contextmanager
def rig(plan: Plan, words: dict[int, int], rule: Any = None) -> Iterator[Rig]:
    with device(words, rule) as d:
        out, commands = Mailbox(DeviceState), Mailbox(Command)
        bus = Bus(TcpLink("127.0.0.1", d.port))
        inverter = bus.inverter(plan, 5, out, commands)
        bus.start()
        try:
            yield Rig(d, inverter, out, commands)
        finally:
            bus.stop()


# ---- Wallbox Quasar ----


@dataclass
class Quasar:
    """A charger with a car: obeys only under remote control and after a start; any request feeds its timer."""

    timer_ns: int
    words: dict[int, int]
    t_last_ns: int = 0
    ran_out: int = 0
    started: bool = False

    def rule(self, request: Request) -> bytes | None:
        if self.started and request.t_ns - self.t_last_ns > self.timer_ns:
            self.started = False
            self.ran_out += 1
        self.t_last_ns = request.t_ns
        if request.writes and request.address != 81 and self.words[81] != 1:
            return reply(request, request.pdu)  # acknowledged and ignored
        if request.writes:
            self.words[request.address] = request.words[0]
            if request.address == 257:
                self.started = request.words == (1,)
        power = self.words[260] if self.started else 0
        self.words[526] = power
        self.words[537] = 4 if power == 0 else 11 if power & 0x8000 else 1
        return None


def quasar_words() -> dict[int, int]:
    """As it comes: the app has control, starts by itself, current set-points, no timer, one of another time."""
    return {81: 0, 82: 1, 83: 0, 88: 0, 257: 0, 260: 1200, 514: 7400, 526: 0, 537: 4, 538: 55}


@contextmanager
def quasar(timer_ms: int = 60_000, **changes: Any) -> Iterator[tuple[Rig, Quasar]]:
    with rig(plan_of("wallbox-quasar1", 1, **changes), quasar_words()) as r:
        charger = Quasar(timer_ms * MS, r.device.words)
        r.device.rule = charger.rule
        yield r, charger


def test_quasar_is_read() -> None:
    with quasar() as (r, _):
        wait(lambda: r.newest().soc_pu == 0.55 and r.newest().p_max_charge_w == 7400.0)
        s = r.newest()
        assert (s.p_w, s.p_set_readback_w, s.p_max_discharge_w) == (0.0, -1200.0, 7400.0)
        assert (s.session, s.status) == (Session.READY, DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
        assert r.frames() == []  # nobody has commanded anything


QUASAR_START = [
    (1, "06 00 51 00 01"),  # 81 = 1, remote
    (1, "06 00 52 00 00"),  # 82 = 0, no start by itself
    (1, "06 00 53 00 01"),  # 83 = 1, power
    (1, "06 00 58 00 0c"),  # 88 = 12 s
    (1, "06 01 04 00 00"),  # 260 = 0
    (1, "06 01 01 00 01"),  # 257 = 1, start
]


def test_quasar_start_then_the_set_point_and_what_it_does() -> None:
    with quasar() as (r, _):
        r.command(2000.0)
        wait(lambda: r.newest().p_w == 2000.0)
        assert r.frames() == [*QUASAR_START, (1, "06 01 04 f8 30")]  # 260 = -2000: discharge
        assert r.newest().session == Session.DISCHARGING
        assert r.newest().t_echo_ns > 0
        r.command(-3500.0)
        wait(lambda: r.newest().p_w == -3500.0)
        assert r.frames()[len(QUASAR_START) + 1 :] == [(1, "06 01 04 0d ac")]  # 260 = 3500: charge
        assert r.newest().session == Session.CHARGING


def test_quasar_what_already_stands_there_is_not_written() -> None:
    with quasar() as (r, _):
        r.device.words.update({81: 1, 82: 0, 83: 1, 88: REVERSION_S, 260: 0})
        r.command(500.0)
        wait(lambda: r.newest().p_w == 500.0)
        assert r.frames() == [(1, "06 01 01 00 01"), (1, "06 01 04 fe 0c")]


def test_quasar_stop_hands_back() -> None:
    with quasar() as (r, charger):
        r.command(2000.0)
        wait(lambda: r.newest().p_w == 2000.0)
        before = len(r.device.requests)
        assert r.bus.hand_back(2.0)
        assert r.frames(before) == [
            (1, "06 01 04 00 00"),  # 260 = 0
            (1, "06 01 01 00 02"),  # 257 = 2, stop
            (1, "06 00 51 00 00"),  # 81 = 0, the user's again
        ]
        assert not charger.started
        assert charger.words[81] == 0


def test_quasar_is_fed_before_its_timer_runs_out() -> None:
    with quasar(timer_ms=400, write_refresh_ms=100, quiet_ms=600) as (r, charger):
        wait(lambda: r.bus.stats().writes >= 10, meanwhile=lambda: r.command(2000.0))
        assert charger.ran_out == 0
        assert r.newest().p_w == 2000.0
        assert {frame for _, frame in r.frames()[len(QUASAR_START) :]} == {"06 01 04 f8 30"}


# fmt: off
SILENCES = [
    # what the core does                                     why
    (lambda r: r.command(2000.0, Mode.SILENT),               "it wants nothing written"),
    (lambda r: r.commands.put(Command(1, time.monotonic_ns() - 9000 * MS, 2000.0, 0.0, Mode.ACTIVE, 5000)),
                                                             "it is late: perhaps it is dead"),
    (lambda r: r.command(8000.0),                            "it wants more than the 7400 W that fit: all is refused"),
]
# fmt: on


@pytest.mark.parametrize(("falls_silent", "why"), SILENCES, ids=[s[-1] for s in SILENCES])
def test_quasar_is_not_even_read_until_its_timer_has_run_out(falls_silent: Any, why: str) -> None:
    quiet_ms, timer_ms = 600, 400
    with quasar(timer_ms=timer_ms, quiet_ms=quiet_ms) as (r, charger):
        r.command(2000.0)
        wait(lambda: r.newest().p_w == 2000.0)
        wait(lambda: charger.ran_out == 1, meanwhile=lambda: falls_silent(r))
        wait(lambda: r.newest().session == Session.READY)  # it is read again, and idle
        assert r.newest().p_w == 0.0
        times = [q.t_ns for q in r.device.requests]
        assert max(b - a for a, b in pairwise(times)) >= quiet_ms * MS
        n = len(r.device.requests)
        wait(lambda: len(r.device.requests) > n + 20)
        assert sum(b - a >= quiet_ms * MS for a, b in pairwise(q.t_ns for q in r.device.requests)) == 1  # once
        n = len(r.device.requests)
        r.command(-500.0)  # and is started anew: only what it has forgotten is written
        wait(lambda: r.newest().p_w == -500.0)
        assert r.frames(n) == [(1, "06 01 04 00 00"), (1, "06 01 01 00 01"), (1, "06 01 04 01 f4")]


def rests(r: Rig) -> bool:
    """Whether the bus lives on but asks nothing."""
    before = r.bus.stats()
    wait(lambda: r.bus.stats().beats >= before.beats + 10)
    return r.bus.stats().attempts == before.attempts


def test_a_new_command_ends_the_quiet_at_once() -> None:
    with quasar(quiet_ms=600_000) as (r, charger):
        r.command(2000.0)
        wait(lambda: r.newest().p_w == 2000.0)
        r.command(0.0, Mode.SILENT)
        wait(lambda: rests(r))
        r.command(0.0, Mode.STOP)
        wait(lambda: r.newest().p_w == 0.0)
        assert charger.ran_out == 0


# ---- Victron GX ----

VEBUS, SYSTEM = 227, 100
GX_WORDS = {12: 0, 33: 3, 37: 0, 38: 0, 39: 0, 132: 0, 133: 5000, 843: 55, 2902: 2}


@dataclass
class Gx:
    """A GX with one phase: in external control power follows 37 until its timer has run out. Two units, no other."""

    timer_ns: int
    words: dict[int, int]
    t_told_ns: int = 0
    ran_out: int = 0

    def rule(self, request: Request) -> bytes | None:
        if request.unit != (SYSTEM if request.address in (843, 2902) else VEBUS):
            return reply(request, bytes([request.function | 0x80, 0x0B]))
        if request.writes:
            self.words.update({request.address + i: word for i, word in enumerate(request.words)})
            if request.address == 37:
                self.t_told_ns = request.t_ns
        if self.words[37] and request.t_ns - self.t_told_ns > self.timer_ns:
            self.words[37] = 0
            self.ran_out += 1
        watts = self.words[37] - 0x10000 if self.words[37] & 0x8000 else self.words[37]
        self.words[12] = round(watts / 10) & 0xFFFF if self.words[2902] == 3 else 0
        return None


@contextmanager
def gx(timer_ms: int = 60_000, **changes: Any) -> Iterator[tuple[Rig, Gx]]:
    with rig(plan_of("victron-gx", VEBUS, **changes), GX_WORDS) as r:
        box = Gx(timer_ms * MS, r.device.words)
        r.device.rule = box.rule
        yield r, box


def test_victron_start_set_point_sign_and_stop() -> None:
    with gx() as (r, box):
        wait(lambda: r.newest().soc_pu == 0.55 and r.newest().p_max_discharge_w == 5000.0)
        assert {(q.unit, q.address) for q in r.device.requests} == {(VEBUS, 12), (VEBUS, 132), (SYSTEM, 843)}
        r.command(2000.0)
        wait(lambda: r.newest().p_w == 2000.0)
        r.command(-1500.0)
        wait(lambda: r.newest().p_w == -1500.0)
        assert r.newest().p_set_readback_w == -1500.0
        assert r.frames() == [
            (SYSTEM, "10 0b 56 00 01 02 00 03"),  # 2902 = 3, external control
            (VEBUS, "10 00 25 00 03 06 f8 30 00 00 00 00"),  # 37 = -2000: feeds in
            (VEBUS, "10 00 25 00 03 06 05 dc 00 00 00 00"),  # 37 = 1500: takes from the grid
        ]
        n = len(r.device.requests)
        assert r.bus.hand_back(2.0)
        assert r.frames(n) == [
            (VEBUS, "10 00 25 00 01 02 00 00"),  # 37 = 0
            (SYSTEM, "10 0b 56 00 01 02 00 01"),  # 2902 = 1, its own mode
        ]
        assert box.words[2902] == 1


def test_victron_is_fed_before_its_timer_runs_out_and_runs_out_in_silence() -> None:
    with gx(timer_ms=400, write_refresh_ms=100) as (r, box):
        wait(lambda: r.bus.stats().writes >= 10, meanwhile=lambda: r.command(2000.0))
        assert (box.ran_out, r.newest().p_w) == (0, 2000.0)
        assert len([f for f in r.frames() if f[0] == SYSTEM]) == 1  # flash is written once
        r.command(2000.0, Mode.SILENT)
        wait(lambda: box.ran_out == 1)  # while it is read as before: only writes feed it
        wait(lambda: r.newest().p_w == 0.0)


def test_a_unit_that_is_not_there_leaves_its_quantity_out() -> None:
    def rule(request: Request) -> bytes | None:
        return reply(request, b"\x83\x0b") if request.unit == SYSTEM else None

    with rig(plan_of("victron-gx", VEBUS), GX_WORDS, rule) as r:
        wait(lambda: r.newest().p_max_discharge_w == 5000.0)
        assert r.newest().soc_pu != r.newest().soc_pu
        r.command(1000.0)  # external control cannot be set: nothing is commanded
        wait(lambda: r.bus.stats().write_errors >= 2)
        assert r.frames() == []
