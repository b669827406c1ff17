"""Compute a journal again and demand equal bits."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from controller.build import build_id
from controller.journal import read_journal
from controller.progress import Progress
from controller.replay import Replay, replay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """JOURNAL [--json]"""
    parser.add_argument("journal", type=Path, help="a journal file (*.v2gj)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def summary(result: Replay) -> list[str]:
    """The result in lines for a person."""
    lines = list(result.notes)
    for run in result.runs:
        name = f"epoch {run.info.get('epoch')} (build {run.info.get('build')})"
        if run.difference:
            lines.append(f"{name}: different {run.difference}; {run.identical} steps identical")
        else:
            lines.append(f"{name}: identical over {run.identical} steps")
        if run.lost:
            lines.append(f"{name}: {run.lost} steps were lost before they were written")
        if run.adrift:
            lines.append(f"{name}: {run.adrift} steps cannot be computed: no state to start from before them")
    if not result.runs:
        lines.append("no run in this journal")
    return lines


def run(args: argparse.Namespace) -> int:
    """Exit 0 when every step is identical, 1 when not, 2 when the file cannot be read."""
    journal = read_journal(args.journal)
    with Progress("replay", sys.stderr) as progress:
        result = replay(journal, progress=progress)
    if args.json:
        runs = [
            {"epoch": r.info.get("epoch"), "build": r.info.get("build"), "identical": r.identical, "lost": r.lost,
             "adrift": r.adrift, "difference": r.difference}
            for r in result.runs
        ]  # fmt: skip
        answer = {"v": 1, "identical": result.identical, "build": build_id(), "notes": result.notes, "runs": runs}
        print(json.dumps(answer))
    else:
        print("\n".join(summary(result)))
        print("identical" if result.identical else "NOT identical")
    return 0 if result.identical else 1
