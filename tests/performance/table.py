"""What a run of the harness says: a table for a person, JSON for a program."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

from tests.performance.harness import Cost, Row, Verdict

HEADER = ("measurement", "contestants", "p50 of each", "p99 of each", "ratio", "gate", "aim", "verdict")
VERSION = 1


def number(value: float) -> str:
    """Three digits that matter, and never fewer than the number has before its point."""
    return f"{value:.0f}" if value >= 100.0 else f"{value:.3g}"


def pair(row: Row, name: str) -> str:
    return " / ".join(number(getattr(cost, name)) if cost else "-" for cost in (row.over, row.under))


def cells(row: Row) -> tuple[str, ...]:
    sign = "<=" if row.gate.at_most else ">="
    return (
        row.measurement,
        f"{row.gate.over} / {row.gate.under}",
        f"{pair(row, 'p50')} {row.unit}",
        pair(row, "p99"),
        number(row.ratio) if row.ratios else "-",
        f"{sign} {row.gate.gate:g}",
        f"{sign} {row.gate.aim:g}",
        row.verdict.value,
    )


def table(rows: Sequence[Row]) -> str:
    """One line a gate; below it what was not run and what differs."""
    lines = [HEADER, *(cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    text += [f"{row.verdict.value}: {row.measurement}: {row.note}" for row in rows if row.note]
    return "\n".join(text)


def as_json(rows: Sequence[Row], **run: Any) -> dict[str, Any]:
    """Everything a row holds, with what the run says of itself (quick, rounds, cpu)."""
    return {
        "v": VERSION,
        "python": platform.python_version(),
        "machine": platform.machine(),
        **run,
        "gates": [gate_json(row) for row in rows],
    }


def gate_json(row: Row) -> dict[str, Any]:
    timed = row.verdict not in (Verdict.ABSENT, Verdict.DIFFERS)
    return {
        "measurement": row.measurement,
        "unit": row.unit,
        "over": cost_json(row.gate.over, row.over),
        "under": cost_json(row.gate.under, row.under),
        "ratio": row.ratio if timed else None,
        "ratios": list(row.ratios),
        "gate": row.gate.gate,
        "aim": row.gate.aim,
        "at_most": row.gate.at_most,
        "verdict": row.verdict.name.lower(),
        "note": row.note,
    }


def cost_json(name: str, cost: Cost | None) -> dict[str, Any]:
    return {"name": name, "p50": cost.p50 if cost else None, "p99": cost.p99 if cost else None}
