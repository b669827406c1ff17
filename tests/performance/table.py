"""What a run of the harness says: a table for a person, the same in Markdown for a document, JSON for a program."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tests.performance.harness import Cost, Row, Verdict

HEADER = ("measurement", "contestants", "p50 of each", "p99", "p99.9", "ratio", "gate", "aim", "verdict")
VERSION = 2
FACTS = ("date", "commit", "command", "slices", "kernel", "machine", "python", "fifo", "idle_states", "stolen_percent")
BEGIN, END = "<!-- measured: written by python -m tests.performance --markdown -->", "<!-- end of measured -->"


def number(value: float) -> str:
    """Three digits that matter, and never fewer than the number has before its point; "-" for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if value >= 100.0 else f"{value:.3g}"


def pair(row: Row, name: str) -> str:
    return " / ".join(number(getattr(cost, name)) if cost else "-" for cost in (row.over, row.under))


def limit(row: Row, value: float | None) -> str:
    return "-" if value is None else f"{'<=' if row.gate.at_most else '>='} {value:g}"


def cells(row: Row) -> tuple[str, ...]:
    return (
        row.measurement,
        f"{row.gate.over} / {row.gate.under}",
        f"{pair(row, 'p50')} {row.unit}",
        pair(row, "p99"),
        pair(row, "p999"),
        number(row.ratio),
        limit(row, row.gate.gate),
        limit(row, row.gate.aim),
        row.verdict.value,
    )


def table(rows: Sequence[Row]) -> str:
    """One line a gate; below it what was not run, what differs and what was measured twice."""
    lines = [HEADER, *(cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join(text + notes(rows))


def notes(rows: Sequence[Row]) -> list[str]:
    return [f"{row.verdict.value}: {row.measurement}: {row.note}" for row in rows if row.note]


def markdown(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """The facts as a list, the rows as a table, the notes."""
    lines = [f"* {name.replace('_', ' ')}: {facts[name]}" for name in FACTS if name in facts]
    lines += ["", f"| {' | '.join(HEADER)} |", f"|{' --- |' * len(HEADER)}"]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join([*lines, *(f"\n{note}" for note in notes(rows))])


def put_between(page: str, measured: str) -> str:
    """The page with what stands between BEGIN and END replaced. ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {END if begin else BEGIN!r} in it")
    return f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}"


def as_json(rows: Sequence[Row], **run: Any) -> dict[str, Any]:
    """Everything a row holds but its samples, with what the run says of itself (facts, quick, cpu)."""
    return {
        "v": VERSION,
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
        "first_ratio": row.first,
        "note": row.note,
    }


def cost_json(name: str, cost: Cost | None) -> dict[str, Any]:
    percentiles = {p: getattr(cost, p) if cost else math.nan for p in ("p50", "p99", "p999")}
    return {"name": name, **{p: None if math.isnan(value) else value for p, value in percentiles.items()}}
