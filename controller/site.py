"""A site file -> Site: what this unit is connected to, how its functions are set, and where each value came from.

Errors   SiteError: every mistake of the file at once, one line each `file:line: what, and what is allowed`.
Order    defaults < profile < site file. A file in /etc/v2g wins over the one that came with the package. The defaults
         are those of the categories and of the nominal frequency in `rating`.
Derived  the ages of fail_safe follow from the meter's and the inverter's numbers, unless they are given.
Profiles a profile in the folder `unverified` is used only when the site accepts it by its name.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from hashlib import sha256
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from controller.departure import zone
from controller.errors import InputError
from controller.plantcard import NAME as CARD
from controller.plantcard import read_card
from controller.services.command import KEY_NAME
from controller.sitedata import (
    MQTT_KEYS,
    PROFILE_KEYS,
    REMOTE_KEYS,
    SITE_KEYS,
    STORE_KEYS,
    TELEMETRY_KEYS,
    BridgeSite,
    DepartureSite,
    HomeAssistantSite,
    InverterSite,
    MeterSite,
    MqttSite,
    Origin,
    OscillographySite,
    OutboxSite,
    RemoteKeySite,
    RemoteSite,
    Site,
    StoreSite,
    TelemetrySite,
    TlsSite,
    WireSite,
    place,
)
from controller.siteinverter import inverter_faults, limits_of, with_lag
from controller.sitemaps import device_map, failed_card, follows, meter_faults, unproven
from controller.sitemqtt import TLS_PORT, mqtt_faults
from controller.siteremote import remote_faults
from controller.sitewires import ways_of, wire_faults
from controller.timing import reachable, unmet
from controller.wiretime import with_rounds
from cython_core.quantities import check_category, defaults
from cython_core.settings import RatingSettings, SettingError, Settings
from drivers.base import MapError
from drivers.devicemap import DeviceMap
from drivers.yamlfile import Problems, Section, read_yaml
from drivers.yamlkeys import allowed, keys_of, nested, read_values

__all__ = [
    "BridgeSite",
    "InverterSite",
    "MeterSite",
    "MqttSite",
    "OutboxSite",
    "Site",
    "SiteError",
    "StoreSite",
    "TelemetrySite",
    "load_settings",
    "load_site",
]

USER_FILES = Path("/etc/v2g")
KEEP_DAYS, MAX_MB = 365, 2000  # of the SQLite store, unless told
GROUPS: dict[str, type[Any]] = get_type_hints(Settings)
UNVERIFIED = "profiles/unverified"
UNIT_KEYS = ("normal_category", "abnormal_category", "f_nom_hz")  # what defaults and ranges depend on
GROUP_KEYS = {name: nested(f"{name}'s own keys", required=False) for name in GROUPS}
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
    problems = Problems(str(path))
    tree = read_yaml(path, problems)
    site = Reader(problems).site(path, tree) if tree.entries else None
    if problems or site is None:
        raise SiteError("\n".join(problems.lines()))
    late = unmet(site)
    if late and "slow-response" not in site.accepted:
        raise SiteError("\n".join(late), site)
    return site


def load_settings(path: Path) -> tuple[Settings, int | None]:
    """Settings of a site file, a profile, or a file of groups alone; with the site's period_ms if it is one."""
    path = find(path, "profiles")
    problems = Problems(str(path))
    tree = read_yaml(path, problems)
    if {"meter", "inverter"} & set(tree.entries):
        site = load_site(path)
        return site.settings, site.period_ms
    reader = Reader(problems)
    groups = tree
    if "settings" in tree.entries or "schema" in tree.entries:
        groups = reader.profile_groups(tree)
    settings = reader.settings([("site", problems, groups)]) if groups.entries else None
    if problems or settings is None:
        raise SiteError("\n".join(problems.lines() or [f"{path}:1: holds no settings"]))
    return settings, None


def find(path: Path, folder: str) -> Path:
    """A file as given; a bare name is looked up in /etc/v2g, then among the files that came with the package."""
    if len(path.parts) != 1 or path.suffix in (".yaml", ".yml") or (path.exists() and not path.is_dir()):
        return path
    known = available(folder)
    if folder == "profiles" and path.name not in known and path.name in available(UNVERIFIED):
        raise SiteError(
            f"{path} is an unverified profile: name its file, {available(UNVERIFIED)[path.name]}, to use it"
        )
    if path.name not in known:
        raise SiteError(f"{path}: no such file, and no name in {USER_FILES / folder}; known: {', '.join(known)}")
    return known[path.name]


def find_profile(name: str) -> tuple[Path | None, bool]:
    """(file, whether it is unverified) of a profile; a verified one hides an unverified one of the same name."""
    verified = available("profiles").get(name)
    return (verified, False) if verified else (available(UNVERIFIED).get(name), True)


def available(folder: str) -> dict[str, Path]:
    """{name: file} of one folder of config; a user's file hides the package's of the same name."""
    packaged = Path(str(resources.files("config"))) / folder
    found = {f.stem: f for place in (packaged, USER_FILES / folder) for f in sorted(place.glob("*.yaml"))}
    return dict(sorted(found.items()))


class Reader:
    """One reading of one file; mistakes go to problems, places to origins."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.origins: dict[str, Origin] = {}
        self.note = self.unverified = ""

    def add(self, message: str, *keys: str) -> None:
        """A mistake at the first of these keys that stands in a file."""
        file, line = place(self.origins, self.problems.file, *keys)
        self.problems.add(line, message, file)

    def site(self, path: Path, tree: Section) -> Site | None:
        """The whole file."""
        top = self.keep("", read_values(SITE_KEYS, tree, self.problems))
        meter = self.group(MeterSite, "meter", top.pop("meter", None))
        inverter = self.group(InverterSite, "inverter", top.pop("inverter", None))
        departure = self.group(DepartureSite, "departure", top.pop("departure", None))
        remote = self.remote(top.pop("remote", None))
        home = self.group(HomeAssistantSite, "home_assistant", top.pop("home_assistant", None)) or HomeAssistantSite()
        telemetry = self.telemetry(top.pop("telemetry", Section({}, 1)))
        layers = self.profile(top.get("profile"), top.get("accept_unverified"))
        layers.append(("site", self.problems, top.pop("settings", Section({}, 1))))
        if meter and inverter:
            for message, *keys in wire_faults(meter, inverter, self.origins):
                self.add(message, *keys)
        device = self.device_map("meter", meter)
        inverter_device = self.device_map("inverter", inverter)
        meter = self.with_refresh(meter, device)
        inverter = self.with_lag(inverter, inverter_device)
        if meter and inverter and device and inverter_device and not self.problems:
            meter, inverter = self.with_rounds(meter, inverter, device, inverter_device)
        derived = follows(meter, inverter, device) if meter and inverter and device else {}
        if inverter_device:
            derived["limits"] = limits_of(inverter_device)
        if "name" in top:
            derived["enter_service"] = {"seed": seed_of(top["name"])}
        settings = self.settings(layers, derived)
        if self.problems or not (meter and inverter and telemetry and settings):
            return None
        name = top["name"]
        folders = {"runtime_dir": Path("/run/v2g") / name, "state_dir": Path("/var/lib/v2g") / name}
        accepted = top.pop("i_accept", ())
        top = folders | top
        # what is simulated was never commissioned; and whoever plays the demonstration may not look into /var/lib/v2g
        card = None if top.get("start_mode") == "demo" else read_card(top["state_dir"] / CARD, self.problems)
        site = Site(
            **top,
            path=path,
            profile_note=self.note,
            unverified=self.unverified,
            accepted=accepted,
            settings=settings,
            meter=meter,
            inverter=inverter,
            telemetry=with_store(telemetry, top["state_dir"]),
            departure=departure,
            card=card,
            remote=remote,
            home_assistant=home,
            origins=self.origins,
        )
        self.cross_check(site)
        found = (*unproven(site, device, inverter_device), *failed_card(site), *meter_faults(site, device))
        for message, *keys in (*found, *inverter_faults(site, inverter_device)):
            self.add(message, *keys)
        return site

    def keep(self, prefix: str, values: dict[str, tuple[Any, int]]) -> dict[str, Any]:
        """Remember where each value stands; hand back the values alone."""
        for name, (_, line) in values.items():
            self.origins[prefix + name] = Origin("site", self.problems.file, line)
        return {name: value for name, (value, _) in values.items()}

    def group(self, kind: type[Group], name: str, section: Section | None) -> Group | None:
        """One group of the site's own, or None when it is absent or with the reasons among the problems."""
        if section is None:
            return None
        before = len(self.problems)
        values = self.keep(f"{name}.", read_values(keys_of(kind), section, self.problems, name))
        return kind(**values) if len(self.problems) == before else None

    def device_map(self, kind: str, role: MeterSite | InverterSite | None) -> DeviceMap | None:
        """The register map that the site names; what is wrong inside it is told at its own lines."""
        try:
            return device_map(kind, role.map, self.problems) if role else None
        except MapError as error:
            self.add(str(error), f"{kind}.map")
            return None

    def with_refresh(self, meter: MeterSite | None, device: DeviceMap | None) -> MeterSite | None:
        """The map's refresh_ms, if the site has not measured its own."""
        if meter is None or device is None or "meter.refresh_ms" in self.origins:
            return meter
        self.origins["meter.refresh_ms"] = Origin("map", device.file)
        meta = keys_of(MeterSite)["refresh_ms"]
        if device.refresh_ms > meta["high"]:
            self.add(f"refresh_ms = {device.refresh_ms} of {device.file} is outside {allowed(meta)}", "meter.map")
            return None
        return replace(meter, refresh_ms=device.refresh_ms)

    def with_lag(self, inverter: InverterSite | None, device: DeviceMap | None) -> InverterSite | None:
        """The map's settling time, if the site has not measured its own."""
        if inverter is None or device is None or "inverter.lag_ms" in self.origins:
            return inverter
        settled = with_lag(inverter, device)
        if settled is not inverter:
            self.origins["inverter.lag_ms"] = Origin("map", device.file)
        return settled

    def with_rounds(
        self, meter: MeterSite, inverter: InverterSite, device: DeviceMap, inverter_device: DeviceMap
    ) -> tuple[MeterSite, InverterSite]:
        """The time on the wire; what the map cannot serve is told."""
        try:
            return with_rounds(meter, inverter, device, inverter_device)
        except MapError as error:
            self.add(str(error), "meter.map", "meter")
            return meter, inverter

    def telemetry(self, section: Section) -> TelemetrySite:
        """telemetry and its groups; all may be absent: then one frame a second goes to SQLite on this machine."""
        values = self.keep("telemetry.", read_values(TELEMETRY_KEYS, section, self.problems))
        outbox = self.group(OutboxSite, "telemetry.outbox", values.pop("outbox", Section({}, 1))) or OutboxSite()
        mqtt = self.mqtt(values.pop("mqtt", None))
        store = self.group(StoreSite, "telemetry.store", values.pop("store", None))
        scope = self.group(OscillographySite, "telemetry.oscillography", values.pop("oscillography", Section({}, 1)))
        scope = scope or OscillographySite()
        return TelemetrySite(**values, outbox=outbox, mqtt=mqtt, store=store, oscillography=scope)

    def mqtt(self, section: Section | None) -> MqttSite | None:
        """The broker, with its groups tls and bridge."""
        if section is None:
            return None
        where, before = "telemetry.mqtt", len(self.problems)
        values = self.keep(f"{where}.", read_values(MQTT_KEYS, section, self.problems, where))
        tls = self.group(TlsSite, f"{where}.tls", values.pop("tls", None))
        bridge = self.group(BridgeSite, f"{where}.bridge", values.pop("bridge", None))
        if len(self.problems) > before:
            return None
        mqtt = MqttSite(**values, tls=tls, bridge=bridge)
        for message, *keys in mqtt_faults(mqtt):
            self.add(message, *keys)
        return mqtt if "port" in values or tls is None else replace(mqtt, port=TLS_PORT)

    def remote(self, section: Section | None) -> RemoteSite:
        """Who may command, with the keys that sign."""
        values = self.keep("remote.", read_values(REMOTE_KEYS, section or Section({}, 1), self.problems, "remote"))
        found = {}
        for name, entry in values.pop("keys", Section({}, 1)).entries.items():
            where = f"remote.keys.{name}"
            if isinstance(entry, Section) and KEY_NAME.fullmatch(name):
                self.origins[where] = Origin("site", self.problems.file, entry.line)
                found[name] = self.group(RemoteKeySite, where, entry)
            else:
                self.problems.add(
                    entry.line, f"{where} needs a name of a-z, 0-9, -, with public_key and sources below it"
                )
        return RemoteSite(**values, keys={name: key for name, key in found.items() if key is not None})

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
        reader = Reader(self.problems.beside(str(file)))
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

    def cross_check(self, site: Site) -> None:
        """What no single key can tell."""
        for role, wire in (("meter", site.meter), ("inverter", site.inverter)):
            if site.start_mode == "demo" and not is_simulated(wire):
                key, value = next(iter(ways_of(wire).items()))
                self.add(
                    f"{key} = {value} is not simulated here: start_mode demo talks to simulated devices only "
                    "(127.0.0.1, a pseudo-terminal /dev/pts/N, or vcan0); use start_mode: shadow to watch a real "
                    "device",
                    f"{role}.{key}",
                )
        if site.start_mode == "live" and "real-power" not in site.accepted:
            self.add(
                f"start_mode = live moves real power: prove first that the inverter goes to 0 W by its own timer "
                f"(reversion_s = {site.inverter.reversion_s}; `v2g commission` measures it), then add the line "
                "`i_accept: real-power`; until then use start_mode: shadow",
                "start_mode",
            )
        for message, *keys in reachable(site):
            self.add(message, *keys)
        for message, *keys in remote_faults(site):
            self.add(message, *keys)
        self.check_store(site.telemetry.store)
        self.check_departure(site)

    def check_departure(self, site: Site) -> None:
        if site.departure is None:
            return
        try:
            zone(site.departure.timezone)
        except ValueError as error:
            self.add(str(error), "departure.timezone")
        if site.settings.default_wish.capacity_wh == 0.0:
            self.add("departure needs settings.default_wish.capacity_wh, the battery's", "departure")

    def check_store(self, store: StoreSite | None) -> None:
        if store is None:
            return
        needed, allowed_too = STORE_KEYS[store.kind]
        for name in needed:
            if getattr(store, name) is None:
                self.add(f"telemetry.store: missing key '{name}', which kind {store.kind} needs", "telemetry.store")
        others = {name for keys in STORE_KEYS.values() for name in keys[0] + keys[1]} - {*needed, *allowed_too}
        for name in sorted(others):
            if getattr(store, name) is not None:
                kinds = " or ".join(kind for kind, keys in STORE_KEYS.items() if name in keys[0] + keys[1])
                self.add(f"{name} belongs to kind: {kinds}; this store is {store.kind}", f"telemetry.store.{name}")


def seed_of(name: str) -> float:
    """Where this site's random delays start: no two houses of a fleet come back together after an outage."""
    return float(int.from_bytes(sha256(name.encode()).digest()[:4], "big") % 2147483647 + 1)


def with_store(telemetry: TelemetrySite, state_dir: Path) -> TelemetrySite:
    """With no server configured SQLite is the store, in state_dir unless a path is given."""
    store = telemetry.store or StoreSite(kind="sqlite")
    if store.kind == "sqlite":
        store = replace(
            store,
            sqlite_path=store.sqlite_path or state_dir / "telemetry.sqlite",
            keep_days=store.keep_days or KEEP_DAYS,
            max_mb=store.max_mb or MAX_MB,
        )
    return replace(telemetry, store=store)


def is_simulated(wire: WireSite) -> bool:
    """A simulator listens on this machine, holds the other end of a pseudo-terminal, or shares a virtual CAN."""
    if isinstance(wire, InverterSite) and wire.can:
        return wire.can.startswith("vcan")
    if wire.serial:
        return Path(wire.serial).resolve().parent == Path("/dev/pts")
    try:
        return wire.host == "localhost" or ip_address(wire.host or "").is_loopback
    except ValueError:
        return False
