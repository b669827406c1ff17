"""How long and how much a SQLite store keeps. Time is an argument; a day is 86 400 000 ms."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from controller.telemetry.sqlitestore import DAY_MS, SqliteStore, count_points, read_only, read_points
from controller.telemetry.wire import Arrival, Draft
from tests.controller.telemetry.makers import WALL_MS, event, live
from tests.performance.frames import arrivals, payloads

DAY_S = 86_400
NEWEST_MS = WALL_MS + 9 * DAY_MS


def arrival(draft: Draft, site: str = "home", epoch: int = 7) -> Arrival:
    body = {**draft.body, "site": site, "epoch": epoch}
    return Arrival(site, draft.kind, epoch, draft.t_ms, draft.name, "ab", 1, WALL_MS, body)


def days_of(path: Path, kind: str, site: str = "home") -> list[int]:
    """Which days have a row."""
    return [(row.t_ms - WALL_MS) // DAY_MS for row in read_points(path, site, kind)]


def filled(path: Path, keep_days: int | None) -> SqliteStore:
    """Two sites, two runs; a frame and an event at the beginning of each of ten days, stored with no bound."""
    store = SqliteStore(path)
    for day in range(10):
        epoch = 7 if day < 5 else 8
        rows = [arrival(draft(day * DAY_S), site, epoch) for draft in (live, event) for site in ("home", "cabin")]
        store.write(rows)
    store.keep_days = keep_days
    return store


# fmt: off
AGES = [
    # keep  now                       first day  why
    (3,     NEWEST_MS,                6,         "days 6, 7, 8 are not older than 3 days before day 9"),
    (3,     NEWEST_MS + 500 * DAY_MS, 6,         "a house that was off: age counts from the newest row"),
    (3,     NEWEST_MS - 4 * DAY_MS,   2,         "rows from the future: age counts from now"),
    (3,     0,                        0,         "a clock in 1970 deletes nothing"),
    (30,    NEWEST_MS,                0,         "all are young"),
    (None,  NEWEST_MS,                0,         "no bound"),
]
# fmt: on


@pytest.mark.parametrize(("keep", "now_ms", "first", "why"), AGES, ids=[c[-1] for c in AGES])
def test_rows_go_when_they_are_too_old(tmp_path: Path, keep: int | None, now_ms: int, first: int, why: str) -> None:
    path = tmp_path / "store.sqlite"
    store = filled(path, keep)
    gone = store.tidy(now_ms)
    store.close()
    for kind in ("live", "event"):
        for site in ("home", "cabin"):
            assert days_of(path, kind, site) == list(range(first, 10)), why
    assert gone == store.deleted == 4 * first


def big(draft: Draft, seq: int) -> Arrival:
    """About 1 kB."""
    row = replace(arrival(draft), seq=seq)
    row.body["text"] = "x" * 1000
    return row


def test_above_its_size_the_oldest_frames_go_and_events_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    store.write([big(live(60 * i), i) for i in range(1500)] + [arrival(event(60 * i)) for i in range(50)])
    store.max_mb = 1
    assert store.used_bytes() > 1_500_000
    gone = store.tidy(WALL_MS)
    assert store.used_bytes() <= 1_000_000
    assert [row.seq for row in read_points(path, "home", "live")] == list(range(gone, 1500))  # the newest, no hole
    assert gone % 60 == 0  # an hour at a time
    assert len(read_points(path, "home", "event")) == 50
    assert f"V2G-STORE-FULL {path} is above 1 MB: {gone} oldest rows deleted" in caplog.text
    store.close()


def test_what_a_day_of_frames_takes(tmp_path: Path) -> None:
    """Stated in docs/stores.md: one frame a second is 181 MB a day."""
    frames = arrivals(payloads(2000, sites=1))
    store = SqliteStore(tmp_path / "store.sqlite")
    store.write(frames)
    day_mb = store.used_bytes() / len(frames) * DAY_S / 1e6
    store.close()
    assert day_mb == pytest.approx(181, rel=0.05)


def test_with_no_frames_left_events_go(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    store.write([big(event(60 * i), i) for i in range(1500)])
    store.max_mb = 1
    gone = store.tidy(WALL_MS)
    store.close()
    assert [row.seq for row in read_points(path, "home", "event")] == list(range(gone, 1500))
    assert 0 < gone < 1500


def test_writing_goes_on_while_another_thread_tidies_up(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = filled(path, keep_days=3)
    thread = threading.Thread(target=store.tidy, args=(NEWEST_MS,))
    thread.start()
    for i in range(200):
        store.write([arrival(live(9 * DAY_S + 1 + i), epoch=8)])
    thread.join()
    store.close()
    with read_only(path) as database:
        assert count_points(database, "home", "live", NEWEST_MS + 1) == 200


def test_the_store_tidies_up_by_itself_and_an_ordinary_hour_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "store.sqlite"
    filled(path, None).close()
    store = SqliteStore(path, keep_days=3)  # its first write is due for it
    store.write([arrival(live(9 * DAY_S), epoch=8)])
    store.close()
    assert days_of(path, "live") == [6, 7, 8, 9]
    assert caplog.text == ""
