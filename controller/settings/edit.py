"""Change one setting in the text of a site or profile file: one line, every comment and blank stays. Pure.

Shapes   changed(text, group, key, value) -> (new text, value as it stood or None, line). Values as YAML writes them.
Errors   InputError where the text has no place for it: broken YAML, or a layout this module does not write into.
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from controller.errors import InputError
from cython_core.checks import FIELDS
from drivers.yamlfile import Problems, parse_yaml

BOM = "\ufeff"
INDENT = 2


@dataclass(frozen=True, slots=True)
class Change:
    """The text with the change, what stood there, and in which line it is now."""

    text: str
    before: str | None
    line: int


def changed(text: str, group: str, key: str, value: str) -> Change:
    """The change, in the file's own layout."""
    if text.startswith(BOM):
        inner = changed(text.removeprefix(BOM), group, key, value)
        return Change(BOM + inner.text, inner.before, inner.line)
    root = compose(text)
    settings = child(root, "settings")
    if settings is None and any(k.value in FIELDS for k, _ in root.value):
        settings = root  # a file of groups alone
    if settings is None:
        return inserted(text, root, ["settings:", f"{' ' * INDENT}{group}:", f"{' ' * 2 * INDENT}{key}: {value}"])
    if not isinstance(settings, yaml.MappingNode):
        return below_empty(text, settings, root, "settings", [f"{group}:", f"{' ' * INDENT}{key}: {value}"])
    section = child(settings, group)
    if section is None:
        return inserted(text, settings, [f"{group}:", f"{' ' * INDENT}{key}: {value}"])
    if not isinstance(section, yaml.MappingNode):
        return below_empty(text, section, settings, group, [f"{key}: {value}"])
    old = child(section, key)
    if old is None:
        return inserted(text, section, [f"{key}: {value}"])
    return replaced(text, old, value)


def compose(text: str) -> yaml.MappingNode:
    """The nodes of a text that the reader of such files takes; InputError says in which line it would not."""
    problems = Problems("")
    parse_yaml(text, problems)
    for _, line, why in problems.found:
        raise InputError(f"line {line}: {why}" if line else why)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode), "parse_yaml has said so"
    return root


def child(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((v for k, v in node.value if k.value == key), None)


def replaced(text: str, old: yaml.Node, value: str) -> Change:
    """The value alone is exchanged; the spaces before the line's comment give way to a longer value."""
    if not isinstance(old, yaml.ScalarNode) or old.style in ("|", ">") or old.start_mark.line != old.end_mark.line:
        raise InputError(f"line {old.start_mark.line + 1} holds no single value to replace")
    start, end = old.start_mark.index, old.end_mark.index
    rest = text[end:]
    gap = len(rest) - len(rest.lstrip(" "))
    if rest[gap : gap + 1] == "#" and gap > 1:  # keep the comment in its column
        gap_now = max(gap - (len(value) - (end - start)), 1)
        rest = " " * gap_now + rest[gap:]
    space = "" if text[start - 1 : start] in (" ", "{") or start != end else " "  # `key:` with nothing behind it
    return Change(text[:start] + space + value + rest, text[start:end] or None, old.start_mark.line + 1)


def inserted(text: str, node: yaml.MappingNode, lines: list[str]) -> Change:
    """New lines behind the last one of this mapping, in its own indentation."""
    if node.flow_style:
        return in_braces(text, node, lines)
    column = node.value[0][0].start_mark.column
    return lines_after(text, last_line(node), column, lines)


def below_empty(text: str, empty: yaml.Node, parent: yaml.MappingNode, key: str, lines: list[str]) -> Change:
    """New lines below a `key:` that has nothing under it."""
    (at,) = (k.start_mark for k, _ in parent.value if k.value == key)
    if parent.flow_style or not isinstance(empty, yaml.ScalarNode) or empty.value:
        raise InputError(f"line {at.line + 1}: {key} holds no keys: write them below it, indented")
    return lines_after(text, at.line, at.column + INDENT, lines)


def in_braces(text: str, node: yaml.MappingNode, lines: list[str]) -> Change:
    """`{a: 1}` -> `{a: 1, b: 2}`."""
    if len(lines) > 1:
        raise InputError(f"line {node.start_mark.line + 1} is written in braces: write the group on lines of its own")
    at = node.end_mark.index - 1
    head = text[:at].rstrip(" ")
    between = ", " if node.value else ""
    return Change(head + between + lines[0] + text[at:], None, node.end_mark.line + 1)


def last_line(node: yaml.Node) -> int:
    """The line where the last value below this node ends; comments behind it do not belong to it."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        key, value = node.value[-1]
        return max(int(key.end_mark.line), last_line(value))
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return last_line(node.value[-1])
    return int(node.end_mark.line if node.end_mark.column else max(node.end_mark.line - 1, node.start_mark.line))


def lines_after(text: str, line: int, column: int, lines: list[str]) -> Change:
    newline = "\r\n" if "\r\n" in text else "\n"
    rows = text.splitlines(keepends=True)
    if rows and not rows[line].endswith(("\n", "\r")):
        rows[line] += newline
    rows[line + 1 : line + 1] = [" " * column + row + newline for row in lines]
    return Change("".join(rows), None, line + 1 + len(lines))
