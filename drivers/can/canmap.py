"""CAN map files: which signals of a DBC are what, read strictly. drivers/maps/TEMPLATE-CAN.yaml explains every key.

The DBC says where the bits are, the map what they mean to us. Nothing of the DBC is looked at here: drivers.can.dbc
does that, in a process of its own.
Errors   into Problems, one line each: `file:line: what; what is allowed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cython_core.records import DeviceStatus, Session
from drivers.can.tables import SOURCES
from drivers.devicemap import DEVICE_QUANTITIES, SIGNED, DeviceMap
from drivers.yamlfile import Entry, Leaf, Problems, Section
from drivers.yamlkeys import Meta, choice, flag, integer, keys_of, nested, number, read_values, several, text

FRAME_NAME = r"[a-z][a-z0-9_]*"
SIGNAL = rf"{FRAME_NAME}\.\w+"
STATUS = tuple(s.name.lower() for s in DeviceStatus if s.name)
SESSIONS = tuple(s.name.lower() for s in Session if s is not Session.UNKNOWN)
RAW = integer("", 0, 2**64 - 1, "a raw number of the signal")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """A frame to take, of a message of the DBC; `when` chooses among those of a multiplexed one."""

    line: int
    message: str = text("a message of the DBC")
    when: Mapping[str, int]
    timeout_ms: int | None = integer("ms", 1, 3600000, "not seen for so long, it is stale", None)
    carrier: bool = flag("false: without it the rest of the state is still good", True)
    counter: str | None = text("a signal that counts the frames", None)
    ask: str | None = text("the message that asks for it, with the same `when`", None)
    every: int = integer("polls", 1, 1000, "asked in each so many-th", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityRow:
    """A field of DeviceState: one signal, or the product of two (a voltage and a current)."""

    line: int
    signal: tuple[str, ...] = several(text("frame.signal, or two of them whose product it is", pattern=SIGNAL))
    low: float
    high: float
    scale: float = number("", -1e9, 1e9, "value = what the DBC makes of the signal * scale", 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRow:
    """Where the signal's raw number is one of these."""

    line: int
    signal: str = text("frame.signal", pattern=SIGNAL)
    equals: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutRow:
    """What is put into a signal: a raw number, or what is computed."""

    line: int
    raw: int | None = None
    source: str = ""
    scale: float = 1.0
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRow:
    """A frame to send."""

    line: int
    message: str = text("a message of the DBC")
    puts: Mapping[str, PutRow]
    every_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WritesRow:
    """How the device wants to be commanded."""

    storage: str = choice(("ram", "flash"), "where a set-point is kept")
    min_write_interval_ms: int = integer("ms", 0, 3600000, "never send set-points faster")
    quantum_p_w: float = number("W", 0.001, 1e6, "a smaller change is not worth a frame")
    quantum_q_var: float = number("var", 0.001, 1e6, "a smaller change is not worth a frame", 1.0)
    fed_by: str = choice(("setpoint", "any"), "which frames of ours keep the device's own timer from running out")
    timer_s: tuple[int, int]
    ack: FrameRow | None = None
    start: tuple[SendRow, ...] = ()
    setpoint: tuple[SendRow, ...] = ()
    stop: tuple[SendRow, ...] = ()
    heartbeat: SendRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CanMap(DeviceMap):
    """One map file of a CAN inverter."""

    function: int = 0  # of Modbus maps
    max_words: int = 0
    kind: str = choice(("inverter",), "what it is")
    dbc: str = text("the DBC file, beside this one")
    bitrate: int = integer("bit/s", 10000, 1000000, "of the bus")
    unit_bits: tuple[int, ...] = several(integer("", 0, 28, "where identifiers hold `unit`: [sent, taken]", ()), 2)
    frames: Mapping[str, FrameRow]
    can_quantities: Mapping[str, QuantityRow]
    status: Mapping[str, FlagRow]
    session: Mapping[str, FlagRow]
    v_dc: QuantityRow | None = None
    sends: WritesRow


UNUSED = ("function", "max_words", "refresh_ms", "udp")
TOP_KEYS: dict[str, Meta] = {
    **{name: meta for name, meta in keys_of(CanMap).items() if name not in UNUSED},
    "frames": nested("one key a frame to take"),
    "quantities": nested("one key a quantity"),
    "v_dc": nested("the battery's voltage, which a current is computed with", required=False),
    "status": nested("running, connected and what else the device says"),
    "session": nested("what the car is doing", required=False),
    "writes": nested("how the device wants to be commanded"),
}
FRAME_KEYS = {**keys_of(FrameRow), "when": nested("raw numbers of signals", required=False)}
WRITE_KEYS = {
    **keys_of(WritesRow),
    "timer_s": several(integer("s", 1, 86400, "[shortest, longest] of the device's own timer"), 2).metadata,
    "ack": nested("the frame that says that a write was taken", required=False),
    "start": nested("one key a frame", required=False),
    "setpoint": nested("one key a frame"),
    "stop": nested("one key a frame", required=False),
    "heartbeat": nested("a frame that is sent while a command is in force", required=False),
}
SEND_KEYS = {**keys_of(SendRow), "set": nested("one key a signal")}
BEAT_KEYS = {**SEND_KEYS, "every_ms": integer("ms", 1, 60000, "from one to the next").metadata}
FLAG_KEYS = {**keys_of(FlagRow), "is": several(RAW).metadata}
SESSION_KEYS: dict[str, Meta] = {
    "signal": keys_of(FlagRow)["signal"],
    **{name: several(integer("", 0, 2**64 - 1, "a raw number of the signal", None)).metadata for name in SESSIONS},
}
FROM = choice(SOURCES, "what is put in").metadata
SCALE = number("", -1e9, 1e9, "what is put in is multiplied by it", 1.0).metadata
PUT_KEYS: dict[str, dict[str, Meta]] = {
    "direction": {"from": FROM, "charge": RAW.metadata, "discharge": RAW.metadata},
    "run": {"from": FROM, "off": RAW.metadata, "on": RAW.metadata},
    "counter": {"from": FROM},
}


def quantity_keys(name: str, unit: str) -> dict[str, Meta]:
    """unit, range, and a scale that must be written where the direction matters, as in the other maps."""
    own = keys_of(QuantityRow)
    scale = {**own["scale"], "required": True, "clause": "1 if the device counts + out of the inverter, else -1"}
    return {
        "signal": {**own["signal"], "count": 0},
        "scale": scale if name in SIGNED else own["scale"],
        "unit": choice((unit,), "the unit in the quantity's name").metadata,
        "range": several(number(unit, -1e12, 1e12, "[low, high] after the scale"), 2).metadata,
    }


def read_can_map(tree: Section, problems: Problems) -> CanMap | None:
    """The whole file, or None with the reasons among the problems."""
    before = len(problems)
    top = _values(TOP_KEYS, tree, problems, "map")
    nothing = Section({}, 0)
    frames = {n: _frame(n, s, problems) for n, s in _groups(top.get("frames", nothing), problems).items()}
    known = {name: nested("the signal that holds it", name == "p_w") for name in DEVICE_QUANTITIES}
    sections = _values(known, top.pop("quantities", nothing), problems, "quantities")
    quantities = {n: _quantity(n, DEVICE_QUANTITIES[n][1], s, problems) for n, s in sections.items()}
    v_dc = _quantity("v_dc", "V", top["v_dc"], problems) if "v_dc" in top else None
    status = _status(top.pop("status", nothing), problems)
    session = _session(top.pop("session", nothing), problems)
    writes = _writes(top.pop("writes", nothing), problems)
    if len(problems) > before or writes is None:
        return None
    used = [(s, row.line) for row in (*quantities.values(), *([v_dc] if v_dc else [])) for s in row.signal]
    used += [(row.signal, row.line) for row in (*status.values(), *session.values())]
    for signal, line in used:
        if signal.partition(".")[0] not in frames:
            problems.add(line, f"signal = {signal}: no such frame; known: {', '.join(frames)}")
    top = {**top, "frames": frames, "v_dc": v_dc}
    found = CanMap(
        file=problems.file, **top, can_quantities=quantities, status=status, session=session, sends=writes
    )  # fmt: skip
    return found if len(problems) == before else None


def _values(known: Mapping[str, Meta], section: Section, problems: Problems, where: str) -> dict[str, Any]:
    return {name: value for name, (value, _) in read_values(known, section, problems, where).items()}


def _groups(section: Section, problems: Problems) -> dict[str, Section]:
    """A group whose keys the author names: each holds keys of its own."""
    return _values(dict.fromkeys(section.entries, nested("keys of its own")), section, problems, "")


def _frame(name: str, section: Section, problems: Problems) -> FrameRow:
    values = _values(FRAME_KEYS, section, problems, name)
    when = values.pop("when", Section({}, 0))
    values["when"] = _values(dict.fromkeys(when.entries, RAW.metadata), when, problems, "when")
    if "timeout_ms" not in values and "ask" not in values:
        problems.add(section.line, f"{name}: missing key 'timeout_ms' (or `ask`, if it does not come by itself)")
    return FrameRow(line=section.line, **{"message": "", **values})


def _quantity(name: str, unit: str, section: Section, problems: Problems) -> QuantityRow:
    values = _values(quantity_keys(name, unit), section, problems, name)
    values.pop("unit", None)
    low, high = values.pop("range", (0.0, 1.0))
    if not low < high:
        text = f"{name}: range [{low:.12g}, {high:.12g}] is empty; low must be below high"
        problems.add(section.entries["range"].line, text)
    if values.get("scale") == 0.0:
        problems.add(section.entries["scale"].line, "scale = 0 makes every value 0; any other number is allowed")
    if len(values.get("signal", ())) > 2:
        problems.add(section.entries["signal"].line, f"{name}: a product has two signals, not more")
    return QuantityRow(line=section.line, low=low, high=high, **{"signal": (), **values})


def _status(section: Section, problems: Problems) -> dict[str, FlagRow]:
    needed = ("running", "connected")
    known = {name: nested("a signal and the raw numbers that mean it", name in needed) for name in STATUS}
    found = {}
    for name, entry in _values(known, section, problems, "status").items():
        values = _values(FLAG_KEYS, entry, problems, name)
        found[name] = FlagRow(line=entry.line, signal=values.get("signal", ""), equals=values.get("is", ()))
    return found


def _session(section: Section, problems: Problems) -> dict[str, FlagRow]:
    if not section.entries:
        return {}
    values = _values(SESSION_KEYS, section, problems, "session")
    signal = values.pop("signal", "")
    return {name: FlagRow(line=section.line, signal=signal, equals=raws) for name, raws in values.items()}


def _writes(section: Section, problems: Problems) -> WritesRow | None:
    before = len(problems)
    values = _values(WRITE_KEYS, section, problems, "writes")
    low, high = values.get("timer_s", (0, 0))
    if low > high:
        problems.add(section.entries["timer_s"].line, f"timer_s = [{low}, {high}] is empty; the shortest comes first")
    if values.get("storage") == "flash":
        problems.add(section.entries["storage"].line, "storage = flash: set-points would wear it out; allowed: ram")
    for name in ("start", "setpoint", "stop"):
        rows = _groups(values.get(name, Section({}, 0)), problems)
        values[name] = tuple(_send(key, entry, SEND_KEYS, problems) for key, entry in rows.items())
    if "heartbeat" in values:
        values["heartbeat"] = _send("heartbeat", values["heartbeat"], BEAT_KEYS, problems)
    if "ack" in values:
        keys = {name: FRAME_KEYS[name] for name in ("message", "when")}
        ack = _values(keys, values["ack"], problems, "ack")
        when = ack.get("when", Section({}, 0))
        chosen = _values(dict.fromkeys(when.entries, RAW.metadata), when, problems, "when")
        values["ack"] = FrameRow(line=values["ack"].line, message=ack.get("message", ""), when=chosen)
    return WritesRow(**values) if len(problems) == before else None


def _send(name: str, section: Section, keys: Mapping[str, Meta], problems: Problems) -> SendRow:
    values = _values(keys, section, problems, name)
    puts = {key: _put(key, entry, problems) for key, entry in values.pop("set", Section({}, 0)).entries.items()}
    return SendRow(line=section.line, puts=puts, **{"message": "", **values})


def _put(name: str, entry: Entry, problems: Problems) -> PutRow:
    """`signal: 3`, a raw number; or `signal: {from: p_w, scale: 0.001}`."""
    if not isinstance(entry, Section):
        found = _values({name: RAW.metadata}, Section({name: entry}, entry.line), problems, name)
        return PutRow(line=entry.line, raw=found.get(name, 0))
    source = entry.entries.get("from")
    keys = PUT_KEYS.get(source.text if isinstance(source, Leaf) else "", {"from": FROM, "scale": SCALE})
    values = _values(keys, entry, problems, name)
    low = values.get("charge", values.get("off", 0))
    high = values.get("discharge", values.get("on", 0))
    return PutRow(
        line=entry.line, source=values.get("from", "p_w"), scale=values.get("scale", 1.0), low=low, high=high
    )  # fmt: skip
