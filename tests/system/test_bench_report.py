"""The bench's report in a real browser, narrow and wide, light and dark: self-contained, quiet, its plots there.

Once of a run written by hand (every verdict), once of a run in virtual time, from the procedure to the file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.bench.expand import make_plan
from controller.bench.folder import RunFolder
from controller.bench.judge import judge_plan
from controller.bench.judgement import Verdict
from controller.bench.judgementfile import write_judgement
from controller.bench.procedurefile import load_procedure
from controller.bench.report.make import read_judged, write_report
from controller.bench.report.page import page
from controller.bench.runner import run_cases
from controller.bench.virtual import VirtualRig
from controller.bench.world import Flaws
from tests.controller.bench.golden import EUT
from tests.controller.bench.written_run import run
from tests.system.test_report_page import SCHEMES, WIDTHS, look_well

GOOD = VirtualRig(EUT, seed=1)
# fmt: off
RIGS = [
    # volt-var, characteristic 2   rig                                               verdict
    ("discharge-100",              GOOD,                                             Verdict.PASS),
    ("discharge-20",               replace(GOOD, lag_s=3.0),                         Verdict.FAIL),  # T_r is 1 s
    ("charge-100",                 replace(GOOD, flaws=Flaws(frozen_after_s=40.0)),  Verdict.INVALID),
]
# fmt: on


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three cases: a good unit, a slow one, a meter that freezes."""
    plan = make_plan([load_procedure("volt_var")], EUT, seed=1)
    cases = {c.id: c for c in plan.cases}
    plan = replace(plan, cases=tuple(cases[f"volt_var-char_2-{name}"] for name, _, _ in RIGS))
    folder = RunFolder.create(tmp_path_factory.mktemp("bench") / "run", plan, {"name": "virtual"})
    for case, (_, rig, _) in zip(plan.cases, RIGS, strict=True):
        run_cases([case], rig.open, folder, lambda _: None)
    found = judge_plan(plan, folder.record)
    assert [j.verdict for j in found] == [verdict for _, _, verdict in RIGS]
    write_judgement(folder.path / "judgement.json", found)
    return write_report(read_judged(folder.path))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_written_run(tmp_path: Path, width: int, scheme: str) -> None:
    plan, records, judgements = run()
    seen = look_well(page(plan, {"name": "virtual"}, records.get, judgements), tmp_path, width, scheme, "fail")
    # over time: volt-var twice, droop, trip, volt-watt; characteristic: volt-var twice, droop; closely: trip
    assert seen["plots"] == 9


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_in_virtual_time(virtual: Path, tmp_path: Path, width: int, scheme: str) -> None:
    seen = look_well(virtual.read_text(encoding="utf-8"), tmp_path, width, scheme, "fail")
    assert seen["plots"] == 6, "over time and over the curve, each case"
