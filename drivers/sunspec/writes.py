"""What is written to a SunSpec inverter (model 704) to start, to command P and Q, and to hand control back. Pure.

start     what happens when we fall silent: 0 W and 0 var *enabled*, after reversion_s. It changes no power.
          (Disabled instead, the device would fall to its own default: possibly full charge or export.)
setpoint  mode, value, reversion and timer in one frame, so that a value never meets the wrong mode and every refresh
          restarts the timer; the enable last, in a frame of its own, because some devices apply the value then.
stop      0 first, while the timer still runs; then the timer off, or its expiry would take control again; then the
          enable off: the device's local mode has control. A link that breaks half-way leaves 0 W, nothing else.
Source    SunSpec model 704 DERCtlAC; P > 0 is generation as in model 701.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.base import MapError
from drivers.sunspec.device import Device, power_of_ten
from drivers.tables import TYPES, Encode, Write

WRITE_MULTIPLE = 16
MODEL = 704
WATTS, VARS, REACTIVE_FIRST = 1, 4, 1  # WSetMod, VarSetMod, VarSetPri
ENABLED, DISABLED = 1, 0


@dataclass(frozen=True, slots=True)
class Axis:
    """The points of one set-point: P in watts or Q in vars, alike in 704 but for their names."""

    name: str  # WSet | VarSet
    source: str  # p_w | q_var
    block: tuple[str, ...]  # neighbouring points, written in one frame
    fixed: Mapping[str, int]


P = Axis(
    "WSet",
    "p_w",
    ("WSetMod", "WSet", "WSetRvrt", "WSetPct", "WSetPctRvrt", "WSetEnaRvrt", "WSetRvrtTms"),
    {"WSetMod": WATTS, "WSet": 0, "WSetRvrt": 0, "WSetEnaRvrt": ENABLED},
)
Q = Axis(
    "VarSet",
    "q_var",
    (
        *("VarSetMod", "VarSetPri", "VarSet", "VarSetRvrt", "VarSetPct", "VarSetPctRvrt"),
        *("VarSetEnaRvrt", "VarSetRvrtTms"),
    ),
    {"VarSetMod": VARS, "VarSetPri": REACTIVE_FIRST, "VarSet": 0, "VarSetRvrt": 0, "VarSetEnaRvrt": ENABLED},
)


def start_writes(device: Device, reversion_s: int, commands_q: bool = True) -> tuple[Write, ...]:
    """Reversion values and timers, without touching a set-point or an enable."""
    writes: list[Write] = []
    for axis in _axes(device, commands_q):
        n = axis.name
        writes.append(_frame(device, (f"{n}Rvrt",), {f"{n}Rvrt": 0}))
        writes.append(_timer(device, axis, ENABLED, reversion_s))
    return tuple(writes)


def setpoint_writes(device: Device, reversion_s: int, commands_q: bool = True) -> tuple[Write, ...]:
    """P, its enable, Q, its enable."""
    writes: list[Write] = []
    for axis in _axes(device, commands_q):
        writes.append(_block(device, axis, reversion_s, encoded=True))
        writes.append(_enable(device, axis, ENABLED))
    return tuple(writes)


def stop_writes(device: Device, reversion_s: int, commands_q: bool = True) -> tuple[Write, ...]:
    """Power to 0 before anything is given up; Q is handed back first, P last."""
    axes = _axes(device, commands_q)
    zero = [_block(device, axis, reversion_s, encoded=False) for axis in axes]
    hand_back = [
        w for axis in reversed(axes) for w in (_timer(device, axis, DISABLED, 0), _enable(device, axis, DISABLED))
    ]
    return (*zero, *hand_back)


def _axes(device: Device, commands_q: bool) -> tuple[Axis, ...]:
    """Q only where it is ours to command, and the device takes it and says how it is scaled."""
    takes_q = commands_q and device.implements(MODEL, "VarSetEna") and device.exponent(MODEL, "VarSet") is not None
    return (P, Q) if takes_q else (P,)


def _block(device: Device, axis: Axis, reversion_s: int, encoded: bool) -> Write:
    """The whole set-point. Points that are not ours (percentages, an absent priority) keep what the device said."""
    values = {name: device.raw(MODEL, name) for name in axis.block} | dict(axis.fixed)
    values[f"{axis.name}RvrtTms"] = reversion_s
    if axis is Q and not device.implements(MODEL, "VarSetPri"):
        values["VarSetPri"] = device.raw(MODEL, "VarSetPri")
    return _frame(device, axis.block, values, axis if encoded else None)


def _timer(device: Device, axis: Axis, enable: int, seconds: int) -> Write:
    points = (f"{axis.name}EnaRvrt", f"{axis.name}RvrtTms")
    return _frame(device, points, {points[0]: enable, points[1]: seconds})


def _enable(device: Device, axis: Axis, value: int) -> Write:
    return _frame(device, (f"{axis.name}Ena",), {f"{axis.name}Ena": value})


def _frame(device: Device, points: tuple[str, ...], values: Mapping[str, int], encoded: Axis | None = None) -> Write:
    """One FC16 request for points that follow each other without a hole."""
    address = device.address(MODEL, points[0])
    words: list[int] = []
    encodes: list[Encode] = []
    for name in points:
        kind = device.point(MODEL, name).type
        if device.address(MODEL, name) != address + len(words):
            raise MapError(
                f"{device.layout.file}:1: model {MODEL}: {name} must follow its neighbour in {', '.join(points)}"
            )
        if encoded is not None and name == encoded.name:
            scale = power_of_ten(-(device.exponent(MODEL, name) or 0))
            encodes.append(Encode(len(words), kind, scale, encoded.source))
        words += _words(values[name], TYPES[kind])
    return Write(WRITE_MULTIPLE, address, tuple(words), tuple(encodes))


def _words(raw: int, count: int) -> list[int]:
    """An unsigned number as big-endian words."""
    return [raw >> 16 * i & 0xFFFF for i in reversed(range(count))]
