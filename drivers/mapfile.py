"""Map files: what a device is, read strictly. Every key is explained in drivers/maps/TEMPLATE.yaml.

load_map(name) finds drivers/maps/{meters,inverters}/<name>.yaml; a name with a slash or ending in .yaml is a path.
Raises MapError whose text holds all mistakes, one a line: `file:line: what; what is allowed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from drivers.base import MapError
from drivers.devicemap import (
    DEVICE_QUANTITIES,
    METER_UNITS,
    SIGNED,
    WORD_ORDERS,
    DeviceMap,
    ModelLayout,
    Point,
    Probe,
    Quantity,
    Register,
    WriteContract,
)
from drivers.tables import ENERGIES, MAX_ABSENT, TYPES
from drivers.writecontract import contract_faults
from drivers.yamlfile import Leaf, Problems, Section, parse_yaml, read_yaml
from drivers.yamlkeys import Meta, choice, integer, keys_of, nested, number, read_values, several, text

DBC_LINE = re.compile(rb"^dbc:[ ]*[\"']?([^\s\"'#]+)", re.MULTILINE)
FOLDERS = {"meter": "meters", "inverter": "inverters"}
HEAD = keys_of(DeviceMap)
PROBE = nested("where it shows what it is", required=False)
PROBE_KEYS = keys_of(Probe)
KEYS: dict[str, dict[str, Meta]] = {
    "meter": {
        **HEAD,
        "refresh_ms": integer("ms", 1, 60000, "how often the device renews its values").metadata,
        "word_order": choice(WORD_ORDERS, "high word first, or low word first", "big").metadata,
        "probe": PROBE,
        "registers": nested("one key a quantity", required=False),
        "models": nested("one key a SunSpec model", required=False),
        "quantities": nested("one key a quantity", required=False),
    },
    "inverter": {
        **HEAD,
        "models": nested("one key a SunSpec model"),
        "quantities": nested("one key a quantity"),
        "writes": nested("how the device wants to be written to"),
    },
}
POINT_KEYS = keys_of(Point)
WRITE_KEYS = {
    **keys_of(WriteContract),
    "timer_s": several(integer("s", 1, 86400, "[shortest, longest] of the device's own timer", ()), 2).metadata,
}
MODEL_KEYS = {
    **keys_of(ModelLayout),
    "length": several(integer("words", 1, 65535, "the L values for which this layout holds")).metadata,
    "points": nested("one key a point", required=False),
}


def quantity_keys(name: str, unit: str, own: Mapping[str, Meta]) -> dict[str, Meta]:
    """unit, range, and a scale that must be written where the direction matters: alike in meters and inverters."""
    scale = {**own["scale"], "required": True, "clause": "1 if the device counts + out of the inverter, else -1"}
    return {
        **own,
        "scale": scale if name in SIGNED else own["scale"],
        "unit": choice((unit,), "the unit in the quantity's name").metadata,
        "range": several(number(unit, -1e12, 1e12, "[low, high] after the scale"), 2).metadata,
    }


REGISTER_KEYS = {name: quantity_keys(name, unit, keys_of(Register)) for name, unit in METER_UNITS.items()}
POINT = "model.point, like 701.W, or a point alone: of whichever model the device has"
QUANTITY_KEYS = {
    name: quantity_keys(name, unit, {k: meta for k, meta in keys_of(Quantity).items() if k != "resolution"})
    | {"point": several(text(POINT)).metadata}
    for name, (_, unit) in DEVICE_QUANTITIES.items()
}
METER_POINT_KEYS = {
    name: quantity_keys(name, unit, keys_of(Quantity)) | {"point": several(text(POINT)).metadata}
    for name, unit in METER_UNITS.items()
}
NEEDED = {"meter": ("f_hz", "v1_v", "p_w"), "inverter": ("p_w", "p_set_readback_w")}


def map_names(kinds: Iterable[str] = FOLDERS) -> list[str]:
    """The maps that come with the product."""
    root = resources.files("drivers.maps")
    files = (f.name for kind in kinds for f in root.joinpath(FOLDERS[kind]).iterdir())
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


def is_own(name: str) -> bool:
    """Whether it is the path of your own file, not the name of a map that comes with the product."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def load_map(name: str) -> DeviceMap:
    """A map by its name, or by the path of your own file."""
    problems = Problems(name if is_own(name) else f"{name}.yaml")
    return _right(read_map(name, problems), problems)


def parse_map(source: str, file: str) -> DeviceMap:
    """The text of a map file -> DeviceMap."""
    problems = Problems(file)
    return _right(_device(parse_yaml(source, problems), problems), problems)


def map_digest(name: str) -> str:
    """SHA-256 of a map's file, as `sha256sum` says it; of a CAN map of its own bytes and its DBC's, end to end.

    OSError: a file is not there. Whether the map is right is not looked at: it has been loaded before.
    """
    root = Path(str(resources.files("drivers.maps")))
    places = [Path(name)] if is_own(name) else [root / folder / f"{name}.yaml" for folder in FOLDERS.values()]
    path = next((place for place in places if place.is_file()), places[0])
    raw = path.read_bytes()
    dbc = DBC_LINE.search(raw)
    return sha256(raw + (path.with_name(dbc[1].decode()).read_bytes() if dbc else b"")).hexdigest()


def read_map(name: str, problems: Problems) -> DeviceMap | None:
    """The same as load_map, but the file's mistakes are left among the problems."""
    if is_own(name):
        return _device(read_yaml(Path(name), problems), problems)
    for folder in FOLDERS.values():
        file = resources.files("drivers.maps").joinpath(folder, f"{name}.yaml")
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            return _of_text(text, problems.file) or _device(parse_yaml(text, problems), problems)
    raise MapError(f"unknown map '{name}'; known: {', '.join(map_names())}, or the path of a .yaml file")


@lru_cache(64)
def _of_text(text: str, file: str) -> DeviceMap | None:
    """A map without mistakes; read once, because YAML takes its time and a scan looks at all of them."""
    problems = Problems(file)
    found = _device(parse_yaml(text, problems), problems)
    return None if problems else found


def _right(found: DeviceMap | None, problems: Problems) -> DeviceMap:
    if problems or found is None:
        raise MapError("\n".join(problems.lines()))
    return found


def values_of(known: Mapping[str, Meta], section: Section, problems: Problems, where: str) -> dict[str, Any]:
    return {name: value for name, (value, _) in read_values(known, section, problems, where).items()}


def _groups(section: Section, problems: Problems) -> dict[str, Section]:
    """A group whose keys the author names: each holds keys of its own."""
    return values_of(dict.fromkeys(section.entries, nested("keys of its own")), section, problems, "")


def _device(tree: Section, problems: Problems) -> DeviceMap | None:
    if not tree.entries:
        return None
    if "dbc" in tree.entries:
        from drivers.can.canmap import read_can_map  # it needs this module's shapes

        return read_can_map(tree, problems)
    before = len(problems)
    leaf = tree.entries.get("kind")  # what the file says it is: its keys depend on it
    kind = leaf.text if isinstance(leaf, Leaf) else ""
    known = KEYS.get(kind)
    if known is None:
        others = {name: {**meta, "required": False} for keys in KEYS.values() for name, meta in keys.items()}
        read_values(others | HEAD, tree, problems, "map")
        return None
    if kind == "inverter" and "registers" in tree.entries and "models" not in tree.entries:
        from drivers.invertermap import inverter_map  # it builds on this module

        return inverter_map(tree, problems)
    values = head_of(known, tree, problems)
    nothing = Section({}, 0)
    if kind == "meter" and not {"models", "quantities"} & tree.entries.keys():
        inherited = {"word_order": values.pop("word_order", "big"), "function": values.get("function", 3)}
        registers = values.get("registers", Section({}, 1))
        values["registers"] = _registers(registers, values.get("max_words", 125), inherited, problems)
    else:
        for name in ("registers", "word_order", "probe"):
            if name in tree.entries:
                problems.add(tree.entries[name].line, f"{name} has no place beside models: SunSpec says where and how")
        values["models"] = _models(values.get("models", nothing), problems)
        values["quantities"] = _quantities(kind, values.get("quantities", nothing), values["models"], problems)
    if kind == "inverter":
        values["writes"] = write_contract(values["writes"], problems) if "writes" in values else None
    return DeviceMap(file=problems.file, **values) if len(problems) == before else None


def head_of(known: Mapping[str, Meta], tree: Section, problems: Problems) -> dict[str, Any]:
    """The values of the whole file's keys, its probe read."""
    values = values_of(known, tree, problems, "map")
    if "probe" in values:
        entry: Section = values.pop("probe")
        found = values_of(PROBE_KEYS, entry, problems, "probe")
        at_most("at", entry, found, 0x10000 - TYPES[found.get("type", "u16")], problems)
        at_most("values", entry, found, (1 << 16 * TYPES[found.get("type", "u16")]) - 1, problems)
        values["probe"] = Probe(**found) if PROBE_KEYS.keys() - {"function"} <= found.keys() else None
    return values


def _registers(
    section: Section, max_words: int, inherited: Mapping[str, Any], problems: Problems
) -> dict[str, Register]:
    """inherited: the map's own word order and function, for registers that have none."""
    found: dict[str, Register] = {}
    known = {name: nested("the register that holds it", name in NEEDED["meter"]) for name in METER_UNITS}
    for name, entry in values_of(known, section, problems, "registers").items():
        register = _register(name, entry, max_words, inherited, problems)
        if register is None:
            continue
        for other in found.values():
            apart = register.at >= other.at + TYPES[other.type] or other.at >= register.at + TYPES[register.type]
            if not apart and register.function == other.function:
                line = section.entries[other.name].line
                problems.add(entry.line, f"{name} overlaps {other.name} of line {line}")
        found[name] = register
    return found


def _register(
    name: str, entry: Section, max_words: int, inherited: Mapping[str, Any], problems: Problems
) -> Register | None:
    before = len(problems)
    values = {**inherited, **ranged(name, entry, REGISTER_KEYS[name], problems)}
    words = TYPES[values.get("type", "u16")]
    if words > max_words:
        text = f"{name}: {values['type']} has {words} words, max_words = {max_words} cannot read it"
        problems.add(entry.line, text)
    at_most("at", entry, values, 0x10000 - words, problems)
    at_most("absent", entry, values, (1 << 16 * words) - 1, problems)
    _possible(name, entry, values, problems)
    return Register(name=name, **values) if len(problems) == before else None


def _possible(name: str, entry: Section, values: Mapping[str, Any], problems: Problems) -> None:
    """What a register cannot be: finer than its own counts, or without a value in more ways than a bus knows."""
    count = abs(values.get("scale", 1.0))
    if values.get("type", "f32") != "f32" and values.get("resolution", count) < count:
        text = f"{name}: resolution = {values['resolution']:.12g}, but one count of {values['type']} is {count:.12g}"
        problems.add(entry.entries["resolution"].line, text)
    if len(values.get("absent", ())) > MAX_ABSENT:
        problems.add(entry.entries["absent"].line, f"{name}: absent holds more than {MAX_ABSENT} patterns")


def ranged(name: str, entry: Section, known: Mapping[str, Meta], problems: Problems) -> dict[str, Any]:
    """The values of a quantity, its range as low and high."""
    values = values_of(known, entry, problems, name)
    values.pop("unit", None)
    if values.get("scale") == 0.0:
        line = entry.entries["scale"].line
        problems.add(line, "scale = 0 makes every value 0; any other number is allowed")
    if "range" in values:
        values["low"], values["high"] = low, high = values.pop("range")
        if not low < high:
            text = f"{name}: range [{low:.12g}, {high:.12g}] is empty; low must be below high"
            problems.add(entry.entries["range"].line, text)
    if name in ENERGIES and (values.get("scale", 1.0) < 0.0 or values.get("low", 0.0) < 0.0):
        text = f"{name}: scale and range of a counter are not below 0; what flows the other way is the other counter"
        problems.add(entry.line, text)
    return values


def at_most(name: str, entry: Section, values: Mapping[str, Any], high: int, problems: Problems, low: int = 0) -> None:
    """A limit that follows from the type of the value, or of each of several."""
    found = values.get(name, low)
    for value in found if isinstance(found, tuple) else (found,):
        if name in entry.entries and "type" in values and value > high:
            text = f"{name} = {value} is outside {low} ... {high} (type {values['type']})"
            problems.add(entry.entries[name].line, text)


def _models(section: Section, problems: Problems) -> dict[int, ModelLayout]:
    """Of a key like `201, 202` each has that layout."""
    found: dict[int, ModelLayout] = {}
    for key, entry in _groups(section, problems).items():
        values = values_of(MODEL_KEYS, entry, problems, f"model {key}")
        lengths = values.get("length", (65535,))
        points = _points(values.get("points", Section({}, 0)), f"model {key}", max(lengths), problems)
        for one in (part.strip() for part in key.split(",")):
            if not one.isdecimal() or not 1 <= int(one) <= 65534:
                problems.add(entry.line, f"models: '{one}' is not a model number; 1 ... 65534")
            elif int(one) in found:
                problems.add(entry.line, f"models: {one} stands twice")
            else:
                needed = values.get("needed", False)
                found[int(one)] = ModelLayout(id=int(one), lengths=lengths, needed=needed, points=points)
    return found


def _points(section: Section, model: str, length: int, problems: Problems) -> dict[str, Point]:
    found: dict[str, Point] = {}
    for name, entry in _groups(section, problems).items():
        values: dict[str, Any] = {"at": 2, "type": "u16"}  # a point that is wrong still has its name
        values |= values_of(POINT_KEYS, entry, problems, f"{model} {name}")
        at_most("at", entry, values, length + 2 - TYPES[values["type"]], problems, low=2)
        factor = values.get("factor", name)
        if factor not in section.entries:
            text = f"{model} {name}: factor '{factor}' is no point of this model"
            problems.add(entry.entries["factor"].line, text)
        found[name] = Point(**values)
    return found


def _quantities(
    kind: str, section: Section, models: Mapping[int, ModelLayout], problems: Problems
) -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    keys = METER_POINT_KEYS if kind == "meter" else QUANTITY_KEYS
    known = {name: nested("the point that holds it", name in NEEDED[kind]) for name in keys}
    for name, entry in values_of(known, section, problems, "quantities").items():
        before = len(problems)
        values = ranged(name, entry, keys[name], problems)
        line = entry.entries["point"].line if "point" in values else 0
        named = (_points_of(text, line, models, problems) for text in values.pop("point", ()))
        points = tuple(point for several in named for point in several)
        if len(problems) == before:
            found[name] = Quantity(name=name, points=points, **values)
    return found


def _points_of(text: str, line: int, models: Mapping[int, ModelLayout], problems: Problems) -> list[tuple[int, str]]:
    """701.W, or W alone for the W of every model that has one."""
    model, _, point = text.rpartition(".")
    found = [(m.id, point) for m in models.values() if point in m.points and model in ("", str(m.id))]
    if not found:
        problems.add(line, f"point '{text}' is not under models; write {POINT}")
    return found


def write_contract(entry: Section, problems: Problems) -> WriteContract | None:
    before = len(problems)
    values = values_of(WRITE_KEYS, entry, problems, "writes")
    low, high = values.pop("timer_s", (0, 0))
    if low > high:
        text = f"timer_s = [{low}, {high}] is empty; the shortest comes first"
        problems.add(entry.entries["timer_s"].line, text)
    if len(problems) > before:
        return None
    contract = WriteContract(timer_low_s=low, timer_high_s=high, **values)
    for key, text in contract_faults(contract):
        problems.add(entry.entries[key].line if key in entry.entries else entry.line, f"writes: {text}")
    return contract if len(problems) == before else None
