"""A case's record by its steps: when each began, arrived and ended, and which check belongs to which criterion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.bench.judgement import Check
from controller.bench.plan import Case, Criterion, Step
from controller.bench.record import CaseRecord


@dataclass(frozen=True, slots=True)
class Stay:
    """One step as it was run. NaN: it never arrived, or never ended."""

    begin_s: float
    arrived_s: float
    end_s: float


def stays(record: CaseRecord) -> dict[str, Stay]:
    """Every step that was begun, in order."""
    times: dict[str, dict[str, float]] = {}
    t0_ns = begin_ns(record)
    for event in record.events:
        if event.kind in ("step", "arrived", "end"):
            times.setdefault(str(event.data["name"]), {})[event.kind] = (event.t_ns - t0_ns) / 1e9
    nan = float("nan")
    return {n: Stay(t.get("step", nan), t.get("arrived", nan), t.get("end", nan)) for n, t in times.items()}


def begin_ns(record: CaseRecord) -> int:
    """The first thing that was noted; 0: nothing was."""
    return min(_ends_ns(record), default=0)


def length_s(record: CaseRecord) -> float:
    """From the first to the last thing that was noted."""
    return (max(_ends_ns(record), default=0) - begin_ns(record)) / 1e9


def _ends_ns(record: CaseRecord) -> list[int]:
    """First and last of events and samples."""
    events, t_ns = record.events, record.samples["t_ns"]
    return [e.t_ns for e in events[:1] + events[-1:]] + [int(t) for t in (*t_ns[:1], *t_ns[-1:])]


def judged(case: Case, checks: Sequence[Check]) -> Iterator[tuple[Step, Criterion, Check]]:
    """Each check beside its criterion: the same step, kind and quantity, in the same order."""
    waiting = list(checks)
    for step in case.steps:
        for criterion in step.criteria:
            quantity = getattr(criterion, "y", "")
            found = next(
                (c for c in waiting if (c.step, c.kind, c.quantity) == (step.name, criterion.kind, quantity)), None
            )
            if found is not None:
                waiting.remove(found)
                yield step, criterion, found
