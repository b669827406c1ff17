"""config/procedures/*.yaml -> Procedure: strict, all mistakes at once. A file in /etc/v2g/procedures wins.

Errors   ProcedureError, one line a mistake: `volt_var.yaml:31: unknown symbol V5; known: ...`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.bench.procedure import (
    Common,
    Procedure,
    ProcedureError,
    StepText,
    Trace,
)
from controller.bench.procedurekeys import (
    COMMON_KEYS,
    EUT_SYMBOLS,
    FOR_KEYS,
    NAMED_STEP_KEYS,
    STEP_KEYS,
    TOP_KEYS,
    TRACE_KEYS,
)
from controller.bench.tablesfile import TableReader
from controller.configfiles import USER_FILES, available
from drivers.sim.faultscript import ScriptError
from drivers.sim.faultscript import parse as parse_faults
from drivers.yamlfile import Leaf, Problems, Section, read_yaml
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


class Reader(TableReader):
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
