"""A core that starts a moment after another one ended: what it takes over of trips and of the way back into service.

Rule     product: a restart is no way around a delay. Remaining delay and ramp go on from the last record; time that
         nobody watched does not count; a start of which nothing is known waits for the whole delay.
Pencil   60 Hz, delay 60 s, ramp 100 s (1 % of 10 kW a second), steps of 100 ms. The restart takes 2 s.
"""

from __future__ import annotations

import struct
from dataclasses import astuple
from typing import Any

import pytest

from cython_core.records import DeviceStatus, MeasurementValid, Mode, Reason, State, StepRecord, Trip, kinds
from cython_core.step import Core
from tests.cython_core.unit import Unit, reasons, settings

ENTER = {"owner": "controller", "delay_s": 60.0, "ramp_s": 100.0}
OURS: dict[str, dict[str, Any]] = {
    "enter_service": ENTER,
    "voltage_trip": {"owner": "controller"},
    "limits": {"ramp_pu_s": 10.0},
}
PERIOD_S, GONE_S = 0.1, 2.0
OFF = DeviceStatus.CONNECTED  # not running


def entering(seconds: float) -> Unit:
    """So long after the criteria were met first."""
    unit = Unit(PERIOD_S, wish_w=4000.0, **OURS)
    unit.advance(seconds)
    return unit


def tripped(seconds: float, v_v: float = 230.0) -> Unit:
    """In service, tripped by 0.4 pu for 3 s, and so long back at this voltage."""
    unit = entering(250.0)
    unit.advance(3.0, v_v=(0.4 * 230.0,))
    unit.advance(seconds, v_v=(v_v,))
    return unit


def starting() -> Unit:
    """The inverter has not answered yet: nothing of the delay has been counted."""
    unit = Unit(PERIOD_S, wish_w=4000.0, **OURS)
    unit.advance(0.5, silence="inverter")
    return unit


def changed(unit: Unit, **changes: Any) -> Unit:
    """The same unit a second later, with these inputs."""
    unit.advance(1.0, **changes)
    return unit


def raw(record: StepRecord) -> bytes:
    return struct.pack("<" + kinds(StepRecord), *astuple(record))


def restarted(before: Unit, **groups: Any) -> Unit:
    """A new core, GONE_S after the last step of the other, on the same grid and inverter; a wish is there again."""
    unit = Unit(PERIOD_S, **(OURS | groups))
    unit.t_ns = before.t_ns + round(GONE_S * 1e9)
    unit.device_p_w = before.device_p_w
    unit.v_v = before.v_v
    unit.core.resume(raw(before.last), unit.t_ns)
    unit.wish(4000.0)
    return unit


def seconds_until(unit: Unit, state: State, most_s: float = 400.0) -> float:
    start_s = unit.t_s
    while unit.last.state != state:
        assert unit.t_s - start_s < most_s, f"still {State(unit.last.state).name}"
        unit.step()
    return unit.t_s - start_s


# fmt: off
LEFT = [
    # before                      delay left, s  why
    (entering(20.0),              40.0,          "60 s less the 20 s that were watched"),
    (entering(59.0),              1.0,           "the last second is waited for too"),
    (tripped(10.0),               50.0,          "60 s less 10 s after the trip"),
    (tripped(0.0, v_v=0.85*230),  60.0,          "the criteria were not met: all of it, from the first good step on"),
    (starting(),                  60.0,          "it was still starting: none of the delay had begun"),
    (changed(tripped(10.0), status=OFF), 60.0,   "the inverter tripped with us: its fault ended the delay"),
    (changed(entering(250.0), permit=0), 60.0,   "without a permit there is no delay: it begins with the permit"),
]
# fmt: on


@pytest.mark.parametrize(("before", "left_s", "why"), LEFT, ids=[row[-1] for row in LEFT])
def test_the_delay_goes_on_with_what_was_left(before: Unit, left_s: float, why: str) -> None:
    unit = restarted(before)
    unit.v_v = (230.0,)
    unit.step()
    assert seconds_until(unit, State.ENTERING) == pytest.approx(left_s, abs=2 * PERIOD_S), why
    assert all(r.p_cmd_w == 0.0 for r in unit.records[:-1])


def test_a_trip_is_still_known_by_its_name() -> None:
    unit = restarted(tripped(10.0))
    unit.advance(1.0)
    assert unit.last.state == State.TRIPPED
    assert unit.last.trip == Trip.UV2
    assert Reason.TRIP_VOLTAGE in reasons(unit.last)
    assert unit.last.mode == Mode.STOP


def test_the_ramp_goes_on_where_it_was() -> None:
    before = entering(60.0 + 20.0)
    assert before.last.p_cmd_w == pytest.approx(2000.0, abs=20.0)
    unit = restarted(before)
    unit.advance(1.0)
    assert unit.last.p_cmd_w == pytest.approx(2100.0, abs=20.0)  # 1 % a second
    assert unit.last.state == State.ENTERING


def test_the_ramp_goes_on_whatever_else_held_power_back() -> None:
    """Voltage is stale for 2 s in the ramp: no export, and yet the ramp is not over."""
    before = entering(60.0 + 20.0)
    before.advance(2.0, meter_hidden=MeasurementValid.V1)
    assert (before.last.state, before.last.p_cmd_w) == (State.DEGRADED, 0.0)
    unit = restarted(before)
    unit.advance(1.0)
    assert unit.last.state == State.ENTERING
    assert unit.last.p_cmd_w == pytest.approx(2300.0, abs=20.0)  # 20 + 2 + 1 s of it


@pytest.mark.parametrize("f_hz", [60.5, 59.5])
def test_droop_answers_an_event_once_whoever_began_it(f_hz: float) -> None:
    """4 kW of wish and 1547 W of droop before and after: what droop gives is no new base."""
    before = entering(500.0)
    p_w = before.advance(60.0, f_hz=f_hz).p_cmd_w
    assert abs(p_w - 4000.0) == pytest.approx(1546.7, abs=1.0)
    unit = restarted(before)
    unit.f_hz = f_hz
    assert unit.step().p_cmd_w == pytest.approx(p_w, abs=100.0)
    assert unit.advance(60.0).p_cmd_w == pytest.approx(p_w, abs=2.0)
    assert unit.advance(60.0, f_hz=60.0).p_cmd_w == pytest.approx(4000.0)


def test_in_service_it_goes_on_without_a_step() -> None:
    before = entering(250.0)
    unit = restarted(before)
    unit.step()
    assert (unit.last.state, unit.last.p_cmd_w) == (State.IN_SERVICE, 4000.0)


def test_it_waits_for_an_inverter_that_is_not_there_yet() -> None:
    unit = restarted(entering(250.0))
    unit.advance(3.0, silence="inverter")
    assert (unit.last.state, unit.last.mode) == (State.STARTING, Mode.SILENT)
    unit.step()
    assert unit.last.state == State.IN_SERVICE


# fmt: off
ANEW = [
    # what                                           why
    ({"status": DeviceStatus.CONNECTED},             "bumpless only if in service and running"),
    ({"permit": 0},                                  "a permit that is gone is a way out of service"),
]
# fmt: on


@pytest.mark.parametrize(("changes", "why"), ANEW, ids=[row[-1] for row in ANEW])
def test_what_ends_service_ends_it_here_too(changes: dict[str, Any], why: str) -> None:
    unit = restarted(entering(250.0))
    unit.advance(1.0, **changes)
    unit.advance(1.0, status=DeviceStatus.RUNNING | DeviceStatus.CONNECTED, permit=1)
    assert unit.last.state == State.WAITING, why


def test_an_inverter_that_stays_away_is_found_anew() -> None:
    unit = restarted(entering(250.0))
    unit.advance(11.0, silence="inverter")  # lost_after_s = 10
    unit.advance(1.0)
    assert unit.last.state == State.WAITING


def test_without_a_record_all_of_the_delay_is_waited_for() -> None:
    unit = Unit(PERIOD_S, None, **OURS)
    unit.step()
    assert seconds_until(unit, State.ENTERING) == pytest.approx(60.0, abs=2 * PERIOD_S)


def test_a_record_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a record has \d+ bytes, not 8"):
        Core(settings(), PERIOD_S).resume(bytes(8), 0)
