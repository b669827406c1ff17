"""The register maps that a site names, and what follows from its meter's: the ages, when its answers are frozen, and
which functions it is too coarse for.

Frozen   all fast registers bit-identical for max(20 refreshes, 5 s). Only where the map promises that frequency and L1
         are shown in steps of 0.01 Hz and 0.01 V or finer, in every poll: at no load P and Q stand at 0, so these two
         must move by themselves. A quiet grid stays inside one step of 0.1 V for seconds, and a healthy meter taken
         for a frozen one costs its service; so a resolution that nobody has written down counts as too coarse.
Coarse   a function of frequency needs steps of 0.01 Hz or finer. Not known: of a float register whose step nobody has
         measured. It may be tried (demo, shadow), and must be written down before it moves real power.
Errors   MapError, for the line of the site file that names the map. Mistakes inside a map go to the problems.
"""

from __future__ import annotations

from pathlib import Path

from controller.plantcard import FAILED, NEVER, PASSED, STALE, about, standing
from controller.sitedata import NO_TIMER, InverterSite, MeterSite, Site
from controller.timing import derived
from cython_core.settings import FailSafeSettings
from drivers.base import MapError
from drivers.devicemap import DeviceMap
from drivers.mapfile import is_own, map_names, read_map
from drivers.registermap import PHASES, connection_registers
from drivers.yamlfile import Problems
from drivers.yamlkeys import keys_of

SHOWN_STEPS = {"f_hz": 0.01, "v1_v": 0.01}
FROZEN_REFRESHES = 20
FROZEN_S = 5.0
FREQUENCY_STEP_HZ = 0.01  # IEEE 1547-2018 4.4 Table 3: frequency to 10 mHz
OF_FREQUENCY = (  # group, key, the value with which it acts, and one with which it does not
    ("freq_droop", "enable", True, "false"),
    ("fast_response", "enable", True, "false"),
    ("inertia", "enable", True, "false"),
    ("frequency_trip", "owner", "controller", "inverter"),
    ("enter_service", "owner", "controller", "inverter"),
)
LONGEST_S = keys_of(FailSafeSettings)["frozen_after_s"]["high"]


def device_map(kind: str, name: str, problems: Problems) -> DeviceMap | None:
    """A map by its name, or by the path of the owner's own file; None when the file is wrong."""
    if is_own(name):
        if not Path(name).is_file():
            raise MapError(f"map = {name} is not a file")
    elif name not in map_names([kind]):
        listed = ", ".join(map_names([kind]))
        raise MapError(f"map = {name} is not there; known: {listed}, or the path of a .yaml file")
    found = read_map(name, problems.beside(name if is_own(name) else f"{name}.yaml"))
    if found and found.kind != kind:
        raise MapError(f"map = {name} is a map of kind {found.kind}; allowed: {kind}")
    return found.as_if_found() if found and kind == "meter" else found


def follows(meter: MeterSite, inverter: InverterSite, device: DeviceMap) -> dict[str, dict[str, float]]:
    """Settings that follow from the wires and the meter's map, {group: {key: value}}."""
    values = derived(meter, inverter)
    values["fail_safe"]["frozen_after_s"] = frozen_after_s(meter, device)
    return values


def frozen_after_s(meter: MeterSite, device: DeviceMap) -> float:
    """fail_safe.frozen_after_s; 0 (off) where repeated answers prove nothing, or would only after the longest time."""
    if not all(device.resolves(name, step) and device.registers[name].every == 1 for name, step in SHOWN_STEPS.items()):
        return 0.0
    new_answer_s = max(meter.refresh_ms, meter.poll_ms) / 1000  # a value that is not asked for cannot be seen to move
    after_s = max(FROZEN_REFRESHES * new_answer_s, FROZEN_S)
    return after_s if after_s <= LONGEST_S else 0.0


def meter_faults(site: Site, device: DeviceMap | None) -> list[tuple[str, ...]]:
    """(message, key, ...) of what this meter cannot serve."""
    if device is None:
        return []
    found: list[tuple[str, ...]] = [*coarse_faults(site, device), *site_limit_faults(site, device)]
    if site.meter.nth is not None and not device.models:
        found.append((f"nth belongs to SunSpec meters; map = {site.meter.map} is none", "meter.nth"))
    return found


def unproven(site: Site, *devices: DeviceMap | None) -> list[tuple[str, ...]]:
    """(message, key, ...) for each map that nobody has seen to be right, where real power hangs on it."""
    if site.start_mode != "live" or "unproven-map" in site.accepted or standing(site) == PASSED:
        return []
    card = f" (the plant card {site.card.path} does not count: {about(site)})" if site.card else ""
    return [
        (
            f"map = {device.device} is proven by documents alone, and start_mode = live moves real power: prove it "
            f"with `v2g commission` in start_mode: shadow{card}, or compare its numbers and signs with the device's "
            "display, then add `unproven-map` to i_accept, or write `proven: bench` into a copy of the map",
            f"{device.kind}.map",
        )
        for device in devices
        if device and device.proven == "document"
    ]


def failed_card(site: Site) -> list[tuple[str, ...]]:
    """(message, key, ...) where commissioning has found that these devices do not do what they are told."""
    if site.start_mode != "live" or site.card is None or standing(site) == STALE:
        return []
    found: list[tuple[str, ...]] = []
    again = "mend it, then `v2g commission` again in start_mode: shadow"
    if site.card.verdict == FAILED:
        found.append(
            (f"start_mode = live, but {site.card.path} says: {'; '.join(site.card.faults)}; {again}", "start_mode")
        )
    if site.card.own_timer.result == NEVER and NO_TIMER not in site.accepted:
        found.append(
            (
                f"start_mode = live, but {site.card.path} says: the inverter's own timer {site.card.own_timer.why}; "
                f"{again}, or put a trip outside of it there and add `{NO_TIMER}` to i_accept",
                "inverter.reversion_s",
            )
        )
    return found


def coarse_faults(site: Site, device: DeviceMap) -> list[tuple[str, ...]]:
    """(message, key, ...) for each function of frequency that the meter's steps are too coarse for."""
    name, step_hz = site.meter.map, device.registers["f_hz"].step
    if step_hz is not None and step_hz > FREQUENCY_STEP_HZ:
        told, remedy = f"map = {name} shows frequency in steps of {step_hz:.12g} Hz", "use another meter"
    elif step_hz is None and site.start_mode == "live" and not device.models:
        told = f"nobody has written down in what steps map = {name} shows frequency"
        remedy = "measure it in shadow, then write it as f_hz: resolution: into a copy of the map"
    else:
        return []
    return [
        (
            f"{told}; {group} needs {FREQUENCY_STEP_HZ} Hz or finer (1547-2018 4.4 Table 3): {remedy}, or "
            f"`{group}.{key}: {off}`",
            *own_key(site, f"{group}.{key}"),
            "meter.map",
        )
        for group, key, acts, off in OF_FREQUENCY
        if getattr(getattr(site.settings, group), key) == acts
        and getattr(getattr(site.settings, group), "owner", "controller") == "controller"
    ]


def own_key(site: Site, key: str) -> tuple[str, ...]:
    """The key, if it stands in the site file; what a profile says is not the owner's to change."""
    return (key,) if key in site.origins and site.origins[key].kind == "site" else ()


def site_limit_faults(site: Site, device: DeviceMap) -> list[tuple[str, ...]]:
    """(message, key, ...) where the limits of the house connection have no meter that shows its phases."""
    limits, meter = site.settings.site_limits, site.meter
    if not limits.enable:
        return []
    if meter.location != "connection":
        return [
            (
                "site_limits needs a meter at the house connection: `meter.location: connection` with that meter's "
                "host, or `site_limits.enable: false`",
                "site_limits.enable",
            )
        ]
    found: list[tuple[str, ...]] = []
    shown = connection_registers(device, meter.phases)
    missing = [f"p{i}_w" for i in range(1, len(PHASES[meter.phases]) + 1) if f"p{i}_w" not in shown]
    if missing:
        found.append(
            (
                f"site_limits needs the power of each phase, and map = {meter.map} has no {', '.join(missing)}: use "
                "another meter, or `site_limits.enable: false`",
                "meter.map",
            )
        )
    for i in range(len(PHASES[meter.phases]) + 1, 4):
        share = getattr(limits, f"share_l{i}_pu")
        if share > 0.0:
            found.append(
                (
                    f"share_l{i}_pu = {share:.12g}, but with phases = {meter.phases} the meter shows no L{i}",
                    f"site_limits.share_l{i}_pu",
                    "meter.phases",
                )
            )
    return found
