"""What is wrong with the rig is never blamed on the unit, and never covered by it: invalid, with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from controller.bench.judgement import Verdict
from controller.bench.record import CaseRecord
from controller.bench.world import Flaws
from cython_core.settings import Settings
from tests.conformance.bench import IDEAL, case_of, judged, up_to
from tests.conformance.mutants import Spoiled, q_gain
from tests.controller.bench.golden import EUT

Spoil = Callable[[CaseRecord], CaseRecord]


def as_it_is(record: CaseRecord) -> CaseRecord:
    return record


def three_lost(record: CaseRecord) -> CaseRecord:
    """Three readings in a row, in the middle of a step."""
    middle = len(record.samples) // 2
    return replace(record, samples=np.delete(record.samples, slice(middle, middle + 3)))


def read_back_differs(record: CaseRecord) -> CaseRecord:
    """The unit has kept another slope than was written."""
    events = [
        replace(e, data={**e.data, "read": {**e.data["read"], "volt_var.v4_pu": 1.06}}) if e.kind == "settings" else e
        for e in record.events
    ]
    return replace(record, events=tuple(events))


# fmt: off
FAULTS: list[tuple[Flaws, Spoil, str, str]] = [
    # flaw of the rig, what happens to the record, a word of the reason, why
    (Flaws(source_gain=1.02), as_it_is, "source is off", "2 % more voltage than it says: 4.8 V, half of it may be"),
    (Flaws(frozen_after_s=40.0), as_it_is, "frozen", "the meter repeats one answer, although the source moves"),
    (IDEAL, three_lost, "samples are missing", "three readings are lost"),
    (IDEAL, read_back_differs, "volt_var.v4_pu", "the read-back is not what was written"),
    (Flaws(refresh_s=2.0), as_it_is, "8 are needed", "the meter is too slow for T_r = 5 s"),
]
# fmt: on


@pytest.mark.parametrize(("flaws", "spoil", "word", "why"), FAULTS, ids=[why for *_, why in FAULTS])
@pytest.mark.parametrize("gain", [1.0, 0.5], ids=["right unit", "wrong unit"])
def test_it_is_invalid(flaws: Flaws, spoil: Spoil, word: str, why: str, gain: float) -> None:
    def make(settings: Settings, period_s: float) -> Spoiled:
        return Spoiled(settings, period_s, True, lambda unit: q_gain(unit, gain))

    found = judged(up_to(case_of(EUT, "volt_var-char_1-discharge-100"), "k"), EUT, make, "unit", flaws, spoil)
    assert found.verdict is Verdict.INVALID, why
    assert word in " ".join(found.reasons)
