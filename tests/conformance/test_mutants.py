"""Every wrong unit fails, and first where it is wrong; the right unit passes the same cases.

The ones that take seconds (long trips) are in `make system`, the others in `make test`. Four wrong at enter
service take half a minute each and are nightly.
"""

from __future__ import annotations

from typing import Any

import pytest

from controller.bench.judgement import Verdict
from cython_core.settings import Settings
from tests.conformance.bench import case_of, judged, up_to
from tests.conformance.mutants import MUTANTS, Mutant, Spoiled
from tests.controller.bench.golden import EUT

LONG = ("enter_service", "volt_var-char_3", "frequency_trip", "voltage_trip", "lvrt", "hvrt", "phase_jump")
LONGEST = ("the delay goes on over an excursion", "enters in steps of 30 %", "enters with half the ramp",
           "permit service off is heard 4 s late")  # fmt: skip


def row(mutant: Mutant) -> Any:
    slow = mutant.case.startswith(LONG)
    marks = pytest.mark.nightly if mutant.name in LONGEST else pytest.mark.system if slow else ()
    return pytest.param(mutant, id=mutant.name, marks=marks)


@pytest.mark.parametrize("mutant", [row(m) for m in MUTANTS])
def test_it_fails_where_it_is_wrong(mutant: Mutant) -> None:
    def make(settings: Settings, period_s: float) -> Spoiled:
        return Spoiled(settings, period_s, True, mutant.spoil)

    case = up_to(case_of(EUT, mutant.case), mutant.step)
    found = judged(case, EUT, make, mutant.name)
    assert found.verdict is Verdict.FAIL, found.reasons
    wrong = [check for check in found.checks if check.verdict is Verdict.FAIL]
    assert (wrong[0].step, wrong[0].kind) == (mutant.step, mutant.kind), (mutant.why, wrong[0].reason)


@pytest.mark.parametrize("pattern", sorted({m.case for m in MUTANTS if not m.case.startswith(LONG)}))
def test_the_right_unit_passes_there(pattern: str) -> None:
    """The compiled core on the same case, whole."""
    found = judged(case_of(EUT, pattern), EUT)
    assert found.verdict is Verdict.PASS, [check.reason for check in found.checks if check.verdict is Verdict.FAIL]


def test_there_are_enough() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 30
    assert set(LONGEST) < {m.name for m in MUTANTS}
