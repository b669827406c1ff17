"""Bridge: MQTT -> store -> acknowledgement -> the broker may forget. In this order, so that nothing is lost between.

It holds no state: killed at any point, the broker (persistent session) or the publisher sends the rows again, and the
store knows them by their key. One bridge serves every site of its broker.
Refused messages are named and released to the broker, never acknowledged to a publisher: rows of a newer version wait
in their outbox for a newer bridge.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from controller.telemetry.link import Access, Link, Received
from controller.telemetry.store import Store, write_until_stored
from controller.telemetry.wire import SUBSCRIPTIONS, Arrival, MessageError, ack_topic, by_outbox, decode, encode_ack

log = logging.getLogger(__name__)

MAX_BATCH = 500


@dataclass(slots=True)
class BridgeCounters:
    """Since this process began."""

    received: int = 0
    stored: int = 0
    refused: int = 0


class Bridge:
    """client_id is fixed: the broker keeps what arrives while we are away."""

    def __init__(self, store: Store, access: Access, client_id: str = "v2g-bridge") -> None:
        self.store = store
        self.link = Link(client_id, access, SUBSCRIPTIONS, manual_ack=True)
        self.counters = BridgeCounters()
        self._refusals: set[str] = set()

    def run(self, stopping: threading.Event) -> None:
        """Until told to stop."""
        self.link.start()
        while not stopping.is_set():
            self.turn(stopping, wait_s=0.2)
        self.link.stop()

    def turn(self, stopping: threading.Event, wait_s: float) -> None:
        """One batch: store, acknowledge to the publishers, then release to the broker."""
        messages = self.link.take(MAX_BATCH, wait_s)
        rows = self._decode(messages)
        if rows and not write_until_stored(self.store, rows, stopping):
            return
        for (site, outbox), seqs in by_outbox(rows).items():
            self.link.publish(ack_topic(site), encode_ack(outbox, seqs))
        for message in messages:
            self.link.ack(message)
        self.counters.received += len(messages)
        self.counters.stored += len(rows)

    def _decode(self, messages: Sequence[Received]) -> list[Arrival]:
        rows = []
        for message in messages:
            try:
                rows.append(decode(message.topic, message.payload, message.arrived_ms))
            except MessageError as error:
                self.counters.refused += 1
                self._say_once(message.topic, error)
        return rows

    def _say_once(self, topic: str, error: MessageError) -> None:
        """One line a topic: a publisher that is wrong once is wrong every second."""
        if topic not in self._refusals and len(self._refusals) < 1000:
            self._refusals.add(topic)
            log.warning("%s %s", "V2G-MESSAGE-NEWER" if error.newer else "V2G-MESSAGE-REFUSED", error)
