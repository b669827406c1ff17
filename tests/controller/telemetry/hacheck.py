"""Run by an interpreter that has Home Assistant: its own schemas, tables and templates over our announcements.

stdin    {"announcements": {name: message}, "frame": a live frame, "values": {component: value of a command},
          "device_classes": {class: [units, state classes]}}
stdout   {"refused": {name: reason or null}, "shown": {component: state}, "commands": {component: payload},
          "unknown": what our table of device classes says that Home Assistant's does not}
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import tempfile
from typing import Any

# not installed where mypy runs: 600 MB, and Python 3.13 only
import homeassistant.components.mqtt.schemas as schemas  # type: ignore[import-not-found]  # as above
import voluptuous as vol  # type: ignore[import-not-found]  # as above
from homeassistant.components.mqtt.models import (  # type: ignore[import-not-found]  # as above
    MqttCommandTemplate,
    MqttValueTemplate,
)
from homeassistant.components.sensor.const import (  # type: ignore[import-not-found]  # as above
    DEVICE_CLASS_STATE_CLASSES,
    DEVICE_CLASS_UNITS,
    SensorDeviceClass,
)
from homeassistant.core import HomeAssistant  # type: ignore[import-not-found]  # as above
from homeassistant.helpers.template import Template  # type: ignore[import-not-found]  # as above


def refusal(message: dict[str, Any]) -> str | None:
    """What Home Assistant says of an announcement; None: it takes it."""
    try:
        device = schemas.DEVICE_DISCOVERY_SCHEMA(message)
        shared = {key: device[key] for key in schemas.SHARED_OPTIONS if key in device}
        for component in device["components"].values():
            own = {key: value for key, value in component.items() if key != "platform"}
            module = importlib.import_module(f"homeassistant.components.mqtt.{component['platform']}")
            module.DISCOVERY_SCHEMA({"device": device["device"], **shared, **own})
    except (vol.Invalid, KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def table_faults(ours: dict[str, tuple[list[str], list[str]]]) -> list[str]:
    """Units and state classes of ours that Home Assistant does not have; none is written as nothing."""
    found = []
    for name, (units, classes) in ours.items():
        kind = SensorDeviceClass(name)
        known = {str(unit or "") for unit in DEVICE_CLASS_UNITS.get(kind, {""})}
        known_classes = {str(one) for one in DEVICE_CLASS_STATE_CLASSES.get(kind, set())} | {""}
        found += [f"{name}: unit {unit}" for unit in units if unit not in known]
        found += [f"{name}: state_class {one}" for one in classes if one not in known_classes]
    return found


async def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Templates need a running Home Assistant, of which a bare one is enough."""
    hass = HomeAssistant(tempfile.gettempdir())
    await hass.config.async_set_time_zone("UTC")
    shown, commands = {}, {}
    frame = json.dumps(asked["frame"])
    for key, component in asked["announcements"]["ours"]["components"].items():
        if "value_template" in component:
            template = MqttValueTemplate(Template(component["value_template"], hass))
            shown[key] = str(template.async_render_with_possible_json_value(frame))
        if "command_template" in component:
            command = MqttCommandTemplate(Template(component["command_template"], hass))
            commands[key] = command.async_render(asked["values"][key])
    refused = {name: refusal(message) for name, message in asked["announcements"].items()}
    return {"refused": refused, "shown": shown, "commands": commands, "unknown": table_faults(asked["device_classes"])}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(answer(json.load(sys.stdin)))))
