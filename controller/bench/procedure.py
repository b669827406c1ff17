"""A procedure of a test: one YAML file, read and checked, with its arithmetic still in symbols.

Units    in the file V of v_nom_v (pu), Hz, W, var, s; P and Q + = out of the unit into the grid. What the keys mean:
         docs/adding-a-procedure.md.
Shapes   Procedure > Axis (the cases it has) and StepText (the rows it runs) > CriterionText; Expression is a number
         that is not yet known. expand.py makes a unit's Cases of it.
Errors   ProcedureError: every mistake of the file at once, one line each `file:line: what, and what is allowed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.bench.expression import Expression
from controller.errors import InputError

NORMAL, ABNORMAL = ("A", "B"), ("I", "II", "III")
ByCategory = Mapping[str, Expression]  # {"": for every unit} or one for each category
Word = str | bool
Setting = Expression | Word


class ProcedureError(InputError):
    """A procedure file is wrong: its author must act. One mistake a line."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What the cases differ in: {row: {category or "": {column: value}}}. A column: a symbol or a setting."""

    name: str
    rows: Mapping[str, Mapping[str, Mapping[str, Setting]]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition, and what people are told when it holds."""

    when: Expression
    why: str


@dataclass(frozen=True, slots=True)
class CurveText:
    """x: v, f or p; points (x, y) of rising x."""

    x: str
    points: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True)
class CriterionText:
    """One criterion of plan.py: numbers and words by the names of its fields."""

    kind: str
    numbers: Mapping[str, Expression]
    words: Mapping[str, str | bool | tuple[str, ...]]
    when: Expression | None = None


@dataclass(frozen=True, slots=True)
class StepText:
    """One row. None or empty: as in the step before (point, demand), or the procedure's own (hold, ramp, judge)."""

    name: str
    place: str
    what: str = ""
    v: tuple[Expression, ...] = ()  # one, or one for each phase
    angles: tuple[Expression, ...] = ()
    f: Expression | None = None
    p: Expression | None = None
    limit: Expression | None = None
    no_limit: bool = False
    permit: bool | None = None
    hold: Expression | None = None
    sample: Expression | None = None
    ramp_f: Expression | None = None
    ramp_v: Expression | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    judge: tuple[CriterionText, ...] | None = None
    also: tuple[CriterionText, ...] = ()
    skip: Expression | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A scenario of config/scenarios that is played as steps of every_s."""

    scenario: str
    every: Expression
    hold: Expression


@dataclass(frozen=True, slots=True)
class Common:
    """common.yaml: symbols and settings that every procedure begins with."""

    symbols: Mapping[str, ByCategory]
    settings: Mapping[str, Setting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """One file. units: what a unit must be, {"storage": True, "abnormal": ("III",)}."""

    name: str
    file: str
    title: str
    clause: str
    criteria: str
    common: Common
    units: Mapping[str, object]
    needs: tuple[str, ...]
    axes: tuple[Axis, ...]
    symbols: Mapping[str, ByCategory]
    settings: Mapping[str, Setting]
    curves: Mapping[str, CurveText]
    clip_v: tuple[Expression, ...]
    leave_out: tuple[Expression, ...]
    skip: tuple[Rule, ...]
    start: StepText
    hold: Expression | None
    ramp_f: Expression | None
    steps: tuple[StepText, ...]
    trace: Trace | None
    order: tuple[str, ...]
    repeat: int
    judge: tuple[CriterionText, ...]
    notes: tuple[str, ...]
