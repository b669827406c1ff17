"""Declared keys: what a group of a YAML file may hold; read_values reads the group and names every mistake.

Shapes   {key: Meta}, mostly the metadata of a dataclass's fields: unit, low, high, clause (numbers), choices (words),
         or clause alone. cython_core.settings uses the same metadata, so one reader serves maps, sites and the core.
Errors   into Problems, one line each: `key = value is outside low ... high unit (clause)`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from drivers.yamlfile import DECIMAL, INTEGER, Entry, Items, Leaf, Problems, Section

Meta = Mapping[str, Any]
LONG = 60  # characters of a value that are quoted back
REQUIRED = dataclasses.MISSING
EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


def integer(unit: str, low: int, high: int, clause: str, default: Any = REQUIRED) -> Any:
    """A whole number, hex with 0x; required when it has no default."""
    return key({"kind": "int", "unit": unit, "low": low, "high": high, "clause": clause}, default)


def version(newest: int, clause: str, default: Any = REQUIRED) -> Any:
    """The version of a file's shape: a newer one gets a line of its own."""
    return key({"kind": "int", "unit": "", "low": 1, "high": newest, "clause": clause, "version": True}, default)


def number(unit: str, low: float, high: float, clause: str, default: Any = REQUIRED) -> Any:
    """A number; required when it has no default."""
    return key({"kind": "float", "unit": unit, "low": low, "high": high, "clause": clause}, default)


def choice(choices: tuple[str, ...], clause: str, default: Any = REQUIRED) -> Any:
    """One word of a few."""
    return key({"kind": "choice", "choices": choices, "clause": clause}, default)


def text(clause: str, default: Any = REQUIRED, pattern: str = r"\S+") -> Any:
    """Text that matches the pattern as a whole; clause says what that is."""
    return key({"kind": "str", "pattern": pattern, "clause": clause}, default)


def file_path(clause: str) -> Meta:
    """Metadata of an absolute path, which the file may leave out."""
    return {"kind": "path", "clause": clause}


def flag(clause: str, default: Any = REQUIRED) -> Any:
    """true or false."""
    return key({"kind": "bool", "clause": clause}, default)


def nested(clause: str, required: bool = True) -> Meta:
    """Metadata of a key with keys of its own; its value is their Section."""
    return {"kind": "group", "clause": clause, "required": required}


def anything(clause: str, required: bool = False) -> Meta:
    """Metadata of a key whose entry is handed on as it stands, for whoever asked to read."""
    return {"kind": "entry", "clause": clause, "required": required}


def never(clause: str) -> Meta:
    """Metadata of a key that somebody may well try and must not: clause says what to do instead."""
    return {"kind": "never", "clause": clause}


def several(one: Any, count: int = 0) -> Any:
    """A list of such values, or one of them alone. count: exactly so many."""
    return field(default=one.default, metadata={**one.metadata, "several": True, "count": count})


def key(metadata: dict[str, Any], default: Any) -> Any:
    return field(default=default, metadata={**metadata, "required": default is REQUIRED})


def keys_of(group: type[Any]) -> dict[str, Meta]:
    """The keys a group may hold, with what is known about each."""
    return {f.name: f.metadata for f in dataclasses.fields(group) if f.metadata}


def kind_of(meta: Meta) -> str:
    return str(meta.get("kind", "float" if "low" in meta else "bool"))


def read_values(
    known: Mapping[str, Meta], section: Section, problems: Problems, where: str = ""
) -> dict[str, tuple[Any, int]]:
    """{key: (value, line)} of what is right; the rest, and what is missing, are problems. where: the group's name."""
    values: dict[str, tuple[Any, int]] = {}
    for name, entry in section.entries.items():
        if name not in known:
            others = sorted(key for key, meta in known.items() if kind_of(meta) != "never")
            problems.add(entry.line, f"unknown key '{name}'; known: {', '.join(others)}")
            continue
        value = read_value(name, entry, known[name], problems)
        if value is not None:
            values[name] = (value, entry.line)
    for name, meta in known.items():
        if meta.get("required") and name not in section.entries:
            told = f"{where}: " if where else ""
            problems.add(section.line, f"{told}missing key '{name}': {allowed(meta)}")
    return values


def read_value(name: str, entry: Entry, meta: Meta, problems: Problems) -> Any:
    """The value of one key; None when it is among the problems."""
    many = bool(meta.get("several"))
    entries = entry.items if many and isinstance(entry, Items) else (entry,)
    count = meta.get("count") or max(len(entries), 1)
    complaints = [(one.line, wrong(name, one, meta)) for one in entries]
    if len(entries) != count:
        complaints = [(entry.line, f"{name} holds {len(entries)} values instead of {count}; allowed: {allowed(meta)}")]
    for line, complaint in complaints:
        if complaint:
            problems.add(line, complaint)
    if any(complaint for _, complaint in complaints):
        return None
    return tuple(convert(one, meta) for one in entries) if many else convert(entry, meta)


def allowed(meta: Meta, brief: bool = False) -> str:
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


def source(meta: Meta) -> str:
    """Clause or meaning; a bare clause number is one of IEEE 1547-2018."""
    clause = str(meta["clause"])
    return f"1547-2018 {clause}" if re.match(r"[0-9]+\.[0-9]", clause) else clause


def wrong(name: str, entry: Entry, meta: Meta) -> str:
    """What is wrong with the value, or nothing."""
    kind = kind_of(meta)
    if kind == "never":  # its value is not told either
        return f"{name} {meta['clause']}"
    if isinstance(entry, Leaf) and entry.kind == "wrong":
        return str(entry.value)
    if kind == "entry":
        return ""
    if kind == "group":
        return "" if isinstance(entry, Section) else f"{name} needs its keys below it, indented"
    if not isinstance(entry, Leaf):
        few = "a value or a list" if meta.get("several") else "one value"
        return f"{name} holds a list or group; it takes {few}: {allowed(meta)}"
    told = f"{name} = {entry.text if len(entry.text) <= LONG else entry.text[:LONG] + '...'}"
    if entry.kind == "null":
        return f"{name} has no value; allowed: {allowed(meta)}"
    if kind == "bool":
        right = entry.kind == "bool" and entry.text.lower() in ("true", "false")
        return "" if right else f"{told} is not true or false ({source(meta)})"
    return wrong_number(told, entry, meta) if kind in ("int", "float") else wrong_text(told, entry, meta)


def wrong_text(told: str, leaf: Leaf, meta: Meta) -> str:
    kind = kind_of(meta)
    if leaf.kind != "str":
        return f'{told} is read by YAML as {leaf.kind}, not as text: quote it ("{leaf.text}"); allowed: {allowed(meta)}'
    if kind == "choice" and leaf.text not in meta["choices"]:
        return f"{told} is not one of {allowed(meta)}"
    if kind == "str" and not re.fullmatch(meta["pattern"], leaf.text):
        return f"{told} is not {meta['clause']}"
    if kind == "path" and not leaf.text.startswith("/"):
        return f"{told} is not a path from the root (/...) ({meta['clause']})"
    return ""


def wrong_number(told: str, leaf: Leaf, meta: Meta) -> str:
    whole = kind_of(meta) == "int"
    if leaf.kind not in (("int",) if whole else ("int", "float")):
        hint = ": YAML reads it as text, write all digits (50000, not 50e3)" if EXPONENT.fullmatch(leaf.text) else ""
        if leaf.kind == "str" and (INTEGER.fullmatch(leaf.text) or DECIMAL.fullmatch(leaf.text)):
            hint = ": write it without quotes"
        return f"{told} is not a {'whole ' if whole else ''}number{hint}; allowed: {allowed(meta)}"
    assert isinstance(leaf.value, (int, float))
    if meta.get("version") and leaf.value > meta["high"]:
        newest = meta["high"]
        return (
            f"{told} is newer than this program, which reads up to {newest}: update the program, or write the file "
            f"for schema {newest}"
        )
    if not meta["low"] <= leaf.value <= meta["high"]:  # NaN fails too
        return f"{told} is outside {allowed(meta)}"
    return ""


def convert(entry: Entry, meta: Meta) -> Any:
    """The value in the type its key has."""
    if not isinstance(entry, Leaf):
        return entry
    match kind_of(meta):
        case "entry":
            return entry
        case "float":
            assert isinstance(entry.value, (int, float))
            return float(entry.value)
        case "path":
            return Path(entry.text)
        case "str" | "choice":
            return entry.text
    return entry.value
