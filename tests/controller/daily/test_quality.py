"""What is counted of a day: numbers by pencil. Ten steps a second (makers), from midnight on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from controller.report.daily.quality import MISSING, Histogram, Quality
from controller.report.daily.reconcile import reconcile
from controller.report.daily.stored import Registers, Stored
from controller.report.daily.stream import DAY_NS, Block
from controller.telemetry.energy import Counters
from controller.telemetry.gaps import STOPPED
from cython_core.records import Reason, State
from tests.controller.telemetry.makers import PERIOD_NS, info, records

BEGIN_NS = 1_767_225_600 * 10**9  # 2026-01-01
HOUR = 36_000  # steps
NAN = float("nan")


def block(first: int, count: int, run: int = 0, **columns: Any) -> Block:
    """Step n is n tenths of a second after midnight."""
    facts = {**info(), "wall_offset_ns": BEGIN_NS, "meter_location": "inverter"}
    return Block(run, facts, records(first, count, **columns))


def counted(*blocks: Block, span_ms: tuple[int, int] = (0, 0)) -> Quality:
    quality = Quality(BEGIN_NS, span_ms)
    for one in blocks:
        quality.add(one)
    quality.close()
    return quality


def test_hours_recorded_skipped_and_missing() -> None:
    q = counted(block(0, HOUR), block(HOUR + 600, HOUR), block(3 * HOUR, HOUR, run=1))
    assert q.recorded_s == pytest.approx(3 * 3600.0)
    spans = [((g.begin_ms - BEGIN_NS // 10**6) / 1e3, g.seconds, g.cause) for g in q.gaps]
    assert [s[2] for s in spans] == [MISSING, STOPPED, STOPPED]
    assert spans[0][:2] == pytest.approx((3599.9, 60.0)), "one minute inside the run"
    assert spans[1][:2] == pytest.approx((2 * 3600 + 59.9, 3540.0)), "until the next run began"
    assert spans[2][:2] == pytest.approx((4 * 3600 - 0.1, 20 * 3600 + 0.1)), "the rest of the day"


def test_skipped_grid_points_are_recorded_time() -> None:
    columns: dict[str, Any] = {"k": [1] * 9 + [11]}
    q = counted(block(0, 10, **columns))
    assert (q.skipped, q.steps) == (10, 10)
    assert q.recorded_s == pytest.approx(2.0)


def test_only_the_day_counts() -> None:
    q = counted(block(-50, 100), block(DAY_NS // PERIOD_NS - 50, 100))
    assert q.steps == 100


DROOP = int(Reason.DROOP)


def test_states_reasons_and_latches() -> None:
    rows: dict[str, list[Any]] = {
        "reasons": [0] * 10 + [DROOP] * 30 + [0] * 10 + [DROOP] * 20 + [0] * 30,
        "p_pre_w": [NAN] * 10 + [100.0] * 30 + [NAN] * 10 + [100.0] * 20 + [NAN] * 30,
        "state": [int(State.IN_SERVICE)] * 80 + [int(State.DEGRADED)] * 20,
    }
    first: dict[str, Any] = {name: values[:25] for name, values in rows.items()}
    second: dict[str, Any] = {name: values[25:] for name, values in rows.items()}
    q = counted(block(0, 25, **first), block(25, 75, **second))
    assert q.latches == 2, "one goes on over two blocks"
    assert q.reason_s["DROOP"] == pytest.approx(5.0)
    assert q.state_s == pytest.approx({"IN_SERVICE": 8.0, "DEGRADED": 2.0})


def test_energy_of_unit_and_meter_are_their_own() -> None:
    q = counted(block(0, HOUR, m_p_w=1000.0), block(HOUR, HOUR, m_p_w=NAN, d_p_w=-500.0))
    assert (q.unit.export_wh, q.unit.import_wh) == pytest.approx((1000.0, 500.0))
    assert (q.meter.export_wh, q.meter.unknown_s) == pytest.approx((1000.0, 3600.0))


def test_the_span_of_the_registers_alone_is_compared() -> None:
    begin_ms = BEGIN_NS // 10**6
    q = counted(block(0, 2 * HOUR, m_p_w=1000.0), span_ms=(begin_ms + 1_800_000, begin_ms + 5_400_000))
    assert q.meter_in_span.export_wh == pytest.approx(1000.0)


def test_percentiles_are_within_five_percent() -> None:
    values = np.random.default_rng(1).lognormal(3.0, 1.0, 100_000)
    histogram = Histogram()
    for part in np.array_split(values, 7):
        histogram.add(part)
    for percent in (50, 95, 99):
        exact = np.percentile(values, percent)
        assert exact * 0.999 <= histogram.percentile(percent) <= exact * 1.05
    assert histogram.most == values.max()
    assert math.isnan(Histogram().percentile(50))


def test_what_was_never_measured_has_no_age() -> None:
    q = counted(block(0, 100, age_f_ns=5_000_000, age_p_ns=0x3FFFFFFFFFFFFFFF))
    assert q.ages["f"].percentile(50) == pytest.approx(5.0, rel=0.05)
    assert math.isnan(q.ages["p"].percentile(50))
    assert q.slices.age_f_most[0] == 5.0


# fmt: off
REGISTERS = [
    # steps Wh  unknown s  register Wh  falls  as expected  pct     why
    (5000.0,    0.0,       5000.0,      0,     True,        0.0,    "the same"),
    (5090.0,    0.0,       5000.0,      0,     True,        1.8,    "inside 2 %"),
    (5500.0,    0.0,       5000.0,      0,     False,       10.0,   "500 Wh; 100 + 111 + 20 need no explanation"),
    (4500.0,    3600.0,    5000.0,      0,     True,        -10.0,  "an hour of ten without power: 500 Wh more"),
    (0.0,       0.0,       0.0,         0,     True,        NAN,    "nothing flowed"),
    (300.0,     0.0,       0.0,         0,     False,       NAN,    "power, but no register moved: wrong sign?"),
]
# fmt: on


@pytest.mark.parametrize(
    ("steps_wh", "unknown_s", "register_wh", "falls", "expected", "pct", "why"),
    REGISTERS,
    ids=[r[-1] for r in REGISTERS],
)
def test_beside_the_registers(
    steps_wh: float, unknown_s: float, register_wh: float, falls: int, expected: bool, pct: float, why: str
) -> None:
    stored = Stored(span_ms=(0, 36_000_000), registers={"import": Registers(register_wh, falls)})
    (found,) = reconcile(stored, Counters(import_wh=steps_wh, unknown_s=unknown_s))
    assert found.as_expected == expected, why
    assert found.difference_pct == pytest.approx(pct, nan_ok=True)


def test_no_register_no_comparison() -> None:
    assert reconcile(Stored(), Counters(1.0, 2.0)) == []
