"""One case over time: what the source was told, what was measured, what was allowed and when.

Shapes   times in seconds since the case's first event; a window of a check lies after the arrival of its step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from controller.bench.judgement import Check, Window
from controller.bench.plan import Case, Criterion, Crosses, Eut, Inside, Response, Steady, Step
from controller.bench.record import CaseRecord
from controller.report.chart import Panel, chart, corners, span, thin
from controller.response.formula import Floats

TITLES = {
    "v_v": "Voltage, V",
    "f_hz": "Frequency, Hz",
    "p_w": "Active power, W (+ = into the grid)",
    "q_var": "Reactive power, var (+ = into the grid)",
    "i_a": "Current, A",
}
LEAST_SEEN_PU = {"v_v": 0.01, "f_hz": 0.001, "p_w": 0.1, "q_var": 0.1, "i_a": 0.1}  # of a constant, of its rating
HEIGHT, HEAD = 104, 14  # px of a panel, and of the names of the steps above the first
UNITS_S = ((36_000.0, 3600.0, "h"), (1_800.0, 60.0, "min"), (0.0, 1.0, "s"))  # from so long on, in seconds, name


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


def timeline(eut: Eut, case: Case, record: CaseRecord, checks: Sequence[Check], most_points: int) -> str:
    """The chart as <svg> text; empty: nothing was measured."""
    if not len(record.samples):
        return ""
    seconds = max(length_s(record), 1e-3)
    per_unit_s, unit = next((per, name) for least, per, name in UNITS_S if seconds >= least)
    run = Drawn(eut, record, stays(record), seconds, per_unit_s, most_points)
    rows = list(judged(case, checks))
    names = shown(record, rows)
    panels = [run.panel(n, [r for r in rows if getattr(r[1], "y", "") == n], HEAD * (n == names[0])) for n in names]
    for name, stay in run.stays.items():
        panels[0].above(run.at(stay.begin_s), run.at(stay.end_s), name)
    return chart(panels, f"time since the case began, {unit}", f"{case.title} over time")


def shown(record: CaseRecord, rows: Iterable[tuple[Step, Criterion, Check]]) -> list[str]:
    """What moves or is judged; voltage when the source does not move at all."""
    s, wanted = record.samples, {getattr(criterion, "y", "") for _, criterion, _ in rows}
    told = {"v_v": s["set_v1_v"], "f_hz": s["set_f_hz"]}
    moves = {name for name, values in told.items() if len(np.unique(values[np.isfinite(values)])) > 1}
    wanted |= (moves or {"v_v"}) | {"p_w", "q_var"}
    return [name for name in TITLES if name in wanted]


def limits(checks: Iterable[Check]) -> list[float]:
    """What the standard's accuracies allow, for an axis to have room for it."""
    windows = [c.standard for c in checks if c.standard is not None]
    return [v for w in windows for v in (w.low, w.high) if v is not None]


def least_seen(eut: Eut, name: str) -> float:
    """How much of an axis a constant has: noise shall not look like an event."""
    of = {"v_v": eut.v_nom_v, "f_hz": eut.f_nom_hz, "i_a": eut.s_rated_va / (eut.phases * eut.v_nom_v)}
    return LEAST_SEEN_PU[name] * of.get(name, eut.s_rated_va)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A record on its way into panels."""

    eut: Eut
    record: CaseRecord
    stays: dict[str, Stay]
    seconds: float
    per_unit_s: float
    most_points: int

    def at(self, t_s: float) -> float:
        """In the axis's unit."""
        return t_s / self.per_unit_s

    def hold(self, stay: Stay) -> tuple[float, float]:
        """From arrival to end, in the axis's unit."""
        return self.at(stay.arrived_s), self.at(stay.end_s)

    def panel(self, name: str, rows: Sequence[tuple[Step, Criterion, Check]], head: int) -> Panel:
        """One quantity: what was allowed below, what was measured above it."""
        traces = self.traces(name)
        seen = [c for _, criterion, c in rows if isinstance(criterion, (Steady, Response, Inside))]
        y = span(*(v for _, v, _ in traces), limits(seen), at_least=least_seen(self.eut, name))
        panel = Panel(TITLES[name], (0.0, self.seconds / self.per_unit_s), y, height=HEIGHT + head, head=head)
        for stay in self.stays.values():
            panel.bar(self.at(stay.begin_s), None, None, "step")
        for step, criterion, check in rows:
            self.allowed(panel, self.stays.get(step.name), criterion, check)
        for t, values, css in traces:
            panel.line(t, values, css)
        for step, criterion, check in rows:
            self.marks(panel, self.stays.get(step.name), criterion, check)
        return panel

    def traces(self, name: str) -> list[tuple[Floats, Floats, str]]:
        """(time, value, class) of what was told to the source and what was measured."""
        s = self.record.samples
        t = (s["t_ns"] - begin_ns(self.record)) / (1e9 * self.per_unit_s)
        columns = [c for c in ("v1_v", "v2_v", "v3_v") if _known(s[c])] if name == "v_v" else [name]
        told = ["set_" + c for c in columns if "set_" + c in (s.dtype.names or ())]
        lines = [(*corners(t, s[c]), "told") for c in told]
        return lines + [(*thin(t, s[c], self.most_points), "measured") for c in columns]

    def allowed(self, panel: Panel, stay: Stay | None, criterion: Criterion, check: Check) -> None:
        """The windows of a criterion that has a beginning and an end, and its target."""
        if stay is None or not isinstance(criterion, (Steady, Inside)):
            return
        begin, end = (self.at(stay.arrived_s + t) for t in (criterion.from_s, criterion.to_s))
        for window, css in ((check.standard, "standard"), (check.engineering, "engineering")):
            for low, high in _both_signs(criterion, window):
                panel.band(begin, end, low, high, css)
        if check.target is not None:
            panel.line(self.hold(stay), [check.target] * 2, "target")

    def marks(self, panel: Panel, stay: Stay | None, criterion: Criterion, check: Check) -> None:
        """What is judged at one moment: T_r with its windows, a level that is to be passed."""
        if stay is None or check.standard is None:
            return
        verdict = check.verdict.value
        if isinstance(criterion, Response) and check.y is not None:
            at = self.at(stay.arrived_s + criterion.t_r_s)
            for window, css in ((check.standard, "bar"), (check.engineering, "bar thin")):
                if window is not None and (window.low, window.high) != (None, None):
                    panel.bar(at, window.low, window.high, css)
            panel.dot(at, check.y, f"dot {verdict}", f"{check.step}, T_r: {check.reason}")
        if isinstance(criterion, Crosses):
            begin, end = (self.at(stay.arrived_s + t) for t in (criterion.not_before_s, criterion.not_after_s))
            for level in {criterion.level, -criterion.level}:
                panel.line(self.hold(stay), [level] * 2, "level")
            panel.band(begin, end, None, None, "when")
            if check.t_s is not None:
                panel.bar(self.at(stay.arrived_s + check.t_s), None, None, f"moment {verdict}")


def _both_signs(criterion: Steady | Inside, window: Window | None) -> list[tuple[float | None, float | None]]:
    """(low, high); a window of a magnitude stands on either side of 0."""
    if window is None:
        return []
    if not (isinstance(criterion, Inside) and criterion.magnitude):
        return [(window.low, window.high)]
    if window.low is None or window.low <= 0.0:
        return [(None if window.high is None else -window.high, window.high)]
    return [(window.low, window.high), (None if window.high is None else -window.high, -window.low)]


def _known(values: Floats) -> bool:
    return bool(np.isfinite(values).any())
