"""Publisher, broker, bridge, store: all real, each in its own process, each killed once in mid-stream.

What a subscriber receives and what the store holds is what is checked, never what a client believes it has sent.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from controller.telemetry.broker import Broker, start_broker
from controller.telemetry.link import Access
from controller.telemetry.publisher import MqttDelivery
from controller.telemetry.sqlitestore import read_points
from controller.telemetry.wire import Row, encode
from tests.controller.telemetry.makers import live
from tests.controller.telemetry.subscriber import Subscriber
from tests.need import tool

TOTAL = 80  # rows, 20 ms apart
PATIENCE_S = 30.0


class Rig:
    """The processes of one test, in one folder."""

    def __init__(self, folder: Path, kind: str = "") -> None:
        self.folder, self.kind = folder, kind
        self.broker: Broker = start_broker(folder / "broker", kind=kind)
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.controller.telemetry.child", *arguments]
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def start_bridge(self) -> subprocess.Popen[bytes]:
        return self.start("bridge", str(self.folder / "store.sqlite"), str(self.broker.port))

    def start_publisher(self) -> subprocess.Popen[bytes]:
        return self.start("publisher", str(self.folder / "outbox.sqlite"), str(self.broker.port), str(TOTAL))

    def stored(self) -> list[int]:
        path = self.folder / "store.sqlite"
        if not path.exists():
            return []
        with contextlib.suppress(Exception):  # not yet created
            return sorted(row.seq for kind in ("live", "event") for row in read_points(path, "home", kind))
        return []

    def restart_broker(self) -> None:
        self.broker.process.kill()
        self.broker.process.wait()
        time.sleep(0.3)  # long enough that both clients notice
        self.broker = start_broker(self.folder / "broker", self.broker.port, self.kind)

    def close(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
        self.broker.stop()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def wait_for(claim: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not claim():
        assert time.monotonic() < deadline, f"not within {patience_s} s: {what}"
        time.sleep(0.05)


def test_a_subscriber_receives_every_row_and_the_store_holds_each_once(rig: Rig) -> None:
    subscriber = Subscriber(rig.broker.port, "v2g/#")
    rig.start_bridge()
    publisher = rig.start_publisher()
    assert publisher.wait(PATIENCE_S) == 0  # it ends when its outbox is empty: every row acknowledged
    wait_for(lambda: any(m.payload == b"offline" for m in subscriber.messages), "the publisher's goodbye")
    subscriber.close()
    bodies = {json.loads(m.payload)["seq"]: (m.topic, json.loads(m.payload)) for m in subscriber.messages
              if m.topic in ("v2g/home/tele/live", "v2g/home/event")}  # fmt: skip
    assert sorted(bodies) == list(range(1, TOTAL + 1))
    assert rig.stored() == list(range(1, TOTAL + 1))
    for seq, (topic, body) in bodies.items():
        assert topic == ("v2g/home/event" if seq % 10 == 0 else "v2g/home/tele/live")
        assert (body["v"], body["site"], body["start_mode"], body["kind"]) == (1, "home", "demo", topic.split("/")[-1])
    status = [m.payload for m in subscriber.messages if m.topic == "v2g/home/status"]
    assert (status[0], status[-1]) == (b"online", b"offline")
    assert not any(m.retain for m in subscriber.messages)  # nothing but the status is kept, and that came live


def kill_bridge(rig: Rig, bridge: subprocess.Popen[bytes], _publisher: subprocess.Popen[bytes]) -> None:
    bridge.kill()
    bridge.wait()
    time.sleep(0.5)  # rows pile up at the broker
    rig.start_bridge()


def kill_publisher(rig: Rig, _bridge: subprocess.Popen[bytes], publisher: subprocess.Popen[bytes]) -> None:
    publisher.kill()
    publisher.wait()
    rig.start_publisher()


def kill_broker(rig: Rig, _bridge: subprocess.Popen[bytes], _publisher: subprocess.Popen[bytes]) -> None:
    rig.restart_broker()  # its sessions and queues are gone


@pytest.mark.parametrize("kill", [kill_bridge, kill_publisher, kill_broker], ids=lambda f: f.__name__)
def test_killed_in_mid_stream_every_row_arrives_once(rig: Rig, kill: Callable[..., None]) -> None:
    bridge, publisher = rig.start_bridge(), rig.start_publisher()
    wait_for(lambda: len(rig.stored()) >= TOTAL // 4, "a quarter of the rows in the store")
    assert len(rig.stored()) < TOTAL, "the stream ended before anything was killed"
    kill(rig, bridge, publisher)
    assert rig.children[-1].wait(PATIENCE_S) == 0 if kill is kill_publisher else publisher.wait(PATIENCE_S) == 0
    assert rig.stored() == list(range(1, TOTAL + 1))


def test_the_broker_keeps_rows_for_a_bridge_that_is_away(rig: Rig) -> None:
    """The publisher is gone as well, so only the bridge's own session can bring them. amqtt keeps nothing for one."""
    tool("mosquitto")
    sender = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    sender.connect("127.0.0.1", rig.broker.port)
    sender.loop_start()

    def send(seq: int) -> None:
        row = Row("ab", seq, "live", 0, json.dumps(live(seq).body))
        sender.publish("v2g/home/tele/live", encode(row), qos=1).wait_for_publish(5.0)

    def first_is_stored() -> bool:
        send(1)
        return rig.stored() == [1]

    bridge = rig.start_bridge()
    wait_for(first_is_stored, "the bridge listens")
    bridge.kill()
    bridge.wait()
    for seq in (2, 3, 4):
        send(seq)
    sender.disconnect()
    sender.loop_stop()
    rig.start_bridge()
    wait_for(lambda: rig.stored() == [1, 2, 3, 4], "what was sent meanwhile")


def test_the_last_will_says_offline_when_the_publisher_is_killed(rig: Rig) -> None:
    publisher = rig.start_publisher()  # no bridge: it stays
    subscriber = Subscriber(rig.broker.port, "v2g/+/status")
    wait_for(lambda: bool(subscriber.messages), "online")
    publisher.kill()
    wait_for(lambda: subscriber.messages[-1].payload == b"offline", "the broker's word for a dead publisher")
    subscriber.close()
    assert status_for_a_latecomer(rig.broker.port) == (b"offline", True)


def status_for_a_latecomer(port: int) -> tuple[Any, bool]:
    """What somebody who comes later reads."""
    late = Subscriber(port, "v2g/home/status")
    wait_for(lambda: bool(late.messages), "the retained status")
    late.close()
    return late.messages[0].payload, late.messages[0].retain


def test_no_broker_is_one_clear_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broker = start_broker(tmp_path)
    broker.stop()
    delivery = MqttDelivery("home", Access("127.0.0.1", broker.port, 5))
    delivery.start()
    wait_for(lambda: "V2G-MQTT-DOWN" in caplog.text, "the line")
    began = time.monotonic()
    time.sleep(2.5)  # a second attempt fails in this time; it must not be said again
    delivery.stop()
    assert caplog.text.count("V2G-MQTT-DOWN") == 1
    assert f"127.0.0.1:{broker.port}" in caplog.text
    assert not delivery.connected
    assert time.monotonic() - began < 10.0
