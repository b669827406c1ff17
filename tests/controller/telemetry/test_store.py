"""Stores: idempotence, line protocol, retries. Servers come in tests/system; here is what needs none."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.telemetry.bridge import Bridge
from controller.telemetry.database import DatabaseRefusedError
from controller.telemetry.direct import StoreDelivery
from controller.telemetry.link import Access, Received
from controller.telemetry.outbox import Outbox
from controller.telemetry.points import line
from controller.telemetry.pump import Pump
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.store import SqliteStore, StoreError, read_points, write_until_stored
from controller.telemetry.wire import Arrival, Draft
from tests.controller.telemetry.makers import WALL_MS, event, live


def arrival(draft: Draft, seq: int = 1, outbox: str = "ab", **body: Any) -> Arrival:
    return Arrival("home", draft.kind, 7, draft.t_ms, draft.name, outbox, seq, WALL_MS + 50, {**draft.body, **body})


# ---- SQLite ----


def test_the_same_row_twice_is_stored_once_the_first_wins(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    row = arrival(live(1))
    store.write([row, row])
    store.write([replace(row, arrived_ms=WALL_MS + 99_999)])
    store.write([replace(row, outbox="cd", seq=40)])  # from a new outbox after damage
    assert read_points(tmp_path / "store.sqlite", "home", "live") == [row]


# fmt: off
DISTINCT = [
    ({"site": "cabin"},             "another site"),
    ({"epoch": 8},                  "another epoch"),
    ({"t_ms": WALL_MS + 1001},      "another millisecond"),
    ({"name": "reasons"},           "another event of the same step"),
    ({"kind": "live"},              "a frame of the same step"),
]
# fmt: on


@pytest.mark.parametrize(("change", "why"), DISTINCT, ids=[c[-1] for c in DISTINCT])
def test_what_differs_in_its_key_is_another_row(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    store.write([arrival(event(1)), replace(arrival(event(1)), **change)])
    store.close()
    with sqlite3.connect(tmp_path / "store.sqlite") as file:
        assert file.execute("SELECT count(*) FROM points").fetchone() == (2,), why


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "store.sqlite").close()
    with sqlite3.connect(tmp_path / "store.sqlite") as file:
        file.execute("PRAGMA user_version = 9")
    with pytest.raises(DatabaseRefusedError, match="schema 9 is newer than 1"):
        SqliteStore(tmp_path / "store.sqlite")


# ---- line protocol (InfluxDB line protocol reference) ----

TAGS = "v2g_live,epoch=7,site=home,start_mode=demo"
T_MS = WALL_MS + 1000
# fmt: off
LINES = [
    # body                                     fields                              why
    ({"f_hz": {"newest": 50.0, "min": 49.5}},  "f_hz=50.0,f_hz_min=49.5",          "newest has the bare name"),
    ({"n_last": 3},                            "n_last=3i",                        "whole numbers keep their type"),
    ({"p_w": 0.0},                             "p_w=0.0",                          "a float stays a float"),
    ({"p_w": {"newest": None, "max": 1.5}},    "p_w_max=1.5",                      "null is no field"),
    ({"ok": True},                             "ok=true",                          "truth"),
    ({"why": ["RAMP", "STOP"]},                r'why="[\"RAMP\",\"STOP\"]"',       "lists as JSON text"),
    ({"text": 'a "b" \\ c'},                   r'text="a \"b\" \\ c"',             "quotes and backslashes escaped"),
    ({"text": "a\nb"},                         'text="a b"',                       "a line break would end the point"),
    ({"a b,c=d": 1},                           r"a\ b\,c\=d=1i",                   "keys escaped"),
]
# fmt: on


@pytest.mark.parametrize(("body", "fields", "why"), LINES, ids=[c[-1] for c in LINES])
def test_line_protocol(body: dict[str, Any], fields: str, why: str) -> None:
    row = arrival(live(1))
    head = {key: value for key, value in row.body.items() if key != "f_hz"}
    assert line(replace(row, body={**head, "outbox": "ab", "seq": 4, **body})) == f"{TAGS} seq=4i,{fields} {T_MS}", why


def test_an_events_name_is_a_tag() -> None:
    assert line(arrival(event(1))) == f"v2g_event,epoch=7,event=state,site=home,start_mode=demo n=1i {T_MS}"


def test_a_hostile_site_cannot_break_out_of_its_tag() -> None:
    row = replace(arrival(live(1)), site="a,b=c d\nv2g_live x=1")
    assert line(row).count("\n") == 0
    assert r"site=a\,b\=c\ d\ v2g_live\ x\=1," in line(row)


# ---- retries ----


class Moody:
    """A store that fails first: a double. after: what each attempt raises, then it stores."""

    name = "moody"

    def __init__(self, *after: StoreError) -> None:
        self.after, self.rows = list(after), list[Arrival]()

    def write(self, rows: Sequence[Arrival]) -> None:
        if self.after:
            raise self.after.pop(0)
        self.rows += rows

    def close(self) -> None:
        return None


def test_written_again_until_stored_one_line_per_change(caplog: pytest.LogCaptureFixture) -> None:
    store, changes = Moody(*(StoreError("busy", retry_after_s=0.0) for _ in range(3))), list[bool]()
    assert write_until_stored(store, [arrival(live(1))], threading.Event(), changes.append)
    assert (len(store.rows), changes) == (1, [False, False, False, True])
    assert (caplog.text.count("V2G-STORE-DOWN"), caplog.text.count("V2G-STORE-UP")) == (1, 1)


def test_told_to_stop_it_stops_and_says_not_stored() -> None:
    stopping = threading.Event()
    stopping.set()
    assert not write_until_stored(Moody(StoreError("down", 200.0)), [arrival(live(1))], stopping)


def test_bridge_acknowledges_nothing_that_is_not_stored(tmp_path: Path) -> None:
    """turn() with a store that is down, then up: what it publishes and releases, in order."""
    del tmp_path
    done: list[str] = []
    bridge = Bridge(Moody(StoreError("down", 200.0)), Access("127.0.0.1", 1, 5))
    bridge.link.publish = lambda topic, payload: done.append(f"{topic} {payload.decode()}")  # type: ignore[method-assign]
    bridge.link.ack = lambda message: done.append(f"release {message.mid}")  # type: ignore[method-assign]
    stopping = threading.Event()
    stopping.set()
    body = b'{"outbox":"ab","seq":3,"v":1,"kind":"live","site":"home","epoch":7,"t_ms":5}'
    messages = [Received("v2g/home/tele/live", body, 1, 0, 9), Received("v2g/home/tele/live", b"rubbish", 2, 0, 9)]
    for message in messages:
        bridge.link.received.put(message)
    bridge.turn(stopping, 0.0)
    assert done == []  # the broker still has both
    for message in messages:
        bridge.link.received.put(message)
    bridge.turn(stopping, 0.0)
    assert done == ['v2g/home/ack {"v":1,"outbox":"ab","ranges":[[3,3]]}', "release 1", "release 2"]
    assert (bridge.counters.stored, bridge.counters.refused) == (1, 2)


# ---- quarantine ----


def test_quarantine_keeps_a_row_once_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quarantine = Quarantine(tmp_path / "quarantine.sqlite")
    quarantine.add(arrival(live(1)), "HTTP 400 field type conflict")
    quarantine.add(arrival(live(1)), "HTTP 400 field type conflict")
    assert quarantine.count() == 1
    assert "V2G-ROW-QUARANTINED home seq 1 of ab: HTTP 400 field type conflict" in caplog.text


# ---- without a broker ----


def test_direct_delivery_empties_the_outbox_into_the_store(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", "home")
    outbox.add([live(i) for i in range(20)] + [event(3)], now_ms=0)
    delivery, pump = StoreDelivery("home", SqliteStore(tmp_path / "store.sqlite")), Pump(outbox)
    delivery.start()
    pump.connected(0)
    delivery.send(pump.due(0))
    for _ in range(200):
        for outbox_id, ranges in delivery.acks():
            pump.acknowledged(outbox_id, ranges, 0)
        if not outbox.counters().waiting:
            break
        threading.Event().wait(0.02)
    delivery.stop()
    assert outbox.counters().waiting == 0
    assert [row.seq for row in read_points(tmp_path / "store.sqlite", "home", "live")] == list(range(1, 21))
