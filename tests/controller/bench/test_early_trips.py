"""A unit that trips too early fails, at the step that shows it: inside the hold, or in the ramp before its setting.

OF2 at 61.8 Hz, 0.16 s: held at 61.182 Hz, then at 61.78 Hz, then beyond. OV2 at 1.20 pu: held at 1.18 pu, then beyond.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.bench.judgement import Verdict
from tests.conformance.bench import case_of, judged
from tests.conformance.mutants import Spoiled, trip_level
from tests.controller.bench.golden import EUT

# fmt: off
EARLY = [
    # case                         of   too low by  fails in    why
    ("frequency_trip-OF2-min-min", "f", 0.3,        "edge-1",   "at 61.5 Hz: on the ramp, before the setting"),
    ("frequency_trip-OF2-min-min", "f", 0.7,        "inside-1", "at 61.1 Hz: where it is held"),
    ("voltage_trip-OV2-min-min-*", "v", 0.03,       "inside-1", "at 1.17 pu: where it is held"),
]
# fmt: on


@pytest.mark.parametrize(("case", "of", "low", "step", "why"), EARLY, ids=[row[-1] for row in EARLY])
def test_where_it_fails(case: str, of: str, low: float, step: str, why: str) -> None:
    def make(settings: object, period_s: float) -> Spoiled:
        return Spoiled(settings, period_s, True, lambda unit: trip_level(unit, of, True, -low))

    once = case_of(EUT, case)
    once = replace(once, steps=tuple(step for step in once.steps if step.name.endswith("-1")))  # of five repetitions
    found = judged(once, EUT, make, "early")
    failed = [check.step for check in found.checks if check.verdict is Verdict.FAIL]
    assert (found.verdict, failed[0]) == (Verdict.FAIL, step), found.reasons
