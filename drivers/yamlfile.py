"""YAML text -> a tree that remembers lines; every mistake collected, none raised. For map, site and profile files.

Shapes   Section {key: Leaf | Section | Items}; a Leaf keeps the value, its text as written and its line.
Errors   Problems gathers `file:line: text`; the caller raises them together.
Strict   PyYAML reads `on` as a boolean, `12:30` as 750, `010` as 8, and lets the last of two equal keys win: each is
         refused here. Anchors and aliases are refused too: a line number should lead to the value that counts.
What a file may hold is declared key by key: drivers.yamlkeys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

MAX_BYTES = 1_000_000
MAX_DEPTH = 10
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,19})|0x[0-9a-fA-F]{1,16}")
DECIMAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Problems:
    """Mistakes found so far in `file` and in those read with it; line 0 is the file as a whole."""

    file: str
    found: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, line: int, text: str, file: str = "") -> None:
        """text may quote the file: it stays one printable line whatever stood there."""
        printable = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
        self.found.append((file or self.file, line, printable))

    def beside(self, file: str) -> Problems:
        """For another file whose mistakes are told together with these."""
        return Problems(file, self.found)

    def __len__(self) -> int:
        return len(self.found)

    def lines(self) -> list[str]:
        """One line each, this file first, the others in the order met; then by line."""
        files = list(dict.fromkeys([self.file, *(f for f, _, _ in self.found)]))
        ordered = sorted(dict.fromkeys(self.found), key=lambda p: (files.index(p[0]), p[1]))
        return [f"{file}:{line}: {text}" if line else f"{file}: {text}" for file, line, text in ordered]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value: kind is `int`, `float`, `bool`, `str`, `null`, or `wrong`: then value is the complaint."""

    value: int | float | bool | str | None
    text: str
    kind: str
    line: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Leaf | Items | Section, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping. line is where its key stands (1 for the whole file)."""

    entries: dict[str, Leaf | Items | Section]
    line: int


Entry = Leaf | Items | Section


def read_yaml(path: Path, problems: Problems) -> Section:
    """The file's tree; empty, with the reason among the problems, when it cannot be read at all."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) <= MAX_BYTES:
            return parse_yaml(raw.decode("utf-8-sig"), problems)
        problems.add(0, f"longer than {MAX_BYTES} bytes: is this the right file?")
    except OSError as error:
        problems.add(0, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.add(raw[: error.start].count(b"\n") + 1, "is not UTF-8 text: save the file as UTF-8")
    return Section({}, 1)


def parse_yaml(text: str, problems: Problems) -> Section:
    """YAML text -> its tree. Broken YAML gives one problem and an empty Section."""
    root, before = None, len(problems)
    try:
        root = yaml.compose(text, Loader=PlainLoader)
    except NotPlainError as error:
        problems.add(*error.args)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(getattr(mark, "line", 0) + 1, f"is not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, RecursionError) as error:
        problems.add(1, f"is not YAML: {str(error).splitlines()[0]}")
    if isinstance(root, yaml.MappingNode):
        return section(root, 1, problems)
    if len(problems) == before:
        problems.add(0, "holds no `key: value` lines" if root else "is empty")
    return Section({}, 1)


class NotPlainError(Exception):
    """YAML that is not read on purpose: (line, why)."""


class PlainLoader(yaml.SafeLoader):
    """Not too deep (PyYAML takes seconds over 5000 brackets), and no anchors: told as soon as they come."""

    depth = 0

    def get_event(self) -> yaml.Event:
        event: yaml.Event = super().get_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it so
        line = getattr(event.start_mark, "line", 0) + 1
        self.depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if self.depth > MAX_DEPTH:
            raise NotPlainError(line, f"groups inside groups, {self.depth} deep")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise NotPlainError(line, "anchors (&) and aliases (*) are not used: write it out")
        return event


def section(node: yaml.MappingNode, line: int, problems: Problems) -> Section:
    """One mapping with its keys as written; a key that stands twice is a mistake."""
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        at = key_node.start_mark.line + 1
        key = str(key_node.value)
        if not isinstance(key_node, yaml.ScalarNode):
            problems.add(at, "a key is not a plain word")
        elif key in entries:
            problems.add(at, f"key '{key}' stands twice; the first is in line {lines[key]}")
        else:
            entries[key], lines[key] = entry(key, value_node, at, problems), at
    return Section(entries, line)


def entry(key: str, node: yaml.Node, line: int, problems: Problems) -> Entry:
    """The value of one key."""
    if isinstance(node, yaml.MappingNode):
        return section(node, line, problems)
    if isinstance(node, yaml.SequenceNode):
        return Items(tuple(entry(key, n, n.start_mark.line + 1, problems) for n in node.value), line)
    return leaf(key, node, line)


def leaf(key: str, node: yaml.Node, line: int) -> Leaf:
    """One value in the type it plainly has; what YAML would silently turn into something else is wrong."""
    text, kind = str(node.value), str(node.tag).removeprefix(TAG)
    if kind == "int" and INTEGER.fullmatch(text):
        return Leaf(int(text, 0), text, "int", line)
    if kind == "float" and DECIMAL.fullmatch(text):
        return Leaf(float(text), text, kind, line)
    if kind == "float" and NOT_FINITE.fullmatch(text):
        return Leaf(float(text.replace(".", "")), text, kind, line)
    if kind == "bool":
        return Leaf(text.lower() == "true", text, "bool", line)
    if kind == "null":
        return Leaf(None, text, "null", line)
    if kind in ("int", "float"):
        hint = f'quote it if it is text ("{text}"), or write the number in plain decimals'
        return Leaf(f"{key} = {text} is read by YAML as {yaml_number(text)}: {hint}", text, "wrong", line)
    if kind not in ("str", "timestamp"):
        return Leaf(f"{key} = {text!r} has a tag ({node.tag}); only plain values are used", text, "wrong", line)
    return Leaf(text, text, "str", line)


def yaml_number(text: str) -> str:
    """What YAML makes of it: 12:30 -> 750."""
    try:
        return str(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError):
        return "a number"
