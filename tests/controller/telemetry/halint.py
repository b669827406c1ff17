"""A linter of announcements to Home Assistant: what its schemas refuse, and what they let through and it refuses later.

Source   home-assistant.io, MQTT device discovery; sensor device classes with their units and state classes, of the
         classes and units used here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, TemplateSyntaxError

# platform -> keys it needs besides platform and unique_id
PLATFORMS: dict[str, tuple[str, ...]] = {
    "sensor": ("state_topic", "value_template"),
    "binary_sensor": ("state_topic", "value_template"),
    "number": ("state_topic", "value_template", "command_topic", "command_template", "min", "max"),
    "select": ("state_topic", "value_template", "command_topic", "command_template", "options"),
    "switch": ("state_topic", "value_template", "command_topic", "command_template"),
    "button": ("command_topic", "command_template"),
}
# device class of a sensor or number -> units, state classes; "" stands for none
MEASURED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "power": (("W", "kW", "MW"), ("measurement", "")),
    "reactive_power": (("var",), ("measurement", "")),
    "frequency": (("Hz", "kHz", "MHz", "GHz"), ("measurement", "")),
    "voltage": (("V", "mV", "kV"), ("measurement", "")),
    "battery": (("%",), ("measurement", "")),
    "energy": (("Wh", "kWh", "MWh"), ("total", "total_increasing")),
    "enum": (("",), ("",)),
}
BINARY = ("problem", "connectivity", "running", "power", "plug", "safety")
CATEGORIES = ("config", "diagnostic")
TOPIC = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
ID = re.compile(r"[A-Za-z0-9_-]+")


def lint(topic: str, payload: bytes) -> list[str]:
    """Every fault of one announcement, a line each."""
    try:
        tree = json.loads(payload)
    except ValueError as error:
        return [f"not JSON: {error}"]
    if not isinstance(tree, dict):
        return ["not a JSON object"]
    found = list(faults_of_device(topic, tree))
    seen: set[str] = set()
    for key, component in tree.get("components", {}).items():
        entity = {k: tree[k] for k in ("state_topic", "command_topic") if k in tree} | component
        found += [f"{key}: {fault}" for fault in faults_of(entity)]
        if entity.get("unique_id") in seen:
            found.append(f"{key}: unique_id {entity['unique_id']} is another's")
        seen.add(str(entity.get("unique_id")))
        if not ID.fullmatch(key):
            found.append(f"{key}: a component's key has only letters, digits, _ and -")
    return found


def faults_of_device(topic: str, tree: dict[str, Any]) -> Iterator[str]:
    """The message as a whole."""
    if not re.fullmatch(r"[A-Za-z0-9_/-]+/device/[A-Za-z0-9_-]+/config", topic):
        yield f"topic {topic} is not <prefix>/device/<object id>/config"
    for key in ("device", "origin", "components", "availability"):
        if not tree.get(key):
            yield f"{key} is missing"
    device = tree.get("device", {})
    if not (device.get("identifiers") or device.get("connections")):
        yield "device has neither identifiers nor connections"
    if not device.get("name"):
        yield "device has no name"
    if not tree.get("origin", {}).get("name"):
        yield "origin has no name"
    for one in tree.get("availability", []):
        if not TOPIC.fullmatch(str(one.get("topic"))):
            yield f"availability: {one.get('topic')} is no topic"
    if "qos" in tree:
        yield "qos of the device is not handed down"


def faults_of(entity: dict[str, Any]) -> Iterator[str]:
    """One component, with what it inherits."""
    platform = entity.get("platform")
    if platform not in PLATFORMS:
        yield f"platform {platform} is not one of {', '.join(PLATFORMS)}"
        return
    for key in ("unique_id", "name", *PLATFORMS[platform]):
        if entity.get(key) in (None, "", []):
            yield f"{key} is missing"
    for key in ("state_topic", "command_topic"):
        if key in entity and not TOPIC.fullmatch(str(entity[key])):
            yield f"{key} {entity[key]} is no topic to publish to"
    if entity.get("entity_category") not in (None, *CATEGORIES):
        yield f"entity_category {entity['entity_category']} is not one of {', '.join(CATEGORIES)}"
    if "command_topic" in entity and entity.get("qos") not in (1, 2):
        yield f"qos {entity.get('qos')}: a command may get lost"
    if entity.get("retain"):
        yield "retain: a command that the broker keeps comes again at each connection"
    yield from faults_of_templates(entity)
    yield from {"sensor": faults_of_sensor, "number": faults_of_number, "select": faults_of_options,
                "binary_sensor": faults_of_binary}.get(platform, lambda _: iter(()))(entity)  # fmt: skip


def faults_of_templates(entity: dict[str, Any]) -> Iterator[str]:
    for key in ("value_template", "command_template"):
        try:
            Environment(autoescape=False).parse(entity.get(key, ""))  # no HTML is made of it
        except TemplateSyntaxError as error:
            yield f"{key}: {error}"
    if "command_template" in entity and "now()" not in entity["command_template"]:
        yield "command_template makes no time: such a command is refused"


def faults_of_sensor(entity: dict[str, Any]) -> Iterator[str]:
    """Units and state classes: Home Assistant only warns of some of them."""
    kind = entity.get("device_class")
    unit, state_class = entity.get("unit_of_measurement", ""), entity.get("state_class", "")
    counts = state_class.startswith("total")
    if kind is None and (unit or state_class):
        yield "unit or state_class without device_class"
    if kind is not None and kind not in MEASURED:
        yield f"device_class {kind} is not one of {', '.join(MEASURED)}"
    elif kind is not None:
        units, classes = MEASURED[kind]
        if unit not in units:
            yield f"unit {unit or 'absent'} does not fit {kind}: {', '.join(units)}"
        if state_class not in classes:
            yield f"state_class {state_class or 'absent'} does not fit {kind}"
    if kind == "enum":
        yield from faults_of_options(entity)
    elif "options" in entity:
        yield "options belong to device_class enum"
    if counts and "expire_after" in entity:
        yield "expire_after: a counter stays what it is"
    if not counts and not 0 < entity.get("expire_after", 0) <= 30:
        yield "expire_after is missing: a dead controller would look alive"


def faults_of_options(entity: dict[str, Any]) -> Iterator[str]:
    options = entity.get("options")
    if not options:
        yield "options are missing"
    elif len(set(options)) < len(options):
        yield "an option stands there twice"


def faults_of_number(entity: dict[str, Any]) -> Iterator[str]:
    low, high = entity.get("min", 0), entity.get("max", 0)
    if not low < high:
        yield f"min {low} is not below max {high}"
    if not 0 < entity.get("step", 1) <= max(high - low, 1e-9):
        yield f"step {entity.get('step')} does not fit {low} ... {high}"
    kind = entity.get("device_class")
    if kind is not None and entity.get("unit_of_measurement") not in MEASURED.get(kind, ((),))[0]:
        yield f"unit {entity.get('unit_of_measurement')} does not fit {kind}"


def faults_of_binary(entity: dict[str, Any]) -> Iterator[str]:
    if entity.get("device_class") not in (None, *BINARY):
        yield f"device_class {entity['device_class']} is not one of {', '.join(BINARY)}"
    if "unit_of_measurement" in entity:
        yield "a binary sensor has no unit"
    if "expire_after" not in entity:
        yield "expire_after is missing: a dead controller would look alive"
