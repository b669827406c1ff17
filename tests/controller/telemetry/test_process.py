"""The telemetry process, turn by turn: ring, restarts, outages. Ring and journal in memory, time is an argument."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from controller.telemetry.follow import RingFollower
from controller.telemetry.outbox import Outbox
from controller.telemetry.process import Telemetry
from controller.telemetry.wire import Ranges, Row
from tests.controller.telemetry.makers import WALL_MS, MemoryJournal, MemoryReader, MemoryRing, records


class Listener:
    """A delivery that stores all it is sent, or is away."""

    name = "listener"

    def __init__(self) -> None:
        self.connected, self.connection = True, 1
        self.rows: list[Row] = []
        self._acks: list[tuple[str, Ranges]] = []

    def start(self) -> None:
        return None

    def stop(self) -> None:
        return None

    def send(self, rows: Sequence[Row]) -> None:
        self.rows += rows
        self._acks += [(row.outbox, [(row.seq, row.seq)]) for row in rows]

    def acks(self) -> list[tuple[str, Ranges]]:
        taken, self._acks = self._acks, []
        return taken

    def windows(self, epoch: int = 7) -> list[tuple[int, int]]:
        """(first, last step) of every live frame, in order of sending."""
        bodies = [json.loads(row.body) for row in self.rows if row.kind == "live"]
        return [(b["n_first"], b["n_last"]) for b in bodies if b["epoch"] == epoch]

    def events(self) -> list[str]:
        return [json.loads(row.body)["event"] for row in self.rows if row.kind == "event"]


class Rig:
    """One site's telemetry; restart() is a SIGKILL and a new process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ring, self.journal, self.listener = MemoryRing(), MemoryJournal(), Listener()
        self.now_ms = WALL_MS
        self.start()

    def start(self) -> None:
        outbox = Outbox(self.folder / "outbox.sqlite", "home")
        follower = RingFollower(self.folder / "ring", self.ring.open)
        self.telemetry = Telemetry(follower, self.journal, outbox, self.listener, 1000, True, self.folder)

    restart = start

    def turn(self, after_ms: int = 100) -> None:
        self.now_ms += after_ms
        self.telemetry.turn(self.now_ms)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "telemetry.json").read_text())
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def feed(rig: Rig, reader: MemoryReader, first: int, count: int, piece: int = 7) -> None:
    """Steps in small pieces, a turn after each."""
    for n in range(first, first + count, piece):
        reader.push(records(n, min(piece, first + count - n)))
        rig.turn()


def test_every_step_is_journalled_and_in_exactly_one_frame(rig: Rig) -> None:
    feed(rig, rig.ring.begin(7), 0, 35)
    rig.telemetry.finish(rig.now_ms)
    assert rig.journal.steps == {7: list(range(35))}
    assert rig.listener.windows() == [(0, 9), (10, 19), (20, 29), (30, 34)]


def test_waits_for_a_ring_that_is_not_there_yet(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        rig.turn()
    feed(rig, rig.ring.begin(7), 0, 11)
    assert rig.listener.windows() == [(0, 9)]
    assert caplog.text.count("V2G-RING-ABSENT") == 1


def test_a_restarted_core_first_the_old_ring_to_its_end_then_the_new(rig: Rig) -> None:
    old = rig.ring.begin(7)
    feed(rig, old, 0, 15)
    old.push(records(15, 3))  # written just before it died
    feed(rig, rig.ring.begin(8), 0, 12)
    rig.telemetry.finish(rig.now_ms)
    assert rig.journal.steps == {7: list(range(18)), 8: list(range(12))}
    assert rig.listener.windows(7) == [(0, 9), (10, 17)]
    assert rig.listener.windows(8) == [(0, 9), (10, 11)]
    assert rig.listener.events().count("start") == 2


@pytest.mark.parametrize("at", [1, 9, 10, 11, 25, 44])
def test_killed_and_restarted_no_step_is_missing_or_twice(rig: Rig, at: int) -> None:
    reader = rig.ring.begin(7)
    feed(rig, reader, 0, at, piece=3)
    rig.journal.steps[7] = rig.journal.steps[7][: at // 2]  # the rest was still in the dead process's memory
    rig.restart()
    feed(rig, reader, at, 45 - at)
    rig.telemetry.finish(rig.now_ms)
    assert rig.journal.steps == {7: list(range(45))}
    assert rig.listener.windows() == [(0, 9), (10, 19), (20, 29), (30, 39), (40, 44)]
    assert rig.listener.events() == ["start", "state"]


def test_away_longer_than_the_ring_is_deep_the_loss_is_named(rig: Rig) -> None:
    reader = rig.ring.begin(7, depth=20)
    feed(rig, reader, 0, 10)
    rig.telemetry.finish(rig.now_ms)
    reader.push(records(10, 40))  # steps 10 ... 29 fall out
    rig.restart()
    rig.turn()
    rig.telemetry.finish(rig.now_ms)
    lost = next(json.loads(r.body) for r in rig.listener.rows if '"event":"lost"' in r.body)
    assert (lost["n_first"], lost["n_last"], lost["records"]) == (10, 29, 20)
    assert rig.status()["lost_records"] == 20


def test_a_core_that_stops_leaves_its_last_frame(rig: Rig) -> None:
    feed(rig, rig.ring.begin(7), 0, 15)
    for _ in range(12):
        rig.turn()
    assert rig.listener.windows() == [(0, 9), (10, 14)]


def test_broker_away_everything_waits_and_then_leaves(rig: Rig) -> None:
    rig.listener.connected = False
    reader = rig.ring.begin(7)
    feed(rig, reader, 0, 100)
    assert rig.listener.rows == []
    assert rig.status()["waiting"] >= 9
    rig.listener.connected, rig.listener.connection = True, 2
    for _ in range(30):
        rig.turn()
    assert sorted(rig.listener.windows()) == [(n, n + 9) for n in range(0, 100, 10)]
    assert rig.status()["waiting"] == 0


def test_journal_disk_full_is_said_once_and_frames_go_on(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.journal.full = True
    feed(rig, rig.ring.begin(7), 0, 35)
    assert rig.listener.windows() == [(0, 9), (10, 19), (20, 29)]
    assert caplog.text.count("V2G-JOURNAL-DISK") == 1
    assert rig.telemetry.journal_failures == 5


def test_a_ring_of_another_build_is_named_and_looked_at_again(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(path: Path) -> MemoryReader:
        raise ValueError(f"{path}: written by another build")

    rig.telemetry.ring.open_reader = refuse
    rig.turn()
    rig.turn()
    assert caplog.text.count("V2G-RING-REFUSED") == 1
    rig.telemetry.ring.open_reader = rig.ring.open
    feed(rig, rig.ring.begin(7), 0, 11)
    assert rig.listener.windows() == [(0, 9)]


def test_status_file(rig: Rig) -> None:
    feed(rig, rig.ring.begin(7), 0, 30)
    for _ in range(3):
        rig.turn(1000)
    status = rig.status()
    expected = {"v": 1, "epoch": 7, "frames": 3, "sent": 5, "acknowledged": 5, "waiting": 0, "dropped": 0,
                "lost_records": 0, "newest_n": 29, "connected": True, "delivery": "listener"}  # fmt: skip
    assert {key: status[key] for key in expected} == expected  # 3 frames, the start and the first state
    assert not (rig.folder / "telemetry.tmp").exists()


def test_a_frame_carries_what_was_lost_on_the_way(rig: Rig) -> None:
    feed(rig, rig.ring.begin(7), 0, 11)
    body = json.loads(rig.listener.rows[-1].body)
    assert body["telemetry"] == {"dropped": 0, "failed_writes": 0, "waiting": 0, "lost_records": 0}
