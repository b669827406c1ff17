"""What `remote` and `home_assistant` must be together with the rest of a site; and the bounds of remote commands.

Errors   none raised: remote_faults returns what contradicts, the caller puts it at its line.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller.services.command import Bounds
from controller.sitedata import RemoteSite, Site

LOOPBACK = ("127.0.0.1", "::1", "localhost")


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
    if site.remote.enable:
        yield from signing_faults(site)


def signing_faults(site: Site) -> Iterator[tuple[str, ...]]:
    """Who commands must sign, unless nobody else can come to the broker."""
    remote, mqtt = site.remote, site.telemetry.mqtt
    if not (remote.keys or remote.unsigned):
        yield (
            "remote.enable: nobody could command: name the keys that sign (`keys`), or whose commands need no "
            "signature (`unsigned: home`, with the broker on this machine or over TLS)",
            "remote.enable",
        )
    if remote.unsigned and mqtt is not None and mqtt.tls is None and mqtt.host not in LOOPBACK:
        yield (
            f"unsigned = {', '.join(remote.unsigned)}: whoever is in the network of {mqtt.host} could command: use "
            "telemetry.mqtt.tls, a broker on this machine (127.0.0.1), or keys that sign",
            "remote.unsigned",
        )
    for source in (*remote.unsigned, *(s for key in remote.keys.values() for s in key.sources)):
        if source not in remote.sources:
            yield f"{source} is not among remote.sources: {', '.join(remote.sources)}", "remote.unsigned", "remote.keys"
    yield from beyond(site)


def beyond(site: Site) -> Iterator[tuple[str, ...]]:
    """A key never has more than the site."""
    bounds = bounds_of(site)
    for name, key in site.remote.keys.items():
        for which, most_w in (("max_charge_w", -bounds.p_min_w), ("max_discharge_w", bounds.p_max_w)):
            asked_w = getattr(key, which)
            if asked_w is not None and asked_w > most_w:
                yield (
                    f"{which} = {asked_w:g} of key {name} is above the site's {most_w:g} W",
                    f"remote.keys.{name}.{which}",
                )


def told(bounds: Bounds, remote: RemoteSite) -> str:
    """For people: who may ask for what, and who without a signature."""
    unsigned = f"; without signature: {', '.join(remote.unsigned) or 'nobody'}"
    asked = f"{bounds.p_min_w:g} ... {bounds.p_max_w:g} W (+ = into the grid)"
    return f"{', '.join(bounds.sources)} may ask for {asked}{unsigned}"


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
