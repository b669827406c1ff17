"""Shall trip: every element of IEEE 1547-2018 Tables 11-13 (voltage) and 18 (frequency), Categories I, II, III.

Method   1547.1-2020 5.4 and 5.5: 2 MRA_V (0.02 pu) or 1 % of the frequency inside the level for the trip time and more
         must not trip, nor does the level itself (strictly beyond counts); as far outside must, in the clearing time.
Time     from the reading that first stood beyond the level: never early, late by 2 cycles or 2 % at most.
Range    1547a-2020 widened the times of UV1 and UV2 in Category III. All of it holds for owner: controller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from cython_core.records import DeviceStatus, Measurement, Mode, Reason, State, Trip
from cython_core.settings import SettingError, Settings
from tests.cython_core.series import Series, pencil
from tests.cython_core.unit import Unit

OURS = {"owner": "controller"}
AT_ONCE = {**OURS, "delay_s": 0.0, "ramp_s": 0.0}
MRA_V = 0.01


@dataclass(frozen=True)
class Element:
    """One row of a table: level and clearing time, each with its range."""

    categories: str
    name: str
    level: float
    levels: tuple[float, float]
    time_s: float
    times_s: tuple[float, float]

    @property
    def group(self) -> str:
        return "voltage_trip" if "V" in self.name else "frequency_trip"

    @property
    def unit(self) -> str:
        return "pu" if "V" in self.name else "hz"

    @property
    def signal(self) -> str:
        return "v_pu" if "V" in self.name else "f_hz"

    @property
    def over(self) -> bool:
        return self.name.startswith("O")

    def off(self, level: float, way: float) -> float:
        """way +1: beyond the level, -1: inside, 0: at it."""
        sign = way if self.over else -way
        return level + sign * 2.0 * MRA_V if self.unit == "pu" else level * (1.0 + sign * 0.01)


# fmt: off
ELEMENTS = [
    #       categories   element  level   range           s       range
    Element("I II III",  "OV2",   1.20,   (1.20, 1.20),   0.16,   (0.16, 0.16)),
    Element("I II",      "OV1",   1.10,   (1.10, 1.20),   2.0,    (1.0, 13.0)),
    Element("III",       "OV1",   1.10,   (1.10, 1.20),   13.0,   (1.0, 13.0)),
    Element("I",         "UV1",   0.70,   (0.0, 0.88),    2.0,    (2.0, 21.0)),
    Element("II",        "UV1",   0.70,   (0.0, 0.88),    10.0,   (2.0, 21.0)),
    Element("III",       "UV1",   0.88,   (0.0, 0.88),    21.0,   (2.0, 50.0)),
    Element("I II",      "UV2",   0.45,   (0.0, 0.50),    0.16,   (0.16, 2.0)),
    Element("III",       "UV2",   0.50,   (0.0, 0.50),    2.0,    (0.16, 21.0)),
    Element("I II III",  "OF2",   62.0,   (61.8, 66.0),   0.16,   (0.16, 1000.0)),
    Element("I II III",  "OF1",   61.2,   (61.0, 66.0),   300.0,  (180.0, 1000.0)),
    Element("I II III",  "UF1",   58.5,   (50.0, 59.0),   300.0,  (180.0, 1000.0)),
    Element("I II III",  "UF2",   56.5,   (50.0, 57.0),   0.16,   (0.16, 1000.0)),
]
# fmt: on
EACH = [(category, e) for e in ELEMENTS for category in e.categories.split()]
each = pytest.mark.parametrize(("category", "element"), EACH, ids=[f"{c} {e.name}" for c, e in EACH])


def others(e: Element, category: str, level: float) -> dict[str, float]:
    """The other element of the same side as far out of the way as its range lets it."""
    longest = {(x.name, c): x.times_s[1] for c, x in EACH}
    other = e.name[:2] + ("1" if e.name.endswith("2") else "2")
    key = other.lower()
    if e.name.endswith("2"):  # the first element may not lie beyond the second: at the same level, its longest time
        at = min(max(level, 1.10), 1.20) if e.name == "OV2" else level
        return {f"{key}_{e.unit}": at, f"{key}_s": longest[other, category]}
    furthest = {"OV2": 1.20, "UV2": 0.0, "OF2": 66.0, "UF2": 50.0}[other]
    return {f"{key}_{e.unit}": furthest} | ({} if other == "OV2" else {f"{key}_s": longest[other, category]})


def chosen(category: str, e: Element, level: float, time_s: float, **more: Any) -> Settings:
    key = e.name.lower()
    elements = {**OURS, f"{key}_{e.unit}": level, f"{key}_s": time_s, **others(e, category, level), **more}
    groups: dict[str, Any] = {"voltage_trip": OURS, "frequency_trip": OURS, "enter_service": AT_ONCE}
    return pencil(f"B/{category}", **{**groups, e.group: elements}, freq_droop={"enable": False})


def in_service(settings: Settings, period_s: float = 0.01, refresh_s: float = 0.0) -> Series:
    unit = Series(settings, period_s, refresh_s, wish_pu=0.5)
    assert unit.run(1.0)["state"][-1] == State.IN_SERVICE
    return unit


def tripped_after_s(unit: Series, seconds: float, k: int = 1, **inputs: float) -> float:
    """From the first reading of these inputs to the first step at 0; infinite when there was none."""
    records = unit.run(seconds, k, **inputs)
    tripped = np.flatnonzero(records["state"] == State.TRIPPED)
    if len(tripped) == 0:
        assert (records["trip"] == 0).all()
        return float("inf")
    assert (records["p_cmd_w"][tripped] == 0.0).all()
    assert (records["q_cmd_var"][tripped] == 0.0).all()
    return float(records["t_ns"][tripped[0]] - records["m_t_v_ns"][0]) * 1e-9


def allowed_late_s(time_s: float) -> float:
    return max(2.0 / 60.0, 0.02 * time_s)


def skips(time_s: float) -> int:
    """Grid points a step of 10 ms: 2 % of a long time is many of them."""
    return 1 if time_s <= 21.0 else 10


# --- defaults and ranges ---


@each
def test_default_and_range(category: str, element: Element) -> None:
    key = element.name.lower()
    default = getattr(pencil(f"B/{category}"), element.group)
    assert getattr(default, f"{key}_{element.unit}") == element.level
    assert getattr(default, f"{key}_s") == element.time_s
    for name, (low, high) in ((f"{key}_{element.unit}", element.levels), (f"{key}_s", element.times_s)):
        for outside in (low - 0.01, high + 0.01):
            with pytest.raises(SettingError, match=name):
                pencil(f"B/{category}", **{element.group: {name: outside}})


# --- inside, at, beyond ---


@each
@pytest.mark.parametrize("which", ["default", "shortest", "longest"])
def test_trip_time(category: str, element: Element, which: str) -> None:
    times = {"default": element.time_s, "shortest": element.times_s[0], "longest": element.times_s[1]}
    check_element(category, element, element.level, times[which])


@each
@pytest.mark.parametrize("end", [0, 1], ids=["lowest level", "highest level"])
def test_trip_level(category: str, element: Element, end: int) -> None:
    level = element.levels[end]
    if element.name == "OV1" and level == 1.20:
        level = 1.18  # beyond 1.20 it is OV2 that acts
    if level == 0.0:
        unit = in_service(chosen(category, element, 0.0, element.times_s[0]))
        unit.run(3.0, v_pu=0.0)
        assert not (unit.rows["trip"] & Trip[element.name]).any()  # a level of 0: V < 0 never comes
    else:
        check_element(category, element, level, element.times_s[0])


def check_element(category: str, e: Element, level: float, time_s: float) -> None:
    unit = in_service(chosen(category, e, level, time_s))
    hold_s, k = 1.02 * time_s + 0.2, skips(time_s)
    for way in (-1.0, 0.0):
        assert tripped_after_s(unit, hold_s, k, **{e.signal: e.off(level, way)}) == float("inf")
    after_s = tripped_after_s(unit, hold_s, k, **{e.signal: e.off(level, 1.0)})
    assert time_s - 1e-6 <= after_s <= time_s + allowed_late_s(time_s)
    assert unit.rows["trip"][-1] & Trip[e.name]
    reason = Reason.TRIP_VOLTAGE if e.unit == "pu" else Reason.TRIP_FREQUENCY
    assert unit.rows["reasons"][-1] & reason
    assert unit.rows["mode"][-1] == Mode.STOP


# --- timers ---


@each
def test_timer_starts_anew_when_the_condition_clears_for_one_reading(category: str, element: Element) -> None:
    unit = in_service(chosen(category, element, element.level, element.time_s))
    k = skips(element.time_s)
    beyond = {element.signal: element.off(element.level, 1.0)}
    almost_s = element.time_s - 0.01 * k
    for _ in range(3):
        assert tripped_after_s(unit, almost_s, k, **beyond) == float("inf")
        unit.run(0.01, **{element.signal: element.level})  # at the level is not beyond it
    assert tripped_after_s(unit, element.time_s + 1.0, k, **beyond) >= element.time_s - 1e-6


def default_unit(category: str = "III", **more: Any) -> Series:
    groups = {"voltage_trip": OURS, "frequency_trip": OURS, "enter_service": AT_ONCE, "freq_droop": {"enable": False}}
    return in_service(pencil(f"B/{category}", **{**groups, **more}))


def first_s(records: Any, element: str) -> float:
    """When this element tripped, seconds after the first reading."""
    i = int(np.argmax(records["trip"] & Trip[element] != 0))
    assert records["trip"][i] & Trip[element]
    return float(records["t_ns"][i] - records["m_t_v_ns"][0]) * 1e-9


def test_elements_run_in_parallel() -> None:
    """0.49 pu is below UV2 and UV1 alike, 62.5 Hz above OF2 and OF1: each at its own time."""
    records = default_unit().run(301.0, v_pu=0.49, f_hz=62.5)
    times = {"OF2": 0.16, "UV2": 2.0, "UV1": 21.0, "OF1": 300.0}
    for element, time_s in times.items():
        assert first_s(records, element) == pytest.approx(time_s, abs=0.011), element


def test_a_deeper_dip_does_not_restart_the_slower_element() -> None:
    unit = default_unit()
    unit.run(19.5, v_pu=0.80)
    records = unit.run(3.0, v_pu=0.40)
    assert first_s(records, "UV1") == pytest.approx(1.5, abs=0.011)  # 21 s of V < 0.88
    assert first_s(records, "UV2") == pytest.approx(2.0, abs=0.011)


def test_swings_from_one_side_to_the_other_trip_neither() -> None:
    unit = default_unit()
    for _ in range(3):
        assert (unit.run(12.9, v_pu=1.15)["trip"] == 0).all()
        assert (unit.run(20.9, v_pu=0.80)["trip"] == 0).all()


@pytest.mark.parametrize(
    ("f_hz", "element", "time_s"), [(52.5, "OF2", 0.16), (46.0, "UF2", 0.16), (51.5, "OF1", 300.0)]
)
def test_on_a_50_hz_grid_every_level_is_10_hz_lower(f_hz: float, element: str, time_s: float) -> None:
    """Outside the standard, which knows 60 Hz alone."""
    groups = {"voltage_trip": OURS, "frequency_trip": OURS, "enter_service": AT_ONCE, "freq_droop": {"enable": False}}
    unit = Series(pencil("B", rating={"f_nom_hz": 50.0}, **groups), wish_pu=0.5)
    assert unit.run(1.0, f_hz=50.0)["state"][-1] == State.IN_SERVICE
    records = unit.run(time_s + 0.5, f_hz=f_hz)
    assert first_s(records, element) == pytest.approx(time_s, abs=0.011)
    assert records["trip"][-1] == Trip[element]


# --- phases ---

# fmt: off
PHASES = [
    # phases              element  time_s  why
    ((0.86, 1.00, 1.00),  "UV1",   21.0,   "L1 alone is low, the mean is not"),
    ((1.00, 0.86, 1.00),  "UV1",   21.0,   "L2 alone"),
    ((1.00, 1.00, 0.86),  "UV1",   21.0,   "L3 alone"),
    ((1.12, 1.00, 1.00),  "OV1",   13.0,   "L1 alone is high"),
    ((1.00, 1.00, 1.22),  "OV2",   0.16,   "L3 alone is very high"),
    ((0.48, 1.05, 1.05),  "UV2",   2.0,    "L1 far down, the others up"),
]
# fmt: on


@pytest.mark.parametrize(("phases", "element", "time_s", "why"), PHASES, ids=[c[-1] for c in PHASES])
def test_the_worst_phase_counts(phases: tuple[float, ...], element: str, time_s: float, why: str) -> None:
    unit = default_unit()
    unit.run(1.0, v_pu=np.array([[1.0, 1.0, 1.0]]))
    records = unit.run(time_s + 0.5, v_pu=np.array([phases]))
    assert first_s(records, element) == pytest.approx(time_s, abs=0.011), why
    assert records["trip"][-1] == Trip[element]


# --- readings ---


@pytest.mark.parametrize("refresh_s", [0.02, 0.1, 0.5])
def test_the_time_counts_from_the_reading(refresh_s: float) -> None:
    settings = pencil(voltage_trip=OURS, enter_service=AT_ONCE, fail_safe={"t_meter_s": 1.0})
    unit = in_service(settings, refresh_s=refresh_s)
    after_s = tripped_after_s(unit, 3.0, v_pu=0.40)
    assert 2.0 <= after_s + 1e-9 <= 2.0 + allowed_late_s(2.0)


@pytest.mark.parametrize("late_s", [0.0, 0.05, 0.15])
def test_a_reading_that_arrives_late_has_its_own_time(late_s: float) -> None:
    """The voltage was low when it was measured, not when it arrived."""
    unit = Unit(voltage_trip=OURS, enter_service=AT_ONCE, wish_w=5000.0)
    unit.advance(1.0, meter_late_ns=round(late_s * 1e9))
    start = len(unit.records)
    unit.advance(3.0, v_v=(230.0 * 0.4,))
    trip = next(r for r in unit.records if r.trip)
    after_s = (trip.t_ns - unit.records[start].m_t_v_ns) * 1e-9
    assert after_s == pytest.approx(2.0, abs=0.011)


class TwoClocks(Unit):
    """A meter whose voltage and frequency were taken at different times."""

    v_late_s, f_late_s = 0.0, 0.0

    def measured(self) -> Measurement:
        times = {"t_v_ns": self.t_ns - round(self.v_late_s * 1e9), "t_f_ns": self.t_ns - round(self.f_late_s * 1e9)}
        return replace(super().measured(), **times)


@pytest.mark.parametrize(("v_late_s", "f_late_s"), [(0.15, 0.0), (0.0, 0.15)])
def test_voltage_and_frequency_each_count_from_their_own_reading(v_late_s: float, f_late_s: float) -> None:
    one_s = {**OURS, "of2_s": 1.0}
    unit = TwoClocks(voltage_trip=OURS, frequency_trip=one_s, enter_service=AT_ONCE, freq_droop={"enable": False})
    unit.change(v_late_s=v_late_s, f_late_s=f_late_s)
    unit.advance(1.0)
    start = len(unit.records)
    unit.advance(3.0, v_v=(230.0 * 0.4,), f_hz=62.5)
    for bit, time_s, late_s in ((Trip.UV2, 2.0, v_late_s), (Trip.OF2, 1.0, f_late_s)):
        at = next(i for i, r in enumerate(unit.records[start:]) if r.trip & bit)
        assert at * 0.01 + late_s == pytest.approx(time_s, abs=0.011), bit


@each
@pytest.mark.parametrize("opening_s", [0.05, 0.1])
def test_opening_is_inside_the_clearing_time(category: str, element: Element, opening_s: float) -> None:
    settings = chosen(category, element, element.level, element.time_s, opening_s=opening_s)
    k = skips(element.time_s)
    beyond = {element.signal: element.off(element.level, 1.0)}
    after_s = tripped_after_s(in_service(settings), element.time_s + 1.0, k, **beyond)
    assert -1e-6 <= after_s + opening_s - element.time_s <= 0.01 * k + 1e-6


SLOW = [(c, e) for c, e in EACH if e.name != "OV2"]  # its 0.16 s is over before anything is stale


@pytest.mark.parametrize(("category", "element"), SLOW, ids=[f"{c} {e.name}" for c, e in SLOW])
def test_a_signal_nobody_knows_resets_and_never_trips(category: str, element: Element) -> None:
    """Silence: held for a second, then stale. Loss of a meter is no trip, and the time starts anew after it."""
    time_s = max(element.time_s, 1.5)
    unit = in_service(chosen(category, element, element.level, time_s))
    k = skips(time_s)
    beyond = {element.signal: element.off(element.level, 1.0)}
    assert tripped_after_s(unit, time_s - 1.2, k, **beyond) == float("inf")
    unit.silent = True
    records = unit.run(2.0 * time_s, k)
    assert (records["trip"] == 0).all()
    unit.silent = False
    after_s = tripped_after_s(unit, time_s + 1.0, k, **beyond)
    assert after_s == pytest.approx(time_s, abs=0.01 * k + 1e-6)


# --- whose trip it is ---


@each
def test_owner_inverter_nothing_is_tripped_or_ceased_by_us(category: str, element: Element) -> None:
    unit = Series(pencil(f"B/{category}", freq_droop={"enable": False}), wish_pu=0.5)
    unit.run(1.0)
    beyond = {element.signal: element.off(element.level, 1.0)}
    records = unit.run(element.time_s * 1.1 + 5.0, skips(element.time_s), **beyond)
    assert (records["trip"] == 0).all()
    assert (records["restore_pu"] == 1.0).all()
    assert (records["state"] == State.IN_SERVICE).all()
    assert (records["p_cmd_w"] == 5000.0).all()


@pytest.mark.parametrize("status", [0, int(DeviceStatus.CONNECTED), int(DeviceStatus.RUNNING), 3 | 4])
@pytest.mark.parametrize("owner", ["inverter", "controller"])
def test_an_inverter_that_tripped_by_itself_is_never_commanded(status: int, owner: str) -> None:
    own = {"owner": owner}
    groups: dict[str, Any] = {"voltage_trip": own, "frequency_trip": own, "ride_through": own}
    groups["enter_service"] = {**own, "delay_s": 1.0, "ramp_s": 0.0}
    unit = Series(pencil("B", **groups, volt_var={}), wish_pu=0.5)
    unit.run(10.0)
    assert unit.rows["mode"][-1] == Mode.ACTIVE
    for inputs in ({}, {"v_pu": 0.4}, {"v_pu": 1.0, "f_hz": 59.0}, {"f_hz": 60.0, "permit": 0}, {"permit": 1}):
        records = unit.run(1.0, 1, status=status, **inputs)
        assert (records["mode"] == Mode.SILENT).all()
        assert (records["p_cmd_w"] == 0.0).all()
        assert (records["q_cmd_var"] == 0.0).all()
        assert (records["reasons"] & Reason.NOT_RUNNING != 0).all()
    back = unit.run(0.5, 1, status=3)
    delayed = owner == "controller"  # then the way back is enter service
    assert (back["p_cmd_w"][-1] == 0.0) == delayed
    assert unit.run(5.0)["p_cmd_w"][-1] == pytest.approx(5000.0)
