"""CPU time of a CAN frame on its way into a record: cantools over ours.

Frames   the three of the invented charger of maps/TEMPLATE-CAN.dbc, Intel and Motorola fields, one of them multiplexed,
         in random order and with random numbers inside their ranges.
Ours     after each frame the whole record from the newest of each kind: units, signs, ranges and flags.
cantools decodes the frame's signals into a dict, and no more; python-can's Message, from which its users take them, is
         printed beside it. What their numbers mean to a record is worked out untimed, to compare.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import drivers.maps
from cython_core.records import DeviceState
from drivers.can.dbc import can_plan
from tests.peers.compiled import compiled
from tests.performance.harness import Absent, Contestant, Gate, Measurement

FRAMES, QUICK_FRAMES = 20_000, 4_000
OURS, CANTOOLS, PYTHON_CAN = "ours", "cantools", "python-can and cantools"
INSTALL = "pip install 'v2g-controller[can]'"
MAPS = Path(drivers.maps.__file__).parent
EXTENDED = 1 << 31  # of an identifier, as the kernel flags it
STATE, SHOWN, LIMITS = 0x310, 0x311, 0x18FF50E5 | EXTENDED  # 784, 785 and 2566869221 of the DBC
QUANTITIES = ("p_w", "p_set_readback_w", "p_max_discharge_w", "p_max_charge_w", "s_max_va", "soc_pu")
Frame = tuple[int, bytes]
Seen = tuple[float | None, ...]


def some_frames(count: int) -> list[Frame]:
    random = Random(1)

    def one(i: int) -> Frame:
        kind, power = random.choice((STATE, STATE, SHOWN, LIMITS)), random.randrange(-30000, 30001)
        if kind == STATE:
            modes = random.randrange(4) | random.randrange(5) << 4
            return kind, struct.pack(
                "<hHBBBx", power, random.randrange(2000, 5000), modes, i % 256, random.randrange(201)
            )
        if kind == SHOWN:
            return kind, struct.pack("<Bhx", 1, power)
        return kind, struct.pack(">3H", *(random.randrange(3001) for _ in range(3)))

    return [one(i) for i in range(count)]


# ---- the contestants ----


def ours(frames: list[Frame]) -> Contestant:
    decoder = compiled(Path(__file__).with_name("can_decodes.pyx")).Decoder(
        can_plan(str(MAPS / "TEMPLATE-CAN.yaml"), 0, 10, 200, 300)
    )
    raw = b"".join(struct.pack("<IB3x8s", id, len(data), data) for id, data in frames)
    names = [f.name for f in fields(DeviceState)]
    places = [names.index(name) for name in QUANTITIES]

    def outputs(records: bytearray) -> list[Seen]:
        rows = struct.iter_unpack(f"<{len(names)}d", records)
        return [tuple(None if row[i] != row[i] else row[i] for i in places) for row in rows]

    return Contestant(OURS, len(frames), lambda: partial(decoder.decode, raw), outputs)


def cantools(name: str, frames: list[Frame], messages: bool) -> Contestant | Absent:
    if find_spec("cantools") is None or find_spec("can") is None:
        return Absent(name, INSTALL)
    import can
    from cantools.database import load_file

    dbc: Any = load_file(MAPS / "TEMPLATE-CAN.dbc")
    asked = [(id & ~EXTENDED, data) for id, data in frames]
    decode = partial(dbc.decode_message, decode_choices=False)

    def plainly() -> list[dict[str, float]]:
        return [decode(id, data) for id, data in asked]

    def by_message() -> list[dict[str, float]]:
        received = (can.Message(arbitration_id=id, data=data) for id, data in asked)
        return [decode(message.arbitration_id, message.data) for message in received]

    work: Callable[[], list[dict[str, float]]] = by_message if messages else plainly
    return Contestant(name, len(frames), lambda: work, outputs=as_records)


def as_records(decoded: list[dict[str, float]]) -> list[Seen]:
    """The quantities after each frame, by the words of TEMPLATE-CAN.yaml: it counts power the other way, soc in %."""
    newest: dict[str, float] = {}
    found = []
    for signals in decoded:
        newest |= signals
        power, shown, soc = newest.get("power"), newest.get("power_set"), newest.get("soc")
        limits = (newest.get(name) for name in ("max_discharge", "max_charge", "max_apparent"))
        found.append((
            None if power is None else -1.0 * power, None if shown is None else -1.0 * shown,
            *limits, None if soc is None else soc * 0.01,
        ))  # fmt: skip
    return found


def measurements(quick: bool) -> tuple[Measurement, ...]:
    frames = some_frames(QUICK_FRAMES if quick else FRAMES)
    contestants: tuple[Contestant | Absent, ...] = (ours(frames), cantools(CANTOOLS, frames, False))
    gates: tuple[Gate, ...] = (Gate(CANTOOLS, OURS, 10.0, 20.0),)
    if not quick:  # printed, not gated
        contestants += (cantools(PYTHON_CAN, frames, True),)
        gates += (Gate(PYTHON_CAN, OURS),)
    return (Measurement("can_decode", "ns/frame", contestants, gates),)
