"""What test_can.py runs on a kernel with SocketCAN: the real bus thread on vcan0, and on an adapter that goes bus-off.

The other end of the wire is Python's own socket, python-can, or the simulated inverter in a process of its own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from controller import cli
from controller.processes import Family
from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, DeviceState, DeviceStatus, DeviceValid, Mode, Session
from drivers.base import BusError
from drivers.can.bus import Bus, Device
from drivers.can.dbc import can_plan
from drivers.can.interface import NETWORK, need_up
from drivers.can.link import CanLink
from drivers.can.statistics import CanStats
from drivers.can.tables import Frame, Plan, Send
from drivers.sim.bar import Bar
from drivers.sim.can_inverter import EXTENDED, FRAME, Port
from tests.drivers.modbus.scripted import wait as wait_for

MAPS = Path(__file__).parents[2] / "drivers" / "maps"
TEMPLATE = str(MAPS / "TEMPLATE-CAN.yaml")
PLAN = can_plan(TEMPLATE, 1, 2, 20, 100)
STATE, SHOWN, LIMITS, SETPOINT, HEARTBEAT = 0x310, 0x311, 0x98FF50E5, 0x210, 0x211
ERROR, BUS_OFF, RESTARTED = 0x20000000, 0x40, 0x100
MS = 1_000_000


def wait(claim: Callable[[], object], *, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Until the claim holds: the guest is slow when the host is busy."""
    wait_for(claim, meanwhile=meanwhile, timeout_s=90.0)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)


@dataclass
class Rig:
    """One bus on one interface, the core's side of its mailboxes, and a socket on the other side of the wire."""

    bus: Bus
    device: Device
    out: Mailbox
    commands: Mailbox
    port: Port
    state: DeviceState | None = None
    alive: int = 0

    @property
    def stats(self) -> CanStats:
        return self.device.stats()

    def command(self, p_w: float, q_var: float = 0.0, mode: int = Mode.ACTIVE, valid_ms: int = 200) -> None:
        self.commands.put(Command(1, time.monotonic_ns(), p_w, q_var, mode, valid_ms))

    def follow(self, p_w: float) -> None:
        """Command it until the device delivers it."""
        wait(lambda: abs(self.newest().p_w - p_w) < 30.0, meanwhile=lambda: self.command(p_w))

    def newest(self) -> DeviceState:
        self.state = self.out.get() or self.state or DeviceState()
        return self.state

    def send_state(self, p_w: int = 0, mode: int = 2, alive: int | None = None) -> None:
        """STATE by hand: the device counts + into the car."""
        self.alive = (self.alive + 1) % 256 if alive is None else alive
        self.port.send((STATE, struct.pack("<hHBBBB", -p_w, 3800, mode | 2 << 4, self.alive, 120, 0)))

    def sent(self) -> list[tuple[int, bytes]]:
        """What the bus thread has sent since the last look."""
        return self.port.receive(0.0)


@contextmanager
def rig(plan: Plan = PLAN, interface: str = "vcan0", poll_ms: int = 20) -> Iterator[Rig]:
    out, commands = Mailbox(DeviceState), Mailbox(Command)
    bus = Bus(CanLink(interface))
    device = bus.inverter(plan, poll_ms, out, commands)
    port = Port(interface)
    bus.start()
    try:
        wait(lambda: device.stats().connected)
        yield Rig(bus, device, out, commands, port)
    finally:
        bus.stop()
        port.socket.close()


@contextmanager
def simulated(face: str, timer_s: float) -> Iterator[None]:
    command = [sys.executable, "-m", "drivers.sim.can_inverter", "--interface", "vcan0", "--face", face]
    process = subprocess.Popen([*command, "--timer-s", str(timer_s)])
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(10) == 0


# ---- what is taken, and what is refused ----


def test_2000_frames_in_order() -> None:
    """Their counter has 8 bits: a lost one shows in the sum, a repeated or overtaken one in its own counter."""
    with rig() as r:
        for i in range(2000):
            r.send_state(i)
        wait(lambda: r.newest().p_w == 1999.0)
        s = r.stats
        assert (s.answers, s.duplicates, s.reordered, s.bad_frames) == (2000, 0, 0, 0)
        assert s.changes == 2000
        state = r.newest()
        assert state.status == DeviceStatus.RUNNING | DeviceStatus.CONNECTED
        assert (state.session, state.soc_pu) == (Session.CHARGING, 0.6)
        assert s.t_success_ns == state.t_ns <= time.monotonic_ns()


# fmt: off
REFUSED = [
    # frame                                    counter        why
    ((STATE, bytes(7)),                        "bad_frames",  "a byte short"),
    ((STATE, b""),                             "bad_frames",  "no byte at all"),
    ((SHOWN, b"\x01\x00\x00\x00\x00"),         "bad_frames",  "a byte long"),
    ((STATE | 0x80000000, bytes(8)),           "",            "the same number with 29 bits: the kernel drops it"),
    ((STATE + 1 + 1, bytes(8)),                "",            "another identifier: the kernel drops it"),
    ((STATE | 0x40000000, bytes(8)),           "",            "a remote frame: the kernel drops it"),
    ((LIMITS & 0x7FF, bytes(6)),               "",            "the low bits of ours with 11 bits"),
    ((SHOWN, b"\x02\x00\x00\x00"),             "",            "another value of the multiplexer"),
    ((SETPOINT, bytes(8)),                     "foreign",     "somebody else commands this device"),
]
# fmt: on


@pytest.mark.parametrize(("frame", "counter", "why"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_a_frame_that_is_refused(frame: tuple[int, bytes], counter: str, why: str) -> None:
    with rig() as r:
        r.send_state(100)
        wait(lambda: r.newest().p_w == 100.0)
        before = r.stats
        r.port.send(frame)
        r.send_state(200)
        wait(lambda: r.newest().p_w == 200.0)
        after = r.stats
        assert after.answers == before.answers + 1, why
        for name in ("bad_frames", "foreign", "unasked", "duplicates", "reordered"):
            assert getattr(after, name) == getattr(before, name) + (name == counter), why


def test_a_repeated_and_an_overtaken_frame() -> None:
    with rig() as r:
        for alive, p_w in ((10, 1), (11, 2), (11, 3), (10, 4), (13, 5), (12, 6), (14, 7)):
            r.send_state(p_w, alive=alive)
        wait(lambda: r.newest().p_w == 7.0)
        s = r.stats
        assert (s.answers, s.duplicates, s.reordered) == (4, 1, 2)  # 10, 11, 13, 14
        t_ns = r.newest().t_ns
        for _ in range(5):  # hung, but its controller goes on: never new, so its age grows
            r.send_state(8, alive=14)
        wait(lambda: r.stats.duplicates == 6)
        assert r.newest().t_ns == t_ns


def test_a_device_that_has_restarted_counts_anew() -> None:
    with rig() as r:
        r.send_state(1, alive=200)
        for alive in (100, 101, 102, 103):
            r.send_state(alive, alive=alive)
        wait(lambda: r.newest().p_w == 103.0)
        assert r.stats.reordered == 2  # two are doubted, the third in a row is believed


# ---- time ----


def test_a_frame_that_stays_out() -> None:
    """LIMITS leave the record after their time; STATE does not: the record's time stands still instead."""
    frames = tuple(replace(f, timeout_ms=60) for f in PLAN.frames)
    with rig(replace(PLAN, frames=frames)) as r:
        r.port.send((LIMITS, struct.pack(">HHH", 700, 720, 740)))
        r.send_state(100)
        wait(lambda: r.newest().valid & DeviceValid.P_MAX_CHARGE and r.newest().t_ns > 0)
        assert (r.newest().p_max_discharge_w, r.newest().s_max_va) == (7000.0, 7400.0)
        wait(lambda: r.stats.timeouts == 2)
        state = r.newest()
        assert not state.valid & (DeviceValid.P_MAX_CHARGE | DeviceValid.S_MAX)
        assert (state.p_w, state.t_ns) == (100.0, r.stats.t_success_ns)
        assert r.bus.beats > 0
        r.send_state(200, alive=3)  # any number: it may have been restarted
        wait(lambda: r.newest().p_w == 200.0)


def test_nothing_is_known_before_every_carrier_was_seen() -> None:
    frames = tuple(replace(f, carrier=True) for f in PLAN.frames)
    with rig(replace(PLAN, frames=frames)) as r:
        r.send_state(100)
        wait(lambda: r.newest().p_w == 100.0)
        assert r.newest().t_ns == 0
        r.port.send((LIMITS, bytes(6)))
        r.port.send((SHOWN, b"\x01\x00\x00\x00"))
        wait(lambda: r.newest().t_ns > 0)


# ---- set-points ----


def of(frames: list[tuple[int, bytes]], identifier: int) -> list[tuple[int, ...]]:
    return [struct.unpack_from("<hhB", data) for i, data in frames if i == identifier]


def test_nothing_is_sent_before_a_command_and_nothing_after_it_has_lapsed() -> None:
    """A hung loop: the kernel repeats nothing, the thread sends no heartbeat, and its beats go on all the same."""
    frames: list[tuple[int, bytes]] = []
    with rig() as r:
        r.send_state()
        wait(lambda: r.stats.answers == 1)
        assert r.sent() == []

        def live() -> None:
            r.send_state()
            r.command(3000.0, 500.0)
            frames.extend(r.sent())

        wait(lambda: r.stats.heartbeats >= 3, meanwhile=live)
        wait(lambda: r.stats.expired == 1, meanwhile=r.send_state)
        frames.extend(r.sent())
        beats, n = r.bus.beats, r.stats.attempts
        time.sleep(0.4)  # four heartbeats, if there were any
        assert r.stats.attempts == n
        assert r.bus.beats > beats
        assert r.sent() == []
    assert of(frames, SETPOINT)[:2] == [(0, 0, 0), (-3000, -500, 1)]  # start, then the set-point: + is into the car
    counted = [data[0] for i, data in frames if i == HEARTBEAT]
    assert counted == list(range(len(counted)))


# fmt: off
UNSENT = [
    # p_w          mode           valid_ms  counter    why
    (3000.0,       Mode.SILENT,   200,      "",        "SILENT: the inverter's own timer acts"),
    (3000.0,       Mode.ACTIVE,   -1,       "expired", "older than its valid_ms"),
    (float("nan"), Mode.ACTIVE,   200,      "refused", "no number"),
    (40000.0,      Mode.ACTIVE,   200,      "refused", "does not fit 16 bits"),
]
# fmt: on


@pytest.mark.parametrize(("p_w", "mode", "valid_ms", "counter", "why"), UNSENT, ids=[c[-1] for c in UNSENT])
def test_a_command_that_is_never_sent(p_w: float, mode: Mode, valid_ms: int, counter: str, why: str) -> None:
    with rig() as r:
        r.command(p_w, mode=mode, valid_ms=valid_ms)
        wait(lambda: not counter or getattr(r.stats, counter) == 1)
        beats = r.bus.beats
        wait(lambda: r.bus.beats > beats + 5)
        assert (r.stats.attempts, r.sent()) == (0, []), why


def test_what_comes_during_the_start_frames_wins() -> None:
    """They rest long between two; the power that was asked for before them is never in force."""
    plan = replace(PLAN, start=PLAN.start * 3, min_gap_ms=100)
    frames: list[tuple[int, bytes]] = []
    with rig(plan) as r:
        r.command(3000.0, valid_ms=5000)
        wait(lambda: r.stats.attempts >= 1)
        wait(lambda: r.stats.writes == 1, meanwhile=lambda: r.command(1000.0))
        frames.extend(r.sent())
    assert of(frames, SETPOINT) == [(0, 0, 0)] * 3 + [(-1000, 0, 1)]


def test_a_command_that_does_not_fit_is_silence() -> None:
    """The heartbeat ends, so the inverter's own timer brings the last power to 0; a command that fits starts anew."""
    with rig() as r, simulated("acme", 2.0):
        wait(lambda: r.newest().t_ns > 0)
        r.follow(3000.0)
        last_ns = time.monotonic_ns()
        wait(lambda: abs(r.newest().p_w) < 30.0, meanwhile=lambda: r.command(40_000.0))
        assert time.monotonic_ns() - last_ns > 1_800 * MS  # its timer, not we
        r.follow(-1500.0)


def test_a_module_that_questions_feed_is_not_asked_for_long_while_no_command_fits() -> None:
    """The voltage stays away, so no current can be told: once the last one should be refreshed, nothing is sent."""
    plan = replace(PLAN, fed_by_any=True, silence_ms=60_000, write_refresh_ms=600, frames=asked(PLAN.frames))
    with rig(plan) as r:
        wait(lambda: r.stats.writes == 1, meanwhile=lambda: r.command(1000.0))

        def misfit() -> None:
            r.command(40_000.0)

        told_ns, n = time.monotonic_ns(), r.stats.attempts
        wait(lambda: time.monotonic_ns() - told_ns > 300 * MS, meanwhile=misfit)
        assert r.stats.attempts > n + 2  # it is still asked
        wait(lambda: time.monotonic_ns() - told_ns > 1500 * MS, meanwhile=misfit)
        n, now_ns = r.stats.attempts, time.monotonic_ns()
        wait(lambda: time.monotonic_ns() - now_ns > 500 * MS, meanwhile=misfit)
        assert r.stats.attempts == n


def asked(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """The same device, if its state did not come by itself."""
    return tuple(replace(f, ask=Send(0x212, False, 1)) if f.id == STATE else f for f in frames)


def test_python_can_and_cantools_read_what_we_send() -> None:
    """The oracle on the wire: what was commanded is what another's driver and decoder make of our frames."""
    import can
    import cantools

    dbc: Any = cantools.database.load_file(MAPS / "TEMPLATE-CAN.dbc")
    found = []
    with can.Bus(interface="socketcan", channel="vcan0") as other, rig() as r:
        wait(lambda: r.stats.writes == 1, meanwhile=lambda: r.command(-2345.0, 67.0))
        while (message := other.recv(0.05)) is not None:
            found.append(dbc.decode_message(message.arbitration_id, message.data))
        other.send(can.Message(arbitration_id=STATE, is_extended_id=False, data=dbc.encode_message("STATE", {
            "power": 1500, "dc_voltage": 400.0, "mode": 2, "car": 3, "alive": 1, "soc": 50.0})))  # fmt: skip
        wait(lambda: r.newest().valid)
    assert {"power": 2345, "reactive": -67, "run": 1, "alive": 0} in found
    assert (r.newest().p_w, r.newest().soc_pu, r.newest().session) == (-1500.0, 0.5, Session.DISCHARGING)


# ---- the interface ----


def test_an_interface_that_goes_and_comes() -> None:
    """Down and up: the start frame and the set-point go out again; deleted and made anew: another number, same name."""
    ip("link", "add", "vcan1", "type", "vcan")
    with pytest.raises(BusError, match="vcan1: is down; as root: ip link add vcan1 type vcan && ip link set vcan1 up"):
        need_up(CanLink("vcan1"), 500_000)
    ip("link", "set", "vcan1", "up")
    need_up(CanLink("vcan1"), 500_000)
    with rig(interface="vcan1") as r:
        wait(lambda: r.stats.writes == 1, meanwhile=lambda: r.command(1000.0))
        r.sent()
        ip("link", "set", "vcan1", "down")
        wait(lambda: not r.stats.connected)
        assert r.stats.last_errno == errno.ENETDOWN
        beats = r.bus.beats
        wait(lambda: r.bus.beats > beats, meanwhile=lambda: r.command(1000.0))  # the watchdog is fed meanwhile
        ip("link", "set", "vcan1", "up")
        wait(lambda: r.stats.writes == 2, meanwhile=lambda: r.command(1000.0))
        ip("link", "delete", "vcan1")
        wait(lambda: not r.stats.connected)
        ip("link", "add", "vcan1", "type", "vcan")
        ip("link", "set", "vcan1", "up")
        port = Port("vcan1")
        wait(lambda: r.stats.writes == 3, meanwhile=lambda: r.command(1000.0))
        assert of(port.receive(0.0), SETPOINT)[:2] == [(0, 0, 0), (-1000, 0, 1)]
        assert r.stats.reconnects == 2
        port.socket.close()


def test_bus_off_told_by_an_error_frame() -> None:
    """vcan has no controller that could go bus-off: the error frames are put in by hand, as a driver would."""
    with rig() as r:
        wait(lambda: r.stats.writes == 1, meanwhile=lambda: r.command(1000.0))
        r.port.send((ERROR | BUS_OFF, bytes(8)))
        wait(lambda: r.stats.bus_off == 1)
        n = r.stats.attempts
        r.command(2000.0)
        beats = r.bus.beats
        wait(lambda: r.bus.beats > beats + 20, meanwhile=lambda: r.command(2000.0))
        assert (r.stats.attempts, r.stats.connected) == (n, False)  # not one frame into a dead bus
        r.sent()
        r.port.send((ERROR | RESTARTED, bytes(8)))
        wait(lambda: r.stats.writes == 2, meanwhile=lambda: r.command(2000.0))
        assert of(r.sent(), SETPOINT)[:2] == [(0, 0, 0), (-2000, 0, 1)]
        assert (r.stats.restarts, r.stats.error_frames, r.stats.connected) == (1, 2, True)


@pytest.fixture
def dead_bus() -> Iterator[Callable[[str], None]]:
    """vcan3, and what stops its queue (`block`) and lets it go (`release_indefinite`): no frame is seen meanwhile."""

    def plug(what: str) -> None:
        subprocess.run(["tc", "qdisc", "change", "dev", "vcan3", "root", "plug", what], check=True, timeout=10)

    ip("link", "add", "vcan3", "type", "vcan")
    subprocess.run(["tc", "qdisc", "add", "dev", "vcan3", "root", "plug"], check=True, timeout=10)
    ip("link", "set", "vcan3", "up")
    plug("release_indefinite")
    yield plug
    ip("link", "delete", "vcan3")


def test_set_points_do_not_pile_up_behind_a_dead_bus(dead_bus: Callable[[str], None]) -> None:
    """One frame is lost there; what comes out when the bus is back is that one, and then the newest command."""
    watts = cycle(range(1000, 1500, 20))
    with rig(interface="vcan3") as r:
        wait(lambda: r.stats.writes == 1, meanwhile=lambda: r.command(500.0))
        dead_bus("block")
        dead_ns = time.monotonic_ns()
        wait(lambda: time.monotonic_ns() - dead_ns > 1500 * MS, meanwhile=lambda: r.command(next(watts)))
        wait(lambda: time.monotonic_ns() - dead_ns > 4500 * MS, meanwhile=lambda: r.command(2000.0))
        expired, writes = r.stats.expired, r.stats.writes
        wait(lambda: r.stats.expired > expired)
        r.sent()
        dead_bus("release_indefinite")
        wait(lambda: r.stats.writes > writes, meanwhile=lambda: r.command(0.0, mode=Mode.STOP))
        powers = [frame[0] for frame in of(r.sent(), SETPOINT)]
    assert -2000 not in powers  # commanded while the bus was dead
    assert powers[-1] == 0


N_SLCAN, TIOCSETD = 17, 0x5423


class Adapter:
    """A CAN adapter on a serial line (Linux: slcan): what it says of its controller the kernel takes for true."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        before = {path.name for path in NETWORK.iterdir()}
        fcntl.ioctl(self.theirs, TIOCSETD, struct.pack("i", N_SLCAN))
        (self.name,) = {path.name for path in NETWORK.iterdir()} - before
        self.heard = b""
        self.reader = threading.Thread(target=self.listen)
        self.reader.start()

    def listen(self) -> None:
        """Until the line is closed. The kernel waits for each command of its own to be read."""
        with contextlib.suppress(OSError):
            while True:
                self.heard += os.read(self.ours, 4096)

    def say(self, text: bytes) -> None:
        os.write(self.ours, text + b"\r")

    def close(self) -> None:
        os.close(self.theirs)
        self.reader.join(10)
        os.close(self.ours)


@pytest.fixture
def adapter() -> Iterator[Adapter]:
    found = Adapter()
    ip("link", "set", found.name, "type", "can", "bitrate", "125000")
    ip("link", "set", found.name, "up")
    yield found
    ip("link", "set", found.name, "down")
    found.close()


def test_bus_off_of_a_can_device(adapter: Adapter) -> None:
    """The adapter reports bus-off (`sb`): the kernel makes the error frame and takes the carrier away. Up by hand."""
    with rig(interface=adapter.name) as r:

        def live() -> None:
            r.command(1000.0)

        wait(lambda: r.stats.writes == 1, meanwhile=live)
        wait(lambda: b"t210818FC000001000000\r" in adapter.heard)  # -1000 W, low byte first; run
        assert b"t21080000000000000000\r" in adapter.heard  # start
        adapter.say(b"t3108" + struct.pack("<hHBBBB", -500, 3800, 2, 1, 0, 0).hex().encode())
        wait(lambda: r.newest().p_w == 500.0)
        adapter.say(b"sb256000")
        wait(lambda: r.stats.bus_off == 1)
        attempts, beats = r.stats.attempts, r.bus.beats
        wait(lambda: r.bus.beats > beats + 20, meanwhile=live)
        assert (r.stats.attempts, r.stats.connected) == (attempts, False)
        ip("link", "set", adapter.name, "down")
        wait(lambda: r.stats.last_errno == errno.ENETDOWN)
        ip("link", "set", adapter.name, "up")
        wait(lambda: r.stats.writes == 2, meanwhile=live)


# ---- closed loops with the simulated inverter ----


def test_a_closed_loop_and_its_silence() -> None:
    """The set-point is followed and echoed; the core stops, and the inverter's own 2 s bring it to 0."""
    with rig() as r, simulated("acme", 2.0):
        wait(lambda: r.newest().t_ns > 0)
        r.follow(3000.0)
        r.follow(-1500.0)
        wait(lambda: r.newest().p_set_readback_w == -1500.0, meanwhile=lambda: r.command(-1500.0))
        wait(lambda: r.newest().t_echo_ns > 0)
        assert abs(r.newest().t_echo_ns - time.monotonic_ns()) < 2_000 * MS
        last_ns = time.monotonic_ns()  # from here on nobody commands
        wait(lambda: r.stats.expired >= 1)
        assert abs(r.newest().p_w + 1500.0) < 30.0  # the set-point is still in force there
        wait(lambda: abs(r.newest().p_w) < 20.0)
        assert time.monotonic_ns() - last_ns > 1_800 * MS  # its timer, not we
        r.follow(2000.0)
        assert r.device.hand_back(2.0)
        n = r.stats.writes
        wait(lambda: abs(r.newest().p_w) < 20.0, meanwhile=lambda: r.command(2000.0))
        assert r.stats.writes == n  # no set-point any more


def beg_map(folder: Path) -> str:
    """The owner's copy of the shipped map, with his battery's two voltages and a shorter timer for this test."""
    shipped = MAPS / "inverters" / "infypower-beg.yaml"
    text = shipped.read_text()
    for old, new in (("charge: 200000", "charge: 420000"), ("discharge: 1000000", "discharge: 300000"),
                     ("timer_s: [10, 10]", "timer_s: [2, 10]")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (folder / "infypower-beg.dbc").write_text(shipped.with_suffix(".dbc").read_text())
    (folder / "mine.yaml").write_text(text)
    return str(folder / "mine.yaml")


def test_a_module_that_is_asked_and_fed_by_any_frame(tmp_path: Path) -> None:
    """Questions keep it going, too: with the command they stop, its timer acts, then it is asked and started again."""
    plan = can_plan(beg_map(tmp_path), 0, 2, 200, 300)
    with rig(plan, poll_ms=200) as r, simulated("infypower-beg", 2.0):
        wait(lambda: r.newest().t_ns > 0)
        assert (r.newest().p_w, r.newest().status) == (0.0, DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
        r.follow(-3800.0)
        r.follow(1900.0)
        assert r.newest().t_echo_ns > 0  # by the module's own answers to writes
        wait(lambda: r.stats.expired == 1)
        r.sent()
        n, last_ns = r.stats.attempts, r.stats.t_success_ns
        time.sleep(1.0)  # five polls, if there were any
        assert r.stats.attempts == n
        wait(lambda: abs(r.newest().p_w) < 20.0 and r.stats.t_success_ns > last_ns)  # asked again: off by itself
        assert r.stats.t_success_ns - last_ns > 1_900 * MS
        r.follow(-1900.0)
        assert r.device.hand_back(2.0)
        wait(lambda: abs(r.newest().p_w) < 20.0)


def test_the_shipped_module_map_moves_nothing() -> None:
    """Its two voltages are the module's own ends, until the owner writes his battery's."""
    with rig(can_plan("infypower-beg", 0, 10, 200, 300), poll_ms=200) as r, simulated("infypower-beg", 10.0):
        wait(lambda: r.stats.writes >= 1 and r.newest().t_ns > 0, meanwhile=lambda: r.command(-3800.0))
        wait(lambda: r.stats.writes >= 2, meanwhile=lambda: r.command(3800.0))
        assert abs(r.newest().p_w) < 1.0


# ---- v2g scan: it listens ----


def test_scan_hears_a_module_and_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """BEG, unit 3, draws 3.8 kW from the grid; 0x351 is a battery's, which no map of ours knows."""
    ours: list[tuple[int, bytes]] = [
        (EXTENDED | 0x02A3F003, bytes.fromhex("21080000 0039fbc0")),
        (0x351, bytes(8)),
    ]
    speaker, witness, done = Port("vcan0"), Port("vcan0"), threading.Event()

    def speak() -> None:
        while not done.wait(0.05):
            for frame in ours:
                speaker.send(frame)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        code = cli.main(["scan", "--can", "vcan0"])
    finally:
        done.set()
        thread.join()
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "vcan0 unit 3: looks like infypower-beg (1 of its 5 frames, -3800 W)" in said.out
    assert "  can: vcan0\n" in said.out
    assert "vcan0: no map of ours knows 351\n" in said.err
    assert set(witness.receive(1.0)) <= set(ours)  # and nobody else has sent anything
    speaker.socket.close()
    witness.socket.close()


def test_scan_of_a_silent_bus_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["scan", "--can", "vcan0"]) == 3
    told = capsys.readouterr().err
    assert "vcan0: 0 frames of 0 identifiers in 3 s, 0 error frames\n" in told
    assert "no known device was heard" in told


# ---- the whole controller ----

SITE = """\
schema: 1
name: on-can
start_mode: demo
profile: ieee1547-2018-cat-b-iii
runtime_dir: {folder}/run
state_dir: {folder}/state
i_accept: slow-response
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: 5020, location: inverter, phases: L1, poll_ms: 50,
         timeout_ms: 200, refresh_ms: 100}}
inverter: {{map: {map}, can: vcan0, poll_ms: 100, timeout_ms: 300, reversion_s: 10, lag_ms: 300}}
settings:
  rating: {{v_nom_v: 230}}
  default_wish: {{charge_w: 1400, soc_target_pu: 0.9}}
"""


def test_the_controller_answers_an_event_over_can_and_hands_back(tmp_path: Path) -> None:
    """59 Hz is 0.964 Hz beyond the band: 0.964 / (60 x 0.05) x 7 kW = 2249 W above -1400 W."""
    family, bar = Family(tmp_path / "logs"), Bar(tmp_path / "bar")
    (tmp_path / "grid.csv").write_text("t_s,f_hz\n0,60\n1,60\n1.1,59\n600,59\n")
    (tmp_path / "site.yaml").write_text(SITE.format(folder=tmp_path, map=TEMPLATE))
    common, server = ("--bar", str(tmp_path / "bar")), "drivers.sim.server"
    family.start("grid", server, "grid", *common, "--trace", str(tmp_path / "grid.csv"))
    family.start("meter", server, "meter", *common, "--port", "5020")
    family.start("inverter", "drivers.sim.can_inverter", *common, "--interface", "vcan0", "--timer-s", "10")
    try:
        wait(lambda: all(bar.get(beat) > 0.0 for beat in ("grid_s", "meter_s", "unit_s")))
        family.start("controller", "controller.cli", "run", str(tmp_path / "site.yaml"), "--parent-death")
        wait(lambda: bar.get("p_w") < -1350.0)
        bar.play()
        wait(lambda: bar.get("p_w") > 0.97 * 849.0)
        assert bar.get("p_w") < 1.03 * 849.0
        family.stop(("controller",))
        wait(lambda: abs(bar.get("p_w")) < 20.0)
    finally:
        family.stop(("controller",))
        family.stop()
    said = (tmp_path / "logs" / "controller.log").read_text()
    assert "V2G-START" in said
    assert "V2G-NOT-HANDED-BACK" not in said


def test_frames_have_the_shape_of_the_kernel() -> None:
    assert (FRAME.size, socket.CAN_EFF_FLAG) == (16, EXTENDED)
