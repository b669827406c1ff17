"""A real Home Assistant at a real broker finds the unit by itself, shows it, and its controls command it.

What it shows is read from its own `mqtt_statestream`; its controls are moved by an automation.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.telemetry.broker import free_port
from tests.controller.telemetry import makers
from tests.controller.telemetry.test_desk import Rig

pytestmark = pytest.mark.nightly

BOOT_S = 300.0  # it installs what its MQTT integration needs
STEP_S = 30.0
CONFIGURATION = """
homeassistant: {{name: test, time_zone: UTC}}
http: {{server_host: 127.0.0.1, server_port: {port}}}
logger: {{default: warning}}
mqtt_statestream: {{base_topic: shown}}
automation:
  - alias: do
    mode: queued
    triggers: [{{trigger: mqtt, topic: do}}]
    actions:
      - action: "{{{{ trigger.payload_json.action }}}}"
        target: {{entity_id: "{{{{ trigger.payload_json.entity }}}}"}}
        data: "{{{{ trigger.payload_json.data }}}}"
"""
STEPS = {"m_q_var": -250.0, "p_cmd_w": 1200.0, "f_hz": 59.987, "d_soc_pu": 0.534}


def entries(port: int) -> str:
    """Home Assistant's MQTT integration, as set up by a user."""
    then, no, one = "2025-01-01T00:00:00+00:00", False, {"version": 1, "minor_version": 2}
    entry: dict[str, Any] = {
        **one, "domain": "mqtt", "entry_id": "v2g", "title": "broker", "data": {"broker": "127.0.0.1", "port": port},
        "options": {}, "source": "user", "unique_id": None, "disabled_by": None, "discovery_keys": {}, "subentries": [],
        "pref_disable_new_entities": no, "pref_disable_polling": no, "created_at": then, "modified_at": then,
    }  # fmt: skip
    return json.dumps({"version": 1, "minor_version": 5, "key": "core.config_entries", "data": {"entries": [entry]}})


class House:
    """A unit whose controller goes on, and Home Assistant beside it."""

    def __init__(self, folder: Path, python: Path) -> None:
        (folder / "unit").mkdir()
        (folder / "ha/.storage").mkdir(parents=True)
        self.rig = Rig(folder / "unit")
        port = self.rig.broker.port
        (folder / "ha/configuration.yaml").write_text(CONFIGURATION.format(port=free_port()))
        (folder / "ha/.storage/core.config_entries").write_text(entries(port))
        self.log = folder / "ha.log"
        command = [str(python.with_name("hass")), "--config", str(folder / "ha")]
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=log)
        self.stepped_s = 0.0

    def shown(self) -> dict[str, str]:
        """{entity: state} as it is now."""
        messages = [m for m in list(self.rig.client.messages) if m.topic.startswith("shown/")]
        states = {m.topic: bytes(m.payload).decode() for m in messages if m.topic.endswith("/state")}
        return {topic.removeprefix("shown/").removesuffix("/state").replace("/", "."): s for topic, s in states.items()}

    def wait_for(self, entity: str, state: str, limit_s: float = STEP_S) -> None:
        """One entity gets there; the controller steps meanwhile, in real time."""
        deadline = time.monotonic() + limit_s
        while self.shown().get(entity) != state:
            assert self.child.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < deadline, f"{entity} is {self.shown().get(entity)}, not {state}"
            if time.monotonic() - self.stepped_s >= 1.0:
                self.stepped_s = time.monotonic()
                self.rig.step(10, **STEPS)
            self.rig.turn()
            time.sleep(0.05)

    def do(self, action: str, entity: str, **data: Any) -> None:
        """As a user would by a control."""
        self.rig.client.send("do", json.dumps({"action": action, "entity": entity, "data": data}).encode())

    def close(self) -> None:
        self.child.terminate()
        try:
            self.child.wait(30.0)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.rig.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, ha_python: Path) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(makers, "WALL_MS", time.time_ns() // 1_000_000)
        house = House(tmp_path_factory.mktemp("house"), ha_python)
        try:
            house.wait_for("sensor.v2g_home_power", "1000.0", BOOT_S)
            yield house
        finally:
            house.close()


def test_it_shows_the_unit(house: House) -> None:
    house.wait_for("sensor.v2g_home_why_this_power", "none")
    shown = {entity: state for entity, state in house.shown().items() if "v2g_home" in entity}
    assert shown == {
        "sensor.v2g_home_power": "1000.0",
        "sensor.v2g_home_commanded_power": "1200.0",
        "sensor.v2g_home_reactive_power": "-250.0",
        "sensor.v2g_home_grid_frequency": "59.987",
        "sensor.v2g_home_grid_voltage": "240.0",
        "sensor.v2g_home_state_of_charge": "53.4",
        "sensor.v2g_home_state": "IN_SERVICE",
        "sensor.v2g_home_why_this_power": "none",
        "sensor.v2g_home_energy_charged": "unknown",  # frames without counters
        "sensor.v2g_home_energy_discharged": "unknown",
        "binary_sensor.v2g_home_fault": "off",
        "binary_sensor.v2g_home_measurements_late": "off",
        "binary_sensor.v2g_home_inverter_connected": "on",
        "number.v2g_home_power_wish_into_the_grid": "unknown",
        "number.v2g_home_reserve": "unknown",
        "select.v2g_home_mode": "auto",
        "switch.v2g_home_hold_at_0_w": "off",
        "button.v2g_home_stop": "unknown",
        "button.v2g_home_resume": "unknown",
    }


WISH, RESERVE = "number.v2g_home_power_wish_into_the_grid", "number.v2g_home_reserve"
MODE, HOLD = "select.v2g_home_mode", "switch.v2g_home_hold_at_0_w"
STOP, RESUME = "button.v2g_home_stop", "button.v2g_home_resume"

# fmt: off
MOVES: list[tuple[str, str, dict[str, Any], str, str, float, str]] = [
    # action                 control       data                  shows         state      wish W   why
    ("number.set_value",     WISH,         {"value": 1500},      WISH,         "1500.0",  1500.0,  "a power"),
    ("number.set_value",     WISH,         {"value": 0},         WISH,         "0.0",     0.0,     "0 W is a power"),
    ("number.set_value",     RESERVE,      {"value": 35},        RESERVE,      "35.0",    0.0,     "no wish"),
    ("select.select_option", MODE,         {"option": "charge"}, MODE,         "charge",  -7000.0, "a mode"),
    ("switch.turn_on",       HOLD,         {},                   HOLD,         "on",      0.0,     "hold"),
    ("switch.turn_off",      HOLD,         {},                   MODE,         "auto",    0.0,     "no wish any more"),
    ("select.select_option", MODE,         {"option": "charge"}, MODE,         "charge",  -7000.0, "again"),
    ("button.press",         STOP,         {},                   MODE,         "unknown", 0.0,     "stopped: no mode"),
    ("button.press",         RESUME,       {},                   MODE,         "auto",    0.0,     "and gone"),
]
# fmt: on


def test_its_controls_command_the_unit(house: House) -> None:
    for action, entity, data, shows, state, p_w, why in MOVES:
        house.do(action, entity, **data)
        house.wait_for(shows, state)
        assert house.rig.power() == p_w, why
    assert {event for event, _ in house.rig.answers()} == {"command_accepted"}


def test_it_has_complained_of_nothing_of_ours(house: House) -> None:
    lines = [text for text in house.log.read_text().splitlines() if " ERROR " in text or " WARNING " in text]
    lines = [text for text in lines if "mqtt" in text]
    assert lines == []


def test_a_dead_telemetry_process_is_unavailable(house: House) -> None:
    """No goodbye: frames stop, and after expire_after so does the display. The connection still stands."""
    deadline = time.monotonic() + 30.0
    while house.shown()["sensor.v2g_home_power"] != "unavailable":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert house.shown()["sensor.v2g_home_energy_charged"] == "unknown", "a counter stays"
