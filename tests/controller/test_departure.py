"""When the car must be ready: a time of day -> moments. Moments of 2026, by pencil from the zone's own rules."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from controller.departure import departures, of_site

if TYPE_CHECKING:
    from controller.sitedata import Site

# fmt: off
DAYS = [
    # zone                ready    now, UTC       next, UTC      then           why
    ("UTC",               "07:30", "11-26 06:00", "11-26 07:30", "11-27 07:30", "this morning, and tomorrow"),
    ("UTC",               "07:30", "11-26 07:30", "11-27 07:30", "11-28 07:30", "now is too late"),
    ("Europe/Berlin",     "07:30", "11-26 06:00", "11-26 06:30", "11-27 06:30", "winter: UTC + 1 h"),
    ("America/New_York",  "07:30", "07-01 00:00", "07-01 11:30", "07-02 11:30", "summer: UTC - 4 h"),
    ("Europe/Berlin",     "07:30", "03-28 07:00", "03-29 05:30", "03-30 05:30", "a change of clocks"),
    ("Europe/Berlin",     "02:30", "03-28 12:00", "03-29 01:30", "03-30 00:30", "there is no 02:30: as before"),
    ("Europe/Berlin",     "02:30", "10-24 12:00", "10-25 00:30", "10-26 01:30", "there are two: the first"),
]
# fmt: on


def unix_s(text: str) -> int:
    return int(datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(("zone", "ready_by", "now", "first", "then", "why"), DAYS, ids=[row[-1] for row in DAYS])
def test_departures(zone: str, ready_by: str, now: str, first: str, then: str, why: str) -> None:
    assert departures(ready_by, zone, unix_s(now))[:2] == [unix_s(first), unix_s(then)], why


def test_a_zone_nobody_knows() -> None:
    with pytest.raises(ValueError, match="timezone = Europe/Atlantis is none that this machine knows"):
        departures("07:30", "Europe/Atlantis", 0.0)


# fmt: off
CLOCKS = [
    # it is now        the clock says    kept right   why
    ("2026-11-26",     "2026-11-26",     True,        "as it should be"),
    ("2026-11-26",     "1970-01-01",     False,       "a board without a battery"),
    ("2026-11-26",     "2026-11-20",     False,       "the day it was switched off"),
    ("2026-11-26",     "2031-01-01",     False,       "a battery that knows better"),
    ("2033-05-01",     "1970-01-01",     False,       "a site file of seven years ago"),
]
# fmt: on


@pytest.mark.parametrize(("now", "said", "kept_right", "why"), CLOCKS, ids=[row[-1] for row in CLOCKS])
def test_whatever_the_clock_says_at_the_start_the_next_morning_is_known(
    tmp_path: Path, now: str, said: str, kept_right: bool, why: str
) -> None:
    """The clock is set while the controller runs, and a list is made only at its start."""
    now_s, said_s = (datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for day in (now, said))
    written = tmp_path / "site.yaml"
    written.touch()
    os.utime(written, (unix_s("03-01"), unix_s("03-01")))
    site = SimpleNamespace(path=written, departure=SimpleNamespace(ready_by="07:30", timezone="UTC"))
    known = of_site(cast("Site", site), said_s, kept_right)
    assert next(t_s for t_s in known if t_s > now_s) == now_s + 7.5 * 3600
    assert known == sorted(known)
    assert known[0] > (said_s if kept_right else unix_s("03-01"))


def test_no_departure_no_moments(tmp_path: Path) -> None:
    assert of_site(cast("Site", SimpleNamespace(departure=None)), 0.0, True) == []
