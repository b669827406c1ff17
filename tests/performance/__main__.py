"""Measure what must be quick and judge it: python -m tests.performance [--only NAME] [--quick] [--json FILE] [--list]

Exit 0 every gate holds, 1 one is missed, outputs differ or (with CI=true) a contestant is not installed, 2 your input.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.need import ON_CI
from tests.performance.harness import ROUNDS, HarnessError, Row, Verdict, failed
from tests.performance.run import pinned, run, titles
from tests.performance.table import as_json, table

EXIT_OK, EXIT_MISSED, EXIT_USER = 0, 1, 2


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.performance", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="this measurement; may be given again")
    parser.add_argument("--quick", action="store_true", help="a few seconds: shorter slices, the same gates")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--list", action="store_true", help="name the measurements and end")
    return parser


def measured(names: list[str], quick: bool) -> tuple[list[Row], int]:
    """All rows, and the CPU they were measured on. Says what is being done: this may take a minute."""
    rows: list[Row] = []
    with pinned() as cpu:
        print(f"measuring {', '.join(names)} on CPU {cpu}{', quick' if quick else ''}", file=sys.stderr, flush=True)
        for row in run(names, quick):
            print(f"  {row.measurement}: {row.gate.over} / {row.gate.under}: {row.verdict.value}", file=sys.stderr)
            rows.append(row)
    return rows, cpu


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
        if args.json:
            args.json.touch()  # told now, not after a minute of measuring
    except OSError as error:
        print(f"tests.performance: --json {args.json}: {error.strerror}", file=sys.stderr)
        return EXIT_USER
    try:
        rows, cpu = measured(names, args.quick)
    except HarnessError as error:
        print(f"tests.performance: {error}", file=sys.stderr)
        return EXIT_MISSED
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps(as_json(rows, quick=args.quick, rounds=ROUNDS, cpu=cpu), indent=1) + "\n")
    absent = sum(row.verdict is Verdict.ABSENT for row in rows)
    if absent:
        print(f"{absent} of {len(rows)} gates NOT RUN{': a failure here (CI=true)' if ON_CI else ''}", file=sys.stderr)
    return EXIT_MISSED if any(failed(row, ON_CI) for row in rows) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
