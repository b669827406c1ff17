"""Run the controller of a site."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from controller.launch import launch
from controller.lifetime import die_with_parent
from controller.plantcard import about
from controller.site import Site, load_site


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SITE [--watch-only]"""
    parser.add_argument("site", type=Path, help="site file, or the name of one in /etc/v2g/sites")
    parser.add_argument("--watch-only", action="store_true", help="compute and record, never write to the inverter")
    parser.add_argument("--parent-death", action="store_true", help="end when the process that started this one ends")


def announcement(site: Site, watch_only: bool) -> str:
    """What is about to move power, said before it does."""
    rating = site.settings.rating
    if site.start_mode == "demo":
        return f"DEMO: {site.name} works against simulated devices on this machine"
    if site.start_mode == "shadow" or watch_only:
        return f"SHADOW: {site.name} computes and records; nothing is written to {site.inverter.wire}"
    return (
        f"LIVE: {site.name} will move up to {rating.p_rated_w:g} W out of and {rating.p_charge_rated_w:g} W into the "
        f"battery at {site.inverter.wire}. It is a supervisory controller: the inverter's own certified protection "
        f"stays in charge of trips. Plant card: {about(site)}."
    )


def run(args: argparse.Namespace) -> int:
    """Until SIGTERM or Ctrl-C."""
    site = load_site(args.site)
    if args.parent_death:
        die_with_parent()
    print(announcement(site, args.watch_only), file=sys.stderr)
    if site.unverified:
        print(f"UNVERIFIED PROFILE {site.unverified}, accepted by {site.where('accept_unverified')}", file=sys.stderr)
    return launch(site, args.watch_only)
