"""Has a site's record been changed? Names the first broken link, and up to where it holds.

Settings, events and the hourly digests of the journal, each line chained to the one before. Exit code 1: it is broken.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from controller.site import load_site
from controller.verify import Verdict, utc, verify_record

EXIT_OK, EXIT_FAIL = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", type=Path, help="site file, or the name of one")
    parser.add_argument("--anchor", metavar="HASH", help="record_hash of a `sealed` event, as the store has it")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON")


def run(args: argparse.Namespace) -> int:
    verdict = verify_record(load_site(args.site).state_dir, args.anchor)
    print(json.dumps(as_json(verdict)) if args.json else "\n".join(page(verdict)))
    return EXIT_FAIL if verdict.breaks else EXIT_OK


def as_json(verdict: Verdict) -> dict[str, object]:
    newest = verdict.newest
    return {"v": 1, "holds": not verdict.breaks, "breaks": verdict.breaks, "lines": verdict.lines,
            "n": newest and newest.n, "t_ms": newest and newest.t_ms, "hash": newest and newest.hash,
            "sealed_bytes": verdict.sealed_bytes, "unsealed_bytes": verdict.unsealed_bytes,
            "anchored": verdict.anchored}  # fmt: skip


def page(verdict: Verdict) -> Iterator[str]:
    """For people."""
    for one in verdict.breaks:
        yield f"BROKEN {one}"
    yield f"the record {verdict.holds}"
    if verdict.oldest is not None:
        yield f"{verdict.lines} lines since {utc(verdict.oldest.t_ms)}, n = {verdict.oldest.n}"
    yield f"journal: {verdict.sealed_bytes} bytes under seal, {verdict.unsealed_bytes} newer ones not yet"
    if verdict.removed:
        yield f"its files {', '.join(map(str, sorted(verdict.removed)))} have been removed by the size limit"
    if verdict.anchored is None:
        yield "compare a hash that has left this machine: --anchor HASH, the record_hash of a `sealed` event"
    elif verdict.anchored:
        yield "the given hash is in it: nothing before that line has been changed"
