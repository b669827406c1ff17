"""Which known device speaks on a CAN interface: its frames are listened to; none is ever sent.

Frames   a map's plan says which identifiers, lengths and multiplexers its device sends; the unit is in the identifier.
Values   of the newest frames of a unit, by the tables that the bus thread uses; + = out of the inverter.
Silent   a device that speaks only when it is asked is heard only while another controller asks it.
Errors   BusError: no such interface, or not up. MapError: cantools is not installed.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from controller.scanunit import Found, finite, known_maps
from drivers.base import BusError
from drivers.can.canmap import CanMap
from drivers.can.dbc import can_plan_in_child
from drivers.can.frame import Frames
from drivers.can.interface import need_up
from drivers.can.link import CanLink
from drivers.can.tables import Frame, Plan
from drivers.devicemap import DEVICE_QUANTITIES

LISTEN_S = 3.0
LOOK_S = 0.1
CAN_FRAME = struct.Struct("=IB3x8s")  # Linux, struct can_frame
EXTENDED, REMOTE, ERROR, IDENTIFIER = 0x80000000, 0x40000000, 0x20000000, 0x1FFFFFFF
ERROR_FILTER, EVERY_ERROR = 2, IDENTIFIER  # CAN_RAW_ERR_FILTER of linux/can/raw.h
MOST_UNIT = 255
POLL_MS, TIMEOUT_MS = 200, 300  # of the plans that are made here, which are never run


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame."""

    id: int
    extended: bool
    data: bytes

    @property
    def name(self) -> str:
        """As candump shows it."""
        return f"{self.id:08X}" if self.extended else f"{self.id:03X}"


@dataclass(frozen=True, slots=True)
class Known:
    """A map and its plan for unit 0. unit_bit: where its identifiers hold the unit; None: nowhere."""

    name: str
    unit_bit: int | None
    plan: Plan

    def unit_of(self, seen: Seen) -> int | None:
        """Whose frame this is, if it is one of this map's."""
        return next((u for f in self.plan.frames if (u := self._unit(f, seen)) is not None), None)

    def _unit(self, frame: Frame, seen: Seen) -> int | None:
        word = int.from_bytes(seen.data, "little")
        alike = (seen.extended, len(seen.data), word & frame.mask) == (frame.extended, frame.length, frame.equals)
        if not alike or (self.unit_bit is None and seen.id != frame.id):
            return None
        unit, rest = divmod(seen.id - frame.id, 1 << (self.unit_bit or 0))
        return unit if rest == 0 and 0 <= unit <= MOST_UNIT else None

    def plan_of(self, unit: int) -> Plan:
        shift = unit << (self.unit_bit or 0)
        return replace(self.plan, frames=tuple(replace(f, id=f.id + shift) for f in self.plan.frames))


def can_maps() -> list[tuple[str, CanMap]]:
    """All that come with the program."""
    return [(name, device) for name, device in known_maps("inverter") if isinstance(device, CanMap)]


def known_devices() -> list[Known]:
    """Their plans: a second each, in a process of its own."""
    return [
        Known(
            name,
            device.unit_bits[1] if device.unit_bits else None,
            can_plan_in_child(name, 0, device.sends.timer_s[0], POLL_MS, TIMEOUT_MS),
        )
        for name, device in can_maps()
    ]


def devices_in(frames: Sequence[Seen], known: Iterable[Known]) -> list[Found]:
    """Each unit of each map that at least one of these frames is of; the one with the most frames first."""
    found: list[tuple[int, Found]] = []
    for device in known:
        units = {unit for seen in set(frames) if (unit := device.unit_of(seen)) is not None}
        found += [heard(device, unit, frames) for unit in sorted(units)]
    return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


def heard(device: Known, unit: int, frames: Sequence[Seen]) -> tuple[int, Found]:
    """How many of its frames were there, and what they said."""
    plan = device.plan_of(unit)
    tables = Frames(plan)
    placed = [(tables.find(seen.id, seen.extended, seen.data), seen.data) for seen in frames]
    mine = [(place, data) for place, data in placed if place >= 0]
    state = tables.decode(mine)
    places = {place for place, _ in mine}
    asked = any(plan.frames[place].ask is not None for place in places)
    return len(places), Found(
        unit=unit,
        kind="inverter",
        maps=(device.name,),
        seen=finite({name: getattr(state, name) for name in DEVICE_QUANTITIES}),
        note=f"{len(places)} of its {len(plan.frames)} frames",
        but="it speaks when it is asked: another controller does that, end it before this one starts" if asked else "",
    )


def strangers(frames: Iterable[Seen], known: Sequence[Known]) -> list[str]:
    """The identifiers that no map's device sends."""
    return sorted({seen.name for seen in set(frames) if all(device.unit_of(seen) is None for device in known)})


# ---- the wire ----


def need_there(link: CanLink) -> None:
    """BusError: it cannot be listened to. The remedy has the bit rate of the devices that we know."""
    need_up(link, can_maps()[0][1].bitrate)


def interface_of(link: CanLink) -> socket.socket:
    """A socket that receives everything, error frames too. It is never written to."""
    need_there(link)
    wire = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    wire.setsockopt(socket.SOL_CAN_RAW, ERROR_FILTER, EVERY_ERROR)
    wire.bind((link.interface,))
    wire.settimeout(LOOK_S)
    return wire


def listen(link: CanLink, seconds: float, progress: Callable[[int, int], None]) -> tuple[list[Seen], int]:
    """(frames in their order, number of error frames) of so many seconds."""
    frames: list[Seen] = []
    errors = 0
    try:
        with closing(interface_of(link)) as wire:
            start = time.monotonic()
            while (past := time.monotonic() - start) < seconds:
                progress(round(1000 * past), round(1000 * seconds))
                try:
                    identifier, length, data = CAN_FRAME.unpack(wire.recv(CAN_FRAME.size))
                except TimeoutError:
                    continue
                errors += bool(identifier & ERROR)
                if not identifier & (ERROR | REMOTE):
                    frames.append(Seen(identifier & IDENTIFIER, bool(identifier & EXTENDED), data[:length]))
    except OSError as error:
        raise BusError(f"{link}: cannot be listened to: {error.strerror}") from error
    return frames, errors
