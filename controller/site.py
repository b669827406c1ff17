"""A site file -> Site: what this unit is connected to, how its functions are set, and where each value came from.

Errors   SiteError: every mistake of the file at once, one line each `file:line: what, and what is allowed`.
Order    defaults < profile < site file. A file in /etc/v2g wins over the one that came with the package.
Derived  the ages of fail_safe follow from the meter's and the inverter's numbers, unless they are given.
"""

from __future__ import annotations

from dataclasses import fields, replace
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from controller.errors import InputError
from controller.groups import Origin, as_section, report_missing
from controller.groups import read_values as read_group
from controller.sitedata import ACCEPT, SCHEMA, InverterSite, MeterSite, MqttSite, Site, StoreSite, TelemetrySite, place
from controller.timing import derived, reachable, unmet
from controller.yamlfile import Items, Leaf, Problems, Section, read_yaml
from cython_core.settings import SettingError, Settings

__all__ = [
    "InverterSite",
    "MeterSite",
    "MqttSite",
    "Site",
    "SiteError",
    "StoreSite",
    "TelemetrySite",
    "load_settings",
    "load_site",
]

USER_FILES = Path("/etc/v2g")
GROUPS: dict[str, type[Any]] = get_type_hints(Settings)
Group = TypeVar("Group")


class SiteError(InputError):
    """A site file, profile or settings file is wrong: its owner must act. One mistake a line.

    site: the site as read, when nothing but a response time is wrong (`v2g check` still prints it).
    """

    def __init__(self, message: str, site: Site | None = None) -> None:
        super().__init__(message)
        self.site = site


def load_site(path: Path) -> Site:
    """The site of a file, or of a name in /etc/v2g/sites or config/sites. SiteError lists every mistake."""
    path = find(path, "sites")
    problems = Problems()
    tree = read_yaml(path, problems)
    site = Reader(str(path), problems).site(path, tree) if tree.entries else None
    if problems or site is None:
        raise SiteError("\n".join(problems.lines()))
    late = unmet(site)
    if late and "slow-response" not in site.accepted:
        raise SiteError("\n".join(late), site)
    return site


def load_settings(path: Path) -> tuple[Settings, int | None]:
    """Settings of a site file, a profile, or a file of groups alone; with the site's period_ms if it is one."""
    path = find(path, "profiles")
    problems = Problems()
    tree = read_yaml(path, problems)
    if {"meter", "inverter"} & set(tree.entries):
        site = load_site(path)
        return site.settings, site.period_ms
    reader = Reader(str(path), problems)
    groups = tree
    if "settings" in tree.entries or "schema" in tree.entries:
        groups = reader.profile_groups(tree)
    settings = reader.settings([("site", reader.file, groups)]) if groups.entries else None
    if problems or settings is None:
        raise SiteError("\n".join(problems.lines() or [f"{path}:1: holds no settings"]))
    return settings, None


def find(path: Path, folder: str) -> Path:
    """A file as given; a bare name is looked up in /etc/v2g, then among the files that came with the package."""
    if len(path.parts) != 1 or path.suffix in (".yaml", ".yml") or (path.exists() and not path.is_dir()):
        return path
    known = available(folder)
    if path.name not in known:
        raise SiteError(f"{path}: no such file, and no name in {USER_FILES / folder}; known: {', '.join(known)}")
    return known[path.name]


def available(folder: str) -> dict[str, Path]:
    """{name: file} of one folder of config; a user's file hides the package's of the same name."""
    packaged = Path(str(resources.files("config"))) / folder
    found = {f.stem: f for place in (packaged, USER_FILES / folder) for f in sorted(place.glob("*.yaml"))}
    return dict(sorted(found.items()))


class Reader:
    """One reading of one file; mistakes go to problems, places to origins."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self.origins: dict[str, Origin] = {}
        self.note = ""

    def add(self, message: str, *keys: str) -> None:
        """A mistake at the first of these keys that stands in a file."""
        file, line = place(self.origins, self.file, *keys)
        self.problems.add(file, line, message)

    def site(self, path: Path, tree: Section) -> Site | None:
        """The whole file."""
        beside = ("i_accept", "settings", "meter", "inverter", "telemetry")
        top = self.keep("", read_group(Site, self.versioned(tree), self.file, self.problems, beside))
        report_missing(Site, "", tree, self.file, self.problems)
        accepted = self.accepted(tree)
        meter, inverter = self.group(MeterSite, "meter", tree), self.group(InverterSite, "inverter", tree)
        telemetry = self.telemetry(tree)
        layers = self.profile(top.get("profile"))
        chosen = as_section("settings", tree.entries.get("settings"), self.file, self.problems)
        if chosen:
            layers.append(("site", self.file, chosen))
        settings = self.settings(layers, derived(meter, inverter) if meter and inverter else {})
        if self.problems or not (meter and inverter and telemetry and settings):
            return None
        name = top["name"]
        folders = {"runtime_dir": Path("/run/v2g") / name, "state_dir": Path("/var/lib/v2g") / name}
        top = folders | top
        site = Site(
            **top,
            path=path,
            profile_note=self.note,
            accepted=accepted,
            settings=settings,
            meter=meter,
            inverter=inverter,
            telemetry=with_store(telemetry, top["state_dir"]),
            origins=self.origins,
        )
        self.cross_check(site)
        return site

    def versioned(self, tree: Section) -> Section:
        """The tree without a schema newer than ours, which is one clear mistake of its own."""
        schema = tree.entries.get("schema")
        if isinstance(schema, Leaf) and schema.kind == "int" and int(schema.text) > SCHEMA:
            self.problems.add(
                self.file,
                schema.line,
                f"schema = {schema.text} is newer than this program, which reads "
                f"up to {SCHEMA}: update the program, or write the file for schema {SCHEMA}",
            )
            return Section({k: v for k, v in tree.entries.items() if k != "schema"}, tree.line)
        return tree

    def keep(self, prefix: str, values: dict[str, tuple[Any, int]]) -> dict[str, Any]:
        """Remember where each value stands; hand back the values alone."""
        for name, (_, line) in values.items():
            self.origins[prefix + name] = Origin("site", self.file, line)
        return {name: value for name, (value, _) in values.items()}

    def group(self, kind: type[Group], name: str, tree: Section, required: bool = True) -> Group | None:
        """One group of the site's own, or None with the reasons among the problems."""
        before = len(self.problems.found)
        label = name.split(".")[-1]
        section = as_section(label, tree.entries.get(label), self.file, self.problems)
        if section is None:
            if required and label not in tree.entries:
                self.problems.add(self.file, tree.line, f"missing group '{label}:'; see site.example.yaml")
            return None
        self.origins[name] = Origin("site", self.file, section.line)
        values = self.keep(f"{name}.", read_group(kind, section, self.file, self.problems))
        report_missing(kind, name, section, self.file, self.problems)
        return kind(**values) if len(self.problems.found) == before else None

    def telemetry(self, tree: Section) -> TelemetrySite | None:
        """telemetry, mqtt and store; all may be absent: then one frame a second goes to SQLite on this machine."""
        section = as_section("telemetry", tree.entries.get("telemetry"), self.file, self.problems)
        section = section or Section({}, 1)
        own = read_group(TelemetrySite, section, self.file, self.problems, ("mqtt", "store"))
        values = self.keep("telemetry.", own)
        mqtt = self.group(MqttSite, "telemetry.mqtt", section, required=False)
        store = self.group(StoreSite, "telemetry.store", section, required=False)
        return TelemetrySite(**values, mqtt=mqtt, store=store)

    def accepted(self, tree: Section) -> tuple[str, ...]:
        """i_accept: the risks the owner takes in words."""
        entry = tree.entries.get("i_accept")
        leaves = entry.items if isinstance(entry, Items) else (entry,) if isinstance(entry, Leaf) else ()
        if entry is not None:
            self.origins["i_accept"] = Origin("site", self.file, entry.line)
        for leaf in leaves:
            if leaf.text not in ACCEPT:
                self.problems.add(self.file, leaf.line, f"i_accept = {leaf.text} is not one of {' | '.join(ACCEPT)}")
        if isinstance(entry, Section):
            self.problems.add(self.file, entry.line, f"i_accept takes a word or a list of {' | '.join(ACCEPT)}")
        return tuple(leaf.text for leaf in leaves)

    def profile(self, name: str | None) -> list[tuple[str, str, Section]]:
        """The named profile as a first layer of settings."""
        if name is None:
            return []
        known = available("profiles")
        if name not in known:
            self.add(
                f"profile = {name} is not there; known: {', '.join(known)} (a file in {USER_FILES}/profiles adds one)",
                "profile",
            )
            return []
        reader = Reader(str(known[name]), self.problems)
        groups = reader.profile_groups(read_yaml(known[name], self.problems))
        self.note = reader.note
        return [("profile", reader.file, groups)]

    def profile_groups(self, tree: Section) -> Section:
        """The settings of a profile file: schema, title, note (text) and settings."""
        known = ("schema", "title", "note", "settings")
        for name, entry in self.versioned(tree).entries.items():
            if name not in known:
                self.problems.add(self.file, entry.line, f"unknown key '{name}'; known: {', '.join(known)}")
        note = tree.entries.get("note")
        self.note = note.text if isinstance(note, Leaf) else ""
        section = as_section("settings", tree.entries.get("settings"), self.file, self.problems)
        return section or Section({}, 1)

    def settings(
        self, layers: list[tuple[str, str, Section]], derived_values: dict[str, dict[str, float]] | None = None
    ) -> Settings | None:
        """Defaults, then what follows from the wires, then each layer over the one before."""
        merged: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
        broken: set[str] = set()
        for group, values in (derived_values or {}).items():
            merged[group].update(values)
            self.origins.update({f"{group}.{name}": Origin("derived") for name in values})
        for kind, file, tree in layers:
            for group, entry in tree.entries.items():
                if group not in GROUPS:
                    self.problems.add(file, entry.line, f"unknown group '{group}'; known: {', '.join(GROUPS)}")
                    continue
                before = len(self.problems.found)
                section = as_section(group, entry, file, self.problems)
                merged[group].update(self.layer(kind, file, group, section) if section else {})
                if len(self.problems.found) > before:
                    broken.add(group)
        built = {group: self.build(group, merged[group]) for group in GROUPS if group not in broken}
        return None if self.problems else Settings(**built)

    def layer(self, kind: str, file: str, group: str, section: Section) -> dict[str, Any]:
        """One group of one layer; a value of the profile that the site overrides is remembered."""
        self.origins[group] = Origin(kind, file, section.line)
        values = read_group(GROUPS[group], section, file, self.problems)
        for name, (_, line) in values.items():
            below = self.origins.get(f"{group}.{name}")
            over = f"{below.file}:{below.line}" if below and below.kind == "profile" else ""
            self.origins[f"{group}.{name}"] = Origin(kind, file, line, over)
        return {name: value for name, (value, _) in values.items()}

    def build(self, group: str, values: dict[str, Any]) -> Any:
        """The core's dataclass; what it refuses is put at the line of a key the refusal names."""
        try:
            return GROUPS[group](**values)
        except SettingError as error:
            named = [f"{group}.{f.name}" for f in fields(GROUPS[group]) if f.name in str(error)]
            theirs = [f"{group}.{name}" for name in values]
            own = [key for key in named + theirs if key in self.origins and self.origins[key].kind == "site"]
            self.add(str(error), *own, *named, group)
            return None

    def cross_check(self, site: Site) -> None:
        """What no single key can tell."""
        self.check_map("meter", "meters", site.meter.map)
        self.check_map("inverter", "inverters", site.inverter.map)
        for role, host in (("meter", site.meter.host), ("inverter", site.inverter.host)):
            if site.start_mode == "demo" and not is_loopback(host):
                self.add(
                    f"host = {host} is not this machine: start_mode demo talks to simulated devices only "
                    "(127.0.0.1); use start_mode: shadow to watch a real device",
                    f"{role}.host",
                )
        if site.start_mode == "live" and "real-power" not in site.accepted:
            self.add(
                f"start_mode = live moves real power: prove first that the inverter goes to 0 W by its own timer "
                f"(reversion_s = {site.inverter.reversion_s}), then add the line `i_accept: real-power`; until "
                "then use start_mode: shadow",
                "start_mode",
            )
        for message, *keys in reachable(site):
            self.add(message, *keys)
        self.check_store(site.telemetry.store)

    def check_map(self, role: str, folder: str, name: str) -> None:
        """A map by its name, or the path of the owner's own file."""
        if "/" in name or name.endswith((".yaml", ".yml")):
            if not Path(name).is_file():
                self.add(f"map = {name} is not a file", f"{role}.map")
            return
        known = sorted(f.stem for f in Path(str(resources.files("drivers.maps"))).joinpath(folder).glob("*.yaml"))
        if known and name not in known:
            listed = ", ".join(known)
            self.add(f"map = {name} is not there; known: {listed}, or the path of a .yaml file", f"{role}.map")

    def check_store(self, store: StoreSite | None) -> None:
        needs_influx = ("url", "org", "bucket", "token_file")
        for name in needs_influx if store else ():
            given = getattr(store, name) is not None
            if store and store.kind == "influx" and not given:
                self.add(f"telemetry.store: missing key '{name}', which kind influx needs", "telemetry.store")
            if store and store.kind == "sqlite" and given:
                self.add(f"{name} belongs to kind: influx; this store is sqlite", f"telemetry.store.{name}")


def with_store(telemetry: TelemetrySite, state_dir: Path) -> TelemetrySite:
    """With no server configured SQLite is the store, in state_dir unless a path is given."""
    store = telemetry.store or StoreSite(kind="sqlite")
    if store.kind == "sqlite" and store.sqlite_path is None:
        store = replace(store, sqlite_path=state_dir / "telemetry.sqlite")
    return replace(telemetry, store=store)


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
