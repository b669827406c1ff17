"""What the publisher makes of the broker's receipts. Receipts are handed in; real brokers: tests/system."""

from __future__ import annotations

import logging

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from controller.telemetry.link import Access, Receipt, Received
from controller.telemetry.publisher import MqttDelivery
from controller.telemetry.wire import Ranges, Row, encode_ack

ROW = Row("ab", 7, "live", 0, '{"v":1}')
TAKEN: list[tuple[str, Ranges]] = [("ab", [(7, 7)])]


def delivery_of(ack: str, protocol: str) -> MqttDelivery:
    """Never started: what it sends waits in the client."""
    return MqttDelivery("home", Access("127.0.0.1", 1, protocol=protocol), ack)


def answer(delivery: MqttDelivery, mid: int, code: int) -> None:
    """As the client's thread hands on a PUBACK."""
    reason = ReasonCode(PacketTypes.PUBACK, identifier=code)
    delivery.link._receipts.put(Receipt(mid, reason.value, str(reason)))


# fmt: off
RECEIPTS = [
    # ack       MQTT     code   delivered  undelivered  why
    ("broker",   "5",     0x00,  TAKEN,     0,           "taken, and somebody receives it"),
    ("broker",   "5",     0x10,  [],        1,           "taken for nobody: success to the client, not to us"),
    ("broker",   "5",     0x87,  [],        1,           "not authorized to publish there"),
    ("broker",   "5",     0x97,  [],        1,           "quota exceeded"),
    ("broker",   "3.1.1", 0x00,  TAKEN,     0,           "all that 3.1.1 can say"),
    ("consumer", "5",     0x00,  [],        0,           "a receipt is no delivery: the bridge has the word"),
    ("consumer", "5",     0x10,  [],        1,           "the bridge does not listen: counted all the same"),
]
# fmt: on


@pytest.mark.parametrize(("ack", "protocol", "code", "delivered", "undelivered", "why"), RECEIPTS,
                         ids=[c[-1] for c in RECEIPTS])  # fmt: skip
def test_a_receipt(
    ack: str, protocol: str, code: int, delivered: list[tuple[str, Ranges]], undelivered: int, why: str
) -> None:
    delivery = delivery_of(ack, protocol)
    delivery.send([ROW])
    answer(delivery, 1, code)
    assert delivery.acks() == delivered
    assert delivery.acks() == []
    assert (delivery.counters()["undelivered"], delivery.counters()["degraded"]) == (undelivered, undelivered)


def test_a_receipt_for_what_is_no_row_counts_for_nothing() -> None:
    delivery = delivery_of("broker", "5")
    answer(delivery, 99, 0x10)  # our own status, which nobody need read
    assert delivery.acks() == []
    assert delivery.counters() == {"connects": 0, "refused": 0, "undelivered": 0, "degraded": 0}


def test_refusals_are_said_when_they_begin_and_end(caplog: pytest.LogCaptureFixture) -> None:
    delivery = delivery_of("broker", "5")
    for mid, code in enumerate([0x10, 0x10, 0x10, 0x00, 0x00], start=1):
        delivery.send([ROW])
        answer(delivery, mid, code)
        delivery.acks()
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert lines == [
        "V2G-MQTT-UNDELIVERED v2g/home/tele/live: No matching subscribers; rows stay in the outbox",
        "V2G-MQTT-UNDELIVERED v2g/home/tele/live: delivered again",
    ]


def test_a_flood_of_wrong_acknowledgements_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    delivery = delivery_of("consumer", "3.1.1")
    for payload in (*[b"x" * 5000] * 500, encode_ack("ab", [7]), b"{}"):
        delivery.link.received.put(Received("v2g/home/ack", payload, 1, 1, 0))
    assert delivery.acks() == TAKEN
    lines = [r.getMessage() for r in caplog.records]
    assert [line[:28] for line in lines] == ["V2G-ACK-REFUSED v2g/home/ack"] * 2, (
        "one before the right one, one after it"
    )
    assert max(map(len, lines)) < 300


def test_a_row_that_the_client_has_no_room_for_is_silent_and_bounded() -> None:
    delivery = delivery_of("broker", "5")
    delivery.send([ROW] * 6000)
    assert delivery.link.unanswered == len(delivery._unanswered) <= 5000
