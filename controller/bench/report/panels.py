"""One quantity of a record as a panel: what was told to the source and measured, above what was allowed and when.

Times    in seconds since the case's first event, on an axis of its own unit and zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from controller.bench.judgement import Check, Window
from controller.bench.plan import Criterion, Crosses, Eut, Inside, Response, Steady, Step
from controller.bench.record import CaseRecord
from controller.bench.report.steps import Stay, begin_ns
from controller.report.chart import Panel, Span, corners, span, thin
from controller.response.formula import Floats

TITLES = {
    "v_v": "Voltage, V",
    "f_hz": "Frequency, Hz",
    "p_w": "Active power, W (+ = into the grid)",
    "q_var": "Reactive power, var (+ = into the grid)",
    "i_a": "Current, A",
}
LEAST_SEEN_PU = {"v_v": 0.01, "f_hz": 0.001, "p_w": 0.1, "q_var": 0.1, "i_a": 0.1}  # of a constant, of its rating
BEYOND = 0.6  # of what was measured: so far an axis goes to show a limit
HEIGHT = 104  # px
Judged = tuple[Step, Criterion, Check]


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
    """A record, or the part `over_s` of it, on its way into panels. zero_s, per_unit_s: of the axis."""

    eut: Eut
    record: CaseRecord
    stays: dict[str, Stay]
    over_s: Span
    most_points: int
    zero_s: float = 0.0
    per_unit_s: float = 1.0

    def at(self, t_s: float) -> float:
        """On the axis."""
        return (t_s - self.zero_s) / self.per_unit_s

    def hold(self, stay: Stay) -> tuple[float, float]:
        """From arrival to end, in the axis's unit."""
        return self.at(stay.arrived_s), self.at(stay.end_s)

    def panel(self, name: str, rows: Sequence[Judged], width: int, head: int = 0, title: str = "") -> Panel:
        """One quantity: what was allowed below, what was measured above it."""
        traces = self.traces(name)
        y = self.range_of(name, [v for _, v, _ in traces], rows)
        over = self.at(self.over_s[0]), self.at(self.over_s[1])
        panel = Panel(title or TITLES[name], over, y, width, HEIGHT + head, head)
        for stay in self.stays.values():
            panel.bar(self.at(stay.begin_s), None, None, "step")
        for step, criterion, check in rows:
            self.allowed(panel, self.stays.get(step.name), criterion, check)
        for t, values, css in traces:
            panel.line(t, values, css)
        for step, criterion, check in rows:
            self.marks(panel, self.stays.get(step.name), criterion, check)
        return panel

    def range_of(self, name: str, values: Sequence[Floats], rows: Sequence[Judged]) -> Span:
        """All that was measured, and the limits that are not far from it."""
        least = least_seen(self.eut, name)
        low, high = span(*values, at_least=least)
        near = np.clip(
            limits(c for _, rule, c in rows if isinstance(rule, (Steady, Response, Inside))),
            low - BEYOND * max(high - low, 2.0 * least), high + BEYOND * max(high - low, 2.0 * least),
        )  # fmt: skip
        return span(*values, near, at_least=least)

    def traces(self, name: str) -> list[tuple[Floats, Floats, str]]:
        """(time, value, class) of what was told to the source and what was measured."""
        s = self.record.samples
        t_s = (s["t_ns"] - begin_ns(self.record)) / 1e9
        seen = (t_s >= self.over_s[0]) & (t_s <= self.over_s[1])
        s, t = s[seen], (t_s[seen] - self.zero_s) / self.per_unit_s
        columns = [c for c in ("v1_v", "v2_v", "v3_v") if np.isfinite(s[c]).any()] if name == "v_v" else [name]
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
            may = (
                check.standard.low or 0.0,
                criterion.not_after_s if check.standard.high is None else check.standard.high,
            )
            begin, end = (self.at(stay.arrived_s + t) for t in may)
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
