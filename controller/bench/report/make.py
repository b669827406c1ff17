"""Run folder -> report.html, results.csv, results.json, junit.xml beside the record: the only module here with files.

The judgement is read, not made: what the report says is what judgement.json says.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from controller.bench.folder import RunFolder, read_events
from controller.bench.judgement import CaseJudgement
from controller.bench.judgementfile import read_judgement
from controller.bench.report.junit import as_junit
from controller.bench.report.page import page
from controller.bench.report.results import as_csv, as_json
from controller.build import about
from controller.wholefile import write_whole


def write_report(folder: Path) -> Path:
    """report.html; its path. InputError: no run, or none that was judged."""
    run, judgements = _read(folder)
    html = page(run.plan(), run.rig(), run.record, judgements, made_of(folder))
    return _put(folder / "report.html", html)


def write_csv(folder: Path) -> Path:
    """results.csv; its path."""
    run, judgements = _read(folder)
    return _put(folder / "results.csv", as_csv(run.plan(), judgements))


def write_json(folder: Path) -> Path:
    """results.json; its path."""
    run, judgements = _read(folder)
    facts: dict[str, Any] = {"rig": run.rig(), "made": made_of(folder)}
    return _put(folder / "results.json", as_json(run.plan(), judgements, facts))


def write_junit(folder: Path) -> Path:
    """junit.xml; its path."""
    run, judgements = _read(folder)
    plan = run.plan()
    return _put(folder / "junit.xml", as_junit(plan, judgements, {c.id: lasted_s(run, c.id) for c in plan.cases}))


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


def _read(folder: Path) -> tuple[RunFolder, tuple[CaseJudgement, ...]]:
    return RunFolder(folder), read_judgement(folder / "judgement.json")


def _put(path: Path, text: str) -> Path:
    write_whole(path, text)
    return path
