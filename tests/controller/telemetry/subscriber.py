"""A client of its own, on the wire beside ours: what arrives there is what a test believes."""

from __future__ import annotations

import ssl
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


class Subscriber:
    """messages: everything that has come, in order."""

    def __init__(self, port: int, topic: str, context: ssl.SSLContext | None = None) -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self.ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        if context is not None:
            self.client.tls_set_context(context)
        self.client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10.0)

    def topics(self) -> list[str]:
        """Of what was published while we listened; what the broker had kept from before is not among them."""
        return [message.topic for message in self.messages if not message.retain]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
