"""A site file -> Site: what this unit is connected to, how its functions are set, and where each value came from.

Errors   SiteError: every mistake of the file at once, one line each `file:line: what, and what is allowed`.
Order    settings are layered as controller.sitelayers has it. A file in /etc/v2g wins over the one of the package.
Derived  the ages of fail_safe follow from the meter's and the inverter's numbers, unless they are given.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from controller.configfiles import find
from controller.plantcard import NAME as CARD
from controller.plantcard import read_card
from controller.services.command import KEY_NAME
from controller.sitechecks import site_faults
from controller.sitedata import (
    MQTT_KEYS,
    REMOTE_KEYS,
    SITE_KEYS,
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
    SiteError,
    StoreSite,
    TelemetrySite,
    TlsSite,
)
from controller.siteinverter import inverter_faults, limits_of, with_lag
from controller.sitelayers import LayersReader
from controller.sitemaps import device_map, failed_card, follows, meter_faults, unproven
from controller.sitemqtt import TLS_PORT, mqtt_faults
from controller.sitewires import wire_faults
from controller.timing import unmet
from controller.wiretime import with_rounds
from cython_core.settings import Settings
from drivers.base import MapError
from drivers.devicemap import DeviceMap
from drivers.yamlfile import Problems, Section, read_yaml
from drivers.yamlkeys import allowed, keys_of, read_values

__all__ = ["Site", "SiteError", "load_settings", "load_site"]

KEEP_DAYS, MAX_MB = 365, 2000  # of the SQLite store, unless told
Group = TypeVar("Group")


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
    reader = LayersReader(problems)
    groups = tree
    if "settings" in tree.entries or "schema" in tree.entries:
        groups = reader.profile_groups(tree)
    settings = reader.settings([("site", problems, groups)]) if groups.entries else None
    if problems or settings is None:
        raise SiteError("\n".join(problems.lines() or [f"{path}:1: holds no settings"]))
    return settings, None


class Reader(LayersReader):
    """One reading of one site file."""

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
        found = (*site_faults(site), *unproven(site, device, inverter_device), *failed_card(site))
        for message, *keys in (*found, *meter_faults(site, device), *inverter_faults(site, inverter_device)):
            self.add(message, *keys)
        return site

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
