"""Flat tables between a register map and a bus thread: what to ask, what the answers mean, what to write.

A Plan is all that a bus thread needs: which requests to send, which bits of the answers become which word of a
Measurement or DeviceState, and which frames carry a Command. Addresses are what goes on the wire, zero-based.
Values are big-endian words (Modbus Application Protocol v1.1b3, section 4.2). What the rows mean, in plain Python:
drivers.registermap.decode and encode.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

# type name -> 16-bit words
TYPES = {"u16": 1, "s16": 1, "u32": 2, "s32": 2, "f32": 2, "u64": 4, "s64": 4}

PLAN_VERSION = 1  # of the JSON text; a newer one is refused


@dataclass(frozen=True, slots=True)
class Read:
    """One request. every: asked in each n-th poll (1 = fast list)."""

    function: int
    address: int
    count: int
    every: int = 1


@dataclass(frozen=True, slots=True)
class Decode:
    """One quantity: word `word` of answer `read` -> value * scale -> word `target` of the record.

    Outside low ... high, not finite, or equal to `absent` (the raw pattern for "not implemented", as an unsigned
    number): NaN (0 for an integer) and `valid` stays cleared. to_int: the target word is an int64.
    """

    read: int
    word: int
    type: str
    scale: float
    low: float
    high: float
    target: int
    valid: int
    to_int: bool = False
    absent: int | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """An enum or bit field: where (raw & mask) == equals, `bits` are OR-ed into (set=False) or become (set=True)
    the int64 word `target`, and `valid` is set; without a match the word and the valid bits stay as they are."""

    read: int
    word: int
    type: str
    mask: int
    equals: int
    target: int
    bits: int
    valid: int
    set: bool = False


@dataclass(frozen=True, slots=True)
class Encode:
    """One quantity inside a write: round(source * scale) as `type` at `word`. source: "p_w" or "q_var"."""

    word: int
    type: str
    scale: float
    source: str


@dataclass(frozen=True, slots=True)
class Write:
    """One write request: a template of words with encoded quantities in it. function: 6, 16 or 23, which reads the
    words back in the same transaction: only then are they acknowledged."""

    function: int
    address: int
    words: tuple[int, ...]
    encodes: tuple[Encode, ...] = ()


@dataclass(frozen=True, slots=True)
class Watch:
    """A value that has to live: it changes (moves=True), or is not 0 while set-points are acknowledged (moves=False).
    Not so for longer than within_ms: `bits` are OR-ed into the int64 word `target`."""

    read: int
    word: int
    type: str
    moves: bool
    within_ms: int
    target: int
    bits: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a bus thread needs for one device. start: once before the first set-point and after a reconnect;
    setpoint: at each write; stop: once when control is handed back; beat: our sign of life, once a second, at most one
    write of two words, which the bus fills with its count."""

    unit: int
    reads: tuple[Read, ...]
    decodes: tuple[Decode, ...]
    flags: tuple[Flag, ...] = ()
    start: tuple[Write, ...] = ()
    setpoint: tuple[Write, ...] = ()
    stop: tuple[Write, ...] = ()
    timeout_ms: int = 300
    min_gap_ms: int = 0
    min_write_interval_ms: int = 0
    write_refresh_ms: int = 0  # a third of the device's own timer; 0: no timer, refresh each second
    quantum_p_w: float = 1.0
    quantum_q_var: float = 1.0
    beat: tuple[Write, ...] = ()
    watches: tuple[Watch, ...] = ()


def plan_to_json(plan: Plan) -> str:
    """One line of JSON: how a short-lived child hands its Plan to the parent."""
    return json.dumps({"v": PLAN_VERSION, **asdict(plan)}, allow_nan=False)


def plan_from_json(text: str) -> Plan:
    """The Plan again, equal to the one written. Raises ValueError for anything else."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.pop("v", None) != PLAN_VERSION:
        raise ValueError(f"not a plan of version {PLAN_VERSION}: {text[:80]!r}")
    try:
        rows = {"reads": Read, "decodes": Decode, "flags": Flag, "watches": Watch}
        for name, row in rows.items():
            data[name] = tuple(row(**r) for r in data[name])
        for name in ("start", "setpoint", "stop", "beat"):
            data[name] = tuple(_write(w) for w in data[name])
        missing = {f.name for f in fields(Plan)} - set(data)
        if missing:
            raise ValueError(f"missing {', '.join(sorted(missing))}")
        return Plan(**data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a plan: {error}") from error


def _write(data: dict[str, Any]) -> Write:
    encodes = tuple(Encode(**e) for e in data.pop("encodes"))
    return Write(words=tuple(data.pop("words")), encodes=encodes, **data)
