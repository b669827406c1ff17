"""The settings of a site from their layers: defaults < what follows from the wires < profile < site file.

The defaults are those of the categories and of the nominal frequency in `rating`. A profile in the folder `unverified`
is used only when the site accepts it by its name.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, get_type_hints

from controller.configfiles import UNVERIFIED, USER_FILES, available, find_profile
from controller.sitedata import PROFILE_KEYS, Origin, place
from cython_core.quantities import check_category, defaults
from cython_core.settings import RatingSettings, SettingError, Settings
from drivers.yamlfile import Problems, Section, read_yaml
from drivers.yamlkeys import keys_of, nested, read_values

GROUPS: dict[str, type[Any]] = get_type_hints(Settings)
UNIT_KEYS = ("normal_category", "abnormal_category", "f_nom_hz")  # what defaults and ranges depend on
GROUP_KEYS = {name: nested(f"{name}'s own keys", required=False) for name in GROUPS}


class LayersReader:
    """One reading of one file; mistakes go to problems, places to origins."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.origins: dict[str, Origin] = {}
        self.note = self.unverified = ""

    def add(self, message: str, *keys: str) -> None:
        """A mistake at the first of these keys that stands in a file."""
        file, line = place(self.origins, self.problems.file, *keys)
        self.problems.add(line, message, file)

    def keep(self, prefix: str, values: dict[str, tuple[Any, int]]) -> dict[str, Any]:
        """Remember where each value stands; hand back the values alone."""
        for name, (_, line) in values.items():
            self.origins[prefix + name] = Origin("site", self.problems.file, line)
        return {name: value for name, (value, _) in values.items()}

    def profile(self, name: str | None, accepted: str | None) -> list[tuple[str, Problems, Section]]:
        """The named profile as a first layer of settings. accepted: the site's accept_unverified."""
        if accepted and accepted != name:
            self.add(
                f"accept_unverified = {accepted} is not the profile: {name or 'none is named'}", "accept_unverified"
            )
        if name is None:
            return []
        file, unverified = find_profile(name)
        if file is None:
            self.add(
                f"profile = {name} is not there; known: {', '.join(available('profiles'))}; unverified: "
                f"{', '.join(available(UNVERIFIED))} (a file in {USER_FILES}/profiles adds one)",
                "profile",
            )
            return []
        reader = LayersReader(self.problems.beside(str(file)))
        groups = reader.profile_groups(read_yaml(file, reader.problems))
        self.note = reader.note
        if unverified:
            self.unverified = name
        if unverified and not accepted:
            self.add(
                f"profile = {name} is unverified ({reader.note}): compare its values with the utility's own file, then "
                f"add the line `accept_unverified: {name}`",
                "profile",
            )
        return [("profile", reader.problems, groups)]

    def profile_groups(self, tree: Section) -> Section:
        """The settings of a profile file; its note is kept."""
        values = self.keep("", read_values(PROFILE_KEYS, tree, self.problems))
        self.note = values.get("note", "")
        found: Section = values.get("settings", Section({}, 1))
        return found

    def settings(
        self, layers: list[tuple[str, Problems, Section]], derived_values: dict[str, dict[str, float]] | None = None
    ) -> Settings | None:
        """Defaults, then what follows from the wires, then each layer over the one before."""
        merged: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        broken: set[str] = set()
        for group, values in (derived_values or {}).items():
            merged[group].update(values)
            self.origins.update({f"{group}.{name}": Origin("derived") for name in values})
        for kind, problems, tree in layers:
            for group, (section, _) in read_values(GROUP_KEYS, tree, problems).items():
                before = len(problems)
                merged[group].update(self.layer(kind, problems, group, section))
                if len(problems) > before:
                    broken.add(group)
        rating = self.unit_of(merged["rating"])
        built = {group: self.build(group, merged[group], rating) for group in GROUPS if group not in broken}
        return None if self.problems else self.together(built)

    def unit_of(self, values: dict[str, Any]) -> RatingSettings | None:
        """Categories and nominal frequency, whatever else is wrong in `rating`; None when they are."""
        try:
            return RatingSettings(**{k: v for k, v in values.items() if k in UNIT_KEYS})
        except SettingError:
            return None

    def together(self, built: dict[str, Any]) -> Settings | None:
        """All groups; a contradiction between two of them is put at the line of a key that it names."""
        try:
            return Settings(**built)
        except SettingError as error:
            self.refused(str(error), re.findall(r"\b([a-z_]+\.[a-z0-9_]+) = ", str(error)))
            return None

    def layer(self, kind: str, problems: Problems, group: str, section: Section) -> dict[str, Any]:
        """One group of one layer; a value of the profile that the site overrides is remembered."""
        self.origins[group] = Origin(kind, problems.file, section.line)
        values = read_values(keys_of(GROUPS[group]), section, problems)
        for name, (_, line) in values.items():
            below = self.origins.get(f"{group}.{name}")
            over = f"{below.file}:{below.line}" if below and below.kind == "profile" else ""
            self.origins[f"{group}.{name}"] = Origin(kind, problems.file, line, over)
        return {name: value for name, (value, _) in values.items()}

    def build(self, group: str, values: dict[str, Any], rating: RatingSettings | None) -> Any:
        """The core's dataclass, inside the ranges of this unit; without a rating nothing can be said about those."""
        if rating is None and group != "rating":
            return None
        unit = (rating.normal_category, rating.abnormal_category, rating.f_nom_hz) if rating else ("B", "III", 60.0)
        others = [f"{group}.{name}" for name in values]
        try:
            found = GROUPS[group](**{**defaults(GROUPS[group], *unit), **values})
            others = []  # from here on the value that is named is the one that is wrong
            check_category(group, found, *unit)
        except SettingError as error:
            named = [f"{group}.{f.name}" for f in fields(GROUPS[group]) if f.name in str(error)]
            self.refused(str(error), named, *others)
            return None
        return found

    def refused(self, message: str, named: list[str], *others: str) -> None:
        """A refusal of the core, at the first key that stands in the site file: one that it names, else another."""
        own = [key for key in (*named, *others) if key in self.origins and self.origins[key].kind == "site"]
        self.add(message, *own, *named, *(key.partition(".")[0] for key in named))
