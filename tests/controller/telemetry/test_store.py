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
from controller.telemetry.points import PointError, flatten, line
from controller.telemetry.pump import Pump
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.sqlitestore import SqliteStore, read_points
from controller.telemetry.store import StoreError, pause_s, write_until_stored
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


# fmt: off
FORCED_OUT = [
    # rows                                     since the last  spare    forced  why
    ([live(0), live(1)],                       4.9,            5.0,     False,  "two fresh frames: they may wait"),
    ([live(0), live(1)],                       5.0,            5.0,     True,   "long enough since the last time"),
    ([live(0), event(1)],                      0.0,            5.0,     True,   "an event: its sender deletes it now"),
    ([live(1), live(-5)],                      0.0,            5.0,     True,   "from the backlog: it was on a disk"),
    ([live(0)],                                0.0,            0.0,     True,   "durability: always"),
]
# fmt: on


@pytest.mark.parametrize(("drafts", "since_s", "spare_s", "forced", "why"), FORCED_OUT, ids=[c[-1] for c in FORCED_OUT])
def test_what_a_power_cut_must_not_take_is_forced_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drafts: list[Draft], since_s: float, spare_s: float,
    forced: bool, why: str,
) -> None:  # fmt: skip
    """FULL forces the log out at each commit, NORMAL does not (sqlite.org/pragma.html#pragma_synchronous)."""
    now_s = [1000.0]
    monkeypatch.setattr("controller.telemetry.sqlitestore.time.monotonic", lambda: now_s[0])
    store, said = SqliteStore(tmp_path / "store.sqlite", spare_s=spare_s), list[str]()
    store.write([arrival(event(-9))])
    now_s[0] += since_s
    store._database.set_trace_callback(said.append)
    store.write([arrival(draft, seq) for seq, draft in enumerate(drafts)])
    assert f"PRAGMA synchronous={'FULL' if forced else 'NORMAL'}" in said, why
    store.close()


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
    ({"age_ms": {"f": {"newest": 1.5}}},       "age_ms_f=1.5",                      "two levels"),
    ({"v_pu": 1e-05},                          "v_pu=1e-05",                        "an exponent is allowed"),
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


def test_a_backslash_at_the_end_of_a_tag_cannot_swallow_what_follows() -> None:
    row = arrival(live(1), start_mode="demo\\")
    assert line(row).startswith("v2g_live,epoch=7,site=home,start_mode=demo/ f_hz=")


def test_a_server_without_text_gets_none() -> None:
    row = arrival(live(1), state=3, state_name="IN_SERVICE", why=["RAMP"], ok=True)
    assert line(row, texts=False) == f"{TAGS} f_hz=50.0,state=3i,ok=true {T_MS}"


# fmt: off
NO_POINTS = [
    ({"n": 2**63},         r"n = 9223372036854775808 is beyond 64 bits"),
    ({"a": {"b": -2**63 - 1}}, r"a_b = -9223372036854775809 is beyond 64 bits"),
    ({"": 1},              r"a field without a name"),
    ({"p_w": float("inf")}, r"p_w = inf is no number"),
    ({"f_hz": None},       r"there is nothing in it but tags and null"),
]
# fmt: on


@pytest.mark.parametrize(("body", "text"), NO_POINTS, ids=[c[-1] for c in NO_POINTS])
def test_what_no_server_could_read(body: dict[str, Any], text: str) -> None:
    with pytest.raises(PointError, match=text):
        line(arrival(live(1), **{"f_hz": None, **body}))


def test_the_last_whole_numbers_are_written() -> None:
    fields = line(arrival(live(1), n=2**63 - 1, m=-(2**63))).split(" ")[1]
    assert fields == "f_hz=50.0,n=9223372036854775807i,m=-9223372036854775808i"


def test_flatten_gives_the_names_of_the_lines() -> None:
    body = {"f_hz": {"newest": 50.0, "min": None}, "why": ["RAMP"], "n": 3}
    assert list(flatten(body)) == [("f_hz", 50.0), ("why", '["RAMP"]'), ("n", 3)]


# ---- retries ----


class Moody:
    """A store that fails first: a double. after: what each attempt raises, then it stores."""

    name = "moody"

    def __init__(self, *after: StoreError) -> None:
        self.after, self.rows = list(after), list[Arrival]()

    def write(self, rows: Sequence[Arrival]) -> int:
        if self.after:
            raise self.after.pop(0)
        self.rows += rows
        return 0

    def close(self) -> None:
        return None


def test_written_again_until_stored_one_line_per_change(caplog: pytest.LogCaptureFixture) -> None:
    store, changes = Moody(*(StoreError("busy", retry_after_s=0.0) for _ in range(3))), list[bool]()
    assert write_until_stored(store, [arrival(live(1))], threading.Event(), changes.append) == 0
    assert (len(store.rows), changes) == (1, [False, False, False, True])
    assert (caplog.text.count("V2G-STORE-DOWN"), caplog.text.count("V2G-STORE-UP")) == (1, 1)


# fmt: off
PAUSES = [
    # ours  the store's  from   to      why
    (2.0,   None,        2.0,   2.4,    "our own, and up to a fifth more"),
    (2.0,   7.0,         7.0,   8.4,    "the store's, and up to a fifth more"),
    (2.0,   0.0,         0.0,   0.1,    "at once, but not all bridges in the same instant"),
    (2.0,   86400.0,     300.0, 360.0,  "no store keeps us waiting for a day"),
]
# fmt: on


@pytest.mark.parametrize(("ours", "asked", "low", "high", "why"), PAUSES, ids=[c[-1] for c in PAUSES])
def test_pauses(ours: float, asked: float | None, low: float, high: float, why: str) -> None:
    pauses = [pause_s(ours, asked) for _ in range(200)]
    assert low <= min(pauses) < max(pauses) <= high, why


def test_told_to_stop_it_stops_and_says_not_stored() -> None:
    stopping = threading.Event()
    stopping.set()
    assert write_until_stored(Moody(StoreError("down", 200.0)), [arrival(live(1))], stopping) is None


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
    assert quarantine._database.execute("PRAGMA synchronous").fetchone() == (2,), "FULL: forced out at each commit"
    quarantine.add(arrival(live(1)), "HTTP 400 field type conflict")
    quarantine.add(arrival(live(1)), "HTTP 400 field type conflict")
    assert quarantine.count() == 1
    assert caplog.text.count("V2G-ROW-QUARANTINED home seq 1 of ab: HTTP 400 field type conflict") == 1


def test_the_quarantine_is_bounded_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A field whose type the store will not have is a row a second, for weeks."""
    for name, rows in (("MOST_ROWS", 20), ("ROOM_ROWS", 5)):
        monkeypatch.setattr(f"controller.telemetry.quarantine.{name}", rows)
    now_ms = [1_000_000]
    monkeypatch.setattr("controller.telemetry.quarantine.time.time_ns", lambda: now_ms[0] * 1_000_000)
    quarantine = Quarantine(tmp_path / "quarantine.sqlite")
    for seq in range(1, 22):
        now_ms[0] += 1000
        quarantine.add(arrival(live(seq), seq=seq), "why")
        if seq == 10:
            quarantine.close()
            quarantine = Quarantine(tmp_path / "quarantine.sqlite")  # it counts what is there
    assert [row[0] for row in quarantine._database.execute("SELECT seq FROM quarantine")] == list(range(6, 22))
    assert "more than 20 rows; the oldest 5 are deleted" in caplog.text
    quarantine.close()


def test_many_rows_in_quarantine_are_a_line_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = [5.0]
    monkeypatch.setattr("controller.telemetry.quarantine.time.monotonic", lambda: now_s[0])
    quarantine = Quarantine(tmp_path / "quarantine.sqlite")
    for seq in range(1, 122):
        quarantine.add(arrival(live(seq), seq=seq), "why")
        now_s[0] += 1.0
    quarantine.close()
    assert [message.split(": ")[-1] for message in caplog.messages] == [
        "why", *["why; 59 more since the last line"] * 2
    ]  # fmt: skip


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
