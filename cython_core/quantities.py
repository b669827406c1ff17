"""How a setting is declared: default, unit, range, clause and the EPRI file's name on one line.

Shapes   dataclass fields with metadata {unit, low, high, clause, epri, by, at_60_hz} (numbers), {choices} (words) or
         clause alone (switches). low and high are the widest there are; by {category: (default, low, high)} and
         at_60_hz (low, high at 60 Hz; they move with the nominal frequency) are what holds for one unit.
Errors   SettingError: name, value, what is allowed, clause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any

Range = tuple[float, float, float]  # default, low, high


class SettingError(ValueError):
    """A setting is unknown, of the wrong type or out of its range. The site owner must act."""


def quantity(
    default: float,
    unit: str,
    low: float,
    high: float,
    clause: str,
    epri: str = "",
    by: Mapping[str, Range] | None = None,
    at_60_hz: bool = False,
) -> Any:
    """A number. by: other defaults and ranges by category; at_60_hz: default and range move with f_nom_hz - 60."""
    meta = {"unit": unit, "low": low - (10.0 if at_60_hz else 0.0), "high": high, "clause": clause, "epri": epri}
    return field(default=default, metadata={**meta, "by": by or {}, "at_60_hz": (low, high) if at_60_hz else None})


def switch(default: bool, clause: str, epri: str = "") -> Any:
    """An on/off setting."""
    return field(default=default, metadata={"unit": "true/false", "clause": clause, "epri": epri})


def choice(default: str, choices: tuple[str, ...], clause: str, epri: str = "") -> Any:
    """One word of a few; the compiled core sees its place in the list."""
    meta = {"kind": "choice", "unit": " | ".join(choices), "choices": choices, "clause": clause, "epri": epri}
    return field(default=default, metadata=meta)


def code(settings: Any, name: str) -> int:
    """A choice as its place in the list of choices."""
    (meta,) = (f.metadata for f in fields(settings) if f.name == name)
    return int(meta["choices"].index(getattr(settings, name)))


def check_ranges(settings: Any) -> None:
    """Raise SettingError at the first value of the wrong type or outside its widest range."""
    for f in fields(settings):
        value, m = getattr(settings, f.name), f.metadata
        if not m:
            continue
        if "choices" in m:
            if value not in m["choices"]:
                raise SettingError(f"{f.name} = {value!r} is not one of {m['unit']} ({m['clause']})")
        elif "low" not in m:
            if not isinstance(value, bool):
                raise SettingError(f"{f.name} = {value!r} is not true or false ({m['clause']})")
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SettingError(f"{f.name} = {value!r} is not a number (write 50000, not 50e3) ({m['clause']})")
        elif not m["low"] <= value <= m["high"]:  # NaN fails too
            raise SettingError(f"{f.name} = {value} is outside {m['low']} ... {m['high']} {m['unit']} ({m['clause']})")


def range_of(meta: Mapping[str, Any], normal: str, abnormal: str, f_nom_hz: float) -> tuple[float | None, float, float]:
    """(default or None when the field's own holds, low, high) of a number in these categories at this frequency."""
    if meta["at_60_hz"]:
        low, high = (edge + (f_nom_hz - 60.0) for edge in meta["at_60_hz"])
        return None, low, high
    return meta["by"].get(normal) or meta["by"].get(abnormal) or (None, meta["low"], meta["high"])


def defaults(group: type[Any], normal: str, abnormal: str, f_nom_hz: float) -> dict[str, float]:
    """Values of this group that differ from its own defaults in these categories and at this frequency."""
    found: dict[str, float] = {}
    for f in fields(group):
        if "low" not in f.metadata:
            continue
        chosen, _, _ = range_of(f.metadata, normal, abnormal, f_nom_hz)
        if f.metadata["at_60_hz"]:
            chosen = float(f.default) + (f_nom_hz - 60.0)  # type: ignore[arg-type]  # a number has a default
        if chosen is not None and chosen != f.default:
            found[f.name] = chosen
    return found


def check_category(name: str, settings: Any, normal: str, abnormal: str, f_nom_hz: float) -> None:
    """Raise SettingError where a value is outside the range of these categories at this frequency."""
    for f in fields(settings):
        m = f.metadata
        if "low" not in m or not (m["by"] or m["at_60_hz"]):
            continue
        value = getattr(settings, f.name)
        _, low, high = range_of(m, normal, abnormal, f_nom_hz)
        if not low <= value <= high:
            where = f"{m['clause']}, Category {normal if normal in m['by'] else abnormal}" if m["by"] else m["clause"]
            moved = f"; moved by {f_nom_hz - 60.0:+g} Hz, outside the standard" if f_nom_hz != 60.0 else ""
            raise SettingError(
                f"{name}.{f.name} = {value} is outside {low:.12g} ... {high:.12g} {m['unit']} "
                f"({where}{moved if m['at_60_hz'] else ''})"
            )
