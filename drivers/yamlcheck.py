"""YAML with line numbers and strict types: every mistake of a file is collected, then told at once.

Scalars are judged by how they are written, because PyYAML reads 50e3 as text, on as true, 12:30 as 750 and 010 as 8.
Problems are (line, text); Checker.text() joins them as `file:line: what; what is allowed`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import yaml

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+(e[-+]?[0-9]+)?")


@dataclass(slots=True)
class Item:
    """One `key: value` of a mapping, with the line it stands on."""

    key: str
    node: yaml.Node
    line: int


@dataclass(slots=True)
class Checker:
    """Reads nodes of one file and remembers what is wrong with them; a wrong value is returned as None."""

    file: str
    problems: list[tuple[int, str]] = field(default_factory=list)

    def complain(self, line: int, text: str) -> None:
        self.problems.append((line, text))

    def text(self) -> str:
        """All mistakes, one a line, in the order of the file."""
        return "\n".join(f"{self.file}:{line}: {text}" for line, text in sorted(self.problems))

    def document(self, source: str) -> yaml.Node | None:
        """The file's one document, or None with the parser's complaint at its line."""
        try:
            node = yaml.compose(source, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.complain(mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}")
            return None
        except yaml.YAMLError as error:  # a control character or a wrong encoding
            self.complain(1, f"not YAML: {' '.join(str(error).split())}")
            return None
        if node is None:
            self.complain(1, "the file is empty")
        return node

    def mapping(
        self, node: yaml.Node, what: str, known: Collection[str] | None = None, needed: Iterable[str] = ()
    ) -> dict[str, Item]:
        """The keys of a mapping. known None: any key; else unknown keys are refused, naming the known ones."""
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            self.complain(line, f"{what} must be a mapping of keys to values")
            return {}
        items: dict[str, Item] = {}
        for key_node, value in node.value:
            at = key_node.start_mark.line + 1
            key = str(key_node.value)
            if key in items:
                self.complain(at, f"{what}: key '{key}' stands twice, first in line {items[key].line}")
            elif known is not None and key not in known:
                self.complain(at, f"{what}: unknown key '{key}'{_near(key, known)}; known: {', '.join(sorted(known))}")
            else:
                items[key] = Item(key, value, at)
        for key in needed:
            if key not in items:
                self.complain(line, f"{what}: '{key}' is missing")
        return items

    def string(self, item: Item | None, allowed: Collection[str] | None = None) -> str | None:
        """Text, one of `allowed` if given. Numbers and booleans must be quoted to count as text."""
        if item is None:
            return None
        node = item.node
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str" or not node.value.strip():
            shown = f"'{node.value}'" if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            wanted = f"one of {', '.join(allowed)}" if allowed else "text (quote it)"
            self.complain(item.line, f"{item.key} = {shown} is not text; write {wanted}")
            return None
        value = str(node.value)
        if allowed is not None and value not in allowed:
            self.complain(item.line, f"{item.key} = '{value}'{_near(value, allowed)}; allowed: {', '.join(allowed)}")
            return None
        return value

    def number(self, item: Item | None, low: float, high: float, unit: str = "") -> float | None:
        """A number inside low ... high, written plainly."""
        if item is None:
            return None
        value = _number(item.node)
        if value is None:
            self.complain(item.line, f"{item.key} = {_shown(item.node)} is not a number; {_advice(item.node)}")
            return None
        if not low <= value <= high:
            self.complain(item.line, f"{item.key} = {value:.12g} is outside {low:.12g} ... {high:.12g} {unit}".rstrip())
            return None
        return value

    def integer(self, item: Item | None, low: int, high: int, unit: str = "") -> int | None:
        """A whole number inside low ... high: decimal, or hex with 0x."""
        value = self.number(item, low, high, unit)
        if value is None or item is None:
            return None
        if not _INTEGER.fullmatch(str(item.node.value)):
            self.complain(item.line, f"{item.key} = {item.node.value} is not a whole number; {low} ... {high}")
            return None
        return int(value)

    def boolean(self, item: Item | None) -> bool | None:
        """true or false, and nothing else that YAML takes for a boolean."""
        if item is None:
            return None
        if isinstance(item.node, yaml.ScalarNode) and item.node.style is None and item.node.value in ("true", "false"):
            return bool(item.node.value == "true")
        self.complain(item.line, f"{item.key} = {_shown(item.node)}; allowed: true, false")
        return None

    def items(self, item: Item | None) -> list[Item]:
        """The values of a list; a single value counts as a list of one."""
        if item is None:
            return []
        nodes = item.node.value if isinstance(item.node, yaml.SequenceNode) else [item.node]
        return [Item(item.key, n, n.start_mark.line + 1) for n in nodes]


def _number(node: yaml.Node) -> float | None:
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return None
    raw = str(node.value)
    if _INTEGER.fullmatch(raw):
        return float(int(raw, 0))
    return float(raw) if _DECIMAL.fullmatch(raw) else None


def _shown(node: yaml.Node) -> str:
    return f"'{node.value}'" if isinstance(node, yaml.ScalarNode) else "a list or mapping"


def _advice(node: yaml.Node) -> str:
    """How to write what was probably meant."""
    raw = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    if isinstance(node, yaml.ScalarNode) and node.style is not None:
        return "write it without quotes"
    if re.fullmatch(r"[-+]?0[0-9]+", raw):
        return "a leading 0 means octal to YAML: write 0x... or plain decimal"
    if re.fullmatch(r"[0-9]+(:[0-9]+)+", raw):
        return "YAML reads 12:30 as 750: write one plain number"
    return "write it plainly, like 50000, 0x0034 or 0.01"


def _near(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, [str(k) for k in known], n=1, cutoff=0.7)
    return f", did you mean '{near[0]}'?" if near else ""
