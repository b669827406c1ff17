"""Points: rows as InfluxDB line protocol, millisecond precision. Pure.

A row is one point: measurement v2g_live or v2g_event; tags site, epoch, start_mode (and event); the body's other
entries are fields, nested ones joined by _ without `newest`: {"f_hz": {"newest": 50.0, "min": 49.9}} is
f_hz=50.0,f_hz_min=49.9. Whole numbers stay whole (suffix i), so that one field never changes its type. null is left
out. Lists become JSON text. What is written here every server can read; what cannot be written so is a PointError.
Speed    one line is 45 numbers, and most of its cost is their digits: names are escaped once and remembered.
Source   InfluxDB line protocol reference (v2): escaping, types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

from controller.telemetry.wire import Arrival

NOT_FIELDS = frozenset(("v", "kind", "site", "epoch", "t_ms", "start_mode", "event", "sign", "outbox"))
LEAST, MOST = -(2**63), 2**63 - 1  # of a whole number
REMEMBERED = 8192  # names and heads: bounded, because they come from outside


class PointError(ValueError):
    """A row cannot be written as a point: its publisher must act; it goes to quarantine."""


def line(row: Arrival, texts: bool = True) -> str:
    """One row -> one line. texts: False leaves text fields out, for a server that would store them as 0. PointError."""
    body = row.body
    parts: list[str] = []
    write_fields("", {key: value for key, value in body.items() if key not in NOT_FIELDS}, texts, parts)
    if not parts:
        raise PointError("there is nothing in it but tags and null")
    event = row.name if row.kind == "event" else ""
    mode = str(body.get("start_mode") or "unknown")
    return f"{head(row.kind, row.site, row.epoch, mode, event)} {','.join(parts)} {row.t_ms}"


def write_fields(prefix: str, body: Mapping[str, Any], texts: bool, parts: list[str]) -> None:
    """Append each field of a dict, nested ones too, as the protocol writes it."""
    for key, value in body.items():
        kind = type(value)
        if kind is float:
            if not isfinite(value):
                raise PointError(f"{joined(prefix, key)} = {value} is no number")
            parts.append(label(prefix, key) + repr(value))
        elif kind is int:
            if not LEAST <= value <= MOST:
                raise PointError(f"{joined(prefix, key)} = {value} is beyond 64 bits")
            parts.append(f"{label(prefix, key)}{value}i")
        elif kind is dict:
            write_fields(joined(prefix, key), value, texts, parts)
        elif kind is bool:
            parts.append(label(prefix, key) + ("true" if value else "false"))
        elif texts and value is not None:
            parts.append(label(prefix, key) + text_field(value))


def flatten(body: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested dict -> (field, value), under the names the lines use; null is left out, lists are JSON text."""
    for key, value in body.items():
        name = joined(prefix, key)
        if isinstance(value, dict):
            yield from flatten(value, name)
        elif value is not None:
            yield name, as_text(value) if isinstance(value, list) else value


@lru_cache(REMEMBERED)
def head(kind: str, site: str, epoch: int, start_mode: str, event: str) -> str:
    """Measurement and tags: what makes the series."""
    tags = {"site": site, "epoch": str(epoch), "start_mode": start_mode} | ({"event": event} if event else {})
    return f"v2g_{kind}" + "".join(f",{key}={escape_tag(value)}" for key, value in sorted(tags.items()))


@lru_cache(REMEMBERED)
def label(prefix: str, key: str) -> str:
    """A field's name and its equals sign."""
    if not key:
        raise PointError("a field without a name")
    return f"{escape_tag(joined(prefix, key))}="


def joined(prefix: str, key: str) -> str:
    """The name of an entry inside another one; `newest` bears the other one's own."""
    return f"{prefix}_{key}" if prefix and key != "newest" else prefix or key


def text_field(value: Any) -> str:
    """Text in quotes; a line break would end the point."""
    text = as_text(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'.replace("\n", " ").replace("\r", " ")


def as_text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def escape_tag(text: str) -> str:
    """Keys and tag values: comma, equals sign and space take a backslash; a line break would end the point.

    A backslash itself cannot be escaped there, and would do it to what follows: it becomes a slash.
    """
    text = text.replace("\\", "/")
    for sign in ",= ":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "\\ ").replace("\r", "\\ ")
