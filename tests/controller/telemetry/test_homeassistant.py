"""The announcement to Home Assistant: our linter finds nothing, and finds each fault that is made in it; the templates
render what a frame says; a command made by a template is one that our own parser takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, StrictUndefined

from controller.services.command import Refused, check, parse
from controller.site import Site, load_site
from controller.sitedata import HomeAssistantSite, MqttSite, RemoteSite
from controller.siteremote import bounds_of
from controller.telemetry.frames import FrameBuilder
from controller.telemetry.homeassistant import LONGEST, announcement, config_topic
from cython_core.records import Freshness, Reason, State
from tests.controller.services.test_remote import Rig
from tests.controller.telemetry.halint import lint
from tests.controller.telemetry.makers import info, records

NOW = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1_000_000)
NOW_MS = NOW_US // 1000


def site_of(remote: bool = True, unsigned: tuple[str, ...] = ("home",), **more: Any) -> Site:
    site = load_site(Path("demo-60hz"))
    return replace(
        site,
        name="house-7",
        remote=RemoteSite(enable=remote, max_charge_w=3700.0, max_discharge_w=5000.0, unsigned=unsigned, **more),
        home_assistant=HomeAssistantSite(enable=True),
        telemetry=replace(site.telemetry, mqtt=MqttSite(host="broker")),
    )


def announced(site: Site) -> dict[str, Any]:
    """As it arrives."""
    tree: dict[str, Any] = json.loads(json.dumps(announcement(site)))
    return tree


def linted(tree: dict[str, Any], topic: str = config_topic("homeassistant", "house-7")) -> list[str]:
    return lint(topic, json.dumps(tree).encode())


def render(template: str, **names: Any) -> str:
    """As Home Assistant renders: its now(), and None as text. What is undefined and used is an error here."""
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # no HTML is made of it
    return environment.from_string(template).render(now=lambda: NOW, **names)


# ---- the linter ----


@pytest.mark.parametrize("remote", [True, False])
def test_the_announcement_has_no_fault(remote: bool) -> None:
    assert linted(announced(site_of(remote))) == []


def test_what_is_announced() -> None:
    tree = announced(site_of())
    kinds = [component["platform"] for component in tree["components"].values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "sensor": 10, "binary_sensor": 3, "number": 2, "select": 1, "switch": 1, "button": 2,
    }  # fmt: skip
    assert tree["availability"] == [{"topic": "v2g/house-7/status"}]
    assert tree["device"]["identifiers"] == ["v2g_house-7"]


# fmt: off
NO_CONTROLS = [
    (site_of(remote=False),          "no remote commands at this site"),
    (site_of(unsigned=()),           "the house must sign, and Home Assistant cannot"),
    (site_of(unsigned=("operator",), sources=("operator",)), "remote commands, but not from the house"),
]
# fmt: on


@pytest.mark.parametrize(("site", "why"), NO_CONTROLS, ids=[c[-1] for c in NO_CONTROLS])
def test_controls_only_where_the_house_may_command(site: Site, why: str) -> None:
    assert not [c for c in announced(site)["components"].values() if "command_topic" in c], why


def change(*path: str, to: Any = None) -> Callable[[dict[str, Any]], None]:
    """Set what stands at a path; None takes it out."""

    def apply(tree: dict[str, Any]) -> None:
        place = tree
        for key in path[:-1]:
            place = place[key]
        if to is None:
            del place[path[-1]]
        else:
            place[path[-1]] = to

    return apply


def of(entity: str, key: str, to: Any = None) -> Callable[[dict[str, Any]], None]:
    return change("components", entity, key, to=to)


# fmt: off
MUTATIONS: list[tuple[Callable[[dict[str, Any]], None], str, str]] = [
    # a fault that is made  what the linter says  who would notice otherwise
    (change("origin"),                                "origin is missing",              "the schema"),
    (change("device"),                                "device is missing",              "the schema"),
    (change("components"),                            "components is missing",          "the schema"),
    (change("device", "identifiers"),                 "neither identifiers nor connections", "the schema"),
    (change("device", "name"), "device has no name", "nobody: the device is called by its number"),
    (change("availability"), "availability is missing", "nobody: a dead controller looks alive"),
    (change("availability", to=[{"topic": "v2g/#"}]), "is no topic", "nobody: another house's voice"),
    (change("qos", to=1), "qos of the device is not handed down", "nobody: each component has 0"),
    (of("stop", "qos", 3), "stop: qos 3", "the schema"),
    (of("stop", "qos"), "stop: qos None: a command may get lost", "nobody"),
    (change("state_topic"),                           "power: state_topic is missing",  "the schema"),
    (change("state_topic", to="v2g/+/state/live"), "is no topic to publish to", "nobody: another house's power"),
    (of("power", "platform"),                         "power: platform None",           "the schema"),
    (of("power", "platform", "sensors"),              "power: platform sensors",        "the schema"),
    (of("power", "unique_id"),                        "power: unique_id is missing",    "the schema"),
    (of("power", "unique_id", "v2g_house-7_frequency"), "is another's",                   "Home Assistant's log"),
    (of("power", "name"), "power: name is missing", "nobody: it is called as its device"),
    (of("power", "value_template"), "value_template is missing", "nobody: the whole frame as a state"),
    (of("power", "value_template", "{{ value_json.p_w"), "power: value_template:",         "the schema"),
    (of("power", "device_class", "wattage"),          "device_class wattage",           "the schema"),
    (of("power", "unit_of_measurement", "Hz"),        "unit Hz does not fit power",     "a warning only"),
    (of("power", "unit_of_measurement"),              "unit absent does not fit power", "a warning only"),
    (of("power", "state_class", "total_increasing"),  "state_class total_increasing does not fit", "a warning only"),
    (of("energy_import", "state_class", "measurement"), "state_class measurement does not fit",
     "the Energy dashboard: it is not offered"),
    (of("energy_import", "state_class"), "state_class absent does not fit energy",
     "the Energy dashboard: it is not offered"),
    (of("energy_import", "unit_of_measurement", "W"), "unit W does not fit energy",     "a warning only"),
    (of("energy_import", "expire_after", 10), "a counter stays what it is", "nobody: a hole after each pause"),
    (of("power", "expire_after"), "power: expire_after is missing", "nobody: a dead controller looks alive"),
    (of("fault", "expire_after"), "fault: expire_after is missing", "nobody: a dead controller looks alive"),
    (of("state", "options"), "state: options are missing", "Home Assistant, when it makes the entity"),
    (of("state", "options", ["OFF", "OFF"]),          "an option stands there twice",   "nobody"),
    (of("state", "state_class", "measurement"),       "state_class measurement does not fit enum", "the schema"),
    (of("soc", "options", ["a"]),                     "options belong to device_class enum", "the schema"),
    (of("reasons", "unit_of_measurement", "W"),       "without device_class",           "nobody: a text with a unit"),
    (of("fault", "device_class", "error"),            "device_class error",             "the schema"),
    (of("fault", "entity_category", "internal"),      "entity_category internal",       "the schema"),
    (of("fault", "unit_of_measurement", "W"),         "a binary sensor has no unit",    "nobody"),
    (of("power_wish", "min", 9000.0),                 "min 9000.0 is not below max",    "the schema"),
    (of("power_wish", "step", 90_000),                "step 90000",                     "nobody: it cannot be moved"),
    (of("power_wish", "unit_of_measurement", "A"),    "unit A does not fit power",      "a warning only"),
    (of("power_wish", "command_topic"),               "command_topic is missing",       "the schema"),
    (of("power_wish", "command_topic", "v2g/house-7/cmd/#"), "is no topic to publish to",      "the schema"),
    (of("power_wish", "command_template"), "command_template is missing", "our parser, at the first command"),
    (of("power_wish", "command_template", "{{ value }}"), "makes no time", "our parser, at the first command"),
    (of("power_wish", "retain", True), "comes again at each connection", "our parser, at the next connection"),
    (of("mode", "options", []),                       "mode: options",                  "nobody: nothing to choose"),
    (of("stop", "command_topic"),                     "stop: command_topic is missing", "the schema"),
    (change("components", "a b", to={"platform": "button"}), "only letters, digits",           "Home Assistant's log"),
]
# fmt: on


@pytest.mark.parametrize(("mutate", "said", "why"), MUTATIONS, ids=[c[1] for c in MUTATIONS])
def test_the_linter_finds_each_fault(mutate: Callable[[dict[str, Any]], None], said: str, why: str) -> None:
    tree = deepcopy(announced(site_of()))
    mutate(tree)
    found = linted(tree)
    assert any(said in line for line in found), (found, why)


def test_the_linter_knows_the_topic_and_json() -> None:
    assert linted(announced(site_of()), "homeassistant/sensor/v2g/config")
    assert lint("homeassistant/device/a/config", b"{") != []
    assert lint("homeassistant/device/a/config", b"[]") == ["not a JSON object"]


# ---- what is read ----


def frame(**columns: Any) -> dict[str, Any]:
    """A live frame as the telemetry process makes it of ten steps, over the wire."""
    rows = records(0, 10, **{"m_q_var": -250.0, "p_cmd_w": 1200.0, "f_hz": 59.987, "v_pu": 0.995, **columns})
    builder = FrameBuilder(info(), 1000, p_at_meter=True)
    drafts = builder.add(rows) + builder.flush()
    body: dict[str, Any] = json.loads(json.dumps(next(d.body for d in drafts if d.kind == "live")))
    return body


# fmt: off
READ: list[tuple[str, dict[str, Any], str, str]] = [
    # entity           columns of the steps                       what is shown    why
    ("power",          {},                                        "1000.0",        "measured at the meter"),
    ("power",          {"m_p_w": -3000.0},                        "-3000.0",       "- charges"),
    ("power",          {"fresh_p": int(Freshness.LOST),
                        "fresh_d": int(Freshness.LOST)},          "None",          "unknown, never an old value"),
    ("power_command",  {},                                        "1200.0",        "what was commanded"),
    ("reactive_power", {},                                        "-250.0",        "var"),
    ("frequency",      {},                                        "59.987",        "Hz"),
    ("voltage",        {},                                        "238.8",         "0.995 x 240 V"),
    ("voltage",        {"fresh_v": int(Freshness.STALE)},         "None",          "stale"),
    ("soc",            {"d_soc_pu": 0.534},                       "53.4",          "%"),
    ("soc",            {"d_soc_pu": float("nan")},                "None",          "no car"),
    ("state",          {},                                        "IN_SERVICE",    "by its name"),
    ("state",          {"state": int(State.TRIPPED)},             "TRIPPED",       "each state is an option"),
    ("reasons",        {},                                        "none",          "a quiet unit"),
    ("reasons",        {"reasons": int(Reason.DROOP | Reason.RAMP)}, "DROOP, RAMP", "names"),
    ("fault",          {},                                        "OFF",           "all well"),
    ("fault",          {"reasons": int(Reason.TRIP_VOLTAGE)},     "ON",            "tripped"),
    ("fault",          {"reasons": int(Reason.DROOP)},            "OFF",           "an answer is no fault"),
    ("degraded",       {"reasons": int(Reason.F_STALE)},          "ON",            "late"),
    ("degraded",       {},                                        "OFF",           "all fresh"),
    ("connected",      {"reasons": int(Reason.DEVICE_LOST)},      "OFF",           "the inverter is lost"),
    ("connected",      {},                                        "ON",            "it answers"),
]
# fmt: on


@pytest.mark.parametrize(("entity", "columns", "shown", "why"), READ, ids=[f"{c[0]}: {c[-1]}" for c in READ])
def test_what_a_frame_shows(entity: str, columns: dict[str, Any], shown: str, why: str) -> None:
    template = announced(site_of())["components"][entity]["value_template"]
    assert render(template, value_json=frame(**columns)) == shown, why


def test_energies_are_shown_in_kwh() -> None:
    components = announced(site_of())["components"]
    body = frame() | {"e_import_wh": 12_345.6, "e_export_wh": 0}
    without = {key: value for key, value in body.items() if not key.startswith("e_")}
    assert render(components["energy_import"]["value_template"], value_json=without) == "", "an older one: no change"
    assert render(components["energy_import"]["value_template"], value_json=body) == "12.346"
    assert render(components["energy_export"]["value_template"], value_json=body) == "0.0"


def test_a_state_never_gets_longer_than_home_assistant_takes() -> None:
    body = frame(reasons=(1 << 61) - 1)
    assert len(render(announced(site_of())["components"]["reasons"]["value_template"], value_json=body)) == LONGEST


def test_every_template_bears_a_frame_without_anything() -> None:
    """Another version's frame: unknown, or as if all were well, but no error in Home Assistant's log."""
    for key, component in announced(site_of())["components"].items():
        if "value_template" in component:
            assert render(component["value_template"], value_json={}) in ("None", "", "none", "OFF", "ON"), key


# ---- what is commanded ----

# fmt: off
COMMANDED: list[tuple[str, Any, dict[str, Any], str]] = [
    # entity       value         what our parser reads of it        why
    ("power_wish", 3700,         {"name": "power", "p_w": 3700.0},  "a whole number, as Home Assistant sends 3700.0"),
    ("power_wish", -3700.0,      {"name": "power", "p_w": -3700.0}, "the least"),
    ("power_wish", 12.5,         {"name": "power", "p_w": 12.5},    "halves"),
    ("reserve",    29,           {"name": "reserve", "soc_pu": 0.29}, "percent to a share"),
    ("reserve",    20,           {"name": "reserve", "soc_pu": 0.2},  "the site's own least"),
    ("mode",       "discharge",  {"name": "mode", "mode": "discharge"}, "an option"),
    ("hold",       "ON",         {"name": "mode", "mode": "hold"},  "the switch on"),
    ("hold",       "OFF",        {"name": "mode", "mode": "auto"},  "the switch off"),
    ("stop",       "PRESS",      {"name": "stop"},                  "a button"),
    ("resume",     "PRESS",      {"name": "resume"},                "a button"),
]
# fmt: on


@pytest.mark.parametrize(("entity", "value", "read", "why"), COMMANDED, ids=[f"{c[0]}: {c[-1]}" for c in COMMANDED])
def test_a_command_of_a_template_is_one_that_we_take(entity: str, value: Any, read: dict[str, Any], why: str) -> None:
    site = site_of()
    component = announced(site)["components"][entity]
    command = parse(
        component["command_topic"].rpartition("/")[2], render(component["command_template"], value=value).encode()
    )
    assert {key: getattr(command, key) for key in read} == read, why
    assert (command.source, command.seq, command.issued_ms) == ("home", NOW_US, NOW_MS)
    assert command.expires_ms == NOW_MS + 900_000  # wish_lifetime_s
    check(command, bounds_of(site), NOW_MS + 2000)


def test_every_option_is_a_mode_that_we_take() -> None:
    component = announced(site_of())["components"]["mode"]
    for mode in component["options"]:
        assert parse("mode", render(component["command_template"], value=mode).encode()).mode == mode
    with pytest.raises(Refused, match="auto, hold"):
        parse("mode", render(component["command_template"], value='eco"').encode().replace(b'eco""', b'eco"'))


def test_the_slider_ends_where_the_site_does() -> None:
    site = site_of()
    wish = announced(site)["components"]["power_wish"]
    assert (wish["min"], wish["max"]) == (-3700.0, 5000.0)
    reserve = announced(site)["components"]["reserve"]
    for percent in (reserve["min"], reserve["max"]):
        check(parse("reserve", render(reserve["command_template"], value=percent).encode()), bounds_of(site), NOW_MS)


# fmt: off
SHOWN: list[tuple[str, dict[str, Any], dict[str, str], str]] = [
    # command  body  what the controls show  why
    ("power", {"p_w": 0}, {"power_wish": "0.0", "mode": "None", "hold": "OFF"}, "a wish of 0 W is shown, not unknown"),
    ("mode",    {"mode": "hold"},   {"power_wish": "0.0", "mode": "hold", "hold": "ON"},        "hold"),
    ("mode", {"mode": "charge"}, {"power_wish": "-7000.0", "mode": "charge", "hold": "OFF"}, "the power it stands for"),
    ("mode",    {"mode": "auto"},   {"power_wish": "None", "mode": "auto", "hold": "OFF"},      "no wish"),
    ("stop", {}, {"power_wish": "0.0", "mode": "None", "hold": "OFF"}, "stopped is none of the options"),
    ("reserve", {"soc_pu": 0.35},   {"reserve": "35.0", "mode": "auto"},                        "percent"),
]
# fmt: on


@pytest.mark.parametrize(("name", "body", "shown", "why"), SHOWN, ids=[c[-1] for c in SHOWN])
def test_what_the_controls_show(
    tmp_path: Path, name: str, body: dict[str, Any], shown: dict[str, str], why: str
) -> None:
    rig = Rig(tmp_path)
    assert rig.send(name, **body)["event"] == "command_accepted"
    value_json = frame() | {"remote": json.loads(json.dumps(rig.remote.frame()))}
    components = announced(site_of())["components"]
    assert {key: render(components[key]["value_template"], value_json=value_json) for key in shown} == shown, why
