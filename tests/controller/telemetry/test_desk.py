"""Commands and Home Assistant through a real broker and the telemetry process: what another client sees is checked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from controller.services.memory import load
from controller.services.pace import Limits
from controller.services.remote import Now, Remote
from controller.services.wishes import BOX_BYTES, Wishes
from controller.site import Site, load_site
from controller.sitedata import HomeAssistantSite, MqttSite, RemoteSite
from controller.telemetry.broker import Broker, start_broker
from controller.telemetry.desk import Desk, make_desk, topics_of
from controller.telemetry.follow import RingFollower
from controller.telemetry.link import Access
from controller.telemetry.outbox import Outbox
from controller.telemetry.process import Telemetry
from controller.telemetry.publisher import MqttDelivery
from cython_core.records import WishSource
from tests.controller.telemetry.halint import lint
from tests.controller.telemetry.makers import WALL_MS, MemoryJournal, MemoryRing, records
from tests.need import tool

PATIENCE_S = 30.0


def host_now() -> Now:
    """This machine's clocks, taken for synchronized."""
    return Now(time.time_ns() // 1_000_000, time.monotonic_ns(), True)


class Client:
    """Another program at the broker: sees every topic, and sends."""

    def __init__(self, port: int) -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("#", 1)
        self.client.loop_start()

    def send(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self.client.publish(topic, payload, 1, retain).wait_for_publish(PATIENCE_S)

    def command(self, name: str, retain: bool = False, **body: Any) -> bytes:
        """Send a right command, with changes. -> what was sent."""
        now_us = time.time_ns() // 1000
        now_ms = now_us // 1000
        head = {"v": 1, "source": "home", "seq": now_us, "issued_ms": now_ms, "expires_ms": now_ms + 60_000}
        payload = json.dumps({**head, **body}).encode()
        self.send(f"v2g/home/cmd/{name}", payload, retain)
        return payload

    def at(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(m.payload) for m in list(self.messages) if m.topic == topic and m.payload]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Rig:
    """Telemetry of one site: ring in memory, the rest real."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker: Broker = start_broker(folder / "broker")
        self.site: Site = replace(
            load_site(Path("demo-60hz")),
            name="home",
            runtime_dir=folder,
            state_dir=folder,
            remote=RemoteSite(enable=True, unsigned=("home",)),
            home_assistant=HomeAssistantSite(enable=True),
        )
        self.site = replace(self.site, telemetry=replace(self.site.telemetry, mqtt=MqttSite(host="127.0.0.1")))
        (folder / "wishes").write_bytes(bytes(BOX_BYTES * len(WishSource)))
        self.client = Client(self.broker.port)
        self.ring = MemoryRing()
        self.reader = self.ring.begin(7)
        self.n = 0
        self.start()

    def start(self) -> None:
        """A telemetry process begins."""
        site = self.site
        self.delivery = MqttDelivery(site.name, Access("127.0.0.1", self.broker.port, 5), also=topics_of(site))
        desk = make_desk(site, self.delivery)
        assert desk is not None
        assert desk.remote is not None
        memory = load(self.folder / "remote.json", time.time_ns() // 1_000_000)
        desk.remote = Remote(desk.remote.door, Limits(60, 3600, 0.0), Wishes(self.folder / "wishes"), memory, host_now)
        self.desk: Desk = desk
        outbox = Outbox(self.folder / "outbox.sqlite", site.name)
        follower = RingFollower(self.folder / "ring", self.ring.open)
        self.telemetry = Telemetry(follower, MemoryJournal(), outbox, self.delivery, 1000, True, self.folder, desk)
        link, heard = self.delivery.link, list[int]()
        link._client.on_subscribe = lambda _client, _data, number, *_: heard.append(number)
        self.delivery.start()
        self.wait_for(lambda: len(heard) == len(link.subscribe), "what it listens to: no command before is kept")

    def stop(self) -> None:
        self.delivery.stop()
        self.telemetry.outbox.close()

    def turn(self) -> None:
        self.telemetry.turn(time.time_ns() // 1_000_000)

    def step(self, count: int = 10, **columns: Any) -> None:
        """Steps of the controller, a tenth of a second each."""
        self.reader.push(records(self.n, count, **columns))
        self.n += count

    def wait_for(self, claim: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not claim():
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
            self.turn()
            time.sleep(0.02)

    def answers(self) -> list[tuple[str, str]]:
        """(event, reason) of each row that left for the bridge; a row that is sent twice counts once."""
        bodies = {body["seq"]: body for body in self.client.at("v2g/home/event")}
        events = [bodies[seq] for seq in sorted(bodies)]
        return [(e["event"], e.get("reason", "")) for e in events if e["event"].startswith("command")]

    def power(self) -> float | None:
        wish = Wishes(self.folder / "wishes").newest(WishSource.HOME)
        return None if wish is None else wish.p_w

    def close(self) -> None:
        self.stop()
        self.client.close()
        self.broker.stop()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_each_command_has_its_answer_at_the_broker_and_only_right_ones_have_power(rig: Rig) -> None:
    now_ms = time.time_ns() // 1_000_000
    accepted = rig.client.command("power", p_w=1234)
    rig.wait_for(lambda: len(rig.answers()) == 1, "the first answer")
    assert rig.power() == 1234.0
    rig.client.send("v2g/home/cmd/power", accepted)
    rig.client.command("power", p_w=2000, issued_ms=now_ms - 60_000, expires_ms=now_ms + 60_000)
    rig.client.command("power", p_w=2000, expires_ms=now_ms - 1)
    rig.client.command("power", p_w=9000)
    rig.client.command("power", p_w=2000, source="operator")
    rig.client.send("v2g/home/cmd/power", b"2000")
    rig.client.command("format", p_w=2000)
    expected = ["replayed", "expired", "expired", "bounds", "source", "malformed", "unknown"]
    rig.wait_for(lambda: len(rig.answers()) == 8, "an answer each")
    assert rig.answers() == [("command_accepted", ""), *(("command_refused", reason) for reason in expected)]
    assert rig.power() == 1234.0
    rows = {body["seq"]: body["t_ms"] for body in rig.client.at("v2g/home/event")}
    assert len(set(rows.values())) == len(rows), "no two are one row to the store"
    rig.step(20)
    rig.wait_for(lambda: len(rig.client.at("v2g/home/tele/live")) > 0, "a frame")
    remote = rig.client.at("v2g/home/tele/live")[-1]["remote"]
    assert (remote["accepted"], remote["refused"], remote["refused_by"]["expired"]) == (1, 7, 2)


def test_what_the_broker_had_kept_is_refused_at_each_connection(rig: Rig) -> None:
    tool("mosquitto")  # amqtt keeps too little for this
    rig.stop()
    rig.client.command("power", retain=True, p_w=2000)
    rig.start()
    rig.wait_for(lambda: len(rig.answers()) == 1, "its answer")
    assert rig.answers() == [("command_refused", "retained")]
    assert rig.power() is None


def test_a_restart_of_telemetry_lets_nothing_in_twice(rig: Rig) -> None:
    tool("mosquitto")  # amqtt keeps too little for this
    payload = rig.client.command("power", p_w=1000)
    rig.wait_for(lambda: len(rig.answers()) == 1, "its answer")
    rig.stop()
    rig.start()
    rig.client.send("v2g/home/cmd/power", payload)
    rig.wait_for(lambda: len(rig.answers()) == 2, "its second answer")
    assert rig.answers()[1] == ("command_refused", "replayed")


def test_another_sites_commands_do_not_arrive(rig: Rig) -> None:
    rig.client.send("v2g/house-8/cmd/power", b"2000")
    rig.client.command("power", p_w=1000)
    rig.wait_for(lambda: len(rig.answers()) == 1, "the answer to our own")
    assert rig.answers() == [("command_accepted", "")]


def test_home_assistant_is_told_at_each_connection_and_at_its_birth(rig: Rig) -> None:
    tool("mosquitto")  # amqtt keeps too little for this
    topic = "homeassistant/device/v2g_home/config"
    rig.wait_for(lambda: len(rig.client.at(topic)) == 1, "the announcement")
    late = Client(rig.broker.port)
    rig.wait_for(lambda: len(late.at(topic)) == 1, "what the broker kept of it")
    [kept] = [m for m in late.messages if m.topic == topic]
    late.close()
    assert kept.retain
    assert lint(kept.topic, bytes(kept.payload)) == []
    rig.client.send("homeassistant/status", b"offline")
    rig.client.send("homeassistant/status", b"online")
    rig.wait_for(lambda: len(rig.client.at(topic)) == 2, "the announcement again")
    assert rig.answers() == [], "a birth is no command"


def test_home_assistant_sees_each_new_frame_once_and_no_old_one(rig: Rig) -> None:
    """Nobody acknowledges here, so the pump sends tele/live again; state/live it leaves alone."""
    rig.step(45)  # four windows at once, as after a restart: only the newest is shown
    rig.wait_for(lambda: len(rig.client.at("v2g/home/tele/live")) >= 4, "all from the outbox")
    rig.step(10)
    rig.wait_for(lambda: len(rig.client.at("v2g/home/state/live")) >= 2, "the newest, and one more")
    repeated = time.monotonic() + 5.0  # the pump repeats after 4 s
    rig.wait_for(lambda: time.monotonic() > repeated, "repeats")
    assert len(rig.client.at("v2g/home/tele/live")) > len({b["seq"] for b in rig.client.at("v2g/home/tele/live")})
    frames = rig.client.at("v2g/home/state/live")
    times = [body["t_ms"] for body in frames]
    assert times == sorted(set(times))
    assert times[0] == WALL_MS + 3900, "the last step of the fourth window"
    assert not any(m.retain for m in rig.client.messages if m.topic.endswith("state/live"))
    assert frames[0]["remote"]["home"]["mode"] == "auto"


def test_the_state_of_charge_of_the_steps_guards_the_reserve(rig: Rig) -> None:
    rig.step(10, d_soc_pu=0.50)
    rig.client.command("reserve", soc_pu=0.4)
    rig.client.command("power", p_w=3000)
    rig.wait_for(lambda: len(rig.answers()) == 2, "both answers")
    rig.wait_for(lambda: rig.power() == 3000.0, "above the reserve")
    rig.step(10, d_soc_pu=0.40)
    rig.wait_for(lambda: rig.power() == 0.0, "at the reserve")
