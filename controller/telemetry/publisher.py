"""MQTT delivery: rows out with QoS 1, and back what is delivered.

ack "consumer"  delivered is what the bridge says it has stored; the broker's receipt (PUBACK) is not looked at.
ack "broker"    for a house without bridge: delivered is what the broker has taken. With MQTT 5 it also says that nobody
                receives a row (reason 0x10) or that we may not publish there: such rows stay, and are counted.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence

from controller.telemetry.link import Access, Link, Received, Will
from controller.telemetry.wire import (
    MessageError,
    Ranges,
    Row,
    ack_topic,
    decode_ack,
    encode,
    status_topic,
    to_ranges,
    topic,
)

log = logging.getLogger(__name__)

DAY_S = 86_400


class MqttDelivery:
    """One site's publisher; its status is retained, offline by the last will. also: topics for others()."""

    def __init__(self, site: str, access: Access, ack: str = "consumer", also: Sequence[str] = ()) -> None:
        self.site, self.by_broker = site, ack == "broker"
        self.watches = self.by_broker or access.protocol == "5"  # else a receipt tells nothing
        subscribe = [*([] if self.by_broker else [ack_topic(site)]), *also]
        will = Will(status_topic(site))
        self.link = Link(f"v2g-{site}-telemetry", access, subscribe, will, with_receipts=self.watches)
        self.undelivered = 0
        self.degraded = False  # the newest receipt was a refusal
        self._unanswered: dict[int, Row] = {}  # by mid; no longer than paho's own list, link.MAX_UNANSWERED
        self._others: list[Received] = []
        self._ack_refused = False  # the newest one

    @property
    def name(self) -> str:
        """For the status file."""
        return f"mqtt {self.link.access.host}:{self.link.access.port}"

    @property
    def connected(self) -> bool:
        """The broker has accepted us."""
        return self.link.connected

    @property
    def connection(self) -> int:
        """Counts connections."""
        return self.link.connection

    def counters(self) -> dict[str, int]:
        """connects, refused: of connections. undelivered: rows the broker took for nobody, or did not take.

        certificate_days: left, with a certificate of our own.
        """
        return {"connects": self.link.connection, "refused": self.link.refused, "undelivered": self.undelivered,
                "degraded": int(self.degraded), **self._certificate()}  # fmt: skip

    def _certificate(self) -> dict[str, int]:
        """Whole days that our certificate is still valid; below 0 it is over."""
        until_s = self.link.access.until_s
        return {} if until_s is None else {"certificate_days": math.floor((until_s - time.time()) / DAY_S)}

    def start(self) -> None:
        """Connect in the background."""
        if self.by_broker and self.link.access.protocol != "5":
            log.warning("V2G-MQTT-BLIND ack is broker over MQTT 3.1.1: whether anybody receives a frame, or we may "
                        'publish it, cannot be seen; protocol: "5" shows it')  # fmt: skip
        self.link.start()

    def send(self, rows: Sequence[Row]) -> None:
        """What is not taken now is silent, and the pump sends it again."""
        for row in rows:
            mid = self.link.publish(topic(self.site, row.kind), encode(row))
            if mid is not None and self.watches:
                self._unanswered[mid] = row

    def acks(self) -> list[tuple[str, Ranges]]:
        """A malformed acknowledgement is ignored, the first of several is named: its rows stay."""
        found = self._taken_by_broker()
        for message in self.link.take(limit=1000):
            if message.topic != ack_topic(self.site):
                self._others.append(message)
                continue
            try:
                found.append(decode_ack(message.payload))
                self._ack_refused = False
            except MessageError as error:
                if not self._ack_refused:
                    log.warning("V2G-ACK-REFUSED %s: %.200s", message.topic, error)
                self._ack_refused = True
        return found

    def others(self) -> list[Received]:
        """What acks() has found that is no acknowledgement."""
        found, self._others = self._others, []
        return found

    def stop(self) -> None:
        """Leaves `offline` behind."""
        self.link.stop()

    def _taken_by_broker(self) -> list[tuple[str, Ranges]]:
        """Receipts of rows; those of our status are nobody's."""
        taken: dict[str, list[int]] = {}
        for receipt in self.link.receipts():
            row = self._unanswered.pop(receipt.mid, None)
            if row is None:
                continue
            self._judge(row, receipt.code, receipt.name)
            if receipt.code == 0 and self.by_broker:
                taken.setdefault(row.outbox, []).append(row.seq)
        return [(outbox, to_ranges(seqs)) for outbox, seqs in taken.items()]

    def _judge(self, row: Row, code: int, name: str) -> None:
        """Count a refusal, and say when they begin and end."""
        self.undelivered += code != 0
        where = topic(self.site, row.kind)
        if code and not self.degraded:
            log.warning("V2G-MQTT-UNDELIVERED %s: %s; rows stay in the outbox", where, name)
        elif self.degraded and not code:
            log.warning("V2G-MQTT-UNDELIVERED %s: delivered again", where)
        self.degraded = code != 0
