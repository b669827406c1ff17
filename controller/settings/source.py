"""A name, a YAML site or profile, an EPRI CSV or a SunSpec JSON file -> its settings, and where each came from.

What a file is, its content tells, not its name.
Errors   InputError: every mistake of the file at once, one line each `file:line: ...`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.configfiles import USER_FILES, available
from controller.errors import InputError
from controller.settings import epri
from controller.settings.sunspec_read import from_device
from controller.site import Site, SiteError, load_settings, load_site
from cython_core.checks import FIELDS, named_in
from cython_core.epri import MODE_FLAGS, NAMES, SUFFIX
from cython_core.settings import SettingError, Settings
from drivers.yamlfile import Problems, Section, read_yaml

MAX_BYTES = 1_000_000
KEPT_LINE = re.compile(r'^# epri ([A-Z0-9_]+): (".*")\r?$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """Settings and where they stand. origins {"freq_droop.k_of": "site:31"}; kept: lines only an EPRI file has."""

    path: Path
    kind: str  # "site" | "profile" | "epri" | "sunspec"
    settings: Settings
    origins: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    late: str = ""  # response times of a site that cannot be met, a line each

    def origin(self, group: str, key: str) -> str:
        return self.origins.get(f"{group}.{key}", "default")


def load(name: Path, base: Settings | None = None) -> Source:
    """The settings of what is named. base: what a file of a device does not say."""
    path = locate(name)
    text = read_text(path)
    if text.lstrip().startswith("{"):
        return load_sunspec(path, text, base)
    if epri.looks_like(text):
        return load_epri(path, text, base)
    return load_yaml(path, text)


def locate(name: Path) -> Path:
    """A file as given, or the site or profile of this name."""
    if len(name.parts) != 1 or name.suffix or name.is_file():
        return name
    known = {**available("profiles/unverified"), **available("profiles"), **available("sites")}
    if name.name not in known:
        raise InputError(
            f"{name}: no such file, and no site or profile of this name; "
            f"known: {', '.join(known)} (more from {USER_FILES}/sites and {USER_FILES}/profiles)"
        )
    return known[name.name]


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """With its own line ends; encoding utf-8: with its mark at the beginning too."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise InputError(f"{path}: longer than {MAX_BYTES} bytes: is this the right file?")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: is not UTF-8 text: save the file as UTF-8") from None


def load_epri(path: Path, text: str, base: Settings | None) -> Source:
    problems = Problems(str(path))
    file = epri.parse_csv(text, problems)
    groups = file.groups(base, problems)
    origins = {}
    for written, line in file.at.items():
        name = SUFFIX.sub("", written)
        if name in NAMES:
            origins[".".join(NAMES[name])] = f"epri:{line}"
        elif name in MODE_FLAGS and (file.lines[written] == "ENABLED" or "reactive.mode" not in origins):
            origins["reactive.mode"] = f"epri:{line}"
    return Source(path, "epri", built(groups, problems), origins, file.kept())


def load_sunspec(path: Path, text: str, base: Settings | None) -> Source:
    problems = Problems(str(path))
    groups: dict[str, Any] = {}
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        problems.add(error.lineno, f"is not JSON: {error.msg}")
    except RecursionError:
        problems.add(0, "is not JSON of a device: lists inside lists without end")
    else:
        groups = from_device(tree, base, problems)
    settings = built(groups, problems)
    return Source(path, "sunspec", settings, {f"{g}.{k}": "sunspec" for g, keys in groups.items() for k in keys})


def built(groups: dict[str, Any], problems: Problems) -> Settings:
    if problems:
        raise InputError("\n".join(problems.lines()))
    return Settings.from_mapping(groups)


def load_yaml(path: Path, text: str) -> Source:
    """A site or a profile; a refusal of the settings as a whole gets the line of the key it names."""
    tree = read_yaml(path, Problems(str(path)))
    lines = lines_of(tree)
    kept = {name: str(json.loads(value)) for name, value in KEPT_LINE.findall(text)}
    try:
        if {"meter", "inverter"} & set(tree.entries):
            site, late = site_of(path)
            return Source(path, "site", site.settings, {k: str(o) for k, o in site.origins.items()}, kept, late)
        settings, _ = load_settings(path)
    except SettingError as error:
        line = lines.get(".".join(named_in(str(error))), 1)
        raise InputError(f"{path}:{line}: {error}") from None
    return Source(path, "profile", settings, {key: f"profile:{line}" for key, line in lines.items()}, kept)


def site_of(path: Path) -> tuple[Site, str]:
    """The site, even when nothing but a response time is wrong; then with the complaint."""
    try:
        return load_site(path), ""
    except SiteError as error:
        if error.site is None:
            raise
        return error.site, str(error)


def lines_of(tree: Section) -> dict[str, int]:
    """{"freq_droop.k_of": line} of every setting that stands in a YAML file."""
    groups = tree.entries.get("settings", tree)
    found = {}
    for group, section in groups.entries.items() if isinstance(groups, Section) else ():
        if group in FIELDS and isinstance(section, Section):
            found.update({f"{group}.{key}": entry.line for key, entry in section.entries.items()})
    return found
