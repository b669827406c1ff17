"""Expansion: which cases there are, what a step's numbers follow from; a plan depends on nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.bench.criteria import sample_s
from controller.bench.expand import ExpandError, expand, make_plan
from controller.bench.nameplate import not_for
from controller.bench.plan import Case, Crosses, Inside, Response, Smooth, Steady, Step
from controller.bench.planfile import plan_text
from controller.bench.procedurefile import load_all, load_procedure
from cython_core.settings import Settings
from tests.controller.bench.golden import EUT, cases

ALL = load_all()
UNITS = [
    replace(EUT, normal_category="A", abnormal_category="I", q_absorb_var=2500.0),
    replace(EUT, abnormal_category="II", phases=3),
    EUT,
]
MOST_SAMPLES = 2_000_000  # of all procedures for one unit: what a run in virtual time can bear
# fmt: off
SAMPLING = [
    # criterion                                        hold   sample   why
    (Response("q_var", 5, "both", 10, 20),             20,    0.05,    "1 % of T_r"),
    (Response("p_w", 0.2, "both", 0.4, 0.8),           0.8,   0.01,    "never finer than 10 ms"),
    (Crosses("p_w", 750, True, 0, 1000),               1500,  1.0,     "never coarser than 1 s"),
    (Crosses("p_w", 750, False, 300, 600),             600,   1.0,     "the earlier time counts"),
    (Inside("p_w", 0, 0, 0, 2),                        60,    0.02,    "the window"),
    (Inside("p_w", 0.8, 2, 0.4, 120),                  120,   0.01,    "the time by which it must hold"),
    (Steady("p_w", (), "both", 30, 60),                60,    0.3,     "the window"),
    (Smooth("p_w", 100),                               60,    1.0,     "no time of its own"),
]
WRONG = [
    # of the file   instead                   the line
    ("to: 40",      "to: 41",                 "step a: steady to_s = 41 s is after the step's end, 40 s"),
    ("[[1, P]]",    "[[1, P], [0.9, P]]",     "curve flat does not rise in v"),
    ("p: P,",       "p: P / (storage - 1),",  "divides by zero"),
]
# fmt: on
SMALL = """\
schema: 1
title: Small
clause: product
criteria: product
symbols: {P: P_rated}
curves:
  flat: {x: v, points: [[1, P]]}
start: {v: 1, f: f_N, p: P, hold: 10}
steps:
  - step: a
    hold: 40
    judge:
      - steady: {y: p, lowest_of: flat, bound: both, from: 20, to: 40}
"""


@pytest.mark.parametrize(("criterion", "hold", "expected", "why"), SAMPLING, ids=[row[-1] for row in SAMPLING])
def test_sampling(criterion: Crosses, hold: float, expected: float, why: str) -> None:
    assert sample_s([criterion], hold) == expected


@pytest.mark.parametrize(("old", "new", "line"), WRONG, ids=[row[2] for row in WRONG])
def test_what_does_not_work_out(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert old in SMALL
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ExpandError) as caught:
        expand(load_procedure(str(path)), EUT)
    assert str(caught.value).startswith(("small", str(path)))
    assert line in str(caught.value)


@pytest.mark.parametrize("eut", UNITS, ids=lambda eut: f"{eut.normal_category}-{eut.abnormal_category}-{eut.phases}")
def test_every_plan_can_be_run(eut: object) -> None:
    """Settings the product takes, unique names, steps that last, samples that are affordable."""
    assert isinstance(eut, type(EUT))
    plan = make_plan(ALL, eut, 1)
    samples = 0.0
    assert len({case.id for case in plan.cases}) == len(plan.cases)
    for case in plan.cases:
        check_settings(case, eut.normal_category, eut.abnormal_category)
        steps = [case.start, *(step for step in case.steps if not step.skipped)]
        assert len({step.name for step in steps}) == len(steps)
        for step in steps:
            check_step(step)
            samples += step.hold_s / step.sample_s
    assert 100_000 < samples < MOST_SAMPLES


def check_settings(case: Case, normal: str, abnormal: str) -> None:
    groups: dict[str, dict[str, object]] = {"rating": {"normal_category": normal, "abnormal_category": abnormal}}
    for name, value in case.settings.items():
        group, _, key = name.partition(".")
        groups.setdefault(group, {})[key] = value
    Settings.from_mapping(groups)  # SettingError names what is out of its range


def check_step(step: Step) -> None:
    assert step.hold_s > 0.0
    assert 0.01 <= step.sample_s <= 1.0
    assert 0.0 <= step.point.v1_v <= 300.0
    assert 49.0 <= step.point.f_hz <= 67.0
    for criterion in step.criteria:
        if isinstance(criterion, Crosses):
            assert criterion.not_before_s < criterion.not_after_s <= step.hold_s


def test_the_same_files_and_unit_give_the_same_bytes() -> None:
    again = load_procedure("prioritisation")
    (first,) = (p for p in ALL if p.name == again.name)
    assert plan_text(make_plan([again], EUT, 1)) == plan_text(make_plan([first], EUT, 1))


def test_what_a_procedure_is_not_for() -> None:
    assert not_for(load_procedure("lvrt_cat_ii"), EUT) == "for units with abnormal = II; this one has III"
    assert not_for(load_procedure("volt_var_unbalanced"), EUT) == "for units with phases = 3; this one has 1"
    assert not_for(load_procedure("volt_var"), EUT) == ""


def test_what_a_rig_must_be_able_to_do() -> None:
    needs = {p.name: p.needs for p in ALL if p.needs}
    assert needs == {
        "enter_service": ("permit",), "phase_jump": ("angle",), "volt_var_unbalanced": ("three_phase",),
        "volt_watt_unbalanced": ("three_phase",), "loss_of_meter": ("faults",), "frozen_meter": ("wires",),
        "soc_edges": ("faults",), "loss_of_inverter": ("wires",), "latency": ("wires",), "ev_limit": ("faults",),
        "loss_of_broker": ("broker",), "power_cycle": ("processes",),
    }  # fmt: skip


def test_a_unit_that_cannot_charge_skips_what_charges() -> None:
    found = cases("volt_var", replace(EUT, p_charge_rated_w=0.0))
    assert {case.skipped for name, case in found.items() if "-charge-" in name} == {"the unit cannot charge"}
    assert {case.skipped for name, case in found.items() if "-discharge-" in name} == {""}
    assert cases("watt_var", replace(EUT, p_charge_rated_w=0.0)) == {}


def test_a_car_that_cannot_go_below_6_of_16_a_is_not_asked_for_20_percent() -> None:
    """1550 W of 3680 W are 42 %; volt-watt with P2 = 0 leaves 25 % at 1.09 pu."""
    eut = replace(EUT, p_rated_w=3680.0, p_charge_rated_w=3680.0, p_min_w=1550.0, p_charge_min_w=1550.0)
    for name, least in (("volt_watt", "20"), ("freq_droop_above", "20")):
        left_out = {c.skipped: c.id.rpartition("-")[2] for c in cases(name, eut).values() if c.skipped}
        assert left_out == {"the unit cannot hold so little power": least}, name
    one_way = cases("prioritisation", replace(eut, p_charge_rated_w=0.0, p_charge_min_w=0.0))
    assert {c.skipped for c in one_way.values()} == {"volt-watt leaves less than the unit can hold"}
    assert {c.skipped for c in cases("prioritisation", eut).values()} == {""}


@pytest.mark.parametrize("charge_w", [3680.0, 0.0])
def test_every_procedure_has_its_cases_for_such_a_car_too(charge_w: float) -> None:
    eut = replace(
        EUT, p_rated_w=3680.0, p_charge_rated_w=charge_w, p_min_w=1550.0, p_charge_min_w=min(charge_w, 1550.0)
    )
    assert all(expand(procedure, eut) or procedure.leave_out or not_for(procedure, eut) for procedure in ALL)


def test_two_cases_of_one_name_are_no_plan() -> None:
    """The record of one would be judged by the numbers of the other: a file of your own beside the shipped one, say."""
    volt_var = next(p for p in ALL if p.name == "volt_var")
    with pytest.raises(ExpandError, match="case 'volt_var-char_1-discharge-100' is there twice"):
        make_plan([volt_var, replace(volt_var, title="mine")], EUT, 1)
    axis = replace(volt_var.axes[0], rows={"a/b": volt_var.axes[0].rows["char_1"]})
    with pytest.raises(ExpandError, match="case 'volt_var-a/b-discharge-100': no name of a folder: no / in its rows"):
        make_plan([replace(volt_var, axes=(axis, *volt_var.axes[1:]))], EUT, 1)


def test_a_trace_is_ramps_scaled_to_the_grid() -> None:
    """49.1 Hz of 50, 25 s after the fault: 0.9 Hz x 60 / 50 below 60."""
    steps = cases("trace_replay")["trace_replay"].steps
    assert len(steps) == 72
    assert min(step.point.f_hz for step in steps) == pytest.approx(60 - 1.2 * 1.2, abs=0.01)
    moved = [step for step in steps if step.ramp_hz_s]
    assert len(moved) > 60
    assert all(step.hold_s == 2 for step in moved)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(1000, 50000), st.floats(0.5, 1.5), st.sampled_from([120.0, 230.0, 277.0]), st.sampled_from(["A", "B"]),
    st.sampled_from(["I", "II", "III"]),
)  # fmt: skip
def test_any_sensible_unit_has_a_plan(p_w: float, charge: float, v_v: float, normal: str, abnormal: str) -> None:
    """Voltages follow V_N, powers the ratings; every number is one."""
    eut = replace(
        EUT, p_rated_w=p_w, s_rated_va=p_w, p_charge_rated_w=charge * p_w, v_nom_v=v_v, q_inject_var=0.44 * p_w,
        q_absorb_var=(0.25 if normal == "A" else 0.44) * p_w, normal_category=normal, abnormal_category=abnormal,
    )  # fmt: skip
    for name in ("volt_watt", "freq_droop_above", "prioritisation"):
        procedure = next(p for p in ALL if p.name == name)
        for case in expand(procedure, eut):
            for step in case.steps:
                assert 0.85 * v_v <= step.point.v1_v <= 1.11 * v_v
                assert all(abs(y) <= 1.6 * p_w for c in step.criteria if isinstance(c, Steady) and c.y == "p_w"
                           for curve in c.lowest_of for _, y in curve.points)  # fmt: skip
