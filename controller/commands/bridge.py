"""Store what sites send over MQTT: InfluxDB, VictoriaMetrics or SQLite."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from controller.errors import InputError
from controller.site import load_site
from controller.sitedata import NAME, StoreSite
from controller.telemetry.wiring import run_bridge

EXIT_OK = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", type=Path, help="site file, or the name of one in /etc/v2g/sites")
    parser.add_argument("--setup", action="store_true", help="make what the store needs, say what was made, and end")
    parser.add_argument("--name", help="what the broker knows it by; over telemetry.mqtt.bridge.name")
    parser.add_argument("--parent-death", action="store_true", help="end when the process that started this one ends")


def run(args: argparse.Namespace) -> int:
    """Until SIGTERM or Ctrl-C; with --setup until the store is ready."""
    if args.name is not None and not re.fullmatch(NAME, args.name):
        raise InputError(f"v2g bridge: --name {args.name}: allowed are 1 ... 32 of a-z, 0-9 and -")
    site = load_site(args.site)
    if not args.setup:
        return run_bridge(site, args.parent_death, args.name)
    from controller.telemetry.setup import set_up  # influxdb-client: only who needs it waits for it

    for line in set_up(site.telemetry.store or StoreSite(kind="sqlite"), site.state_dir):
        print(line)
    return EXIT_OK
