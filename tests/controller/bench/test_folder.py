"""The run folder: what is written is read, and a bench killed in the middle of a line leaves what it measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from controller.bench.folder import RunFolder
from controller.bench.record import Event
from controller.errors import InputError
from tests.controller.bench.plans import OFF, at, case, plan, step

NAN = float("nan")
ROWS = [
    (1_000_000_001, 240.01, NAN, NAN, 60.0, 5000.0, -1.0, NAN, 240.0, NAN, NAN, 60.0),
    (1_050_000_001, 0.1 + 0.2, NAN, NAN, 59.999, -5000.0, 1.0, NAN, 240.0, NAN, NAN, NAN),
]
EVENTS = [
    Event(1, "case", {"id": "c"}),
    Event(2, "settings", {"wanted": {"volt_var.v1_pu": 0.92}, "read": {"volt_var.v1_pu": 0.92}}),
    Event(3, "done", {}),
]


def run_folder(path: Path) -> RunFolder:
    return RunFolder.create(path / "run", plan(case("c", OFF, 0.0, step("s", at(), 1.0))), {"name": "virtual"})


def written(path: Path) -> RunFolder:
    folder = run_folder(path)
    with folder.open_case("c") as writer:
        writer.event(EVENTS[0])
        writer.event(EVENTS[1])
        for row in ROWS:
            writer.sample(row)
        writer.event(EVENTS[2])
    return folder


def test_a_record_comes_back_bit_by_bit(tmp_path: Path) -> None:
    folder = written(tmp_path)
    record = folder.record("c")
    assert record is not None
    np.testing.assert_array_equal(np.array([tuple(row) for row in record.samples.tolist()]), np.array(ROWS))
    assert record.events == tuple(EVENTS)
    assert folder.done("c")
    assert folder.rig() == {"name": "virtual"}
    assert folder.plan() == plan(case("c", OFF, 0.0, step("s", at(), 1.0)))


def test_a_case_that_was_never_begun_has_no_record(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    assert folder.record("c") is None
    assert not folder.done("c")


# fmt: off
TORN = [
    # file            bytes cut off   rows, events, done   why
    ("samples.csv",   5,              1,    3,      True,  "half a sample is none"),
    ("samples.csv",   10_000,         0,    3,      True,  "not even the header"),
    ("events.jsonl",  1,              2,    2,      False, "`done` without its line end is not done"),
    ("events.jsonl",  30,             2,    2,      False, "half an event is none"),
]
# fmt: on


@pytest.mark.parametrize(("name", "cut", "rows", "events", "done", "why"), TORN, ids=[t[-1] for t in TORN])
def test_torn_files(name: str, cut: int, rows: int, events: int, done: bool, why: str, tmp_path: Path) -> None:
    folder = written(tmp_path)
    file = folder.case("c") / name
    file.write_bytes(file.read_bytes()[:-cut])
    record = folder.record("c")
    assert record is not None, why
    assert (len(record.samples), len(record.events), folder.done("c")) == (rows, events, done)


def test_samples_are_in_the_file_before_the_event_that_follows_them(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    with folder.open_case("c") as writer:
        writer.sample(ROWS[0])
        writer.event(EVENTS[0])
        record = folder.record("c")  # the writer is still at work
        assert record is not None
        assert (len(record.samples), len(record.events)) == (1, 1)


def test_rig_trouble_is_not_done(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    with folder.open_case("c") as writer:
        writer.event(Event(1, "rig", {"text": "the meter is silent"}))
    assert not folder.done("c")


def test_a_case_that_is_run_again_begins_empty(tmp_path: Path) -> None:
    folder = written(tmp_path)
    with folder.open_case("c") as writer:
        writer.event(EVENTS[0])
    record = folder.record("c")
    assert record is not None
    assert (len(record.samples), record.events) == (0, (EVENTS[0],))


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(InputError, match="is there already"):
        run_folder(tmp_path)
    with pytest.raises(InputError, match=r"plan\.json is missing"):
        RunFolder(tmp_path)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder.case("c") / "samples.csv").write_text("t_ns,v_v\n1,2\n")
    with pytest.raises(InputError, match=r"samples\.csv:1: the columns are t_ns,v_v"):
        folder.record("c")


# fmt: off
SPOILED = [
    # file            line appended                                        where and what
    ("samples.csv",   b"1,2,x",                                            ":4: no sample of a bench"),
    ("samples.csv",   b"# a remark",                                       ":4: no sample of a bench"),
    ("samples.csv",   b"\0" * 40,                                          ":4: no sample of a bench"),
    ("samples.csv",   b"1.5" + b",0" * 11,                                 ":4: no sample of a bench"),
    ("events.jsonl",  b"garbage",                                          ":4: no event of a bench"),
    ("events.jsonl",  b"[1]",                                              ":4: no event of a bench"),
    ("events.jsonl",  b'{"t_ns": 1, "kind": "guess", "data": {}}',         ":4: no event of a bench"),
    ("events.jsonl",  b'{"t_ns": 1, "kind": "step", "data": {}}',          ":4: no event of a bench"),
    ("events.jsonl",  b'{"t_ns": 1, "kind": "settings", "data": {}}',      ":4: no event of a bench"),
    ("events.jsonl",  b'{"t_ns": Infinity, "kind": "done", "data": {}}',   ":4: no event of a bench"),
    ("events.jsonl",  b'{"t_ns": 1, "kind": "settings", "data": {"wanted": {"a.b": []}, "read": {}}}', ":4: no event"),
    ("events.jsonl",  b'{"t_ns": 1, "kind": "settings", "data": {"wanted": 7, "read": {}}}', ":4: no event"),
    ("events.jsonl",  b'{"t_ns": 1, "kind": "arrived", "data": {"name": "s", "sent_ns": "x"}}', ":4: no event"),
    ("events.jsonl",  b"\xff\xfe",                                         ":4: no event of a bench"),
]
# fmt: on


@pytest.mark.parametrize(("name", "line", "told"), SPOILED, ids=[f"{s[0]} {s[1][:20]!r}" for s in SPOILED])
def test_a_spoiled_record_is_one_clear_line(name: str, line: bytes, told: str, tmp_path: Path) -> None:
    folder = written(tmp_path)
    file = folder.case("c") / name
    file.write_bytes(file.read_bytes() + line + b"\n")
    with pytest.raises(InputError) as error:
        folder.record("c")
    assert str(error.value).startswith(f"{file}{told}")
    assert "\n" not in str(error.value)
    assert not folder.done("c"), "resume makes it anew"


@pytest.mark.parametrize("text", ["", "x", "[1]", "7"])
def test_a_spoiled_rig_is_one_clear_line(text: str, tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder.path / "rig.json").write_text(text)
    with pytest.raises(InputError, match=r"rig\.json: is no JSON object"):
        folder.rig()
