"""Delivery: carries rows to the consumer and brings back what is stored. Two ways, one face.

publisher.MqttDelivery   to a broker; the answer is the bridge's message on v2g/<site>/ack.
direct.StoreDelivery     no broker: straight to the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from controller.telemetry.wire import Ranges, Row


class Delivery(Protocol):
    """What the telemetry process needs of either."""

    @property
    def name(self) -> str:
        """Where the rows go, for the status file."""
        ...

    @property
    def connected(self) -> bool:
        """Rows may be sent now."""
        ...

    @property
    def connection(self) -> int:
        """Rises with every new connection."""
        ...

    def counters(self) -> dict[str, int]:
        """For the status file and the live frames; {} when there is nothing to count."""
        ...

    def start(self) -> None:
        """Begin in the background; never waits for anybody."""

    def send(self, rows: Sequence[Row]) -> None:
        """Hand over rows; never blocks."""

    def acks(self) -> list[tuple[str, Ranges]]:
        """(outbox id, ranges) that have become stored since the last call."""
        ...

    def stop(self) -> None:
        """Within about a second."""
