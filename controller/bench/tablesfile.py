"""The tables of a procedure file: rows of cases, symbols, curves, conditions. procedurefile.py has the whole file."""

from __future__ import annotations

from typing import Any

from controller.bench.criteriafile import CriteriaReader
from controller.bench.procedure import ABNORMAL, NORMAL, Axis, ByCategory, CurveText, Rule, Setting
from controller.bench.procedurekeys import CURVE_KEYS, RULE_KEYS
from drivers.yamlfile import Items, Leaf, Section
from drivers.yamlkeys import read_values


class TableReader(CriteriaReader):
    """Names that a table declares are known to all that is read after it (scope)."""

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
