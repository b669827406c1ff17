"""The telemetry process and the wall clock: steps, a boot in 1970, restarts. Real outbox, both clocks are arguments."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from controller.seal import Seal
from controller.telemetry.gaps import LOST, STOPPED, Gap, find_gaps
from controller.telemetry.wallclock import WAIT_NS, Reading
from controller.telemetry.wire import decode, encode, topic
from tests.controller.telemetry.makers import PERIOD_NS, WALL_MS, MemoryReader, info, killed, records
from tests.controller.telemetry.test_process import Rig

S = 1_000_000_000
OFFSET_NS = WALL_MS * 1_000_000  # of the ring: step n is n x 0.1 s after boot


class House(Rig):
    """A rig with clocks: up_ns since boot, wall = offset + up. Ten steps a second."""

    offset_ns, synchronized, n = OFFSET_NS, True, 0
    reader: MemoryReader

    def begin(self, epoch: int = 7) -> None:
        """A run of the core: its ring says the wall clock as it is now, its steps begin at 0, now."""
        self.reader = self.ring.begin(epoch, depth=200)
        self.reader.info = info(epoch) | {"wall_offset_ns": self.offset_ns}
        self.first_ns, self.n = self.up_ns, 0

    @property
    def up_ns(self) -> int:
        return (self.now_ms - WALL_MS) * 1_000_000

    def run_for(self, seconds: float, steps: int = 1) -> None:
        """steps: in each turn."""
        for _ in range(round(10 * seconds / steps)):
            rows = records(self.n, steps)
            rows["t_ns"] = self.first_ns + rows["n"] * PERIOD_NS
            self.reader.push(rows)
            self.n += steps
            self.wait(0.1 * steps)

    def wait(self, seconds: float) -> None:
        self.now_ms += round(1000 * seconds)
        self.telemetry.turn(self.now_ms, Reading(self.up_ns, self.offset_ns + self.up_ns, self.synchronized))

    def restart(self) -> None:
        killed(self.telemetry.outbox)
        self.start()

    def bodies(self, kind: str = "live") -> list[dict[str, Any]]:
        """As the store would have them: the first of each key stays."""
        found: dict[Any, dict[str, Any]] = {}
        for row in self.listener.rows:
            body = json.loads(row.body)
            if row.kind == kind:
                found.setdefault((body["epoch"], body["t_ms"], body.get("event")), body)
        return list(found.values())

    def gaps(self) -> list[Gap]:
        """From the first row to the newest."""
        rows = {row.seq: row for row in self.listener.rows}.values()
        arrivals = [decode(topic("home", row.kind), encode(row), 0) for row in rows]
        live, events = ([a for a in arrivals if a.kind == kind] for kind in ("live", "event"))
        return find_gaps(live, events, live[0].body["t_first_ms"], max(a.t_ms for a in live))

    def assert_nothing_overwritten(self) -> None:
        """No two different rows share their key, and every step is in one frame."""
        keys: Counter[tuple[Any, ...]] = Counter()
        for row in {row.body for row in self.listener.rows}:
            body = json.loads(row)
            keys[body["kind"], body["epoch"], body["t_ms"], body.get("event")] += 1
        assert max(keys.values()) == 1
        for run in {body["run"] for body in self.bodies()}:
            steps = [n for b in self.bodies() if b["run"] == run for n in range(b["n_first"], b["n_last"] + 1)]
            assert sorted(steps) == list(range(len(steps))), "a step is missing, or in two frames"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# fmt: off
STEPS = [
    # step    why
    (-3600,   "an hour back"),
    (+3600,   "an hour ahead"),
    (-2,      "two seconds back"),
]
# fmt: on


@pytest.mark.parametrize(("step_s", "why"), STEPS, ids=[c[-1] for c in STEPS])
def test_a_step_begins_an_epoch_and_says_so(house: House, step_s: int, why: str) -> None:
    house.begin()
    house.run_for(5)
    house.offset_ns += step_s * S
    house.run_for(5)
    house.telemetry.finish(house.now_ms)
    house.assert_nothing_overwritten()
    epochs = list(dict.fromkeys(body["epoch"] for body in house.bodies()))
    assert epochs[0] == 7
    assert len(epochs) == 2, why
    (event,) = [body for body in house.bodies("event") if body["event"] == "clock"]
    assert (event["epoch"], event["epoch_before"], event["step_ms"]) == (epochs[1], 7, 1000 * step_s)
    newest = house.bodies()[-1]
    assert newest["t_ms"] == WALL_MS + 9_900 + 1000 * step_s
    assert {body["run"] for body in house.bodies()} == {7}, "the run goes on"
    assert house.bodies("event")[0]["event"] == "start"
    assert [body["event"] for body in house.bodies("event")].count("start") == 1
    assert not any("clock" in body for body in house.bodies()), "synchronized all the time"


@pytest.mark.parametrize("killed_after_s", [0.1, 0.5, 1.0, 1.5])
def test_killed_about_a_step_no_row_has_two_times(house: House, killed_after_s: float) -> None:
    house.begin()
    house.run_for(5)
    house.offset_ns -= 3600 * S
    house.run_for(killed_after_s)
    house.restart()
    house.run_for(5)
    house.telemetry.finish(house.now_ms)
    house.assert_nothing_overwritten()
    assert len({body["epoch"] for body in house.bodies()}) == 2


def test_booted_in_1970_the_rows_wait_for_the_clock_and_are_stamped_once(house: House) -> None:
    house.offset_ns, house.synchronized = 20 * S, False
    house.begin()
    house.run_for(30)
    assert house.listener.rows == []
    assert house.status()["held"] == house.status()["waiting"] > 29
    house.offset_ns, house.synchronized = OFFSET_NS, True  # NTP has come
    house.run_for(10)
    house.telemetry.finish(house.now_ms)
    house.assert_nothing_overwritten()
    rows = sorted(house.bodies(), key=lambda body: body["n_first"])
    late = [body for body in rows if body["epoch"] == 7]
    assert all(body["clock"] == "late" for body in late)
    assert [body["t_ms"] for body in late][:3] == [WALL_MS + 900, WALL_MS + 1900, WALL_MS + 2900]
    assert rows[-1]["t_ms"] == WALL_MS + 39_900
    assert "clock" not in rows[-1]
    assert rows[-1]["epoch"] != 7
    assert house.status()["held"] == 0


def test_status_and_record_have_the_wall_clock_as_it_is(house: House) -> None:
    """Set an hour ahead while the telemetry runs: its own count of time goes on as it was, what it says does not."""
    journal, record = house.folder / "journal", house.folder / "record.jsonl"
    journal.write_bytes(b"steps")
    house.telemetry.seal = Seal(record, journal, house.now_ms)
    house.begin()
    house.run_for(3)
    house.offset_ns += 3600 * S
    house.run_for(3)
    house.telemetry.finish(house.now_ms)
    wall_ms = WALL_MS + 6_000 + 3_600_000
    assert house.status()["t_ms"] == pytest.approx(wall_ms, abs=1)
    (sealed,) = [line for line in map(json.loads, record.read_text().splitlines()) if line["kind"] == "journal"]
    assert wall_ms - 3_000 <= sealed["t_ms"] <= wall_ms


def test_never_synchronized_after_ten_minutes_they_go_out_flagged_and_nobody_waits_any_more(house: House) -> None:
    house.offset_ns, house.synchronized = 20 * S, False
    house.begin()
    house.run_for(WAIT_NS // S - 5, steps=20)
    assert house.listener.rows == []
    house.run_for(60)
    assert {body["clock"] for body in house.bodies()} == {"unsynchronized"}
    newest = max(body["n_last"] for body in house.bodies())
    assert house.n - newest < 20, "the newest is as fresh as ever"
    house.assert_nothing_overwritten()


def test_restarts_of_both_while_waiting_lose_no_time_stamp(house: House) -> None:
    house.offset_ns, house.synchronized = 20 * S, False
    for run in range(7, 10):
        house.begin(run)
        house.run_for(5.5)
        house.restart()
    house.run_for(5)
    house.offset_ns, house.synchronized = OFFSET_NS, True
    house.restart()
    house.run_for(5)
    house.telemetry.finish(house.now_ms)
    house.assert_nothing_overwritten()
    rows = sorted(house.bodies(), key=lambda body: body["t_ms"])
    assert [body["run"] for body in rows] == sorted(body["run"] for body in rows)
    assert rows[0]["t_ms"] == WALL_MS + 900
    assert rows[-1]["t_ms"] == WALL_MS + house.up_ns // 1_000_000 - 100
    assert {body.get("clock") for body in rows} == {"late", None}


def test_rows_of_a_boot_whose_clock_never_became_right_say_so(house: House) -> None:
    house.offset_ns, house.synchronized = 20 * S, False
    house.begin()
    house.run_for(30)
    house.telemetry.outbox.close()  # power fails a little later: what memory had is on disk by then
    for file in house.folder.glob("outbox-quick*"):
        file.unlink()
    house.listener.rows.clear()
    house.start()
    house.now_ms, house.offset_ns, house.synchronized = WALL_MS, OFFSET_NS, True
    house.begin(8)
    house.reader.info["boot_id"] = "another"
    house.run_for(10)
    old = [body for body in house.bodies() if body["run"] == 7]
    assert len(old) >= 29
    assert {body["clock"] for body in old} == {"unsynchronized"}
    assert old[0]["t_ms"] < 10**6, "1970, as it was"
    assert "boot_id" not in old[0]


def test_twenty_restarts_in_a_row_of_both(house: House) -> None:
    """Nothing is missing, nothing twice, and the numbers have no hole."""
    for run in range(20):
        house.begin(100 + run)
        house.run_for(1.7)
        house.restart()
        house.run_for(0.4)
    house.run_for(1)
    house.telemetry.finish(house.now_ms)
    house.assert_nothing_overwritten()
    seqs = sorted({row.seq for row in house.listener.rows})
    assert seqs == list(range(1, len(seqs) + 1))
    newest = {run: max(b["n_last"] for b in house.bodies() if b["run"] == run) for run in range(100, 120)}
    assert newest == {run: 20 if run < 119 else 30 for run in range(100, 120)}
    gaps = house.gaps()
    assert [(gap.cause, gap.end_ms - gap.begin_ms) for gap in gaps] == [(STOPPED, 100)] * 19
    assert [gap.begin_ms for gap in gaps] == [WALL_MS + 2100 * run - 100 for run in range(1, 20)]


def test_both_killed_at_once_what_the_old_ring_still_held_is_a_gap_that_says_so(house: House) -> None:
    house.begin(7)
    house.run_for(3.5)
    killed(house.telemetry.outbox)
    for n in range(35, 50):  # 1.5 s that nobody reads
        house.reader.push(records(n, 1))
    house.now_ms += 4000
    house.begin(8)
    house.start()
    house.run_for(3)
    house.telemetry.finish(house.now_ms)
    house.assert_nothing_overwritten()
    assert house.gaps() == [Gap(WALL_MS + 2900, WALL_MS + 7500, LOST, 8)]
