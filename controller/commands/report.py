"""Make the report of a journal: plots, numbers, verdict."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from controller.progress import Progress
from controller.report.make import Judged, as_json, judge_journal, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """JOURNAL [--out FILE] [--store FILE] [--epoch N] [--json]"""
    parser.add_argument("journal", type=Path, help="a journal file (*.v2gj)")
    parser.add_argument("--out", type=Path, help="the page to write; default: report.html beside the journal")
    parser.add_argument("--store", type=Path, help="SQLite store with the live frames; default: beside the journal")
    parser.add_argument("--epoch", type=int, help="which run of the journal; default: the last one")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def lines(judged: Judged) -> list[str]:
    """The verdict for a terminal: each check with value and limit; the reason only where something is wrong."""
    from controller.report.page import number, result, state

    rows = []
    for check in judged.verdict.checks:
        word = state(check)
        limit = f" (limit {number(check.limit, check.unit)})" if check.passed is not None else ""
        why = f": {check.reason}" if word in ("fail", "not judged") else ""
        rows.append(f"  {word.upper() if word == 'fail' else word:<10} {check.name} {result(check)}{limit}{why}")
    unverified = judged.run.info.get("unverified")
    rows += [f"UNVERIFIED PROFILE {unverified}"] if unverified else []
    return [*rows, f"replay: {judged.replay_line}", f"verdict: {'pass' if judged.verdict.passed else 'FAIL'}"]


def run(args: argparse.Namespace) -> int:
    """Exit 0 pass, 1 fail, 2 when the journal cannot be read."""
    beside = args.journal.parent / "telemetry.sqlite"
    store = args.store or (beside if beside.exists() else None)
    out = args.out or args.journal.with_name("report.html")
    with Progress("report", sys.stderr) as progress:
        judged = judge_journal(args.journal, store, args.epoch, progress)
    write(judged, out)
    if args.json:
        print(json.dumps(as_json(judged, out)))
    else:
        print("\n".join([*lines(judged), f"report: {out}"]))
    return 0 if judged.verdict.passed else 1
