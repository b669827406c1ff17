"""Copy stored telemetry out of SQLite: to a CSV file, or into a server."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from controller.errors import InputError
from controller.progress import Progress
from controller.site import load_site
from controller.sitedata import STORE_KEYS, StoreSite
from controller.telemetry.database import DatabaseRefusedError
from controller.telemetry.export import Span, moment_ms, to_csv, to_store
from controller.telemetry.stores import make_store
from controller.telemetry.wire import MAX_SEQ, VERSION

EXIT_OK = 0
SERVERS = [kind for kind in STORE_KEYS if kind != "sqlite"]
OPTIONS = sorted({key for kind in SERVERS for keys in STORE_KEYS[kind] for key in keys} - {"url"})
EPILOG = """\
Times are UTC unless they carry an offset; --to is the first moment that is not
taken. A CSV file holds one kind of rows; a server gets both unless told.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SITE [--from T] [--to T] [--kind live|event] (--csv FILE | --influx URL ... ) [--json]"""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("site", type=Path, help="site file, or the name of one in /etc/v2g/sites")
    parser.add_argument("--from", dest="begin", metavar="TIME", help="first moment, like 2026-11-05T14:00; else all")
    parser.add_argument("--to", dest="end", metavar="TIME", help="first moment that is not taken; else all")
    parser.add_argument("--kind", choices=("live", "event"), help="frames or events; a CSV file has live unless told")
    parser.add_argument("--of", metavar="NAME", help="rows of this site: a bridge's store holds several")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--csv", type=Path, metavar="FILE", help="write this file")
    for kind in SERVERS:
        needs = ", ".join(option(key) for key in STORE_KEYS[kind][0][1:])
        where.add_argument(f"--{kind}", metavar="URL", help=f"into this server{f'; needs {needs}' if needs else ''}")
    for key in OPTIONS:
        parser.add_argument(option(key), type=Path if key == "token_file" else str, help="as in telemetry.store")
    parser.add_argument("--json", action="store_true", help="for programs: the counts as one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """0: all is there; 2: an option is wrong, or the server does not take it."""
    site = load_site(args.site)
    store = site.telemetry.store
    if store is None or store.sqlite_path is None:
        raise InputError(f"{site.path}: telemetry.store is a server: there is no SQLite store to export from")
    if not store.sqlite_path.exists():
        raise InputError(f"{store.sqlite_path}: there is no store yet; v2g telemetry makes it")
    begin = moment_ms(args.begin, "--from") if args.begin else 0
    end = moment_ms(args.end, "--to") if args.end else MAX_SEQ
    if begin >= end:
        raise InputError(f"v2g export: --from {args.begin or 'the beginning'} is not before --to {args.end}")
    kinds = (args.kind,) if args.kind else ("live",) if args.csv else ("live", "event")
    span = Span(args.of or site.name, kinds, begin, end)
    with Progress("export", sys.stderr) as progress:
        if args.csv:
            where, counts = str(args.csv), to_csv(store.sqlite_path, span, args.csv, progress)
        else:
            where, counts = into_server(args, store.sqlite_path, site.state_dir, span, progress)
    show(args.json, span, where, counts)
    return EXIT_OK


def into_server(
    args: argparse.Namespace, path: Path, state_dir: Path, span: Span, progress: Progress
) -> tuple[str, dict[str, int]]:
    """-> the server's name, counts."""
    try:
        server = make_store(server_of(args), state_dir)
    except DatabaseRefusedError as error:
        raise InputError(str(error)) from None
    with closing(server):
        return server.name, to_store(path, span, server, progress)


def server_of(args: argparse.Namespace) -> StoreSite:
    """The options as a site file would have them. Raises InputError."""
    kind = next(kind for kind in SERVERS if getattr(args, kind))
    url = getattr(args, kind)
    if not url.startswith(("http://", "https://")):
        raise InputError(f"v2g export: --{kind} {url} is not an address like http://127.0.0.1:8086")
    needed, allowed = STORE_KEYS[kind]
    given = {key: getattr(args, key) for key in OPTIONS if getattr(args, key) is not None}
    missing = [option(key) for key in needed if key != "url" and key not in given]
    foreign = [option(key) for key in given if key not in needed + allowed]
    if missing:
        raise InputError(f"v2g export: --{kind} needs {', '.join(missing)}")
    if foreign:
        raise InputError(f"v2g export: --{kind} takes no {', '.join(foreign)}")
    return StoreSite(kind=kind, url=url, **given)


def option(key: str) -> str:
    """token_file -> --token-file"""
    return f"--{key.replace('_', '-')}"


def show(for_program: bool, span: Span, where: str, counts: dict[str, int]) -> None:
    """What was done, on stdout."""
    if for_program:
        facts: dict[str, Any] = {"site": span.site, "kinds": span.kinds, "from_ms": span.from_ms, "to_ms": span.to_ms}
        print(json.dumps({"v": VERSION, **facts, "to": where, **counts}))
        return
    counted = ", ".join(f"{name}: {count}" for name, count in counts.items())
    print(f"{where}: {' and '.join(span.kinds)} of {span.site}: {counted}")
