"""What may arrive over MQTT, and what of it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.telemetry.wire import MessageError, Row, decode, decode_ack, encode, encode_ack, to_ranges, topic
from tests.controller.telemetry.makers import WALL_MS, event, live

GOOD = {"outbox": "ab", "seq": 3, **live(5).body}


def test_a_row_arrives_as_it_left() -> None:
    for draft in (live(5), event(5)):
        row = Row("ab", 3, draft.kind, WALL_MS, json.dumps(draft.body))
        arrival = decode(topic("home", draft.kind), encode(row), arrived_ms=9)
        assert (arrival.site, arrival.kind, arrival.name, arrival.epoch, arrival.t_ms) == (
            "home",
            draft.kind,
            draft.name,
            7,
            draft.t_ms,
        )
        assert (arrival.outbox, arrival.seq, arrival.arrived_ms) == ("ab", 3, 9)


# fmt: off
REFUSED: list[tuple[str, Any, bool, str]] = [
    # topic                  body                          newer   why
    ("v2g/home/tele/live",   {**GOOD, "v": 2},             True,   "a newer version waits for a newer bridge"),
    ("v2g/home/tele/live",   {**GOOD, "v": "1"},           False,  "version is a number"),
    ("v2g/home/tele/live",   {**GOOD, "site": "other"},    False,  "site of the body and of the topic differ"),
    ("v2g/home/event",       GOOD,                         False,  "a live frame on the event topic"),
    ("v2g/home/tele/live",   {**GOOD, "seq": -1},          False,  "numbers begin at 1"),
    ("v2g/home/tele/live",   {**GOOD, "seq": 2**63},       False,  "does not fit the store"),
    ("v2g/home/tele/live",   {**GOOD, "seq": True},        False,  "a truth is no number"),
    ("v2g/home/tele/live",   {**GOOD, "t_ms": 1.5},        False,  "whole milliseconds only"),
    ("v2g/home/tele/live",   {**GOOD, "t_ms": 2**63 // 10**6 + 1}, False, "2262: no database counts further in ns"),
    ("v2g/home/tele/live",   {k: v for k, v in GOOD.items() if k != "outbox"}, False, "nobody to acknowledge to"),
    ("v2g/a/b/tele/live",    GOOD,                         False,  "a site has no slash"),
    ("v2g//tele/live",       GOOD,                         False,  "an empty site"),
    ("v2g/home/status",      GOOD,                         False,  "not a topic with rows"),
    ("v2g/home/tele/live",   [1],                          False,  "not an object"),
    ("v2g/home/tele/live",   {**GOOD, "x": float("nan")},  False,  "NaN never goes on the wire"),
    ("v2g/home/tele/live",   {**GOOD, "x": "y" * 70000},   False,  "longer than anything of ours"),
]
# fmt: on


@pytest.mark.parametrize(("name", "body", "newer", "why"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_refused(name: str, body: Any, newer: bool, why: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode(name, json.dumps(body).encode(), 0)
    assert caught.value.newer is newer, why


# fmt: off
NO_JSON: list[tuple[bytes, str]] = [
    (b"",                      "empty"),
    (b"\xff\xfe",              "no text"),
    (b"{",                     "torn"),
    (b"[" * 60000,             "too deep for the parser"),
]
UNFIT: list[tuple[bytes, str]] = [
    # a value                     why
    (b"1e400",                    "infinity after all"),
    (b"-" + b"9" * 400 + b".0",   "the same in digits"),
    (b'"\\ud800"',               "half a character: no text of any store"),
    (b'{"\\uDFFF":1}',           "the other half, in a name"),
    (b'"\xed\xa0\x80"',         "a half as bytes: no UTF-8"),
    (b"[" * 40 + b"]" * 40,       "a store would walk down there"),
    (b'{"a":' * 900 + b"1" + b"}" * 900, "the parser can, whoever writes it out again cannot"),
]
FIT: list[tuple[bytes, Any, str]] = [
    (b"1e300",                    1e300,             "a float holds it"),
    (b"9" * 400,                  int("9" * 400),    "a whole number: quarantine, if the store has 64 bits"),
    (b'"\\ud83d\\ude97"',        "\U0001f697",      "both halves: a car"),
    (b"[[[{}]]]",                 [[[{}]]],          "as deep as anything of ours"),
]
# fmt: on


def with_value(text: bytes) -> bytes:
    return json.dumps({**GOOD, "x": "HERE"}).encode().replace(b'"HERE"', text)


@pytest.mark.parametrize(
    ("payload", "why"), [*NO_JSON, *((with_value(text), why) for text, why in UNFIT)], ids=lambda v: str(v)[:40]
)
def test_what_no_store_could_keep_is_refused(payload: bytes, why: str) -> None:
    with pytest.raises(MessageError, match="not JSON"):
        decode("v2g/home/tele/live", payload, 0)


@pytest.mark.parametrize(("text", "value", "why"), FIT, ids=[c[-1] for c in FIT])
def test_what_every_store_can_keep_is_taken(text: bytes, value: Any, why: str) -> None:
    assert decode("v2g/home/tele/live", with_value(text), 0).body["x"] == value, why


# fmt: off
RANGES = [
    ([],              [],                       "nothing"),
    ([4],             [(4, 4)],                 "one row"),
    ([3, 1, 2],       [(1, 3)],                 "order does not matter"),
    ([1, 2, 7, 2],    [(1, 2), (7, 7)],         "a hole; twice the same"),
]
# fmt: on


@pytest.mark.parametrize(("seqs", "expected", "why"), RANGES, ids=[c[-1] for c in RANGES])
def test_acknowledged_ranges(seqs: list[int], expected: list[tuple[int, int]], why: str) -> None:
    assert to_ranges(seqs) == expected, why
    assert decode_ack(encode_ack("ab", seqs)) == ("ab", expected)


@pytest.mark.parametrize("ranges", [[[2, 1]], [[-1, 1]], [[1]], [1], "1-2", [[1, 2.5]], [[0, 2**63]]], ids=str)
def test_an_acknowledgement_that_could_delete_the_wrong_rows_is_refused(ranges: Any) -> None:
    with pytest.raises(MessageError):
        decode_ack(json.dumps({"v": 1, "outbox": "ab", "ranges": ranges}).encode())
