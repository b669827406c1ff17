"""The keys of telemetry.mqtt: what right ones become, and every mistake with its line; 27 is the first after host."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.sitedata import BridgeSite, MqttSite, TlsSite
from tests.controller.test_site import GOOD, complaints, site_of

MQTT = GOOD + "telemetry:\n  mqtt:\n    host: broker.example\n"


def mqtt_of(folder: Path, added: str) -> MqttSite:
    mqtt = site_of(folder, MQTT + added).telemetry.mqtt
    assert mqtt is not None
    return mqtt


def test_the_broker_by_tls(tmp_path: Path) -> None:
    tls = "    tls: {ca: /etc/v2g/ca.pem, certificate: house.pem, key: house.key}\n"
    mqtt = mqtt_of(tmp_path, tls + "    bridge: {certificate: b.pem, key: b.key}\n")
    assert mqtt.tls == TlsSite(ca="/etc/v2g/ca.pem", certificate="house.pem", key="house.key")
    assert mqtt.bridge == BridgeSite(certificate="b.pem", key="b.key")
    assert (mqtt.ack, mqtt.protocol, mqtt.keepalive_s) == ("consumer", "3.1.1", 10)


def test_the_broker_of_a_house_without_bridge(tmp_path: Path) -> None:
    mqtt = mqtt_of(tmp_path, '    ack: broker\n    protocol: "5"\n    user: ann\n    password_file: mqtt.password\n')
    assert (mqtt.ack, mqtt.protocol, mqtt.user, mqtt.password_file) == ("broker", "5", "ann", "mqtt.password")


# fmt: off
PORTS = [
    # keys                              port  why
    ("",                                1883, "registered for MQTT"),
    ("    tls: {ca: a}\n",              8883, "registered for MQTT over TLS"),
    ("    port: 5\n    tls: {ca: a}\n", 5,    "as the site says"),
]
# fmt: on


@pytest.mark.parametrize(("keys", "port", "why"), PORTS, ids=[c[-1] for c in PORTS])
def test_port(tmp_path: Path, keys: str, port: int, why: str) -> None:
    assert mqtt_of(tmp_path, keys).port == port


# fmt: off
MISTAKES = [
    # line 27                                         begins with
    ("    user: ann\n",                       "telemetry.mqtt: user is given without password_file"),
    ("    password_file: p\n",                "telemetry.mqtt: password_file is given without user"),
    ("    ack: maybe\n",                      "ack = maybe is not one of consumer | broker (delivered is: stored"),
    ("    protocol: 5\n",                     'protocol = 5 is read by YAML as int, not as text: quote it ("5")'),
    ('    protocol: "4"\n',                   "protocol = 4 is not one of 3.1.1 | 5 (MQTT version; 5 shows when"),
    ("    tls: {}\n",                         "telemetry.mqtt.tls: missing key 'ca': certificates that sign the"),
    ("    tls: true\n",                       "tls needs its keys below it, indented"),
    ("    tls: {ca: ca.pem, key: k}\n",       "telemetry.mqtt.tls: key is given without certificate"),
    ("    tls: {ca: ../ca.pem}\n",            "ca = ../ca.pem is not certificates that sign the broker's: a path"),
    ("    tls: {ca: ca, password: x}\n",      "unknown key 'password'; known: ca, certificate, key"),
    ("    bridge: {certificate: b, key: k}\n", "certificate of the bridge needs telemetry.mqtt.tls"),
    ("    bridge: {user: bridge}\n",          "telemetry.mqtt.bridge: user is given without password_file"),
    ("    passwort: x\n",                     "unknown key 'passwort'; known: ack, bridge, host, keepalive_s,"),
    ("    password: secret\n",                "password does not stand in this file: put it alone into a file, and "),
]
# fmt: on


@pytest.mark.parametrize(("added", "text"), MISTAKES, ids=[c[-1][:50] for c in MISTAKES])
def test_a_mistake_is_named_with_its_line(tmp_path: Path, added: str, text: str) -> None:
    (only,) = complaints(tmp_path, MQTT + added)
    assert only.startswith(f"site.yaml:27: {text}"), only
    assert "secret" not in only  # a password is not repeated in its refusal


@pytest.mark.parametrize("host", ["a b", "http://broker", "broker:1883", "x" * 64, "a..b"])
def test_a_host_that_is_none(tmp_path: Path, host: str) -> None:
    (only,) = complaints(tmp_path, MQTT.replace("broker.example", f"'{host}'"))
    assert only.startswith("site.yaml:26: host = ")


@pytest.mark.parametrize("host", ["broker.example", "192.168.1.5", "::1", "fe80::1", "homeassistant", "a_b.local"])
def test_a_host_that_is_one(tmp_path: Path, host: str) -> None:
    mqtt = site_of(tmp_path, MQTT.replace("broker.example", f"'{host}'")).telemetry.mqtt
    assert mqtt is not None
    assert mqtt.host == host
