"""The small parts of a procedure file: expressions, settings, criteria. procedurefile.py puts them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from controller.bench.expression import Expression, ExpressionError, parse
from controller.bench.procedure import CriterionText, CurveText, Setting
from cython_core.settings import Settings
from drivers.yamlfile import Entry, Items, Leaf, Problems, Section
from drivers.yamlkeys import anything, choice, flag, kind_of, read_value, read_values, several, text

SETTINGS = {f"{g}.{f.name}": f.metadata for g, kind in get_type_hints(Settings).items() for f in fields(kind)}
NOT_OF_A_TEST = ("rating", "site_limits", "default_wish")  # the nameplate and the site are the unit's own
QUANTITIES = {"p": "p_w", "q": "q_var", "i": "i_a"}
Y = choice(tuple(QUANTITIES), "active power, reactive power, current").metadata
NUMBER = anything("an expression", required=True)
BOUND = choice(("both", "upper", "lower"), "which side is judged").metadata
FLAG = flag("true or false", False).metadata
# kind: {key in the file: (field of plan.py, what it takes)}
KINDS: dict[str, dict[str, tuple[str, Mapping[str, Any]]]] = {
    "steady": {
        "y": ("y", Y),
        "lowest_of": ("lowest_of", several(text("names of curves")).metadata),
        "bound": ("bound", BOUND),
        "from": ("from_s", NUMBER),
        "to": ("to_s", NUMBER),
    },
    "response": {
        "y": ("y", Y),
        "t_r": ("t_r_s", NUMBER),
        "bound": ("bound", BOUND),
        "from": ("final_from_s", NUMBER),
        "to": ("final_to_s", NUMBER),
    },
    "inside": {
        "y": ("y", Y),
        "low": ("low", NUMBER),
        "high": ("high", NUMBER),
        "from": ("from_s", NUMBER),
        "to": ("to_s", NUMBER),
        "magnitude": ("magnitude", FLAG),
        "before": ("before", text("the name of a step", "").metadata),
        "accuracy": ("accuracy", FLAG),
    },
    "crosses": {
        "y": ("y", Y),
        "level": ("level", NUMBER),
        "falling": ("falling", flag("true: from above, for good").metadata),
        "not_before": ("not_before_s", NUMBER),
        "not_after": ("not_after_s", NUMBER),
    },
    "smooth": {"y": ("y", Y), "most": ("most", NUMBER)},
    "observed": {"every": ("every_s", NUMBER)},
}


class CriteriaReader:
    """Reads parts of a tree; mistakes go to problems. scope: the symbols that are known so far."""

    def __init__(self, problems: Problems, scope: set[str]) -> None:
        self.problems = problems
        self.scope = scope
        self.curves: Mapping[str, CurveText] = {}
        self.befores: list[tuple[int, str]] = []  # names of steps that are checked once all are known

    def optional(self, entry: Entry | None, name: str, condition: bool = False) -> Expression | None:
        """The expression, or None when there is none or it is wrong."""
        if entry is None:
            return None
        if not isinstance(entry, Leaf) or entry.kind in ("bool", "null"):
            self.problems.add(entry.line, f"{name} takes one number or expression")
            return None
        if entry.kind == "wrong":
            self.problems.add(entry.line, str(entry.value))
            return None
        try:
            found = parse(entry.text, f"{self.problems.file}:{entry.line}", condition)
        except ExpressionError as error:
            self.problems.add(entry.line, str(error).removeprefix(f"{self.problems.file}:{entry.line}: "))
            return None
        unknown = [n for n in found.names if n not in self.scope]
        if unknown:
            known = ", ".join(sorted(self.scope))
            self.problems.add(entry.line, f"'{entry.text}': unknown symbol {unknown[0]}; known: {known}")
            return None
        return found

    def expressions(self, entry: Entry | None, name: str, *counts: int) -> tuple[Expression, ...]:
        """One expression or a list, of one of these lengths."""
        if entry is None:
            return ()
        items = entry.items if isinstance(entry, Items) else (entry,)
        if len(items) not in counts:
            self.problems.add(entry.line, f"{name} takes {' or '.join(map(str, counts))} values")
            return ()
        return tuple(e for e in (self.optional(i, name) for i in items) if e)

    def groups(self, entry: Entry | None, name: str) -> list[Section]:
        """The groups of a list; anything else in it is a mistake."""
        if entry is None:
            return []
        items = entry.items if isinstance(entry, Items) else (entry,)
        for item in items:
            if not isinstance(item, Section):
                self.problems.add(item.line, f"{name} is a list of groups: `- {{key: value, ...}}`")
        return [Section(i.entries, i.line or entry.line) for i in items if isinstance(i, Section)]

    def settings(self, group: Section) -> dict[str, Setting]:
        """{group: {key: value}} -> {"group.key": value}."""
        found: dict[str, Setting] = {}
        for name, keys in group.entries.items():
            if not isinstance(keys, Section):
                self.problems.add(keys.line, f"{name} needs its keys below it: {{key: value}}")
                continue
            for key, entry in keys.entries.items():
                value = self.setting(f"{name}.{key}", entry)
                if value is not None:
                    found[f"{name}.{key}"] = value
        return found

    def setting(self, name: str, entry: Entry) -> Setting | None:
        """An expression for a number, a word or true/false for the others."""
        meta = self.setting_meta(name, entry.line)
        if meta is None:
            return None
        if kind_of(meta) == "float":
            return self.optional(entry, name)
        value: Setting | None = read_value(name, entry, meta, self.problems)
        return value

    def setting_meta(self, name: str, line: int) -> Mapping[str, Any] | None:
        """What the product knows of a setting; None, and a problem, when it has none of this name."""
        group = name.partition(".")[0]
        if group in NOT_OF_A_TEST:
            self.problems.add(line, f"{name}: a procedure sets no {group}, that is the unit's own")
        elif name not in SETTINGS:
            near = [n for n in SETTINGS if n.startswith(f"{group}.")] or sorted({n.split(".")[0] for n in SETTINGS})
            self.problems.add(line, f"unknown setting {name}; known: {', '.join(near)}")
        else:
            return SETTINGS[name]
        return None

    def criteria(self, entry: Entry | None) -> tuple[CriterionText, ...] | None:
        """A list of `- steady: {...}`, each with an optional `when`. None: there is no list; []: nothing is judged."""
        if entry is None:
            return None
        return tuple(c for c in (self.criterion(group) for group in self.groups(entry, "judge")) if c)

    def criterion(self, group: Section) -> CriterionText | None:
        when = self.optional(group.entries.get("when"), "when", condition=True)
        kinds = [key for key in group.entries if key != "when"]
        keys = group.entries.get(kinds[0]) if kinds else None
        if len(kinds) != 1 or kinds[0] not in KINDS or not isinstance(keys, Section):
            told = f"a criterion has one of the keys {', '.join(KINDS)}, with its own keys, and `when` if it depends"
            self.problems.add(group.line, told)
            return None
        kind = kinds[0]
        known = {key: meta for key, (_, meta) in KINDS[kind].items()}
        numbers: dict[str, Expression] = {}
        words: dict[str, str | bool | tuple[str, ...]] = {}
        for key, (value, line) in read_values(known, keys, self.problems, kind).items():
            name, meta = KINDS[kind][key]
            if meta is NUMBER:
                number = self.optional(value, key)
                numbers |= {name: number} if number else {}
            else:
                words[name] = QUANTITIES[value] if key == "y" else value
                self.check_word(key, value, line)
        return CriterionText(kind, numbers, words, when)

    def check_word(self, key: str, value: Any, line: int) -> None:
        """Names in a criterion must lead somewhere."""
        if key == "before" and value:
            self.befores.append((line, value))
        for name in value if key == "lowest_of" else ():
            if name not in self.curves:
                self.problems.add(line, f"lowest_of: no curve {name}; known: {', '.join(self.curves)}")
