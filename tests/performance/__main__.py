"""Measure what must be quick and judge it: python -m tests.performance [--only NAME] [--quick]

--json FILE, --plots FOLDER, --markdown FILE: the same for a program, for the eye, for a document.
Exit 0 every gate holds, 1 one is missed, outputs differ or (with CI=true) a contestant is not installed, 2 your input.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.need import ON_CI
from tests.performance.facts import facts, stolen
from tests.performance.harness import HarnessError, Row, Verdict, failed
from tests.performance.run import pinned, run, titles
from tests.performance.table import as_json, markdown, put_between, table

EXIT_OK, EXIT_MISSED, EXIT_USER = 0, 1, 2


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.performance", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="this measurement; may be given again")
    parser.add_argument("--quick", action="store_true", help="90 s at most: shorter slices, the same gates")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw each comparison there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table into this document")
    parser.add_argument("--list", action="store_true", help="name the measurements and end")
    return parser


def measured(names: list[str], quick: bool) -> tuple[list[Row], dict[str, Any]]:
    """All rows, and the CPU they were measured on. Says what is being done: this may take some minutes."""
    rows: list[Row] = []
    with pinned() as cpu, stolen(cpu) as where:
        print(f"measuring {', '.join(names)} on CPU {cpu}{', quick' if quick else ''}", file=sys.stderr, flush=True)
        for row in run(names, quick):
            print(f"  {row.measurement}: {row.gate.over} / {row.gate.under}: {row.verdict.value}", file=sys.stderr)
            rows.append(row)
    return rows, {"cpu": cpu, **where}


def writable(args: argparse.Namespace) -> None:
    """Told now, not after minutes of measuring. Raises OSError, ValueError."""
    if args.json:
        args.json.touch()
    if args.plots:
        args.plots.mkdir(parents=True, exist_ok=True)
    if args.markdown:
        put_between(args.markdown.read_text(), "")


def main(argv: list[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    known = titles()
    if args.list:
        print("\n".join(f"{name:<20} {title}" for name, title in known.items()))
        return EXIT_OK
    names = args.only or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"tests.performance: no measurement '{unknown[0]}'; known: {', '.join(known)}", file=sys.stderr)
        return EXIT_USER
    try:
        writable(args)
    except OSError as error:
        print(f"tests.performance: {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_USER
    except ValueError as error:
        print(f"tests.performance: {args.markdown}: {error}", file=sys.stderr)
        return EXIT_USER
    of_run = facts(sys.argv[1:] if argv is None else argv, args.quick)
    try:
        rows, where = measured(names, args.quick)
    except HarnessError as error:
        print(f"tests.performance: {error}", file=sys.stderr)
        return EXIT_MISSED
    report(args, rows, {**of_run, **where})
    absent = sum(row.verdict is Verdict.ABSENT for row in rows)
    if absent:
        print(f"{absent} of {len(rows)} gates NOT RUN{': a failure here (CI=true)' if ON_CI else ''}", file=sys.stderr)
    return EXIT_MISSED if any(failed(row, ON_CI) for row in rows) else EXIT_OK


def report(args: argparse.Namespace, rows: list[Row], of_run: dict[str, Any]) -> None:
    print(table(rows))
    if args.json:
        text = json.dumps(as_json(rows, **of_run), indent=1)
        args.json.write_text(text + "\n")
    if args.plots:
        from tests.performance.plots import draw  # matplotlib: only who wants plots needs it

        draw(rows, args.plots)
    if args.markdown:
        args.markdown.write_text(put_between(args.markdown.read_text(), markdown(rows, of_run)))


if __name__ == "__main__":
    sys.exit(main())
