"""What a run found, for programs: results.csv (one row a check), results.json. Pure.

CSV      UTF-8, comma, dot; a case without checks has one row, so nothing is lost. Numbers as Python writes them: they
         read back to the same bits. Absent: empty; in JSON null.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from controller.bench.judgement import CaseJudgement, Check, Verdict, worst
from controller.bench.plan import Case, Plan
from controller.response.judge import plain

OF_WINDOW = ("low", "high", "passed")
COLUMNS = (
    "case", "procedure", "clause", "case_verdict", "step", "what", "kind", "quantity", "verdict", "warning",
    "x", "x_unit", "y", "y_unit", "target", "t_s",
    *(f"standard_{n}" for n in OF_WINDOW), *(f"engineering_{n}" for n in OF_WINDOW), "reason",
)  # fmt: skip
NOT_JUDGED = ("not judged: no judgement of this case is in the run",)
Found = tuple[Case, CaseJudgement]


def found(plan: Plan, judgements: Sequence[CaseJudgement]) -> list[Found]:
    """Every case of the plan, in its order, with what was found; a case that nobody judged is skipped."""
    by_id = {j.id: j for j in judgements}
    return [(c, by_id.get(c.id) or CaseJudgement(c.id, Verdict.SKIPPED, NOT_JUDGED, ())) for c in plan.cases]


def counts(every: Sequence[Found]) -> dict[str, int]:
    """{"pass": 12, "fail": 0, "invalid": 1, "skipped": 3}: cases."""
    by_verdict = Counter(j.verdict for _, j in every)
    return {v.value: by_verdict[v] for v in Verdict}


def warnings(judgement: CaseJudgement) -> int:
    """How many checks hold with the standard's accuracies and not with the bench's own."""
    return sum(c.warning for c in judgement.checks)


def as_csv(plan: Plan, judgements: Sequence[CaseJudgement]) -> str:
    """results.csv."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for case, judgement in found(plan, judgements):
        writer.writerows(_rows(case, judgement))
    return out.getvalue()


def _rows(case: Case, judgement: CaseJudgement) -> Iterator[dict[str, Any]]:
    of_case = {"case": case.id, "procedure": case.procedure, "clause": case.clause, "case_verdict": judgement.verdict}
    what = {s.name: s.what for s in case.steps}
    if not judgement.checks:
        yield of_case | {"verdict": judgement.verdict, "reason": "; ".join(judgement.reasons)}
    for check in judgement.checks:
        yield of_case | _row(check) | {"what": what.get(check.step, "")}


def _row(check: Check) -> dict[str, Any]:
    flat = asdict(check) | {"warning": check.warning}
    for name in ("standard", "engineering"):
        window = flat.pop(name) or {}
        flat |= {f"{name}_{k}": v for k, v in window.items()}
    return {k: "" if v is None else v for k, v in flat.items()}


def as_json(plan: Plan, judgements: Sequence[CaseJudgement], run: dict[str, Any]) -> str:
    """results.json. run: what else is known of the run (hashes, instruments), as it stands in the answer."""
    every = found(plan, judgements)
    answer = {
        "v": 1,
        "verdict": worst(j.verdict for _, j in every),
        "counts": counts(every),
        "warnings": sum(warnings(j) for _, j in every),
        "run": run,
        "eut": asdict(plan.eut),
        "seed": plan.seed,
        "cases": [_case(case, judgement) for case, judgement in every],
    }
    return json.dumps(plain(answer), indent=1, ensure_ascii=False) + "\n"


def _case(case: Case, judgement: CaseJudgement) -> dict[str, Any]:
    of_case = {n: getattr(case, n) for n in ("id", "procedure", "title", "clause", "notes")}
    of_case["settings"] = dict(case.settings)
    checks = [asdict(c) | {"warning": c.warning} for c in judgement.checks]
    of_case |= {"verdict": judgement.verdict, "reasons": judgement.reasons, "record": judgement.record}
    return of_case | {"checks": checks}
