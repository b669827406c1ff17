"""`v2g export`: what a SQLite store holds, as CSV. Into servers: tests/system/test_stores.py."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.cli import main
from controller.telemetry import export
from controller.telemetry.broker import free_port
from controller.telemetry.sqlitestore import SqliteStore
from controller.telemetry.wire import Arrival
from tests.controller.telemetry.makers import WALL_MS, event, live
from tests.controller.telemetry.test_command import SITE

WALL = "2023-11-14T22:13:20"  # date -u -d @1700000000


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with 10 frames in two runs and one event in its store."""
    (tmp_path / "site.yaml").write_text(SITE.format(folder=tmp_path, more=""))
    drafts = [live(i) for i in range(10)]
    rows = [Arrival("home", "live", 7 + i // 5, d.t_ms, "live", "ab", i, WALL_MS, d.body) for i, d in enumerate(drafts)]
    rows[3] = replace(rows[3], body={**rows[3].body, "f_hz": {"newest": 49.9, "min": 49.5}, "note": 'a "b",\nü'})
    store = SqliteStore(tmp_path / "state" / "telemetry.sqlite")
    store.write([*reversed(rows), Arrival("home", "event", 7, WALL_MS, "start", "ab", 99, WALL_MS, event(0).body)])
    store.close()
    return tmp_path / "site.yaml"


def test_frames_in_order_of_time_columns_by_their_names_in_a_server(site: Path) -> None:
    out = site.parent / "out.csv"
    assert main(["export", str(site), "--csv", str(out)]) == 0
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["time_utc", "t_ms", "epoch", "start_mode", "f_hz", "f_hz_min", "note"]
    assert [row["t_ms"] for row in rows] == [str(WALL_MS + 1000 * i) for i in range(10)]
    assert [row["epoch"] for row in rows] == ["7"] * 5 + ["8"] * 5
    assert rows[0]["time_utc"] == f"{WALL}.000Z"
    assert (rows[3]["f_hz"], rows[3]["f_hz_min"], rows[3]["note"]) == ("49.9", "49.5", 'a "b",\nü')
    assert rows[4]["f_hz_min"] == ""  # absent is empty, never 0
    assert not list(site.parent.glob("*.part"))


def test_events_have_a_column_for_their_name(site: Path) -> None:
    out = site.parent / "out.csv"
    assert main(["export", str(site), "--kind", "event", "--csv", str(out)]) == 0
    assert out.read_text() == f"time_utc,t_ms,epoch,start_mode,event,n\n{WALL}.000Z,{WALL_MS},7,demo,start,0\n"


# fmt: off
SPANS = [
    # from                             to                           rows  why
    (None,                             None,                        10,   "everything"),
    ("2023-11-14T22:13:22",            None,                        8,    "the first moment is taken"),
    (None,                             "2023-11-14T22:13:22",       2,    "the last is not"),
    ("2023-11-14T23:13:22+01:00",      "2023-11-14T22:13:25Z",      3,    "offsets"),
    ("2023-11-15",                     None,                        0,    "a day alone begins at midnight UTC"),
]
# fmt: on


@pytest.mark.parametrize(("begin", "end", "count", "why"), SPANS, ids=[c[-1] for c in SPANS])
def test_a_span_of_time(
    site: Path, capsys: pytest.CaptureFixture[str], begin: str | None, end: str | None, count: int, why: str
) -> None:
    span = (["--from", begin] if begin else []) + (["--to", end] if end else [])
    assert main(["export", str(site), *span, "--csv", str(site.parent / "out.csv"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["site"], said["kinds"]) == (count, "home", ["live"]), why


def newer(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 9")


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE other (x)")


# fmt: off
NO_STORES = [
    # what was done to it   says
    (newer,                 "schema 9 is newer than 1, the newest this program reads"),
    (torn,                  "is no store of live frames: database disk image is malformed"),
    (foreign,               "is no store of live frames: no such table: points"),
]
# fmt: on


@pytest.mark.parametrize(("spoil", "text"), NO_STORES, ids=[c[0].__name__ for c in NO_STORES])
def test_a_file_that_cannot_be_read_is_said(
    site: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], text: str
) -> None:
    store = site.parent / "state" / "telemetry.sqlite"
    spoil(store)
    assert main(["export", str(site), "--csv", str(site.parent / "out.csv")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"{store}: {text}"
    assert [path.name for path in site.parent.glob("out.csv*")] == []


# fmt: off
MISTAKES = [
    (["--csv", "x", "--from", "yesterday"],           "--from yesterday is not a time such as 2026-11-05"),
    (["--csv", "x", "--from", "2024-01-02", "--to", "2024-01-01"], "--from 2024-01-02 is not before --to 2024-01-01"),
    (["--influx", "http://h"],                        "--influx needs --org, --bucket, --token-file"),
    (["--influx1", "http://h"],                       "--influx1 needs --database"),
    (["--victoriametrics", "h:8428"],                 "--victoriametrics h:8428 is not an address like http://"),
    (["--victoriametrics", "http://h", "--org", "o"], "--victoriametrics takes no --org"),
    (["--victoriametrics", "http://h", "--token-file", "/absent"], "/absent: the store's token cannot be read"),
]
# fmt: on


@pytest.mark.parametrize(("options", "text"), MISTAKES, ids=[c[1][:40] for c in MISTAKES])
def test_a_mistake_is_one_line(site: Path, capsys: pytest.CaptureFixture[str], options: list[str], text: str) -> None:
    assert main(["export", str(site), *options]) == 2
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == 1


def test_a_server_that_is_away_is_one_line(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, recwarn: Any
) -> None:
    monkeypatch.setattr(export, "TRIES", 1)
    assert main(["export", str(site), "--victoriametrics", f"http://127.0.0.1:{free_port()}"]) == 2
    said = capsys.readouterr().err
    assert "no answer" in said
    assert "0 rows are stored; repeat it later, that doubles nothing" in said
    assert said.count("\n") == 1
    assert not list(recwarn)


def test_no_store_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.yaml").write_text(SITE.format(folder=tmp_path, more=""))
    assert main(["export", str(tmp_path / "site.yaml"), "--csv", str(tmp_path / "out.csv")]) == 2
    assert "telemetry.sqlite: there is no store yet" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
