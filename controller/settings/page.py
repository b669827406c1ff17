"""Settings as text for people and as JSON: one source, or what differs between two. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from controller.settings.keys import allowed_of, shown, unit_of
from controller.settings.source import Source
from cython_core.checks import FIELDS
from cython_core.quantities import range_of
from cython_core.settings import Settings

WIDTH = 80


def page(source: Source, groups: list[str]) -> Iterator[str]:
    """The settings in 80 columns."""
    rating = source.settings.rating
    yield str(source.path)
    categories = f"Category {rating.normal_category}, {rating.abnormal_category}"
    yield f"{categories}; {rating.f_nom_hz:g} Hz. Clauses are of IEEE 1547-2018."
    yield f"\n {'key':<19}{'value':<16}{'from':<12}allowed (clause), EPRI name"
    for group in groups:
        yield f"\n{group}"
        for key, f in FIELDS[group].items():
            value = f"{shown(getattr(getattr(source.settings, group), key))} {unit_of(f)}".rstrip()
            text = f"{allowed_of(f, rating).removesuffix(unit_of(f)).rstrip()} ({f.metadata['clause']})"
            rows = textwrap.wrap(f"{text} {f.metadata.get('epri', '')}".rstrip(), WIDTH - 48, break_on_hyphens=False)
            yield f" {key:<18} {value:<15} {source.origin(group, key):<11} {rows[0]}"
            yield from (" " * 48 + row for row in rows[1:])


def as_json(source: Source, group: str, key: str) -> dict[str, Any]:
    f, rating = FIELDS[group][key], source.settings.rating
    known: dict[str, Any] = {"group": group, "key": key, "value": getattr(getattr(source.settings, group), key)}
    known["unit"] = unit_of(f)
    if "choices" in f.metadata:
        known["choices"] = list(f.metadata["choices"])
    elif "low" in f.metadata:
        _, known["low"], known["high"] = range_of(
            f.metadata, rating.normal_category, rating.abnormal_category, rating.f_nom_hz
        )
    return known | {
        "clause": f.metadata["clause"],
        "epri": f.metadata.get("epri", ""),
        "origin": source.origin(group, key),
    }


def differences(a: Settings, b: Settings) -> list[dict[str, Any]]:
    """Each setting that differs."""
    rows = []
    for group, keys in FIELDS.items():
        for key, f in keys.items():
            x, y = (getattr(getattr(s, group), key) for s in (a, b))
            if x != y:
                rows.append(
                    {"group": group, "key": key, "a": x, "b": y, "unit": unit_of(f), "clause": f.metadata["clause"]}
                )
    return rows


def difference_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        change = f"{shown(row['a'])} -> {shown(row['b'])} {row['unit']}".rstrip()
        yield f"{row['group'] + '.' + row['key']:<30} {change}  ({row['clause']})"
    yield f"{len(rows)} of {sum(map(len, FIELDS.values()))} settings differ"
