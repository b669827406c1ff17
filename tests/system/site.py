"""One site's outbox, pump and publisher in the test's own process, turned as the telemetry process turns them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from controller.telemetry.link import Access
from controller.telemetry.outbox import Outbox
from controller.telemetry.publisher import MqttDelivery
from controller.telemetry.pump import Pump
from tests.controller.telemetry.makers import live
from tests.controller.telemetry.test_mqtt import wait_for


class Site:
    """So many frames wait from the beginning."""

    def __init__(self, folder: Path, name: str, access: Access, ack: str = "consumer", frames: int = 3) -> None:
        self.outbox = Outbox(folder / f"{name}.sqlite", name)
        self.pump, self.delivery = Pump(self.outbox), MqttDelivery(name, access, ack)
        self.outbox.add([live(i, site=name) for i in range(frames)], now_ms())
        self.delivery.start()
        self.seen = 0

    def turn(self) -> None:
        """As the telemetry process does it."""
        if self.delivery.connection != self.seen:
            self.seen = self.delivery.connection
            self.pump.connected(now_ms())
        for outbox, ranges in self.delivery.acks():
            self.pump.acknowledged(outbox, ranges, now_ms())
        if self.delivery.connected:
            self.delivery.send(self.pump.due(now_ms()))

    def until(self, claim: Callable[[], bool], what: str) -> None:
        """Turn until it is so."""

        def turned() -> bool:
            self.turn()
            return claim()

        wait_for(turned, what)

    @property
    def waiting(self) -> int:
        return self.outbox.counters().waiting

    def close(self) -> None:
        self.delivery.stop()
        self.outbox.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
