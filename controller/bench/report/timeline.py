"""One case over time: all of it, and the moments that all of it is too long to show.

Shapes   times in seconds since the case's first event; a window of a check lies after the arrival of its step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from controller.bench.judgement import Check, Verdict
from controller.bench.plan import Case, Crosses, Eut
from controller.bench.record import CaseRecord
from controller.bench.report.panels import TITLES, Drawn, Judged
from controller.bench.report.steps import judged, length_s, stays
from controller.report.chart import chart

WIDTH, NARROW = 620, 360  # px
HEAD = 14  # px for the names of the steps above the first panel
UNITS_S = ((36_000.0, 3600.0, "h"), (1_800.0, 60.0, "min"), (0.0, 1.0, "s"))  # from so long on, in seconds, name
SHORT = 0.1  # of a case: what happens within it is a moment
MOST_MOMENTS = 2
BEFORE, AFTER = 0.4, 1.6  # shown of a moment, in parts of what it may last


def timeline(eut: Eut, case: Case, record: CaseRecord, checks: Sequence[Check], most_points: int) -> str:
    """The chart as <svg> text; empty: nothing was measured."""
    if not len(record.samples):
        return ""
    seconds = max(length_s(record), 1e-3)
    per_unit_s, unit = next((per, name) for least, per, name in UNITS_S if seconds >= least)
    run = Drawn(eut, record, stays(record), (0.0, seconds), most_points, per_unit_s=per_unit_s)
    rows = list(judged(case, checks))
    names = shown(record, rows)
    panels = [run.panel(n, of_quantity(rows, n), WIDTH, HEAD * (n == names[0])) for n in names]
    for name, stay in run.stays.items():
        panels[0].above(run.at(stay.begin_s), run.at(stay.end_s), name)
    return chart(panels, f"time since the case began, {unit}", f"{case.title} over time")


def moments(eut: Eut, case: Case, record: CaseRecord, checks: Sequence[Check], most_points: int) -> list[str]:
    """What has to happen quickly, seen closely: those that failed, else the first. As <svg> text."""
    short_s = SHORT * length_s(record)
    arrived_s = {name: stay.arrived_s for name, stay in stays(record).items() if math.isfinite(stay.arrived_s)}
    found = [
        (row, lasts_s)
        for row in judged(case, checks)
        if row[0].name in arrived_s and 0.0 < (lasts_s := may_last_s(row)) < short_s
    ]
    failed = [pair for pair in found if pair[0][2].verdict is not Verdict.PASS]
    pictures = []
    for row, lasts_s in (failed or found)[:MOST_MOMENTS]:
        step, _, check = row
        zero_s = arrived_s[step.name]
        over_s = zero_s - BEFORE * lasts_s, zero_s + AFTER * lasts_s
        near = Drawn(eut, record, stays(record), over_s, most_points, zero_s)
        title = f"Step {step.name}: {TITLES[check.quantity].partition(' (')[0]}"
        panel = near.panel(check.quantity, [row], NARROW, title=title)
        pictures.append(chart([panel], "time since the source arrived, s", f"{case.title}, step {step.name}"))
    return pictures


def may_last_s(row: Judged) -> float:
    """Until something has to have happened, or did; 0: it is no matter of a moment."""
    _, rule, check = row
    return max(rule.not_after_s, check.t_s or 0.0) if isinstance(rule, Crosses) else 0.0


def of_quantity(rows: Iterable[Judged], name: str) -> list[Judged]:
    """Those that judge it."""
    return [row for row in rows if getattr(row[1], "y", "") == name]


def shown(record: CaseRecord, rows: Iterable[Judged]) -> list[str]:
    """What moves or is judged; voltage when the source does not move at all."""
    s, wanted = record.samples, {getattr(criterion, "y", "") for _, criterion, _ in rows}
    told = {"v_v": s["set_v1_v"], "f_hz": s["set_f_hz"]}
    moves = {name for name, values in told.items() if len(np.unique(values[np.isfinite(values)])) > 1}
    wanted |= (moves or {"v_v"}) | {"p_w", "q_var"}
    return [name for name in TITLES if name in wanted]
