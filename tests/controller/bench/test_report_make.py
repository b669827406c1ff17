"""From a run folder to the four files of its report, each read back by a reader that is not ours."""

from __future__ import annotations

import csv
import json
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import pytest

from controller.bench.folder import RunFolder
from controller.bench.judgementfile import write_judgement
from controller.bench.report.make import read_judged, write_csv, write_json, write_junit, write_report
from controller.build import build_id
from controller.errors import InputError
from tests.controller.bench.written_run import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written run as the bench's own writers leave it; its last case is killed before a reading."""
    path = tmp_path_factory.mktemp("bench") / "run"
    plan, records, judgements = run()
    made = RunFolder.create(path, plan, {"name": "virtual", "unit": "a unit of its own"})
    for case_id, record in records.items():
        with made.open_case(case_id) as writer:
            for row in record.samples.tolist():
                writer.sample(row)
            for event in record.events:
                writer.event(event)
    write_judgement(path / "judgement.json", judgements)
    return path


def test_the_page_shows_the_record_and_names_its_sources(folder: Path) -> None:
    path = write_report(read_judged(folder))
    text = path.read_text(encoding="utf-8")
    assert path == folder / "report.html"
    for words in (
        sha256((folder / "plan.json").read_bytes()).hexdigest(), build_id().partition("+")[2],
        sha256((folder / "judgement.json").read_bytes()).hexdigest(), "a unit of its own", "50.0 ms",
    ):  # fmt: skip
        assert words in text
    assert text.count('<figure class="over-time">') == 5


def test_making_it_again_changes_nothing(folder: Path) -> None:
    before = write_report(read_judged(folder)).read_bytes()
    assert write_report(read_judged(folder)).read_bytes() == before


def test_the_table(folder: Path) -> None:
    with write_csv(read_judged(folder)).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 34
    assert {r["case_verdict"] for r in rows} == {"pass", "fail", "invalid", "skipped"}


def test_the_json(folder: Path) -> None:
    answer = json.loads(write_json(read_judged(folder)).read_bytes())
    assert answer["run"]["rig"] == {"name": "virtual", "unit": "a unit of its own"}
    assert answer["counts"] == {"pass": 2, "fail": 2, "invalid": 1, "skipped": 1}


def test_the_junit_knows_how_long_each_case_was(folder: Path) -> None:
    """Seven steps of 20 s and 30 ms; a case that was not run lasted nothing."""
    root = ElementTree.parse(write_junit(read_judged(folder))).getroot()
    times = {c.attrib["name"]: float(c.attrib["time"]) for c in root.iter("testcase")}
    assert times["volt_var-char_1-100"] == pytest.approx(7 * 20.03)
    assert times["ride_through-lvrt"] == 0.0


def test_a_run_that_nobody_judged_says_the_next_step(tmp_path: Path) -> None:
    plan, _, _ = run()
    RunFolder.create(tmp_path / "run", plan, {})
    with pytest.raises(InputError, match="v2g bench judge"):
        write_report(read_judged(tmp_path / "run"))
