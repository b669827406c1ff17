"""Bring a site file of an older program up to date: shows what would change, writes only when told."""

from __future__ import annotations

import argparse
import json
import sys
from difflib import unified_diff
from pathlib import Path

from controller.configfiles import find
from controller.errors import InputError
from controller.settings.change import checked, own_file
from controller.settings.migrate import migrated
from controller.settings.source import read_text

EXIT_OK = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """migrate SITE [--write] [--json]"""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    text = "Rename what has another name today; print the difference. Writes nothing without --write."
    one = actions.add_parser("migrate", help=text, description=text)
    one.add_argument("site", type=Path, help="site file, or the name of one in /etc/v2g/sites")
    one.add_argument("--write", action="store_true", help="write it, once the result has been read without a mistake")
    one.add_argument("--json", action="store_true", help="for programs: one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """0 up to date, shown, or written; 2 the result would still be refused: then nothing is written."""
    path = find(args.site, "sites")
    text = read_text(path, "utf-8")
    try:
        new, notes = migrated(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if new == text:
        print(json.dumps({"site": str(path), "changes": [], "written": False}) if args.json else f"{path}: up to date")
        return EXIT_OK
    if not args.json:
        sys.stdout.writelines(unified_diff(text.splitlines(True), new.splitlines(True), str(path), f"{path}, today"))
        print("\n".join(notes), flush=True)
    checked(own_file(path) if args.write else path, new, args.write, was_late=True)
    if args.json:
        print(json.dumps({"site": str(path), "changes": notes, "written": args.write}))
    else:
        print(f"{path}: written" if args.write else f"nothing is written; to do so: v2g site migrate {path} --write")
    return EXIT_OK
