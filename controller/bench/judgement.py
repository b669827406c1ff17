"""What a judge finds: a verdict a criterion, a case, a run.

Verdicts  pass, fail; invalid: the rig, not the unit, was at fault, so nothing is known; skipped: not run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Of a check, a step, a case, a run."""

    PASS = "pass"
    FAIL = "fail"
    INVALID = "invalid"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Window:
    """What was allowed, with one set of accuracies. None: no limit on that side."""

    low: float | None
    high: float | None
    passed: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One criterion of one step, judged with the standard's accuracies and with the bench's own.

    x, y: what was measured, in `x_unit` and `y_unit`; target: what would have been exact. Only `standard` decides;
    engineering alone failed: a warning.
    """

    step: str
    kind: str
    quantity: str
    verdict: Verdict
    reason: str  # one sentence with the numbers
    x: float | None = None
    x_unit: str = ""
    y: float | None = None
    y_unit: str = ""
    target: float | None = None
    t_s: float | None = None  # after arrival, where a time is meant
    standard: Window | None = None
    engineering: Window | None = None

    @property
    def warning(self) -> bool:
        return self.verdict is Verdict.PASS and self.engineering is not None and not self.engineering.passed


@dataclass(frozen=True, slots=True)
class CaseJudgement:
    """One case. reasons: why it is invalid or skipped. record: its digest, empty: there was none; None: not known."""

    id: str
    verdict: Verdict
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    record: str | None = None


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """fail before invalid before pass; skipped only when there is nothing else."""
    found = set(verdicts)
    for verdict in (Verdict.FAIL, Verdict.INVALID, Verdict.PASS):
        if verdict in found:
            return verdict
    return Verdict.SKIPPED
