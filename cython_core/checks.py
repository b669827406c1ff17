"""Every mistake of a set of settings at once (Settings itself stops at the first), and two rules files share.

Shapes   groups {"freq_droop": {"k_of": 0.04}, ...}, what is absent has its default -> [Fault(group, key, text)].
Errors   none raised: a fault names value, what is allowed and the clause. Whoever read a file adds file and line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, get_type_hints

from cython_core.quantities import defaults, range_of
from cython_core.settings import RatingSettings, SettingError, Settings, build

GROUPS: dict[str, type[Any]] = get_type_hints(Settings)
FIELDS: dict[str, dict[str, Field[Any]]] = {g: {f.name: f for f in fields(kind)} for g, kind in GROUPS.items()}
Groups = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake, at the setting it is about; key is empty when it is about a whole group."""

    group: str
    key: str
    text: str


def faults(groups: Groups) -> list[Fault]:
    """What is wrong with each value; if nothing is, with each group; if nothing is, with all of them together."""
    found = [fault for group in groups for fault in unknown(group, groups[group])]
    rating = rating_of(groups)
    for group, values in groups.items():
        known = FIELDS.get(group, {})
        texts = {key: wrong(known[key], value, rating) for key, value in values.items() if key in known}
        found += [Fault(group, key, text) for key, text in texts.items() if text]
    if not found:
        found = [fault for group in groups for fault in curve_fault(group, complete(group, groups, rating))]
    if not found:
        try:
            Settings.from_mapping(groups)
        except SettingError as error:
            found = [Fault(*named_in(str(error)), str(error))]
    return found


def unknown(group: str, values: Mapping[str, Any]) -> list[Fault]:
    if group not in FIELDS:
        return [Fault(group, "", f"unknown group '{group}'; known: {', '.join(FIELDS)}")]
    keys = [key for key in values if key not in FIELDS[group]]
    return [Fault(group, key, f"unknown key '{key}'; known: {', '.join(sorted(FIELDS[group]))}") for key in keys]


def rating_of(groups: Groups) -> RatingSettings:
    """The rating, as far as it is right: categories and nominal frequency decide the ranges of the rest."""
    values = {k: v for k, v in groups.get("rating", {}).items() if k in FIELDS["rating"]}
    right = {k: v for k, v in values.items() if not wrong(FIELDS["rating"][k], v, RatingSettings())}
    if right.get("f_nom_hz") not in (50.0, 60.0):
        right.pop("f_nom_hz", None)
    rating: RatingSettings = build(RatingSettings, right)
    return rating


def wrong(f: Field[Any], value: Any, rating: RatingSettings) -> str:
    """What is wrong with one value in this unit's own categories, or nothing."""
    m = f.metadata
    if "choices" in m:
        return "" if value in m["choices"] else f"{f.name} = {value!r} is not one of {m['unit']} ({m['clause']})"
    if "low" not in m:
        return "" if isinstance(value, bool) else f"{f.name} = {value!r} is not true or false ({m['clause']})"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{f.name} = {value!r} is not a number ({m['clause']})"
    _, low, high = range_of(m, rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
    if low <= value <= high:  # NaN fails
        return ""
    category = next((c for c in (rating.normal_category, rating.abnormal_category) if c in m["by"]), "")
    where = f"{m['clause']}, Category {category}" if category else m["clause"]
    moved = f"; at {rating.f_nom_hz:g} Hz, outside the standard" if m["at_60_hz"] and rating.f_nom_hz != 60.0 else ""
    return f"{f.name} = {value:.12g} is outside {low:.12g} ... {high:.12g} {m['unit']}".rstrip() + f" ({where}{moved})"


def complete(group: str, groups: Groups, rating: RatingSettings) -> dict[str, Any]:
    """The group with the defaults of this unit's categories."""
    preset = defaults(GROUPS[group], rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
    return {**preset, **groups.get(group, {})}


def curve_fault(group: str, values: Mapping[str, Any]) -> list[Fault]:
    """What several values of a group do not keep together, at the first of them that is named."""
    try:
        build(GROUPS[group], values)
    except SettingError as error:
        key = next((k for k in FIELDS[group] if re.search(rf"\b{k}\b", str(error))), "")
        return [Fault(group, key, str(error))]
    return []


def named_in(text: str) -> tuple[str, str]:
    """The first `group.key` of a text."""
    for group, key in re.findall(r"\b([a-z_]+)\.([a-z0-9_]+)", text):
        if key in FIELDS.get(group, {}):
            return group, key
    return "", ""


def one_mode(enabled: Mapping[str, bool | None], base: str) -> tuple[str, list[str]]:
    """(reactive.mode, modes that are enabled together) from the four flags of a file; None: the file does not say.

    Two enabled: the first, with both in the list. None enabled: off, or base when the file is silent about base.
    """
    on = [mode for mode, flag in enabled.items() if flag]
    if on:
        return on[0], on if len(on) > 1 else []
    return ("off" if enabled.get(base) is False else base), []
