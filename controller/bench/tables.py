"""What `v2g bench` shows people on a terminal: procedures, the plan with its durations, the verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from controller.bench.judgement import CaseJudgement, Check, Verdict
from controller.bench.plan import Case, Eut, Plan, Step
from controller.bench.ramp import ramp_s

MARKS = {Verdict.PASS: "pass", Verdict.FAIL: "FAIL", Verdict.INVALID: "INVALID", Verdict.SKIPPED: "skipped"}
Row = tuple[str, str, str, Sequence[Case], str]


def seconds_of(case: Case) -> float:
    """Time on the rig: holds and ramps."""
    if case.skipped:
        return 0.0
    total_s, before = 0.0, case.start.point
    for step in (case.start, *case.steps):
        if not step.skipped:
            total_s += step.hold_s + ramp_s(before, step.point, step)
            before = step.point
    return total_s


def samples_of(case: Case) -> float:
    """What a case costs in virtual time, where waiting costs nothing."""
    run = [step for step in (case.start, *case.steps) if not step.skipped]
    return 0.0 if case.skipped else sum(step.hold_s / step.sample_s for step in run)


def duration_text(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def procedures_table(eut: Eut, rows: Sequence[Row]) -> list[str]:
    """name, clause, title, cases and time; or why it is not for this unit."""
    width = max(len(name) for name, *_ in rows)
    lines = [f"procedures for {eut.name}, Category {eut.normal_category}/{eut.abnormal_category}:"]
    for name, title, clause, cases, why in rows:
        run = [case for case in cases if not case.skipped]
        what = f"not run: {why}" if why else f"{count(len(run), 'case')}, {duration_text(sum(map(seconds_of, run)))}"
        lines.append(f"  {name:<{width}}  {title} ({clause}): {what}")
    return lines


def cases_table(plan: Plan, rig: str) -> list[str]:
    """A line a case, and the sum."""
    width = max(len(case.id) for case in plan.cases)
    lines = [f"plan for {plan.eut.name} on rig {rig}, seed {plan.seed}:"]
    for case in plan.cases:
        what = f"skipped: {case.skipped}" if case.skipped else f"{count(len(run_steps(case)), 'step')}"
        lines.append(f"  {case.id:<{width}}  {duration_text(seconds_of(case)):>9}  {what}")
    run = [case for case in plan.cases if not case.skipped]
    total = f"{count(len(run), 'case')}, {duration_text(sum(map(seconds_of, run)))} (h:min:s) on the rig"
    skipped = len(plan.cases) - len(run)
    return [*lines, total + (f"; {skipped} skipped" if skipped else "")]


def run_steps(case: Case) -> list[Step]:
    return [step for step in case.steps if not step.skipped]


def verdicts_text(plan: Plan, judgements: Sequence[CaseJudgement]) -> list[str]:
    """A line a case; what failed below it; the counts last."""
    titles = {case.id: case.clause for case in plan.cases}
    width = max(len(j.id) for j in judgements)
    lines = []
    for j in judgements:
        warned = sum(check.warning for check in j.checks)
        note = f"  {count(warned, 'warning')} by the bench's own accuracy" if warned else ""
        lines.append(f"{MARKS[j.verdict]:>8}  {j.id:<{width}}  {titles[j.id]}{note}")
        lines += [f"          {reason}" for reason in j.reasons]
        lines += [f"          {line}" for line in failures(j.checks)]
    counts = Counter(j.verdict for j in judgements)
    told = ", ".join(f"{counts[verdict]} {MARKS[verdict].lower()}" for verdict in MARKS if counts[verdict])
    return [*lines, f"{count(len(judgements), 'case')}: {told}"]


def failures(checks: Sequence[Check], most: int = 5) -> list[str]:
    """The first few checks that failed or could not be judged."""
    wrong = [c for c in checks if c.verdict in (Verdict.FAIL, Verdict.INVALID)]
    lines = [f"step {c.step}: {c.kind} of {c.quantity}: {c.reason}" for c in wrong[:most]]
    return lines + ([f"and {len(wrong) - most} more"] if len(wrong) > most else [])


def count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
