"""Grid events: two readings open one, five quiet seconds close it, and the chunking of the stream never matters."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from controller.response.detect import EventDetector, GridEvent, detect
from cython_core.bulk import STEP
from cython_core.settings import Settings

S = Settings()  # 60 Hz, dead band 36 mHz
IN, LOW, HIGH, NONE = 60.0, 59.9, 60.2, float("nan")


def records(f_hz: list[float], every_s: float = 1.0, repeats: int = 2) -> NDArray[Any]:
    """One reading each every_s, standing in `repeats` records."""
    rows = np.zeros(len(f_hz) * repeats, dtype=STEP)
    reading = np.arange(len(rows)) // repeats
    rows["n"], rows["m_valid"] = np.arange(len(rows)), 1
    rows["m_t_f_ns"] = 1_000_000_000 + (reading * every_s * 1e9).astype(np.int64)
    rows["m_f_hz"] = np.array(f_hz)[reading] if f_hz else []
    return rows


# fmt: off
CASES = [
    # readings, one a second, then the events: (side, first reading, end, extreme, ended), and why
    ([IN] * 9, [], "calm"),
    ([IN, 59.964, 59.964, 59.964, IN], [], "the edge is inside"),
    ([IN, LOW, IN, LOW, IN, IN], [], "single readings: a phase jump's ghost"),
    ([IN, LOW, HIGH, LOW, HIGH, IN], [], "never two on one side"),
    ([IN, LOW, 59.8, *[IN] * 6], [(-1, 1, 3, 59.8, True)], "two readings; starts at the first"),
    ([IN, LOW, LOW, *[IN] * 5], [(-1, 1, 2, LOW, False)], "4 s inside are not yet 5"),
    ([IN, LOW, LOW, IN, LOW, *[IN] * 6], [(-1, 1, 5, LOW, True)], "a dip inside the event belongs to it"),
    ([IN, LOW, LOW, HIGH, HIGH, *[IN] * 6], [(-1, 1, 3, LOW, True), (1, 3, 5, HIGH, True)], "crossing makes two"),
    ([IN, LOW, LOW, HIGH, LOW, *[IN] * 6], [(-1, 1, 5, LOW, True)], "one reading on the other side is none"),
    ([LOW, NONE, LOW, *[IN] * 6], [(-1, 0, 3, LOW, True)], "an absent reading neither opens nor closes"),
    ([IN, 20.0, 20.0, 99.0, 99.0, IN], [], "implausible is no reading"),
    ([], [], "no data"),
]
# fmt: on


@pytest.mark.parametrize(("f_hz", "expected", "why"), CASES, ids=[c[2] for c in CASES])
def test_events(f_hz: list[float], expected: list[tuple[int, int, int, float, bool]], why: str) -> None:
    events = detect(records(f_hz), S)  # two records a reading
    assert [(e.side, e.n_start // 2, e.n_end // 2, e.f_extreme_hz, e.ended) for e in events] == expected, why


def test_times_are_those_of_the_readings() -> None:
    (event,) = detect(records([IN, LOW, 59.8, *[IN] * 6]), S)
    assert (event.t_start_ns, event.t_end_ns, event.t_extreme_ns) == (2_000_000_000, 4_000_000_000, 3_000_000_000)
    assert event.duration_s == 2.0


def test_a_reading_repeated_by_the_core_is_one_reading() -> None:
    assert detect(records([IN, LOW, IN, IN], repeats=10), S) == []


def test_an_invalid_bit_hides_the_value() -> None:
    rows = records([IN, LOW, LOW, LOW])
    rows["m_valid"] = 0
    assert detect(rows, S) == []


readings = st.lists(st.sampled_from([IN, LOW, 59.7, HIGH, 60.4, NONE]), max_size=60)


@given(readings, st.lists(st.integers(0, 180), max_size=12), st.integers(1, 3))
def test_chunking_never_matters(f_hz: list[float], cuts: list[int], repeats: int) -> None:
    rows = records(f_hz, repeats=repeats)
    detector, streamed = EventDetector(S), list[GridEvent]()
    for chunk in np.split(rows, sorted(min(c, len(rows)) for c in cuts)):
        streamed += detector.feed(chunk)
    assert streamed + detector.close() == detect(rows, S)


@given(readings)
def test_events_are_ordered_and_apart(f_hz: list[float]) -> None:
    events = detect(records(f_hz), S)
    for a, b in pairwise(events):
        assert a.t_start_ns < a.t_end_ns <= b.t_start_ns
        assert a.ended
