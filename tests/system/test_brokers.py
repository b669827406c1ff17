"""Brokers are configuration: the same contract with Mosquitto under TLS, nats-server and amqtt, MQTT 3.1.1 each."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from controller.telemetry.bridge import Bridge
from controller.telemetry.broker import start_broker
from controller.telemetry.link import Access, Link
from controller.telemetry.sqlitestore import SqliteStore, read_points
from tests.controller.telemetry.subscriber import Subscriber
from tests.controller.telemetry.test_mqtt import wait_for
from tests.system.brokers import HOST, Mosquitto, Nats
from tests.system.site import Site

FRAMES = 40


@dataclass(frozen=True, slots=True)
class Opened:
    """A running broker: how a client of that name gets in, and how it ends."""

    access: Callable[[str], Access]
    close: Callable[[], None]


def mosquitto(folder: Path) -> Opened:
    broker = Mosquitto(folder)
    return Opened(broker.access, broker.close)


def nats(folder: Path) -> Opened:
    broker = Nats(folder)
    return Opened(lambda _name: Access(HOST, broker.port, 5), broker.close)


def amqtt(folder: Path) -> Opened:
    pytest.importorskip("amqtt")  # an extra of the demo
    broker = start_broker(folder, kind="amqtt")
    assert broker.name == "demo broker (amqtt)"
    return Opened(lambda _name: Access(HOST, broker.port, 5), broker.stop)


@pytest.fixture(params=[mosquitto, nats, amqtt], ids=lambda open_one: open_one.__name__)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    opened = request.param(tmp_path / "broker")
    yield opened
    opened.close()


def status_of(opened: Opened) -> tuple[bytes, bool]:
    """What somebody who comes later reads, and whether it was kept for him."""
    access = opened.access("home")
    late = Subscriber(access.port, "v2g/home/status", opened.access("v2g-viewer").context)
    wait_for(lambda: bool(late.messages), "the status")
    late.close()
    return bytes(late.messages[0].payload), late.messages[0].retain


def test_every_frame_is_stored_once_and_then_leaves_the_outbox(opened: Opened, tmp_path: Path) -> None:
    store, stopping = SqliteStore(tmp_path / "store.sqlite"), threading.Event()
    bridge = Bridge(store, opened.access("v2g-bridge"))
    thread = threading.Thread(target=bridge.run, args=(stopping,))
    thread.start()
    site = Site(tmp_path, "home", opened.access("home"), frames=FRAMES)
    try:
        site.until(lambda: site.waiting == 0, "every frame acknowledged")
        assert status_of(opened) == (b"online", True)
        assert [row.seq for row in read_points(store.path, "home", "live")] == list(range(1, FRAMES + 1))
    finally:
        site.close()
        stopping.set()
        thread.join(10.0)
        store.close()
    assert status_of(opened) == (b"offline", True)


HALF = b'{"v":1,"kind":"event","site":"home","event":"\\ud800","outbox":"x","seq":1,"epoch":1,"t_ms":1}'
RUBBISH = [b"\xff", HALF, b'{"a":' * 900 + b"1" + b"}" * 900, HALF.replace(b'"\\ud800"', b'"e","x":1e400')]


def test_rubbish_ends_no_bridge(opened: Opened, tmp_path: Path) -> None:
    """The broker keeps what a bridge has not taken: what ended it once would end it at each start."""
    store, stopping = SqliteStore(tmp_path / "store.sqlite"), threading.Event()
    bridge = Bridge(store, opened.access("v2g-bridge"))
    thread = threading.Thread(target=bridge.run, args=(stopping,))
    thread.start()
    wait_for(lambda: bridge.link.connected, "the bridge")
    hostile = Link("hostile", opened.access("home"), [])
    hostile.start()
    wait_for(lambda: hostile.connected, "somebody who may write for the site")
    for payload in RUBBISH:
        hostile.publish("v2g/home/event", payload)
    wait_for(lambda: not hostile.unanswered, "the broker has all of it")
    hostile.stop()
    site = Site(tmp_path, "home", opened.access("home"), frames=FRAMES)
    try:
        site.until(lambda: site.waiting == 0, "every frame acknowledged")
        wait_for(lambda: bridge.counters.refused == len(RUBBISH), "each refused")
    finally:
        site.close()
        stopping.set()
        thread.join(10.0)
        store.close()


def test_a_topic_that_nats_server_hands_on_ends_no_bridge(tmp_path: Path) -> None:
    """0xff is in no UTF-8 text; a client library would not send it."""
    broker, topic = Nats(tmp_path / "broker"), b"v2g/\xff/event"
    link = Link("bridge", Access(HOST, broker.port, 5), ["v2g/+/event"])
    link.start()
    wait_for(lambda: link.connected, "the bridge")
    with socket.create_connection((HOST, broker.port), timeout=10.0) as hostile:
        hostile.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x")
        assert hostile.recv(4) == b"\x20\x02\x00\x00"
        hostile.sendall(b"\x30" + bytes([len(topic) + 4, 0, len(topic)]) + topic + b"{}")
        [message] = link.take(1, wait_s=10.0)
    assert message.topic == "v2g/\\xff/event"
    link.stop()
    broker.close()


def test_nats_server_does_not_speak_mqtt_5(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broker = Nats(tmp_path / "broker")
    site = Site(tmp_path, "home", replace(Access(HOST, broker.port, 5), protocol="5"))
    wait_for(lambda: "V2G-MQTT-DOWN" in caplog.text, "the line")
    site.close()
    broker.close()
    print(caplog.text)
    assert "the broker does not speak this version of MQTT: change telemetry.mqtt.protocol" in caplog.text
