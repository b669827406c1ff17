"""Map files: what a device is, read strictly. Every key is explained in drivers/maps/TEMPLATE.yaml.

load_map(name) finds drivers/maps/{meters,inverters}/<name>.yaml; a name with a slash or ending in .yaml is a path.
Raises MapError whose text holds all mistakes, one a line: `file:line: what; what is allowed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from drivers.base import MapError
from drivers.devicemap import (
    DEVICE_QUANTITIES,
    METER_QUANTITIES,
    PROVEN,
    SIGNED,
    STORAGE,
    DeviceMap,
    ModelLayout,
    Point,
    Quantity,
    Register,
    WriteContract,
)
from drivers.tables import TYPES
from drivers.yamlcheck import Checker, Item

FOLDERS = {"meter": "meters", "inverter": "inverters"}
HEAD = ("schema", "device", "kind", "source", "proven", "function", "max_words")
KEYS = {
    "meter": (*HEAD, "min_gap_ms", "refresh_ms", "registers"),
    "inverter": (*HEAD, "min_gap_ms", "models", "quantities", "writes"),
}
OPTIONAL = ("min_gap_ms",)
REGISTER_KEYS = ("at", "type", "unit", "range", "scale", "resolution", "every", "absent")
QUANTITY_KEYS = ("point", "unit", "range", "scale", "every", "needed")
MODEL_KEYS = ("length", "needed", "points")
POINT_KEYS = ("at", "type", "factor")
WRITE_KEYS = ("storage", "min_write_interval_ms", "quantum_p_w", "quantum_q_var", "timer_s")


def map_names() -> list[str]:
    """The maps that come with the product."""
    root = resources.files("drivers.maps")
    folders = [root.joinpath(folder) for folder in FOLDERS.values()]
    return sorted(f.name.removesuffix(".yaml") for d in folders for f in d.iterdir() if f.name.endswith(".yaml"))


def load_map(name: str) -> DeviceMap:
    """A map by its name, or by the path of your own file."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        try:
            return parse_map(Path(name).read_text(encoding="utf-8"), name)
        except (OSError, UnicodeDecodeError) as error:
            raise MapError(f"{name}:1: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if name not in map_names():
        raise MapError(f"unknown map '{name}'; known: {', '.join(map_names())}, or the path of a .yaml file")
    for folder in FOLDERS.values():
        file = resources.files("drivers.maps").joinpath(folder, f"{name}.yaml")
        if file.is_file():
            return parse_map(file.read_text(encoding="utf-8"), f"{name}.yaml")
    raise AssertionError(name)  # map_names() has just listed it


def parse_map(source: str, file: str) -> DeviceMap:
    """The text of a map file -> DeviceMap."""
    check = Checker(file)
    node = check.document(source)
    found = _device(check, node) if node is not None else None
    if check.problems or found is None:
        raise MapError(check.text())
    return found


def _device(check: Checker, node: yaml.Node) -> DeviceMap | None:
    kind = _kind(node)
    known = KEYS.get(kind, tuple(dict.fromkeys(k for keys in KEYS.values() for k in keys)))
    needed = [k for k in KEYS.get(kind, HEAD) if k not in OPTIONAL]
    items = check.mapping(node, "map", known, needed)
    check.integer(items.get("schema"), 1, 1)
    head: dict[str, Any] = {
        "file": check.file,
        "device": check.string(items.get("device")),
        "kind": check.string(items.get("kind"), tuple(KEYS)),
        "source": check.string(items.get("source")),
        "proven": check.string(items.get("proven"), PROVEN),
        "function": check.integer(items.get("function"), 3, 4),
        "max_words": check.integer(items.get("max_words"), 1, 125, "words (Modbus allows 125)"),
        "min_gap_ms": check.integer(items.get("min_gap_ms"), 0, 1000, "ms") or 0,
    }
    if kind == "meter":
        head["refresh_ms"] = check.integer(items.get("refresh_ms"), 1, 60000, "ms")
        head["registers"] = _registers(check, items.get("registers"), head["max_words"] or 125)
    elif kind == "inverter":
        head["models"] = _models(check, items.get("models"))
        head["quantities"] = _quantities(check, items.get("quantities"), head["models"])
        head["writes"] = _writes(check, items.get("writes"))
    return None if check.problems else DeviceMap(**head)


def _kind(node: yaml.Node) -> str:
    """What the file says it is: its keys depend on it."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((v.value for k, v in pairs if k.value == "kind" and isinstance(v, yaml.ScalarNode)), "")


def _registers(check: Checker, item: Item | None, max_words: int) -> dict[str, Register]:
    if item is None:
        return {}
    found: dict[str, Register] = {}
    lines: dict[str, int] = {}
    for name, entry in check.mapping(item.node, "registers", METER_QUANTITIES, ("f_hz", "v1_v", "p_w")).items():
        register = _register(check, name, entry, max_words)
        if register is None:
            continue
        for other in found.values():
            if register.at < other.at + TYPES[other.type] and other.at < register.at + TYPES[register.type]:
                check.complain(entry.line, f"{name} overlaps {other.name} of line {lines[other.name]}")
        found[name], lines[name] = register, entry.line
    return found


def _register(check: Checker, name: str, entry: Item, max_words: int) -> Register | None:
    before = len(check.problems)
    keys = check.mapping(entry.node, name, REGISTER_KEYS, ("at", "type", "unit", "range"))
    kind = check.string(keys.get("type"), tuple(TYPES))
    words = TYPES[kind] if kind else 1
    at = check.integer(keys.get("at"), 0, 0x10000 - words)
    if words > max_words:
        check.complain(entry.line, f"{name}: {kind} has {words} words, max_words = {max_words} cannot read it")
    low, high = _common(check, name, keys, entry, METER_QUANTITIES[name][1])
    resolution = check.number(keys.get("resolution"), 1e-9, 1e6)
    absent = check.integer(keys.get("absent"), 0, (1 << 16 * words) - 1)
    every = check.integer(keys.get("every"), 1, 1000, "polls") or 1
    scale = _scale(check, keys)
    if len(check.problems) > before or kind is None or at is None:
        return None
    return Register(name, at, kind, low, high, scale, resolution, every, absent)


def _common(check: Checker, name: str, keys: Mapping[str, Item], entry: Item, unit: str) -> tuple[float, float]:
    """unit, range, and a written scale where the direction matters: alike in meters and inverters."""
    check.string(keys.get("unit"), (unit,))
    if name in SIGNED and "scale" not in keys:
        check.complain(entry.line, f"{name}: 'scale' is missing; 1 if the device counts + out of the inverter, else -1")
    item = keys.get("range")
    values = check.items(item)
    if item is not None and len(values) != 2:
        check.complain(item.line, f"{name}: range must be [low, high], in {unit} after the scale")
    numbers = [check.number(v, -1e12, 1e12, unit) for v in values[:2]]
    low, high = (numbers[0], numbers[1]) if len(numbers) == 2 else (None, None)
    if low is None or high is None:
        return 0.0, 0.0
    if item is not None and not low < high:
        check.complain(item.line, f"{name}: range [{low:.12g}, {high:.12g}] is empty; low must be below high")
    return low, high


def _scale(check: Checker, keys: Mapping[str, Item]) -> float:
    item = keys.get("scale")
    value = check.number(item, -1e9, 1e9)
    if item is not None and value == 0.0:
        check.complain(item.line, "scale = 0 makes every value 0; any other number is allowed")
    return 1.0 if value is None else value


def _models(check: Checker, item: Item | None) -> dict[int, ModelLayout]:
    if item is None:
        return {}
    found: dict[int, ModelLayout] = {}
    for key, entry in check.mapping(item.node, "models").items():
        if not key.isdecimal() or not 1 <= int(key) <= 65534:
            check.complain(entry.line, f"models: '{key}' is not a model number; 1 ... 65534")
            continue
        keys = check.mapping(entry.node, f"model {key}", MODEL_KEYS, ("length",))
        lengths = tuple(n for i in check.items(keys.get("length")) if (n := check.integer(i, 1, 65535, "words")))
        needed = check.boolean(keys.get("needed")) or False
        points = _points(check, keys.get("points"), f"model {key}", max(lengths, default=0))
        found[int(key)] = ModelLayout(int(key), lengths, needed, points)
    return found


def _points(check: Checker, item: Item | None, model: str, length: int) -> dict[str, Point]:
    if item is None:
        return {}
    found: dict[str, Point] = {}
    entries = check.mapping(item.node, f"{model} points")
    for name, entry in entries.items():
        keys = check.mapping(entry.node, f"{model} {name}", POINT_KEYS, ("at", "type"))
        kind = check.string(keys.get("type"), tuple(TYPES))
        at = check.integer(keys.get("at"), 2, max(2, length + 2 - (TYPES[kind] if kind else 1)), "words from the ID")
        factor = check.string(keys.get("factor"))
        if factor is not None and factor not in entries:
            check.complain(keys["factor"].line, f"{model} {name}: factor '{factor}' is no point of this model")
        if kind is not None and at is not None:
            found[name] = Point(at, kind, factor)
    return found


def _quantities(check: Checker, item: Item | None, models: Mapping[int, ModelLayout]) -> dict[str, Quantity]:
    if item is None:
        return {}
    found: dict[str, Quantity] = {}
    for name, entry in check.mapping(item.node, "quantities", DEVICE_QUANTITIES, ("p_w", "p_set_readback_w")).items():
        keys = check.mapping(entry.node, name, QUANTITY_KEYS, ("point", "unit", "range"))
        low, high = _common(check, name, keys, entry, DEVICE_QUANTITIES[name][1])
        points = tuple(p for i in check.items(keys.get("point")) if (p := _point_name(check, i, models)))
        every = check.integer(keys.get("every"), 1, 1000, "polls") or 1
        needed = check.boolean(keys.get("needed")) or False
        found[name] = Quantity(name, points, low, high, _scale(check, keys), every, needed)
    return found


def _point_name(check: Checker, item: Item, models: Mapping[int, ModelLayout]) -> tuple[int, str] | None:
    """`701.W` is text to us and to YAML."""
    text = check.string(item)
    if text is None:
        return None
    model, _, point = text.partition(".")
    if model.isdecimal() and int(model) in models and point in models[int(model)].points:
        return int(model), point
    check.complain(item.line, f"point '{text}' is not under models; write model.point, like 701.W")
    return None


def _writes(check: Checker, item: Item | None) -> WriteContract | None:
    if item is None:
        return None
    keys = check.mapping(item.node, "writes", WRITE_KEYS, WRITE_KEYS)
    storage = check.string(keys.get("storage"), STORAGE)
    interval = check.integer(keys.get("min_write_interval_ms"), 0, 3600000, "ms")
    quantum_p = check.number(keys.get("quantum_p_w"), 0.001, 1e6, "W")
    quantum_q = check.number(keys.get("quantum_q_var"), 0.001, 1e6, "var")
    shortest, longest = _timer(check, keys.get("timer_s"))
    if storage is None or interval is None or quantum_p is None or quantum_q is None:
        return None
    return WriteContract(storage, interval, quantum_p, quantum_q, shortest, longest)


def _timer(check: Checker, item: Item | None) -> tuple[int, int]:
    times = [t for i in check.items(item) if (t := check.integer(i, 1, 86400, "s")) is not None]
    if item is not None and len(check.items(item)) != 2:
        check.complain(item.line, "timer_s must be [shortest, longest], in s")
    elif len(times) == 2 and times[0] > times[1]:
        check.complain(
            item.line if item else 1, f"timer_s = [{times[0]}, {times[1]}] is empty; the shortest comes first"
        )
    return (times[0], times[1]) if len(times) == 2 else (0, 0)
