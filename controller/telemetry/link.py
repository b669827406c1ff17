"""Link: one MQTT connection that heals itself. The only module that talks to paho.

Pauses   random, 0.5 s up to 2, 4 ... 60 s, so that a fleet does not return in one instant; from the beginning again
         after a connection that has lasted.
Log      one line per change (V2G-MQTT-DOWN with the reason in plain words, V2G-MQTT-UP); V2G-MQTT-DEAF for a topic that
         the broker does not let us hear (some say yes all the same, Mosquitto among them).
Threads  everything received goes through queues: the client's thread decides nothing.
"""

from __future__ import annotations

import logging
import random
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from controller.telemetry.batches import drain
from controller.telemetry.refusal import Refusal, of_code, of_error

log = logging.getLogger(__name__)

FIRST_S, LAST_S = 0.5, 60.0
STEADY_S = 10.0  # a connection that lasted so long was no accident
QUIET_S = 2.0  # a broker that is still answering when we hang up does not read our goodbye: it publishes the last will
RENEW_S = 10.0  # a goodbye that is not heard; afterwards the next attempt has the new certificate
CONNECT_S = 5.0  # TCP, then TLS: a mobile network takes its time
MAX_UNANSWERED = 5000  # messages paho keeps in memory; identifiers end at 65535
PROTOCOLS = {"3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}
# MQTT 5: the broker ends a connection with more than its Receive Maximum under way, which paho does not heed; 10 is the
# smallest default among common brokers
MAX_IN_FLIGHT = {mqtt.MQTTv311: 500, mqtt.MQTTv5: 10}


@dataclass(frozen=True, slots=True)
class Access:
    """Where the broker is, and who we are there. context: TLS."""

    host: str
    port: int
    keepalive_s: int = 10
    protocol: str = "3.1.1"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    context: ssl.SSLContext | None = field(default=None, repr=False)
    until_s: float | None = None  # Unix time: our certificate's last moment


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


@dataclass(frozen=True, slots=True)
class Receipt:
    """The broker's answer to one publish(). code: of MQTT 5.0 section 3.4.2.1; 0 is all that 3.1.1 can say."""

    mid: int
    code: int
    name: str


class Backoff:
    """How long to wait before the next attempt."""

    def __init__(self) -> None:
        self.attempts = 0

    def next_s(self) -> float:
        """Each time up to twice as long, at random."""
        self.attempts += 1
        return random.uniform(FIRST_S, min(FIRST_S * 2.0 ** min(self.attempts + 1, 10), LAST_S))

    def reset(self) -> None:
        """All was well."""
        self.attempts = 0


class Ear(logging.Handler):
    """Hears the error that paho logs and does not hand on: with TLS 1.3 a refusal comes with the first read."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error: OSError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the newest."""
        errors = [one for one in record.args or () if isinstance(one, OSError)]
        self.error = errors[-1] if errors else self.error


class Link:
    """manual_ack: the broker keeps a message until ack(), for the bridge; MQTT 3.1.1 then.

    keep_session: the broker keeps them also while we are away.
    with_receipts: the broker's answers are kept until receipts() takes them.
    """

    def __init__(self, client_id: str, access: Access, subscribe: Sequence[str], will: Will | None = None,
                 *, manual_ack: bool = False, keep_session: bool = False,
                 with_receipts: bool = False) -> None:  # fmt: skip
        self.client_id, self.access, self.subscribe, self.will = client_id, access, subscribe, will
        self.received: SimpleQueue[Received] = SimpleQueue()
        self.connection = 0  # counts connections
        self.refused = 0  # attempts to which the broker, or we, said no
        self.connected = False
        self.why = ""  # we are not connected
        self._receipts: SimpleQueue[Receipt] = SimpleQueue()
        self._backoff, self._ear = Backoff(), Ear()
        self._since_s = 0.0
        self._told: Refusal | None = None  # of this attempt
        self._asked: dict[int, str] = {}  # topics by mid
        self._deaf: set[str] = set()
        self._stopping = self._renewing = False
        self._gone = threading.Event()
        self._client = self._make_client(client_id, manual_ack, keep_session, with_receipts)

    def start(self) -> None:
        """Connect in the background; returns at once, also when nobody is there."""
        self._connect_async()
        self._client.loop_start()

    def renew(self, access: Access) -> None:
        """Other certificates and password: at once when connected, without a last will; else with the next attempt."""
        self.access = access
        self._client._ssl_context = access.context  # its own door takes one only once
        if access.user is not None:
            self._client.username_pw_set(access.user, access.password)
        if self.connected:
            threading.Thread(target=self._connect_anew, name="v2g-renew", daemon=True).start()

    def _connect_anew(self) -> None:
        """paho's thread ends with a disconnect; then it is started again."""
        self._renewing = True
        try:
            self._until(lambda: not self.unanswered, QUIET_S)
            self._client.disconnect()
            self._until(lambda: self._client._thread is None, RENEW_S)
        finally:
            self._renewing = False
        if not self._stopping:
            self._connect_async()
            self._client.loop_start()

    def _until(self, claim: Callable[[], bool], patience_s: float) -> None:
        deadline_s = time.monotonic() + patience_s
        while not claim() and time.monotonic() < deadline_s:
            time.sleep(0.01)

    def _connect_async(self) -> None:
        to = self.access
        if self._client.protocol == mqtt.MQTTv5:
            self._client.connect_async(to.host, to.port, to.keepalive_s, clean_start=True)
        else:
            self._client.connect_async(to.host, to.port, to.keepalive_s)

    def stop(self, timeout_s: float = 1.0) -> None:
        """Say goodbye, wait a little, return in any case (the client's thread is a daemon)."""
        self._stopping = True
        if self.connected and self.will is not None:
            self._client.publish(self.will.topic, self.will.offline, 1, retain=True).wait_for_publish(timeout_s)
        was_connected = self.connected
        self._client.disconnect()
        if was_connected:
            self._gone.wait(timeout_s)

    def publish(self, topic: str, payload: bytes) -> int | None:
        """QoS 1, not retained. -> its mid, or None, not taken: too many are unanswered, or we are changing over."""
        if self._renewing:
            return None
        info = self._client.publish(topic, payload, qos=1)
        return None if info.rc == mqtt.MQTT_ERR_QUEUE_SIZE else info.mid

    @property
    def unanswered(self) -> int:
        """Messages the broker has not yet acknowledged."""
        return len(self._client._out_messages)

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

    def receipts(self) -> list[Receipt]:
        """The broker's answers since the last call."""
        return drain(self._receipts, MAX_UNANSWERED)

    def _make_client(self, client_id: str, manual_ack: bool, keep_session: bool, with_receipts: bool) -> mqtt.Client:
        protocol = mqtt.MQTTv311 if manual_ack else PROTOCOLS[self.access.protocol]
        clean = None if protocol == mqtt.MQTTv5 else not keep_session
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean,
                             protocol=protocol, manual_ack=manual_ack)  # fmt: skip
        client.connect_timeout = CONNECT_S
        client.max_queued_messages_set(MAX_UNANSWERED)
        client.max_inflight_messages_set(MAX_IN_FLIGHT[protocol])
        if self.access.user is not None:
            client.username_pw_set(self.access.user, self.access.password)
        if self.access.context is not None:
            client.tls_set_context(self.access.context)
        if self.will is not None:
            client.will_set(self.will.topic, self.will.offline, qos=1, retain=True)
        errors = logging.Logger("paho of this link", logging.ERROR)
        errors.addHandler(self._ear)
        client.enable_logger(errors)
        client.on_pre_connect, client.on_connect = self._on_pre_connect, self._on_connect
        client.on_connect_fail, client.on_disconnect = self._on_connect_fail, self._on_disconnect
        client.on_message, client.on_subscribe = self._on_message, self._on_subscribe
        if with_receipts:
            client.on_publish = self._on_publish
        return client

    # ---- in the client's thread ----

    def _on_pre_connect(self, _client: mqtt.Client, _data: Any) -> None:
        self._told = self._ear.error = None

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._told = of_code(reason.value, str(reason))
            return  # on_disconnect follows
        self.connection += 1
        self._asked.clear()
        for topic in self.subscribe:
            _, mid = client.subscribe(topic, qos=1)
            self._asked[mid or 0] = topic
        if self.will is not None:
            client.publish(self.will.topic, self.will.online, qos=1, retain=True)
        self._gone.clear()
        self.connected, self._since_s, self.why = True, time.monotonic(), ""
        self._up()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        was_connected, self.connected = self.connected, False
        self._gone.set()
        if was_connected and time.monotonic() - self._since_s >= STEADY_S:
            self._backoff.reset()
        if flags.is_disconnect_packet_from_server:
            self._told = of_code(reason.value, str(reason))
        elif self._told is None and self._ear.error is None and "eep alive" in str(reason):
            self._told = of_error(TimeoutError(), self.access.host)
        self._down(self._told or of_error(self._ear.error, self.access.host, was_connected))

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        self._down(of_error(sys.exc_info()[1], self.access.host))  # paho calls this while it handles the error

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        now_ms = time.time_ns() // 1_000_000
        topic = message._topic.decode(errors="backslashreplace")  # message.topic would raise, and end this thread
        payload = bytes(message.payload)
        self.received.put(Received(topic, payload, message.mid, self.connection, now_ms, message.retain))

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, mid: int, reasons: Any, _properties: Any) -> None:
        topic = self._asked.pop(mid, "")
        if not any(reason.is_failure for reason in reasons):
            self._deaf.discard(topic)
        elif topic not in self._deaf:
            self._deaf.add(topic)
            log.warning("V2G-MQTT-DEAF %s:%d: the broker does not let us hear %s: %s", self.access.host,
                        self.access.port, topic, reasons[0])  # fmt: skip

    def _on_publish(self, _client: mqtt.Client, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._receipts.put(Receipt(mid, reason.value, str(reason)))

    def _up(self) -> None:
        log.info("V2G-MQTT-UP connected to %s:%d", self.access.host, self.access.port)

    def _down(self, why: Refusal) -> None:
        """Count, say what has changed, and set how long paho waits."""
        if self._stopping or self._renewing:
            return
        self.refused += why.refused
        if why.text != self.why and not (why.vague and self.why):
            log.warning("V2G-MQTT-DOWN %s:%d: %s; trying again, nothing is lost meanwhile",
                        self.access.host, self.access.port, why.text)  # fmt: skip
            self.why = why.text
        pause_s: Any = self._backoff.next_s()  # typed as whole seconds there, and used as it is
        self._client.reconnect_delay_set(pause_s, pause_s)
