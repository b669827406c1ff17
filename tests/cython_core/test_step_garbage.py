"""Whatever arrives, a command stays finite, inside the ratings and inside what is known; and it moves by the ramp."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from cython_core.bulk import START_NS, stack
from cython_core.records import (
    NAN,
    DeviceState,
    Measurement,
    Mode,
    Order,
    Reason,
    Session,
    StepRecord,
    Stop,
    Wish,
    kinds,
)
from cython_core.step import Core
from tests.cython_core.unit import RATING, Unit, reasons, settings

SMALL = effort(max_examples=60)
VV = {"olrt_s": 1.0}
CORE = settings(volt_var=VV, freq_droop={"t_response_s": 0.2, "refresh_s": 0.01})

number = st.one_of(st.floats(), st.sampled_from([0.0, 0.5, 1.0, 59.0, 60.0, 62.0, 230.0, -5000.0, 5000.0, 1e300]))
moment = st.one_of(st.integers(-(1 << 40), 1 << 40), st.sampled_from([0, -START_NS, 1 << 55, -(1 << 55)]))
bits = st.integers(0, 4095)


def at(t_ns: int, offset: int) -> int:
    return 0 if offset == 0 else t_ns + offset


@st.composite
def garbage(draw: st.DrawFn, t_ns: int) -> dict[str, Any]:
    def words(record: type[Any]) -> list[Any]:
        """A number for every double, a time for every integer."""
        return [draw(number) if kind == "d" else at(t_ns, draw(moment)) for kind in kinds(record)]

    meter = replace(Measurement(*words(Measurement)), valid=draw(bits))
    status = draw(st.sampled_from([0, 1, 2, 3, 3, 3, 7, 19]))
    device = replace(
        DeviceState(*words(DeviceState)), valid=draw(bits), session=draw(st.integers(-1, 9)), status=status
    )
    order = Order(t_ns, draw(st.sampled_from([1, 1, 1, 0, 5])), draw(st.sampled_from([0, 0, 1, 2, 9])), draw(number))
    wish = replace(Wish(*words(Wish)), source=draw(st.integers(-2, 9)), seq=draw(st.integers(-9, 99)))
    return {"meter": meter, "device": device, "order": order, "wish": draw(st.sampled_from([None, wish]))}


def sane(record: StepRecord) -> None:
    p_w, q_var = record.p_cmd_w, record.q_cmd_var
    assert math.isfinite(p_w)
    assert math.isfinite(q_var)
    assert -RATING["p_charge_rated_w"] <= p_w <= RATING["p_rated_w"]
    assert abs(q_var) <= 0.44 * RATING["s_rated_va"] + 1e-9
    assert math.hypot(p_w, q_var) <= RATING["s_rated_va"] * (1 + 1e-12)
    assert record.mode in list(Mode)
    if record.mode == Mode.SILENT or record.o_permit == 0 or record.o_stop == Stop.EMERGENCY:
        assert (p_w, q_var) == (0.0, 0.0)
    if record.mode != Mode.SILENT:
        assert record.p_lo_w <= p_w <= record.p_hi_w


@SMALL
@given(data=st.data(), n=st.integers(1, 12))
def test_garbage_in_every_field(data: st.DataObject, n: int) -> None:
    core, records, t_ns = Core(CORE, 0.01), [], START_NS
    for _ in range(n):
        k = data.draw(st.sampled_from([1, 1, 1, 2, 50]))
        t_ns += k * 10_000_000
        record = core.step(t_ns, **data.draw(garbage(t_ns)), k=k)
        sane(record)
        records.append(record)
    raw = stack(records).tobytes()
    assert bytes(Core(CORE, 0.01).replay(raw)) == raw  # garbage replays to the same bits


# --- a plausible day, and no jump in it ---

PLAUSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "v_v": st.sampled_from([(230.0,), (253.0,), (NAN,), (400.0,)]),
    "soc": st.one_of(st.just(NAN), st.floats(0.0, 1.0)),
    "stop": st.sampled_from([Stop.RUN, Stop.RUN, Stop.RAMP]),
    "silence": st.sampled_from(["", "", "meter", "inverter", "meter inverter"]),
    "echoes": st.booleans(),
}
phase = st.fixed_dictionaries({}, optional=PLAUSIBLE)
day = st.lists(st.tuples(st.sampled_from([0.01, 0.1, 0.5, 1.2]), phase, st.none() | st.floats(-1e4, 1e4)), max_size=10)


def live(unit: Unit, seconds: float, inputs: dict[str, Any], wish_w: float | None) -> None:
    if wish_w is not None:
        unit.wish(wish_w)
    unit.advance(seconds, **inputs)


@SMALL
@given(day=day, device_w=st.sampled_from([0.0, 4000.0, -4000.0]), dwell_s=st.sampled_from([0.0, 0.3]))
def test_power_moves_by_the_ramp_only(day: list[Any], device_w: float, dwell_s: float) -> None:
    """Signals come and go, wishes turn, the battery fills, the unit stops: never more than 20 W in a step of 10 ms."""
    unit = Unit(limits={"reverse_dwell_s": dwell_s})
    unit.device_p_w = device_w
    unit.step()
    assert abs(unit.last.p_cmd_w - device_w) <= 20.0 + 1e-6
    for seconds, inputs, wish_w in day:
        live(unit, seconds, inputs, wish_w)
    assert unit.largest_step_w() <= 20.0 + 1e-6


@SMALL
@given(day=day, f_hz=st.lists(st.sampled_from([58.0, 59.9, 60.0, 60.5, NAN]), min_size=1, max_size=5))
def test_an_unknown_battery_is_never_discharged(day: list[Any], f_hz: list[float]) -> None:
    """Not by a wish, not by droop, not by a lost meter's safe power, not by a recovery."""
    unit = Unit(fail_safe={"safe_p_w": 2000.0, "lost_after_s": 1.0}, freq_droop={"t_response_s": 0.2})
    for i, (seconds, inputs, wish_w) in enumerate(day):
        live(unit, seconds, {**inputs, "soc": NAN, "f_hz": f_hz[i % len(f_hz)]}, wish_w)
    assert max(unit.powers(), default=0.0) <= 0.0


@SMALL
@given(day=day, cause=st.sampled_from([{"permit": 0}, {"stop": Stop.EMERGENCY}, {"session": Session.UNPLUGGED}]))
def test_what_acts_at_once_lets_go_by_the_ramp(day: list[Any], cause: dict[str, Any]) -> None:
    unit = Unit(wish_w=5000.0, volt_var=VV)
    unit.device_p_w = 5000.0
    unit.advance(0.5)
    assert unit.advance(0.02, **cause).p_cmd_w == 0.0
    unit.change(permit=1, stop=Stop.RUN, session=Session.READY)
    start = len(unit.records)
    for seconds, inputs, wish_w in day:
        live(unit, seconds, inputs, wish_w)
    apparent = any(reasons(r) & Reason.APPARENT_POWER for r in unit.records[start:])
    assert apparent or unit.largest_step_w(since=start) <= 20.0 + 1e-6


@pytest.mark.parametrize("name", ["p_max_discharge_w", "p_max_charge_w", "p_min_abs_w", "s_max_va", "p_w", "q_var"])
@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf, 1e308, -1e308, 0.0, -0.0, 5e-324])
def test_an_inverter_that_says_strange_things(name: str, value: float) -> None:
    unit = Unit(wish_w=3000.0, volt_var=VV)
    for f_hz in (60.0, 58.0, 62.0):
        unit.advance(0.3, f_hz=f_hz, v_v=(245.0,), said={name: value})
    for record in unit.records:
        sane(record)
