"""The gap report: rows by hand, gaps by pencil. Ten steps a second, a frame of ten steps each second.

A row is drawn in one word. Frame s of run r carries the steps 10 s ... 10 s + 9, from second s + 0.0 to s + 0.9 of its
run's clock; a run begins at a second of the day, its base.
"""

from __future__ import annotations

from typing import Any

import pytest

from controller.telemetry.gaps import DROPPED, LOST, MISSING, STOPPED, Gap, find_gaps
from controller.telemetry.wire import Arrival

Frames = list[Arrival]


def frame(s: int, seq: int, run: int = 1, base_s: float = 0.0, dropped: int = 0, epoch: int = 0) -> Arrival:
    first_ms = round(1000 * (base_s + s))
    body = {
        "run": run,
        "n_first": 10 * s,
        "n_last": 10 * s + 9,
        "t_first_ms": first_ms,
        "telemetry": {"dropped": dropped},
    }
    return Arrival("home", "live", epoch or run, first_ms + 900, "live", "box", seq, 0, body)


def frames(*seconds: int, seq: int = 1, **of_run: Any) -> Frames:
    """Numbered as the outbox does, the missing ones too."""
    return [frame(s, seq + s, **of_run) for s in seconds]


def said(name: str, run: int, t_s: float, **facts: Any) -> Arrival:
    body = {"event": name, "run": run, **facts}
    return Arrival("home", "event", run, round(1000 * t_s), name, "box", 9000 + run, 0, body)


START = [said("start", 1, 0, boot_id="b"), said("start", 2, 20, boot_id="b")]
REBOOT = [said("start", 1, 0, boot_id="b"), said("start", 2, 20, boot_id="c")]
ENDED = [*START, said("end", 1, 9.9, n=99)]
LOST_ALL = [*START, said("lost", 1, 5, n_first=30, n_last=49)]
LOST_HALF = [*START, said("lost", 1, 5, n_first=40, n_last=49)]

WHOLE = frames(*range(10))
HOLE = frames(0, 1, 2, 5, 6, 7, 8, 9)
FULL = [*frames(0, 1, 2, 5, 6, 7, 8), frame(9, 10, dropped=2)]  # the outbox, after the hole
FULL_BEFORE = [frame(0, 1), *(frame(s, s + 1, dropped=2) for s in (1, 4, 5, 6, 7, 8, 9))]
HEADLESS = frames(3, 4, 5, 6, 7, 8, 9)
LATER = frames(*range(5), base_s=5.0)
NEXT = frames(*range(10), seq=100, run=2, base_s=20.0)
TWO = [*WHOLE, *NEXT]
NO_TAIL = [*frames(*range(8)), *NEXT]
OVERLAP = [*WHOLE, *frames(*range(10), seq=100, run=2, base_s=4.0)]
BACK = [*frames(*range(5)), *(frame(s, s + 1, base_s=-3600, epoch=7) for s in range(5, 10))]
AHEAD = [*frames(*range(3)), *(frame(s, s + 1, base_s=3600, epoch=7) for s in range(5, 10))]
BY_STEP = (3602.9, 3605.0, MISSING, 20)

# fmt: off
CASES: list[tuple[Frames, list[Arrival], float, float, list[tuple[float, float, str, int | None]], str]] = [
    # live        events      from    to      gaps: begin s, end s, cause, steps                     why
    (WHOLE,       START,      0,      9.9,    [],                                                    "whole"),
    (HOLE,        START,      0,      9.9,    [(2.9, 5.0, MISSING, 20)],                             "two frames"),
    (HOLE,        START,      4,      9.9,    [(4.0, 5.0, MISSING, 20)],                             "cut"),
    (HOLE,        START,      6,      9.9,    [],                                                    "outside"),
    (HOLE,        LOST_ALL,   0,      9.9,    [(2.9, 5.0, LOST, 20)],                                "overflow"),
    (HOLE,        LOST_HALF,  0,      9.9,    [(2.9, 3.95, MISSING, 10), (3.95, 5.0, LOST, 10)],     "half of it"),
    (FULL,        START,      0,      9.9,    [(2.9, 5.0, DROPPED, 20)],                             "said later"),
    (FULL_BEFORE, START,      0,      9.9,    [(1.9, 4.0, MISSING, 20)],                             "said before"),
    (HEADLESS,    START,      0,      9.9,    [(0.0, 3.0, MISSING, 30)],                             "no beginning"),
    (TWO,         ENDED,      0,      29.9,   [(9.9, 20.0, STOPPED, None)],                          "between runs"),
    (TWO,         REBOOT,     0,      29.9,   [(9.9, 20.0, STOPPED, None)],                          "host booted"),
    (TWO,         START,      0,      29.9,   [(9.9, 20.0, LOST, None)],                             "who knows"),
    (NO_TAIL,     ENDED,      0,      29.9,   [(7.9, 9.9, MISSING, 20), (9.9, 20.0, STOPPED, None)], "the last, too"),
    (WHOLE,       ENDED,      0,      15.0,   [(9.9, 15.0, STOPPED, None)],                          "still stopped"),
    (WHOLE,       START,      0,      15.0,   [(9.9, 15.0, MISSING, None)],                          "still silent"),
    (LATER,       START,      0,      9.9,    [(0.0, 5.0, STOPPED, None)],                           "first run"),
    ([],          START,      0,      15.0,   [(0.0, 15.0, MISSING, None)],                          "nothing at all"),
    (BACK,        START,      0,      4.9,    [],                                                    "an hour back"),
    (AHEAD,       START,      0,      3609.9, [BY_STEP],                                             "an hour ahead"),
    (OVERLAP,     ENDED,      0,      13.9,   [(4.0, 4.0, STOPPED, None)],                           "set back"),
]
# fmt: on


@pytest.mark.parametrize(("live", "events", "from_s", "to_s", "expected", "why"), CASES, ids=[c[-1] for c in CASES])
def test_gaps(
    live: Frames, events: list[Arrival], from_s: float, to_s: float, expected: list[tuple[Any, ...]], why: str
) -> None:
    shuffled = live[::2] + live[1::2]  # a store has no order
    found = find_gaps(shuffled, events, round(1000 * from_s), round(1000 * to_s))
    assert [(g.begin_ms / 1000, g.end_ms / 1000, g.cause, g.steps) for g in found] == expected, why


def test_the_epoch_is_the_one_whose_clock_tells_the_time() -> None:
    assert find_gaps(AHEAD, START, 0, 3_609_900) == [Gap(3_602_900, 3_605_000, MISSING, 7, 20)]
