"""MQTT delivery: rows out with QoS 1, acknowledgements of the consumer back."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from controller.telemetry.link import Link, Received, Will
from controller.telemetry.wire import MessageError, Ranges, Row, ack_topic, decode_ack, encode, status_topic, topic

log = logging.getLogger(__name__)


class MqttDelivery:
    """One site's publisher; its status is retained, offline by the last will. also: topics for others()."""

    def __init__(self, site: str, host: str, port: int, keepalive_s: int, also: Sequence[str] = ()) -> None:
        self.site = site
        subscribe, will = [ack_topic(site), *also], Will(status_topic(site))
        self.link = Link(f"v2g-{site}-telemetry", host, port, keepalive_s, subscribe, will)
        self._others: list[Received] = []

    @property
    def name(self) -> str:
        """For the status file."""
        return f"mqtt {self.link.host}:{self.link.port}"

    @property
    def connected(self) -> bool:
        """The broker has accepted us."""
        return self.link.connected

    @property
    def connection(self) -> int:
        """Counts connections."""
        return self.link.connection

    def start(self) -> None:
        """Connect in the background."""
        self.link.start()

    def send(self, rows: Sequence[Row]) -> None:
        """The broker's receipt is not looked at: it is no delivery."""
        for row in rows:
            self.link.publish(topic(self.site, row.kind), encode(row))

    def acks(self) -> list[tuple[str, Ranges]]:
        """A malformed acknowledgement is named and ignored: its rows stay."""
        found = []
        for message in self.link.take(limit=1000):
            if message.topic != ack_topic(self.site):
                self._others.append(message)
                continue
            try:
                found.append(decode_ack(message.payload))
            except MessageError as error:
                log.warning("V2G-ACK-REFUSED %s: %s", message.topic, error)
        return found

    def others(self) -> list[Received]:
        """What acks() has found that is no acknowledgement."""
        found, self._others = self._others, []
        return found

    def stop(self) -> None:
        """Leaves `offline` behind."""
        self.link.stop()
