"""Captures around events: which samples, which file, which bounds. Ten steps a second; time is in the records."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path
from typing import Any

import pytest

from controller.telemetry import scopefile
from controller.telemetry.follow import RingFollower
from controller.telemetry.oscillography import Capture, Oscilloscope
from controller.telemetry.outbox import Outbox
from controller.telemetry.process import Telemetry
from controller.telemetry.scopefile import HEADER, Bounds, Scope, keep_within
from controller.telemetry.wallclock import Reading
from cython_core.records import Reason, State
from tests.controller.telemetry.makers import PERIOD_NS, WALL_MS, MemoryReader, info, killed, records
from tests.controller.telemetry.test_process import Rig as PlainRig

DROOP, TRIP, LOST = int(Reason.DROOP), int(Reason.TRIP_FREQUENCY), int(Reason.F_LOST)
RIDE, STARTING = int(Reason.RIDE_THROUGH), int(Reason.STARTING)
PRE_S, POST_S = 2.0, 3.0
OFFSET_NS = WALL_MS * 1_000_000


def scope(most: int = 30) -> Oscilloscope:
    return Oscilloscope(PRE_S, POST_S, most, PERIOD_NS)


def story(steps: int, *spans: tuple[int, int, int]) -> Any:
    """Steps 0 ... with a reason from one step to before another."""
    rows = records(0, steps)
    for first, last, bits in spans:
        rows["reasons"][first:last] |= bits
    return rows


def fed(rows: Any, piece: int = 7, to: Oscilloscope | None = None) -> list[Capture]:
    """All captures, and the one under way."""
    to = to or scope()
    found = [c for i in range(0, len(rows), piece) for c in to.feed(rows[i : i + piece])]
    return found + to.close()


# fmt: off
CASES = [
    # spans (from, to, reason)              trigger at step: first-last step of each      why
    ([],                                    [],                                          "a calm day"),
    ([(50, 60, DROOP)],                     ["frequency 50: 30-80"],                     "2 s before, 3 s after"),
    ([(5, 60, DROOP)],                      ["frequency 5: 0-35"],                       "the run began 0.5 s before"),
    ([(90, 99, DROOP)],                     ["frequency 90: 70-99 cut"],                 "the run ends inside"),
    ([(50, 55, DROOP), (70, 75, DROOP)],    ["frequency 50: 30-80"],                     "1.5 s apart: one event"),
    ([(30, 32, DROOP), (66, 68, DROOP)],    ["frequency 30: 10-60", "frequency 66: 46-96"],   "further apart: two"),
    ([(50, 99, TRIP)],                      ["trip 50: 30-80"],                          "it stands for minutes: once"),
    ([(50, 60, DROOP), (55, 60, RIDE)],     ["frequency 50: 30-80"],                     "one of both"),
    ([(50, 60, LOST)],                      ["fail_safe 50: 30-80"],                     "frequency lost"),
    ([(0, 20, LOST | STARTING)],            [],                                          "not come yet is not failed"),
]
# fmt: on


@pytest.mark.parametrize("piece", [1, 7, 100])
@pytest.mark.parametrize(("spans", "expected", "why"), CASES, ids=[c[-1] for c in CASES])
def test_what_is_captured(spans: list[tuple[int, int, int]], expected: list[str], why: str, piece: int) -> None:
    def shown(c: Capture) -> str:
        n = c.records["n"]
        return f"{c.trigger.name} {c.trigger.n}: {n[0]}-{n[-1]}{'' if c.complete else ' cut'}"

    assert [shown(c) for c in fed(story(100, *spans), piece)] == expected, why


def test_what_comes_meanwhile_is_named() -> None:
    (capture,) = fed(story(100, (50, 60, DROOP), (55, 60, RIDE)))
    assert [(a.name, a.n) for a in capture.also] == [("ride_through", 55)]


def test_a_reason_that_stood_before_we_came_is_no_event() -> None:
    assert fed(story(100, (0, 60, DROOP))[30:]) == []


def test_a_flapping_reason_is_captured_so_often_an_hour_and_the_rest_counted() -> None:
    spans = [(n, n + 5, DROOP) for n in range(100, 36000, 600)]  # each minute
    found = fed(story(36100, *spans, (35950, 35960, TRIP)), 1000, scope(most=3))
    assert [c.trigger.name for c in found] == ["frequency"] * 3 + ["trip"], "others have their own allowance"
    assert found[-1].passed_over == len(spans) - 3


BOUNDS = Bounds(pre_s=PRE_S, post_s=POST_S, most_per_hour=30, most_files=5, most_bytes=10**6)


def written(folder: Path, rows: Any) -> list[dict[str, Any]]:
    """The events' facts."""
    made = Scope(folder, BOUNDS)
    made.begin(info(), {})
    return [facts for _, facts in made.record(rows, OFFSET_NS) + made.close(OFFSET_NS)]


def test_the_file(tmp_path: Path) -> None:
    rows = story(100, (50, 60, DROOP))
    rows["m_f_hz"], rows["d_p_w"] = 49.9123456789, -1234.5
    (facts,) = written(tmp_path, rows)
    assert facts["file"] == "oscillography/20231114T221325.000000Z_frequency_n50.csv"  # 1 700 000 000 s + 5 s
    text = (tmp_path / Path(facts["file"]).name).read_bytes().decode("utf-8")
    lines = list(csv.DictReader(text.splitlines()))
    assert tuple(lines[0]) == HEADER
    assert (len(lines), facts["rows"], facts["complete"]) == (51, 51, True)
    assert [lines[i]["t_s"] for i in (0, 20, 50)] == ["-2.000000", "0.000000", "3.000000"]
    at = lines[20]
    assert (at["utc"], at["n"]) == ("2023-11-14T22:13:25.000000Z", "50")
    assert (at["f_hz"], at["p_inverter_w"], at["v1_v"]) == ("49.9123457", "-1234.5", ""), "nine digits; absent is empty"
    assert (at["state"], at["why"]) == (State.IN_SERVICE.name, "DROOP")
    assert "\r" not in text


def test_the_oldest_go_first_and_the_newest_stays(tmp_path: Path) -> None:
    files = [tmp_path / f"2023111{i}T000000.000000Z_trip_n1.csv" for i in range(8)]
    for file in files:
        file.write_text("x" * 100)
    keep_within(tmp_path, 5, 10**6, files[7])
    assert sorted(tmp_path.iterdir()) == files[3:]
    keep_within(tmp_path, 5, 250, files[7])
    assert sorted(tmp_path.iterdir()) == files[6:]
    keep_within(tmp_path, 5, 1, files[7])
    assert sorted(tmp_path.iterdir()) == files[7:]


def test_the_newest_stays_though_its_clock_was_not_set(tmp_path: Path) -> None:
    """A board without a clock battery boots in 1970: its captures sort before all others."""
    files = [tmp_path / f"{year}1114T000000.000000Z_trip_n1.csv" for year in (1970, 2023, 2024)]
    for file in files:
        file.write_text("x" * 100)
    keep_within(tmp_path, 2, 10**6, files[0])
    assert sorted(tmp_path.iterdir()) == [files[0], files[2]]


def test_a_disk_that_is_full_is_told_and_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr(scopefile, "write_whole", full)
    (facts,) = written(tmp_path, story(100, (50, 60, DROOP)))
    assert facts["file"] is None
    assert "the disk is full" in facts["error"]


# ---- in the telemetry process ----


class Rig(PlainRig):
    """With captures."""

    def start(self) -> None:
        outbox = Outbox(self.folder / "outbox.sqlite", "home")
        follower = RingFollower(self.folder / "ring", self.ring.open)
        made = Scope(self.folder / "scope", BOUNDS)
        self.telemetry = Telemetry(follower, self.journal, outbox, self.listener, 1000, True, self.folder, scope=made)

    def restart(self) -> None:
        killed(self.telemetry.outbox)
        self.start()

    def captures(self) -> list[dict[str, Any]]:
        bodies = [json.loads(row.body) for row in self.listener.rows if row.kind == "event"]
        return [b for b in bodies if b["event"] == "oscillography"]

    def push(self, reader: MemoryReader, rows: Any) -> None:
        for i in range(0, len(rows), 7):
            reader.push(rows[i : i + 7])
            self.turn()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


ROWS = story(120, (50, 60, DROOP))


@pytest.mark.parametrize("killed_at", [None, 30, 49, 51, 56, 79, 81, 100])
def test_an_event_names_the_file_whenever_telemetry_is_killed(rig: Rig, killed_at: int | None) -> None:
    reader = rig.ring.begin(7)
    rig.push(reader, ROWS[:killed_at])
    if killed_at is not None:
        rig.restart()
        rig.push(reader, ROWS[killed_at:])
    (event,) = rig.captures()
    assert (event["n"], event["rows"], event["complete"]) == (50, 51, True)
    (file,) = (rig.folder / "scope").iterdir()
    assert event["file"] == f"oscillography/{file.name}"
    assert len(file.read_text().splitlines()) == 52
    assert sorted(rig.journal.steps[7]) == list(range(120))


def test_a_core_that_dies_inside_leaves_what_there_is(rig: Rig) -> None:
    rig.push(rig.ring.begin(7), ROWS[:55])
    rig.push(rig.ring.begin(8), records(0, 20))
    (event,) = rig.captures()
    assert (event["epoch"], event["n"], event["rows"], event["complete"]) == (7, 50, 25, False)


def test_stopped_inside_it_is_written_once(rig: Rig) -> None:
    reader = rig.ring.begin(7)
    rig.push(reader, ROWS[:55])
    rig.telemetry.finish(rig.now_ms)
    rig.restart()
    rig.push(reader, ROWS[55:])
    (event,) = rig.captures()
    assert (event["rows"], event["complete"]) == (25, False)


def test_after_the_clock_was_set_a_capture_has_the_time_of_its_event(rig: Rig) -> None:
    """The run began an hour late; its ring says so for as long as it runs."""
    reader, hour_ns = rig.ring.begin(7), 3600 * 10**9
    for i in range(0, len(ROWS), 5):
        reader.push(ROWS[i : i + 5])
        rig.now_ms += 500
        up_ns = (i + 5) * PERIOD_NS
        rig.telemetry.turn(rig.now_ms, Reading(up_ns, OFFSET_NS + up_ns + (hour_ns if i >= 20 else 0), True))
    (event,) = rig.captures()
    assert event["t_ms"] == WALL_MS + 5_000 + 3_600_000
    (file,) = (rig.folder / "scope").iterdir()
    assert file.name == "20231114T231325.000000Z_frequency_n50.csv"
    at = next(line for line in csv.DictReader(file.read_text().splitlines()) if line["n"] == "50")
    assert at["utc"] == "2023-11-14T23:13:25.000000Z"
