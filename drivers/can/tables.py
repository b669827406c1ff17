"""Flat tables between a CAN map and its bus thread: which frames to take and to send, and what their bits mean.

Bits are counted as a DBC counts them: bit 8 k + i is bit i of byte k. An Intel field starts at its lowest bit and goes
up; a Motorola field starts at its highest bit and goes down, then on at the top of the next byte.
A frame's eight bytes as one number: byte 0 is the lowest (`mask`, `equals`, `data`).
What the rows do: drivers/can/frame.pyx.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

PLAN_VERSION = 1  # of the JSON text; a newer one is refused
KINDS = ("unsigned", "signed", "float")
# p_w, q_var: of the command; abs_w: |p_w|; a, abs_a: p_w / v_dc; direction: `high` discharging, `low` charging, and the
# last one again at 0 W; run: `high`, but `low` in mode STOP at 0 W; counter: goes up with each heartbeat
SOURCES = ("p_w", "q_var", "abs_w", "a", "abs_a", "direction", "run", "counter")


@dataclass(frozen=True, slots=True)
class Bits:
    """Where a raw number lies."""

    start: int
    length: int
    motorola: bool = False
    kind: str = "unsigned"

    @property
    def first(self) -> int:
        """Of its bits in its own byte order: from the highest bit of byte 0 downwards for a Motorola field."""
        return self.start // 8 * 8 + 7 - self.start % 8 if self.motorola else self.start

    def inside(self, length: int) -> bool:
        """Whether it lies in a frame of so many bytes."""
        return self.start >= 0 and 1 <= self.length <= 64 and self.first + self.length <= 8 * length


@dataclass(frozen=True, slots=True)
class Put:
    """One number in a frame to send: raw = source * scale + offset. direction, run: raw is `low` or `high`."""

    bits: Bits
    source: str
    scale: float = 1.0
    offset: float = 0.0
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """A frame to send: what is constant in it, and what is put in."""

    id: int
    extended: bool
    length: int
    data: int = 0
    puts: tuple[Put, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to take: (data & mask) == equals chooses among those of one identifier.

    timeout_ms: not seen for so long, its quantities leave the record; a `carrier` does not: the record is as old as its
    oldest carrier. ask: what is sent in each n-th (`every`) round to get it; None: it comes by itself.
    counter: goes up by one in each; ack: it says that the device has taken a write, and carries nothing.
    """

    id: int
    extended: bool
    length: int
    timeout_ms: int
    mask: int = 0
    equals: int = 0
    carrier: bool = True
    ask: Send | None = None
    every: int = 1
    counter: Bits | None = None
    ack: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """One number of a frame: raw * factor + offset."""

    frame: int
    bits: Bits
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Field:
    """Word `target` of the record: a value, or the product of two, times scale.

    Outside low ... high or not finite: NaN, and `valid` stays cleared.
    """

    values: tuple[int, ...]
    scale: float
    low: float
    high: float
    target: int
    valid: int


@dataclass(frozen=True, slots=True)
class Flag:
    """Where the raw number equals, `bits` are OR-ed into the int64 word `target`, or become it (set=True)."""

    frame: int
    where: Bits
    equals: int
    target: int
    bits: int
    set: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a CAN bus thread needs for one device.

    known: valid bits that are set even when no flag matches: an unknown status is not running, not unknown.
    v_dc: the value that `a` and `abs_a` divide by, at least v_dc_low.
    heartbeat_ms: 0: none. silence_ms: the device's own timer; fed_by_any: every frame of ours restarts it.
    """

    frames: tuple[Frame, ...]
    values: tuple[Value, ...]
    fields: tuple[Field, ...]
    flags: tuple[Flag, ...] = ()
    known: int = 0
    v_dc: int = -1
    v_dc_low: float = 0.0
    start: tuple[Send, ...] = ()
    setpoint: tuple[Send, ...] = ()
    stop: tuple[Send, ...] = ()
    heartbeat: Send | None = None
    heartbeat_ms: int = 0
    min_gap_ms: int = 0
    silence_ms: int = 0
    fed_by_any: bool = False
    min_write_interval_ms: int = 0
    write_refresh_ms: int = 0
    quantum_p_w: float = 1.0
    quantum_q_var: float = 1.0


def plan_to_json(plan: Plan) -> str:
    """One line of JSON: how a short-lived child hands its Plan to the parent."""
    return json.dumps({"v": PLAN_VERSION, **asdict(plan)}, allow_nan=False)


def plan_from_json(text: str) -> Plan:
    """The Plan again, equal to the one written. Raises ValueError for anything else."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.pop("v", None) != PLAN_VERSION:
        raise ValueError(f"not a plan of version {PLAN_VERSION}: {text[:80]!r}")
    try:
        data["frames"] = tuple(_frame(f) for f in data["frames"])
        data["values"] = tuple(Value(**{**v, "bits": Bits(**v["bits"])}) for v in data["values"])
        data["fields"] = tuple(Field(**{**f, "values": tuple(f["values"])}) for f in data["fields"])
        data["flags"] = tuple(Flag(**{**f, "where": Bits(**f["where"])}) for f in data["flags"])
        for name in ("start", "setpoint", "stop"):
            data[name] = tuple(_send(s) for s in data[name])
        data["heartbeat"] = _send(data["heartbeat"])
        return Plan(**data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a plan: {error}") from error


def _send(data: dict[str, Any] | None) -> Any:
    if data is None:
        return None
    puts = tuple(Put(**{**p, "bits": Bits(**p["bits"])}) for p in data["puts"])
    return Send(**{**data, "puts": puts})


def _frame(data: dict[str, Any]) -> Frame:
    counter = None if data["counter"] is None else Bits(**data["counter"])
    return Frame(**{**data, "ask": _send(data["ask"]), "counter": counter})
