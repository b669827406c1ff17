"""Bridge: MQTT -> store -> acknowledgement -> the broker may forget. In this order, so that nothing is lost between.

It holds no state: killed at any point, the broker (which keeps the session of a bridge that is alone) or the publisher
sends the rows again, and the store knows them by their key. One bridge serves every site of its broker; several of one
share_group divide the messages among them, and where a broker does not divide, each stores all and the store keeps each
row once.
Refused messages are named and released to the broker, never acknowledged to a publisher: rows of a newer version wait
in their outbox for a newer bridge.
Counters  v2g/bridge/<name>/counters, a JSON object each COUNTERS_S and at each change of the store;
          v2g/bridge/<name>/status is online, or offline by the last will.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from controller.telemetry.batches import collect
from controller.telemetry.link import Access, Link, Received, Will
from controller.telemetry.rotation import Rotation
from controller.telemetry.store import Store, write_until_stored
from controller.telemetry.wire import (
    VERSION,
    Arrival,
    MessageError,
    ack_topic,
    bridge_topic,
    by_outbox,
    decode,
    encode_ack,
    subscriptions,
)

log = logging.getLogger(__name__)

MAX_BATCH = 5_000
BATCH_S, QUIET_S = 1.0, 0.05
COUNTERS_S = 10.0


@dataclass(slots=True)
class BridgeCounters:
    """Since this process began. received = stored + quarantined + refused + what waits for the store."""

    received: int = 0
    stored: int = 0
    quarantined: int = 0
    refused: int = 0
    batches: int = 0
    failed_writes: int = 0


class Bridge:
    """client_id is fixed: the broker keeps what arrives while we are away. In a share_group the others take it."""

    def __init__(self, store: Store, access: Access, client_id: str = "v2g-bridge",
                 share_group: str | None = None) -> None:  # fmt: skip
        self.store, self.client_id = store, client_id
        will = Will(bridge_topic(client_id, "status"))
        alone = share_group is None  # in a group a session that is kept would go on taking its share for a dead bridge
        self.link = Link(client_id, access, subscriptions(share_group), will, manual_ack=True, keep_session=alone)
        self.counters = BridgeCounters()
        self.store_up = True
        self._said_s = 0.0
        self._rotation: Rotation | None = None
        self._refusals: set[str] = set()

    def run(self, stopping: threading.Event, rotation: Rotation | None = None) -> None:
        """Until told to stop; says at the end what it did. rotation: of our link, for a site with certificates."""
        self._rotation = rotation
        self.link.start()
        while not stopping.is_set():
            self.turn(stopping, wait_s=0.2)
            self.tend()
        if rotation is not None:
            rotation.stop()
        self.tell(at_once=True)
        self.link.stop()
        counted = ", ".join(f"{name} {count}" for name, count in asdict(self.counters).items())
        log.info("V2G-BRIDGE-STOP %s: %s", self.client_id, counted)

    def turn(self, stopping: threading.Event, wait_s: float) -> None:
        """One batch: store, acknowledge to the publishers, then release to the broker."""
        messages = collect(self.link.received, MAX_BATCH, wait_s, BATCH_S, QUIET_S)
        if not messages:
            return
        self.counters.received += len(messages)
        rows = self._decode(messages)
        aside = write_until_stored(self.store, rows, stopping, self._store_is) if rows else 0
        if aside is None:
            return
        for (site, outbox), seqs in by_outbox(rows).items():
            self.link.publish(ack_topic(site), encode_ack(outbox, seqs))
        for message in messages:
            self.link.ack(message)
        self.counters.batches += bool(rows)
        self.counters.stored += len(rows) - aside
        self.counters.quarantined += aside

    def tend(self, at_once: bool = False) -> None:
        """What is due between two batches, and while a store is waited for. at_once: the counters too."""
        self.tell(at_once)
        if self._rotation is not None:
            self._rotation.turn(time.monotonic())

    def tell(self, at_once: bool = False) -> None:
        """Publish the counters when it is time. Nobody connected: nothing, and nothing waits in memory for it."""
        now_s = time.monotonic()
        if not self.link.connected or not (at_once or now_s - self._said_s >= COUNTERS_S):
            return
        self._said_s = now_s
        body = {"v": VERSION, "kind": "bridge", "name": self.client_id, "t_ms": time.time_ns() // 1_000_000,
                "store": self.store.name, "store_up": self.store_up, **asdict(self.counters)}  # fmt: skip
        self.link.publish(bridge_topic(self.client_id, "counters"), json.dumps(body).encode())

    def _store_is(self, up: bool) -> None:
        changed, self.store_up = up != self.store_up, up
        self.counters.failed_writes += not up
        if changed or not up:
            self.tend(at_once=changed)

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
