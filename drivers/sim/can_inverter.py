"""The simulated unit behind CAN frames: the invented charger of maps/TEMPLATE-CAN.dbc, or an Infypower BEG module.

    python -m drivers.sim.can_inverter --interface vcan0 --face acme --timer-s 2
    python -m drivers.sim.can_inverter --interface vcan0 --face infypower-beg --bar BAR

Faces    pure: take(frame) is what a master does, due(now_s) what the device sends by itself. Bytes are packed by hand
         here, from the documents and not from the maps: a wrong map must not find a simulator that agrees with it.
Silence  each face has its own timer: without the frames that feed it, power goes to 0 and stays there.
Frames   (identifier, data); bit 31 of an identifier says that it has 29 bits.
End      SIGTERM or SIGINT: exit 0 at once; the same when the parent is gone. 2 with one line: no such interface.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic
from typing import Protocol

from drivers.sim.bar import Bar
from drivers.sim.plant import Session, Unit

EXTENDED = 0x80000000
FRAME = struct.Struct("=IB3x8s")  # struct can_frame of Linux
PERIOD_S = 0.005
CanFrame = tuple[int, bytes]


class Face(Protocol):
    """What a device looks like on the bus."""

    unit: Unit

    def take(self, identifier: int, data: bytes) -> list[CanFrame]:
        """A frame of somebody else, and what the device answers at once."""
        ...

    def due(self, now_s: float) -> list[CanFrame]:
        """What it sends by itself."""
        ...

    def step(self, dt_s: float) -> None:
        """Time goes on."""
        ...


def hold(unit: Unit, timer_s: float) -> None:
    """The unit follows its set-point, and goes to 0 W when nothing restarts the timer."""
    for point in (unit.p_set, unit.q_set):
        point.enabled = point.reversion_enabled = True
        point.reversion_s = timer_s


CAR = {Session.UNPLUGGED: 0, Session.PLUGGED: 1, Session.ENDED: 4}


class Acme:
    """TEMPLATE-CAN.dbc: set-points and state go round by themselves. It counts + into the car: the other way round."""

    SETPOINT, HEARTBEAT, STATE, SHOWN, LIMITS = 0x210, 0x211, 0x310, 0x311, 0x18FF50E5 | EXTENDED

    def __init__(self, unit: Unit, timer_s: float) -> None:
        self.unit = unit
        self.run = self.alive = self.heartbeats = 0
        self.next_s = {"state": 0.0, "shown": 0.0, "limits": 0.0}
        hold(unit, timer_s)

    def take(self, identifier: int, data: bytes) -> list[CanFrame]:
        unit = self.unit
        if identifier == self.SETPOINT and len(data) == 8:
            p_w, q_var, run = struct.unpack_from("<hhB", data)
            self.run = run & 1
            unit.p_set.value, unit.q_set.value = (-float(p_w), -float(q_var)) if self.run else (0.0, 0.0)
        elif identifier == self.HEARTBEAT and len(data) == 1:
            self.heartbeats += 1
        else:
            return []
        unit.p_set.restart()
        unit.q_set.restart()
        return []

    def due(self, now_s: float) -> list[CanFrame]:
        return [
            *(self.state() for _ in self.passed("state", now_s, 0.05)),
            *(frame for _ in self.passed("shown", now_s, 0.1) for frame in self.shown()),
            *(self.limits() for _ in self.passed("limits", now_s, 1.0)),
        ]

    def passed(self, name: str, now_s: float, period_s: float) -> Iterable[None]:
        if now_s >= self.next_s[name]:
            self.next_s[name] = now_s + period_s
            yield None

    def state(self) -> CanFrame:
        unit = self.unit
        self.alive = (self.alive + 1) % 256
        mode = 2 if self.run else 1
        return self.STATE, struct.pack(
            "<hHBBBB", whole(-unit.inverter.p_w), 3800, mode | CAR[unit.session] << 4, self.alive,
            round(200.0 * unit.battery.soc), 0,
        )  # fmt: skip

    def shown(self) -> list[CanFrame]:
        points = ((1, self.unit.p_set), (2, self.unit.q_set))
        return [(self.SHOWN, struct.pack("<Bhx", which, whole(-point.value))) for which, point in points]

    def limits(self) -> CanFrame:
        i = self.unit.inverter
        return self.LIMITS, struct.pack(">HHH", *(round(w / 10) for w in (i.p_discharge_w, i.p_charge_w, i.s_max_va)))

    def step(self, dt_s: float) -> None:
        if self.unit.step(dt_s):
            self.run = 0


class InfypowerBeg:
    """A BEG module on a battery: it answers, and feeds its timer with every frame to it. Source: the map's."""

    READ, WRITE, TO_US, FROM_US = 0x23, 0x24, 0xF0, 0xF0
    ON, OFF, RECTIFIER, INVERTER = 0xA0, 0xA1, 0xA0, 0xA1
    RATED_W, SILENCE_S = 22000.0, 10.0

    def __init__(self, unit: Unit, timer_s: float = SILENCE_S, module: int = 0, battery_v: float = 380.0) -> None:
        self.unit, self.module, self.battery_v = unit, module, battery_v
        self.on, self.mode, self.limit_v, self.limit_a = False, self.RECTIFIER, 0.0, 0.0
        self.writes: list[tuple[int, int]] = []
        hold(unit, timer_s)

    def take(self, identifier: int, data: bytes) -> list[CanFrame]:
        command = identifier >> 16 & 0x3F
        asked = EXTENDED | 0x0A << 22 | command << 16 | self.module << 8 | self.TO_US
        if identifier != asked or command not in (self.READ, self.WRITE) or len(data) != 8:
            return []
        (item,) = struct.unpack_from(">H", data)
        if command == self.WRITE:
            self.write(item, struct.unpack_from(">i", data, 4)[0])
        self.obey()
        value = self.value(item) if command == self.READ else bytes(4)
        reply = EXTENDED | 0x0A << 22 | command << 16 | self.FROM_US << 8 | self.module
        return [(reply, struct.pack(">HH", item, 0) + value)]

    def write(self, item: int, raw: int) -> None:
        self.writes.append((item, raw))
        match item:
            case 0x1110:
                self.on = raw == self.ON
            case 0x2110:
                self.mode = raw
            case 0x1001:
                self.limit_v = raw / 1000.0
            case 0x1002:
                self.limit_a = raw / 1000.0

    def obey(self) -> None:
        """A current flows only if the voltage that is asked for lies on its side of the battery's."""
        charges = self.mode == self.RECTIFIER and self.limit_v > self.battery_v
        discharges = self.mode == self.INVERTER and self.limit_v < self.battery_v
        self.unit.p_set.value = self.on * (discharges - charges) * self.limit_a * self.battery_v
        self.unit.p_set.restart()

    def value(self, item: int) -> bytes:
        numbers = {0x2108: -self.unit.inverter.p_w, 0x1001: self.battery_v, 0x1133: self.RATED_W}
        if item == 0x1110:
            return bytes((0, 0, 0 if self.on else 1, 0))
        return struct.pack(">i", round(1000.0 * numbers.get(item, 0.0)))

    def due(self, _now_s: float) -> list[CanFrame]:
        return []

    def step(self, dt_s: float) -> None:
        if self.unit.step(dt_s):
            self.on = False


FACES = {"acme": Acme, "infypower-beg": InfypowerBeg}


def whole(value: float) -> int:
    return min(max(round(value), -32768), 32767)


class Port:
    """One raw CAN socket of the standard library."""

    def __init__(self, interface: str) -> None:
        self.socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self.socket.setblocking(False)
        self.socket.bind((interface,))

    def send(self, frame: CanFrame) -> None:
        identifier, data = frame
        self.socket.send(FRAME.pack(identifier, len(data), data))

    def receive(self, wait_s: float) -> list[CanFrame]:
        """What is there, after at most so long."""
        found: list[CanFrame] = []
        if not select.select([self.socket], [], [], max(wait_s, 0.0))[0]:
            return found
        while len(found) < 64:
            try:
                identifier, length, data = FRAME.unpack(self.socket.recv(FRAME.size))
            except BlockingIOError:
                break
            found.append((identifier, data[:length]))
        return found


def serve(face: Face, port: Port, bar: Bar | None, parent: int) -> None:
    """Until a signal, or the parent's end."""
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopped.append(received))
    last = monotonic()
    while not stopped and os.getppid() == parent:
        for frame in port.receive(last + PERIOD_S - monotonic()):
            for answer in face.take(*frame):
                port.send(answer)
        now = monotonic()
        if now - last >= PERIOD_S:
            face.step(now - last)
            last = now
            tell(face.unit, bar, now)
        for frame in face.due(now):
            port.send(frame)


def tell(unit: Unit, bar: Bar | None, now_s: float) -> None:
    if bar is not None:
        power = {"p_w": unit.inverter.p_w, "q_var": unit.inverter.q_var, "p_set_w": unit.p_set.value}
        bar.update(soc=unit.battery.soc, unit_s=now_s, **power)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m drivers.sim.can_inverter", description="A simulated CAN inverter.")
    parser.add_argument("--interface", required=True, help="a CAN interface like vcan0")
    parser.add_argument("--face", choices=sorted(FACES), default="acme")
    parser.add_argument("--timer-s", type=float, default=10.0, help="its own silence timer")
    parser.add_argument("--bar", type=Path, help="the file it shares with a simulated grid and meter")
    parser.add_argument("--parent", type=int, default=os.getppid(), metavar="PID", help="ends with this parent process")
    args = parser.parse_args(argv)
    try:
        port = Port(args.interface)
    except OSError as error:
        print(f"{args.interface}: {error.strerror}; allowed: a CAN interface that is up", file=sys.stderr)
        return 2
    serve(FACES[args.face](Unit(), args.timer_s), port, Bar(args.bar) if args.bar else None, args.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
