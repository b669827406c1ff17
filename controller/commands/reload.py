"""Bring changed settings of the site file into force without a stop, between two steps."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from controller.errors import InputError
from controller.handover import hand_over, in_force, ring_of
from controller.launch import facts
from controller.settings.page import difference_lines, differences
from controller.site import Site, load_site
from cython_core.realtime.ring import RingReader
from cython_core.settings import Settings

EXIT_OK = 0
# what only a start looks at, and how it is called in the site file
AT_START = {
    "start_mode": "start_mode (or --watch-only)",
    "period_ns": "period_ms",
    "devices": "meter or inverter",
    "maps": "meter.map or inverter.map",
    "profile": "profile",
}
COMPILED = ("site_limits.enable",)  # what the meter is asked for follows from it


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


def need_no_restart(site: Site, reader: RingReader, before: Settings) -> None:
    """InputError: every line that only a start looks at, or that the inverter itself would have to be told."""
    now, wrong = facts(site, writes=False), []
    for fact, key in AT_START.items():
        if reader.info.get(fact) != now[fact]:
            wrong.append(f"{site.where(key.split(' ')[0])}: {key} has changed")
    for row in differences(before, site.settings):
        group, name = row["group"], f"{row['group']}.{row['key']}"
        owner = getattr(getattr(site.settings, group), "owner", "controller")
        if group == "rating" or row["key"] == "owner" or name in COMPILED:
            wrong.append(f"{site.where(name, group)}: {name} has changed")
        elif owner == "inverter":
            wrong.append(f"{site.where(name, group)}: {name} is a setting of the inverter's own function")
    if wrong:
        raise InputError("\n".join(f"{line}; this needs a restart of the controller" for line in wrong))
