"""A dataclass says what a group of a YAML file may hold; this reads the group and names every mistake.

Shapes   a field with metadata is a key: unit, low, high, clause (numbers), choices (words) or clause alone.
         cython_core.settings uses the same metadata, so one reader serves the site's own groups and the core's.
Errors   into Problems, one line each: `key = value is outside low ... high unit (clause)`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.yamlfile import Entry, Leaf, Problems, Section

LONG = 60  # characters of a value that are quoted back
REQUIRED = dataclasses.MISSING
EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


def integer(unit: str, low: int, high: int, clause: str, default: Any = REQUIRED) -> Any:
    """A whole number; required when it has no default."""
    return key({"kind": "int", "unit": unit, "low": low, "high": high, "clause": clause}, default)


def number(unit: str, low: float, high: float, clause: str, default: Any = REQUIRED) -> Any:
    """A number; required when it has no default."""
    return key({"kind": "float", "unit": unit, "low": low, "high": high, "clause": clause}, default)


def choice(choices: tuple[str, ...], clause: str, default: Any = REQUIRED) -> Any:
    """One word of a few."""
    return key({"kind": "choice", "choices": choices, "clause": clause}, default)


def text(clause: str, default: Any = REQUIRED, pattern: str = r"\S+") -> Any:
    """Text that matches the pattern as a whole; clause says what that is."""
    return key({"kind": "str", "pattern": pattern, "clause": clause}, default)


def file_path(clause: str) -> dict[str, Any]:
    """Metadata of an absolute path, which the file may leave out."""
    return {"kind": "path", "clause": clause, "optional": True}


def flag(clause: str, default: Any = REQUIRED) -> Any:
    """true or false."""
    return key({"kind": "bool", "clause": clause}, default)


def key(metadata: dict[str, Any], default: Any) -> Any:
    return field(metadata=metadata) if default is REQUIRED else field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from; `over` is the place in the profile that the site overrides."""

    kind: str  # "default" | "derived" | "profile" | "site"
    file: str = ""
    line: int = 0
    over: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.line}" if self.line else self.kind


def keys_of(group: type[Any]) -> dict[str, Mapping[str, Any]]:
    """The keys a group may hold, with what is known about each."""
    return {f.name: f.metadata for f in dataclasses.fields(group) if f.metadata}


def kind_of(meta: Mapping[str, Any]) -> str:
    return str(meta.get("kind", "float" if "low" in meta else "bool"))


def as_section(name: str, entry: Entry | None, file: str, problems: Problems) -> Section | None:
    """The entry as a group; anything else is a mistake. An absent entry is None."""
    if entry is None or isinstance(entry, Section):
        return entry
    if not (isinstance(entry, Leaf) and entry.kind == "reported"):
        problems.add(file, entry.line, f"{name} needs its keys below it, indented")
    return None


def read_values(
    group: type[Any], section: Section, file: str, problems: Problems, beside: tuple[str, ...] = ()
) -> dict[str, tuple[Any, int]]:
    """{key: (value, line)} of what is right; the rest are problems. beside: keys that others read."""
    known = keys_of(group)
    values: dict[str, tuple[Any, int]] = {}
    for name, entry in section.entries.items():
        if name in beside:
            continue
        if name not in known:
            listed = ", ".join(sorted({*known, *beside}))
            problems.add(file, entry.line, f"unknown key '{name}'; known: {listed}")
        elif not isinstance(entry, Leaf):
            problems.add(file, entry.line, f"{name} holds a list or group; it takes one value: {allowed(known[name])}")
        elif entry.kind != "reported":
            complaint = wrong(name, entry, known[name])
            if complaint:
                problems.add(file, entry.line, complaint)
            else:
                values[name] = (convert(entry, known[name]), entry.line)
    return values


def report_missing(group: type[Any], where: str, section: Section, file: str, problems: Problems) -> None:
    """One problem for each required key that is not there."""
    for f in dataclasses.fields(group):
        required = f.metadata and f.default is dataclasses.MISSING and not f.metadata.get("optional")
        if required and f.name not in section.entries:
            told = f"{where}: " if where else ""
            problems.add(file, section.line, f"{told}missing key '{f.name}': {allowed(f.metadata)}")


def allowed(meta: Mapping[str, Any], brief: bool = False) -> str:
    """What a key takes, for people: `0.02 ... 0.05 pu/pu (clause)`. brief: the clause without its standard."""
    clause = f" ({meta['clause'] if brief else source(meta)})"
    match kind_of(meta):
        case "int" | "float":
            return f"{meta['low']:.12g} ... {meta['high']:.12g} {meta['unit']}".rstrip() + clause
        case "choice":
            return " | ".join(meta["choices"]) + clause
        case "bool":
            return f"true | false{clause}"
    return str(meta["clause"])


def source(meta: Mapping[str, Any]) -> str:
    """Clause or meaning; a bare clause number is one of IEEE 1547-2018."""
    clause = str(meta["clause"])
    return f"1547-2018 {clause}" if re.match(r"[0-9]+\.[0-9]", clause) else clause


def wrong(name: str, leaf: Leaf, meta: Mapping[str, Any]) -> str:
    """What is wrong with the value, or nothing."""
    kind = kind_of(meta)
    told = f"{name} = {leaf.text if len(leaf.text) <= LONG else leaf.text[:LONG] + '...'}"
    if leaf.kind == "null":
        return f"{name} has no value; allowed: {allowed(meta)}"
    if kind == "bool":
        right = leaf.kind == "bool" and leaf.text.lower() in ("true", "false")
        return "" if right else f"{told} is not true or false ({source(meta)})"
    if kind in ("int", "float"):
        return wrong_number(told, leaf, meta)
    if leaf.kind != "str":
        return f'{told} is read by YAML as {leaf.kind}, not as text: quote it ("{leaf.text}"); allowed: {allowed(meta)}'
    if kind == "choice" and leaf.text not in meta["choices"]:
        return f"{told} is not one of {allowed(meta)}"
    if kind == "str" and not re.fullmatch(meta["pattern"], leaf.text):
        return f"{told} is not {meta['clause']}"
    if kind == "path" and not leaf.text.startswith("/"):
        return f"{told} is not a path from the root (/...) ({meta['clause']})"
    return ""


def wrong_number(told: str, leaf: Leaf, meta: Mapping[str, Any]) -> str:
    whole = kind_of(meta) == "int"
    if leaf.kind not in (("int",) if whole else ("int", "float")):
        hint = ": YAML reads it as text, write all digits (50000, not 50e3)" if EXPONENT.fullmatch(leaf.text) else ""
        return f"{told} is not a {'whole ' if whole else ''}number{hint}; allowed: {allowed(meta)}"
    assert isinstance(leaf.value, (int, float))
    if not meta["low"] <= leaf.value <= meta["high"]:  # NaN fails too
        return f"{told} is outside {allowed(meta)}"
    return ""


def convert(leaf: Leaf, meta: Mapping[str, Any]) -> Any:
    """The value in the type its key has."""
    match kind_of(meta):
        case "float":
            return float(leaf.text)
        case "path":
            return Path(leaf.text)
        case "str" | "choice":
            return leaf.text
    return leaf.value
