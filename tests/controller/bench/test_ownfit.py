"""What of a plan is written to an inverter that is tested by its own functions, and what it cannot be tested for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.bench.ownfit import fitted_case
from controller.bench.plan import Value
from tests.controller.bench.golden import EUT, cases

DROOP = {
    "freq_droop.enable",
    *(f"freq_droop.{key}" for key in ("db_of_hz", "db_uf_hz", "k_of", "k_uf", "t_response_s")),
}
OFF = {"freq_droop.enable", "volt_watt.enable", "reactive.mode"}
PF = {"power_factor.pf", "power_factor.excitation"}
# fmt: off
WRITTEN = [
    # procedure          case             settings                                 why
    ("freq_droop_above", "char_1-66",     OFF | DROOP | PF,                        "droop, at unity power factor"),
    ("constant_pf",      "max_inject",    OFF | PF,                                "nothing of what is off"),
    ("constant_q",       "max_inject-discharge", OFF | {"const_var.q_pu"},  "percent of VAMax"),
]
SKIPPED = [
    # procedure         why it is not run
    ("enter_service",   "enter service (703) is the certified installer's"),
    ("voltage_trip",    "trips by voltage (707, 708) are the certified installer's"),
    ("frequency_trip",  "trips by frequency (709, 710) are the certified installer's"),
    ("lvrt_cat_iii",    "ride-through has no switch in SunSpec models 701 to 715"),
]
# fmt: on


@pytest.mark.parametrize(("procedure", "name", "settings", "why"), WRITTEN, ids=[w[-1] for w in WRITTEN])
def test_what_is_written(procedure: str, name: str, settings: set[str], why: str) -> None:
    case = cases(procedure)[f"{procedure}-{name}"]
    fitted = fitted_case(case, EUT)
    assert set(fitted.settings) == settings, why
    assert fitted.settings.items() <= case.settings.items()
    assert (fitted.start, fitted.skipped) == (replace(case.start, settings=fitted.start.settings), "")


def test_a_function_that_a_step_switches_off_or_on_again() -> None:
    case = cases("constant_pf")["constant_pf-max_inject"]
    off, on = (
        case.steps[-1],
        replace(case.steps[-1], settings={"reactive.mode": "constant_pf", "volt_watt.enable": True}),
    )
    fitted = fitted_case(replace(case, steps=(off, on)), EUT)
    volt_watt: dict[str, Value] = {
        f"volt_watt.{k}": case.settings[f"volt_watt.{k}"] for k in ("v1_pu", "v2_pu", "p2_pu", "olrt_s")
    }
    assert [step.settings for step in fitted.steps] == [{"reactive.mode": "off"}, {**on.settings, **volt_watt}]


@pytest.mark.parametrize(("procedure", "why"), SKIPPED, ids=[s[0] for s in SKIPPED])
def test_what_is_not_run(procedure: str, why: str) -> None:
    assert {case.skipped for case in (fitted_case(c, EUT) for c in cases(procedure).values() if not c.skipped)} == {why}
