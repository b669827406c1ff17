"""Every setting by name: `group.key`, the key alone when only one group has it, or the EPRI file's name.

Errors   InputError with the nearest names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import Field
from difflib import get_close_matches
from typing import Any

from controller.errors import InputError
from cython_core.checks import FIELDS
from cython_core.epri import MODE_FLAGS, NAMES
from cython_core.quantities import range_of
from cython_core.settings import RatingSettings


def setting_names() -> list[str]:
    return [f"{group}.{key}" for group, keys in FIELDS.items() for key in keys]


def find_setting(name: str) -> tuple[str, str] | None:
    """(group, key), or None. A key that several groups have is an InputError that lists them."""
    group, _, key = name.partition(".")
    if key in FIELDS.get(group, {}):
        return group, key
    if name in NAMES:
        return NAMES[name]
    if name in MODE_FLAGS:
        return "reactive", "mode"
    several = [full for full in setting_names() if full.split(".")[1] == name]
    if len(several) > 1:
        raise InputError(f"{name} stands in several groups: {', '.join(several)}")
    return (several[0].split(".")[0], name) if several else None


def need_setting(name: str) -> tuple[str, str]:
    """(group, key), or an InputError with the nearest names."""
    found = find_setting(name)
    if found is None:
        raise InputError(f"unknown setting '{name}'" + nearest(name, (*setting_names(), *NAMES)))
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean a, b?`, or where the list is."""
    by_lower = {k.lower(): k for k in known} | {k.lower().rpartition(".")[2]: k for k in known}
    near = [by_lower[match] for match in get_close_matches(name.lower(), by_lower, 5, 0.6)]
    return f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else "; `v2g explain` lists all"


def allowed_of(f: Field[Any], rating: RatingSettings) -> str:
    """What this unit's own categories allow, in words: `0.02 ... 0.05 pu/pu`."""
    m = f.metadata
    if "choices" in m:
        return " | ".join(m["choices"])
    if "low" not in m:
        return "true | false"
    _, low, high = range_of(m, rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
    return f"{low:.12g} ... {high:.12g} {unit_of(f)}".rstrip() if low != high else f"{low:.12g} {unit_of(f)}, fixed"


def shown(value: Any) -> str:
    """A value for people: 5, 0.917, true, volt_var."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def unit_of(f: Field[Any]) -> str:
    """The unit of a number; a plain number has none."""
    return str(f.metadata["unit"]).removeprefix("1") if "low" in f.metadata else ""
