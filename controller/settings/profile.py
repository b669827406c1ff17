"""Settings -> the text of a profile that reads back as the same settings. Pure.

Written are the settings a file named, and those that differ from the defaults; a comment keeps what an EPRI file says
beside settings, and `v2g settings export` writes it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from cython_core.checks import FIELDS, GROUPS
from cython_core.quantities import defaults
from cython_core.settings import Settings

YAML_BOOLEANS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


def profile_text(settings: Settings, title: str, note: str, named: Iterable[str], kept: Mapping[str, str]) -> str:
    """YAML. named: `group.key` of what is written even where it is the default."""
    written = set(named) | {"rating.f_nom_hz", "rating.normal_category", "rating.abnormal_category"}
    lines = ["schema: 1", f"title: {json.dumps(title, ensure_ascii=False)}", f"note: {json.dumps(note)}"]
    if kept:
        lines += ["", "# Lines of the EPRI file that set nothing here; `v2g settings export` writes them back."]
        lines += [f"# epri {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in kept.items()]
    lines += ["", "settings:"]
    for group, keys in FIELDS.items():
        values = {k: getattr(getattr(settings, group), k) for k in keys}
        chosen = [k for k in keys if f"{group}.{k}" in written or differs(settings, group, k, values[k])]
        if chosen:
            lines.append(f"  {group}:")
            lines += [f"    {k}: {yaml_value(values[k])}" for k in chosen]
    return "\n".join(lines) + "\n"


def differs(settings: Settings, group: str, key: str, value: Any) -> bool:
    """From the field's own default, or from that of this unit's categories."""
    rating = settings.rating
    preset = defaults(GROUPS[group], rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
    own = FIELDS[group][key].default
    return bool(value != own or value != preset.get(key, own))


def yaml_value(value: Any) -> str:
    """As YAML reads it back: all digits of a number, and `off` quoted, which YAML takes for false."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = f"{Decimal(repr(value)):f}"
        return text.removesuffix(".0")
    text = str(value)
    return f'"{text}"' if text.lower() in YAML_BOOLEANS else text
