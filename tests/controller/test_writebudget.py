"""The write budget over a restart: what the next run takes as spent, from whatever the one before has left."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from controller import budgetfile
from controller.budgetfile import Keeper
from controller.writebudget import Moment, spent_before

S = 1_000_000_000
HOUR_S = 3600
WALL_S = 1_700_000_000
NOW_NS = 100 * S  # the host was started a moment ago: the day began before its clock
BUDGET = 100


def moment(synchronized: bool = True, wall_s: float = WALL_S) -> Moment:
    return Moment(NOW_NS, wall_s, synchronized, "this boot")


def kept(hours_ago: float, spent: int = 37, version: int = 1) -> str:
    return json.dumps({"v": version, "spent": spent, "day_began_s": WALL_S - round(hours_ago * HOUR_S)})


def left(boot: str = "this boot", spent: int = 41, seconds_ago: float = 60.0, budget: int = BUDGET) -> str:
    """What a core has told of its buses."""
    inverter = {"spent": spent, "t_day_ns": NOW_NS - round(seconds_ago * S), "budget": budget}
    return json.dumps({"v": 1, "boot_id": boot, "meter": {}, "inverter": inverter})


# fmt: off
LEFT = [
    # counters of the run before, file           synchronized  spent  day began  why
    (None,                       None,           True,         0,     None,      "the first start ever"),
    (None,                       kept(2.0),      True,         37,    -7200.0,   "two hours of the day are gone"),
    (None,                       kept(23.9),     True,         37,    -86040.0,  "the day is nearly over"),
    (None,                       kept(24.0),     True,         0,     None,      "the day is over"),
    (None,                       kept(24.0),     False,        37,    0.0,       "is it? nobody keeps the clock right"),
    (None,                       kept(-3.0),     True,         37,    0.0,       "the clock went backwards"),
    (None,                       kept(2.0, 0),   True,         0,     None,      "nothing was sent"),
    (left(),                     kept(2.0),      True,         41,    -60.0,     "a moment ago: the exact count"),
    (left(),                     None,           True,         41,    -60.0,     "killed before the file was written"),
    (left(),                     "rubbish",      True,         41,    -60.0,     "the file is not needed"),
    (left("another boot"),       kept(2.0),      True,         37,    -7200.0,   "times of another boot mean nothing"),
    (left(budget=0),             kept(2.0),      True,         37,    -7200.0,   "that inverter had no budget"),
    (left(seconds_ago=86400.0),  kept(2.0),      True,         0,     None,      "the newer one says: the day is over"),
    ("{",                        kept(2.0),      True,         37,    -7200.0,   "half a file"),
    ("[]",                       kept(2.0),      True,         37,    -7200.0,   "no counters"),
]
# fmt: on


@pytest.mark.parametrize(
    ("counters", "file", "synchronized", "spent", "began_s", "why"), LEFT, ids=[c[-1] for c in LEFT]
)
def test_what_the_next_run_takes_as_spent(
    tmp_path: Path, counters: str | None, file: str | None, synchronized: bool, spent: int, began_s: float, why: str
) -> None:
    found = before(tmp_path, counters, file, moment(synchronized))
    assert found.count == spent, why
    if spent:
        assert (found.t_day_ns - NOW_NS) / S == began_s
        assert found.line.startswith(
            f"V2G-WRITE-BUDGET {spent} of 100 set-points of this day are spent; it is over in "
        )
    else:
        assert found.line == ""


def before(folder: Path, counters: str | None, file: str | None, at: Moment, budget: int = BUDGET) -> Any:
    paths = folder / "buses.json", folder / "write-budget.json"
    for path, text in zip(paths, (counters, file), strict=True):
        if text is not None:
            path.write_text(text)
    return spent_before(budget, *paths, at)


# fmt: off
DAMAGED = [
    # file                                             why
    ("",                                               "an empty file, as a power cut leaves it"),
    ("\0" * 40,                                        "zeros"),
    ('{"v": 1, "spent": 3',                            "cut off"),
    ('{"v": 1, "spent": 3}',                           "no day"),
    ('{"v": 1, "spent": -3, "day_began_s": 0}',        "below 0"),
    ('{"v": 1, "spent": 0.5, "day_began_s": 0}',       "not whole"),
    ('{"v": 1, "spent": true, "day_began_s": 0}',      "no number"),
    ('{"v": 1, "spent": 3, "day_began_s": NaN}',       "no time"),
    ("[1, 3, 0]",                                      "no object"),
    (kept(2.0, version=2),                             "of a later program"),
]
# fmt: on


@pytest.mark.parametrize(("file", "why"), DAMAGED, ids=[c[-1] for c in DAMAGED])
def test_a_file_that_cannot_be_read_counts_as_half(tmp_path: Path, file: str, why: str) -> None:
    found = before(tmp_path, None, file, moment())
    assert (found.count, found.t_day_ns) == (50, NOW_NS), why
    assert found.line.startswith(f"V2G-WRITE-BUDGET-UNKNOWN {tmp_path}/write-budget.json: ")
    assert found.line.endswith("half of the day's 100 set-points are taken as spent, the day as begun now")
    assert "\n" not in found.line


def test_a_memory_that_bears_any_number_asks_for_no_file(tmp_path: Path) -> None:
    assert before(tmp_path, left(), "rubbish", moment(), budget=0).line == ""


# ---- the file ----


def keeper(path: Path) -> tuple[Keeper, list[str]]:
    said: list[str] = []
    return Keeper(str(path), lambda level, text: said.append(f"{level} {text}")), said


def settled(k: Keeper) -> None:
    """Until its thread has written."""
    assert k.writing.acquire(timeout=10.0)
    k.writing.release()


# fmt: off
LOOKS = [
    # second  spent  day began  in the file  why
    (0.0,     0,     500,       None,        "nothing sent: no file"),
    (1.0,     1,     500,       1,           "the first one, at once: a controller that dies each minute counts too"),
    (2.0,     2,     500,       1,           "not twice a minute"),
    (60.9,    9,     500,       1,           "still not"),
    (61.0,    9,     500,       9,           "a minute later"),
    (200.0,   9,     501,       9,           "two clocks never agree to the second"),
    (300.0,   9,     502,       9,           "nor to two"),
]
# fmt: on


def test_it_is_written_when_something_is_new_and_once_a_minute_at_most(tmp_path: Path) -> None:
    path = tmp_path / "state" / "write-budget.json"
    k, said = keeper(path)
    stamps = set()
    for at_s, spent, began_s, in_file, why in LOOKS:
        k.keep(spent, began_s, at_s)
        settled(k)
        assert (json.loads(path.read_text())["spent"] if path.exists() else None) == in_file, why
        stamps.add(path.stat().st_ino if path.exists() else 0)
    k.close(12, 500)
    assert json.loads(path.read_text()) == {"v": 1, "spent": 12, "day_began_s": 500}
    before_close = path.stat().st_ino
    k.close(12, 500)
    assert path.stat().st_ino == before_close, "nothing new: not written again"
    assert said == []


def test_what_it_writes_is_what_the_next_run_reads(tmp_path: Path) -> None:
    k, _ = keeper(tmp_path / "write-budget.json")
    k.close(37, WALL_S - 7200)
    found = spent_before(BUDGET, tmp_path / "none", tmp_path / "write-budget.json", moment())
    assert (found.count, found.t_day_ns) == (37, NOW_NS - 7200 * S)


def test_a_disk_that_takes_nothing_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    k, said = keeper(tmp_path / "state" / "write-budget.json")
    for at_s in (0.0, 61.0, 122.0):
        k.keep(round(at_s) + 1, 500, at_s)
        settled(k)
    k.close(999, 500)
    assert len(said) == 1
    assert said[0].startswith(f"WARNING V2G-WRITE-BUDGET-UNSAVED {tmp_path}/state/write-budget.json: ")


def test_a_slow_disk_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core's main thread feeds the watchdog: it must not wait."""
    free, written = threading.Event(), []

    def slow(path: str, text: str, durable: bool) -> None:
        assert durable
        free.wait(20.0)
        written.append((path, text))

    monkeypatch.setattr(budgetfile, "write_whole", slow)
    monkeypatch.setattr(budgetfile, "CLOSE_S", 0.01)
    k, _ = keeper(tmp_path / "write-budget.json")
    begin_s = time.monotonic()
    k.keep(1, 500, 0.0)
    k.keep(2, 500, 61.0)
    k.close(3, 500)
    assert time.monotonic() - begin_s < 5.0, "a bound for a busy machine: the disk would have taken 20 s"
    free.set()
    settled(k)
    assert [text for _, text in written] == ['{"v": 1, "spent": 1, "day_began_s": 500}\n']


def test_a_host_without_a_free_thread_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RLIMIT_NPROC does not hold root, so what the kernel would say is said here."""

    def refused(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    path = tmp_path / "write-budget.json"
    k, said = keeper(path)
    with monkeypatch.context() as short:
        short.setattr("controller.budgetfile._thread.start_new_thread", refused)
        k.keep(1, 500, 0.0)
        k.keep(1, 500, 60.0)
    assert said == [f"WARNING V2G-WRITE-BUDGET-UNSAVED {path}: can't start new thread"]
    k.keep(1, 500, 120.0)
    settled(k)
    assert json.loads(path.read_text())["spent"] == 1
