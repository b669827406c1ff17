"""The product's own procedures that need wires and processes, in real time on the rig that the bench starts itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.bench.expand import make_plan
from controller.bench.folder import RunFolder
from controller.bench.judge import judge_plan
from controller.bench.judgement import Verdict
from controller.bench.procedurefile import load_procedure
from controller.bench.rig import load_rig
from controller.bench.wire import run_real

pytestmark = pytest.mark.system
# a controller with its own time to get going; samples that a busy machine does not miss
START_S, SAMPLE_S = 12.0, 0.2
WHOLE = ("latency", "frozen_meter", "loss_of_meter", "loss_of_inverter", "loss_of_broker", "power_cycle", "ev_limit")


def verdicts(path: Path, procedure: str, steps: tuple[str, ...] = ()) -> list[tuple[str, Verdict, tuple[str, ...]]]:
    """steps: of the procedure; none: all. Case, verdict, what was wrong."""
    rig = load_rig("loopback")
    plan = make_plan([load_procedure(procedure)], rig.eut, 1)
    cases = []
    for case in plan.cases:
        chosen = [s for s in case.steps if not steps or s.name in steps]
        slow = tuple(replace(s, sample_s=max(s.sample_s, SAMPLE_S)) for s in chosen)
        cases.append(replace(case, start=replace(case.start, hold_s=START_S), steps=slow))
    plan = replace(plan, cases=tuple(cases))
    folder = RunFolder.create(path / "run", plan, {})
    run_real(rig, plan.eut, plan.cases, folder, lambda _: None)
    judgements = judge_plan(plan, folder.record)
    return [
        (j.id, j.verdict, (*j.reasons, *(c.reason for c in j.checks if c.verdict is Verdict.FAIL))) for j in judgements
    ]


def test_late_devices(tmp_path: Path) -> None:
    """The wires are 50 and 120 ms late: less than the time-outs, and nothing to T_r of 5 s."""
    assert verdicts(tmp_path, "latency", ("late",)) == [("latency", Verdict.PASS, ())]


@pytest.mark.nightly
@pytest.mark.parametrize("procedure", WHOLE)
def test_whole_procedure(tmp_path: Path, procedure: str) -> None:
    found = verdicts(tmp_path, procedure)
    assert found
    assert [(name, verdict, wrong) for name, verdict, wrong in found if verdict is not Verdict.PASS] == []
