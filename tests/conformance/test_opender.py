"""EPRI's OpenDER behind the bench's ports, judged as the product is: the judge does not lean on our core.

It passes what it should, and fails where it is known to do otherwise (tests/peers/rules.py, series_rules.py), at the
step that shows it. Every case of the golden unit stands in one of the tables; what is not run says why. DEPARTURES are
cases made for one known difference each: there the product passes and OpenDER does not.

The unit's own ramp is 10 pu/s, as on the virtual rig. About 0.2 ms a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from importlib.util import find_spec

import pytest

from controller.bench.judgement import CaseJudgement, Verdict
from controller.bench.plan import Case, Eut, Step
from controller.bench.virtual import CAN
from cython_core.settings import Settings
from tests.conformance.bench import case_of, cases_of, judged
from tests.controller.bench.golden import EUT
from tests.need import missing
from tests.peers.opender import INSTALL, Peer

CATEGORY_II = replace(EUT, name="Category B/II", abnormal_category="II")
CATEGORY_A_I = replace(EUT, name="Category A/I", normal_category="A", abnormal_category="I")
QUICK = "volt_watt_above_droop"  # 1600 steps: played every day

# fmt: off
PASSES = (
    "constant_pf-*", "constant_q-*", "enter_service-[256]", "freq_droop_above-*", "freq_droop_below-*",
    "freq_ride_through-*", "frequency_trip-*-min", "hvrt_cat_iii-*", "limit_active_power-*", "lvrt_cat_iii-*",
    "phase_jump-*", "prioritisation-*", "rocof-*", "trace_replay", "volt_var-*", "volt_var_vref-300",
    "volt_watt-char_1-*", "volt_watt-char_2-*", "volt_watt-char_3-*-100", "voltage_trip-OV*",
    "voltage_trip-UV*-max-*-all", "watt_var-*",
)
CEILING = "5.4.2: its lag is on volt-watt's ceiling, not on power: at part load 90 % of a change come late or early"
LATE = "it knows neither late nor missing readings"
CHARGE = "it is told nothing of the car's state of charge"
FAILS = [
    # case                          first step, kind       why
    ("volt_watt-char_3-discharge-66", "r", "response",     CEILING),
    ("volt_watt-char_3-discharge-20", "p", "response",     CEILING),
    ("volt_watt-char_3-charge-66",    "i", "response",     CEILING),
    ("volt_watt-char_3-charge-20",    "i", "response",     CEILING),
    ("loss_of_meter-*",               "silent", "inside",  LATE),
    ("soc_edges-full",                "full", "inside",    CHARGE),
    ("soc_edges-empty",               "empty", "inside",   CHARGE),
]
NOT_RUN = [
    # case                     why
    (QUICK,                    "played every day, below"),
    ("ev_limit",               "it is told nothing of the car's limits"),
    ("enter_service-[134]",    "up to 70 min in steps of 10 ms: case 2 has delay and ramp too"),
    ("frequency_trip-*-max",   "3.5 h each: the longest trip time is a number, the least one is played"),
    ("soak",                   "two hours of one answer: for memory and drift of our own processes"),
    ("volt_var_vref-5000",     "7 h: the reference follows by 300 s in the other case"),
]
# fmt: on


@pytest.fixture(autouse=True, scope="module")
def _present() -> None:
    if find_spec("opender") is None:
        missing("EPRI's OpenDER", INSTALL)


def unit(settings: Settings, period_s: float) -> Peer:
    return Peer(replace(settings, limits=replace(settings.limits, ramp_pu_s=10.0)), period_s)


def played(case: Case, eut: Eut = EUT) -> CaseJudgement:
    return judged(case, eut, unit, "OpenDER 2.2.0")


def failed(found: CaseJudgement) -> list[tuple[str, str]]:
    return [(check.step, check.kind) for check in found.checks if check.verdict is Verdict.FAIL]


def names(patterns: tuple[str, ...], eut: Eut = EUT) -> list[str]:
    return [
        name for name, case in cases_of(eut).items() if not case.skipped and any(fnmatch(name, p) for p in patterns)
    ]


# ---- every case of the golden unit is in one table ----


def test_nothing_is_left_out_silently() -> None:
    tables = [PASSES, *((row[0],) for row in FAILS), *((row[0],) for row in NOT_RUN)]
    possible = [name for name, case in cases_of(EUT).items() if not case.skipped and set(case.needs) <= CAN]
    found = {name: sum(any(fnmatch(name, p) for p in patterns) for patterns in tables) for name in possible}
    assert {name: n for name, n in found.items() if n != 1} == {}
    assert all(names(patterns) for patterns in tables)


def test_a_case_a_day() -> None:
    assert played(case_of(EUT, QUICK)).verdict is Verdict.PASS


@pytest.mark.nightly
@pytest.mark.parametrize("name", names(PASSES))
def test_it_passes_what_it_should(name: str) -> None:
    found = played(case_of(EUT, name))
    assert found.verdict is Verdict.PASS, failed(found) or found.reasons


OF_OTHERS = [
    (eut, name)
    for eut, patterns in (
        (CATEGORY_II, ("lvrt_cat_ii-*", "hvrt_cat_ii-*", "voltage_trip-OV2-*")),
        (CATEGORY_A_I, ("volt_var-char_1-*-66", "constant_pf-max_*", "watt_var-char_1-*")),
    )
    for name in names(patterns, eut)
]


@pytest.mark.nightly
@pytest.mark.parametrize(("eut", "name"), OF_OTHERS, ids=[f"{eut.name}: {name}" for eut, name in OF_OTHERS])
def test_other_categories(eut: Eut, name: str) -> None:
    found = played(case_of(eut, name), eut)
    assert found.verdict is Verdict.PASS, failed(found) or found.reasons


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "step", "kind", "why"),
    [(name, *row[1:]) for row in FAILS for name in names((row[0],))],
)
def test_it_fails_where_it_is_known_to(name: str, step: str, kind: str, why: str) -> None:
    found = played(case_of(EUT, name))
    assert failed(found)[:1] == [(step, kind)], (why, found.reasons)


# ---- one case a departure ----


def limit_of_rated_power(case: Case) -> Case:
    """A power limit that limits nothing."""
    return replace(case, settings={**case.settings, "active_limit.enable": True, "active_limit.limit_pu": 1.0})


def over_before_under(case: Case) -> Case:
    """The frequency is too high first, and goes through the dead band within one step."""
    deep: Step = min(case.steps, key=lambda step: step.point.f_hz)
    over = replace(deep, name="over", point=replace(deep.point, f_hz=60.6), ramp_hz_s=0.0, hold_s=40.0, criteria=())
    return replace(case, steps=(over, replace(deep, ramp_hz_s=0.0)))


# fmt: off
DEPARTURES: list[tuple[str, Callable[[Case], Case], str, str, str]] = [
    # case                           what is done to it     first step, kind
    ("volt_watt-char_1-discharge-20", limit_of_rated_power, "g", "steady",
     "4.7: volt-watt and power limit both on, and the demand is left out of the minimum: rated power instead of 20 %"),
    ("freq_droop_below-char_1-discharge_50", over_before_under, "j", "steady",
     "6.5.2.7: from over- to under-frequency in one step it latches its output, with droop's own part in it"),
]
# fmt: on


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "change", "step", "kind", "why"), DEPARTURES, ids=[d[1].__name__ for d in DEPARTURES])
def test_a_known_departure(name: str, change: Callable[[Case], Case], step: str, kind: str, why: str) -> None:
    case = change(case_of(EUT, name))
    assert judged(case, EUT).verdict is Verdict.PASS, "the product"
    found = played(case)
    assert failed(found)[:1] == [(step, kind)], (why, found.reasons)
