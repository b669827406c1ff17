"""config/procedures/*.yaml -> Procedure: strict, all mistakes at once. A file in /etc/v2g/procedures wins.

Errors   ProcedureError, one line a mistake: `volt_var.yaml:31: unknown symbol V5; known: ...`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.bench.criteriafile import CriteriaReader
from controller.bench.procedure import (
    ABNORMAL,
    NORMAL,
    Axis,
    ByCategory,
    Common,
    CurveText,
    Procedure,
    ProcedureError,
    Rule,
    Setting,
    StepText,
    Trace,
)
from controller.bench.procedurekeys import (
    COMMON_KEYS,
    CURVE_KEYS,
    EUT_SYMBOLS,
    FOR_KEYS,
    NAMED_STEP_KEYS,
    RULE_KEYS,
    STEP_KEYS,
    TOP_KEYS,
    TRACE_KEYS,
)
from controller.site import USER_FILES, available
from drivers.sim.faultscript import ScriptError
from drivers.sim.faultscript import parse as parse_faults
from drivers.yamlfile import Items, Leaf, Problems, Section, read_yaml
from drivers.yamlkeys import read_values

FOLDER = "procedures"
NOT_PROCEDURES = ("common",)  # a file of the same folder: what all procedures share


def names() -> dict[str, Path]:
    """{name: file} of every procedure there is."""
    return {name: path for name, path in available(FOLDER).items() if name not in NOT_PROCEDURES}


def load_procedure(name: str, common: Common | None = None) -> Procedure:
    """By its name, or the path of a file (ending in .yaml). ProcedureError lists every mistake.

    common: what load_common() gave, for whoever loads many.
    """
    known = names()
    path = Path(name) if name.endswith((".yaml", ".yml")) else known.get(name)
    if path is None:
        raise ProcedureError(
            f"{name}: no such procedure, in the program or in {USER_FILES / FOLDER}; known: {', '.join(known)}"
        )
    problems = Problems(str(path))
    tree = read_yaml(path, problems)
    procedure = Reader(problems, common or load_common()).procedure(path, tree) if tree.entries else None
    if problems or procedure is None:
        raise ProcedureError("\n".join(problems.lines()))
    return procedure


def load_all(each: Callable[[Sequence[str]], Iterable[str]] = iter) -> tuple[Procedure, ...]:
    """Every procedure, by name; mistakes of all files together. each: goes through the names, and may show how far."""
    loaded: list[Procedure] = []
    wrong: list[str] = []
    common = load_common()
    for name in each(tuple(names())):
        try:
            loaded.append(load_procedure(name, common))
        except ProcedureError as error:
            wrong.append(str(error))
    if wrong:
        raise ProcedureError("\n".join(wrong))
    return tuple(loaded)


def load_common() -> Common:
    """Symbols and settings that every procedure begins with."""
    path = available(FOLDER)["common"]
    problems = Problems(str(path))
    values = read_values(COMMON_KEYS, read_yaml(path, problems), problems)
    reader = Reader(problems, Common({}, {}))
    symbols = reader.symbols(section(values, "symbols"))
    common = Common(symbols, reader.settings(section(values, "settings")))
    if problems:
        raise ProcedureError("\n".join(problems.lines()))
    return common


def section(values: Mapping[str, tuple[Any, int]], name: str) -> Section:
    """A group that was read, or an empty one."""
    value, line = values.get(name, (None, 1))
    return value if isinstance(value, Section) else Section({}, line)


class Reader(CriteriaReader):
    """One reading of one file; mistakes go to problems. scope grows as symbols are declared, in the file's order."""

    def __init__(self, problems: Problems, common: Common) -> None:
        super().__init__(problems, {*EUT_SYMBOLS, *common.symbols})
        self.common = common

    def procedure(self, path: Path, tree: Section) -> Procedure:
        """The whole file; what is wrong in it is missing here, and among the problems."""
        values = read_values(TOP_KEYS, tree, self.problems)
        plain = {key: value for key, (value, _) in values.items()}
        axes = tuple(self.axis(name, entry) for name, entry in section(values, "cases").entries.items())
        symbols = self.symbols(section(values, "symbols"))
        self.curves = self.curve_texts(section(values, "curves"))
        start = self.step(section(values, "start"), STEP_KEYS, "start")
        steps = self.steps(plain.get("steps"))
        procedure = Procedure(
            name=path.stem,
            file=path.name,
            title=plain.get("title", ""),
            clause=plain.get("clause", ""),
            criteria=plain.get("criteria", ""),
            common=self.common,
            units={key: value for key, (value, _) in self.units(section(values, "for")).items()},
            needs=plain.get("needs", ()),
            axes=axes,
            symbols=symbols,
            settings=self.settings(section(values, "settings")),
            curves=self.curves,
            clip_v=self.expressions(plain.get("clip_v"), "clip_v", 2),
            leave_out=self.conditions(plain.get("leave_out")),
            skip=self.rules(plain.get("skip")),
            start=start,
            hold=self.optional(plain.get("hold"), "hold"),
            ramp_f=self.optional(plain.get("ramp_f"), "ramp_f"),
            steps=steps,
            trace=self.trace(section(values, "trace")) if "trace" in values else None,
            order=tuple(str(plain.get("order", "")).split()),
            repeat=plain.get("repeat", 1),
            judge=self.criteria(plain.get("judge")) or (),
            notes=plain.get("notes", ()),
        )
        self.check_names(steps, procedure.order, values)
        return procedure

    def units(self, group: Section) -> dict[str, tuple[Any, int]]:
        return read_values(FOR_KEYS, group, self.problems)

    def check_names(self, steps: tuple[StepText, ...], order: tuple[str, ...], values: Mapping[str, Any]) -> None:
        """No step twice, every name in `order` and in a criterion's `before` is one, and there is something to run."""
        known = [step.name for step in steps]
        for name in sorted({n for n in known if known.count(n) > 1}):
            self.problems.add(values["steps"][1], f"step '{name}' stands twice: repeat it by `order`")
        for name in dict.fromkeys(n for n in order if n not in known):
            self.problems.add(values["order"][1], f"order: '{name}' is no step; known: {', '.join(known)}")
        if not steps and "trace" not in values:
            self.problems.add(1, "missing key 'steps' or 'trace': nothing would be run")
        for line, name in self.befores:
            if name not in known:
                self.problems.add(line, f"before = {name} is no step; known: {', '.join(known)}")

    def axis(self, name: str, entry: Any) -> Axis:
        """{columns: [V1, volt_var.v1_pu], row: [values], other: {A: [values], B: [values]}}."""
        rows: dict[str, dict[str, dict[str, Setting]]] = {}
        columns: list[str] = []
        if isinstance(entry, Section) and isinstance(entry.entries.get("columns"), Items):
            heads = entry.entries["columns"]
            assert isinstance(heads, Items)
            columns = [self.column(head) for head in heads.items]
            for row, cells in entry.entries.items():
                if row != "columns":
                    kinds = cells.entries if self.by_category(cells) else {"": cells}  # type: ignore[union-attr]  # by_category: it is a Section
                    rows[row] = {kind: self.row(columns, one) for kind, one in kinds.items()}
        if not rows:
            self.problems.add(entry.line, f"{name} needs `columns: [...]` and at least one row below it")
        self.scope |= {column for column in columns if "." not in column}
        return Axis(name, rows)

    def column(self, head: Any) -> str:
        """A symbol's or a setting's name."""
        name = head.text if isinstance(head, Leaf) else "?"
        if "." in name:
            self.setting_meta(name, head.line)
        elif not name.isidentifier():
            self.problems.add(head.line, f"column {name} is neither a symbol nor a setting (group.key)")
        return name

    def row(self, columns: list[str], cells: Any) -> dict[str, Setting]:
        """One value for each column; cells may use symbols of the axes above."""
        items = cells.items if isinstance(cells, Items) else (cells,)
        if len(items) != len(columns):
            self.problems.add(cells.line, f"{len(items)} values for {len(columns)} columns: {', '.join(columns)}")
            return {}
        read = (self.setting(c, i) if "." in c else self.optional(i, c) for c, i in zip(columns, items, strict=True))
        return {column: value for column, value in zip(columns, read, strict=True) if value is not None}

    def symbols(self, group: Section) -> dict[str, ByCategory]:
        """In order: each may use those above it."""
        found: dict[str, ByCategory] = {}
        for name, entry in group.entries.items():
            if not name.isidentifier():
                self.problems.add(entry.line, f"symbol {name} is not a name of letters, digits and _")
            if name in self.scope:
                self.problems.add(entry.line, f"symbol {name} is there already")
            kinds = entry.entries if self.by_category(entry) else {"": entry}  # type: ignore[union-attr]  # by_category: it is a Section
            read = {kind: self.optional(one, name) for kind, one in kinds.items()}
            found[name] = {kind: value for kind, value in read.items() if value is not None}
            self.scope.add(name)
        return found

    def by_category(self, entry: Any) -> bool:
        """Whether it holds a value for each category."""
        if not isinstance(entry, Section):
            return False
        keys = set(entry.entries)
        if not any(keys and keys <= set(family) for family in (NORMAL, ABNORMAL)):
            self.problems.add(entry.line, "a group here has the keys A, B or I, II, III")
        return True

    def curve_texts(self, group: Section) -> dict[str, CurveText]:
        found: dict[str, CurveText] = {}
        for name, entry in group.entries.items():
            if not isinstance(entry, Section):
                self.problems.add(entry.line, f"curve {name} needs x and points")
                continue
            values = read_values(CURVE_KEYS, entry, self.problems, name)
            points = values.get("points", (None, 0))[0]
            pairs = [self.expressions(one, "a point", 2) for one in points.items] if isinstance(points, Items) else []
            if not pairs:
                self.problems.add(entry.line, f"curve {name}: points is a list of [x, y]")
            elif "x" in values:
                found[name] = CurveText(values["x"][0], tuple((p[0], p[1]) for p in pairs if len(p) == 2))
        return found

    def conditions(self, entry: Any) -> tuple[Any, ...]:
        """One condition, or a list of them."""
        items = entry.items if isinstance(entry, Items) else () if entry is None else (entry,)
        return tuple(c for c in (self.optional(i, "leave_out", condition=True) for i in items) if c)

    def rules(self, entry: Any) -> tuple[Rule, ...]:
        found = []
        for group in self.groups(entry, "skip"):
            values = read_values(RULE_KEYS, group, self.problems, "skip")
            when = self.optional(values.get("when", (None, 0))[0], "when", condition=True)
            if when and "why" in values:
                found.append(Rule(when, values["why"][0]))
        return tuple(found)

    def trace(self, group: Section) -> Trace | None:
        values = read_values(TRACE_KEYS, group, self.problems, "trace")
        every, hold = (self.optional(values.get(key, (None, 0))[0], key) for key in ("every", "hold"))
        return Trace(values["scenario"][0], every, hold) if every and hold and "scenario" in values else None

    def steps(self, entry: Any) -> tuple[StepText, ...]:
        return tuple(self.step(group, NAMED_STEP_KEYS, "") for group in self.groups(entry, "steps"))

    def step(self, group: Section, keys: Mapping[str, Any], name: str) -> StepText:
        """One row."""
        values = read_values(keys, group, self.problems, "step")
        plain = {key: value for key, (value, _) in values.items()}
        limit = plain.get("limit")
        no_limit = isinstance(limit, Leaf) and limit.text == "none"
        numbers = {key: self.optional(plain.get(key), key) for key in ("f", "p", "hold", "sample", "ramp_f", "ramp_v")}
        self.check_faults(plain.get("faults", ()), values)
        return StepText(
            name=plain.get("step", name),
            place=f"{self.problems.file}:{group.line}",
            what=plain.get("what", ""),
            v=self.expressions(plain.get("v"), "v", 1, 3),
            angles=self.expressions(plain.get("angles"), "angles", 3),
            limit=None if no_limit else self.optional(limit, "limit"),
            no_limit=no_limit,
            permit=plain.get("permit"),
            settings=self.settings(section(values, "settings")),
            faults=plain.get("faults", ()),
            judge=self.criteria(plain.get("judge")),
            also=self.criteria(plain.get("also")) or (),
            skip=self.optional(plain.get("skip"), "skip", condition=True),
            **numbers,
        )

    def check_faults(self, lines: Iterable[str], values: Mapping[str, Any]) -> None:
        for line in lines:
            try:
                parse_faults(line, self.problems.file)
            except ScriptError as error:
                self.problems.add(values["faults"][1], str(error).partition(": ")[2])
