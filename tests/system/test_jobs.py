"""The jobs of `make system`: every file of the tier is in one of them, and what failed is found again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system import __main__ as tier

NAMES = [*tier.ALONE, *(name for job in tier.jobs() for name in job)]


def test_every_file_of_the_tier_is_in_one_job() -> None:
    marked = {p for p in tier.TESTS.rglob("test_*.py") if p.parent.name == "system" or tier.MARK in p.read_text()}
    assert len(marked) > 40
    for path in marked:
        name = str(path.relative_to(tier.ROOT))
        assert [name.startswith(part) for part in NAMES].count(True) == 1, name


def test_every_name_in_a_job_is_there() -> None:
    assert [name for name in NAMES if not (tier.ROOT / name).exists()] == []


# fmt: off
CODES = [
    # file                          code   printed            why
    ("tests/system/test_jobs.py",   0,     "passed",          "green"),
    ("tests/system/test_fresh.py",  0,     "deselected",      "all of them are nightly: nothing to play here"),
    ("tests/system/nowhere.py",     4,     "not found",       "pytest's own code for a bad call"),
]
# fmt: on


@pytest.mark.parametrize(("name", "code", "printed", "why"), CODES, ids=[row[-1] for row in CODES])
def test_the_code_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, printed: str, why: str
) -> None:
    monkeypatch.setattr(tier, "PYTEST", (*tier.PYTEST, "-k", "in_a_job or fresh"))
    got, said = tier.play((name,), tmp_path)
    assert got == code, said
    assert said.startswith("=== ")
    assert printed in said


def noted(cache: Path, *names: str) -> None:
    """What pytest leaves: the identity of each test that has failed."""
    (cache / "v/cache").mkdir(parents=True)
    (cache / "v/cache/lastfailed").write_text(json.dumps(dict.fromkeys(names, True)))


def test_files_that_have_failed_are_played_whole(tmp_path: Path) -> None:
    noted(tmp_path, "tests/system/test_b.py::test_x[1]", "tests/system/test_b.py::test_y", "tests/a.py")
    assert tier.failed_files(tmp_path) == ["tests/a.py", "tests/system/test_b.py"]


# fmt: off
TIERS = [
    # jobs      again   alone   code   why
    ([0, 0, 0], None,   0,      0,     "green"),
    ([0, 1, 1], 0,      0,      0,     "two failed beside others and pass alone: that verdict counts"),
    ([0, 1, 0], 1,      0,      1,     "failed twice is failed"),
    ([0, 1, 4], 0,      0,      4,     "what is no verdict on a test is not played again"),
    ([0, 0, 0], None,   1,      1,     "what measures time, alone"),
]
# fmt: on


@pytest.mark.parametrize(("jobs", "again", "alone", "code", "why"), TIERS, ids=[row[-1] for row in TIERS])
def test_the_code_of_the_tier(
    monkeypatch: pytest.MonkeyPatch, jobs: list[int], again: int | None, alone: int, code: int, why: str
) -> None:
    ran: list[tuple[str, ...]] = []

    def play(names: tuple[str, ...], cache: Path) -> tuple[int, str]:
        found = jobs[int(names[0])]
        if found == tier.FAILED:
            noted(cache, f"{names[0]}::test")
        return found, ""

    def run(*names: str) -> int:
        ran.append(names)
        return alone if names == tier.ALONE else again or 0

    monkeypatch.setattr(tier, "jobs", lambda: [(f"{i}",) for i in range(len(jobs))])
    monkeypatch.setattr(tier, "play", play)
    monkeypatch.setattr(tier, "run", run)
    assert tier.main([]) == code, why
    failed = tuple(f"{i}" for i, found in enumerate(jobs) if found == tier.FAILED)
    assert ran == ([failed] if again is not None else []) + [tier.ALONE]
