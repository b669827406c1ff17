"""The outbox: numbers, order, bound, damage. Time is an argument, the disk is real, the full disk a bounded file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from controller.telemetry.database import DatabaseRefusedError
from controller.telemetry.outbox import Outbox
from controller.telemetry.wire import Ranges
from tests.controller.telemetry.makers import event, live


def outbox(folder: Path, max_live: int = 1000, site: str = "home") -> Outbox:
    return Outbox(folder / "outbox.sqlite", site, max_live)


def seqs(box: Outbox, limit: int = 100, skip: set[int] | None = None) -> list[int]:
    return [row.seq for row in box.next_batch(limit, skip or set())]


def test_events_in_order_then_live_newest_first(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1), event(1), live(2), event(2), live(3)], now_ms=0)
    assert seqs(box) == [2, 4, 5, 3, 1]
    assert seqs(box, limit=3) == [2, 4, 5]
    assert seqs(box, limit=3, skip={2, 5}) == [4, 3, 1]


def test_fresh_rows_are_young_and_new_events_first(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1)], now_ms=1000)
    box.add([live(2), event(2)], now_ms=9000)
    assert [row.seq for row in box.fresh(after_seq=0, since_ms=5000)] == [3, 2]
    assert [row.seq for row in box.fresh(after_seq=2, since_ms=0)] == [3]


# fmt: off
ACKS: list[tuple[str, Ranges, list[int], str]] = [
    # outbox    ranges               rows left        why
    ("own",     [(1, 1)],            [2, 3, 4],       "one row"),
    ("own",     [(1, 2), (4, 4)],    [3],             "ranges with a hole"),
    ("own",     [(1, 99)],           [],              "beyond the end is fine"),
    ("own",     [(7, 9)],            [1, 2, 3, 4],    "rows that never were"),
    ("own",     [],                  [1, 2, 3, 4],    "nothing"),
    ("other",   [(1, 4)],            [1, 2, 3, 4],    "another outbox's numbers are not ours"),
]
# fmt: on


@pytest.mark.parametrize(("who", "ranges", "left", "why"), ACKS, ids=[c[-1] for c in ACKS])
def test_only_acknowledged_rows_leave(tmp_path: Path, who: str, ranges: Ranges, left: list[int], why: str) -> None:
    box = outbox(tmp_path)
    box.add([live(1), event(2), live(3), live(4)], now_ms=0)
    gone = box.acknowledge(box.id if who == "own" else "another", ranges)
    assert sorted(seqs(box)) == left, why
    assert (gone, box.counters().waiting, box.counters().acknowledged) == (4 - len(left), len(left), 4 - len(left))


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1), live(2)], now_ms=0)
    box.acknowledge(box.id, [(1, 2)])
    box.close()
    box = outbox(tmp_path)
    box.add([live(3)], now_ms=0)
    assert seqs(box) == [3]


def test_rows_progress_and_name_survive_a_restart(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1)], now_ms=0, progress={"epoch": 7, "n_last": 41})
    name = box.id  # not closed: as after SIGKILL
    again = outbox(tmp_path)
    assert (again.id, seqs(again), again.progress()) == (name, [1], {"epoch": 7, "n_last": 41})


def test_the_oldest_live_rows_are_dropped_and_counted_events_never(tmp_path: Path) -> None:
    box = outbox(tmp_path, max_live=3)
    box.add([event(0), live(1), live(2)], now_ms=0)
    box.add([event(1), live(3), live(4), live(5)], now_ms=0)
    assert sorted(seqs(box)) == [1, 4, 5, 6, 7]
    assert (box.counters().dropped, box.counters().waiting) == (2, 5)
    box.close()
    assert outbox(tmp_path).counters().dropped == 2  # kept with the file


def test_a_newer_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    outbox(tmp_path).close()
    with sqlite3.connect(tmp_path / "outbox.sqlite") as file:
        file.execute("PRAGMA user_version = 2")
    with pytest.raises(DatabaseRefusedError, match=r"outbox\.sqlite: schema 2 is newer than 1"):
        outbox(tmp_path)


# fmt: off
DAMAGE = [
    (b"this is no database, and long enough to be sure of it" * 50,  "a file of something else"),
    (b"SQLite format 3\x00" + b"\xff" * 4000,                         "a right beginning, then rubbish"),
]
# fmt: on


@pytest.mark.parametrize(("content", "why"), DAMAGE, ids=[c[-1] for c in DAMAGE])
def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, why: str
) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(content)
    box = outbox(tmp_path)
    assert box.add([live(1)], now_ms=0), why
    assert "V2G-OUTBOX-DAMAGED" in caplog.text
    assert [p.read_bytes() for p in tmp_path.glob("outbox.sqlite.bad-*")] == [content]


def test_another_sites_outbox_is_kept_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox(tmp_path, site="cabin").add([live(1)], now_ms=0)
    box = outbox(tmp_path, site="home")
    assert seqs(box) == []
    assert "belongs to site cabin" in caplog.text


def test_damage_found_while_running_begins_a_new_outbox(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    box = outbox(tmp_path)
    box.add([live(i) for i in range(300)], now_ms=0)
    box._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    box._database.execute("PRAGMA cache_size = 0")
    path = tmp_path / "outbox.sqlite"
    size, name = path.stat().st_size, box.id
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    for i in range(3):
        box.add([live(1000 + i)], now_ms=0)
    assert "V2G-OUTBOX-DAMAGED" in caplog.text
    assert box.id != name
    assert len(seqs(box)) == 3  # nothing that was added afterwards is missing


def test_a_full_disk_is_counted_and_the_rows_wait_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    box = outbox(tmp_path)
    pages = box._database.execute("PRAGMA page_count").fetchone()[0]
    box._database.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then answers as on a full disk
    added = [box.add([live(i, note="x" * 3000)], now_ms=0) for i in range(20)]
    assert added[-1] is False
    assert (box.counters().failed_writes > 0, box.counters().dropped) == (True, 0)
    assert caplog.text.count("V2G-OUTBOX-DISK") == 1  # once, not each second
    box._database.execute("PRAGMA max_page_count = 100000")
    assert box.add([event(21)], now_ms=0)
    assert len(seqs(box)) == 21
    assert "writable again" in caplog.text


def test_memory_is_bounded_while_the_disk_refuses(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box._database.execute("PRAGMA query_only = 1")
    for i in range(30):
        box.add([live(100 * i + j) for j in range(100)] + [event(i)], now_ms=0)
    assert (box.counters().waiting, box.counters().dropped) == (1000 + 30, 2000)
