"""Expanded procedures of power steps, trips, ride-through and enter service against tables worked out by pencil.

MRA_V = 2.4 V, MRA_t = 1 % of the time and at least 2 cycles (33.3 ms), a_P = 750 W; V_N = 240 V, 60 Hz.
"""

import cmath
import math
from dataclasses import replace
from itertools import pairwise

import pytest

from controller.bench.plan import Case, Crosses, Inside, Observed, Smooth
from tests.controller.bench.golden import EUT, cases, targets

# fmt: off
WATT_VAR_P = {  # W on the way up: P_min, P1 -+ a_P, middle, P2 -+ a_P, middle, P3 -+ a_P (clipped), P_rated
    "discharge": (0, 1250, 2750, 3500, 4250, 5750, 7500, 9250, 10000, 10000),
    "charge": (0, -1250, -2750, -3500, -4250, -5750, -7500, -9250, -10000, -10000),
}
WATT_VAR_Q = {  # var at these powers; between -P1 and P1 the line goes on
    "char_1-discharge": (0, 0, 0, 0, 0, -660, -2200, -3740, -4400, -4400),
    "char_1-charge": (0, 0, 0, 0, 0, 660, 2200, 3740, 4400, 4400),
    "char_2-discharge": (0, -1375, -2200, -2200, -2200, -2530, -3300, -4070, -4400, -4400),
    "char_3-discharge": (0, 0, -1100, -2200, -3300, -4400, -4400, -4400, -4400, -4400),
    "char_3-charge": (0, 0, 1100, 2200, 3300, 4400, 4400, 4400, 4400, 4400),
}
POWER_FACTOR = {  # case: Q at full power (tan of acos: 0.4843 at 0.90, 0.3287 at 0.95), excitation written
    "max_inject": (4843.221, "inject"), "mid_inject": (3286.841, "inject"),
    "max_absorb": (-4843.221, "absorb"), "mid_absorb": (-3286.841, "absorb"),
    "charge_max_inject": (4843.221, "absorb"), "charge_mid_absorb": (-3286.841, "inject"),
}
VOLTAGE_TRIP = [  # case, V inside, hold, V beyond, hold, clearing time
    ("OV2-min-min-all", 283.2, 0.226666667, 292.8, 0.66, 0.16),     # 1.20 -+ 0.02
    ("OV1-min-min-all", 259.2, 1.066666667, 268.8, 1.5, 1),
    ("OV1-min-max-all", 259.2, 13.26, 268.8, 19.5, 13),
    ("OV1-max-min-all", 283.2, 1.066666667, 292.8, 1.5, 1),
    ("OV1-max-max-all", 283.2, 13.26, 292.8, 19.5, 13),
    ("UV1-max-min-all", 216.0, 21.42, 206.4, 31.5, 21),
    ("UV1-max-max-all", 216.0, 51, 206.4, 75, 50),
    ("UV2-max-min-all", 124.8, 2.066666667, 115.2, 3, 2),
    ("UV2-max-max-all", 124.8, 21.42, 115.2, 31.5, 21),
]
FREQUENCY_TRIP = [  # case, Hz 1 % inside, hold, 2 MRA_f inside, 1 % beyond, hold, clearing time
    ("OF2-min-min", 61.182, 0.226666667, 61.78, 62.418, 0.66, 0.16),
    ("OF2-max-max", 65.34, 1020, 65.98, 66.66, 1500, 1000),
    ("OF1-min-min", 60.39, 183.6, 60.98, 61.61, 270, 180),
    ("OF1-max-max", 65.34, 1020, 65.98, 66.66, 1500, 1000),
    ("UF1-max-min", 59.59, 183.6, 59.02, 58.41, 270, 180),
    ("UF2-max-min", 57.57, 0.226666667, 57.02, 56.43, 0.66, 0.16),
    ("UF2-min-max", 50.5, 1020, 50.02, 49.5, 1500, 1000),
]
ENTER = [  # case, delay, ramp, random, wait, V before and after, Hz before and after, steps that are run
    ("1", 300, 300, 0, 600, 215.28, 224.88, 60, 60, "e f h i i_out j k l"),
    ("2", 0, 0, 300, 300, 240, 240, 59.48, 59.52, "e f h j k"),
    ("3", 600, 1000, 0, 1200, 259.2, 249.6, 60, 60, "e f h i i_out j k l"),
    ("4", 0, 0, 1000, 1000, 240, 240, 61.02, 60.98, "e f h j k"),
    ("5", 0, 1, 0, 60, 206.4, 216, 60, 60, "e f h j k"),
    ("6", 0, 0, 1, 60, 240, 240, 58.98, 59.02, "e f h j k"),
]
A, B, C, D, E = ("A", 225.6, 5), ("B", 7.2, 1), ("C", 115.2, 9), ("D", 144, 10), ("E", 225.6, 120)
LVRT_III = [A, B, C, D, A, B, C, D, A, B, C, D, E, A, B, ("C'", 144, 9), D, E]
H_A, H_B, H_C = ("A", 252, 5), ("B", 285.6, 12), ("C", 252, 120)
HVRT_III = [H_A, H_B, H_A, H_B, H_A, H_B, H_C, H_A, ("B'", 276, 12), H_C]
a, b, c = ("A", 225.6, 10), ("B", 36, 0.16), ("C", 96, 0.16)
d, e, f = ("D", 132, 2.68), ("E", 180, 2), ("F", 225.6, 120)
LVRT_II = [a, b, c, d, e, a, b, c, d, e, f, a, b, c, ("D'", 180, 7.68), f]
h_a, h_b, h_c, h_d = ("A", 252, 10), ("B", 285.6, 0.2), ("C", 279.6, 0.3), ("D", 273.6, 0.5)
HVRT_II = [h_a, h_b, h_c, h_d, h_a, h_b, h_c, h_d, ("E", 252, 120)]
# fmt: on


def base(name: str) -> str:
    """A step's name without the number of its turn."""
    return name.rpartition("-")[0] or name


def played(case: Case) -> list[tuple[str, float, float]]:
    return [(base(step.name), step.point.v1_v, step.hold_s) for step in case.steps]


@pytest.mark.parametrize("direction", WATT_VAR_P)
def test_watt_var_powers(direction: str) -> None:
    up = WATT_VAR_P[direction]
    for curve in ("char_1", "char_2", "char_3"):
        case = cases("watt_var")[f"watt_var-{curve}-{direction}"]
        assert [step.demand_w for step in case.steps] == [*up, *reversed(up[:-1])]


@pytest.mark.parametrize("name", WATT_VAR_Q)
def test_watt_var_answers(name: str) -> None:
    steps = cases("watt_var")[f"watt_var-{name}"].steps[:10]
    powers = WATT_VAR_P[name.partition("-")[2]]
    found = [targets(step, "q_var", {"p_w": p}) for step, p in zip(steps, powers, strict=True)]
    assert found == pytest.approx(WATT_VAR_Q[name], abs=0.1)


@pytest.mark.parametrize("name", POWER_FACTOR)
def test_constant_power_factor(name: str) -> None:
    case = cases("constant_pf")[f"constant_pf-{name}"]
    full_w = -10000.0 if name.startswith("charge") else 10000.0
    q, excitation = POWER_FACTOR[name]
    assert case.settings["power_factor.excitation"] == excitation
    assert targets(case.steps[0], "q_var", {"p_w": full_w}) == pytest.approx(q, abs=0.1)
    assert [step.demand_w for step in case.steps[:3]] == [full_w, 0.2 * full_w, full_w]
    assert [step.point.v1_v for step in case.steps[3:]] == [214.8, 260.4, 214.8, 240.0]
    assert case.steps[-1].settings == {"reactive.mode": "off"}
    assert targets(case.steps[-1], "q_var", {"p_w": full_w}) == 0


@pytest.mark.parametrize(("setting", "pf"), [("max_absorb", 0.97), ("mid_absorb", 0.98), ("max_inject", 0.90)])
def test_power_factors_of_category_a(setting: str, pf: float) -> None:
    case = cases("constant_pf", replace(EUT, normal_category="A", q_absorb_var=2500.0))[f"constant_pf-{setting}"]
    assert case.settings["power_factor.pf"] == pf


@pytest.mark.parametrize(
    ("name", "q"),
    [("max_inject-discharge", 4400), ("max_absorb-charge", -4400),
     ("half_inject-charge", 2200), ("half_absorb-discharge", -2200)],
)  # fmt: skip
def test_constant_reactive_power(name: str, q: float) -> None:
    case = cases("constant_q")[f"constant_q-{name}"]
    way = -1 if name.endswith("-charge") else 1
    assert [step.demand_w for step in case.steps[:4]] == [way * p for p in (10000, 2000, 500, 10000)]
    assert {targets(step, "q_var", {"p_w": 0.0}) for step in case.steps[:-1]} == {q}
    assert case.settings["const_var.q_pu"] == q / 10000


@pytest.mark.parametrize(("name", "v_in", "hold_in", "v_out", "hold_out", "clearing"), VOLTAGE_TRIP)
def test_voltage_trip(name: str, v_in: float, hold_in: float, v_out: float, hold_out: float, clearing: float) -> None:
    case = cases("voltage_trip")[f"voltage_trip-{name}"]
    assert played(case) == [("inside", v_in, hold_in), ("beyond", v_out, hold_out), ("back", 240.0, 40.0)] * 5
    check_trip(case, clearing)
    assert (case.settings["voltage_trip.owner"], case.settings["enter_service.owner"]) == ("controller", "controller")


@pytest.mark.parametrize(("name", "f_in", "hold_in", "f_edge", "f_out", "hold_out", "clearing"), FREQUENCY_TRIP)
def test_frequency_trip(name: str, f_in: float, hold_in: float, f_edge: float, f_out: float, hold_out: float,
                        clearing: float) -> None:  # fmt: skip
    case = cases("frequency_trip")[f"frequency_trip-{name}"]
    found = [(base(step.name), step.point.f_hz, step.hold_s) for step in case.steps]
    once = [("inside", f_in, hold_in), ("edge", f_edge, 1.0), ("beyond", f_out, hold_out), ("back", 60.0, 40.0)]
    assert found == once * 5
    assert {step.ramp_hz_s for step in case.steps} == {3.0}
    check_trip(case, clearing)


def check_trip(case: Case, clearing_s: float) -> None:
    """Nothing happens inside; beyond, power is gone within the clearing time; afterwards it comes back."""
    steps = iter(case.steps)
    for step in steps:
        while base(step.name) in ("inside", "edge"):
            (stays,) = step.criteria
            assert isinstance(stays, Inside)
            assert (stays.y, stays.low, stays.from_s, stays.to_s) == ("p_w", 750.0, 0.0, step.hold_s)
            step = next(steps)
        beyond, back = step, next(steps)
        goes, *_ = beyond.criteria
        assert isinstance(goes, Crosses)
        assert (goes.y, goes.level, goes.falling, goes.not_after_s) == ("p_w", 750.0, True, clearing_s)
        (returns,) = back.criteria
        assert isinstance(returns, Crosses)
        assert not returns.falling


def test_trips_that_cannot_be_tested_or_stand_once() -> None:
    found = cases("voltage_trip")
    skipped = {name.removeprefix("voltage_trip-") for name, case in found.items() if case.skipped}
    lowest = {f"{uv}-min-{time}-all" for uv in ("UV1", "UV2") for time in ("min", "max")}
    assert skipped == lowest  # 0 V: there is nothing below
    assert len(found) == 13  # OV2 is fixed: one case; the other three have four
    assert len(cases("voltage_trip", replace(EUT, phases=3))) == 52  # all phases, and each of them


def test_the_other_trips_keep_out_of_the_way() -> None:
    uv2 = cases("voltage_trip")["voltage_trip-UV2-max-max-all"].settings
    assert [uv2[f"voltage_trip.{key}"] for key in ("ov1_pu", "ov1_s", "uv1_pu", "uv1_s")] == [1.2, 13, 0.88, 50]
    of1 = cases("frequency_trip")["frequency_trip-OF1-min-min"].settings
    assert [of1[f"frequency_trip.{key}"] for key in ("of1_hz", "of1_s", "of2_hz", "of2_s")] == [61, 180, 66, 1000]
    assert [of1[f"frequency_trip.{key}"] for key in ("uf1_hz", "uf1_s", "uf2_hz", "uf2_s")] == [50, 1000, 50, 1000]


@pytest.mark.parametrize(("name", "delay", "ramp", "random", "wait", "v0", "v1", "f0", "f1", "run"), ENTER)
def test_enter_service(name: str, delay: float, ramp: float, random: float, wait: float, v0: float, v1: float,
                       f0: float, f1: float, run: str) -> None:  # fmt: skip
    case = cases("enter_service")[f"enter_service-{name}"]
    step = {one.name: one for one in case.steps if not one.skipped}
    assert " ".join(step) == run
    assert [case.settings[f"enter_service.{key}_s"] for key in ("delay", "ramp", "random")] == [delay, ramp, random]
    assert (step["e"].hold_s, step["h"].hold_s, step["h"].permit) == (wait, wait, True)
    assert [(step[s].point.v1_v, step[s].point.f_hz) for s in ("f", "h", "j")] == [(v0, f0), (v0, f0), (v1, f1)]
    starts = next(c for c in step["j"].criteria if isinstance(c, Crosses))
    share = starts.level / 10000  # of rated power, along the ramp
    assert starts.not_before_s == pytest.approx(delay + ramp * share)
    assert any(isinstance(c, Smooth) and c.most == 2000 for c in step["j"].criteria) == (ramp > 0)
    (ends,) = step["k"].criteria
    assert isinstance(ends, Crosses)
    assert (step["k"].permit, ends.falling, ends.not_after_s) == (False, True, 2.0)
    if delay:
        assert (step["i"].hold_s, step["i_out"].hold_s) == (delay / 4, 0.1)
        assert step["i_out"].criteria == (Observed(0.05),)


@pytest.mark.parametrize(
    ("procedure", "category", "sequence"),
    [("lvrt_cat_iii", "III", LVRT_III), ("hvrt_cat_iii", "III", HVRT_III),
     ("lvrt_cat_ii", "II", LVRT_II), ("hvrt_cat_ii", "II", HVRT_II)],
)  # fmt: skip
def test_voltage_ride_through(procedure: str, category: str, sequence: list[tuple[str, float, float]]) -> None:
    found = cases(procedure, replace(EUT, abnormal_category=category))
    assert [case.start.demand_w for case in found.values()] == [10000, 4000]
    for case in found.values():
        assert played(case) == sequence
        assert case.settings["ride_through.owner"] == "controller"
    others = {"I", "II", "III"} - {category}
    assert not any(cases(procedure, replace(EUT, abnormal_category=other)) for other in others)


def test_momentary_cessation_and_return() -> None:
    steps = cases("lvrt_cat_iii")["lvrt_cat_iii-100"].steps
    gone = next(step for step in steps if step.name == "B-2").criteria[0]
    assert isinstance(gone, Inside)
    assert (gone.y, gone.high, gone.before, round(gone.from_s, 4)) == ("i_a", 0.1, "B-2", 0.1163)  # 0.083 s, 2 cycles
    stays = next(step for step in steps if step.name == "D-2").criteria[0]
    assert isinstance(stays, Inside)
    assert (stays.y, stays.low, stays.before, stays.from_s) == ("i_a", 0.8, "B-2", 0.4)
    first, second = (next(step for step in steps if step.name == name).criteria for name in ("A-1", "A-2"))
    assert first == ()  # nothing has happened yet
    assert isinstance(second[0], Inside)
    assert (second[0].before, second[0].low) == ("B-1", 0.8)


@pytest.mark.parametrize(("side", "f_hz"), [("low", 57.0), ("high", 61.8)])
@pytest.mark.parametrize(("category", "rocof"), [("I", 0.5), ("II", 2.0), ("III", 3.0)])
def test_frequency_ride_through(side: str, f_hz: float, category: str, rocof: float) -> None:
    found = cases("freq_ride_through", replace(EUT, abnormal_category=category))
    for direction in ("discharge", "charge"):
        steps = found[f"freq_ride_through-{side}-{direction}"].steps
        found_steps = [(step.point.f_hz, step.hold_s, step.ramp_hz_s) for step in steps]
        assert found_steps == [(f_hz, 299, rocof), (60, 60, rocof)] * 3


def test_rocof_crosses_the_whole_band() -> None:
    steps = cases("rocof")["rocof-discharge"].steps
    assert [(step.point.f_hz, step.ramp_hz_s) for step in steps] == [(57.0, 3.0), (61.8, 3.0), (60.0, 3.0)] * 3


def positive_sequence_deg(a1_deg: float, a2_deg: float, a3_deg: float) -> float:
    """Of three equal phases: (V1 + a V2 + a^2 V3) / 3, a = 1 at 120 degrees."""
    return math.degrees(
        cmath.phase(sum(cmath.rect(1.0, math.radians(x)) for x in (a1_deg, a2_deg + 120, a3_deg - 120)))
    )


def test_phase_jumps() -> None:
    three = cases("phase_jump", replace(EUT, phases=3))["phase_jump-discharge"].steps
    angles = [(s.point.a1_deg, s.point.a2_deg, s.point.a3_deg) for s in three]
    rest = (0, -120, 120)
    jumps = [(60, -120, 120), (0, -60, 120), (0, -120, 180), (20, -100, 140), (-20, -140, 100)]
    assert angles == [rest, *(to for jump in jumps for to in (jump, rest))]
    assert [s.hold_s for s in three] == [35, 0.4, 35, 0.4, 35, 0.4, 35, 60, 35, 60, 35]
    together = [positive_sequence_deg(*to) for to in angles]
    assert max(abs(b - a) for a, b in pairwise(together)) == pytest.approx(20.0)  # 1547-2018 6.5.2.6: 20 at most
    assert [s.name for s in cases("phase_jump")["phase_jump-discharge"].steps if s.skipped] == ["C", "D"]
