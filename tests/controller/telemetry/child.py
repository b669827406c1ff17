"""A bridge or a publisher in a process of its own, so that a test can kill it.

python -m tests.controller.telemetry.child bridge STORE PORT
python -m tests.controller.telemetry.child publisher OUTBOX PORT TOTAL
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from controller.lifetime import die_with_parent, stop_on_signals
from controller.telemetry.bridge import Bridge
from controller.telemetry.link import Access
from controller.telemetry.outbox import Outbox
from controller.telemetry.publisher import MqttDelivery
from controller.telemetry.pump import Pump
from controller.telemetry.sqlitestore import SqliteStore
from tests.controller.telemetry.makers import event, live

EVERY_S = 0.02


def bridge(path: Path, port: int) -> None:
    """The real bridge over a SQLite store."""
    Bridge(SqliteStore(path), Access("127.0.0.1", port, 5)).run(stop_on_signals())


def publisher(path: Path, port: int, total: int) -> None:
    """One frame each 20 ms, each tenth an event, until `total`; then until all are acknowledged. Says how many are."""
    outbox, delivery, connection = Outbox(path, "home"), MqttDelivery("home", Access("127.0.0.1", port, 5)), 0
    pump = Pump(outbox, rate_per_s=500.0, silent_ms=700)
    delivery.start()
    added = int(outbox.progress().get("added", 0))
    while added < total or outbox.counters().waiting:
        now_ms = time.time_ns() // 1_000_000
        if added < total:
            added += 1
            outbox.add([event(added) if added % 10 == 0 else live(added)], now_ms, {"added": added})
        if delivery.connection != connection:
            connection = delivery.connection
            pump.connected(now_ms)
        for outbox_id, ranges in delivery.acks():
            if pump.acknowledged(outbox_id, ranges, now_ms):
                print(f"acknowledged {outbox.counters().acknowledged}", flush=True)
        if delivery.connected:
            delivery.send(pump.due(now_ms))
        time.sleep(EVERY_S)
    delivery.stop()


if __name__ == "__main__":
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if sys.argv[1] == "bridge":
        bridge(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        publisher(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
