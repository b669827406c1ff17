"""Bring changed settings of the site file into force without a stop, between two steps."""

from __future__ import annotations

import argparse
import json
import marshal
import os
import time
from pathlib import Path
from typing import Any

from controller.departure import departures
from controller.errors import InputError
from controller.handed import stamp
from controller.launch import facts
from controller.nextsettings import ALL, NAME, named
from controller.settings.page import difference_lines, differences
from controller.site import Site, load_site
from controller.wholefile import write_whole
from cython_core.compiled import compiled
from cython_core.realtime.ring import RingReader
from cython_core.settings import Settings, digest, to_mapping
from drivers.base import DriverError

EXIT_OK = 0
TAKEN_S = 5.0
KEPT = 50  # files of settings: who reads the ring is seldom more than a minute behind
# what only a start looks at, and how it is called in the site file
AT_START = {
    "start_mode": "start_mode",
    "period_ns": "period_ms",
    "devices": "meter or inverter",
    "maps": "meter.map or inverter.map",
    "profile": "profile",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SITE [--json]"""
    parser.add_argument("site", type=Path, help="site file, or the name of one in /etc/v2g/sites")
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """0 in force, or nothing to do; 2 needs a restart, or the file is wrong; 3 no controller took it over."""
    site = load_site(args.site)
    reader = ring_of(site)
    before = in_force(site, reader)
    need_no_restart(site, reader, before)
    changes = differences(before, site.settings)
    n = hand_over(site, reader)
    if args.json:
        print(json.dumps({"site": site.name, "from_step": n, "changes": changes}))
    else:
        print("\n".join([*difference_lines(changes), f"in force from step {n} on"]))
    return EXIT_OK


def ring_of(site: Site) -> RingReader:
    """The ring of the site's controller. InputError: there is none, or not of this program."""
    path = site.runtime_dir / "ring"
    try:
        return RingReader(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no controller of {site.name} is running; start it: v2g run {site.path}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; restart the controller") from None


def in_force(site: Site, reader: RingReader) -> Settings:
    """The settings of the newest step."""
    record = reader.newest()
    found = reader.info["settings_digest"] if record is None else newest(record)["settings_digest"]
    if found == reader.info["settings_digest"]:
        return Settings.from_mapping(reader.info["settings"])
    text = (site.runtime_dir / named(int(found))).read_text(encoding="utf-8")
    return Settings.from_mapping(json.loads(text)["settings"])


def newest(record: bytes) -> Any:
    """One raw step record as a row."""
    from cython_core.bulk import from_bytes

    return from_bytes(record)[0]


def need_no_restart(site: Site, reader: RingReader, before: Settings) -> None:
    """InputError: every line that only a start looks at, or that the inverter itself would have to be told."""
    now, wrong = facts(site, writes=False), []
    for fact, key in AT_START.items():
        if reader.info.get(fact) != now[fact]:
            wrong.append(f"{site.where(key.split(' ')[0])}: {key} has changed")
    for row in differences(before, site.settings):
        group, name = row["group"], f"{row['group']}.{row['key']}"
        owner = getattr(getattr(site.settings, group), "owner", "controller")
        if group == "rating" or row["key"] == "owner":
            wrong.append(f"{site.where(name, group)}: {name} has changed")
        elif owner == "inverter":
            wrong.append(f"{site.where(name, group)}: {name} is a setting of the inverter's own function")
    if wrong:
        raise InputError("\n".join(f"{line}; this needs a restart of the controller" for line in wrong))


def hand_over(site: Site, reader: RingReader) -> int:
    """Put the files there and wait. -> the first step under them. DriverError: nobody took them over."""
    period_ns = site.period_ms * 1_000_000
    wanted, path = digest(site.settings, period_ns), site.runtime_dir / NAME
    write_whole(site.runtime_dir / named(wanted), json.dumps({"v": 1, "settings": to_mapping(site.settings)}))
    times = departures(site.departure.ready_by, site.departure.timezone, time.time()) if site.departure else []
    known = sorted(site.runtime_dir.glob(ALL), key=lambda file: file.stat().st_mtime)
    for old in known[:-KEPT]:
        old.unlink(missing_ok=True)
    temporary = path.with_name(f"{NAME}.{os.getpid()}")
    temporary.write_bytes(marshal.dumps((stamp(), compiled(site.settings, site.period_ms * 1e-3), times)))
    temporary.replace(path)
    deadline = time.monotonic() + TAKEN_S
    while time.monotonic() < deadline:
        record = reader.newest()
        if record is not None and newest(record)["settings_digest"] == wanted:
            return first_step(reader, wanted)
        time.sleep(0.02)
    path.unlink(missing_ok=True)
    raise DriverError(
        f"{path}: not taken over within {TAKEN_S:g} s: look at the controller's log for V2G-RELOAD-REFUSED"
    )


def first_step(reader: RingReader, wanted: int) -> int:
    """Where these settings begin, as far back as the ring goes."""
    from cython_core.bulk import from_bytes

    first = -1
    while raw := reader.read(4096)[0]:
        rows = from_bytes(raw)
        here = rows["n"][rows["settings_digest"] == wanted]
        if first < 0 and len(here):
            first = int(here[0])
        elif not len(here):
            first = -1
    return first
