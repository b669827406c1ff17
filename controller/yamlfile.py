"""YAML text -> a tree that remembers lines; every mistake collected, none raised.

Shapes   Section {key: Leaf | Section | Items}; a Leaf keeps the value, its text as written and its line.
Errors   Problems gathers `file:line: text`; the caller raises them together.
Strict   PyYAML reads `on` as a boolean, `12:30` as 750, `010` as 8, and lets the last of two equal keys win: each is
         refused here. Anchors and aliases are refused too: a line number should lead to the value that counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

MAX_BYTES = 1_000_000
MAX_DEPTH = 10
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
DECIMAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Problems:
    """Mistakes found so far, in any number of files; line 0 is the file as a whole."""

    found: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, file: str, line: int, text: str) -> None:
        """text may quote the file: it stays one printable line whatever stood there."""
        printable = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
        self.found.append((file, line, printable))

    def __bool__(self) -> bool:
        return bool(self.found)

    def lines(self) -> list[str]:
        """One line each, by file in the order met, then by line."""
        files = list(dict.fromkeys(f for f, _, _ in self.found))
        ordered = sorted(dict.fromkeys(self.found), key=lambda p: (files.index(p[0]), p[1]))
        return [f"{file}:{line}: {text}" if line else f"{file}: {text}" for file, line, text in ordered]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value: kind is `int`, `float`, `bool`, `str`, `null`, or `reported`: already among the problems."""

    value: int | float | bool | str | None
    text: str
    kind: str
    line: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list of values."""

    items: tuple[Leaf, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping. line is where its key stands (1 for the whole file)."""

    entries: dict[str, Leaf | Items | Section]
    line: int


Entry = Leaf | Items | Section


def read_yaml(path: Path, problems: Problems) -> Section:
    """The file's tree; empty, with the reason among the problems, when it cannot be read at all."""
    file, nothing = str(path), Section({}, 1)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            problems.add(file, 0, f"longer than {MAX_BYTES} bytes: is this the right file?")
            return nothing
        return parse_yaml(raw.decode("utf-8-sig"), file, problems)
    except OSError as error:
        problems.add(file, 0, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.add(file, raw[: error.start].count(b"\n") + 1, "is not UTF-8 text: save the file as UTF-8")
    return nothing


def parse_yaml(text: str, file: str, problems: Problems) -> Section:
    """YAML text -> its tree. Broken YAML gives one problem and an empty Section."""
    nothing = Section({}, 1)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:  # PyYAML takes seconds over 5000 brackets
                problems.add(file, getattr(event.start_mark, "line", 0) + 1, f"groups inside groups, {depth} deep")
                return nothing
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                at = getattr(event.start_mark, "line", 0) + 1
                problems.add(file, at, "anchors (&) and aliases (*) are not used: write it out")
                return nothing
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(file, getattr(mark, "line", 0) + 1, f"is not YAML: {error.problem or error.context}")
        return nothing
    except (yaml.YAMLError, RecursionError) as error:
        problems.add(file, 1, f"is not YAML: {str(error).splitlines()[0]}")
        return nothing
    if not isinstance(root, yaml.MappingNode):
        problems.add(file, 0, "holds no `key: value` lines" if root else "is empty")
        return nothing
    return section(root, 1, file, problems)


def section(node: yaml.MappingNode, line: int, file: str, problems: Problems) -> Section:
    """One mapping with its keys as written; a key that stands twice is a mistake."""
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        at = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            problems.add(file, at, "a key is not a plain word")
            continue
        key = str(key_node.value)
        if key in entries:
            problems.add(file, at, f"key '{key}' stands twice; the first is in line {lines[key]}")
            continue
        entries[key], lines[key] = entry(key, value_node, at, file, problems), at
    return Section(entries, line)


def entry(key: str, node: yaml.Node, line: int, file: str, problems: Problems) -> Entry:
    """The value of one key."""
    if isinstance(node, yaml.MappingNode):
        return section(node, line, file, problems)
    if isinstance(node, yaml.SequenceNode):
        scalars = [n for n in node.value if isinstance(n, yaml.ScalarNode)]
        if len(scalars) < len(node.value):
            problems.add(file, line, f"{key} holds a list or group inside a list; only single values belong there")
        return Items(tuple(leaf(key, n, n.start_mark.line + 1, file, problems) for n in scalars), line)
    return leaf(key, node, line, file, problems)


def leaf(key: str, node: yaml.Node, line: int, file: str, problems: Problems) -> Leaf:
    """One value in the type it plainly has; what YAML would silently turn into something else is a mistake."""
    text, kind = str(node.value), str(node.tag).removeprefix(TAG)
    if kind == "int" and INTEGER.fullmatch(text):
        return Leaf(int(text), text, "int", line)
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
        problems.add(file, line, f"{key} = {text} is read by YAML as {yaml_number(text)}: {hint}")
    elif kind not in ("str", "timestamp"):
        problems.add(file, line, f"{key} = {text!r} has a tag ({node.tag}); only plain values are used")
    else:
        return Leaf(text, text, "str", line)
    return Leaf(text, text, "reported", line)


def yaml_number(text: str) -> str:
    """What YAML makes of it: 12:30 -> 750."""
    try:
        return str(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError):
        return "a number"
