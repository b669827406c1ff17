"""The judge: a case of the plan and its record -> what was found. Pure: same record and same code, same judgement.

The rig is looked at first (validity.py): its trouble makes the case invalid whatever the checks say. Then each
criterion of each step; one that the record cannot show makes its check invalid ("not observable").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from controller.bench.crossing import crosses
from controller.bench.findings import inside, observed, response, smooth, steady
from controller.bench.judgement import CaseJudgement, Check, Verdict, worst
from controller.bench.plan import Case, Criterion, Crosses, Eut, Inside, Observed, Plan, Response, Smooth, Steady, Step
from controller.bench.record import CaseRecord
from controller.bench.seen import Seen, UnseenError, see
from controller.bench.validity import rig_trouble

NOT_RUN = "not run"


def judge_plan(plan: Plan, record_of: Callable[[str], CaseRecord | None]) -> tuple[CaseJudgement, ...]:
    """Every case, in the plan's order. record_of(case id): None when it was never begun."""
    return tuple(judge_case(case, plan.eut, record_of(case.id)) for case in plan.cases)


def judge_case(case: Case, eut: Eut, record: CaseRecord | None) -> CaseJudgement:
    """Invalid before all: what a rig could not show, in one step, leaves the whole case unjudged; its checks stand."""
    if case.skipped or record is None:
        return CaseJudgement(case.id, Verdict.SKIPPED, (case.skipped or NOT_RUN,), ())
    seen = see(case, record)
    trouble = rig_trouble(case, eut, record, seen)
    checks = tuple(check for step in case.steps for check in judge_step(step, eut, seen))
    blind = tuple(f"step {c.step}: {c.reason}" for c in checks if c.verdict is Verdict.INVALID)
    reasons = trouble or blind
    verdict = Verdict.INVALID if reasons else worst(c.verdict for c in checks)
    if verdict is Verdict.SKIPPED:
        reasons = ("no step has a criterion that could be judged",)
    return CaseJudgement(case.id, verdict, reasons, checks)


def judge_step(step: Step, eut: Eut, seen: Mapping[str, Seen]) -> Iterator[Check]:
    """One check a criterion; none of a step that did not end."""
    if step.skipped:
        yield Check(step.name, "skipped", "", Verdict.SKIPPED, step.skipped)
    if step.skipped or step.name not in seen:
        return
    found = [judge_criterion(c, eut, seen[step.name], seen) for c in step.criteria]
    blind = next((c.reason for c in found if c.kind == "observed" and c.verdict is Verdict.INVALID), "")
    yield from (unseen(step, c, blind) if blind else f for c, f in zip(step.criteria, found, strict=True))


def judge_criterion(rule: Criterion, eut: Eut, seen: Seen, every: Mapping[str, Seen]) -> Check:
    try:
        match rule:
            case Steady():
                return steady(rule, seen, eut)
            case Response():
                return response(rule, seen, eut)
            case Inside():
                return inside(rule, seen, eut, every)
            case Crosses():
                return crosses(rule, seen, eut)
            case Smooth():
                return smooth(rule, seen, eut)
            case Observed():
                return observed(rule, seen)
    except UnseenError as why:
        return unseen(seen.step, rule, f"not observable: {why}")


def unseen(step: Step, rule: Criterion, why: str) -> Check:
    return Check(step.name, rule.kind, getattr(rule, "y", ""), Verdict.INVALID, why)
