"""What a name means: a setting, an EPRI name, a group, a reasons bit or number, a state, a region, a trip element.

Shapes   explain(name) -> [Topic], more than one where a word has several meanings; every name: names().
Errors   InputError with the nearest names.
Sources  the declarations (settings.py, records.py) and explain.yaml beside this file.
"""

from __future__ import annotations

import re
from dataclasses import Field, asdict, dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import yaml

from controller.errors import InputError
from controller.settings.keys import find_setting, nearest, setting_names, shown, unit_of
from cython_core.checks import FIELDS, GROUPS
from cython_core.epri import KEPT, MODE_FLAGS, NAMES, REFUSED, RENAMED, SUFFIX
from cython_core.quantities import range_of
from cython_core.records import REASON_TEXT, Reason, Region, State, Trip
from drivers.yamlkeys import source

NUMBER = re.compile(r"[0-9]+|0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Topic:
    """One meaning of a name. rows: (what, text), for people and programs alike."""

    name: str
    kind: str  # "setting" | "group" | "reason" | "state" | "region" | "trip" | "epri"
    what: str
    rows: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"rows": dict(self.rows)}


@cache
def texts() -> dict[str, dict[str, Any]]:
    file = resources.files("controller.settings") / "explain.yaml"
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return loaded


def explain(name: str) -> list[Topic]:
    """Every meaning of a name or number."""
    name = SUFFIX.sub("", name)
    if NUMBER.fullmatch(name):
        return bits(int(name, 0))
    if name in FIELDS:
        return [group(name)]
    found = [topic for word, topic in (*words(), *epri_words()) if word == name]
    setting = find_setting(name)
    if setting:
        found.append(setting_topic(*setting))
    if not found:
        raise InputError(f"unknown key '{name}'" + nearest(name, names()))
    return found


def names() -> list[str]:
    """Everything that can be asked for, but numbers."""
    return [*FIELDS, *setting_names(), *dict.fromkeys(word for word, _ in (*words(), *epri_words())), *NAMES]


def bits(number: int) -> list[Topic]:
    """The set bits of StepRecord.reasons."""
    unknown = number & ~sum(Reason)
    if unknown:
        raise InputError(f"{number} has bits that no reason has: {unknown:#x}; the highest is {max(Reason):#x}")
    return [reason(r) for r in Reason if number & r]


def words() -> list[tuple[str, Topic]]:
    """Reasons, states, regions and trip elements."""
    found = [(str(r.name), reason(r)) for r in Reason]
    found += [(s.name, state(s)) for s in State]
    found += [(r.name, region(r)) for r in Region]
    return found + [(str(t.name), trip(t)) for t in Trip]


def reason(r: Reason) -> Topic:
    rows = [("bit", f"{r.bit_length() - 1}, {r:#x} of StepRecord.reasons"), *done_by(texts()["reasons"][str(r.name)])]
    return Topic(str(r.name), "reason", REASON_TEXT[r], rows)


def state(s: State) -> Topic:
    told = texts()["states"][s.name]
    return Topic(s.name, "state", told["what"], [("number", f"{s:d} of StepRecord.state"), *done_by(told["part"])])


def region(r: Region) -> Topic:
    rows = [("number", f"{r:d} of StepRecord.region"), ("clause", "1547-2018 6.4.2 Tables 14-16, 6.5.2 Table 19")]
    return Topic(r.name, "region", texts()["regions"][r.name], rows + done_by("ride_through"))


def trip(t: Trip) -> Topic:
    threshold, time = texts()["trips"][str(t.name)]
    rows = [("bit", f"{t.bit_length() - 1}, {t:#x} of StepRecord.trip"), ("settings", f"{threshold}, {time}")]
    part = threshold.split(".")[0]
    return Topic(str(t.name), "trip", texts()["settings"][threshold], rows + done_by(part))


def epri_words() -> list[tuple[str, Topic]]:
    """Names of EPRI's format that are no setting of their own."""
    found = [
        (name, Topic(name, "epri", f"ENABLED when reactive.mode is {mode}.", [("setting", "reactive.mode")]))
        for name, mode in MODE_FLAGS.items()
    ]
    for label, name in RENAMED.items():
        setting = ".".join(NAMES[name])
        text = f"Label of the results report for {name}."
        found.append((label, Topic(label, "epri", text, [("setting", setting)])))
    found += [
        (name, Topic(name, "epri", "A line of EPRI's format that sets nothing here; it is kept.")) for name in KEPT
    ]
    return found + [(name, Topic(name, "epri", f"Refused: {why}.")) for name, why in REFUSED.items()]


def group(name: str) -> Topic:
    """A group with all its settings."""
    what = (GROUPS[name].__doc__ or "").splitlines()[0]
    rows = [(key, texts()["settings"][f"{name}.{key}"]) for key in FIELDS[name]]
    return Topic(name, "group", what, rows + done_by(name))


def setting_topic(group_name: str, key: str) -> Topic:
    full, f = f"{group_name}.{key}", FIELDS[group_name][key]
    rows = [("function", (GROUPS[group_name].__doc__ or "").splitlines()[0])]
    if "low" in f.metadata:
        rows += [("unit", unit_of(f) or "none"), *numbers(f)]
    else:
        choices = " | ".join(f.metadata.get("choices", ("true", "false")))
        rows += [("default", shown(f.default)), ("allowed", choices)]
    epri_names = [f.metadata["epri"]] if f.metadata.get("epri") else []
    epri_names += list(MODE_FLAGS) if full == "reactive.mode" else []
    rows += [("clause", source(f.metadata)), ("EPRI name", ", ".join(epri_names) or "none")]
    return Topic(full, "setting", texts()["settings"][full], rows + done_by(group_name))


def numbers(f: Field[Any]) -> list[tuple[str, str]]:
    """Default and range, once, or by category, or at both nominal frequencies."""
    m = f.metadata
    cases = [(f"Category {c}", ("A", c, 60.0) if c[0] == "I" else (c, "III", 60.0)) for c in all_categories(m["by"])]
    if m["at_60_hz"]:
        cases = [("at 60 Hz", ("B", "III", 60.0)), ("at 50 Hz, outside the standard", ("B", "III", 50.0))]
    rows = []
    for case, (normal, abnormal, f_nom_hz) in cases or [("", ("B", "III", 60.0))]:
        chosen, low, high = range_of(m, normal, abnormal, f_nom_hz)
        default: Any = f.default if chosen is None else chosen
        default += f_nom_hz - 60.0 if m["at_60_hz"] else 0.0
        text = f"default {default:.12g}, allowed {low:.12g} ... {high:.12g}" if low != high else f"{low:.12g}, fixed"
        rows.append((case or "values", text))
    return rows


def all_categories(by: dict[str, Any]) -> list[str]:
    """Those that this setting distinguishes; III has the field's own where it is not among them."""
    return [] if not by else ["A", "B"] if "A" in by else ["I", "II", "III"]


def done_by(part: str) -> list[tuple[str, str]]:
    place = texts()["parts"][part]
    return [("done by", place["file"]), ("shown by", place["test"])]
