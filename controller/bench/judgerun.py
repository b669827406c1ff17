"""All cases of a run folder judged, in several processes. What is judged is the record on disk, as ever after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from controller.bench.folder import RunFolder
from controller.bench.judge import judge_case
from controller.bench.judgement import CaseJudgement
from controller.bench.judgementfile import write_judgement
from controller.bench.plan import Case, Eut, Plan
from controller.bench.spread import spread


def judge_run(folder: RunFolder, plan: Plan, jobs: int, told: Callable[[Case], None]) -> tuple[CaseJudgement, ...]:
    """Every case, in the plan's order, and judgement.json: the same bytes whatever the number of jobs."""
    found = tuple(spread(partial(judge_one, folder, plan.eut), plan.cases, jobs, told))
    write_judgement(folder.path / "judgement.json", found)
    return found


def judge_one(folder: RunFolder, eut: Eut, case: Case) -> CaseJudgement:
    return replace(judge_case(case, eut, folder.record(case.id)), record=folder.digest(case.id))
