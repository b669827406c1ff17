"""Home Assistant: one retained message announces the unit and its entities (MQTT device discovery, from 2024.11). Pure.

Topic    <prefix>/device/v2g_<site>/config; sent on every connection, and when Home Assistant says `online` at
         <prefix>/status.
State    all entities read v2g/<site>/state/live, which holds the newest frame and never the backlog. Live values expire
         after 10 s, so that a dead controller does not look alive; counted energies do not.
Commands Home Assistant knows plain values only; each command_template makes our JSON of them: the time in µs is the
         number, so that an automation may send two at once, and a wish lives wish_lifetime_s. Controls are there when
         the site's `remote` lets `home` command.
Signs    P, Q: + = out of the unit into the grid. Charging energy is `e_import_wh`, discharging `e_export_wh`.
Source   home-assistant.io, MQTT integration: discovery payload, sensor, binary_sensor, number, select, switch, button.
"""

from __future__ import annotations

from typing import Any

from controller.build import build_id
from controller.services.command import MODES
from controller.site import Site
from controller.siteremote import bounds_of
from controller.telemetry.wire import state_topic, status_topic
from cython_core.records import State

EXPIRE_S = 10
LONGEST = 255  # characters of a state

FAULTS = ("F_LOST", "V_LOST", "DEVICE_LOST", "METER_LOST", "METER_FROZEN", "TRIP_VOLTAGE", "TRIP_FREQUENCY",
          "OVERWRITTEN", "POWER_MISMATCH")  # fmt: skip
LATE = ("F_STALE", "V_STALE", "DEVICE_STALE", "P_STALE", "F_LOST", "V_LOST", "DEVICE_LOST", "P_LOST", "METER_LOST")
SILENT = ("DEVICE_STALE", "DEVICE_LOST")

Entity = dict[str, Any]


def birth_topic(prefix: str) -> str:
    """Where Home Assistant says that it has started."""
    return f"{prefix}/status"


def config_topic(prefix: str, site: str) -> str:
    """Where the announcement stays."""
    return f"{prefix}/device/v2g_{site}/config"


def announcement(site: Site) -> dict[str, Any]:
    """The message: device, origin, and one component an entity."""
    found = sensors(site) | binary_sensors()
    if site.remote.enable and "home" in site.remote.unsigned:
        found |= controls(site)
    own = f"v2g_{site.name}"
    for key, entity in found.items():
        entity["unique_id"] = f"{own}_{key}"
    return {
        "device": {
            "identifiers": [own],
            "name": f"V2G {site.name}",
            "model": "V2G controller",
            "sw_version": build_id(),
        },
        "origin": {"name": "v2g-controller", "sw_version": build_id()},
        "availability": [{"topic": status_topic(site.name)}],
        "state_topic": state_topic(site.name),
        "components": found,
    }


# ---- what is read ----


def sensors(site: Site) -> dict[str, Entity]:
    """Measured and counted."""
    v_nom_v = site.settings.rating.v_nom_v
    states = [state.name for state in State]
    return {
        "power": live("Power", newest("p_w"), "power", "W", 0),
        "power_command": live("Commanded power", newest("p_cmd_w"), "power", "W", 0),
        "reactive_power": live("Reactive power", newest("q_var"), "reactive_power", "var", 0),
        "frequency": live("Grid frequency", newest("f_hz"), "frequency", "Hz", 3),
        "voltage": live("Grid voltage", newest("v_pu", f" * {v_nom_v:.10g}"), "voltage", "V", 1),
        "soc": live("State of charge", newest("soc_pu", " * 100"), "battery", "%", 0),
        "state": enum("State", one_of("value_json.state_name", states), states),
        "reasons": {
            "platform": "sensor", "name": "Why this power", "expire_after": EXPIRE_S,
            "value_template": f"{{{{ (value_json.why | default([], true) | join(', ') or 'none')[:{LONGEST}] }}}}",
        },
        "energy_import": energy("Energy charged", "e_import_wh"),
        "energy_export": energy("Energy discharged", "e_export_wh"),
    }  # fmt: skip


def binary_sensors() -> dict[str, Entity]:
    """From the reasons of the newest frame."""
    return {
        "fault": binary("Fault", "problem", any_of(FAULTS)),
        "degraded": binary("Measurements late", "problem", any_of(LATE)),
        "connected": binary("Inverter connected", "connectivity", any_of(SILENT, yes="OFF", no="ON")),
    }


def live(name: str, template: str, device_class: str, unit: str, digits: int) -> Entity:
    """A measured value."""
    return {"platform": "sensor", "name": name, "value_template": template, "device_class": device_class,
            "unit_of_measurement": unit, "state_class": "measurement", "suggested_display_precision": digits,
            "expire_after": EXPIRE_S}  # fmt: skip


def enum(name: str, template: str, options: list[str]) -> Entity:
    """One word of a few."""
    return {"platform": "sensor", "name": name, "value_template": template, "device_class": "enum", "options": options,
            "expire_after": EXPIRE_S}  # fmt: skip


def energy(name: str, key: str) -> Entity:
    """A counter in kWh; a frame without it changes nothing (an empty state is ignored)."""
    template = f"{{% if value_json.{key} is number %}}{{{{ (value_json.{key} / 1000) | round(3) }}}}{{% endif %}}"
    return {"platform": "sensor", "name": name, "value_template": template, "device_class": "energy",
            "unit_of_measurement": "kWh", "state_class": "total_increasing",
            "suggested_display_precision": 2}  # fmt: skip


def binary(name: str, device_class: str, template: str) -> Entity:
    """ON or OFF."""
    return {"platform": "binary_sensor", "name": name, "value_template": template, "device_class": device_class,
            "entity_category": "diagnostic", "expire_after": EXPIRE_S}  # fmt: skip


def newest(key: str, factor: str = "") -> str:
    """The newest value of a quantity; None, which is `unknown`, when the frame has none."""
    value = f"value_json.{key}.newest"
    shown = f"({value}{factor}) | round(2)" if factor else value
    return f"{{{{ {shown} if value_json.{key} is mapping and {value} is number else none }}}}"


def one_of(value: str, options: list[str] | tuple[str, ...]) -> str:
    """A value that is an option; else None: Home Assistant would complain of another one."""
    return f"{{% set v = {value} | default('') %}}{{{{ v if v in {list(options)} else none }}}}"


def any_of(names: tuple[str, ...], yes: str = "ON", no: str = "OFF") -> str:
    """Whether one of these reasons is set."""
    found = f"value_json.why | default([], true) | select('in', {list(names)}) | list"
    return f"{{{{ '{yes}' if {found} else '{no}' }}}}"


# ---- what is commanded ----

HOME = "((value_json.remote | default({})).home | default({}))"  # our own slot in the frame


def controls(site: Site) -> dict[str, Entity]:
    """Wishes of the source `home`."""
    bounds, name, life_ms = bounds_of(site), site.name, bounds_of(site).lifetime_ms
    return {
        "power_wish": {
            "platform": "number", "name": "Power wish (+ into the grid)", "device_class": "power",
            "unit_of_measurement": "W", "min": bounds.p_min_w, "max": bounds.p_max_w, "step": 10, "mode": "box",
            "value_template": f"{{{{ {HOME}.p_w | default(none) }}}}",
            **commanded(name, "power", '"p_w":{{ value }}', life_ms),
        },
        "reserve": {
            "platform": "number", "name": "Reserve", "unit_of_measurement": "%",
            "min": percent(bounds.soc_min_pu), "max": percent(bounds.soc_max_pu), "step": 1, "mode": "slider",
            "value_template": "{% set r = (value_json.remote | default({})).reserve_soc_pu %}"
                              "{{ (r * 100) | round(1) if r is number else none }}",
            **commanded(name, "reserve", '"soc_pu":{{ (value / 100) | round(4) }}', life_ms),
        },
        "mode": {
            "platform": "select", "name": "Mode", "options": list(MODES),
            "value_template": one_of(f"{HOME}.mode", MODES),
            **commanded(name, "mode", '"mode":"{{ value }}"', life_ms),
        },
        "hold": {
            "platform": "switch", "name": "Hold at 0 W",
            "value_template": f"{{{{ 'ON' if {HOME}.mode | default('') == 'hold' else 'OFF' }}}}",
            **commanded(name, "mode", "\"mode\":\"{{ 'hold' if value == 'ON' else 'auto' }}\"", life_ms),
        },
        "stop": {"platform": "button", "name": "Stop", **commanded(name, "stop", "", life_ms)},
        "resume": {"platform": "button", "name": "Resume", **commanded(name, "resume", "", life_ms)},
    }  # fmt: skip


def commanded(site: str, command: str, own: str, life_ms: int) -> Entity:
    """The topic, and the template that makes of a plain value a command that the site takes."""
    head = '{"v":1,"source":"home","seq":{{ us }},"issued_ms":{{ t }},"expires_ms":{{ t + LIFE }}'
    times = "{% set us = (now().timestamp() * 1000000) | int %}{% set t = us // 1000 %}"
    template = times + head.replace("LIFE", str(life_ms))
    return {"command_topic": f"v2g/{site}/cmd/{command}", "command_template": f"{template}{',' if own else ''}{own}}}",
            "qos": 1, "retain": False}  # fmt: skip


def percent(share_pu: float) -> float:
    """As people write it: 0.29 is 29, not 28.999999999999996."""
    return round(share_pu * 100.0, 4)
