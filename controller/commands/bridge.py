"""Store what sites send over MQTT: InfluxDB or SQLite."""

from __future__ import annotations

import argparse
from pathlib import Path

from controller.site import load_site
from controller.telemetry.wiring import run_bridge


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", type=Path, help="site file, or the name of one in /etc/v2g/sites")
    parser.add_argument("--parent-death", action="store_true", help="end when the process that started this one ends")


def run(args: argparse.Namespace) -> int:
    """Until SIGTERM or Ctrl-C."""
    return run_bridge(load_site(args.site), args.parent_death)
