"""Alarms: a line when a bit comes and when it goes, each code at most once a minute. Time is an argument."""

from __future__ import annotations

from controller.alarms import CODES, Alarms
from cython_core.records import Reason

ROWS = [(1, "V2G-ONE", "the first"), (4, "V2G-TWO", "the second")]


def lines(*steps: tuple[int, float]) -> list[str]:
    """What is said to these (reasons, now_s)."""
    said: list[str] = []
    alarms = Alarms(ROWS, lambda level, text: said.append(f"{level} {text}"))
    for reasons, now_s in steps:
        alarms.update(reasons, now_s)
    return said


def test_a_change_is_said_once() -> None:
    assert lines((1, 0.0), (1, 0.2), (0, 0.4)) == ["WARNING V2G-ONE the first", "INFO V2G-ONE over"]


def test_each_alarm_has_its_own_line_and_ordinary_bits_have_none() -> None:
    assert lines((1 | 2 | 4, 0.0)) == ["WARNING V2G-ONE the first", "WARNING V2G-TWO the second"]


def test_what_flickers_is_counted_for_a_minute() -> None:
    flicker = [(i % 2, 1.0 + i) for i in range(7)]  # comes at 2, 4 and 6 s; gone at 7 s
    assert lines(*flicker, (1, 61.9), (0, 61.95), (1, 62.0), (0, 100.0), (1, 122.0)) == [
        "WARNING V2G-ONE the first",
        "INFO V2G-ONE over",
        "WARNING V2G-ONE the first (and 3 times in between)",
        "INFO V2G-ONE over",
        "WARNING V2G-ONE the first",
    ]


def test_every_code_belongs_to_a_bit_of_its_own() -> None:
    assert set(CODES) <= {reason.name for reason in Reason}
    assert len(set(CODES.values())) == len(CODES)
