"""Who may command a site, row by row, and the door that is made of it. Pure.

Each row is what the door itself would let through: a key's bounds inside the site's. A key has no end of its own: it
holds until it is taken out of the site file. A wish ends when its sender said, never later than bounds.lifetime_ms.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from controller.services.command import COMMANDS, Bounds
from controller.services.door import Door, Key
from controller.sitedata import Origin, Site
from controller.siteremote import bounds_of


@dataclass(frozen=True, slots=True)
class Right:
    """key: a name of the site file; None: without a signature. origin: where the file says so."""

    key: str | None
    sources: tuple[str, ...]
    commands: tuple[str, ...]
    bounds: Bounds
    origin: Origin


def door_of(site: Site, bounds: Bounds) -> Door:
    """The site's keys, and whom it believes without."""
    keys = {
        name: Key(
            base64.b64decode(key.public_key),
            key.sources,
            key.commands,
            bounds.p_min_w if key.max_charge_w is None else -key.max_charge_w,
            bounds.p_max_w if key.max_discharge_w is None else key.max_discharge_w,
        )
        for name, key in site.remote.keys.items()
    }
    return Door(site.name, bounds, site.remote.unsigned, keys)


def rights(site: Site) -> Iterator[Right]:
    """Keys, then those who need none; nobody when `remote` is not enabled."""
    if not site.remote.enable:
        return
    door = door_of(site, bounds_of(site))
    for name, key in door.keys.items():
        inside = key.inside(door.bounds)
        yield Right(name, inside.sources, key.commands, inside, site.origins[f"remote.keys.{name}"])
    for source in door.unsigned:
        yield Right(None, (source,), tuple(COMMANDS), door.bounds, site.origins["remote.unsigned"])
