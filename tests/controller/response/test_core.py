"""The real core closed over a small plant, in virtual time: what it records is measured and judged as right.

The plant: a meter that refreshes every 100 ms, an inverter 0.15 s late with a lag of 0.3 s. Nothing of drivers/sim.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from numpy.typing import NDArray

from controller.response.judge import judge
from cython_core.bulk import stack
from cython_core.records import DeviceState, DeviceStatus, DeviceValid, Measurement, MeasurementValid, Session
from cython_core.settings import Settings
from cython_core.step import Core
from tests.controller.response.synthetic import GB_LIKE, WALL_OFFSET_NS, Trace, frames

PERIOD_NS, METER_NS = 20_000_000, 100_000_000
ALL = int(MeasurementValid.F | MeasurementValid.V1 | MeasurementValid.P)
DEVICE = int(DeviceValid.P | DeviceValid.SOC | DeviceValid.SESSION | DeviceValid.STATUS)
RUNNING = int(DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
GROUPS = {"rating": {"p_rated_w": 7000.0}, "default_wish": {"charge_w": 1400.0}}


def play(f_of_t: Trace, seconds: float, gain: float = 1.0, soc_pu: float = 0.55) -> NDArray[Any]:
    """Run the core; gain: what the inverter makes of a change from -1400 W."""
    core = Core(Settings.from_mapping(GROUPS), PERIOD_NS / 1e9)
    records, commands, power_w = [], deque([0.0] * 8), 0.0
    meter = Measurement()
    for i in range(round(seconds * 1e9 / PERIOD_NS)):
        t_ns = 10**12 + i * PERIOD_NS
        wanted_w = commands.popleft()
        power_w += (PERIOD_NS / 1e9 / 0.3) * (-1400.0 + gain * (wanted_w + 1400.0) - power_w)
        if (t_ns - 10**12) % METER_NS == 0:
            f_hz = f_of_t(i * PERIOD_NS / 1e9)
            meter = Measurement(t_ns, t_ns, t_ns, ALL, f_hz=f_hz, v1_v=240.0, p_w=power_w)
        device = DeviceState(t_ns, t_ns, DEVICE, p_w=power_w, soc_pu=soc_pu, session=Session.READY, status=RUNNING)
        record = core.step(t_ns, meter, device)
        commands.append(record.p_cmd_w)
        records.append(record)
    return stack(records)


def info() -> dict[str, Any]:
    return {"settings": GROUPS, "period_ns": PERIOD_NS, "wall_offset_ns": WALL_OFFSET_NS}


def test_the_real_core_passes() -> None:
    rows = play(GB_LIKE, 120.0)
    v = judge(rows, info(), frames(rows))
    assert v.passed, v.summary
    assert len(v.measured.events) == 1
    assert [c.name for c in v.not_judged] == ["Direction, droop, dead band: over-frequency"]
    assert v.measured.formula.answering > 1000
    assert v.measured.lag.compared > 5000


def test_an_inverter_that_does_half_fails() -> None:
    rows = play(GB_LIKE, 120.0, gain=0.5)
    v = judge(rows, info(), frames(rows))
    assert {c.name for c in v.failed} == {"Droop, under-frequency", "Time to deliver"}


def test_a_full_battery_cannot_answer_over_frequency_and_the_verdict_says_so() -> None:
    rows = play(lambda t: 60.5 if t > 20.0 else 60.0, 60.0, soc_pu=0.96)
    v = judge(rows, info(), frames(rows))
    (event,) = v.measured.events
    assert event.answer_formula_w == pytest.approx(-0.464 / 3.0 * 7000.0, abs=0.1)
    assert event.answer_allowed_w == 0.0
    assert event.initiate.passed is None
    assert "SOC_LIMIT" in {h.reason for h in event.held}
