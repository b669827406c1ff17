"""`make conformance`: every shipped procedure on every unit of units.py, in virtual time, and the table of verdicts.

python -m tests.conformance [--write] [--keep FOLDER]    --write: renew docs/conformance.md; else it must say the same
Exit 0 every case passes or is skipped and the page is right, 1 otherwise.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from controller.bench.folder import RunFolder
from controller.bench.judgement import CaseJudgement, Verdict
from controller.bench.judgementfile import read_judgement
from controller.bench.plan import Eut
from controller.bench.procedurefile import load_all, names
from tests.conformance.units import UNITS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
MARK = "<!-- written by make conformance -->"
Verdicts = Mapping[str, Sequence[CaseJudgement]]  # procedure: its cases


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the runs and their reports")
    args = parser.parse_args(words)
    with TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = {name: run(name, eut, folder) for name, eut in UNITS.items()}
    text = page(found)
    if args.write:
        PAGE.write_text(PAGE.read_text().partition(MARK)[0] + text)
    wrong = [j for of in found.values() for judged in of.values() for j in judged if j.verdict in WRONG]
    for judgement in wrong:
        print(f"{judgement.verdict}: {judgement.id}: {first_reason(judgement)}")
    same = MARK + PAGE.read_text().partition(MARK)[2] == text
    print(f"conformance: {sum(len(j) for of in found.values() for j in of.values())} cases, {len(wrong)} wrong"
          + ("" if same else "; docs/conformance.md says otherwise: make conformance ARGS=--write"))  # fmt: skip
    return int(bool(wrong) or not same)


WRONG = (Verdict.FAIL, Verdict.INVALID)


def run(name: str, eut: Eut, folder: Path) -> Verdicts:
    """One unit through the product's own command."""
    file, out = folder / f"{name}.yaml", folder / name
    file.write_text(yaml.safe_dump({"eut": asdict(eut)}, sort_keys=False))
    command = [sys.executable, "-m", "controller.cli", "bench", "run", "--eut", str(file), "--out", str(out)]
    print(f"conformance: {name}", file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    if not (out / "judgement.json").exists():
        raise SystemExit(f"conformance: {' '.join(command)} ended with {done.returncode}")
    procedure_of = {case.id: case.procedure for case in RunFolder(out).plan().cases}
    found: dict[str, list[CaseJudgement]] = {}
    for judgement in read_judgement(out / "judgement.json"):
        found.setdefault(procedure_of[judgement.id], []).append(judgement)
    return found


def first_reason(judgement: CaseJudgement) -> str:
    failed = [f"step {c.step}: {c.reason}" for c in judgement.checks if c.verdict is Verdict.FAIL]
    return [*judgement.reasons, *failed][0]


def digest() -> str:
    """Of the procedures and the units: the page was made of these."""
    files = sorted(path for path in names().values())
    files += [files[0].parent / "common.yaml", ROOT / "config" / "accuracy.yaml"]
    text = "".join(path.read_text() for path in files) + repr(sorted(UNITS.items()))
    return sha256(text.encode()).hexdigest()[:16]


def page(found: Mapping[str, Verdicts]) -> str:
    """The part of docs/conformance.md below MARK."""
    head = ["procedure", "clause", *found]
    rows = [head, ["---"] * len(head)]
    for procedure in load_all():
        cells = [cell(of.get(procedure.name, ())) for of in found.values()]
        rows.append([f"`{procedure.name}`", procedure.clause, *cells])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    skipped = [
        f"* {name}: {why}: {', '.join(f'`{case}`' for case in cases)}"
        for name, of in found.items()
        for why, cases in reasons(of).items()
    ]
    return "\n".join(
        [MARK, "", f"Procedures and units: {digest()}.", "", *lines, "", "Skipped, and why:", "", *skipped, ""]
    )


def cell(judged: Sequence[CaseJudgement]) -> str:
    """2 pass, 1 skipped; "-": the procedure is not for this unit."""
    counts = Counter(j.verdict for j in judged)
    return ", ".join(f"{counts[v]} {v}" for v in Verdict if counts[v]) or "-"


def reasons(of: Verdicts) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for judged in of.values():
        for judgement in judged:
            if judgement.verdict is Verdict.SKIPPED:
                found.setdefault(judgement.reasons[0], []).append(judgement.id)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
