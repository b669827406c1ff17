"""The map from the monotonic to the wall clock: when an epoch begins, what a time is worth. Clocks are arguments.

Times in seconds: `up` since boot, `wall` Unix. The run begins 100 s after boot, its ring says wall = 1000 + up.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from controller.epoch import PLAUSIBLE_NS, new_epoch
from controller.telemetry.wallclock import LATE, UNSYNCHRONIZED, WAITING, ClockMap, Reading, read_clock
from controller.telemetry.wire import Draft
from tests.controller.telemetry.makers import records

S = 1_000_000_000
WAIT_S = 600
INFO = {"epoch": 7, "wall_offset_ns": 1000 * S, "boot_id": "b"}
GOOD, BAD = True, False
Look = tuple[float, float, bool]

# fmt: off
LOOKS: list[tuple[list[Look], list[tuple[float, float, int, str]], str]] = [
    # looks: up, wall, synchronized            epochs: from, offset, number, clock     why
    ([(101, 1101, GOOD)],                      [(0, 1000, 7, "")],                     "all is well"),
    ([(101, 1101.9, GOOD)],                    [(0, 1000, 7, "")],                     "0.9 s is no step"),
    ([(101, 1101, GOOD), (102, 4703, GOOD)],   [(0, 1000, 7, ""),
                                                (102, 4601, 1, "")],                   "an hour ahead"),
    ([(101, 1101, GOOD), (4000, 1400, GOOD)],  [(0, 1000, 7, ""),
                                                (4000, -2600, 1, "")],                 "an hour back"),
    ([(101, 1101.6, GOOD), (102, 1103.2, GOOD)], [(0, 1000, 7, ""),
                                                (102, 1001.2, 1, "")],                 "small steps add up"),
    ([(101, 1101, GOOD), (102, 1102, BAD)],    [(0, 1000, 7, "")],                     "it was right; it keeps time"),
    ([(101, 1101, GOOD), (700, 9999, BAD)],    [(0, 1000, 7, ""),
                                                (700, 9299, 1, UNSYNCHRONIZED)],       "set by somebody who may err"),
    ([(101, 1101, BAD)],                       [(0, 1000, 7, WAITING)],                "just booted"),
    ([(101, 1101, BAD), (601, 1601, BAD)],     [(0, 1000, 7, UNSYNCHRONIZED)],         "nobody came in ten minutes"),
    ([(101, 9101, GOOD)],                      [(0, 9000, 7, LATE),
                                                (101, 9000, 1, "")],                   "set before we came"),
    ([(601, 1601, BAD)],                       [(0, 1000, 7, UNSYNCHRONIZED)],         "long after boot nobody waits"),
    ([(101, 1101, BAD), (130, 1130, GOOD)],    [(0, 1000, 7, "")],                     "it was right all the time"),
    ([(101, 1101, BAD), (130, 9130, GOOD)],    [(0, 9000, 7, LATE),
                                                (130, 9000, 1, "")],                   "both get its times"),
    ([(101, 1101, BAD), (110, 5110, BAD),
      (130, 9130, GOOD)],                      [(0, 9000, 7, LATE), (110, 9000, 1, LATE),
                                                (130, 9000, 2, "")],                   "two steps before it was right"),
    ([(101, 1101, BAD), (110, 9110, BAD),
      (130, 9130, GOOD)],                      [(0, 9000, 7, LATE),
                                                (110, 9000, 1, "")],                   "stepped first, said so later"),
    ([(101, 1101, BAD), (601, 1601, BAD),
      (700, 9700, GOOD)],                      [(0, 1000, 7, UNSYNCHRONIZED),
                                                (700, 9000, 1, "")],                   "too late for the old"),
    ([(601, 1601, BAD), (700, 1700, GOOD)],    [(0, 1000, 7, "")],                     "late, and right all along"),
]
# fmt: on


def looked(looks: list[Look], clock: ClockMap | None = None) -> ClockMap:
    found, numbers = clock or ClockMap.begin(INFO), count(1)
    for up_s, wall_s, synchronized in looks:
        reading = Reading(round(up_s * S), round(wall_s * S), synchronized)
        found.look(reading, WAIT_S * S, lambda _: next(numbers))
    return found


@pytest.mark.parametrize(("looks", "epochs", "why"), LOOKS, ids=[c[-1] for c in LOOKS])
def test_epochs(looks: list[Look], epochs: list[tuple[float, float, int, str]], why: str) -> None:
    found = [(s.from_ns / S, s.offset_ns / S, s.epoch, s.clock) for s in looked(looks).segments]
    assert found == epochs, why


@pytest.mark.parametrize(("looks", "epochs", "why"), LOOKS, ids=[c[-1] for c in LOOKS])
def test_time_never_runs_back_within_an_epoch(looks: list[Look], epochs: object, why: str) -> None:
    """Ten steps a second from 100 s on, stamped as they come or, held, when the waiting is over."""
    del epochs
    clock, numbers, at_s = ClockMap.begin(INFO), count(1), 100.0
    rows: list[tuple[int, Draft]] = []
    for up_s, wall_s, synchronized in [*looks, (10_000.0, 0.0, BAD)]:
        for segment, part in clock.split(steps(at_s, min(up_s, at_s + 50.0))):
            for t_ns in part["t_ns"].tolist():
                t_ms = (segment.offset_ns + t_ns) // 1_000_000
                rows.append((t_ns, clock.timed(Draft("live", "live", t_ms, {"epoch": segment.epoch, "t_ms": t_ms}))))
        at_s = up_s
        if up_s < 10_000.0:
            clock.look(Reading(round(up_s * S), round(wall_s * S), synchronized), WAIT_S * S, lambda _: next(numbers))
        if clock.newest.clock != WAITING:
            for _, draft in rows:
                if "boot_id" in draft.body:
                    clock.stamp(draft.body, draft.held_ns or 0)
    for epoch in {draft.body["epoch"] for _, draft in rows}:
        times = [draft.body["t_ms"] for _, draft in rows if draft.body["epoch"] == epoch]
        assert times == sorted(set(times)), why


def steps(begin_s: float, end_s: float) -> Any:
    rows = records(0, max(round(10 * (end_s - begin_s)), 1))
    rows["t_ns"] = round(begin_s * S) + rows["n"] * (S // 10)
    return rows


def test_records_are_cut_where_the_epoch_begins() -> None:
    clock = looked([(101, 1101, GOOD), (102, 4703, GOOD), (103, 1103, GOOD)])
    parts = [(s.epoch, int(p["t_ns"][0]) / S, len(p)) for s, p in clock.split(steps(101.5, 103.5))]
    assert parts == [(7, 101.5, 5), (1, 102.0, 10), (2, 103.0, 5)]


def body(held_s: float, boot_id: str = "b") -> dict[str, Any]:
    return {"epoch": 7, "t_ms": round(1000 * held_s), "t_first_ms": round(1000 * held_s) - 900, "boot_id": boot_id}


# fmt: off
STAMPS = [
    # looks                                    boot  t_ms moves by  clock            why
    ([(101, 1101, BAD), (130, 9130, GOOD)],    "b",  8_000_000,     LATE,            "from 1000 to 9000 s"),
    ([(101, 1101, BAD), (130, 1130.5, GOOD)],  "b",  0,             LATE,            "right all along: no shift"),
    ([(101, 1101, BAD), (601, 1601, BAD)],     "b",  0,             UNSYNCHRONIZED,  "nobody came"),
    ([(101, 1101, BAD), (130, 9130, GOOD)],    "a",  0,             UNSYNCHRONIZED,  "of a boot before"),
]
# fmt: on


@pytest.mark.parametrize(("looks", "boot", "shift_ms", "clock", "why"), STAMPS, ids=[c[-1] for c in STAMPS])
def test_a_held_row_is_stamped_once(looks: list[Look], boot: str, shift_ms: int, clock: str, why: str) -> None:
    found = body(1101.0, boot)
    looked(looks).stamp(found, held_ns=1000 * S)
    expected = {"epoch": 7, "t_ms": 1_101_000 + shift_ms, "t_first_ms": 1_100_100 + shift_ms, "clock": clock}
    assert found == expected, why


def test_kept_and_read_again_it_goes_on() -> None:
    clock = looked([(101, 1101, GOOD), (102, 4703, GOOD)])
    assert ClockMap.begin(INFO, clock.to_dict()) == clock
    assert ClockMap.begin(INFO | {"epoch": 8}, clock.to_dict()) == ClockMap.begin(INFO | {"epoch": 8}), "another run"


def test_a_clock_that_will_not_rest_does_not_fill_the_memory() -> None:
    clock = looked([(100 + i, (i % 2) * 9000 + 100 + i, GOOD) for i in range(1000)])
    assert len(clock.segments) <= 16


def test_the_hosts_clocks() -> None:
    first, second = read_clock(), read_clock()
    assert second.t_ns >= first.t_ns
    assert abs(second.offset_ns - first.offset_ns) < S // 10


def test_numbers_of_epochs_rise_with_time_and_before_the_clock_is_set_they_differ_all_the_same() -> None:
    now_ns = 1_800_000_000 * S
    assert new_epoch(now_ns) < new_epoch(now_ns + S) < 2**53
    in_1970 = [new_epoch(20 * S) for _ in range(10_000)]
    assert len(set(in_1970)) == 10_000
    assert max(in_1970) < new_epoch(PLAUSIBLE_NS)
