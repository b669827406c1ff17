"""The outbox: numbers, order, tiers, bounds. Time is an argument; the files are real."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from controller.telemetry import outbox as module
from controller.telemetry.database import DatabaseRefusedError
from controller.telemetry.outbox import MOST, Outbox
from controller.telemetry.tier import Amount
from controller.telemetry.tiers import JUMP, MARK_EVERY
from controller.telemetry.wire import Ranges
from tests.controller.telemetry.makers import event, killed, live


def outbox(folder: Path, most: Amount = MOST, site: str = "home") -> Outbox:
    """Two folders as in a house: run (memory) and state (disk)."""
    return Outbox(folder / "state" / "outbox.sqlite", site, most, quick=folder / "run" / "outbox.sqlite")


def seqs(box: Outbox, limit: int = 100, skip: set[int] | None = None) -> list[int]:
    return [row.seq for row in box.next_batch(limit, skip or set())]


def on_disk(folder: Path) -> list[int]:
    """Numbers in the file on disk, once nobody holds it."""
    with closing(sqlite3.connect(folder / "state" / "outbox.sqlite")) as file:
        return [seq for (seq,) in file.execute("SELECT seq FROM rows ORDER BY seq")]


def test_events_in_order_then_live_newest_first(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1), event(1), live(2), event(2), live(3)], now_ms=0)
    assert seqs(box) == [2, 4, 5, 3, 1]
    assert seqs(box, limit=3) == [2, 4, 5]
    assert seqs(box, limit=3, skip={2, 5}) == [4, 3, 1]


def test_the_order_is_one_over_both_tiers(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1), live(2)], now_ms=0)
    box.tend(now_ms=5_000)
    box.add([live(3), event(3), live(4)], now_ms=5_000)
    assert box.counters().on_disk == 3  # 1, 2 and the event
    assert seqs(box) == [4, 5, 3, 2, 1]
    assert [row.seq for row in box.fresh(after_seq=0, since_ms=0)] == [4, 1, 2, 3, 5]


def test_fresh_rows_are_young_and_new_events_first(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1)], now_ms=1000)
    box.add([live(2), event(2)], now_ms=9000)
    assert [row.seq for row in box.fresh(after_seq=0, since_ms=5000)] == [3, 2]
    assert [row.seq for row in box.fresh(after_seq=2, since_ms=0)] == [3]


def test_rows_of_an_earlier_process_are_never_fresh_whatever_its_clock_said(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1)], now_ms=10**15)
    killed(box)
    box = outbox(tmp_path)
    box.add([live(2)], now_ms=1000)
    assert [row.seq for row in box.fresh(after_seq=0, since_ms=0)] == [2]


# fmt: off
ACKS: list[tuple[str, Ranges, list[int], str]] = [
    # outbox    ranges               rows left        why
    ("own",     [(1, 1)],            [2, 3, 4],       "one row"),
    ("own",     [(1, 2), (4, 4)],    [3],             "ranges with a hole, over both tiers"),
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
    counters = box.counters()
    assert (counters.acknowledged, counters.waiting, gone) == (4 - len(left), len(left), 4 - len(left))


# ---- where a row lies ----

# fmt: off
WAYS: list[tuple[list[Any], int, list[int], str]] = [
    # rows                          looked at  on disk      why
    ([live(1), live(2)],            4_999,     [],          "nothing has waited long enough"),
    ([live(1), live(2)],            5_000,     [1, 2],      "one has waited 5 s: all go, in one transaction"),
    ([live(1), event(2), live(3)],  0,         [2],         "an event goes at once, and alone"),
]
# fmt: on


@pytest.mark.parametrize(("drafts", "at_ms", "disk", "why"), WAYS, ids=[c[-1] for c in WAYS])
def test_what_a_power_cut_costs(tmp_path: Path, drafts: list[Any], at_ms: int, disk: list[int], why: str) -> None:
    box = outbox(tmp_path)
    box.add(drafts, now_ms=0)
    box.tend(at_ms)
    killed(box)
    assert on_disk(tmp_path) == disk, why
    shutil.rmtree(tmp_path / "run")
    assert sorted(seqs(outbox(tmp_path))) == disk, "the same after the reboot"


def test_stopped_in_order_everything_is_on_disk(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1), live(2)], now_ms=0, progress={"epoch": 7})
    box.close()
    assert on_disk(tmp_path) == [1, 2]
    shutil.rmtree(tmp_path / "run")
    assert outbox(tmp_path).progress() == {"epoch": 7}


def test_acknowledged_in_time_nothing_is_written_to_disk(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    files = sorted((tmp_path / "state").iterdir())
    before = [(f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files]
    for second in range(100):
        box.add([live(second)], now_ms=1000 * second)
        box.tend(1000 * second + 100)
        box.acknowledge(box.id, [(second + 1, second + 1)])
    assert [(f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files] == before


def test_without_a_quick_file_the_disk_takes_all_at_once(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "state" / "outbox.sqlite", "home")
    box.add([live(1)], now_ms=0)
    assert box.counters().on_disk == 1


def test_what_goes_to_disk_is_forced_out_and_what_is_deleted_is_not(tmp_path: Path) -> None:
    """FULL forces the log out at each commit, NORMAL does not (sqlite.org/pragma.html#pragma_synchronous)."""
    box = outbox(tmp_path)
    said: dict[str, list[str]] = {"quick": [], "disk": []}
    assert box.tiers.quick is not None
    assert box.tiers.disk is not None
    box.tiers.quick._database.set_trace_callback(said["quick"].append)
    box.tiers.disk._database.set_trace_callback(said["disk"].append)
    box.add([event(1)], now_ms=0)
    box.acknowledge(box.id, [(1, 1)])
    levels = {name: [sql.split("=")[1] for sql in found if "synchronous" in sql] for name, found in said.items()}
    assert [sql[:6] for sql in said["disk"]] == ["PRAGMA", "BEGIN ", "INSERT", "COMMIT", "PRAGMA", "BEGIN ",
                                                 "DELETE", "COMMIT"]  # fmt: skip
    assert levels == {"quick": ["OFF", "OFF"], "disk": ["FULL", "NORMAL"]}


def test_both_in_one_folder_as_in_the_demonstration(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.sqlite", "home", quick=tmp_path / "outbox-quick.sqlite")
    box.add([live(1), event(1)], now_ms=0)
    box.tend(5_000)
    box.close()
    again = Outbox(tmp_path / "outbox.sqlite", "home", quick=tmp_path / "outbox-quick.sqlite")
    assert (seqs(again), again.newest_seq()) == ([2, 1], 2)


# ---- numbers ----


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    for stop in (killed, Outbox.close):
        box = outbox(tmp_path)
        first = box.newest_seq() + 1
        box.add([live(1), live(2)], now_ms=0)
        assert [first, first + 1] == [1, 2] if stop is killed else [3, 4]
        box.acknowledge(box.id, [(1, 99)])
        stop(box)
    box = outbox(tmp_path)
    box.add([live(3)], now_ms=0)
    assert seqs(box) == [5]


def test_after_a_reboot_numbers_go_on_far_above(tmp_path: Path) -> None:
    """The quick file knew how far they had come; the disk has heard of every ten thousandth, or of less."""
    given: set[int] = set()
    for boot in range(3):
        box = outbox(tmp_path)
        for i in range(5):
            box.add([live(i)], now_ms=0)
            assert box.newest_seq() not in given
            given.add(box.newest_seq())
        assert box.newest_seq() == boot * JUMP + 5
        name = box.id
        killed(box)
        shutil.rmtree(tmp_path / "run")
    assert outbox(tmp_path).id == name, "the file on disk is the same outbox"


def test_after_a_reboot_without_a_quick_file_from_now_on_no_number_comes_again(tmp_path: Path) -> None:
    """The site file has changed to `durability: always` before a power cut: nobody knows what quick has given."""
    box = outbox(tmp_path)
    box.add([live(i) for i in range(5)], now_ms=0)
    box.tend(5_000)  # to disk, without a word of how far the numbers have come
    box.add([live(i) for i in range(5, 8)], now_ms=5_100)
    box.acknowledge(box.id, [(6, 8)])
    killed(box)
    shutil.rmtree(tmp_path / "run")
    box = Outbox(tmp_path / "state" / "outbox.sqlite", "home")
    box.add([live(9), live(10)], now_ms=6_000)
    numbers = sorted(seqs(box))
    assert numbers[:5] == [1, 2, 3, 4, 5], "no new row has taken the place of one that waits"
    assert len(numbers) == 7
    assert numbers[5] > 8
    box.close()
    box = Outbox(tmp_path / "state" / "outbox.sqlite", "home")
    box.add([live(11)], now_ms=7_000)
    assert max(seqs(box)) == numbers[6] + 1, "the disk has heard of all of them since"


def test_the_disk_hears_of_every_ten_thousandth_number(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(i) for i in range(MARK_EVERY)], now_ms=0)
    box.acknowledge(box.id, [(1, MARK_EVERY)])
    box.tend(100)
    killed(box)
    shutil.rmtree(tmp_path / "run")
    assert outbox(tmp_path).newest_seq() == MARK_EVERY + JUMP


def test_the_disk_hears_of_the_progress_each_ten_minutes(tmp_path: Path) -> None:
    """It counts energy: a power cut, which takes the memory's file, must not take hours of it."""
    quick = tmp_path / "memory.sqlite"
    box = Outbox(tmp_path / "outbox.sqlite", "home", quick=quick)
    for minute in range(21):
        box.add([live(minute)], minute * 60_000, {"minute": minute})
        box.acknowledge(box.id, [(1, 1000)])
        box.tend(minute * 60_000)
    killed(box)
    quick.unlink()
    assert Outbox(tmp_path / "outbox.sqlite", "home", quick=quick).progress()["minute"] >= 20 - 10


def test_rows_progress_and_name_survive_a_killed_process(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1)], now_ms=0, progress={"epoch": 7, "n_last": 41})
    name = box.id
    killed(box)
    again = outbox(tmp_path)
    assert (again.id, seqs(again), again.progress()) == (name, [1], {"epoch": 7, "n_last": 41})


def test_killed_between_the_two_files_a_row_is_there_once(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1), live(2)], now_ms=0)
    assert box.tiers.quick is not None
    assert box.tiers.disk is not None
    box.tiers.disk.insert(box.tiers.quick.select("seq = 1", (), 1))  # the first half of a move
    killed(box)
    box = outbox(tmp_path)
    box.tend(0)
    assert (sorted(seqs(box)), box.counters().waiting, box.counters().on_disk) == ([1, 2], 2, 2)


def test_a_new_file_on_disk_is_a_new_outbox_and_the_quick_rows_join_it(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    box.add([live(1), live(2)], now_ms=0)
    name = box.id
    killed(box)
    shutil.rmtree(tmp_path / "state")
    box = outbox(tmp_path)
    assert box.id != name
    assert sorted(seqs(box)) == [1, 2]
    box.add([live(3)], now_ms=0)
    assert sorted(seqs(box)) == [1, 2, 3]


def test_rows_of_another_outbox_in_memory_get_numbers_that_are_free(tmp_path: Path) -> None:
    old = outbox(tmp_path)
    old.add([live(i) for i in range(4)], now_ms=0)
    old.close()
    shutil.move(tmp_path / "state", tmp_path / "kept")
    other = outbox(tmp_path)
    other.add([live(10), live(11)], now_ms=0)
    killed(other)
    shutil.rmtree(tmp_path / "state")
    shutil.move(tmp_path / "kept", tmp_path / "state")
    box = outbox(tmp_path)
    assert sorted(seqs(box)) == [1, 2, 3, 4, 5 + JUMP, 6 + JUMP], "above all that the older one may have given since"


# ---- bounds ----


def test_the_oldest_live_rows_are_dropped_and_counted_events_never(tmp_path: Path) -> None:
    box = outbox(tmp_path, Amount(3, 10**9))
    box.add([event(0), live(1), live(2)], now_ms=0)
    box.tend(5_000)
    box.add([event(1), live(3), live(4), live(5)], now_ms=5_000)
    box.tend(10_000)
    assert sorted(seqs(box)) == [1, 4, 5, 6, 7]
    assert (box.counters().dropped, box.counters().dropped_events, box.counters().waiting) == (2, 0, 5)
    killed(box)
    shutil.rmtree(tmp_path / "run")
    assert outbox(tmp_path).counters().dropped == 2  # kept with the file


def test_bytes_are_bounded_as_well(tmp_path: Path) -> None:
    box = outbox(tmp_path, Amount(10**6, 10_000))
    box.add([live(i, note="x" * 1000) for i in range(12)], now_ms=0)
    box.tend(5_000)
    (size,) = {len(row.body) for row in box.next_batch(1)}
    assert box.counters().waiting == 10_000 // size
    assert seqs(box)[-1] == 12 - 10_000 // size + 1, "the oldest have gone"
    assert box.counters().dropped == 12 - 10_000 // size


def test_events_have_a_bound_of_their_own_and_it_is_loud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EVENTS", Amount(5, 10**6))
    box = outbox(tmp_path)
    box.add([event(i) for i in range(8)], now_ms=0)
    box.add([event(9), live(9)], now_ms=0)
    assert sorted(seqs(box)) == [5, 6, 7, 8, 9, 10]
    assert (box.counters().dropped_events, box.counters().dropped) == (4, 0)
    assert [r.levelno for r in caplog.records if "V2G-OUTBOX-EVENTS" in r.message] == [logging.ERROR], "once"


# ---- rows whose time is not yet known ----


def test_held_rows_wait_for_their_time_in_either_tier_and_over_a_restart(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    held = [live(1), event(2)]
    for draft in held:
        object.__setattr__(draft, "held_ns", 100)
    box.add([*held, live(3)], now_ms=0)
    assert seqs(box) == [3]
    assert [row.seq for row in box.fresh(0, 0)] == [3]
    killed(box)
    box = outbox(tmp_path)
    assert (box.counters().held, seqs(box)) == (2, [3])

    def stamp(body: dict[str, Any], held_ns: int) -> None:
        body["t_ms"] += held_ns

    before_ms = held[0].t_ms
    box.release(stamp, now_ms=0)
    assert (box.counters().held, seqs(box)) == (0, [2, 3, 1])
    assert f'"t_ms":{before_ms + 100}' in box.next_batch(3)[-1].body
    box.close()
    assert on_disk(tmp_path) == [1, 2, 3]


# ---- versions ----


def test_a_newer_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    outbox(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "state" / "outbox.sqlite")) as file:
        file.execute("PRAGMA user_version = 3")
    with pytest.raises(DatabaseRefusedError, match=r"outbox\.sqlite: schema 3 is newer than 2"):
        outbox(tmp_path)


VERSION_1 = """
CREATE TABLE rows (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, created_ms INTEGER NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX rows_kind ON rows (kind, seq);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO rows VALUES (8, 'event', 500, '{"t_ms":1}'), (9, 'live', 500, '{"t_ms":2}'), (10, 'live', 501, '{}');
DELETE FROM rows WHERE seq = 10;
INSERT INTO meta VALUES ('outbox', 'abc'), ('site', 'home'), ('dropped', '4'), ('progress', '{"epoch":7}');
PRAGMA user_version = 1
"""


def test_a_file_of_version_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "outbox.sqlite")) as file:
        file.executescript(VERSION_1)
    box = Outbox(tmp_path / "state" / "outbox.sqlite", "home")
    assert (box.id, seqs(box), box.newest_seq(), box.counters().dropped) == ("abc", [8, 9], 10, 4)
    assert box.progress() == {"epoch": 7}
    assert box.tiers.all()[0].amounts == {"event": Amount(1, 10), "live": Amount(1, 10)}
