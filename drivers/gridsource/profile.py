"""Profiles: which words a family of grid simulators understands, read strictly. Explained in profiles/TEMPLATE.yaml.

load_profile(name) finds drivers/gridsource/profiles/<name>.yaml; a name with a slash or ending in .yaml is a path.
Lines   SCPI with the fields {v1_v} {v2_v} {v3_v} {f_hz} {a1_deg} {a2_deg} {a3_deg}: what each stands for is FIELDS.
Raises  ProfileError whose text holds all mistakes, one a line: `file:line: what; what is allowed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Formatter
from typing import Any

from drivers.base import DriverError
from drivers.gridsource.point import GridPoint
from drivers.yamlfile import Problems, Section, parse_yaml, read_yaml
from drivers.yamlkeys import choice, integer, keys_of, number, read_values, several, text

PROFILES = resources.files("drivers.gridsource.profiles")
NOT_A_PROFILE = "TEMPLATE"
# full resolution: 10 mV, 1 mHz, 0.1 degree; a source that resolves less rounds by itself, and its profile says so
FIELDS = {f"v{i}_v": "{:.2f}" for i in (1, 2, 3)} | {"f_hz": "{:.3f}"} | {f"a{i}_deg": "{:.1f}" for i in (1, 2, 3)}
NEEDED = {  # the lines that carry a point, and the fields that each must have
    "set_1": {"v1_v", "f_hz"},
    "set_3": {"v1_v", "v2_v", "v3_v", "f_hz"},
    "angles_1": {"a1_deg"},
    "angles_3": {"a2_deg", "a3_deg"},
}
ONE_LINE = r"[ -~]+"


class ProfileError(DriverError):
    """A profile is wrong or not yours to use: its author, or whoever wrote the rig file, must act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceProfile:
    """One family of grid simulators. Lines are sent in their order, each followed by reading the error queue dry."""

    profile: str = text("letters, digits, hyphens: as its file is called", pattern=r"[a-z0-9]+(-[a-z0-9]+)*")
    name: str = text("maker and series, for people", pattern=".+")
    source: str = text("the document with its number and revision", pattern=".+")
    proven: str = choice(("document", "unverified"), "document: every word stands in it; else unverified")
    unproven: tuple[str, ...] = several(text("what is not from the document, one a line", (), ".+"))
    identity: str = text("a regular expression that its *IDN? must match somewhere", pattern=".+")
    range_v: tuple[float, ...] = several(number("V", 0.0, 1000.0, "[low, high], phase to neutral"), 2)
    range_hz: tuple[float, ...] = several(number("Hz", 1.0, 2000.0, "[low, high]"), 2)
    resolution_v: float = number("V", 0.0, 1.0, "smallest step it can make; 0: not known", 0.0)
    resolution_hz: float = number("Hz", 0.0, 0.1, "smallest step it can make; 0: not known", 0.0)
    angle: str = choice(("lead", "lag"), "what a positive angle means", "lead")
    timeout_s: float = number("s", 0.1, 10.0, "longest wait for one answer", 1.0)
    identify: str = text("a query", "*IDN?", ONE_LINE)
    error: str = text("reads and removes one entry of the error queue; 0 is none", "SYST:ERR?", ONE_LINE)
    most_errors: int = integer("", 1, 1000, "entries that its error queue holds", 30)
    setup: tuple[str, ...] = several(text("lines before the first point", (), ONE_LINE))
    setup_1: tuple[str, ...] = several(text("lines before the first point of one phase", (), ONE_LINE))
    setup_3: tuple[str, ...] = several(text("lines before the first point of three phases", (), ONE_LINE))
    set_1: tuple[str, ...] = several(text("lines with {v1_v} and {f_hz}", (), ONE_LINE))
    set_3: tuple[str, ...] = several(text("lines with {v1_v} {v2_v} {v3_v} {f_hz}", (), ONE_LINE))
    angles_1: tuple[str, ...] = several(text("lines with {a1_deg}", (), ONE_LINE))
    angles_3: tuple[str, ...] = several(text("lines with {a2_deg} and {a3_deg}, and {a1_deg} if it can", (), ONE_LINE))
    on: tuple[str, ...] = several(text("lines that close the output", pattern=ONE_LINE))
    off: tuple[str, ...] = several(text("lines that open it", pattern=ONE_LINE))
    read_1: tuple[str, ...] = several(text("query of the measured voltage", (), ONE_LINE))
    read_3: tuple[str, ...] = several(text("queries, or lines and queries, of L1, L2, L3 in order", (), ONE_LINE))
    read_hz: str = text("query of the measured frequency", "", ONE_LINE)

    def phases(self) -> tuple[int, ...]:
        return tuple(n for n, lines in ((1, self.set_1), (3, self.set_3)) if lines)

    def turns(self, phases: int) -> frozenset[str]:
        """The angles that can be set, out of a1_deg, a2_deg, a3_deg."""
        return frozenset(fields_in(self.angles_1 if phases == 1 else self.angles_3))

    def frame(self, name: str, point: GridPoint) -> list[str]:
        """Lines of set_1, set_3, angles_1 or angles_3 with the point's values, rounded to FIELDS and no further."""
        turn = 1.0 if self.angle == "lead" else -1.0
        told = {}
        for key, form in FIELDS.items():
            value = getattr(point, key)
            value = round(turn * value, 1) % 360.0 if key.startswith("a") else value
            told[key] = form.format(value)
        return [line.format_map(told) for line in getattr(self, name)]


KEYS = keys_of(SourceProfile)


def profile_names() -> list[str]:
    """The profiles that come with the product."""
    names = [f.name.removesuffix(".yaml") for f in PROFILES.iterdir() if f.name.endswith(".yaml")]
    return sorted(name for name in names if name != NOT_A_PROFILE)


def load_profile(name: str) -> SourceProfile:
    """A profile by its name, or by the path of your own file."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        problems = Problems(name)
        return built(read_yaml(Path(name), problems), problems)
    file = PROFILES.joinpath(f"{name}.yaml")
    if name == NOT_A_PROFILE or not file.is_file():
        raise ProfileError(
            f"unknown profile '{name}'; known: {', '.join(profile_names())}, or the path of a .yaml file"
        )
    return parse_profile(file.read_text(encoding="utf-8"), f"{name}.yaml")


def parse_profile(source: str, file: str) -> SourceProfile:
    """The text of a profile -> SourceProfile."""
    problems = Problems(file)
    return built(parse_yaml(source, problems), problems)


def built(tree: Section, problems: Problems) -> SourceProfile:
    found = read_values(KEYS, tree, problems, "profile") if tree.entries else {}
    values: dict[str, Any] = {name: value for name, (value, _) in found.items()}
    lines = {name: line for name, (_, line) in found.items()}
    if tree.entries:
        check_ranges(values, lines, problems)
        check_fields(values, lines, problems)
        check_claim(values, lines, problems)
    if problems:
        raise ProfileError("\n".join(problems.lines()))
    return SourceProfile(**values)


def check_ranges(values: dict[str, Any], lines: dict[str, int], problems: Problems) -> None:
    for name in ("range_v", "range_hz"):
        low, high = values.get(name, (0.0, 1.0))
        if not low < high:
            problems.add(lines[name], f"{name} = [{low:g}, {high:g}] is empty; the lowest comes first")
    try:
        re.compile(values.get("identity", ""))
    except re.error as error:
        problems.add(lines["identity"], f"identity is no regular expression: {error}")


def check_fields(values: dict[str, Any], lines: dict[str, int], problems: Problems) -> None:
    """Each line has fields that exist, and a frame has all that it is for."""
    for name, value in values.items():
        if name in NEEDED or name.startswith(("setup", "read", "on", "off")):
            used = fields_in(value if isinstance(value, tuple) else (value,))
            unknown = sorted(used - set(FIELDS) if name in NEEDED else used)
            lacking = sorted(NEEDED.get(name, set()) - used if value else ())
            if unknown:
                allowed = ", ".join(FIELDS) if name in NEEDED else "a line without fields"
                problems.add(lines[name], f"{name}: {{{unknown[0]}}} is no field; allowed: {allowed}")
            elif lacking:
                problems.add(lines[name], f"{name} lacks {{{lacking[0]}}}")
    if not any(values.get(name) for name in ("set_1", "set_3")):
        problems.add(0, "neither set_1 nor set_3: it could set nothing")


def fields_in(templates: Iterable[str]) -> set[str]:
    """Of lines like `VOLT {v1_v}`; a brace that is not closed is a field too, a wrong one."""
    try:
        return {name for line in templates for _, name, _, _ in Formatter().parse(line) if name is not None}
    except ValueError as error:
        return {str(error)}


def check_claim(values: dict[str, Any], lines: dict[str, int], problems: Problems) -> None:
    if values.get("proven") == "document" and values.get("unproven"):
        problems.add(
            lines["proven"], "proven: document, while `unproven` lists what is not from it; allowed: unverified"
        )


def refusal(profile: SourceProfile, accepted: str) -> str:
    """Why a profile must not be used as things are; empty: it may. accepted: the rig file's `accept_unverified`."""
    if accepted and accepted != profile.profile:
        return f"accept_unverified = {accepted} is not the profile: {profile.profile}"
    if profile.proven == "document" or accepted:
        return ""
    unknown = "; ".join(profile.unproven) or "none of its words"
    return (
        f"profile = {profile.profile} is unverified (not from its maker's document: {unknown}): compare its lines with "
        f"your manual, add the line `accept_unverified: {profile.profile}`, then run `v2g bench source-check` first"
    )
