"""Flat tables between a register map and a bus thread: what to ask, what the answers mean, what to write.

A Plan is all that a bus thread needs: which requests to send, which bits of the answers become which word of a
Measurement or DeviceState, and which frames carry a Command. Addresses are what goes on the wire, zero-based.
Words are big-endian (Modbus Application Protocol v1.1b3, section 4.2), and the high word of a value comes first unless
its type says otherwise. What the rows mean, in plain Python:
drivers.registermap.decode and encode.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

# type name -> 16-bit words
TYPES = {"u16": 1, "s16": 1, "u32": 2, "s32": 2, "f32": 2, "u64": 4, "s64": 4}
LITTLE = "_le"  # behind the type of a row whose low word comes first
ROW_TYPES = TYPES | {name + LITTLE: words for name, words in TYPES.items() if words > 1}
MAX_ABSENT = 4  # patterns for "no value" that one row of a bus can hold (tables.pxd)
# counters of energy a device may keep, Wh: from and to the grid; into and out of the battery, on its own side
ENERGIES = ("e_import_wh", "e_export_wh", "e_dc_in_wh", "e_dc_out_wh")

PLAN_VERSION = 3  # of the JSON text; any other is refused


@dataclass(frozen=True, slots=True)
class Read:
    """One request. every: asked in each n-th poll (1 = fast list). unit: whom it asks, if not the plan's.

    every 0: asked once in every_ms, in the pause behind a poll; what it costs is one request then.
    """

    function: int
    address: int
    count: int
    every: int = 1
    unit: int | None = None
    every_ms: int = 0


@dataclass(frozen=True, slots=True)
class Decode:
    """One quantity: word `word` of answer `read` -> value * scale -> word `target` of the record.

    Outside low ... high, not finite, or one of `absent` (the raw patterns for "not implemented", as unsigned
    numbers): NaN (0 for an integer) and `valid` stays cleared. to_int: the target word is an int64.
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
    absent: tuple[int, ...] = ()


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
    """One quantity inside a write: round(source * scale) as `type` at `word`. source: "p_w" or "q_var".

    Outside low ... high (of the source) the frame is not sent.
    """

    word: int
    type: str
    scale: float
    source: str
    low: float = -1e12
    high: float = 1e12


@dataclass(frozen=True, slots=True)
class Write:
    """One write request: a template of words with encoded quantities in it. function: 6, 16 or 23, which reads the
    words back in the same transaction: only then are they acknowledged. unit: whom it tells, if not the plan's.

    verify 3 or 4: the words are read first and written only where they differ, then read again and must be the same.
    """

    function: int
    address: int
    words: tuple[int, ...]
    encodes: tuple[Encode, ...] = ()
    unit: int | None = None
    verify: int = 0


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
    """Everything a bus thread needs for one device. start: once before the first set-point, again after a reconnect
    and after a silence of ours; setpoint: at each write; stop: once when control is handed back; beat: our sign of
    life, once a second, at most one write of two words, which the bus fills with its count."""

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
    write_budget_per_day: int = 0  # set-points in 24 h that the device's memory bears; 0: any number
    quiet_ms: int = 0  # of a device whose timer reads feed too: not asked for so long when we fall silent
    beat: tuple[Write, ...] = ()
    watches: tuple[Watch, ...] = ()
    energies: tuple[Decode, ...] = ()  # target: place in ENERGIES; valid: 1 << target


def plan_to_json(plan: Plan) -> str:
    """One line of JSON: how a short-lived child hands its Plan to the parent."""
    return json.dumps({"v": PLAN_VERSION, **asdict(plan)}, allow_nan=False)


def plan_from_json(text: str) -> Plan:
    """The Plan again, equal to the one written. Raises ValueError for anything else."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.pop("v", None) != PLAN_VERSION:
        raise ValueError(f"not a plan of version {PLAN_VERSION}: {text[:80]!r}")
    try:
        for name in ("decodes", "energies"):
            data[name] = [{**r, "absent": tuple(r["absent"])} for r in data[name]]
        rows = {"reads": Read, "decodes": Decode, "flags": Flag, "watches": Watch, "energies": Decode}
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
