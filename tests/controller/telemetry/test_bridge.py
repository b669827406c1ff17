"""The bridge's order of things and its counters, without a broker. With real ones: tests/system/test_bridges.py."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from controller.telemetry.bridge import Bridge
from controller.telemetry.link import Access, Received
from controller.telemetry.store import Store, StoreError
from controller.telemetry.wire import Arrival, subscriptions

BODY = b'{"outbox":"ab","seq":%d,"v":1,"kind":"live","site":"home","epoch":7,"t_ms":5}'


class Store3:
    """A double: fails the first `failures` times, then keeps all but one row, which goes to quarantine."""

    name = "store"

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures

    def write(self, rows: Sequence[Arrival]) -> int:
        if self.failures:
            self.failures -= 1
            raise StoreError("down", retry_after_s=0.0)
        return min(len(rows), 1)

    def close(self) -> None:
        return None


class Heard:
    """What a bridge publishes and releases, in order; its link is never started."""

    def __init__(self, store: Store, share_group: str | None = None) -> None:
        self.bridge = Bridge(store, Access("127.0.0.1", 1, 5), "north", share_group)
        self.bridge.link.connected = True
        self.done: list[tuple[str, Any]] = []
        self.bridge.link.publish = self.published  # type: ignore[method-assign]  # nothing goes out
        self.bridge.link.ack = self.released  # type: ignore[method-assign]  # the order is looked at

    def published(self, topic: str, payload: bytes) -> None:
        self.done.append((topic, json.loads(payload)))

    def released(self, message: Received) -> None:
        self.done.append(("release", message.mid))

    def turn(self, *payloads: bytes) -> None:
        for mid, payload in enumerate(payloads):
            self.bridge.link.received.put(Received("v2g/home/tele/live", payload, mid, 0, 9))
        self.bridge.turn(threading.Event(), 0.0)


# fmt: off
FILTERS = [
    (None,    ("v2g/+/tele/live", "v2g/+/event"),                                 "alone: everything"),
    ("north", ("$share/north/v2g/+/tele/live", "$share/north/v2g/+/event"),       "MQTT 5.0, 4.8.2"),
]
# fmt: on


@pytest.mark.parametrize(("group", "filters", "why"), FILTERS, ids=[c[-1] for c in FILTERS])
def test_what_it_listens_to(group: str | None, filters: tuple[str, ...], why: str) -> None:
    assert subscriptions(group) == Heard(Store3(), group).bridge.link.subscribe == filters, why


def test_first_the_store_then_the_publishers_then_the_broker() -> None:
    heard = Heard(Store3())
    heard.turn(BODY % 3, BODY % 4, b"rubbish")
    assert heard.done == [
        ("v2g/home/ack", {"v": 1, "outbox": "ab", "ranges": [[3, 4]]}), ("release", 0), ("release", 1), ("release", 2)
    ]  # fmt: skip


def test_counters_add_up() -> None:
    heard = Heard(Store3())
    heard.turn(BODY % 3, BODY % 4, b"rubbish")
    heard.done.clear()
    heard.bridge.tell()
    heard.bridge.tell()  # not again within COUNTERS_S
    ((topic, body),) = heard.done
    assert topic == "v2g/bridge/north/counters"
    counted = {key: body[key] for key in ("received", "stored", "quarantined", "refused", "batches", "failed_writes")}
    assert counted == {"received": 3, "stored": 1, "quarantined": 1, "refused": 1, "batches": 1, "failed_writes": 0}
    assert (body["v"], body["name"], body["store"], body["store_up"]) == (1, "north", "store", True)


def test_a_store_that_goes_and_comes_is_told_at_once() -> None:
    heard = Heard(Store3(failures=2))
    heard.turn(BODY % 3, BODY % 4)
    told = [(body["store_up"], body["failed_writes"]) for topic, body in heard.done if topic.endswith("/counters")]
    assert told == [(False, 1), (True, 2)]


def test_its_will_is_its_own() -> None:
    will = Heard(Store3()).bridge.link.will
    assert will is not None
    assert (will.topic, will.offline) == ("v2g/bridge/north/status", "offline")
