"""Make the report of a journal: plots, numbers, verdict.

With --day: a page for each grid event of a day, and one for the quality of its data.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

from controller.errors import InputError
from controller.progress import Progress
from controller.report.make import Judged, as_json, judge_journal, write

YAML = (".yaml", ".yml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """JOURNAL [--out FILE] [--store FILE] [--epoch N] [--json], or --day YYYY-MM-DD SITE|JOURNAL [--out DIR]"""
    parser.add_argument("journal", type=Path, help="a journal file (*.v2gj); with --day also a site")
    parser.add_argument("--day", type=date.fromisoformat, metavar="YYYY-MM-DD", help="pages of one day (UTC)")
    parser.add_argument(
        "--out", type=Path, help="the page to write, of a day the folder; default: report.html, report-DAY beside it"
    )
    parser.add_argument("--store", type=Path, help="SQLite store with the live frames; default: beside the journal")
    parser.add_argument("--epoch", type=int, help="which run of the journal; default: the last one")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def lines(judged: Judged) -> list[str]:
    """The verdict for a terminal: each check with value and limit; the reason only where something is wrong."""
    from controller.report.template import number, result, state

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
    return run_day(args) if args.day else run_one(args)


def run_one(args: argparse.Namespace) -> int:
    """One run of one journal."""
    if args.journal.suffix in YAML:
        raise InputError(f"{args.journal}: a site needs --day YYYY-MM-DD; without it name a journal (*.v2gj)")
    store = args.store or beside(args.journal)
    out = args.out or args.journal.with_name("report.html")
    with Progress("report", sys.stderr) as progress:
        judged = judge_journal(args.journal, store, args.epoch, progress)
    write(judged, out)
    if args.json:
        print(json.dumps(as_json(judged, out)))
    else:
        print("\n".join([*lines(judged), f"report: {out}"]))
    return 0 if judged.verdict.passed else 1


def beside(journal: Path) -> Path | None:
    """The store that a controller without a server keeps."""
    store = journal.parent / "telemetry.sqlite"
    return store if store.exists() else None


def run_day(args: argparse.Namespace) -> int:
    """Every grid event of a day."""
    from controller.report.daily.make import Sources, journals_beside, make_day

    if args.epoch is not None:
        raise InputError("--epoch chooses one run; --day takes all runs of the day: leave one of them out")
    journal, site, store = args.journal, "", args.store
    if journal.suffix != ".v2gj":
        from controller.site import load_site

        chosen = load_site(journal)
        journal, site = chosen.state_dir / "journal.v2gj", chosen.name
        kept = chosen.telemetry.store
        store = store or (kept.sqlite_path if kept and kept.sqlite_path and kept.sqlite_path.exists() else None)
    sources = Sources(journals_beside(journal), store or beside(journal), site)
    out = args.out or journal.with_name(f"report-{args.day}")
    with Progress("report", sys.stderr) as progress:
        found = make_day(sources, args.day, out, progress)
    print(json.dumps(found) if args.json else "\n".join(day_lines(found)))
    return 1 if any(event["verdict"] == "fail" for event in found["events"]) else 0


def day_lines(found: dict[str, Any]) -> list[str]:
    """A day for a terminal."""
    words = [event["verdict"] for event in found["events"]]
    quality = found["quality"]
    counts = ", ".join(f"{words.count(w)} {w}" for w in ("pass", "fail", "not judged"))
    rows = [
        f"{len(words)} grid events of {found['day']} at {found['site']}: {counts}",
        f"data: {quality['word']}, {100 * quality['recorded_s'] / 86400:.2f} % of the day recorded, "
        f"{len(quality['gaps'])} gaps, {quality['skipped']} grid points skipped",
    ]
    for r in quality["registers"]:
        word = "as expected" if r["as_expected"] else "LOOK"
        rows.append(
            f"{r['direction']}: steps {r['steps_wh']:.0f} Wh, register {r['register_wh']:.0f} Wh, difference "
            f"{r['difference_wh']:+.0f} Wh (expected within {r['expected_wh']:.0f} Wh): {word}"
        )
    return [*rows, *found["notes"], f"replay: {found['replay']}", f"report: {found['index']}"]
