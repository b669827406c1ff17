"""What no single key of a site file can tell: (message, keys at whose line it is said) for each contradiction."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from controller.departure import zone
from controller.sitedata import STORE_KEYS, InverterSite, Site, StoreSite, WireSite
from controller.siteremote import remote_faults
from controller.sitewires import ways_of
from controller.timing import reachable


def site_faults(site: Site) -> Iterator[tuple[str, ...]]:
    """Of the whole file, read without a mistake in any of its values."""
    yield from start_faults(site)
    yield from reachable(site)
    yield from remote_faults(site)
    yield from store_faults(site.telemetry.store)
    yield from departure_faults(site)


def start_faults(site: Site) -> Iterator[tuple[str, ...]]:
    """The start mode against the devices, and against what its owner has accepted."""
    for role, wire in (("meter", site.meter), ("inverter", site.inverter)):
        if site.start_mode == "demo" and not is_simulated(wire):
            key, value = next(iter(ways_of(wire).items()))
            yield (
                f"{key} = {value} is not simulated here: start_mode demo talks to simulated devices only "
                "(127.0.0.1, a pseudo-terminal /dev/pts/N, or vcan0); use start_mode: shadow to watch a real device",
                f"{role}.{key}",
            )
    if site.start_mode == "live" and "real-power" not in site.accepted:
        yield (
            f"start_mode = live moves real power: prove first that the inverter goes to 0 W by its own timer "
            f"(reversion_s = {site.inverter.reversion_s}; `v2g commission` measures it), then add the line "
            "`i_accept: real-power`; until then use start_mode: shadow",
            "start_mode",
        )


def departure_faults(site: Site) -> Iterator[tuple[str, ...]]:
    """A time zone that is known, and a battery whose size is."""
    if site.departure is None:
        return
    try:
        zone(site.departure.timezone)
    except ValueError as error:
        yield str(error), "departure.timezone"
    if site.settings.default_wish.capacity_wh == 0.0:
        yield "departure needs settings.default_wish.capacity_wh, the battery's", "departure"


def store_faults(store: StoreSite | None) -> Iterator[tuple[str, ...]]:
    """Each kind of store has keys of its own."""
    if store is None:
        return
    needed, allowed_too = STORE_KEYS[store.kind]
    for name in needed:
        if getattr(store, name) is None:
            yield f"telemetry.store: missing key '{name}', which kind {store.kind} needs", "telemetry.store"
    others = {name for keys in STORE_KEYS.values() for name in keys[0] + keys[1]} - {*needed, *allowed_too}
    for name in sorted(others):
        if getattr(store, name) is not None:
            kinds = " or ".join(kind for kind, keys in STORE_KEYS.items() if name in keys[0] + keys[1])
            yield f"{name} belongs to kind: {kinds}; this store is {store.kind}", f"telemetry.store.{name}"


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
