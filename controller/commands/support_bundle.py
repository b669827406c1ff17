"""Pack for support: checks, versions, counters, ten minutes of journal; no secrets."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.errors import InputError
from controller.support import Member, archive, lines, look, members

EPILOG = """\
The contents are listed with their sizes before anything is written, and nothing
is sent anywhere. Comments, passwords, tokens and keys are taken out; look
through the file all the same before you pass it on: a journal tells when the
house charges and feeds.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SITE [--out FILE] [--yes] [--json]"""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("site", type=Path, help="site file, or the name of one in /etc/v2g/sites; it may have mistakes")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: v2g-support-SITE-TIME.tar.gz, here")
    parser.add_argument("--yes", action="store_true", help="write it without asking")
    parser.add_argument("--json", action="store_true", help="the list as JSON; written only with --yes")


@dataclass(frozen=True, slots=True)
class Bundle:
    """What would be written, and where."""

    path: Path
    found: list[Member]
    content: bytes


def run(args: argparse.Namespace) -> int:
    """0 written, or declined; 2 there is no such site file, or the bundle may not be written there."""
    at = look(args.site)
    name = at.site.name if at.site else at.path.stem
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    found = members(at)
    path = args.out or Path(f"v2g-support-{name}-{stamp}.tar.gz")
    bundle = Bundle(path, found, archive(found, f"v2g-support-{name}"))
    if path.exists():
        raise InputError(f"{path}: is there already; give another name with --out")
    if args.json:
        if args.yes:
            write(bundle)
        print(json.dumps(as_json(bundle, written=args.yes), indent=1))
        return 0
    print("\n".join(lines(found)))
    if not args.yes and not agreed(f"\nWrite {path}, {len(bundle.content)} bytes? [y/N] "):
        print("nothing was written")
        return 0
    write(bundle)
    print(f"{path}: {len(bundle.content)} bytes. Look through it before you pass it on: tar tzf {path}")
    return 0


def agreed(question: str) -> bool:
    """InputError: there is nobody to ask."""
    if not sys.stdin.isatty():
        sys.stdout.flush()
        raise InputError("v2g support-bundle: nothing was written; --yes writes it without asking")
    return input(question).strip().lower() in ("y", "yes")


def write(bundle: Bundle) -> None:
    """For its owner's eyes alone; never over another file."""
    descriptor = os.open(bundle.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(bundle.content)


def as_json(bundle: Bundle, written: bool) -> dict[str, Any]:
    return {
        "v": 1,
        "file": str(bundle.path),
        "written": written,
        "bytes": len(bundle.content),
        "members": rows(bundle.found),
    }


def rows(found: Sequence[Member]) -> list[dict[str, Any]]:
    """bytes null: missing, `what` tells why."""
    return [{"name": m.name, "what": m.what, "bytes": None if m.content is None else m.size} for m in found]
