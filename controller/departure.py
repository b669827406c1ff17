"""When the car must be ready: a time of day at the house -> moments, so that the core needs no calendar.

Shapes   departures(): Unix seconds, rising, one a day. A time that a change of clocks leaves out counts as before the
         change, of one that comes twice the first.
Clock    one that nobody keeps right is not believed: a board without a battery wakes up in 1970, or in the year its
         battery says. But a controller never starts before its site file was written.
Errors   ValueError: this machine knows no such time zone.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from controller.sitedata import Site

DAYS = 400  # a controller runs from one update to the next; a start makes them anew
UNSURE_DAYS = 3650  # and a site file is seldom older than that


def zone(name: str) -> ZoneInfo:
    """Its rules."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"timezone = {name} is none that this machine knows; allowed: one like Europe/Berlin"
        ) from None


def departures(ready_by: str, timezone: str, from_s: float, days: int = DAYS) -> list[int]:
    """ready_by: HH:MM. The moments after from_s."""
    there = zone(timezone)
    today = datetime.fromtimestamp(from_s, there).date()
    at = time.fromisoformat(ready_by)
    found = (int(datetime.combine(today + timedelta(day), at, there).timestamp()) for day in range(days))
    return [t_s for t_s in found if t_s > from_s]


def of_site(site: Site, now_s: float, synchronized: bool) -> list[int]:
    """All that a controller of this site may come to need; none when it has no departure. OSError: of the site file."""
    chosen = site.departure
    if chosen is None:
        return []
    if synchronized:
        return departures(chosen.ready_by, chosen.timezone, now_s)
    return departures(chosen.ready_by, chosen.timezone, site.path.stat().st_mtime, UNSURE_DAYS)
