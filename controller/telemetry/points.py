"""Points: rows as InfluxDB line protocol, millisecond precision. Pure.

A row is one point: measurement v2g_live or v2g_event; tags site, epoch, start_mode (and event); the body's other
entries are fields, nested ones joined by _ without `newest`: {"f_hz": {"newest": 50.0, "min": 49.9}} is
f_hz=50.0,f_hz_min=49.9. Whole numbers stay whole (suffix i), so that one field never changes its type. null is left
out. Lists become JSON text.
Source   InfluxDB line protocol reference (v2): escaping, types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from controller.telemetry.wire import Arrival

NOT_FIELDS = ("v", "kind", "site", "epoch", "t_ms", "start_mode", "event", "sign", "outbox")


def line(row: Arrival) -> str:
    """One row -> one line."""
    tags = {"site": row.site, "epoch": str(row.epoch), "start_mode": str(row.body.get("start_mode") or "unknown")}
    if row.kind == "event":
        tags["event"] = row.name
    labels = "".join(f",{key}={escape_tag(value)}" for key, value in sorted(tags.items()))
    body = {key: value for key, value in row.body.items() if key not in NOT_FIELDS}
    fields = ",".join(f"{escape_tag(key)}={value}" for key, value in flatten(body))
    return f"v2g_{row.kind}{labels} {fields} {row.t_ms}"


def flatten(body: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested dict -> (field, value as the protocol writes it)."""
    for key, value in body.items():
        name = f"{prefix}_{key}" if prefix and key != "newest" else prefix or key
        if isinstance(value, dict):
            yield from flatten(value, name)
        elif value is not None:
            yield name, field_value(value)


def field_value(value: Any) -> str:
    """A number, a truth or a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
    return f'"{text}"'


def escape_tag(text: str) -> str:
    """Keys and tag values: comma, equals sign and space take a backslash; a line break would end the point."""
    for sign in ",= ":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "\\ ").replace("\r", "\\ ")
