"""What goes over MQTT: topics, message bodies, acknowledgements. Pure; no sockets.

Topics   v2g/<site>/tele/live, /event, /status (retained online | offline), /ack, /cmd/<command>, /state/live;
         v2g/bridge/<name>/status, /counters.
Body     one JSON object: {"outbox", "seq", "v": 1, "kind", "site", "epoch", "t_ms", ...}; see frames.py.
Ack      {"v": 1, "outbox": id, "ranges": [[first seq, last seq], ...]}: these rows are in the store.
Errors   MessageError: what arrived is not ours; `newer` when a later version of this program wrote it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

VERSION = 1
SUFFIX = {"live": "tele/live", "event": "event"}
SUBSCRIPTIONS = tuple(f"v2g/+/{suffix}" for suffix in SUFFIX.values())
MAX_BODY = 65536  # bytes; a frame has about 2000
MAX_SEQ = 2**63 - 1
MAX_T_MS = MAX_SEQ // 1_000_000  # the databases count ns: until 2262
DEEPEST = 16  # containers in each other; a frame has 3
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # half a character, unless its other half follows

Ranges = list[tuple[int, int]]


class MessageError(ValueError):
    """A message is not what its topic promises: look at who published it."""

    def __init__(self, text: str, newer: bool = False) -> None:
        super().__init__(text)
        self.newer = newer


@dataclass(frozen=True, slots=True)
class Draft:
    """A live frame or an event before the outbox has numbered it. name: "live", or which event.

    held_ns: the wall offset its times were made with, when they must wait for a better one.
    """

    kind: str
    name: str
    t_ms: int
    body: dict[str, Any]
    held_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A numbered row of one outbox."""

    outbox: str
    seq: int
    kind: str
    created_ms: int
    body: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A row as the consumer sees it. (site, kind, epoch, t_ms, name) is the same however often it is sent."""

    site: str
    kind: str
    epoch: int
    t_ms: int
    name: str
    outbox: str
    seq: int
    arrived_ms: int
    body: dict[str, Any]


def topic(site: str, kind: str) -> str:
    """Where rows of one kind are published."""
    return f"v2g/{site}/{SUFFIX[kind]}"


def status_topic(site: str) -> str:
    """Retained: online, or offline by the last will."""
    return f"v2g/{site}/status"


def bridge_topic(name: str, what: str) -> str:
    """A bridge's own: status (retained, as a site's) or counters."""
    return f"v2g/bridge/{name}/{what}"


def subscriptions(share_group: str | None) -> tuple[str, ...]:
    """What a bridge listens to. A shared subscription gives each message to one of its group (MQTT 5.0, 4.8.2)."""
    share = f"$share/{share_group}/" if share_group else ""
    return tuple(f"{share}{topic_filter}" for topic_filter in SUBSCRIPTIONS)


def ack_topic(site: str) -> str:
    """Where the consumer says what it has stored."""
    return f"v2g/{site}/ack"


def command_topics(site: str) -> str:
    """Where remote commands arrive, a topic each."""
    return f"v2g/{site}/cmd/+"


def state_topic(site: str) -> str:
    """The newest live frame and nothing older: never repeated, never from the backlog. Not retained."""
    return f"v2g/{site}/state/live"


def encode(row: Row) -> bytes:
    """The body as it goes out: the outbox's id and number before everything else."""
    return f'{{"outbox":"{row.outbox}","seq":{row.seq},{row.body[1:]}'.encode()


def decode(topic_name: str, payload: bytes, arrived_ms: int) -> Arrival:
    """A message -> Arrival. Raises MessageError."""
    site, kind = split_topic(topic_name)
    body = parse_object(payload)
    version = body.get("v")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        raise MessageError(f'{topic_name}: "v" is {version!r}, this program reads {VERSION}', newer)
    name = body.get("event") if kind == "event" else "live"
    texts_ok = body.get("site") == site and isinstance(name, str) and isinstance(body.get("outbox"), str)
    counts_ok = all(is_count(body.get(key)) for key in ("seq", "epoch", "t_ms"))
    if not (texts_ok and counts_ok and body["t_ms"] <= MAX_T_MS and body.get("kind") == kind):
        raise MessageError(f"{topic_name}: site, kind, event, outbox, seq, epoch or t_ms is missing or does not fit")
    return Arrival(site, kind, body["epoch"], body["t_ms"], str(name), body["outbox"], body["seq"], arrived_ms, body)


def encode_ack(outbox: str, seqs: Iterable[int]) -> bytes:
    """Rows of one outbox that are stored."""
    return json.dumps({"v": VERSION, "outbox": outbox, "ranges": to_ranges(seqs)}, separators=(",", ":")).encode()


def decode_ack(payload: bytes) -> tuple[str, Ranges]:
    """-> outbox id, ranges. Raises MessageError."""
    body = parse_object(payload)
    ranges = body.get("ranges")
    if body.get("v") != VERSION or not isinstance(body.get("outbox"), str) or not isinstance(ranges, list):
        raise MessageError(f'acknowledgement is not {{"v": {VERSION}, "outbox": id, "ranges": [[first, last], ...]}}')
    for pair in ranges:
        if not (isinstance(pair, list) and len(pair) == 2 and all(map(is_count, pair)) and pair[0] <= pair[1]):
            raise MessageError(f"acknowledgement: {pair!r} is not [first, last] with 0 <= first <= last")
    return body["outbox"], [(pair[0], pair[1]) for pair in ranges]


def to_ranges(seqs: Iterable[int]) -> Ranges:
    """{3, 1, 2, 7} -> [(1, 3), (7, 7)]."""
    ranges: Ranges = []
    for seq in sorted(set(seqs)):
        if ranges and seq == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges


def split_topic(name: str) -> tuple[str, str]:
    """v2g/<site>/event -> (site, "event"). Raises MessageError."""
    for kind, suffix in SUFFIX.items():
        if name.startswith("v2g/") and name.endswith(f"/{suffix}"):
            site = name[len("v2g/") : -len(suffix) - 1]
            if site and "/" not in site:
                return site, kind
    raise MessageError(f"{name}: not a topic of ours; known: {', '.join(SUBSCRIPTIONS)}")


def parse_object(payload: bytes) -> dict[str, Any]:
    """JSON text -> dict that every store can keep: finite numbers, whole characters, not too deep."""
    if len(payload) > MAX_BODY:
        raise MessageError(f"message of {len(payload)} bytes is longer than {MAX_BODY}")
    try:
        body = json.loads(payload.decode(), parse_constant=refuse_constant)
        refuse_unfit((body,))
        if SURROGATE.search(payload):
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise MessageError(f"message is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise MessageError("message is not a JSON object")
    return body


def refuse_unfit(values: Iterable[Any], deepest: int = DEEPEST) -> None:
    """Numbers that JSON can write and a float cannot hold (1e400), and what recursion stumbles over: ValueError."""
    for value in values:
        kind = type(value)
        if kind is float:
            if not isfinite(value):
                raise ValueError("a number is beyond what a float holds")
        elif kind is dict or kind is list:
            if not deepest:
                raise ValueError(f"nested deeper than {DEEPEST}")
            refuse_unfit(value.values() if kind is dict else value, deepest - 1)


def refuse_constant(name: str) -> None:
    """NaN on the wire is an error: absent is null."""
    raise ValueError(f"{name} is not a number on the wire")


def is_count(value: Any) -> bool:
    """A whole number that fits SQLite and InfluxDB."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQ


def by_outbox(rows: Sequence[Arrival]) -> dict[tuple[str, str], list[int]]:
    """{(site, outbox): [seq, ...]}: one acknowledgement each."""
    seqs: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        seqs.setdefault((row.site, row.outbox), []).append(row.seq)
    return seqs
