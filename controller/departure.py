"""When the car must be ready: a time of day at the house -> moments, so that the core needs no calendar.

Shapes   departures(): Unix seconds, rising, one a day. A time that a change of clocks leaves out counts as before the
         change, of one that comes twice the first. mornings(): those before now as well.
Errors   ValueError: this machine knows no such time zone.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = 400  # a controller runs from one update to the next; a start makes them anew
DAY_S = 86_400


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


def mornings(ready_by: str, timezone: str, now_s: float) -> list[int]:
    """DAYS of them before now and after it: now may be that of a clock which has not been set yet."""
    return departures(ready_by, timezone, now_s - DAYS * DAY_S, 2 * DAYS)
