"""The way from the grid to the answer, per function: which parts it has, when it is refused, and at which line.

The site of test_site: refresh 200 + poll 100 + step 10 + write behind one read 250 + lag 500 = 1060 ms.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from controller.launch import plan_of_meter
from controller.timing import budgets
from cython_core.settings import Settings
from cython_core.step import Core
from drivers.mapfile import load_map
from tests.controller.test_site import GOOD, changed, complaints, site_of

OFF = GOOD.replace("    k_of: 0.04", "    enable: false")
STEP_S = 0.01
MEASURED, OUT = 1060, 760  # with, and without the meter on the way
OURS = "  enter_service:\n    owner: controller\n"
VOLTAGE = OURS + "  voltage_trip:\n    owner: controller\n"
FREQUENCY = OURS + "  frequency_trip:\n    owner: controller\n"
HOUSE = "  site_limits:\n    enable: true\n    share_l1_pu: 1.0\n"
CATEGORY_A = "    normal_category: A\n"

VOLT_WATT = "  volt_watt:\n    enable: true\n"
VOLT_VAR = "  reactive:\n    mode: volt_var\n"
WATT_VAR = "  reactive:\n    mode: watt_var\n"
CONST_VAR = "  reactive:\n    mode: constant_q\n"
FACTOR = "  power_factor:\n    pf: 0.95\n"

# fmt: off
BUDGETS = [
    # settings                       function         setting       ms        allowed_ms  why
    (VOLT_WATT,                      "volt_watt",     "olrt_s",     MEASURED, 10000,      "voltage is measured"),
    (VOLT_VAR,                       "volt_var",      "olrt_s",     MEASURED, 5000,       "voltage is measured"),
    (WATT_VAR,                       "watt_var",      "response_s", OUT,      5000,       "follows our own power"),
    (CONST_VAR,                      "const_var",     "response_s", OUT,      5000,       "a set value"),
    (FACTOR,                         "power_factor",  "response_s", OUT,      5000,       "follows our own power"),
    (FACTOR + "    response_s: 2\n", "power_factor",  "response_s", OUT,      2000,       "as set"),
]
# fmt: on


@pytest.mark.parametrize(
    ("more", "function", "setting", "ms", "allowed_ms", "why"), BUDGETS, ids=[f"{c[1]}: {c[-1]}" for c in BUDGETS]
)
def test_each_function_that_acts_has_its_budget(
    tmp_path: Path, more: str, function: str, setting: str, ms: int, allowed_ms: int, why: str
) -> None:
    budget, *by_ramp = budgets(site_of(tmp_path, OFF + more))
    assert [other.function for other in by_ramp] == ["volt_watt"] * (function == "volt_watt")  # below
    assert (budget.function, budget.setting, budget.total_ms, budget.allowed_ms) == (function, setting, ms, allowed_ms)
    assert budget.met


# fmt: off
RAMPS = [
    # ramp_pu_s  olrt_s  p2_pu  way_back_s  met    why
    (0.2,        10.0,    0.0,  4.5,        True,  "the defaults: 0.9 x 1 pu / 0.2 pu/s"),
    (0.2,        10.0,   -1.0,  9.0,        True,  "from full charge: 0.9 x 2 pu"),
    (0.2,         0.5,    0.0,  4.5,        False, "the quickest curve of Table 10, and the product's own ramp"),
    (1.8,         0.5,    0.0,  0.5,        True,  "the slowest ramp that this curve bears"),
    (1.7,         0.5,    0.0,  0.529412,   False, "a little slower"),
    (0.2,         0.5,    0.9,  0.45,       True,  "a curve that takes a tenth away"),
    (0.01,       60.0,    0.0,  90.0,       False, "the slowest of both ranges"),
]
# fmt: on


@pytest.mark.parametrize(
    ("ramp_pu_s", "olrt_s", "p2_pu", "way_back_s", "met", "why"), RAMPS, ids=[row[-1] for row in RAMPS]
)
def test_volt_watt_gives_back_by_the_ramp_and_that_must_be_quick_enough(
    tmp_path: Path, ramp_pu_s: float, olrt_s: float, p2_pu: float, way_back_s: float, met: bool, why: str
) -> None:
    """The arithmetic of the check beside what a core with these settings really does."""
    given = f"  volt_watt: {{enable: true, olrt_s: {olrt_s}, p2_pu: {p2_pu}}}\n  limits: {{ramp_pu_s: {ramp_pu_s}}}\n"
    site = site_of(tmp_path, OFF + given + "i_accept: slow-response\n")
    _, back = budgets(site)
    assert back.total_ms == pytest.approx(1e3 * way_back_s, abs=1e-3)
    assert back.met == met
    down_s, up_s = answers_s(site.settings, v_pu=1.10)
    assert down_s <= olrt_s + STEP_S, "what volt-watt takes away it takes without the ramp"
    assert up_s == pytest.approx(max(olrt_s, way_back_s), abs=0.02 * max(olrt_s, way_back_s) + STEP_S)


def answers_s(settings: Settings, **event: float) -> tuple[float, float]:
    """Seconds until 90 % of the change: after the event came, and after it went. From the rated power, at 10 ms."""
    limits = replace(settings.limits, soc_min_pu=0.0)
    still = replace(settings.fail_safe, mismatch_after_s=0.0, frozen_after_s=0.0)
    settings = replace(settings, limits=limits, fail_safe=still)  # nobody plays a battery, obeys, or makes noise here
    core, rated_w = Core(settings, STEP_S, in_service=True), settings.rating.p_rated_w
    core.assume_power(rated_w)
    long = round(4 * max(settings.volt_watt.olrt_s, 2.0 / settings.limits.ramp_pu_s) / STEP_S)
    n = 100 + 2 * long
    series = {"f_hz": np.full(n, settings.rating.f_nom_hz), "v_pu": np.ones(n), "p_demand_w": np.full(n, rated_w)}
    for name, value in event.items():
        series[name][100 : 100 + long] = value
    p_w = core.run(series)["p_cmd_w"]
    return reached_s(p_w[99 : 100 + long]), reached_s(p_w[99 + long :])


def reached_s(p_w: NDArray[np.float64]) -> float:
    """From the first to 90 % of the way to the last."""
    there = np.abs(p_w - p_w[0]) >= 0.9 * abs(p_w[-1] - p_w[0])
    return float(np.flatnonzero(there)[0]) * STEP_S


def test_no_answer_to_a_frequency_takes_the_ramp(tmp_path: Path) -> None:
    """Neither its way down nor its way back, at the slowest ramp there is: so it has no budget for one."""
    site = site_of(tmp_path, GOOD + "  limits: {ramp_pu_s: 0.01}\n")
    times_s = answers_s(site.settings, f_hz=site.settings.rating.f_nom_hz + 1.0)
    assert times_s == pytest.approx([site.settings.freq_droop.t_response_s] * 2, rel=0.05)
    assert [budget.function for budget in budgets(site)] == ["freq_droop"]


def test_a_ramp_that_is_too_slow_is_refused_at_its_line_unless_the_site_accepts_it(tmp_path: Path) -> None:
    given = OFF + "  volt_watt:\n    enable: true\n    olrt_s: 1.5\n"
    slow = given + "  limits: {ramp_pu_s: 0.25}\n"
    (line,) = complaints(tmp_path, slow)
    at = slow.splitlines().index("  limits: {ramp_pu_s: 0.25}") + 1
    assert line.partition(": ")[0].endswith(f"site.yaml:{at}")
    assert line.endswith(
        "olrt_s = 1.5 s of volt_watt cannot be met: 90 % of the way back, by ramp 3600 ms; raise limits.ramp_pu_s from "
        "0.25 to 0.6 pu/s, or raise olrt_s, or add the line `i_accept: slow-response`"
    )
    site_of(tmp_path, slow + "i_accept: slow-response\n")
    site_of(tmp_path, slow.replace("0.25", "0.6"))
    (line,) = complaints(tmp_path, given)
    assert "0.2 to 0.6 pu/s" in line, "a default counts as well; it is told at the response time"


def test_what_does_not_act_needs_no_time(tmp_path: Path) -> None:
    assert budgets(site_of(tmp_path, OFF)) == []  # power factor 1: no reactive power, whatever happens
    assert budgets(site_of(tmp_path, OFF + "  reactive:\n    mode: 'off'\n")) == []


def test_the_limits_of_the_house_must_act_within_the_fuses_patience(tmp_path: Path) -> None:
    house = OFF.replace("location: inverter", "location: connection") + HOUSE
    (budget,) = budgets(site_of(tmp_path, house))
    assert (budget.function, budget.total_ms, budget.allowed_ms, budget.met) == ("site_limits", MEASURED, 5000, True)
    slow = house.replace("refresh_ms: 200", "refresh_ms: 5000").replace("reversion_s: 8", "reversion_s: 60")
    (line,) = complaints(tmp_path, slow + "  fail_safe:\n    lost_after_s: 30\n")
    assert line.startswith("site.yaml:24: site_limits within 5 s cannot be met: meter refresh 5000 + ")
    assert "= 5860 ms; use a faster meter or inverter, or add" in line


def test_a_trip_that_is_ours_has_one_budget_an_element(tmp_path: Path) -> None:
    found = budgets(site_of(tmp_path, OFF + VOLTAGE + "i_accept: slow-response\n"))
    assert [(b.setting, b.allowed_ms, b.met) for b in found] == [
        ("ov2_s", 160, False),  # 0.16 s belongs to the inverter
        ("ov1_s", 13000, True),
        ("uv1_s", 21000, True),
        ("uv2_s", 2000, True),
    ]
    assert {b.total_ms for b in found} == {MEASURED}


def test_a_trip_that_the_wires_cannot_do_is_refused_at_its_owner(tmp_path: Path) -> None:
    lines = complaints(tmp_path, OFF + FREQUENCY)
    assert [line.partition(": ")[2][:40] for line in lines] == [
        "of2_s = 0.16 s of frequency_trip cannot ",
        "uf2_s = 0.16 s of frequency_trip cannot ",
    ]
    for line in lines:
        assert line.startswith("site.yaml:27: ")
        assert "leave it to the inverter (`frequency_trip.owner: inverter`)" in line


def test_momentary_cessation_within_0_083_s_belongs_to_the_inverter(tmp_path: Path) -> None:
    ours = "  ride_through:\n    owner: controller\n"
    (line,) = complaints(tmp_path, OFF + ours)
    assert line.startswith("site.yaml:25: ride_through within 0.083 s cannot be met")
    two = OFF.replace("profile: ieee1547-2018-cat-b-iii\n", "").replace(
        "  rating:\n", "  rating:\n    abnormal_category: II\n"
    )
    assert budgets(site_of(tmp_path, two + ours)) == []  # only Category III asks for it


def test_a_slow_meter_is_told_at_the_meter_when_the_profile_sets_the_time(tmp_path: Path) -> None:
    slow = changed("    k_of: 0.04\n", "    k_of: 0.04\n  fail_safe:\n    lost_after_s: 30\n")
    slow = slow.replace("refresh_ms: 200", "refresh_ms: 3000").replace("reversion_s: 8", "reversion_s: 60")
    (line,) = complaints(tmp_path, slow)
    assert line.startswith("site.yaml:22: t_response_s = 5 s of freq_droop cannot be met: meter refresh 3000 + ")


def test_counters_of_energy_cost_a_serial_line_one_request_between_two_readings(tmp_path: Path) -> None:
    """Four words of an SDM630 at 9600 8N1: 8 + 5 + 8 characters of 10 bits, two silences of 3.5, 2 ms to turn round."""
    serial = OFF.replace("  host: 192.168.1.50\n", "  serial: /dev/ttyUSB0\n  baud: 9600\n", 1) + HOUSE
    serial = serial.replace("location: inverter", "location: connection")
    (budget,) = budgets(site_of(tmp_path, serial))
    assert dict(budget.parts)["counters of energy, each 10 s"] == pytest.approx(28 * 10 / 9.6 + 2.0, abs=0.1)


# ---- limits of the house connection ----


def halves(phase: str) -> str:
    return HOUSE.replace("1.0", "0.5") + f"    share_{phase}_pu: 0.5\n"


# fmt: off
NO_METER = [
    # location     phases    limits        line  begins with
    ("inverter",   "L1L2L3", HOUSE,        25,   "site_limits needs a meter at the house connection"),
    ("connection", "L1",     halves("l2"), 27,   "share_l2_pu = 0.5, but with phases = L1 the meter shows no L2"),
    ("connection", "split",  halves("l3"), 27,   "share_l3_pu = 0.5, but with phases = split the meter shows no"),
]
# fmt: on


@pytest.mark.parametrize(
    ("location", "phases", "limits", "line", "text"), NO_METER, ids=[f"{c[0]} {c[1]}" for c in NO_METER]
)
def test_limits_need_a_meter_that_shows_them(
    tmp_path: Path, location: str, phases: str, limits: str, line: int, text: str
) -> None:
    site = OFF.replace("location: inverter", f"location: {location}").replace("L1L2L3", phases)
    (complaint,) = complaints(tmp_path, site + limits)
    assert complaint.startswith(f"site.yaml:{line}: {text}")


def test_limits_need_a_map_with_phases(tmp_path: Path) -> None:
    acme = tmp_path / "acme.yaml"
    acme.write_text(
        "schema: 1\ndevice: acme\nkind: meter\nsource: made up\nproven: document\nfunction: 4\nmax_words: 40\n"
        "refresh_ms: 200\nregisters:\n"
        "  f_hz: {at: 70, type: f32, unit: Hz, range: [40, 70]}\n"
        "  v1_v: {at: 0, type: f32, unit: V, range: [0, 400]}\n"
        "  v2_v: {at: 2, type: f32, unit: V, range: [0, 400]}\n"
        "  p_w: {at: 52, type: f32, unit: W, range: [-50000, 50000], scale: -1}\n"
    )
    house = OFF.replace("location: inverter", "location: connection").replace("map: eastron-sdm630", f"map: {acme}")
    (line,) = complaints(tmp_path, house.replace("L1L2L3", "split") + HOUSE)
    assert line.startswith(
        f"site.yaml:6: site_limits needs the power of each phase, and map = {acme} has no p1_w, p2_w"
    )
    assert site_of(tmp_path, house.replace("L1L2L3", "L1") + HOUSE).settings.site_limits.enable  # the total is L1


# fmt: off
ASKED = [
    # location     limits   rows  why
    ("inverter",   "",      6,    "the unit's own power"),
    ("connection", "",      4,    "the house's power is not the unit's, and nobody needs it"),
    ("connection", HOUSE,   11,   "limits need total, phases and currents"),
]
# fmt: on


@pytest.mark.parametrize(("location", "limits", "rows", "why"), ASKED, ids=[c[-1] for c in ASKED])
def test_the_meter_is_asked_for_what_its_place_makes_useful(
    tmp_path: Path, location: str, limits: str, rows: int, why: str
) -> None:
    site = site_of(tmp_path, OFF.replace("location: inverter", f"location: {location}") + limits)
    assert len(plan_of_meter(site, load_map(site.meter.map), 2.0).decodes) == rows
