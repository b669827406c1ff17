"""Link: one MQTT 3.1.1 connection that heals itself. The only module that talks to paho.

Reconnects with doubling delay 1 ... 30 s and a random part, so that a fleet does not return in one instant.
Logs one line per change (V2G-MQTT-DOWN, V2G-MQTT-UP). Everything received goes through `received`, a queue: the
client's thread decides nothing.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from controller.telemetry.batches import drain

log = logging.getLogger(__name__)

MAX_JITTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Will:
    """What everybody reads, retained, while we are connected and after we are gone."""

    topic: str
    online: str = "online"
    offline: str = "offline"


@dataclass(frozen=True, slots=True)
class Received:
    """One message. connection: which of our connections it came by; mid is meaningless on any other."""

    topic: str
    payload: bytes
    mid: int
    connection: int
    arrived_ms: int
    retained: bool = False  # the broker had kept it


class Link:
    """manual_ack: the broker keeps a message until ack() (a persistent session), for the bridge."""

    def __init__(self, client_id: str, host: str, port: int, keepalive_s: int, subscribe: Sequence[str],
                 will: Will | None = None, manual_ack: bool = False) -> None:  # fmt: skip
        self.host, self.port, self.keepalive_s = host, port, keepalive_s
        self.subscribe, self.will = subscribe, will
        self.received: SimpleQueue[Received] = SimpleQueue()
        self.connection = 0  # counts connections
        self.connected = False
        self._said: str | None = None
        self._stopping = threading.Event()
        self._gone = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=not manual_ack,
                             protocol=mqtt.MQTTv311, manual_ack=manual_ack)  # fmt: skip
        client.connect_timeout = 2.0
        client.reconnect_delay_set(1, 30)
        client.max_queued_messages_set(0)
        client.max_inflight_messages_set(500)
        if will is not None:
            client.will_set(will.topic, will.offline, qos=1, retain=True)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_message = self._on_connect_fail, self._on_message
        self._client = client

    def start(self) -> None:
        """Connect in the background; returns at once, also when nobody is there."""
        self._client.connect_async(self.host, self.port, self.keepalive_s)
        self._client.loop_start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Say goodbye, wait a little, return in any case (the client's thread is a daemon)."""
        self._stopping.set()
        if self.connected:
            if self.will is not None:
                self._client.publish(self.will.topic, self.will.offline, 1, retain=True).wait_for_publish(timeout_s)
            self._client.disconnect()
            self._gone.wait(timeout_s)

    def publish(self, topic: str, payload: bytes) -> None:
        """QoS 1, not retained."""
        self._client.publish(topic, payload, qos=1)

    def retain(self, topic: str, payload: bytes) -> None:
        """QoS 1; the broker keeps it for whoever comes later."""
        self._client.publish(topic, payload, qos=1, retain=True)

    def ack(self, message: Received) -> None:
        """Tell the broker that it may forget a message. On a newer connection it will have been sent anew."""
        if message.connection == self.connection and self.connected:
            self._client.ack(message.mid, 1)

    def take(self, limit: int, wait_s: float = 0.0) -> list[Received]:
        """Up to `limit` messages; waits only for the first."""
        return drain(self.received, limit, wait_s)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._say_down(str(reason))
            return
        self.connection += 1
        for topic in self.subscribe:
            client.subscribe(topic, qos=1)
        if self.will is not None:
            client.publish(self.will.topic, self.will.online, qos=1, retain=True)
        self.connected = True
        log.info("V2G-MQTT-UP connected to %s:%d", self.host, self.port)
        self._said = None

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.connected = False
        self._gone.set()
        if not self._stopping.is_set():
            self._say_down(str(reason))
            self._stopping.wait(random.uniform(0.0, MAX_JITTER_S))

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        self._say_down("no answer")
        self._stopping.wait(random.uniform(0.0, MAX_JITTER_S))

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        now_ms = time.time_ns() // 1_000_000
        payload = bytes(message.payload)
        self.received.put(Received(message.topic, payload, message.mid, self.connection, now_ms, message.retain))

    def _say_down(self, why: str) -> None:
        if self._said is None:
            log.warning("V2G-MQTT-DOWN %s:%d: %s; trying again, nothing is lost meanwhile", self.host, self.port, why)
        self._said = why
