"""The map of an inverter with plain registers: what its file may hold, read strictly. Called by drivers.mapfile.

Shapes   drivers.devicemap.RegisterInverter. Quantities and frames name addresses; every number is written out: no
         expressions. `session` and `status` are tables from raw values to our words.
Errors   into Problems, one line each, with what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cython_core.records import DeviceStatus, Session
from drivers.devicemap import (
    DEVICE_QUANTITIES,
    DEVICE_UNITS,
    DeviceMap,
    Frame,
    FrameField,
    InverterRegister,
    Place,
    RegisterInverter,
    WordTable,
    WriteContract,
)
from drivers.mapfile import HEAD, PROBE, at_most, head_of, quantity_keys, ranged, values_of, write_contract
from drivers.tables import TYPES
from drivers.yamlfile import Problems, Section
from drivers.yamlkeys import Meta, choice, integer, keys_of, nested, number, several


def listed(clause: str, required: bool = True) -> Meta:
    """A list of groups."""
    return {**nested(clause, required), "several": True, "count": 0}


SESSION_WORDS = tuple(s.name.lower() for s in Session if s is not Session.UNKNOWN)
STATUS_WORDS = tuple(str(s.name).lower() for s in DeviceStatus)
WORDS = {"session": SESSION_WORDS, "status": STATUS_WORDS}
ORDER = choice(("big", "little"), "high word first, or low word first", "big").metadata
FUNCTION = integer("", 6, 16, "Modbus function that writes: 6 (one word) or 16", 16).metadata
REGISTER_KEYS = {name: quantity_keys(name, unit, keys_of(InverterRegister)) for name, unit in DEVICE_UNITS.items()}
TABLE_KEYS = {**keys_of(Place), "values": nested("raw value: word, or a list of words")}
RANGE = several(number("", -1e9, 1e9, "[low, high] in W or var, + = out of the inverter", ()), 2).metadata
FIELD_KEYS = {
    **keys_of(FrameField),
    "from": choice(("p_w", "q_var"), "the commanded quantity; needs scale and range", "").metadata,
    "range": RANGE,
}
FRAME_KEYS = {**keys_of(Frame), "function": FUNCTION, "fields": listed("one value each", False)}
INVERTER_KEYS = {
    **HEAD,
    "word_order": ORDER,
    "probe": PROBE,
    "registers": nested("one key a quantity"),
    "session": nested("what the car is doing", False),
    "status": nested("what the device is doing", False),
    "writes": nested("how the device wants to be written to"),
    "write_function": FUNCTION,
    "start": listed("writes before the first set-point", False),
    "setpoint": listed("the writes of one set-point"),
    "stop": listed("writes that hand control back"),
}


def inverter_map(tree: Section, problems: Problems) -> DeviceMap | None:
    """The whole file."""
    before = len(problems)
    values = head_of(INVERTER_KEYS, tree, problems)
    limit = values.get("max_words", 125)
    nothing = Section({}, 1)
    registers = _registers(values.pop("registers", nothing), limit, problems)
    inverter = RegisterInverter(
        word_order=values.pop("word_order", "big"),
        registers={name: r for name, r in registers.items() if name in DEVICE_QUANTITIES},
        energies={name: r for name, r in registers.items() if name not in DEVICE_QUANTITIES},
        session=_table("session", values.pop("session", None), problems),
        status=_table("status", values.pop("status", None), problems),
        **_all_frames(values, problems),
    )
    writes = write_contract(values["writes"], problems) if "writes" in values else None
    values["writes"] = writes
    if len(problems) == before and writes is not None:
        _together(inverter, writes, tree, problems)
    return DeviceMap(file=problems.file, inverter=inverter, **values) if len(problems) == before else None


def _registers(section: Section, max_words: int, problems: Problems) -> dict[str, InverterRegister]:
    found = {}
    known = {name: nested("the register that holds it", False) for name in DEVICE_UNITS}
    for name, entry in values_of(known, section, problems, "registers").items():
        before = len(problems)
        values = ranged(name, entry, REGISTER_KEYS[name], problems)
        _fits(name, entry, values, max_words, problems)
        if len(problems) == before:
            found[name] = InverterRegister(name=name, **values)
    return found


def _fits(name: str, entry: Section, values: Mapping[str, Any], max_words: int, problems: Problems) -> None:
    words = TYPES[values.get("type", "u16")]
    if words > max_words:
        problems.add(entry.line, f"{name}: {values['type']} has {words} words, max_words = {max_words} cannot read it")
    at_most("at", entry, values, 0x10000 - words, problems)
    at_most("absent", entry, values, (1 << 16 * words) - 1, problems)


def _table(kind: str, entry: Section | None, problems: Problems) -> WordTable | None:
    """session or status; each raw value once."""
    if entry is None:
        return None
    before = len(problems)
    values = values_of(TABLE_KEYS, entry, problems, kind)
    section = values.pop("values", Section({}, entry.line))
    word: Any = choice(WORDS[kind], f"what {kind} means to us")
    known: dict[str, Meta] = dict.fromkeys(section.entries, several(word, 1 if kind == "session" else 0).metadata)
    found: dict[int, tuple[str, ...]] = {}
    for key, words in values_of(known, section, problems, kind).items():
        if not key.isdecimal() or int(key) >= 1 << 16 * TYPES[values.get("type", "u16")]:
            problems.add(section.entries[key].line, f"{kind}: '{key}' is no raw value of type {values.get('type')}")
        else:
            found[int(key)] = words
    if values.get("type", "u16") not in ("u16", "u32"):
        problems.add(entry.line, f"{kind}: type = {values['type']} is not one of u16 | u32")
    return WordTable(values=found, **values) if len(problems) == before else None


def _all_frames(values: dict[str, Any], problems: Problems) -> dict[str, tuple[Frame, ...]]:
    function = values.pop("write_function", 16)
    return {
        name: tuple(f for entry in values.pop(name, ()) if (f := _frame(name, entry, function, problems)))
        for name in ("start", "setpoint", "stop")
    }


def _frame(name: str, entry: Section, function: int, problems: Problems) -> Frame | None:
    """A frame of several fields, or of one whose keys stand beside `at`."""
    before = len(problems)
    listed = "fields" in entry.entries
    values = values_of(FRAME_KEYS if listed else {**FRAME_KEYS, **FIELD_KEYS}, entry, problems, name)
    own = {key: values.pop(key) for key in FIELD_KEYS if key in values}
    fields = (
        [_field(name, e, values_of(FIELD_KEYS, e, problems, name), problems) for e in values.pop("fields", ())]
        if listed
        else [_field(name, entry, own, problems)]
    )
    values = {"function": function, "readback": name != "setpoint", **values}
    words = sum(TYPES[f.type] for f in fields if f)
    most = {6: 1, 16: 123}.get(values["function"])
    if most is None:
        problems.add(entry.line, f"{name}: function = {values['function']} is not one of 6 | 16")
    elif not 1 <= words <= most:
        text = f"{name}: {words} words in one write; function {values['function']} takes 1 ... {most}"
        problems.add(entry.line, text)
    if values.get("at", 0) + words > 0x10000:
        problems.add(entry.line, f"{name}: {words} words from {values['at']:#06x} leave the addresses")
    return Frame(fields=tuple(f for f in fields if f), **values) if len(problems) == before else None


def _field(name: str, entry: Section, values: dict[str, Any], problems: Problems) -> FrameField | None:
    """A constant, the timer, or a commanded quantity with its scale and range: one of the three."""
    before = len(problems)
    said = [key for key in ("to", "timer", "from") if key in values]
    if len(said) != 1:
        problems.add(entry.line, f"{name}: a field holds one of to, timer, from; here: {', '.join(said) or 'none'}")
    source = values.pop("from", None)
    limits = values.pop("range", None)
    if source is not None and name != "setpoint":
        problems.add(entry.line, f"{name}: from = {source} belongs to setpoint; here numbers and the timer only")
    if (source is not None) != (limits is not None and values.get("scale", 0.0) != 0.0):
        problems.add(entry.line, f"{name}: from, scale (not 0) and range belong together: the direction is written out")
    if limits is not None:
        values["low"], values["high"] = limits
        if not values["low"] <= 0.0 <= values["high"]:
            problems.add(entry.line, f"{name}: range [{limits[0]:.12g}, {limits[1]:.12g}] does not hold 0")
    if "to" in values and "type" in values:
        _constant(name, entry, values["to"], values["type"], problems)
    return FrameField(source=source, **values) if len(problems) == before and "type" in values else None


def _constant(name: str, entry: Section, value: int, kind: str, problems: Problems) -> None:
    bits = 16 * TYPES[kind]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind[0] == "s" else (0, (1 << bits) - 1)
    if kind == "f32" and value != 0:
        problems.add(entry.line, f"{name}: to = {value}: of type f32 only 0 can be written")
    elif not low <= value <= high:
        problems.add(entry.line, f"{name}: to = {value} is outside {low} ... {high} (type {kind})")


def _together(inverter: RegisterInverter, writes: WriteContract, tree: Section, problems: Problems) -> None:
    """What no single key can tell."""
    timers = [f for frames in (inverter.start, inverter.setpoint) for frame in frames for f in frame.fields if f.timer]
    if inverter.takes("p_w") is None:
        problems.add(tree.entries["setpoint"].line, "setpoint: no field has from: p_w")
    if bool(timers) != (writes.timer == "written"):
        line = tree.entries["writes"].line
        text = "needs a field with `timer: s` or `timer: ms` in start or setpoint" if not timers else "writes no timer"
        problems.add(line, f"writes: timer = {writes.timer} {text}")
    if writes.storage == "flash":
        text = "writes: storage = flash: cyclic set-points would wear it out; allowed: ram, unknown"
        problems.add(tree.entries["writes"].line, text)
    if all(place.every > 1 for place in inverter.places()):
        problems.add(tree.entries["registers"].line, "registers: nothing is asked in each poll (every: 1)")
