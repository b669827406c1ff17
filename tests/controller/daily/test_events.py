"""Events measured out of a stream are those of the whole run, to the last bit, however the blocks fall."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from controller.report.daily import events as module
from controller.report.daily.events import EventStream, Measured
from controller.report.daily.make import events_of
from controller.report.daily.quality import Quality
from controller.report.daily.stream import Block, DayStream, joined
from controller.response.measure import measure_events
from controller.response.run import prepare
from tests.controller.daily.maker import DAY, info, minutes, write
from tests.controller.response import synthetic

BEGIN_NS = int(DAY.timestamp()) * 10**9


def streamed(facts: dict[str, Any], records: NDArray[Any], length: int) -> list[Measured]:
    stream = EventStream(facts)
    found = [m for i in range(0, len(records), length) for m in stream.feed(Block(0, facts, records[i : i + length]))]
    return found + list(stream.close())


def plain(value: Any) -> str:
    """So that NaN equals NaN."""
    return str(asdict(value))


@pytest.fixture(scope="module")
def quarter() -> NDArray[Any]:
    """0 ... 15 min: an event from 10 to 11 min."""
    return joined([records for records, _ in minutes(0.25)])


@pytest.mark.parametrize("length", [777, 6000, 10**6])
def test_as_in_the_whole_run(quarter: NDArray[Any], length: int) -> None:
    (found,) = streamed(info(), quarter, length)
    (whole,) = measure_events(prepare(quarter, info()))
    same = ("event", "p_pre_w", "initiate", "deliver", "answer_formula_w", "answer_allowed_w", "answer_measured_w")
    for name in same:
        assert str(getattr(found.response, name)) == str(getattr(whole, name)), name
    for name in ("settle_s", "overshoot_pu", "energy_wh", "energy_ideal_wh", "noise_w", "offset_w"):
        assert getattr(found.response, name) == pytest.approx(getattr(whole, name), rel=1e-3, abs=1e-3), name
    assert not found.cut
    assert len(found.run.records) < 0.2 * len(quarter), "the window alone is kept"


def test_pencil(quarter: NDArray[Any]) -> None:
    """-0.25 Hz within 1 s: (0.25 +- 0.02 - 0.036) / (60 x 0.05) of 7 kW, 0.15 s late; the lag alone: 4.1 s to 90 %."""
    (found,) = streamed(info(), quarter, 6000)
    e = found.response
    assert (found.begin_ns - BEGIN_NS) / 1e9 == pytest.approx(600.2, abs=0.3)
    assert e.event.side == -1
    assert e.answer_formula_w == pytest.approx((0.25 - 0.036) / 3.0 * 7000.0, abs=60.0)
    assert e.p_pre_w == pytest.approx(-1400.0)
    assert (e.initiate.passed, e.deliver.passed) == (True, True)
    assert 4.0 < e.deliver.value_s < 6.5
    assert e.held == ()


def test_a_frequency_that_stays_away_is_measured_over_what_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 3000)  # one minute at the synthetic 20 ms
    plant = synthetic.Plant(synthetic.step_to(59.7, at_s=20.0), seconds=240.0)
    (found,) = streamed(synthetic.info(plant), synthetic.run(plant), 500)
    assert found.cut
    assert not found.response.event.ended
    assert found.response.initiate.passed
    assert found.response.deliver.passed
    assert len(found.run.records) <= 3500


def test_two_events_close_together_do_not_share_their_recovery() -> None:
    trace = synthetic.through({0: 60.0, 20: 60.0, 20.1: 59.8, 40: 59.8, 40.1: 60.0, 48: 60.0, 48.1: 60.2, 70: 60.2,
                               70.1: 60.0, 120: 60.0})  # fmt: skip
    plant = synthetic.Plant(trace, seconds=120.0)
    rows = synthetic.run(plant)
    found = streamed(synthetic.info(plant), rows, 500)
    whole = measure_events(prepare(rows, synthetic.info(plant)))
    assert [str(m.response.event) for m in found] == [str(w.event) for w in whole]
    assert [str(m.response.deliver) for m in found] == [str(w.deliver) for w in whole]
    assert np.allclose([m.response.energy_wh for m in found], [w.energy_wh for w in whole], rtol=1e-3)


@pytest.mark.parametrize(("minutes_before", "count", "why"), [
    (0, 1, "at 00:10"), (9, 1, "at 00:01"), (10.5, 0, "begins on the day before"),
])  # fmt: skip
def test_an_event_belongs_to_the_day_it_begins_on(tmp_path: Path, minutes_before: float, count: int, why: str) -> None:
    write(tmp_path / "j.v2gj", 0.25, DAY - timedelta(minutes=minutes_before))
    stream = DayStream([tmp_path / "j.v2gj"], BEGIN_NS)
    assert len(list(events_of(stream, Quality(BEGIN_NS)))) == count, why
