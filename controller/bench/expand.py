"""A procedure and a unit -> its cases: every symbol becomes a number. Pure: the same files give the same plan.

Units    a procedure's voltages are pu of v_nom_v, a plan's are V; all else has the same unit in both.
Errors   ExpandError, one line: procedure and place, what is wrong for this unit. The procedure's author must act.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from controller.bench.criteria import criteria_of, sample_s
from controller.bench.expression import Expression, ExpressionError
from controller.bench.nameplate import eut_symbols, not_for
from controller.bench.plan import Case, Curve, Eut, Plan, Step, Value
from controller.bench.planfile import mistakes_in_ids
from controller.bench.procedure import ByCategory, Procedure, Setting, StepText, Trace
from controller.bench.stepwords import words_of
from controller.bench.tracesteps import trace_points
from controller.errors import InputError
from drivers.gridsource.point import GridPoint

DIGITS = 9  # 0.88 - 0.05 stays 0.83 in plan.json
ANGLES = (0.0, -120.0, 120.0)
AXES = {"v": "v_v", "f": "f_hz", "p": "p_w"}
Symbols = dict[str, float]
T = TypeVar("T")


class ExpandError(InputError):
    """A procedure does not work out for this unit."""


def make_plan(procedures: Iterable[Procedure], eut: Eut, seed: int) -> Plan:
    """All cases that apply to this unit, in the order of the procedures."""
    cases = tuple(case for procedure in procedures for case in expand(procedure, eut))
    for mistake in mistakes_in_ids(cases):
        raise ExpandError(mistake)
    return Plan(eut, cases, seed)


def expand(procedure: Procedure, eut: Eut) -> tuple[Case, ...]:
    """The cases of this unit; none when the procedure is not for it (not_for says why)."""
    if not_for(procedure, eut):
        return ()
    try:
        return tuple(case for rows in combinations(procedure) if (case := Expansion(procedure, eut, rows).case()))
    except ExpressionError as error:
        raise ExpandError(f"{procedure.name}: {error}") from None


def combinations(procedure: Procedure) -> Iterator[dict[str, str]]:
    """{axis: row} of each case, the last axis changing fastest."""
    names = [axis.name for axis in procedure.axes]
    for rows in itertools.product(*(axis.rows for axis in procedure.axes)):
        yield dict(zip(names, rows, strict=True))


@dataclass(slots=True)
class Source:
    """Where the source stands after the steps so far."""

    v: tuple[float, float, float] = (1.0, 1.0, 1.0)  # pu
    f_hz: float = 0.0
    angles: tuple[float, float, float] = ANGLES


@dataclass(slots=True)
class Expansion:
    """One case on its way: rows is its row of each axis."""

    procedure: Procedure
    eut: Eut
    rows: Mapping[str, str]
    symbols: Symbols = field(default_factory=dict)
    settings: dict[str, Setting] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    source: Source = field(default_factory=Source)

    def case(self) -> Case | None:
        """None: the procedure leaves this combination out."""
        procedure = self.procedure
        self.symbols |= eut_symbols(self.eut)
        self.declare(procedure.common.symbols)
        self.settings |= procedure.common.settings
        self.settings |= procedure.settings
        for axis in procedure.axes:
            self.take_row(self.by_category(axis.rows[self.rows[axis.name]]))
        self.declare(procedure.symbols)
        if any(condition.truth(self.symbols) for condition in procedure.leave_out):
            return None
        self.source.f_hz = self.eut.f_nom_hz
        skipped = "; ".join(rule.why for rule in procedure.skip if rule.when.truth(self.symbols))
        start = self.step(procedure.start, "start", {})
        return Case(
            id="-".join([procedure.name, *self.rows.values()]),
            procedure=procedure.name,
            title=", ".join([procedure.title, *(f"{axis} {row}" for axis, row in self.rows.items())]),
            clause=procedure.clause,
            settings={name: self.setting(value) for name, value in sorted(self.settings.items())},
            start=start,
            steps=() if skipped else self.steps(),
            notes=(*procedure.notes, *dict.fromkeys(self.notes)),
            skipped=skipped,
            needs=procedure.needs,
        )

    def by_category(self, kinds: Mapping[str, T]) -> T:
        """The one of this unit's category, or of every unit."""
        for category in ("", self.eut.normal_category, self.eut.abnormal_category):
            if category in kinds:
                return kinds[category]
        raise ExpandError(f"{self.procedure.file}: nothing for category {self.eut.normal_category}"
                          f" or {self.eut.abnormal_category}; there are {', '.join(kinds)}")  # fmt: skip

    def declare(self, symbols: Mapping[str, ByCategory]) -> None:
        for name, kinds in symbols.items():
            self.symbols[name] = self.by_category(kinds).value(self.symbols)

    def take_row(self, row: Mapping[str, Setting]) -> None:
        """Columns with a dot are settings, the others symbols."""
        for column, cell in row.items():
            if "." in column:
                self.settings[column] = cell
            elif isinstance(cell, Expression):
                self.symbols[column] = cell.value(self.symbols)

    def setting(self, value: Setting) -> Value:
        return self.number(value) if isinstance(value, Expression) else value

    def number(self, expression: Expression) -> float:
        return round(expression.value(self.symbols), DIGITS) + 0.0  # + 0.0: never -0

    def curve(self, name: str) -> Curve:
        """Absolute; points that coincide (V2 = V3) become one."""
        text = self.procedure.curves[name]
        scale = self.eut.v_nom_v if text.x == "v" else 1.0
        points = [(round(self.number(x) * scale, DIGITS), self.number(y)) for x, y in text.points]
        points = list(dict.fromkeys(points))
        if any(a[0] >= b[0] for a, b in itertools.pairwise(points)):
            raise ExpandError(f"{self.procedure.file}: curve {name} does not rise in {text.x}: {points}")
        return Curve(AXES[text.x], tuple(points))  # type: ignore[arg-type]  # AXES holds the three words of plan.Axis

    def steps(self) -> tuple[Step, ...]:
        """All rows in their order; the second time a name comes, it gets a number."""
        procedure = self.procedure
        texts = {text.name: text for text in procedure.steps}
        order = (procedure.order or tuple(texts)) * procedure.repeat
        if procedure.trace:
            texts |= self.trace_steps(procedure.trace)
            order = (*order, *(name for name in texts if name not in order))
        count: dict[str, int] = dict.fromkeys(texts, 0)
        latest: dict[str, str] = {}
        steps = []
        for name in order:
            count[name] += 1
            latest[name] = f"{name}-{count[name]}" if order.count(name) > 1 else name
            steps.append(self.step(texts[name], latest[name], latest))
        return tuple(steps)

    def trace_steps(self, trace: Trace) -> dict[str, StepText]:
        """The scenario, scaled to this unit's frequency, as ramps and short holds."""
        every, hold = trace.every.value(self.symbols), trace.hold.value(self.symbols)
        blank = replace(self.procedure.start, p=None, judge=None, settings={})
        return {step.name: step for step in trace_points(trace.scenario, every, hold, self.eut.f_nom_hz, blank)}

    def step(self, text: StepText, name: str, latest: Mapping[str, str]) -> Step:
        """One row with its numbers."""
        skipped = f"left out where {text.skip.text}" if text.skip and text.skip.truth(self.symbols) else ""
        if skipped:
            return self.skipped_step(text, name, skipped)
        before = self.source.f_hz
        what = words_of(text, self.number, self.eut)
        point = self.move(text, name)
        hold = text.hold or self.procedure.hold
        if hold is None:
            raise ExpandError(f"{text.place}: step {name} has no hold, and the procedure neither")
        hold_s = self.number(hold)
        texts = () if name == "start" else (*(self.procedure.judge if text.judge is None else text.judge), *text.also)
        criteria = criteria_of(texts, self.symbols, self.curve, latest, f"{text.place}: step {name}", hold_s)
        ramp = text.ramp_f or self.procedure.ramp_f
        return Step(
            name=name,
            what=what,
            point=point,
            hold_s=hold_s,
            sample_s=self.number(text.sample) if text.sample else sample_s(criteria, hold_s),
            ramp_hz_s=self.number(ramp) if ramp and self.source.f_hz != before else 0.0,
            ramp_v_s=round(self.number(text.ramp_v) * self.eut.v_nom_v, DIGITS) if text.ramp_v else 0.0,
            demand_w=self.number(text.p) if text.p else None,
            permit=text.permit,
            ap_limit_pu=float("nan") if text.no_limit else self.number(text.limit) if text.limit else None,
            settings={key: self.setting(value) for key, value in text.settings.items()},
            faults=text.faults,
            criteria=criteria,
        )

    def skipped_step(self, text: StepText, name: str, reason: str) -> Step:
        """Listed, not run: the source stays where it is."""
        return Step(name, words_of(text, self.number, self.eut), self.point(), 0.0, 0.0, skipped=reason)

    def move(self, text: StepText, name: str) -> GridPoint:
        """Go where the step says; what it does not say stays."""
        if text.v:
            v = [self.clipped(self.number(one), text, name) for one in text.v]
            self.source.v = (v[0], v[0], v[0]) if len(v) == 1 else (v[0], v[1], v[2])
        if text.f:
            self.source.f_hz = self.number(text.f)
        if text.angles:
            a, b, c = (self.number(one) for one in text.angles)
            self.source.angles = (a, b, c)
        return self.point()

    def point(self) -> GridPoint:
        v1, v2, v3 = (round(v * self.eut.v_nom_v, 6) for v in self.source.v)
        return GridPoint(v1, v2, v3, round(self.source.f_hz, 6), *self.source.angles)

    def clipped(self, v_pu: float, text: StepText, name: str) -> float:
        """Inside clip_v; the report's notes tell of it."""
        if not self.procedure.clip_v:
            return v_pu
        low, high = (self.number(one) for one in self.procedure.clip_v)
        inside = min(max(v_pu, low), high)
        if inside != v_pu:
            edge = self.procedure.clip_v[0 if v_pu < low else 1].text
            self.notes.append(f"step {name}: {text.v[0].text} = {v_pu:g} pu is clipped to {edge} = {inside:g} pu")
        return inside
