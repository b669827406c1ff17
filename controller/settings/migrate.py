"""A site or profile file of an older program -> the same in today's words, line by line; the rest stays. Pure.

Shapes   migrated(text) -> (new text, notes). Notes: one line each, what was written differently and why.
Errors   InputError where an old line stands in a layout this module does not write into.
"""

from __future__ import annotations

from collections.abc import Callable

import yaml

from controller.errors import InputError
from controller.settings.edit import BOM, changed, child, compose

# group.key of an older program -> what says the same today: (group, key, value) or nothing, for the value it had
Said = tuple[str, str, str] | None
GONE: dict[tuple[str, str], tuple[Callable[[str], Said], str]] = {
    ("volt_var", "enable"): (
        lambda value: ("reactive", "mode", "volt_var") if value == "true" else None,
        "one reactive mode acts, and reactive.mode names it",
    ),
}


def migrated(text: str) -> tuple[str, list[str]]:
    """Each old line taken out, and its successor put where it belongs unless the file has one already."""
    if text.startswith(BOM):
        inner, notes = migrated(text.removeprefix(BOM))
        return BOM + inner, notes
    notes = []
    for (group, key), (successor, why) in GONE.items():
        old = value_of(text, group, key)
        if old is None:
            continue
        text = removed(text, group, key)
        said = successor(old)
        if said and value_of(text, *said[:2]) is None:
            text = changed(text, *said).text
        now = f"{said[0]}.{said[1]}: {said[2]}" if said else "nothing: it is the default"
        notes.append(f"{group}.{key}: {old} -> {now} ({why})")
    return text, notes


def group_of(text: str, group: str) -> tuple[yaml.MappingNode, yaml.MappingNode] | None:
    """The mapping that a group stands in, and its own."""
    root = compose(text)
    settings = child(root, "settings")
    holder = settings if isinstance(settings, yaml.MappingNode) else root
    section = child(holder, group)
    return (holder, section) if isinstance(section, yaml.MappingNode) else None


def value_of(text: str, group: str, key: str) -> str | None:
    """As it stands in the file."""
    found = group_of(text, group)
    node = child(found[1], key) if found else None
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def removed(text: str, group: str, key: str) -> str:
    """Without this key; without its group too when nothing else is in it."""
    found = group_of(text, group)
    assert found is not None
    holder, section = found
    if len(section.value) == 1:
        return without(text, holder, group)
    return without(text, section, key)


def without(text: str, mapping: yaml.MappingNode, key: str) -> str:
    """The text without one entry of a mapping."""
    (at,) = (i for i, (name, _) in enumerate(mapping.value) if name.value == key)
    name, value = mapping.value[at]
    if mapping.flow_style:
        return in_braces(text, mapping, at)
    if value.end_mark.line > value.start_mark.line and not isinstance(value, yaml.MappingNode):
        raise InputError(f"line {name.start_mark.line + 1}: {key} is written over several lines: take it out by hand")
    rows = text.splitlines(keepends=True)
    last = max(last_row(value), name.start_mark.line)
    return "".join(rows[: name.start_mark.line] + rows[last + 1 :])


def last_row(node: yaml.Node) -> int:
    """The line of the last character of a value."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return last_row(node.value[-1][1])
    return int(node.end_mark.line)


def in_braces(text: str, mapping: yaml.MappingNode, at: int) -> str:
    """`{a: 1, b: 2}` -> `{b: 2}`, with the comma that belonged to it."""
    entries = mapping.value
    if at + 1 < len(entries):
        start, end = entries[at][0].start_mark.index, entries[at + 1][0].start_mark.index
    else:
        start = entries[at - 1][1].end_mark.index if at else entries[at][0].start_mark.index
        end = entries[at][1].end_mark.index
    return text[:start] + text[end:]
