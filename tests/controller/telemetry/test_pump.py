"""What is sent when. Milliseconds are arguments; `sent` are outbox numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.telemetry.outbox import Outbox
from controller.telemetry.pump import Pump, silence_ms
from tests.controller.telemetry.makers import event, live


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite", "home")


def due(pump: Pump, now_ms: int) -> list[int]:
    return [row.seq for row in pump.due(now_ms)]


def test_a_fresh_row_goes_at_once_and_once(box: Outbox) -> None:
    pump = Pump(box)
    pump.connected(0)
    box.add([live(1), event(1)], now_ms=0)
    assert due(pump, 0) == [2, 1]  # the event first
    assert due(pump, 100) == []


def test_a_silent_row_is_sent_again_with_growing_pauses(box: Outbox) -> None:
    pump = Pump(box)
    pump.connected(0)
    box.add([live(1)], now_ms=0)
    times = [t for t in range(0, 200_000, 500) if due(pump, t)]
    assert times == [0, 4_000, 12_000, 28_000, 60_000, 124_000, 188_000]  # pauses of 4, 8, 16, 32, 64, 64 s


def test_an_acknowledged_row_is_not_sent_again(box: Outbox) -> None:
    pump = Pump(box)
    pump.connected(0)
    box.add([live(1), live(2)], now_ms=0)
    due(pump, 0)
    assert pump.acknowledged(box.id, [(1, 1)], 1_000) == 1
    assert due(pump, 5_000) == [2]


def test_another_outbox_is_not_listened_to(box: Outbox) -> None:
    pump = Pump(box)
    box.add([live(1)], now_ms=0)
    assert pump.acknowledged("another", [(1, 1)], 0) == 0
    assert box.counters().waiting == 1


def test_backlog_comes_events_first_then_newest_first_at_its_rate(box: Outbox) -> None:
    pump = Pump(box, rate_per_s=10.0)
    box.add([live(i) for i in range(30)] + [event(0)], now_ms=0)
    pump.connected(100_000)
    assert due(pump, 100_000) == [31, 30, 29, 28, 27, 26, 25, 24, 23, 22]  # a second's worth
    assert due(pump, 100_100) == [21]  # then 10 a second
    assert due(pump, 100_150) == []
    assert due(pump, 100_200) == [20]


def test_a_long_backlog_never_holds_up_a_fresh_row(box: Outbox) -> None:
    pump = Pump(box, rate_per_s=10.0, window=5)
    box.add([live(i) for i in range(1000)], now_ms=0)
    pump.connected(100_000)
    assert len(due(pump, 100_000)) == 5  # the window: no more until somebody answers
    box.add([live(2000)], now_ms=100_100)
    assert due(pump, 100_100) == [1001]


def test_with_nobody_answering_the_backlog_is_only_probed(box: Outbox) -> None:
    pump = Pump(box)
    box.add([live(i) for i in range(5000)], now_ms=0)
    pump.connected(1_000_000)
    first = sum(len(due(pump, 1_000_000 + t)) for t in range(0, 10_000, 100))
    later = sum(len(due(pump, 1_010_100 + t)) for t in range(0, 60_000, 100))
    assert first <= 600  # ten seconds of hope, at the rate
    assert later == 12  # then one row every 5 s
    pump.acknowledged(box.id, [(5000, 5000)], 1_071_000)
    assert len(due(pump, 1_071_000)) == 50  # somebody is back


def test_after_a_reconnect_the_client_repeats_what_was_under_way_not_we(box: Outbox) -> None:
    pump = Pump(box)
    pump.connected(0)
    box.add([live(1)], now_ms=0)
    due(pump, 0)
    pump.connected(3_900)
    assert due(pump, 4_100) == []
    assert due(pump, 7_900) == [1]


def test_a_restarted_process_sends_everything_again(box: Outbox) -> None:
    box.add([live(1), live(2)], now_ms=0)
    first = Pump(box)
    first.connected(0)
    assert due(first, 0) == [1, 2]
    second = Pump(box)
    second.connected(60_000)
    assert due(second, 60_000) == [2, 1]


def test_memory_of_what_was_sent_is_bounded(box: Outbox) -> None:
    pump = Pump(box)
    pump.connected(0)
    for second in range(2_500):
        box.add([live(second)], now_ms=1000 * second)
        pump.due(1000 * second)
    assert len(pump._sent) <= 2_000


def test_pauses() -> None:
    assert [silence_ms(4_000, n) for n in (1, 2, 3, 4, 5, 6, 50)] == [
        4_000,
        8_000,
        16_000,
        32_000,
        64_000,
        64_000,
        64_000,
    ]
