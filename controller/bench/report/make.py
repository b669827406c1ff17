"""Run folder -> report.html, results.csv, results.json, junit.xml beside the record: the only module here with files.

The judgement is read, not made: what the report says is what judgement.json says.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from controller.bench.folder import RunFolder, read_events
from controller.bench.judgement import CaseJudgement
from controller.bench.judgementfile import read_judgement
from controller.bench.plan import Plan
from controller.bench.record import CaseRecord
from controller.bench.report.junit import as_junit
from controller.bench.report.page import page
from controller.bench.report.results import as_csv, as_json
from controller.build import about
from controller.errors import InputError
from controller.wholefile import write_whole


def silent(_done: int, _total: int) -> None:
    """Nobody wants to know."""


class Judged(NamedTuple):
    """A run that was judged, read once for all that is made of it."""

    run: RunFolder
    plan: Plan
    judgements: tuple[CaseJudgement, ...]

    @property
    def folder(self) -> Path:
        return self.run.path


def read_judged(folder: Path) -> Judged:
    """InputError: no run, none that was judged, or a record that is another one since."""
    run = RunFolder(folder)
    judgements = read_judgement(folder / "judgement.json")
    for judged in judgements:
        if judged.record not in (None, run.digest(judged.id)):
            raise InputError(f"{run.case(judged.id)}: not the record that was judged: `v2g bench judge {folder}` first")
    return Judged(run, run.plan(), judgements)


def write_report(of: Judged, told: Callable[[int, int], None] = silent) -> Path:
    """report.html; its path. told: (cases drawn, of how many)."""
    count = itertools.count()

    def record(case_id: str) -> CaseRecord | None:
        told(next(count), len(of.plan.cases))
        return of.run.record(case_id)

    return _put(of.folder / "report.html", page(of.plan, of.run.rig(), record, of.judgements, made_of(of.folder)))


def write_csv(of: Judged) -> Path:
    """results.csv; its path."""
    return _put(of.folder / "results.csv", as_csv(of.plan, of.judgements))


def write_json(of: Judged) -> Path:
    """results.json; its path."""
    facts: dict[str, Any] = {"rig": of.run.rig(), "made": made_of(of.folder)}
    return _put(of.folder / "results.json", as_json(of.plan, of.judgements, facts))


def write_junit(of: Judged) -> Path:
    """junit.xml; its path."""
    lasted = {case.id: lasted_s(of.run, case.id) for case in of.plan.cases}
    return _put(of.folder / "junit.xml", as_junit(of.plan, of.judgements, lasted))


def made_of(folder: Path) -> dict[str, str]:
    """What the report rests on: the files' own digests, the program that wrote it."""
    files = ("plan.json", "judgement.json")
    digests = {f"{name} (SHA-256)": sha256((folder / name).read_bytes()).hexdigest() for name in files}
    return digests | {"Report made by": f"v2g {about()}"}


def lasted_s(run: RunFolder, case_id: str) -> float:
    """From the case's first to its last event, by the bench's clock; 0: it was not begun."""
    path = run.case(case_id) / "events.jsonl"
    times_ns = [e.t_ns for e in read_events(path)] if path.is_file() else []
    return (times_ns[-1] - times_ns[0]) / 1e9 if times_ns else 0.0


def _put(path: Path, text: str) -> Path:
    write_whole(path, text)
    return path
