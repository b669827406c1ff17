"""What a site's inverter map asks of the site, and what follows from it.

Follows  limits.p_min_abs_w, limits.reverse_dwell_s and inverter.lag_ms, where the map knows them.
Errors   none raised: inverter_faults returns what contradicts, the caller puts it at its line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from controller.sitedata import NO_TIMER, InverterSite, Site
from drivers.can.canmap import CanMap
from drivers.devicemap import DeviceMap, WriteContract
from drivers.sunspec.device import is_legacy
from drivers.writecontract import timer_fault

OWN_FUNCTIONS = ("freq_droop", "volt_watt", "reactive")  # which an inverter may have as well


def with_lag(inverter: InverterSite, device: DeviceMap) -> InverterSite:
    """The map's settling time as lag_ms; for a site that has not measured its own."""
    settle_s = device.writes.settle_s if device.writes else 0.0
    return replace(inverter, lag_ms=round(1000 * settle_s)) if settle_s else inverter


def limits_of(device: DeviceMap) -> dict[str, float]:
    """Settings of the group limits that the map knows."""
    if device.writes is None:
        return {}
    known = {"p_min_abs_w": device.writes.min_abs_w, "reverse_dwell_s": device.writes.reverse_dwell_s}
    return {name: value for name, value in known.items() if value}


def inverter_faults(site: Site, device: DeviceMap | None) -> Iterator[tuple[str, ...]]:
    """(message, key, ...) of what this inverter cannot do for this site."""
    if device is None:
        return
    yield from power_faults(site, device)
    contract, name = device.writes, site.inverter.map
    if contract is None:
        return
    fault = timer_fault(contract, site.inverter.reversion_s)
    if fault:
        yield f"{fault}, the timer of map = {name}", "inverter.reversion_s"
    without = no_timer(site, contract)
    if site.start_mode == "live" and without:
        yield f"start_mode = live, but {without}; until then use start_mode: shadow", "start_mode"


def no_timer(site: Site, contract: WriteContract | None) -> str:
    """Why this inverter may not move real power here; nothing: it goes to 0 W by itself, or the site accepts it."""
    if contract is None or contract.falls_to_zero or NO_TIMER in site.accepted:
        return ""
    why = "has no timer of its own" if contract.timer == "none" else "falls back to its own mode"
    return (
        f"map = {site.inverter.map} {why} when nobody speaks to it: nothing brings it to 0 W then. Put a trip outside "
        f"of it there, then add `{NO_TIMER}` to i_accept"
    )


def power_faults(site: Site, device: DeviceMap) -> Iterator[tuple[str, ...]]:
    """Ratings, reactive power and measured power that the map does not have."""
    s, name = site.settings, site.inverter.map
    low, high = (device.inverter.takes("p_w") if device.inverter else None) or (-math.inf, math.inf)
    for key, most_w in (("p_rated_w", high), ("p_charge_rated_w", -low)):
        rated_w = getattr(s.rating, key)
        if rated_w > most_w:
            text = f"{key} = {rated_w:.12g} is above {most_w:.12g} W, the most that map = {name} takes"
            yield text, f"rating.{key}", "inverter.map"
    if asks_reactive(site) and not takes_reactive(device):
        yield (
            f"mode = {s.reactive.mode} of reactive, but map = {name} takes no reactive power: use `mode: off`",
            "reactive.mode",
            "inverter.map",
        )
    for group in OWN_FUNCTIONS:
        if getattr(s, group).owner == "inverter" and (not device.models or is_legacy(device)):
            yield (
                f"owner = inverter of {group}, but map = {name} has no grid functions of its own that can be read and "
                "set (SunSpec 705 to 712): use `owner: controller`",
                f"{group}.owner",
                "inverter.map",
            )
    if device.inverter and "p_w" not in device.inverter.registers and site.meter.location != "inverter":
        yield (
            f"map = {name} cannot say the inverter's power: the meter must stand at its terminals "
            "(`location: inverter`)",
            "meter.location",
        )


def takes_reactive(device: DeviceMap) -> bool:
    if isinstance(device, CanMap):
        return any(put.source == "q_var" for frame in device.sends.setpoint for put in frame.puts.values())
    return device.inverter.takes("q_var") is not None if device.inverter else not is_legacy(device)


def asks_reactive(site: Site) -> bool:
    """Whether any reactive power but 0 may be commanded."""
    s = site.settings
    at_rest = {"off": True, "constant_pf": s.power_factor.pf >= 1.0, "constant_q": s.const_var.q_pu == 0.0}
    return not at_rest.get(s.reactive.mode, False)
