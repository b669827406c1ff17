"""Stage 2, state: when a unit may be commanded, how it starts without a bump, and how it stops."""

from __future__ import annotations

from typing import Any

import pytest

from cython_core.records import NAN, DeviceStatus, Mode, Reason, State, Stop
from tests.cython_core.unit import Unit, reasons, running

STEP_W = 20.0 + 1e-6
RUN = DeviceStatus.RUNNING | DeviceStatus.CONNECTED
VV = {"olrt_s": 1.0}

# --- starting ---

# fmt: off
STARTS = [
    # device_w   wish_w    after 0   after 1 s  after 4 s   why: 2000 W/s towards the wish, from where the unit is
    (0.0,        3000.0,     20.0,    2020.0,   3000.0,     "from 0"),
    (3000.0,     3000.0,   3000.0,    3000.0,   3000.0,     "already there"),
    (-3000.0,   -3000.0,  -3000.0,   -3000.0,  -3000.0,     "already charging"),
    (3000.0,    -3000.0,   2980.0,     980.0,  -3000.0,     "discharging, wanted charging"),
    (-3000.0,    3000.0,  -2980.0,    -980.0,   3000.0,     "charging, wanted discharging"),
    (3000.0,        0.0,   2980.0,     980.0,      0.0,     "wanted at rest"),
]
STRANGE = [
    # said                    first_w   why
    ({"p_w": NAN},                0.0,  "a power that is not a number is no power"),
    ({"p_w": float("inf")},       0.0,  "nor is an infinite one"),
    ({"p_w": 50000.0},        10000.0,  "never above the rating"),
    ({"p_w": -50000.0},       -8000.0,  "never below the charge rating"),
]
# fmt: on


@pytest.mark.parametrize(
    ("device_w", "wish_w", "first_w", "second_w", "end_w", "why"), STARTS, ids=[c[-1] for c in STARTS]
)
def test_bumpless_start(
    device_w: float, wish_w: float, first_w: float, second_w: float, end_w: float, why: str
) -> None:
    unit = Unit(wish_w=wish_w)
    unit.device_p_w = device_w
    assert unit.step().p_cmd_w == pytest.approx(first_w), why
    assert (unit.last.state, unit.last.mode) == (State.IN_SERVICE, Mode.ACTIVE)
    assert unit.advance(1.0).p_cmd_w == pytest.approx(second_w)
    assert unit.advance(3.0).p_cmd_w == end_w
    assert unit.largest_step_w() <= STEP_W


@pytest.mark.parametrize(("said", "first_w", "why"), STRANGE, ids=[c[-1] for c in STRANGE])
def test_start_from_a_strange_power(said: dict[str, float], first_w: float, why: str) -> None:
    record = Unit(wish_w=0.0).step(said=said)
    assert abs(record.p_cmd_w - first_w) <= STEP_W, why  # within one step of the ramp towards the wish of 0


def test_reactive_power_starts_where_it_is() -> None:
    unit = Unit(wish_w=0.0, volt_var=VV)
    record = unit.step(said={"q_var": 2000.0})
    assert record.q_cmd_var == pytest.approx(2000.0 * 10.0**-0.01)  # one step of the lag towards 0
    assert unit.advance(5.0).q_cmd_var == pytest.approx(0.0, abs=0.1)


def test_an_absurd_reactive_power_is_not_what_the_lag_starts_from() -> None:
    unit = Unit(wish_w=0.0, volt_var=VV)
    assert unit.step(said={"q_var": 1e12}).q_cmd_var == 4400.0  # Table 7: 0.44
    assert unit.advance(3.0).q_cmd_var == pytest.approx(10.0, abs=1.0)  # 1 pu * 10 ** -3 after 3 s


def test_the_meter_stands_in_for_an_inverter_that_does_not_say_its_power() -> None:
    unit = Unit(wish_w=-2000.0, limits={"ramp_pu_s": 0.01})
    unit.device_p_w = NAN
    assert unit.step(meter_p_w=-2000.0).p_cmd_w == -2000.0


# fmt: off
UNLIKE = [
    # device_w   meter_w    first_w   why: the inverter's word, up to 5 x the meter's and a tenth of 10 kW
    (-8000.0,    -800.0,    -800.0,   "8000 > 4000 + 1000: a wrong scale"),
    (9000.0,     -800.0,    -800.0,   "an absurd value"),
    (-5000.0,    -800.0,    -5000.0,  "5000 = 4000 + 1000: it may be moving"),
    (-800.0,     -8000.0,   -800.0,   "the meter's scale is wrong"),
    (-800.0,     800.0,     -800.0,   "one of the signs is wrong"),
    (-800.0,     0.0,       -800.0,   "the meter is later"),
]
# fmt: on


@pytest.mark.parametrize(("device_w", "meter_w", "first_w", "why"), UNLIKE, ids=[c[-1] for c in UNLIKE])
def test_a_start_where_inverter_and_meter_disagree(device_w: float, meter_w: float, first_w: float, why: str) -> None:
    unit = Unit(wish_w=-800.0)
    unit.device_p_w = device_w
    assert abs(unit.step(meter_p_w=meter_w).p_cmd_w - first_w) <= STEP_W, why


# fmt: off
NOT_YET = [
    # inputs                               why
    ({"f_hz": NAN},                        "no frequency"),
    ({"f_hz": 73.0},                       "no believable frequency"),
    ({"v_v": (NAN,)},                      "no voltage"),
    ({"v_v": (400.0,)},                    "no believable voltage"),
    ({"meter_late_ns": 400_000_000},       "an old reading: held is not fresh"),
    ({"silence": "meter"},                 "no meter"),
    ({"silence": "inverter"},              "no inverter"),
    ({"status": RUN | DeviceStatus.LOCAL}, "somebody at the device has control"),
    ({"status": DeviceStatus.CONNECTED},   "not running"),
    ({"status": DeviceStatus.RUNNING},     "not connected"),
    ({"status": 0},                        "neither"),
    ({"status": RUN | DeviceStatus.FAULT}, "a fault beside running"),
]
# fmt: on


@pytest.mark.parametrize(("inputs", "why"), NOT_YET, ids=[c[-1] for c in NOT_YET])
def test_silent_until_every_input_is_fresh_and_the_unit_runs(inputs: dict[str, Any], why: str) -> None:
    unit = Unit(wish_w=3000.0)
    unit.device_p_w = 1000.0
    record = unit.advance(1.0, **inputs)
    assert (record.state, record.mode, record.p_cmd_w, record.q_cmd_var) == (State.STARTING, Mode.SILENT, 0.0, 0.0), why
    assert reasons(record) & Reason.STARTING
    assert {r.mode for r in unit.records} == {Mode.SILENT}  # not one step writes
    good = Unit()
    record = unit.step(f_hz=60.0, v_v=good.v_v, meter_late_ns=0, status=RUN)
    assert record.state == State.IN_SERVICE
    assert record.p_cmd_w == pytest.approx(1020.0)  # and the wish was kept


def test_a_unit_that_tells_no_status_is_taken_as_running() -> None:
    unit = Unit(wish_w=0.0)
    unit.device = unit.device_said()
    said = {n: getattr(unit.device, n) for n in unit.device.__dataclass_fields__}
    unit.device = type(unit.device)(**{**said, "valid": unit.device.valid & ~512, "status": 0})
    assert unit.advance(0.01, silence="inverter").state == State.IN_SERVICE


# --- taken away, and back ---

# fmt: off
TAKEN = [
    # inputs                                bit                   why
    ({"status": RUN | DeviceStatus.LOCAL},  Reason.LOCAL_CONTROL, "local control"),
    ({"status": DeviceStatus.CONNECTED},    Reason.NOT_RUNNING,   "stopped"),
    ({"status": DeviceStatus.RUNNING},      Reason.NOT_RUNNING,   "disconnected"),
    ({"status": RUN | DeviceStatus.FAULT},  Reason.NOT_RUNNING,   "its own trip is never fought"),
]
# fmt: on


@pytest.mark.parametrize(("inputs", "bit", "why"), TAKEN, ids=[c[-1] for c in TAKEN])
@pytest.mark.parametrize("found_w", [-3000.0, 0.0, 3000.0])
def test_taken_away_and_back_from_wherever_it_is_then(
    inputs: dict[str, Any], bit: Reason, why: str, found_w: float
) -> None:
    unit = running(6000.0)
    record = unit.step(**inputs)
    assert (record.mode, record.state, record.p_cmd_w) == (Mode.SILENT, State.STARTING, 0.0), why
    assert reasons(record) & bit
    unit.advance(1.0)
    start = len(unit.records)
    record = unit.step(status=RUN, device_p_w=found_w)
    assert record.p_cmd_w == pytest.approx(found_w + 20.0)
    assert unit.advance(6.0).p_cmd_w == 6000.0
    assert unit.largest_step_w(since=start + 1) <= STEP_W


@pytest.mark.parametrize("found_w", [-3000.0, 0.0, 3000.0])
def test_lost_inverter_and_back(found_w: float) -> None:
    unit = running(6000.0)
    assert unit.advance(10.01, silence="inverter").mode == Mode.SILENT
    start = len(unit.records)
    assert unit.step(device_p_w=found_w).p_cmd_w == pytest.approx(found_w + 20.0)
    assert unit.advance(6.0).p_cmd_w == 6000.0
    assert unit.largest_step_w(since=start + 1) <= STEP_W


def test_a_unit_found_charging_does_not_wait_for_a_reversal_it_has_made_itself() -> None:
    unit = running(3000.0, limits={"reverse_dwell_s": 5.0})
    unit.wish(-3000.0)
    unit.advance(1.0, status=RUN | DeviceStatus.LOCAL)
    record = unit.step(status=RUN, device_p_w=-3000.0)
    assert record.p_cmd_w == -3000.0
    assert not reasons(record) & Reason.REVERSAL_DWELL


def test_droop_starts_anew_after_silence() -> None:
    unit = running(0.0)
    unit.coast(30.0, f_hz=60.336)
    assert unit.last.p_cmd_w == pytest.approx(-1000.0, abs=1.0)
    record = unit.step(status=RUN | DeviceStatus.LOCAL)
    assert (record.dp_w, record.dp_target_w) == (0.0, 0.0)
    record = unit.step(status=RUN, device_p_w=-500.0)
    assert reasons(record) & Reason.DROOP_WAITING
    assert unit.advance(30.0).p_pre_w == pytest.approx(-500.0 + 10 * 20.0 + 20.0, abs=20.1)  # 0.1 s on its way to 0


# --- permit ---


def test_without_permit_the_unit_is_off_and_commanded_to_0() -> None:
    unit = running(6000.0, volt_var=VV)
    unit.coast(5.0, v_v=(241.5,))
    record = unit.step(permit=0)
    assert (record.state, record.mode, record.p_cmd_w, record.q_cmd_var) == (State.OFF, Mode.STOP, 0.0, 0.0)
    assert reasons(record) & Reason.NO_PERMIT
    assert unit.advance(5.0).state == State.OFF


# fmt: off
BLINKS = [
    # order                          why
    ({"permit": 0},                  "permit withdrawn for 10 ms"),
    ({"stop": Stop.EMERGENCY},       "emergency stop for 10 ms"),
]
# fmt: on


@pytest.mark.parametrize("wish_w", [6000.0, -6000.0])
@pytest.mark.parametrize(("order", "why"), BLINKS, ids=[c[-1] for c in BLINKS])
def test_a_short_interruption_comes_back_by_the_ramp(order: dict[str, Any], why: str, wish_w: float) -> None:
    """The inverter's reading is older than the interruption and still tells the old power."""
    unit = running(wish_w, volt_var=VV)
    unit.coast(5.0, v_v=(241.5,), said={"p_w": wish_w, "q_var": -2200.0})
    assert unit.step(**order).p_cmd_w == 0.0, why
    assert unit.last.q_cmd_var == 0.0
    start = len(unit.records)
    record = unit.step(permit=1, stop=Stop.RUN)
    assert abs(record.p_cmd_w) <= STEP_W
    assert abs(record.q_cmd_var) <= 2200.0 * (1 - 10**-0.01) + 1e-6  # one step of the lag, from 0
    assert unit.advance(5.0).p_cmd_w == wish_w
    assert unit.largest_step_w(since=start) <= STEP_W


# fmt: off
OLD = [
    # while it was off                      why
    ({"f_hz": NAN},                         "frequency"),
    ({"v_v": (NAN,)},                       "voltage"),
    ({"silence": "inverter"},               "the inverter's state"),
]
# fmt: on


@pytest.mark.parametrize(("inputs", "why"), OLD, ids=[c[-1] for c in OLD])
def test_permit_returns_only_on_fresh_inputs(inputs: dict[str, Any], why: str) -> None:
    unit = running(6000.0)
    unit.advance(1.01, permit=0, **inputs)
    record = unit.advance(0.5, permit=1, **inputs)
    assert (record.state, record.mode) == (State.STARTING, Mode.SILENT), why
    assert unit.step(f_hz=60.0, v_v=(230.0,)).p_cmd_w == pytest.approx(20.0)


def test_without_permit_frequency_moves_nothing() -> None:
    unit = running(0.0)
    unit.advance(1.0, permit=0)
    assert unit.advance(10.0, f_hz=58.0).p_cmd_w == 0.0
    assert unit.step(permit=1).p_cmd_w == 0.0  # back in the middle of the event: qualified anew
    assert reasons(unit.last) & Reason.DROOP_WAITING


# --- stop ---


def test_stop_ramps_to_0_with_active_and_reactive_power() -> None:
    unit = running(6000.0, volt_var=VV)
    unit.coast(5.0, v_v=(241.5,))
    start = len(unit.records)
    record = unit.step(stop=Stop.RAMP)
    assert record.mode == Mode.STOP
    assert record.p_cmd_w == pytest.approx(5980.0)
    assert record.q_cmd_var == pytest.approx(-2200.0 + 20.0, abs=0.1)
    record = unit.advance(2.99)
    assert (record.p_cmd_w, record.q_cmd_var) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert unit.largest_step_w(since=start) <= STEP_W


@pytest.mark.parametrize("f_hz", [58.0, 62.0])
def test_stop_is_stronger_than_droop(f_hz: float) -> None:
    unit = running(3000.0)
    unit.coast(20.0, f_hz=f_hz)
    start = len(unit.records)
    assert unit.advance(5.0, stop=Stop.RAMP).p_cmd_w == pytest.approx(0.0, abs=1e-6)
    assert unit.largest_step_w(since=start) <= STEP_W


def test_stop_beside_a_lost_meter_that_would_rather_export() -> None:
    unit = running(6000.0, fail_safe={"safe_p_w": 3000.0})
    unit.advance(12.0, silence="meter")
    assert unit.last.p_cmd_w == 3000.0
    assert unit.advance(2.0, silence="meter", stop=Stop.RAMP).p_cmd_w == pytest.approx(0.0, abs=1e-6)
    assert unit.last.mode == Mode.STOP


def test_emergency_stop_while_the_meter_is_not_there_yet() -> None:
    """Waiting for the meter is silent; an emergency stop is not: somebody else's 3 kW must end."""
    unit = Unit(wish_w=3000.0)
    unit.device_p_w = 3000.0
    assert unit.advance(1.0, silence="meter").mode == Mode.SILENT
    record = unit.advance(0.01, silence="meter", stop=Stop.EMERGENCY)
    assert (record.mode, record.state, record.p_cmd_w) == (Mode.STOP, State.OFF, 0.0)
    assert reasons(record) & Reason.EMERGENCY_STOP
    record = unit.advance(0.01, silence="meter", stop=Stop.RUN)
    assert record.mode == Mode.SILENT  # and then it waits as before


# fmt: off
CANNOT = [
    # inputs                                why
    ({"status": RUN | DeviceStatus.LOCAL},  "local control: never commanded, not even now"),
    ({"status": DeviceStatus.CONNECTED},    "not running"),
    ({"silence": "inverter"},               "never seen"),
]
# fmt: on


@pytest.mark.parametrize(("inputs", "why"), CANNOT, ids=[c[-1] for c in CANNOT])
@pytest.mark.parametrize("order", [{"permit": 0}, {"stop": Stop.EMERGENCY}, {"stop": Stop.RAMP}])
def test_what_cannot_be_commanded_is_not_commanded(inputs: dict[str, Any], why: str, order: dict[str, Any]) -> None:
    record = Unit(wish_w=3000.0).advance(0.1, **inputs, **order)
    assert record.mode == Mode.SILENT, why


# fmt: off
MODES = [
    # changes                          mode          why
    ({},                               Mode.ACTIVE,  "in service"),
    ({"stop": Stop.RAMP},              Mode.STOP,    "stopping"),
    ({"stop": Stop.EMERGENCY},         Mode.STOP,    "stopped"),
    ({"permit": 0},                    Mode.STOP,    "no permit"),
    ({"f_hz": NAN},                    Mode.ACTIVE,  "one signal missing is not the whole meter"),
    ({"v_v": (NAN,)},                  Mode.ACTIVE,  "nor is the other"),
    ({"f_hz": NAN, "v_v": (NAN,)},     Mode.SAFE,    "both lost"),
]
# fmt: on


@pytest.mark.parametrize(("changes", "mode", "why"), MODES, ids=[c[-1] for c in MODES])
def test_mode_of_the_command(changes: dict[str, Any], mode: Mode, why: str) -> None:
    record = running(0.0, fail_safe={"command_valid_s": 0.75}).advance(10.5, **changes)
    assert (record.mode, record.valid_ms) == (mode, 750), why


@pytest.mark.parametrize("f_hz", [60.5, 59.5])
@pytest.mark.parametrize("wish_w", [6000.0, -5000.0])
def test_an_inverter_that_flickers_does_not_ratchet_droop(f_hz: float, wish_w: float) -> None:
    """Its status is wrong for 0.1 s, four times in one event; each time it goes on at the power that it has."""
    unit = running(wish_w)
    p_w = unit.advance(30.0, f_hz=f_hz).p_cmd_w
    assert abs(p_w - wish_w) == pytest.approx(1546.7, abs=1.0)
    for _ in range(4):
        unit.advance(0.1, status=DeviceStatus.CONNECTED)
        unit.advance(15.0, status=DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
        assert unit.last.p_cmd_w == pytest.approx(p_w, abs=2.0)
    assert unit.advance(30.0, f_hz=60.0).p_cmd_w == pytest.approx(wish_w)


def test_an_inverter_that_has_stopped_meanwhile_begins_where_it_is() -> None:
    unit = running(6000.0)
    unit.advance(30.0, f_hz=60.5)
    unit.advance(1.0, status=DeviceStatus.CONNECTED, device_p_w=0.0)
    record = unit.step(status=DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
    assert record.p_cmd_w == pytest.approx(0.0, abs=20.0)
