"""Map files: what a device is, read strictly. Every key is explained in drivers/maps/TEMPLATE.yaml.

load_map(name) finds drivers/maps/{meters,inverters}/<name>.yaml; a name with a slash or ending in .yaml is a path.
Raises MapError whose text holds all mistakes, one a line: `file:line: what; what is allowed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from drivers.base import MapError
from drivers.devicemap import (
    DEVICE_QUANTITIES,
    METER_QUANTITIES,
    SIGNED,
    DeviceMap,
    ModelLayout,
    Point,
    Quantity,
    Register,
    WriteContract,
)
from drivers.tables import TYPES
from drivers.yamlfile import Leaf, Problems, Section, parse_yaml, read_yaml
from drivers.yamlkeys import Meta, choice, integer, keys_of, nested, number, read_values, several, text

FOLDERS = {"meter": "meters", "inverter": "inverters"}
HEAD = keys_of(DeviceMap)
KEYS: dict[str, dict[str, Meta]] = {
    "meter": {
        **HEAD,
        "refresh_ms": integer("ms", 1, 60000, "how often the device renews its values").metadata,
        "registers": nested("one key a quantity"),
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
    "timer_s": several(integer("s", 1, 86400, "[shortest, longest] of the device's own timer"), 2).metadata,
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


REGISTER_KEYS = {name: quantity_keys(name, unit, keys_of(Register)) for name, (_, unit) in METER_QUANTITIES.items()}
QUANTITY_KEYS = {
    name: quantity_keys(name, unit, keys_of(Quantity)) | {"point": several(text("model.point, like 701.W")).metadata}
    for name, (_, unit) in DEVICE_QUANTITIES.items()
}


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


def read_map(name: str, problems: Problems) -> DeviceMap | None:
    """The same as load_map, but the file's mistakes are left among the problems."""
    if is_own(name):
        return _device(read_yaml(Path(name), problems), problems)
    for folder in FOLDERS.values():
        file = resources.files("drivers.maps").joinpath(folder, f"{name}.yaml")
        if file.is_file():
            return _device(parse_yaml(file.read_text(encoding="utf-8"), problems), problems)
    raise MapError(f"unknown map '{name}'; known: {', '.join(map_names())}, or the path of a .yaml file")


def _right(found: DeviceMap | None, problems: Problems) -> DeviceMap:
    if problems or found is None:
        raise MapError("\n".join(problems.lines()))
    return found


def _values(known: Mapping[str, Meta], section: Section, problems: Problems, where: str) -> dict[str, Any]:
    return {name: value for name, (value, _) in read_values(known, section, problems, where).items()}


def _groups(section: Section, problems: Problems) -> dict[str, Section]:
    """A group whose keys the author names: each holds keys of its own."""
    return _values(dict.fromkeys(section.entries, nested("keys of its own")), section, problems, "")


def _device(tree: Section, problems: Problems) -> DeviceMap | None:
    if not tree.entries:
        return None
    if "dbc" in tree.entries:
        from drivers.can.canmap import read_can_map  # it needs this module's shapes

        return read_can_map(tree, problems)
    before = len(problems)
    kind = tree.entries.get("kind")  # what the file says it is: its keys depend on it
    known = KEYS.get(kind.text if isinstance(kind, Leaf) else "")
    if known is None:
        others = {name: {**meta, "required": False} for keys in KEYS.values() for name, meta in keys.items()}
        read_values(others | HEAD, tree, problems, "map")
        return None
    values = _values(known, tree, problems, "map")
    nothing = Section({}, 0)
    if known is KEYS["meter"]:
        values["registers"] = _registers(values.get("registers", nothing), values.get("max_words", 125), problems)
    else:
        values["models"] = _models(values.get("models", nothing), problems)
        values["quantities"] = _quantities(values.get("quantities", nothing), values["models"], problems)
        values["writes"] = _writes(values["writes"], problems) if "writes" in values else None
    return DeviceMap(file=problems.file, **values) if len(problems) == before else None


def _registers(section: Section, max_words: int, problems: Problems) -> dict[str, Register]:
    found: dict[str, Register] = {}
    known = {name: nested("the register that holds it", name in ("f_hz", "v1_v", "p_w")) for name in METER_QUANTITIES}
    for name, entry in _values(known, section, problems, "registers").items():
        register = _register(name, entry, max_words, problems)
        if register is None:
            continue
        for other in found.values():
            if register.at < other.at + TYPES[other.type] and other.at < register.at + TYPES[register.type]:
                line = section.entries[other.name].line
                problems.add(entry.line, f"{name} overlaps {other.name} of line {line}")
        found[name] = register
    return found


def _register(name: str, entry: Section, max_words: int, problems: Problems) -> Register | None:
    before = len(problems)
    values = _ranged(name, entry, REGISTER_KEYS[name], problems)
    words = TYPES[values.get("type", "u16")]
    if words > max_words:
        text = f"{name}: {values['type']} has {words} words, max_words = {max_words} cannot read it"
        problems.add(entry.line, text)
    _at_most("at", entry, values, 0x10000 - words, problems)
    _at_most("absent", entry, values, (1 << 16 * words) - 1, problems)
    return Register(name=name, **values) if len(problems) == before else None


def _ranged(name: str, entry: Section, known: Mapping[str, Meta], problems: Problems) -> dict[str, Any]:
    """The values of a quantity, its range as low and high."""
    values = _values(known, entry, problems, name)
    values.pop("unit", None)
    if values.get("scale") == 0.0:
        line = entry.entries["scale"].line
        problems.add(line, "scale = 0 makes every value 0; any other number is allowed")
    if "range" in values:
        values["low"], values["high"] = low, high = values.pop("range")
        if not low < high:
            text = f"{name}: range [{low:.12g}, {high:.12g}] is empty; low must be below high"
            problems.add(entry.entries["range"].line, text)
    return values


def _at_most(name: str, entry: Section, values: Mapping[str, Any], high: int, problems: Problems, low: int = 0) -> None:
    """A limit that follows from the type of the value."""
    if name in entry.entries and "type" in values and values.get(name, low) > high:
        text = f"{name} = {values[name]} is outside {low} ... {high} (type {values['type']})"
        problems.add(entry.entries[name].line, text)


def _models(section: Section, problems: Problems) -> dict[int, ModelLayout]:
    found: dict[int, ModelLayout] = {}
    for key, entry in _groups(section, problems).items():
        if not key.isdecimal() or not 1 <= int(key) <= 65534:
            problems.add(entry.line, f"models: '{key}' is not a model number; 1 ... 65534")
            continue
        values = _values(MODEL_KEYS, entry, problems, f"model {key}")
        lengths = values.get("length", (65535,))
        points = _points(values.get("points", Section({}, 0)), f"model {key}", max(lengths), problems)
        found[int(key)] = ModelLayout(id=int(key), lengths=lengths, needed=values.get("needed", False), points=points)
    return found


def _points(section: Section, model: str, length: int, problems: Problems) -> dict[str, Point]:
    found: dict[str, Point] = {}
    for name, entry in _groups(section, problems).items():
        values: dict[str, Any] = {"at": 2, "type": "u16"}  # a point that is wrong still has its name
        values |= _values(POINT_KEYS, entry, problems, f"{model} {name}")
        _at_most("at", entry, values, length + 2 - TYPES[values["type"]], problems, low=2)
        factor = values.get("factor", name)
        if factor not in section.entries:
            text = f"{model} {name}: factor '{factor}' is no point of this model"
            problems.add(entry.entries["factor"].line, text)
        found[name] = Point(**values)
    return found


def _quantities(section: Section, models: Mapping[int, ModelLayout], problems: Problems) -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    known = {name: nested("the point that holds it", name in ("p_w", "p_set_readback_w")) for name in DEVICE_QUANTITIES}
    for name, entry in _values(known, section, problems, "quantities").items():
        before = len(problems)
        values = _ranged(name, entry, QUANTITY_KEYS[name], problems)
        line = entry.entries["point"].line if "point" in values else 0
        points = tuple(_point_name(text, line, models, problems) for text in values.pop("point", ()))
        if len(problems) == before:
            found[name] = Quantity(name=name, points=points, **values)
    return found


def _point_name(text: str, line: int, models: Mapping[int, ModelLayout], problems: Problems) -> tuple[int, str]:
    model, _, point = text.partition(".")
    number = int(model) if model.isdecimal() else 0
    if number not in models or point not in models[number].points:
        problems.add(line, f"point '{text}' is not under models; write model.point, like 701.W")
    return number, point


def _writes(entry: Section, problems: Problems) -> WriteContract | None:
    before = len(problems)
    values = _values(WRITE_KEYS, entry, problems, "writes")
    low, high = values.pop("timer_s", (0, 0))
    if low > high:
        text = f"timer_s = [{low}, {high}] is empty; the shortest comes first"
        problems.add(entry.entries["timer_s"].line, text)
    return WriteContract(timer_low_s=low, timer_high_s=high, **values) if len(problems) == before else None
