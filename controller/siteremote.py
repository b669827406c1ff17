"""What `remote` and `home_assistant` must be together with the rest of a site; and the bounds of remote commands.

Errors   none raised: remote_faults returns what contradicts, the caller puts it at its line.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller.services.command import Bounds
from controller.sitedata import Site


def remote_faults(site: Site) -> Iterator[tuple[str, ...]]:
    """(message, keys)."""
    for name, group in (("remote", site.remote), ("home_assistant", site.home_assistant)):
        if group.enable and site.telemetry.mqtt is None:
            yield f"{name}.enable needs a broker: telemetry.mqtt", f"{name}.enable"
    rating = site.settings.rating
    for key, rated_w in (("max_charge_w", rating.p_charge_rated_w), ("max_discharge_w", rating.p_rated_w)):
        asked_w = getattr(site.remote, key)
        if asked_w is not None and asked_w > rated_w:
            yield f"{key} = {asked_w:g} is above the unit's rating, {rated_w:g} W", f"remote.{key}"


def told(bounds: Bounds) -> str:
    """For people: who may ask for what."""
    return f"{', '.join(bounds.sources)} may ask for {bounds.p_min_w:g} ... {bounds.p_max_w:g} W (+ = into the grid)"


def bounds_of(site: Site) -> Bounds:
    """What remote commands may ask for at this site."""
    remote, settings = site.remote, site.settings
    charge_w = settings.rating.p_charge_rated_w if remote.max_charge_w is None else remote.max_charge_w
    discharge_w = settings.rating.p_rated_w if remote.max_discharge_w is None else remote.max_discharge_w
    return Bounds(
        sources=tuple(dict.fromkeys(remote.sources)),
        p_min_w=-charge_w,
        p_max_w=discharge_w,
        soc_min_pu=settings.limits.soc_min_pu,
        soc_max_pu=settings.limits.soc_max_pu,
        lifetime_ms=int(settings.default_wish.wish_lifetime_s * 1000),
        max_age_ms=round(remote.max_age_s * 1000),
    )
